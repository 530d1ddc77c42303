//! The clocks of one server: one for durations that runs a little wrong, one for dates that jumps.

use ringkeeper::time::{MonoUs, Now, WallMs};

/// Parts in a million by which a clock may be off: 10 %.
const DRIFT_MAX: i64 = 100_000;
const MILLION: i64 = 1_000_000;

/// Both clocks of a server, as functions of the true time in µs.
#[derive(Clone, Debug)]
pub struct Clock {
    /// By how many parts in a million it is too fast.
    drift: i64,
    /// What the clock for durations showed at the true time 0.
    mono_at_start: u64,
    /// By how much the dates are off, in ms.
    wall_off_ms: i64,
}

/// The date at the true time 0, in ms since 1970.
const BIRTH_MS: i64 = 1_700_000_000_000;

impl Clock {
    /// Clocks that begin with `mono_at_start` and run `drift` parts in a million too fast.
    pub fn new(drift: i64, mono_at_start: u64) -> Clock {
        assert!(drift.abs() <= DRIFT_MAX, "a clock that is off by {drift} millionths");
        Clock { drift, mono_at_start, wall_off_ms: 0 }
    }

    /// What a server reads at the true time `true_us`.
    pub fn read(&self, true_us: u64) -> Now {
        let ms = i64::try_from(true_us / 1000).expect("a run is short");
        Now { wall: WallMs(BIRTH_MS + ms + self.wall_off_ms), mono: MonoUs(self.mono(true_us)) }
    }

    fn mono(&self, true_us: u64) -> u64 {
        let elapsed = i64::try_from(true_us).expect("a run is short");
        let off = elapsed / MILLION * self.drift + elapsed % MILLION * self.drift / MILLION;
        self.mono_at_start + (elapsed + off).cast_unsigned()
    }

    /// The first true time at which the clock for durations shows `at` or more.
    pub fn true_time_of(&self, at: MonoUs) -> u64 {
        let Some(elapsed) = at.0.checked_sub(self.mono_at_start) else { return 0 };
        let elapsed = i128::from(elapsed);
        let million = i128::from(MILLION);
        let guess = elapsed * million / (million + i128::from(self.drift));
        let mut guess = u64::try_from(guess.max(0)).unwrap_or(u64::MAX).saturating_sub(2);
        if guess > u64::MAX / 4 {
            return u64::MAX;
        }
        while self.mono(guess) < at.0 {
            guess += 1;
        }
        guess
    }

    /// Changes the date by `ms`.
    pub fn jump(&mut self, ms: i64) {
        self.wall_off_ms += ms;
    }

    /// Sets the date right.
    pub fn set_right(&mut self) {
        self.wall_off_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_true_time_of_a_reading_is_the_first_that_shows_it() {
        for drift in [-50_000, -7, 0, 3, 50_000] {
            let clock = Clock::new(drift, 777);
            for at in [777, 778, 1_000_777, 123_456_789] {
                let true_us = clock.true_time_of(MonoUs(at));
                assert!(clock.read(true_us).mono >= MonoUs(at), "{drift} {at}");
                assert!(true_us == 0 || clock.read(true_us - 1).mono < MonoUs(at), "{drift} {at}");
            }
        }
    }
}
