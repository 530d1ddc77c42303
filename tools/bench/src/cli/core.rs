//! `ringkeeper-bench core`: what ringkeeper's core does on one processor core when nothing is around it.

use std::time::Duration;

use clap::builder::PossibleValuesParser;

use crate::cli::places::{Judgement, Results, conclude};
use crate::header;
use crate::in_process::{Core, KINDS, Kind, per_second};
use crate::pieces::PIECES;
use crate::progress::Narrator;
use crate::result::{CoreRow, Line};

/// Measures the replica of ringkeeper as it is built into this program: requests in, answers out, by
/// the processor time of one thread. No sockets, no disk, no load generator beside it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How often each kind of request has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds for each kind of request in each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only this kind of request, such as `getData`; may be given more than once. A goal that needs another is
    /// not judged.
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS.map(|kind| kind.name)))]
    only: Vec<String>,
    /// Measure the longest pieces of work instead: how long everybody waits while the core does one thing.
    #[arg(long, conflicts_with_all = ["only", "seconds"])]
    pieces: bool,
    #[command(flatten)]
    results: Results,
    #[command(flatten)]
    judgement: Judgement,
}

/// Measures each kind of request, or the longest pieces of work, and prints the results.
///
/// # Errors
/// A file cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { rounds, seconds, only, pieces, results, judgement } = arguments;
    if *pieces {
        measure_pieces(*rounds);
        return Ok(());
    }
    let is_chosen = |kind: &&Kind| only.is_empty() || only.iter().any(|name| name == kind.name);
    let goals = judgement.goals()?;
    let time =
        Duration::try_from_secs_f64(*seconds).map_err(|error| format!("--seconds: {error}"))?;
    let mut output = results.output()?;
    let header = header::collect(std::path::Path::new("."), *seconds, *rounds);
    output.keep(Line::Run(header))?;
    let mut narrator = Narrator::default();
    for round in 1..=*rounds {
        let mut core = Core::new();
        narrator.say(&format!("round {round}"));
        for kind in KINDS.iter().filter(is_chosen) {
            let per_second = per_second(&mut core, kind, time);
            let line = Line::Core(CoreRow { round, request: kind.name.to_owned(), per_second });
            narrator.tell(&line);
            output.keep(line)?;
        }
    }
    conclude(&goals, &mut output)
}

/// Prints the median and the longest of the rounds.
fn measure_pieces(rounds: u32) {
    println!("{:<40} {:>10} {:>10}", "one piece of work, ms", "median", "longest");
    for piece in &PIECES {
        let mut took: Vec<_> = (0..rounds.max(1)).map(|_| piece.longest()).collect();
        took.sort_unstable();
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
        println!("{:<40} {:>10.2} {:>10.2}", piece.name, ms(median), ms(longest));
    }
}
