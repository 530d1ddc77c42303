//! A doorbell that wakes a thread which may be asleep.
//!
//! It is an eventfd. The log ring rings it from the kernel (`IORING_REGISTER_EVENTFD`), the disk
//! worker and the signal thread ring it with a write. The thread's [`Reactor`](super::Reactor) keeps a
//! poll on it in its ring, so ringing wakes the thread, and several rings count as one.
//!
//! Other executors, which send to this one many times in a millisecond, ring it only while the thread
//! sleeps ([`Doorbell::wake`], [`SleepFlag`]).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use super::sleep_flag::SleepFlag;

/// The bell of one thread. Clones are the same bell.
#[derive(Clone, Debug)]
pub struct Doorbell {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    flag: SleepFlag,
}

impl Doorbell {
    /// A new bell.
    pub fn new() -> io::Result<Doorbell> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Doorbell { inner: Arc::new(Inner { fd, flag: SleepFlag::new() }) })
    }

    /// Rings. Never blocks: the counter would have to reach 2^64 first.
    pub fn ring(&self) {
        // Only a closed descriptor could cause an error, and this object keeps it open.
        let _ = rustix::io::write(&self.inner.fd, &1u64.to_ne_bytes());
    }

    /// Rings if the thread sleeps, or is about to. Call it after putting something into its inbox.
    pub fn wake(&self) {
        if self.inner.flag.must_wake() {
            self.ring();
        }
    }

    /// For the thread itself: [`Doorbell::wake`] rings from now on. The thread checks once more, then
    /// sleeps.
    pub fn lie_down(&self) {
        self.inner.flag.lie_down();
    }

    /// For the thread itself: it is awake.
    pub fn get_up(&self) {
        self.inner.flag.get_up();
    }

    /// The descriptor, to register it with a ring.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }
}
