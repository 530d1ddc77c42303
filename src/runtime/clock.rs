//! The clocks. Everything below the edge gets their readings as a [`Now`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{MonoUs, Now, WallMs};

/// Reads both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

/// The first reading of the monotonic clock, so that "a minute ago" is never below zero.
const ORIGIN_US: u64 = 3_600_000_000;

impl Clock {
    /// A clock that starts now. Copies of it agree with each other.
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Both readings.
    pub fn now(&self) -> Now {
        let wall_ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Now { wall: WallMs(wall_ms), mono: self.mono() }
    }

    /// The monotonic clock alone.
    pub fn mono(&self) -> MonoUs {
        let us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        MonoUs(us.saturating_add(ORIGIN_US))
    }

    /// The instant at which this clock shows `at`.
    pub fn instant_of(&self, at: MonoUs) -> Instant {
        self.origin + std::time::Duration::from_micros(at.0.saturating_sub(ORIGIN_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_starts_an_hour_in_and_never_goes_back() {
        let clock = Clock::start();
        let a = clock.mono();
        let b = clock.now().mono;
        assert!(a.0 >= ORIGIN_US && b >= a);
        assert!(clock.instant_of(b) <= Instant::now());
    }
}
