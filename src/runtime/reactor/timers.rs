//! Functions that a reactor calls later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Reactor;

/// The functions by their time, with a number, because several may be due at the same time.
#[derive(Default)]
pub(super) struct Timers {
    waiting: BTreeMap<TimerKey, Box<dyn FnOnce()>>,
    made: u64,
}

type TimerKey = (Instant, u64);

impl Timers {
    fn insert(&mut self, at: Instant, then: Box<dyn FnOnce()>) -> TimerKey {
        let key = (at, self.made);
        self.made += 1;
        self.waiting.insert(key, then);
        key
    }

    /// Takes the first function that is due at `now`.
    pub fn take_due(&mut self, now: Instant) -> Option<Box<dyn FnOnce()>> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// The time of the first function.
    pub fn next_at(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Calls its function when its time comes, unless it is dropped before.
#[must_use = "a timer that is dropped does not ring"]
pub struct Timer {
    reactor: Reactor,
    key: TimerKey,
    is_detached: bool,
}

impl Reactor {
    /// Calls `then` from [`Reactor::dispatch`] when `delay` is over, unless the timer is dropped.
    pub fn after(&self, delay: Duration, then: impl FnOnce() + 'static) -> Timer {
        let at = Instant::now() + delay;
        let key = self.inner.timers.borrow_mut().insert(at, Box::new(then));
        Timer { reactor: self.clone(), key, is_detached: false }
    }
}

impl Timer {
    /// Lets it fire even if no one keeps it.
    pub fn detach(mut self) {
        self.is_detached = true;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.is_detached {
            return;
        }
        let removed = self.reactor.inner.timers.borrow_mut().waiting.remove(&self.key);
        // Its function may hold other timers.
        drop(removed);
    }
}
