//! A flag that shows whether a thread sleeps, for other threads that have put something into its inbox.
//!
//! Ringing a bell is a system call, and most of the time the thread is awake. So a sleeper announces
//! that it goes to sleep, and other threads ring only then. A wake-up could be lost as follows:
//!
//! 1. The sleeper checks the queue, and finds nothing.
//! 2. The other side puts something there, checks the flag, and sees a thread that is awake.
//! 3. The sleeper sets the flag and sleeps. No thread will ever ring.
//!
//! So the sleeper sets the flag *before* its last check ([`SleepFlag::lie_down`]), and the other side
//! checks the flag *after* it has put something there ([`SleepFlag::must_wake`]). That alone is not
//! enough: a processor may delay its own store while it loads something else, and then both see the old
//! state.
//!
//! 1. The sleeper's store to the flag waits in its processor; its check of the queue finds nothing.
//! 2. The other's store to the queue waits in its processor; its check of the flag finds "awake".
//! 3. Both stores become visible, and the sleeper sleeps.
//!
//! Between its store and its check each side has a sequentially consistent fence. One of the two fences
//! comes first; the side whose fence comes second sees the other's store.
//!
//! Several threads may put something there. The thread that clears the flag always rings; so exactly
//! one of several rings. Another thread that finds the flag cleared relies on that ring, which is safe:
//! the ring wakes the sleeper, which sets the flag again before its next last check, hence after the
//! other thread's check of the flag, hence (by the fences) after the other thread's store. A late ring,
//! for a sleep that is over, wakes the thread once for nothing.
//!
//! `tests/sleep_flag.rs` tries all interleavings of this file's code.

use super::atomics::{AtomicBool, Ordering, fence};

/// The flag; see the comment of this file.
#[derive(Debug)]
pub struct SleepFlag {
    asleep: AtomicBool,
}

impl SleepFlag {
    /// The flag of a thread that is awake.
    pub fn new() -> SleepFlag {
        SleepFlag { asleep: AtomicBool::new(false) }
    }

    /// For the sleeper: others ring from now on. It must check once more before it sleeps.
    pub fn lie_down(&self) {
        // A swap, so that it is ordered after the swap of the thread that cleared the flag.
        self.asleep.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// For the sleeper: others need not ring.
    pub fn get_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// For a thread that has just put something there: true if it has to ring.
    pub fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        // The swap costs more, and only one of several threads is to ring.
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel)
    }
}
