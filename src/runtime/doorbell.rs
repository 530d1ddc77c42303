//! A doorbell: whoever has something for a thread that may be asleep rings it.
//!
//! It is an eventfd. The log ring rings it from the kernel (`IORING_REGISTER_EVENTFD`), the disk
//! worker and the signal thread ring it with a write. The thread's [`Reactor`](super::Reactor) keeps a
//! poll on it in its ring, so a ring wakes it, and rings in between add up to one.
//!
//! Other executors, which have something for this one many times in a millisecond, ring it only
//! while it sleeps ([`Doorbell::wake`], [`SleepFlag`]).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use super::sleep_flag::SleepFlag;

/// The bell of one thread. Clones ring the same.
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
        // An error is impossible short of a closed descriptor, and this object keeps it open.
        let _ = rustix::io::write(&self.inner.fd, &1u64.to_ne_bytes());
    }

    /// Rings if the thread sleeps, or is about to. Call it after something was put into its inbox.
    pub fn wake(&self) {
        if self.inner.flag.must_wake() {
            self.ring();
        }
    }

    /// For the thread itself: [`Doorbell::wake`] rings from now on. It looks once more, then sleeps.
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
