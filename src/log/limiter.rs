//! Bounds the number of lines that clients, hosts or a loop of our own can provoke.

use crate::limits;
use crate::time::MonoUs;

/// Admits a burst of lines, and then a line each time an interval has passed; counts those that it holds back.
///
/// One limiter for each kind of line that may come without end (a malformed frame, a refused connection). It reads no
/// clock, so the core may use it, too.
#[derive(Clone, Debug)]
pub struct Limiter {
    interval_us: u64,
    credit_us_max: u64,
    /// A line costs one interval.
    /// Invariant: at most `credit_us_max`.
    credit_us: u64,
    /// When the credit was last counted.
    at: MonoUs,
    held_back: u64,
}

const SECOND_US: u64 = 1_000_000;

impl Limiter {
    /// For lines that others can provoke at will.
    pub const fn of_provoked_lines() -> Limiter {
        const LINES: u64 = limits::LOG_LINES_PROVOKED_PER_SECOND;
        Limiter::per_second(LINES, LINES)
    }

    /// Admits so many lines at once, and so many in each second after that.
    pub const fn per_second(burst: u64, lines: u64) -> Limiter {
        assert!(lines > 0 && lines <= SECOND_US);
        Limiter::every_us(burst, SECOND_US / lines)
    }

    /// Admits so many lines at once, and after that one line in each interval of so many seconds.
    pub const fn burst_then_one_in_seconds(burst: u64, seconds: u64) -> Limiter {
        Limiter::every_us(burst, seconds * SECOND_US)
    }

    /// Admits one line in each interval of so many seconds.
    pub const fn one_in_seconds(seconds: u64) -> Limiter {
        Limiter::every_us(1, seconds * SECOND_US)
    }

    const fn every_us(burst: u64, interval_us: u64) -> Limiter {
        assert!(burst > 0 && interval_us > 0);
        let credit_us_max = burst * interval_us;
        let (credit_us, at) = (credit_us_max, MonoUs(0));
        Limiter { interval_us, credit_us_max, credit_us, at, held_back: 0 }
    }

    /// Whether a line may be written now; if so, returns how many were held back since the last one, to be written with
    /// it.
    pub fn allow(&mut self, now: MonoUs) -> Option<u64> {
        let passed_us = now.since_us(self.at);
        self.at = now;
        self.credit_us = self.credit_us.saturating_add(passed_us).min(self.credit_us_max);
        if self.credit_us < self.interval_us {
            self.held_back += 1;
            return None;
        }
        self.credit_us -= self.interval_us;
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoUs {
        MonoUs(ms * 1000)
    }

    #[test]
    fn a_burst_is_admitted_then_so_many_lines_a_second_with_the_number_of_the_others() {
        let mut limiter = Limiter::per_second(3, 20);
        for _ in 0..3 {
            assert_eq!(limiter.allow(ms(5)), Some(0));
        }
        assert_eq!(limiter.allow(ms(5)), None);
        assert_eq!(limiter.allow(ms(54)), None);
        assert_eq!(limiter.allow(ms(55)), Some(2));
        let admitted = |limiter: &mut Limiter, from: u64| {
            (from..from + 1000).filter(|at| limiter.allow(ms(*at)).is_some()).count()
        };
        assert_eq!(admitted(&mut limiter, 56), 20);
        assert_eq!(admitted(&mut limiter, 10_000_000), 3 + 19, "after a long silence");
    }

    #[test]
    fn one_line_in_an_interval_counts_from_the_last_line() {
        let mut limiter = Limiter::one_in_seconds(10);
        assert_eq!(limiter.allow(ms(7_000)), Some(0));
        assert_eq!(limiter.allow(ms(16_999)), None);
        assert_eq!(limiter.allow(ms(17_000)), Some(1));
        assert_eq!(limiter.allow(ms(27_001)), Some(0));
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_no_credit() {
        let mut limiter = Limiter::per_second(1, 1);
        assert_eq!(limiter.allow(ms(5_000)), Some(0));
        assert_eq!(limiter.allow(ms(4_000)), None);
        assert_eq!(limiter.allow(ms(4_500)), None);
    }
}
