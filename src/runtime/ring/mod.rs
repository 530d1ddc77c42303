//! An io_uring ring: the queue of operations to the kernel, and the queue of completions back.
//!
//! A ring carries user data of one type, uses the operations named when it was made ([`NewRing`]), and keeps entries
//! that find no room in the submission queue. It does not know what its operations are for. The rule that is easy to
//! break: a queued entry goes to the kernel with the next [`Ring::submit`] or [`Ring::wait`], whatever happened before,
//! so its memory must stay valid although a submission failed.

mod error;
mod operation;
mod setup;
#[cfg(test)]
mod tests;
mod user_data;

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};

pub use error::RingError;
pub use operation::{Operation, Target, WriteEntry};
pub use setup::{NewRing, RingOptions};
pub use user_data::UserData;

/// A ring that runs. Its entries carry user data of type `D`.
pub struct Ring<D> {
    ring: IoUring,
    /// Entries that found no room in the submission queue.
    backlog: VecDeque<squeue::Entry>,
    user_data: PhantomData<D>,
}

/// How a submission went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// The kernel has taken every queued entry.
    All,
    /// The kernel is short of memory, or of room for completions: some entries stay queued. Take completions, and
    /// submit again.
    Later,
}

/// A completion of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Completed<D> {
    /// What the entry carried.
    pub data: D,
    /// Whether more completions of the entry will come.
    pub more: bool,
    result: i32,
}

impl<D> Completed<D> {
    /// The operation's result: a number that depends on the operation, or its error.
    pub fn result(&self) -> io::Result<u32> {
        u32::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }
}

impl<D: UserData> Completed<D> {
    fn of(entry: &cqueue::Entry) -> Completed<D> {
        Completed {
            data: D::from_word(entry.user_data()),
            more: cqueue::more(entry.flags()),
            result: entry.result(),
        }
    }
}

impl<D: UserData> Ring<D> {
    fn running(ring: IoUring) -> Ring<D> {
        Ring { ring, backlog: VecDeque::new(), user_data: PhantomData }
    }

    /// Queues an entry.
    ///
    /// # Safety
    /// The memory that the entry refers to must be valid until its completion was taken, or the ring is gone and the
    /// kernel has torn it down.
    unsafe fn push(&mut self, entry: squeue::Entry, data: D) {
        let entry = entry.user_data(data.to_word());
        if self.backlog.is_empty() {
            // SAFETY: the caller keeps the memory valid.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        self.backlog.push_back(entry);
    }

    /// Moves as much of the backlog into the submission queue as fits.
    fn refill(&mut self) {
        if self.backlog.is_empty() {
            return;
        }
        let mut queue = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: the caller of `Ring::push` keeps the memory valid.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Submits the queued entries, and lets the kernel deliver completions that it has kept back. Makes no system call
    /// if there are neither.
    ///
    /// # Errors
    /// The kernel takes no entries. They stay queued.
    pub fn submit(&mut self) -> Result<Submitted, RingError> {
        loop {
            self.refill();
            let queue = self.ring.submission();
            if queue.is_empty() && !queue.taskrun() && !queue.cq_overflow() {
                return Ok(Submitted::All);
            }
            drop(queue);
            match passing(self.ring.submit()) {
                Ok(Some(taken)) => {
                    if self.backlog.is_empty() && self.ring.submission().is_empty() {
                        return Ok(Submitted::All);
                    }
                    if taken == 0 {
                        return Ok(Submitted::Later);
                    }
                }
                Ok(None) => return Ok(Submitted::Later),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(RingError::Submit(error)),
            }
        }
    }

    /// Submits the queued entries, and sleeps until there is a completion, or `patience` is over, or earlier. Does not
    /// sleep while entries find no room in the submission queue.
    ///
    /// # Errors
    /// The kernel takes no entries, or does not wait.
    pub fn wait(&mut self, patience: Option<Duration>) -> Result<(), RingError> {
        self.refill();
        if !self.backlog.is_empty() {
            return self.submit().map(|_| ());
        }
        if self.has_completions() {
            return Ok(());
        }
        let waited = match patience {
            None => self.ring.submit_and_wait(1),
            Some(patience) => {
                let left = Timespec::from(patience);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&left))
            }
        };
        match passing(waited) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(RingError::Wait(error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Takes the next completion. Makes no system call.
    pub fn next_completed(&mut self) -> Option<Completed<D>> {
        self.ring.completion().next().map(|entry| Completed::of(&entry))
    }

    /// Takes completions. Makes no system call.
    pub fn completed(&mut self) -> impl Iterator<Item = Completed<D>> {
        self.ring.completion().map(|entry| Completed::of(&entry))
    }

    /// Whether there are completions to take. Makes no system call.
    pub fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Whether there is something to take or to submit. Makes no system call.
    pub fn has_work(&mut self) -> bool {
        if !self.backlog.is_empty() || self.has_completions() {
            return true;
        }
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow() || !queue.is_empty()
    }

    /// Sets whether the kernel rings the registered bell with each completion. A completion before this call may have
    /// rung no bell: check [`Ring::has_completions`] afterwards.
    pub fn ring_bell(&mut self, rings: bool) {
        let completions = self.ring.completion();
        if rings {
            completions.enable_eventfd();
        } else {
            completions.disable_eventfd();
        }
        drop(completions);
        // The kernel must see the flag before we read the completions.
        fence(Ordering::SeqCst);
    }

    /// Replaces a file in the table of files; -1 stands for none.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn update_file(&self, slot: u32, file: RawFd) -> io::Result<()> {
        self.ring.submitter().register_files_update(slot, &[file]).map(|_| ())
    }

    /// Replaces a buffer in the table of buffers.
    ///
    /// # Safety
    /// The memory must be valid now. The kernel pins its pages, so they stay valid for the kernel whatever happens to
    /// the mapping; what it may write to them or read from them is up to the operations that name the slot.
    ///
    /// # Errors
    /// The kernel refuses.
    pub unsafe fn update_buffer(
        &self,
        slot: u16,
        memory: *const u8,
        bytes: usize,
    ) -> io::Result<()> {
        let iovec = libc::iovec { iov_base: memory.cast_mut().cast(), iov_len: bytes };
        let submitter = self.ring.submitter();
        // SAFETY: the caller vouches for the memory.
        unsafe { submitter.register_buffers_update(u32::from(slot), &[iovec], None) }
    }
}

impl<D> AsRawFd for Ring<D> {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// Checks that this process may use io_uring, by making a small ring.
///
/// # Errors
/// As for [`NewRing::set_up`].
pub fn check() -> Result<(), RingError> {
    const ALL: &[Operation] =
        &[Operation::Write, Operation::WriteFixed, Operation::Poll, Operation::Cancel];
    let ring = IoUring::new(8).map_err(RingError::Setup)?;
    operation::probe(&ring, ALL)?;
    // This feature came with the same version of the kernel as polls that complete more than once.
    match ring.params().is_feature_resource_tagging() {
        true => Ok(()),
        false => Err(RingError::Lacks(Operation::Poll)),
    }
}

/// Some(what the kernel said), or `None` for an error that passes by itself: the time is over, or the kernel is short
/// of memory or of room for completions.
fn passing(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EAGAIN | libc::EBUSY) => Ok(None),
            _ => Err(error),
        },
    }
}
