//! The throttle of new sessions: a token bucket, and random refusals before it is empty
//! (`connection_throttle_*`).
//!
//! The random part is the BLUE algorithm: an empty bucket makes refusals more likely, a bucket that is full enough
//! makes them less likely, and after each change the probability stays as it is for a while. So a storm
//! of clients is thinned out instead of being let in in bursts.

use crate::time::MonoUs;

/// How the throttle behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottleOptions {
    /// Size of the bucket; 0: no throttle (`connection_throttle_tokens`).
    pub tokens: u64,
    /// Time between two fillings (`connection_throttle_fill_time`).
    pub fill_ms: u64,
    /// Tokens per filling (`connection_throttle_fill_count`).
    pub fill_tokens: u64,
    /// Least time between two changes of the probability; `None`: nobody is refused by chance
    /// (`connection_throttle_freeze_time`).
    pub freeze_ms: Option<u64>,
    /// Step up of the probability (`connection_throttle_drop_increase`).
    pub drop_increase: f64,
    /// Step down of the probability (`connection_throttle_drop_decrease`).
    pub drop_decrease: f64,
    /// Share of the bucket that may be missing when the probability falls
    /// (`connection_throttle_decrease_ratio`).
    pub decrease_ratio: f64,
    /// Tokens for a new session.
    pub new_session_tokens: u64,
    /// Tokens for a session that is reopened.
    pub renewal_tokens: u64,
}

impl Default for ThrottleOptions {
    fn default() -> Self {
        ThrottleOptions {
            tokens: 0,
            fill_ms: 1,
            fill_tokens: 1,
            freeze_ms: None,
            drop_increase: 0.02,
            drop_decrease: 0.002,
            decrease_ratio: 0.0,
            new_session_tokens: 1,
            renewal_tokens: 1,
        }
    }
}

/// The bucket, and the probability of a refusal by chance.
#[derive(Debug)]
pub(super) struct Throttle {
    options: ThrottleOptions,
    /// Tokens in the bucket.
    ///
    /// Invariant: at most `options.tokens`.
    tokens: u64,
    /// When the bucket was filled last.
    filled_ms: u64,
    /// When the probability was last allowed to change.
    changed_ms: u64,
    /// The probability of a refusal by chance.
    drop: f64,
    /// The state of the generator.
    ///
    /// Invariant: not 0, at which it would stay.
    random: u64,
}

impl Throttle {
    /// A throttle with a full bucket.
    pub fn new(options: ThrottleOptions, now: MonoUs, seed: u64) -> Throttle {
        let now_ms = millis(now);
        let tokens = options.tokens;
        Throttle {
            options,
            tokens,
            filled_ms: now_ms,
            changed_ms: now_ms,
            drop: 0.0,
            random: seed | 1,
        }
    }

    /// Whether a client may enter, with a new session or with an old one (`renewal`).
    // ZooKeeper: BlueThrottle.checkLimit. At least 1 ms more than `fill_ms` must have passed.
    pub fn admit(&mut self, now: MonoUs, renewal: bool) -> bool {
        if self.options.tokens == 0 {
            return true;
        }
        let now_ms = millis(now);
        let passed_ms = now_ms.saturating_sub(self.filled_ms);
        let fill_ms = self.options.fill_ms.max(1);
        if passed_ms > fill_ms {
            let filled = passed_ms.saturating_mul(self.options.fill_tokens) / fill_ms;
            self.tokens = self.tokens.saturating_add(filled).min(self.options.tokens);
            self.filled_ms = now_ms;
        }
        assert!(self.tokens <= self.options.tokens, "the bucket holds no more than its size");
        if let Some(freeze_ms) = self.options.freeze_ms
            && self.is_refused_by_chance(now_ms, freeze_ms)
        {
            return false;
        }
        let cost = match renewal {
            true => self.options.renewal_tokens,
            false => self.options.new_session_tokens,
        };
        match self.tokens.checked_sub(cost) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// The probability of a refusal by chance.
    pub fn drop_probability(&self) -> f64 {
        self.drop
    }

    // ZooKeeper: BlueThrottle.checkBlue.
    fn is_refused_by_chance(&mut self, now_ms: u64, freeze_ms: u64) -> bool {
        let missing = self.options.tokens - self.tokens;
        if now_ms.saturating_sub(self.changed_ms) > freeze_ms {
            if self.tokens == 0 {
                self.drop = (self.drop + self.options.drop_increase).min(1.0);
            } else if missing as f64
                <= (self.options.tokens as f64 * self.options.decrease_ratio).round()
            {
                self.drop = (self.drop - self.options.drop_decrease).max(0.0);
            }
            self.changed_ms = now_ms;
        }
        self.random() < self.drop
    }

    /// A number from 0 to below 1 (xorshift64).
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        assert!(self.random != 0, "xorshift of a number other than 0 is never 0");
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn millis(at: MonoUs) -> u64 {
    at.0 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> MonoUs {
        MonoUs(ms * 1000)
    }

    fn admitted(throttle: &mut Throttle, ms: u64, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(throttle.admit(at_ms(ms), false))).sum()
    }

    #[test]
    fn without_a_bucket_everybody_enters() {
        let mut throttle = Throttle::new(ThrottleOptions::default(), at_ms(0), 1);
        assert_eq!(admitted(&mut throttle, 0, 1000), 1000);
    }

    #[test]
    fn a_bucket_lets_so_many_in_and_fills_with_time() {
        let options =
            ThrottleOptions { tokens: 5, fill_ms: 100, fill_tokens: 2, ..Default::default() };
        let mut throttle = Throttle::new(options, at_ms(1000), 1);
        assert_eq!(admitted(&mut throttle, 1000, 9), 5);
        // Filled when more than the time has passed, and by what has passed, rounded down.
        assert_eq!(admitted(&mut throttle, 1100, 9), 0);
        assert_eq!(admitted(&mut throttle, 1101, 9), 2);
        assert_eq!(admitted(&mut throttle, 1270, 9), 3);
        assert_eq!(admitted(&mut throttle, 99_000, 9), 5, "never more than it holds");
    }

    #[test]
    fn weights_are_what_an_entry_costs() {
        let options = ThrottleOptions {
            tokens: 8,
            fill_ms: 1000,
            new_session_tokens: 3,
            renewal_tokens: 2,
            ..Default::default()
        };
        let mut throttle = Throttle::new(options, at_ms(0), 1);
        let entries =
            [false, false, false, true, true].map(|renewal| throttle.admit(at_ms(0), renewal));
        assert_eq!(entries, [true, true, false, true, false]);
    }

    #[test]
    fn an_empty_bucket_makes_refusals_likelier_and_a_full_one_rarer() {
        let options = ThrottleOptions {
            tokens: 2,
            fill_ms: 10_000,
            freeze_ms: Some(10),
            drop_increase: 0.5,
            drop_decrease: 0.25,
            ..Default::default()
        };
        let mut throttle = Throttle::new(options, at_ms(0), 1);
        assert_eq!(admitted(&mut throttle, 0, 3), 2);
        assert_eq!(throttle.drop, 0.0);
        for (ms, drop) in [(10, 0.0), (11, 0.5), (21, 0.5), (22, 1.0), (40, 1.0)] {
            assert!(!throttle.admit(at_ms(ms), false));
            assert_eq!(throttle.drop, drop, "at {ms} ms");
        }
        // Full again: a step down each time, until somebody is let in.
        throttle.admit(at_ms(20_000), false);
        assert_eq!(throttle.drop, 0.75);
        for ms in [60_000, 100_000, 140_000] {
            throttle.admit(at_ms(ms), false);
        }
        assert_eq!(throttle.drop, 0.0);
        assert!(throttle.admit(at_ms(180_000), false));
    }

    #[test]
    fn half_a_chance_refuses_about_half() {
        let options =
            ThrottleOptions { tokens: 1_000_000, freeze_ms: Some(1_000_000), ..Default::default() };
        let mut throttle = Throttle::new(options, at_ms(0), 7);
        throttle.drop = 0.5;
        let count = admitted(&mut throttle, 0, 10_000);
        assert!((4700..5300).contains(&count), "{count}");
    }
}
