//! Medians, spread and significance of a handful of noisy figures.
//!
//! These functions are not for latencies of single requests, of which there are millions: histograms hold those.
//! Here a figure is the outcome of one turn, and there are three to twenty figures. Turns come in pairs that saw the
//! same minutes of the machine, so the ratio within each pair counts.

/// A significance test tries every assignment of signs up to this many pairs, and a random sample of them beyond.
const PAIRS_EXACT_MAX: usize = 16;
const SAMPLES: u32 = 100_000;

/// The middle value, or the mean of the two middle values if their number is even.
///
/// # Panics
/// If there are no values.
pub fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "a median of nothing");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The smallest and the largest value.
///
/// # Panics
/// If there are no values.
pub fn range(values: &[f64]) -> (f64, f64) {
    assert!(!values.is_empty(), "a range of nothing");
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(*value), high.max(*value))
    })
}

/// The probability that pairs of equal programs differ as much as these do, in either direction.
///
/// The permutation test of paired samples: if both sides of a pair come from the same distribution, each logarithm
/// of a ratio could as well have the other sign. The result is the fraction of all assignments of signs whose sum is
/// at least as far from zero as the observed one. The test assumes nothing about the distribution. With n pairs, the
/// result cannot be below 2^(1-n): a result below 0.05 needs at least six pairs.
///
/// Ratios are of positive figures; 1.0 means no difference. No pairs: 1.0.
pub fn significance(ratios: &[f64]) -> f64 {
    let logarithms: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let observed: f64 = logarithms.iter().sum();
    // Rounding changes the last bits of sums of the same figures with other signs.
    let limit = observed.abs() * (1.0 - 1e-12);
    let is_extreme = |signs: u64| {
        let signed = logarithms.iter().enumerate();
        let sum: f64 = signed.map(|(at, x)| if signs >> at & 1 == 1 { *x } else { -*x }).sum();
        sum.abs() >= limit
    };
    if logarithms.len() <= PAIRS_EXACT_MAX {
        let all = 1_u32 << logarithms.len();
        let extreme = (0..all).filter(|signs| is_extreme(u64::from(*signs))).count();
        return f64::from(u32::try_from(extreme).expect("at most all")) / f64::from(all);
    }
    // The seed is fixed, so that the same figures give the same answer. The observed assignment is one of those
    // counted, so that the answer is never zero.
    let mut random = fastrand::Rng::with_seed(1);
    let extreme = (0..SAMPLES).filter(|_| is_extreme(random.u64(..))).count();
    f64::from(u32::try_from(extreme + 1).expect("few samples")) / f64::from(SAMPLES + 1)
}

/// Corrects the probabilities of several tests that are made at once (Holm's method), in the order given. Twenty
/// rows of two equal programs would otherwise show one "difference" at 0.05.
pub fn adjusted(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    let mut adjusted = vec![1.0; probabilities.len()];
    let mut largest = 0.0_f64;
    for (rank, at) in order.iter().enumerate() {
        let left = u32::try_from(probabilities.len() - rank).expect("few rows");
        largest = largest.max((probabilities[*at] * f64::from(left)).min(1.0));
        adjusted[*at] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ranges_do_not_depend_on_the_order() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(range(&[4.0, 1.0, 2.0]), (1.0, 4.0));
    }

    #[test]
    fn pairs_that_all_say_the_same_are_as_significant_as_their_number_allows() {
        for pairs in 1..=10_u32 {
            let ratios: Vec<f64> = (0..pairs).map(|pair| 1.5 + f64::from(pair) / 100.0).collect();
            let expected = 2.0 / f64::from(1_u32 << pairs);
            assert_eq!(significance(&ratios), expected, "{pairs} pairs");
            let other_way: Vec<f64> = ratios.iter().map(|ratio| 1.0 / ratio).collect();
            assert_eq!(significance(&other_way), expected, "{pairs} pairs the other way");
        }
    }

    #[test]
    fn equal_or_balanced_pairs_are_no_difference() {
        assert_eq!(significance(&[]), 1.0);
        assert_eq!(significance(&[1.0; 8]), 1.0);
        assert_eq!(significance(&[2.0, 0.5, 2.0, 0.5, 2.0, 0.5]), 1.0);
    }

    #[test]
    fn many_pairs_are_sampled_and_agree_with_the_exact_answer() {
        // Sixteen pairs exactly, and the same with a seventeenth that says nothing.
        let mut ratios: Vec<f64> =
            (0..16_u32).map(|pair| if pair % 4 == 0 { 0.95 } else { 1.03 }).collect();
        let exact = significance(&ratios);
        ratios.push(1.0);
        let sampled = significance(&ratios);
        assert!((exact - sampled).abs() < 0.01, "{exact} and {sampled}");
    }

    #[test]
    fn several_tests_at_once_must_each_be_surer() {
        assert_eq!(adjusted(&[0.01, 0.5, 0.02]), [0.03, 0.5, 0.04]);
        assert_eq!(adjusted(&[0.4, 0.5]), [0.8, 0.8]);
        assert_eq!(adjusted(&[]), Vec::<f64>::new());
    }
}
