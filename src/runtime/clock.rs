//! The clocks. Everything below the edge gets their readings as a [`Now`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
        self.origin + Duration::from_micros(at.0.saturating_sub(ORIGIN_US))
    }
}

/// How long this thread has had a processor. The difference to the time that passed is what others
/// had of it.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of this frame, which the kernel fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every kernel of today has this clock");
    let seconds = u64::try_from(time.tv_sec).expect("time that was used is not negative");
    let nanos = u32::try_from(time.tv_nsec).expect("a second has 10^9 nanoseconds");
    Duration::new(seconds, nanos)
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

    #[test]
    fn the_time_of_a_thread_grows_while_it_works_and_not_while_it_sleeps() {
        let before = thread_cpu_time();
        std::thread::sleep(Duration::from_millis(20));
        let slept = thread_cpu_time();
        assert!(slept - before < Duration::from_millis(15));
        let mut sum = 0u64;
        while thread_cpu_time() < slept + Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
