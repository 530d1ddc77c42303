//! What is told on the terminal while programs are compared: a line for each result, and below
//! them, if somebody watches, what is going on now.

use std::io::{self, IsTerminal, Write};

use crate::compare::News;
use crate::progress::{Display, duration_us, per_second, summary};
use crate::result::{Line, Row};

/// Writes to the standard error stream, so that the tables can be redirected alone.
pub struct Narrator {
    is_terminal: bool,
    /// The workload that is going on.
    display: Option<(String, Display)>,
    missing: usize,
}

impl Narrator {
    /// Looks whether somebody watches.
    pub fn new() -> Narrator {
        Narrator { is_terminal: io::stderr().is_terminal(), display: None, missing: 0 }
    }

    /// Tells.
    pub fn tell(&mut self, news: &News<'_>) {
        match news {
            News::Starting { program, servers, round } => {
                let what = if *servers == 1 { String::new() } else { format!(" × {servers}") };
                self.stay(&format!("round {round}: {program}{what}"));
            }
            News::Progress { title, progress } => {
                let display = match self.display.take() {
                    Some((of, display)) if of == *title => display,
                    Some(_) | None => Display::new(title),
                };
                let (_, display) = self.display.insert(((*title).to_owned(), display));
                display.show(progress);
            }
            News::Line(Line::Row(row)) => self.stay(&describe(row)),
            News::Line(Line::Floor(floor)) => self.stay(&format!(
                "round {}: floor: 4 KiB write p50 {}, round trip p50 {}, a server that only answers {}/s",
                floor.round,
                duration_us(floor.dsync_write.p50_us),
                duration_us(floor.null_round_trip.p50_us),
                per_second(floor.null_ops_per_second)
            )),
            News::Line(_) => {}
            News::Unsuitable { program, title, why } => {
                self.stay(&format!("  {title}: not for {program}: {why}"));
            }
            News::Missing { program, title, why } => {
                self.missing += 1;
                self.stay(&format!("  {title}: {program} FAILED: {why}"));
            }
        }
    }

    /// How many turns at a workload failed.
    pub fn missing(&self) -> usize {
        self.missing
    }

    fn stay(&mut self, text: &str) {
        if let Some((_, display)) = self.display.take() {
            display.end();
        }
        if self.is_terminal {
            // What a display may have left.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        // Whoever closed the stream does not want to be told.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn describe(row: &Row) -> String {
    let step = match &row.step {
        Some((parameter, value)) => format!(", {parameter} {value}"),
        None => String::new(),
    };
    let doubt =
        if row.measured.generator_busy > 0.9 { "   the generator had no more to give" } else { "" };
    let lost = match row.measured.sessions_lost {
        0 => String::new(),
        lost => format!("   {lost} sessions lost"),
    };
    let title = format!("{}{step}", row.title);
    format!("  {title:<34}{}{lost}{doubt}", summary(&row.measured.all))
}
