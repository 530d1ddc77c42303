//! The only source of random choices: numbers that follow from the seed.

/// A stream of numbers that look random (SplitMix64). Equal seeds give equal streams.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// The odd constant of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Rng {
        let mut rng = Rng(seed ^ 0x5851_f42d_4c95_7f2d);
        rng.word();
        rng
    }

    /// A separate stream for one part of the simulation, so that the draws of one part do not shift those of the
    /// others.
    pub fn fork(&mut self) -> Rng {
        Rng::new(self.word())
    }

    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 up to `end`, excluded; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of a product is unbiased enough, and needs no division.
        let product = u128::from(self.word()) * u128::from(end);
        u64::try_from(product >> 64).expect("the high half of 128 bits")
    }

    /// A number from `low` up to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// An index into something with `length` entries, at least one.
    pub fn index(&mut self, length: usize) -> usize {
        assert!(length > 0, "one of none");
        usize::try_from(self.below(length as u64)).expect("below a usize")
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// True once in `times` on average; never for 0.
    pub fn one_in(&mut self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }

    /// True `rate` times in a thousand on average.
    pub fn per_mille(&mut self, rate: u64) -> bool {
        self.below(1000) < rate
    }

    /// A waiting time with this mean, whose end is equally likely at any moment (exponential), and at most ten times
    /// the mean.
    pub fn waiting(&mut self, mean: u64) -> u64 {
        // -ln(u), by halvings: the number of halvings, and a straight line between two of them.
        let word = self.word();
        let halvings = u64::from(word.leading_zeros());
        let rest = (word << halvings) << 1 >> 54;
        // ln 2 in 1/1024: 710.
        let logarithm = (halvings * 710 + 710 - rest * 710 / 1024).min(10 * 1024);
        mean.saturating_mul(logarithm) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_streams_and_others_do_not() {
        let numbers = |seed| {
            let mut rng = Rng::new(seed);
            (0..8).map(|_| rng.word()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn waiting_times_have_their_mean() {
        let mut rng = Rng::new(7);
        let sum: u64 = (0..20_000).map(|_| rng.waiting(1000)).sum();
        assert!((900..1100).contains(&(sum / 20_000)), "{}", sum / 20_000);
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut rng = Rng::new(3);
        let drawn: Vec<u64> = (0..1000).map(|_| rng.between(2, 4)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max(), rng.below(0)), (Some(&2), Some(&4), 0));
    }
}
