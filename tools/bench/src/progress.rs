//! What a person sees while something is measured: one line in the terminal, written anew with each
//! slice. Where the output is no terminal, nothing; the results are told by whoever measures.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{Phase, Progress};
use crate::result::OpResult;

/// How often a line is written anew although nothing was heard, so that its clock goes on.
const TICK: Duration = Duration::from_millis(500);
const STEPS: u64 = 1000;

/// The line of one run.
pub struct Display {
    bar: ProgressBar,
}

impl Display {
    /// Begins a line for what is being run.
    pub fn new(what: &str) -> Display {
        let bar = ProgressBar::new(STEPS);
        let style = ProgressStyle::with_template("{prefix}  {bar:20} {elapsed:>4}  {wide_msg}")
            .expect("a template without mistakes");
        bar.set_style(style);
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(TICK);
        Display { bar }
    }

    /// Shows how far it is.
    pub fn show(&mut self, progress: &Progress) {
        let phase = match progress.phase {
            Phase::Preparing => "preparing",
            Phase::WarmingUp => "warming up",
            Phase::Measuring => "measuring",
            Phase::CleaningUp => "cleaning up",
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        let done = (progress.done * 1000.0) as u64;
        self.bar.set_position(done.min(STEPS));
        let rate = progress.slice.map(|slice| {
            let errors = match slice.errors {
                0 => String::new(),
                errors => format!("  {errors} errors"),
            };
            let rate = per_second(progress.per_second);
            format!("  {rate}/s  p99 {}{errors}", duration_us(slice.p99_us))
        });
        self.bar.set_message(format!("{phase}{}", rate.unwrap_or_default()));
    }

    /// Removes the line.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

/// One line about an operation.
pub fn summary(result: &OpResult) -> String {
    let errors = match result.errors {
        0 => String::new(),
        errors => format!("   {errors} errors"),
    };
    let of = &result.percentiles;
    format!(
        "{:>8}/s   p50 {:>7}  p99 {:>7}  p99.9 {:>7}  p99.99 {:>7}  max {:>7}{errors}",
        per_second(result.per_second),
        duration_us(of.p50_us),
        duration_us(of.p99_us),
        duration_us(of.p99_9_us),
        duration_us(of.p99_99_us),
        duration_us(of.max_us),
    )
}

/// A rate with three digits.
pub fn per_second(rate: f64) -> String {
    match rate {
        rate if rate < 1000.0 => format!("{rate:.0}"),
        rate if rate < 10_000.0 => format!("{:.2} k", rate / 1e3),
        rate if rate < 100_000.0 => format!("{:.1} k", rate / 1e3),
        rate if rate < 1e6 => format!("{:.0} k", rate / 1e3),
        rate => format!("{:.2} M", rate / 1e6),
    }
}

/// A latency with three digits.
pub fn duration_us(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 => format!("{:.2} ms", us / 1e3),
        us if us < 100_000.0 => format!("{:.1} ms", us / 1e3),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_with_about_three_digits() {
        assert_eq!(per_second(2_345_678.0), "2.35 M");
        assert_eq!(per_second(59_049.0), "59.0 k");
        assert_eq!(per_second(12.3), "12");
        assert_eq!(duration_us(71.3), "71 µs");
        assert_eq!(duration_us(1830.0), "1.83 ms");
        assert_eq!(duration_us(2_400_000.0), "2.4 s");
    }
}
