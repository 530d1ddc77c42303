//! Whether a thread sleeps, as others see it who have put something where it looks.
//!
//! To ring a bell is a system call, and most of the time nobody sleeps. So a sleeper says that it
//! goes to sleep, and whoever has something for it rings only then. The wake-up that could be lost:
//!
//! 1. The sleeper looks, and finds nothing.
//! 2. The other side puts something there, looks at the flag, and sees a thread that is awake.
//! 3. The sleeper sets the flag and sleeps. Nobody will ever ring.
//!
//! So the sleeper sets the flag *before* it looks for the last time ([`SleepFlag::lie_down`]), and
//! the other side looks at the flag *after* it has put something there ([`SleepFlag::must_wake`]). That
//! alone is not enough: a processor may hold its own store back while it loads something else, and then
//! both look at what was before.
//!
//! 1. The sleeper's store to the flag waits in its processor; its look at the queue finds nothing.
//! 2. The other's store to the queue waits in its processor; its look at the flag finds "awake".
//! 3. Both stores come through, and the sleeper sleeps.
//!
//! Between its store and its look each side has a fence of the one total order. One of the two fences
//! comes first; whoever's comes second sees what the other stored.
//!
//! Several may put something there. Who takes the flag away rings, always; so of those who come at
//! once one rings. Another who finds it taken away relies on that ring, and may: the sleeper wakes by
//! it, and sets the flag again before it looks for the last time again, hence after the other's look
//! at the flag, hence (the fences) after what the other has put there. A ring that comes late, for a
//! sleep that is over, wakes the thread once for nothing.
//!
//! `tests/sleep_flag.rs` has all interleavings of this file's code tried.

use super::atomics::{AtomicBool, Ordering, fence};

/// See the file's words.
#[derive(Debug)]
pub struct SleepFlag {
    asleep: AtomicBool,
}

impl SleepFlag {
    /// Of a thread that is awake.
    pub fn new() -> SleepFlag {
        SleepFlag { asleep: AtomicBool::new(false) }
    }

    /// For the sleeper: others ring from now on. It looks once more before it sleeps.
    pub fn lie_down(&self) {
        // A swap, so that it is known to come after that of whoever has taken the flag away.
        self.asleep.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// For the sleeper: others need not ring.
    pub fn get_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// For whoever has just put something there: true if it has to ring.
    pub fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        // The swap costs more, and only one of several shall ring.
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel)
    }
}
