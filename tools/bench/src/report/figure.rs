//! A figure of several rounds: its median, and how far the rounds lie apart. Never a mean.

use crate::statistics;

/// The median of some rounds, with the least and the most of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The middle round; of an even number, half-way between the two in the middle.
    pub median: f64,
    /// The lowest round.
    pub least: f64,
    /// The highest round.
    pub most: f64,
}

impl Figure {
    /// The figure of these rounds, or `None` if no round gave a finite number.
    pub fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Figure> {
        let rounds: Vec<f64> = rounds.into_iter().filter(|value| value.is_finite()).collect();
        if rounds.is_empty() {
            return None;
        }
        let (least, most) = statistics::range(&rounds);
        let median = statistics::median(&rounds);
        Some(Figure { median, least, most })
    }

    /// The figure in another unit.
    pub fn scaled(self, factor: f64) -> Figure {
        Figure {
            median: self.median * factor,
            least: self.least * factor,
            most: self.most * factor,
        }
    }

    /// How far the rounds lie apart, as a part of the median; 0 for one round.
    pub fn spread(self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.most - self.least) / self.median.abs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_round_counts_and_the_outer_ones_are_kept() {
        let figure = Figure::of([9.0, 1.0, 4.0]).unwrap();
        assert_eq!(figure, Figure { median: 4.0, least: 1.0, most: 9.0 });
        assert_eq!(figure.spread(), 2.0);
        assert_eq!(Figure::of([1.0, 2.0, 4.0, 100.0]).unwrap().median, 3.0);
        assert_eq!(Figure::of([5.0]).unwrap().spread(), 0.0);
    }

    #[test]
    fn what_is_no_number_is_no_round() {
        assert_eq!(Figure::of([f64::NAN, f64::INFINITY]), None);
        assert_eq!(Figure::of([f64::NAN, 3.0]).unwrap().median, 3.0);
    }
}
