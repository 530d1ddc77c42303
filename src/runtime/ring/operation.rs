//! The operations of Ringkeeper's rings, and how each is submitted.
//!
//! A ring names those that it uses when it is made: the kernel then refuses all others.

use std::os::fd::RawFd;

use io_uring::squeue;
use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, Probe, opcode};

use super::{Ring, RingError, UserData};

/// An operation that a ring may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Writes memory to a file.
    Write,
    /// Writes registered memory to a file.
    WriteFixed,
    /// Waits until a descriptor is ready.
    Poll,
    /// Ends another operation.
    Cancel,
}

impl Operation {
    /// Its number in the kernel's interface.
    pub fn code(self) -> u8 {
        match self {
            Operation::Write => opcode::Write::CODE,
            Operation::WriteFixed => opcode::WriteFixed::CODE,
            Operation::Poll => opcode::PollAdd::CODE,
            Operation::Cancel => opcode::AsyncCancel::CODE,
        }
    }

    /// Its name in the kernel's interface.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Write => "IORING_OP_WRITE",
            Operation::WriteFixed => "IORING_OP_WRITE_FIXED",
            Operation::Poll => "IORING_OP_POLL_ADD",
            Operation::Cancel => "IORING_OP_ASYNC_CANCEL",
        }
    }
}

/// Checks that the kernel has all of these operations.
pub(super) fn probe(ring: &IoUring, wanted: &[Operation]) -> Result<(), RingError> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(RingError::Probe)?;
    match wanted.iter().find(|operation| !probe.is_supported(operation.code())) {
        Some(lacking) => Err(RingError::Lacks(*lacking)),
        None => Ok(()),
    }
}

/// A file that an operation refers to.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// A slot of the table of files.
    Slot(u32),
    /// A descriptor.
    Descriptor(RawFd),
}

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct WriteEntry {
    /// The file.
    pub file: Target,
    /// The offset in the file.
    pub offset: u64,
    /// The start of the memory.
    pub memory: *const u8,
    /// The number of bytes.
    pub bytes: u32,
    /// The slot of the memory, if it is registered.
    pub buffer: Option<u16>,
    /// Whether the write completes only when it is durable.
    pub sync: bool,
}

/// `RWF_DSYNC` of `pwritev2(2)`: the write completes when it is durable.
const RWF_DSYNC: i32 = 2;

impl WriteEntry {
    fn build(self) -> squeue::Entry {
        let WriteEntry { file, offset, memory, bytes, buffer, sync } = self;
        let flags = if sync { RWF_DSYNC } else { 0 };
        macro_rules! build {
            ($file:expr) => {
                match buffer {
                    Some(buffer) => opcode::WriteFixed::new($file, memory, bytes, buffer)
                        .offset(offset)
                        .rw_flags(flags)
                        .build(),
                    None => opcode::Write::new($file, memory, bytes)
                        .offset(offset)
                        .rw_flags(flags)
                        .build(),
                }
            };
        }
        match file {
            Target::Slot(slot) => build!(Fixed(slot)),
            Target::Descriptor(fd) => build!(Fd(fd)),
        }
    }
}

impl<D: UserData> Ring<D> {
    /// Queues a write.
    ///
    /// # Safety
    /// The memory must be valid, and must not change, until the completion of the write was taken, or the ring is gone
    /// and the kernel has torn it down.
    pub unsafe fn write(&mut self, write: WriteEntry, data: D) {
        // SAFETY: the caller keeps the memory valid.
        unsafe { self.push(write.build(), data) }
    }

    /// Queues a poll that completes once, when one of `events` happens.
    pub fn poll_once(&mut self, fd: RawFd, events: u32, data: D) {
        let entry = opcode::PollAdd::new(Fd(fd), events).build();
        // SAFETY: see `poll`.
        unsafe { self.push(entry, data) }
    }

    /// Queues a poll that completes each time one of `events` happens, until a completion says that it was the last.
    pub fn poll(&mut self, fd: RawFd, events: u32, data: D) {
        let entry = opcode::PollAdd::new(Fd(fd), events).multi(true).build();
        // SAFETY: a poll names a descriptor and a number; there is no memory that would have to outlive it. A
        // descriptor that was closed, or even names another file by the time the kernel takes the entry, only brings
        // completions of a source that is known to be gone.
        unsafe { self.push(entry, data) }
    }

    /// Queues the end of the operation with the user data `of`.
    ///
    /// Not `IORING_OP_POLL_REMOVE`: that fails if an event of the poll is on its way, and the kernel would then keep
    /// the file open for ever.
    pub fn cancel(&mut self, of: D, data: D) {
        let entry = opcode::AsyncCancel::new(of.to_word()).build();
        // SAFETY: it names a number.
        unsafe { self.push(entry, data) }
    }
}
