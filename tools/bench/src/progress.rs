//! The words that a person sees during a measurement: a line for each result, which stays, and below them, in a
//! terminal, one line that is written anew with each slice.
//!
//! All words go to standard error, so that the tables alone can be redirected.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{Phase, Progress};
use crate::report::words;
use crate::result::{Line, OpResult, float};

/// How often the moving line is written anew without news, so that its clock goes on.
const TICK: Duration = Duration::from_millis(500);
const STEPS: u64 = 1000;

/// Tells a person how the measurement goes.
#[derive(Debug, Default)]
pub struct Narrator {
    /// The present work, and its moving line.
    moving: Option<(String, ProgressBar)>,
    missing: usize,
}

impl Narrator {
    /// Shows how far something is.
    pub fn show(&mut self, what: &str, progress: &Progress) {
        let bar = match self.moving.take() {
            Some((of, bar)) if of == what => bar,
            Some(_) | None => moving_line(what),
        };
        let phase = match progress.phase {
            Phase::Preparing => "preparing",
            Phase::WarmingUp => "warming up",
            Phase::Measuring => "measuring",
            Phase::CleaningUp => "cleaning up",
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        let done = (progress.done * 1000.0) as u64;
        bar.set_position(done.min(STEPS));
        let slice = progress.slice.map(|slice| {
            let rate = words::count(progress.per_second);
            format!("  {rate}/s  p99 {}{}", words::micros(slice.p99_us), errors(slice.errors))
        });
        bar.set_message(format!("{phase}{}", slice.unwrap_or_default()));
        self.moving = Some((what.to_owned(), bar));
    }

    /// Prints a text in place of the moving line.
    pub fn say(&mut self, text: &str) {
        self.end();
        eprintln!("{text}");
    }

    /// Prints a result in words.
    pub fn tell(&mut self, line: &Line) {
        if let Some(text) = in_words(line) {
            self.say(&text);
        }
    }

    /// Prints that a measurement failed, and counts it.
    pub fn miss(&mut self, what: &str, program: &str, why: &str) {
        self.missing += 1;
        self.say(&format!("  {what}: {program} FAILED: {why}"));
    }

    /// Ends the moving line.
    ///
    /// # Errors
    /// Something could not be measured.
    pub fn conclude(mut self) -> Result<(), String> {
        self.end();
        match self.missing {
            0 => Ok(()),
            missing => Err(format!("{missing} rows are missing; the lines above say why")),
        }
    }

    /// Removes the moving line.
    pub fn end(&mut self) {
        if let Some((_, bar)) = self.moving.take() {
            bar.finish_and_clear();
        }
    }
}

fn moving_line(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(STEPS);
    let style = ProgressStyle::with_template("{prefix}  {bar:20} {elapsed:>4}  {wide_msg}")
        .expect("a template without mistakes");
    bar.set_style(style);
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(TICK);
    bar
}

/// A line of results in words, or `None` if it says nothing new.
fn in_words(line: &Line) -> Option<String> {
    Some(match line {
        Line::Row(row) => {
            let step = row.step.as_ref().map(|(parameter, value)| format!(", {parameter} {value}"));
            let title = format!("{}{}", row.title, step.unwrap_or_default());
            let measured = &row.measured;
            let lost = match measured.sessions_lost {
                0 => String::new(),
                lost => format!("   {lost} sessions lost"),
            };
            let busy = if measured.generator_busy > 0.9 {
                format!(
                    "   the generator was busy for {:.0} % of the time: these may be its own limits",
                    measured.generator_busy * 100.0
                )
            } else {
                String::new()
            };
            format!("  {title:<34}{}{lost}{busy}", summary(&measured.all))
        }
        Line::Floor(floor) => format!(
            "round {}: floor: 4 KiB write p50 {}, round trip p50 {}, a server that only answers {}/s",
            floor.round,
            words::micros(floor.dsync_write.p50_us),
            words::micros(floor.null_round_trip.p50_us),
            words::count(floor.null_ops_per_second)
        ),
        Line::Failures(timeline) => {
            let events =
                timeline.events.iter().map(|(at, event)| format!("\n  {at:6.2} s  {event}"));
            let title = format!("{} × {}: {}", timeline.program, timeline.servers, timeline.title);
            title + &events.collect::<String>()
        }
        Line::Elapsed(elapsed) => {
            let took = words::seconds(elapsed.seconds);
            format!("{}: {}: {took}", elapsed.program, elapsed.what)
        }
        Line::Memory(row) => format!(
            "{}: {} × {}: {} each, resident {} to {}",
            row.program,
            row.count,
            row.what,
            words::bytes_each(row.bytes_each),
            words::bytes(float(row.resident_bytes_before)),
            words::bytes(float(row.resident_bytes))
        ),
        Line::Core(row) => format!("  {:<24} {:>12.0}/s", row.request, row.per_second),
        Line::Run(_) | Line::Difference(_) | Line::Goal(_) => return None,
    })
}

/// One line about an operation.
pub fn summary(result: &OpResult) -> String {
    let of = &result.percentiles;
    let [p50, p99, p99_9, p99_99, max] =
        [of.p50_us, of.p99_us, of.p99_9_us, of.p99_99_us, of.max_us].map(words::micros);
    format!(
        "{:>8}/s   p50 {p50:>7}  p99 {p99:>7}  p99.9 {p99_9:>7}  p99.99 {p99_99:>7}  max {max:>7}{}",
        words::count(result.per_second),
        errors(result.errors),
    )
}

fn errors(count: u64) -> String {
    if count == 0 { String::new() } else { format!("   {count} errors") }
}
