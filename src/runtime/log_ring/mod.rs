//! The ring that writes the transaction log.
//!
//! A raw io_uring ring, submitted and reaped by the executor that owns the replica: registered files,
//! registered buffers, one write with `RWF_DSYNC` per group. There is no thread between the replica and
//! the disk; reaping reads memory shared with the kernel.
//!
//! A thread can wait for a write in two ways: by polling ([`LogRing::reap`] makes no system call), or with
//! [`LogRing::ring_when_done`], after which the kernel rings a [`Doorbell`] with the next completion.
//!
//! If other processes want the processors, [`LogRing::write_by_thread`] makes a thread do the writes:
//! [`super::log_thread`] explains why.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, opcode};

use super::log_thread::{Job, LogThread};
use super::{Doorbell, failure};
use crate::io::{AlignedBuf, Completion, Done, SegmentId, Token};

/// Writes that may be in the ring at once. The writer of the log keeps one or two in flight; the
/// bound only sizes the ring.
pub const WRITES_IN_FLIGHT_MAX: usize = 16;

/// Segments that may be open at once: the current one, the next, one being closed, and spare room.
const SEGMENTS_OPEN_MAX: usize = 8;

/// Buffers that may be registered: further slots are written unregistered.
const BUFFERS_REGISTERED_MAX: usize = 8;

/// `RWF_DSYNC` of `pwritev2(2)`: the write completes when it is durable.
const RWF_DSYNC: i32 = 2;

const RING_ENTRIES: u32 = 32;
const _: () = assert!(WRITES_IN_FLIGHT_MAX < RING_ENTRIES as usize);

/// The ring, its registrations and its writes in flight.
pub struct LogRing {
    ring: IoUring,
    bell: Doorbell,
    segments: [Option<OpenSegment>; SEGMENTS_OPEN_MAX],
    files_registered: bool,
    buffers: Buffers,
    /// Writes in flight by the user data of their submission.
    in_flight: [Option<Write>; WRITES_IN_FLIGHT_MAX],
    in_flight_count: usize,
    bell_armed: bool,
    /// Writes go to the thread from now on.
    by_thread: bool,
    /// Started when it is needed for the first time.
    thread: Option<LogThread>,
}

struct OpenSegment {
    id: SegmentId,
    file: Arc<OwnedFd>,
    name: String,
}

/// The memory that the kernel has registered, by slot. `None` instead of the whole list: the kernel
/// refused.
struct Buffers {
    registered: Option<[Option<(usize, usize)>; BUFFERS_REGISTERED_MAX]>,
}

struct Write {
    token: Token,
    segment_slot: usize,
    buf: AlignedBuf,
    offset: u64,
    bytes: u32,
    done: u32,
    sync: bool,
    /// The write has failed, and its owner knows: the kernel did not take the entry, which stays in the
    /// queue and goes to the kernel with the next submission. Invariant: the buffer, the segment and the
    /// number in the entry belong to this write until that completion.
    told: bool,
}

/// Features that the ring could not get and works without; one line each for the start-up.
pub type Lacks = Vec<String>;

impl LogRing {
    /// A ring whose completions ring `bell` when asked.
    ///
    /// The ring keeps `locks` open until the kernel is done with it: after a `kill -9` a write in flight
    /// may still reach the disk, and a server started at once must not read the log before.
    pub fn new(bell: Doorbell, locks: &[BorrowedFd<'_>]) -> io::Result<(LogRing, Lacks)> {
        let ring = IoUring::new(RING_ENTRIES)?;
        let mut lacks = Vec::new();
        let submitter = ring.submitter();
        submitter.register_eventfd(bell.as_fd().as_raw_fd())?;
        let mut files = [-1; SEGMENTS_OPEN_MAX].to_vec();
        files.extend(locks.iter().map(AsRawFd::as_raw_fd));
        submitter.register_files(&files)?;
        let slots = u32::try_from(BUFFERS_REGISTERED_MAX).expect("a small constant");
        let registered = match submitter.register_buffers_sparse(slots) {
            Ok(()) => Some([None; BUFFERS_REGISTERED_MAX]),
            Err(error) => {
                lacks.push(format!("log buffers are not registered with io_uring: {error}"));
                None
            }
        };
        let mut ring = LogRing {
            ring,
            bell,
            segments: [const { None }; SEGMENTS_OPEN_MAX],
            files_registered: true,
            buffers: Buffers { registered },
            in_flight: [const { None }; WRITES_IN_FLIGHT_MAX],
            in_flight_count: 0,
            bell_armed: false,
            by_thread: false,
            thread: None,
        };
        ring.arm_bell(false);
        Ok((ring, lacks))
    }

    /// Registers an open file under its segment's number. `name` is for messages.
    pub fn open_segment(&mut self, id: SegmentId, file: OwnedFd, name: String) {
        assert!(self.slot_of(id).is_none(), "segment {id:?} is open already");
        let slot = self.segments.iter().position(Option::is_none);
        let slot = slot.expect("the log keeps a handful of segments open");
        if self.files_registered {
            let offset = u32::try_from(slot).expect("a small constant");
            let updated = self.ring.submitter().register_files_update(offset, &[file.as_raw_fd()]);
            if updated.is_err() {
                // Writes to plain descriptors cost a little more but work the same.
                self.files_registered = false;
            }
        }
        self.segments[slot] = Some(OpenSegment { id, file: Arc::new(file), name });
    }

    /// Forgets a segment and closes the ring's descriptor of it.
    ///
    /// # Panics
    /// If a write to it is in flight: see [`LogRing::is_writing_to`].
    pub fn close_segment(&mut self, id: SegmentId) {
        assert!(!self.is_writing_to(id), "segment {id:?} is closed under a write");
        let Some(slot) = self.slot_of(id) else { return };
        if self.files_registered {
            let offset = u32::try_from(slot).expect("a small constant");
            let _ = self.ring.submitter().register_files_update(offset, &[-1]);
        }
        self.segments[slot] = None;
    }

    /// Whether a write to this segment is in flight.
    pub fn is_writing_to(&self, id: SegmentId) -> bool {
        let slot = self.slot_of(id);
        self.in_flight.iter().flatten().any(|write| Some(write.segment_slot) == slot)
            || self.thread.as_ref().is_some_and(|thread| thread.is_writing_to(id))
    }

    /// Writes in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight_count + self.thread.as_ref().map_or(0, LogThread::in_flight)
    }

    /// Sets whether further writes go to a thread, which rings the bell after each of them, whether or not
    /// it was asked to; writes in flight complete where they are.
    pub fn write_by_thread(&mut self, by_thread: bool) {
        if by_thread && self.thread.is_none() {
            match LogThread::start(self.bell.clone()) {
                Ok(thread) => self.thread = Some(thread),
                // Without the thread, writes are slower beside busy neighbours but work the same; starting
                // it is tried again.
                Err(error) => return tracing::debug!("no thread for the log: {error}"),
            }
        }
        self.by_thread = by_thread;
    }

    /// Submits one write: the first `bytes` of `buf`, at `offset` of an open segment.
    ///
    /// A buffer with a slot is registered the first time it is seen. Its owner must keep it alive, as the
    /// log's writer does, as long as it uses the slot: pages are registered by address.
    pub fn write(
        &mut self,
        token: Token,
        segment: SegmentId,
        offset: u64,
        buf: AlignedBuf,
        bytes: u32,
        sync: bool,
    ) -> io::Result<()> {
        assert!(bytes as usize <= buf.len(), "a write is not longer than its buffer");
        let segment_slot = self.slot_of(segment).expect("the log writes to prepared segments");
        if self.by_thread
            && let (Some(thread), Some(open)) = (&mut self.thread, &self.segments[segment_slot])
        {
            let (file, name) = (open.file.clone(), open.name.clone());
            return thread.write(Job { token, segment, file, name, offset, buf, bytes, sync });
        }
        let index = self.in_flight.iter().position(Option::is_none);
        let index = index.expect("the log's writer bounds its writes in flight");
        self.register(&buf);
        self.in_flight[index] =
            Some(Write { token, segment_slot, buf, offset, bytes, done: 0, sync, told: false });
        self.in_flight_count += 1;
        self.submit(index)
    }

    fn submit(&mut self, index: usize) -> io::Result<()> {
        let write = self.in_flight[index].as_ref().expect("submitted writes are in flight");
        let segment = self.segments[write.segment_slot].as_ref().expect("it is open");
        let rest = &write.buf[write.done as usize..write.bytes as usize];
        let (memory, bytes) = (rest.as_ptr(), write.bytes - write.done);
        let offset = write.offset + u64::from(write.done);
        let flags = if write.sync { RWF_DSYNC } else { 0 };
        macro_rules! entry {
            ($file:expr) => {
                match self.registered_index(&write.buf) {
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
        let entry = if self.files_registered {
            entry!(Fixed(u32::try_from(write.segment_slot).expect("a small constant")))
        } else {
            entry!(Fd(segment.file.as_raw_fd()))
        };
        let entry = entry.user_data(index as u64);
        // SAFETY: the entry points into `write.buf`, heap memory that does not move. The write
        // stays in `in_flight` until its completion is reaped, also if it cannot be submitted now
        // (`Write::told`), and dropping the ring waits for what is in flight, so the memory outlives
        // the kernel's use of it. Nothing else reads or writes it meanwhile: the buffer was moved in here.
        unsafe { self.ring.submission().push(&entry) }
            .expect("the ring has more entries than writes may be in flight");
        loop {
            match self.ring.submit() {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let write = self.in_flight[index].as_mut().expect("it was submitted");
                    write.told = true;
                    return Err(error);
                }
            }
        }
    }

    fn registered_index(&self, buf: &AlignedBuf) -> Option<u16> {
        let slot = buf.slot()?;
        let held = self.buffers.registered.as_ref()?.get(usize::from(slot))?.as_ref()?;
        (*held == (buf.as_ptr().addr(), buf.len())).then_some(slot)
    }

    fn register(&mut self, buf: &AlignedBuf) {
        let Some(slot) = buf.slot() else { return };
        let Some(table) = self.buffers.registered.as_mut() else { return };
        let memory = (buf.as_ptr().addr(), buf.len());
        let Some(held) = table.get_mut(usize::from(slot)) else { return };
        if *held == Some(memory) {
            return;
        }
        let iovec = libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
        // SAFETY: the iovec describes memory that is alive now; the kernel pins its pages, so they
        // stay valid for it whatever happens to the mapping. It only reads from them, for writes
        // submitted while the buffer is in our hands.
        let updated = unsafe {
            self.ring.submitter().register_buffers_update(u32::from(slot), &[iovec], None)
        };
        match updated {
            Ok(()) => *held = Some(memory),
            Err(error) => {
                tracing::warn!(
                    "log buffers are written unregistered from now on ({error}): a larger \
                     RLIMIT_MEMLOCK makes log writes a little faster"
                );
                self.buffers.registered = None;
            }
        }
    }

    /// Takes completed writes. Makes no system call, unless a write was partial and its rest has to be
    /// submitted.
    pub fn reap(&mut self, out: &mut Vec<Completion>) {
        if let Some(thread) = &mut self.thread {
            thread.reap(out);
        }
        if self.in_flight_count == 0 {
            return;
        }
        loop {
            let Some(entry) = self.ring.completion().next() else { return };
            let index = usize::try_from(entry.user_data()).expect("our own small number");
            let write =
                self.in_flight[index].as_mut().expect("completions are of what is in flight");
            if write.told {
                drop(self.take(index));
                continue;
            }
            match u32::try_from(entry.result()) {
                Ok(0) => self.fail(index, io::ErrorKind::WriteZero.into(), out),
                Ok(wrote) => {
                    write.done += wrote;
                    assert!(write.done <= write.bytes, "the kernel wrote more than it was given");
                    if write.done == write.bytes {
                        let write = self.take(index);
                        let result = Ok(Done::Buffer(write.buf));
                        out.push(Completion { token: write.token, result });
                    } else if let Err(error) = self.submit(index) {
                        out.push(self.failed(index, &error));
                    }
                }
                Err(_) => {
                    let error = io::Error::from_raw_os_error(-entry.result());
                    self.fail(index, error, out);
                }
            }
        }
    }

    fn fail(&mut self, index: usize, error: io::Error, out: &mut Vec<Completion>) {
        out.push(self.failed(index, &error));
        drop(self.take(index));
    }

    fn failed(&self, index: usize, error: &io::Error) -> Completion {
        let write = self.in_flight[index].as_ref().expect("it is in flight");
        let name = self.segments[write.segment_slot].as_ref().map_or("?", |open| &open.name);
        let what = format!("writing {} bytes at {} of {name}", write.bytes, write.offset);
        Completion { token: write.token, result: Err(failure(&what, error)) }
    }

    fn take(&mut self, index: usize) -> Write {
        self.in_flight_count -= 1;
        self.in_flight[index].take().expect("it is in flight")
    }

    /// From now on the next completion rings the bell. Returns false if there already is one: reap instead
    /// of sleeping.
    pub fn ring_when_done(&mut self) -> bool {
        self.arm_bell(true);
        // A completion between the last reap and the arming rang no bell: check once more.
        let completions = self.ring.completion();
        completions.is_empty()
    }

    /// Completions no longer ring the bell; for a thread that polls.
    pub fn ring_no_more(&mut self) {
        if self.bell_armed {
            self.arm_bell(false);
        }
    }

    fn arm_bell(&mut self, armed: bool) {
        let completions = self.ring.completion();
        if armed {
            completions.enable_eventfd()
        } else {
            completions.disable_eventfd()
        }
        self.bell_armed = armed;
        // The kernel must see the flag before we read the completions.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }

    /// The bell given to [`LogRing::new`].
    pub fn bell(&self) -> &Doorbell {
        &self.bell
    }

    fn slot_of(&self, id: SegmentId) -> Option<usize> {
        self.segments.iter().position(|open| open.as_ref().is_some_and(|open| open.id == id))
    }
}

impl Drop for LogRing {
    fn drop(&mut self) {
        self.thread = None;
        // The kernel may still read the buffers in flight; they must not be freed before.
        let mut ignored = Vec::new();
        while self.in_flight_count > 0 {
            if self.ring.submit_and_wait(1).is_err_and(|e| e.kind() != io::ErrorKind::Interrupted) {
                // Waiting is impossible: leak the buffers instead of freeing them under a write.
                for write in &mut self.in_flight {
                    std::mem::forget(write.take());
                }
                return;
            }
            self.reap(&mut ignored);
        }
    }
}

#[cfg(test)]
mod tests;
