//! Axes: the position of a value on an axis, and the axis's ticks. The crate plotters draws; it sees only positions
//! on a straight line, so that a scale of nines is as simple as any other.

use super::super::words;

/// The way in which values become positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Values are positions.
    Linear,
    /// Positions are decimal logarithms. Values that are not above zero lie at the position of `floor`, so `floor`
    /// must be below every other value.
    Log {
        /// The value at whose place zero is drawn.
        floor: f64,
    },
    /// The position of a quantile is its number of nines: 0.9 lies at one, 0.999 at three. A quantile of 1 is drawn
    /// at `last`: the nines that the number of samples can show.
    Nines {
        /// Where the largest sample is drawn, in nines.
        last: f64,
    },
}

/// The unit of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Counts and rates.
    Count,
    /// Times, in microseconds.
    Micros,
    /// Sizes, in bytes.
    Bytes,
    /// Times on a clock, in seconds.
    Seconds,
}

/// One axis of a chart.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What is shown along it, with its unit if the ticks do not name it.
    pub title: String,
    /// How values become positions.
    pub scale: Scale,
    /// First and last position (not value).
    pub span: (f64, f64),
    /// Positions with a label, ascending.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis from zero to the largest of `values`, with round ticks.
    pub fn linear(title: &str, unit: Unit, values: impl IntoIterator<Item = f64>) -> Axis {
        let largest = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let step = match unit {
            // Sizes are round in powers of two.
            Unit::Bytes => 2_f64.powf((largest / 5.0).log2().ceil()),
            Unit::Count | Unit::Micros | Unit::Seconds => round_above(largest / 5.0),
        };
        // An axis of time ends at the last value; any other axis gets room up to the next tick.
        let (last, end) = match unit {
            Unit::Seconds => ((largest / step).floor(), largest),
            Unit::Count | Unit::Micros | Unit::Bytes => {
                let last = (largest / step).ceil();
                (last, last * step)
            }
        };
        let ticks = steps(last).map(|at| (at * step, label(unit, at * step))).collect();
        Axis { title: title.to_owned(), scale: Scale::Linear, span: (0.0, end), ticks }
    }

    /// An axis from a round number below `values` to one above, with ticks at decades. Zeroes among the values lie a
    /// decade below the smallest other value.
    pub fn log(title: &str, unit: Unit, values: impl IntoIterator<Item = f64>) -> Axis {
        let (mut smallest, mut largest, mut zero) = (f64::INFINITY, 0.0_f64, false);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            if value > 0.0 {
                smallest = smallest.min(value);
                largest = largest.max(value);
            } else {
                zero = true;
            }
        }
        if largest == 0.0 {
            (smallest, largest) = (1.0, 10.0);
        }
        let first = round_below(smallest).log10();
        let last = round_above(largest).log10().max(first + 0.5);
        let begin = if zero { first.floor() - 1.0 } else { first };
        let mut ticks = Vec::new();
        if zero {
            ticks.push((begin, "0".to_owned()));
        }
        // Two or fewer decades would have too few ticks.
        let between: &[f64] = if last - first <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        for decade in steps(last.floor() - first.floor()).map(|at| first.floor() + at) {
            for factor in between {
                let position = decade + factor.log10();
                if (first - 1e-9..=last + 1e-9).contains(&position) {
                    ticks.push((position, label(unit, factor * 10_f64.powf(decade))));
                }
            }
        }
        let scale = Scale::Log { floor: 10_f64.powf(begin) };
        Axis { title: title.to_owned(), scale, span: (begin, last), ticks }
    }

    /// A logarithmic axis for the steps of a ladder, with a tick at each of `steps` and nowhere else.
    pub fn ladder(parameter: &str, steps: &[f64]) -> Axis {
        let unit = if parameter.ends_with("bytes") { Unit::Bytes } else { Unit::Count };
        let linear = ["read_percent", "servers"].contains(&parameter);
        let title = words::parameter(parameter);
        let mut axis = if linear {
            Axis::linear(&title, unit, steps.iter().copied())
        } else {
            Axis::log(&title, unit, steps.iter().copied())
        };
        axis.ticks =
            steps.iter().map(|step| (axis.place(*step), words::step(parameter, *step))).collect();
        let (first, last) = match (axis.ticks.first(), axis.ticks.last()) {
            (Some(first), Some(last)) => (first.0, last.0),
            _ => axis.span,
        };
        // The axis has room beside the first and last step, so that their points are whole.
        let room = ((last - first) * 0.03).max(0.05);
        axis.span = (first - room, last + room);
        axis
    }

    /// An axis of percentiles, up to the largest of `samples` samples.
    pub fn nines(samples: u64) -> Axis {
        #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
        let last = (samples.max(10) as f64).log10();
        let mut ticks = vec![(nines(0.5), "50 %".to_owned())];
        for count in steps(last).skip(1) {
            ticks.push((count, words::quantile(1.0 - 10_f64.powf(-count))));
        }
        let title = "percentile of the requests".to_owned();
        Axis { title, scale: Scale::Nines { last }, span: (0.0, last), ticks }
    }

    /// The position of a value; within `span` for every value that the axis was made for.
    pub fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log { floor } => value.max(floor).log10(),
            Scale::Nines { last } if value >= 1.0 => last,
            Scale::Nines { last } => nines(value).min(last),
        }
    }

    /// The label of a tick at this position; empty between them.
    pub(super) fn label_at(&self, position: f64) -> String {
        let tick = self.ticks.iter().find(|(at, _)| (at - position).abs() < 1e-9);
        tick.map_or_else(String::new, |(_, label)| label.clone())
    }
}

/// How many nines a quantile below 1 has.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile.clamp(0.0, 1.0 - 1e-15)).log10()
}

/// 0, 1, 2, … up to `last`.
fn steps(last: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(0.0), |at| Some(at + 1.0)).take_while(move |at| *at <= last + 1e-9)
}

/// The nearest of 1, 2 and 5 times a power of ten that is not below `value`.
fn round_above(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let factor = value / decade;
    let round = [1.0, 2.0, 5.0].into_iter().find(|round| factor <= round + 1e-9).unwrap_or(10.0);
    round * decade
}

/// The nearest of 1, 2 and 5 times a power of ten that is not above `value`.
fn round_below(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let factor = value / decade;
    let round = [5.0, 2.0, 1.0].into_iter().find(|round| factor >= round - 1e-9).unwrap_or(1.0);
    round * decade
}

fn label(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count => words::count(value),
        Unit::Micros => words::micros(value),
        Unit::Bytes => words::bytes(value),
        Unit::Seconds => format!("{} s", (value * 100.0).round() / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| &label[..]).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_at_a_round_number_above_all_values() {
        let axis = Axis::linear("rate", Unit::Count, [40.0, 61_502.0]);
        assert_eq!(labels(&axis), ["0", "20 k", "40 k", "60 k", "80 k"]);
        assert_eq!(axis.span, (0.0, 80_000.0));
        assert_eq!(axis.place(61_502.0), 61_502.0);
    }

    #[test]
    fn an_axis_without_a_value_is_still_one() {
        assert_eq!(labels(&Axis::linear("rate", Unit::Count, [])).len(), 6);
        assert_eq!(labels(&Axis::log("time", Unit::Micros, [])), ["1 µs", "2 µs", "5 µs", "10 µs"]);
    }

    #[test]
    fn zero_has_a_place_below_the_smallest_decade_of_a_logarithmic_axis() {
        let axis = Axis::log("watches", Unit::Count, [0.0, 1000.0, 1e6]);
        assert_eq!(labels(&axis), ["0", "1 000", "10 k", "100 k", "1 M"]);
        assert_eq!([axis.place(0.0), axis.place(1000.0), axis.place(1e6)], [2.0, 3.0, 6.0]);
    }

    #[test]
    fn each_nine_of_a_percentile_takes_the_same_room() {
        let axis = Axis::nines(1_000_000);
        assert_eq!(
            labels(&axis),
            ["50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"]
        );
        assert!((axis.place(0.999) - 3.0).abs() < 1e-9);
        assert_eq!(axis.place(1.0), 6.0);
        assert_eq!(axis.place(0.0), 0.0);
    }

    #[test]
    fn a_ladder_is_labelled_at_its_steps() {
        let axis = Axis::ladder("value_bytes", &[0.0, 100.0, 1024.0, 65_536.0, 1_048_576.0]);
        assert_eq!(labels(&axis), ["0 B", "100 B", "1 KiB", "64 KiB", "1 MiB"]);
        let axis = Axis::ladder("read_percent", &[0.0, 50.0, 100.0]);
        assert_eq!(labels(&axis), ["0 %", "50 %", "100 %"]);
        assert_eq!(axis.place(50.0), 50.0);
    }
}
