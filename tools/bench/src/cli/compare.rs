//! `ringkeeper-bench compare`: ringkeeper and its peers side by side.

use std::time::Duration;

use clap::Args;

use crate::cli::judgement::{Judgement, conclude};
use crate::cli::narrator::Narrator;
use crate::cli::places::Places;
use crate::cli::programs::Programs;
use crate::cli::selection::Selection;
use crate::compare::{self, Plan};
use crate::header;
use crate::result::Line;
use crate::table;

/// Starts ringkeeper and its peers in turn on fresh folders, runs the same workloads on each (those
/// of the goals, if neither --workloads nor --group is given), and says how they compare and which
/// goals are met.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// How often each program has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds for each workload instead of what it says itself.
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds of load on each program before its first workload, for Java's compiler.
    #[arg(long, default_value_t = 15.0)]
    warm_up_seconds: f64,
    #[command(flatten)]
    programs: Programs,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    judgement: Judgement,
}

/// Compares; the workloads of the goals if none is named.
///
/// # Errors
/// Nothing to compare, a program that is missing or does not start, or a file that cannot be read
/// or written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { selection, rounds, seconds, programs, places, .. } = arguments;
    let goals = arguments.judgement.goals()?;
    let mut workloads = if selection.is_empty() {
        selection.chosen_of(places.definitions.as_deref(), &goals.workloads())?
    } else {
        selection.chosen(places.definitions.as_deref())?
    };
    for (definition, _) in &mut workloads {
        definition.seconds = seconds.unwrap_or(definition.seconds);
    }
    if *rounds == 0 {
        return Err("--rounds must be at least 1".to_owned());
    }
    let warm_up = Duration::try_from_secs_f64(arguments.warm_up_seconds)
        .map_err(|error| format!("--warm-up-seconds: {error}"))?;
    let launches = programs.launches()?;
    let mut output = places.results.output()?;
    let longest = workloads.iter().map(|(definition, _)| definition.seconds).fold(0.0, f64::max);
    output.line(&Line::Run(header::collect(&programs.folder, longest, *rounds)))?;
    let plan = Plan {
        launches,
        workloads,
        rounds: *rounds,
        threads: selection.threads,
        warm_up,
        folder: programs.folder.clone(),
    };
    let mut narrator = Narrator::new();
    let lines = compare::run(&plan, &mut output, &mut |news| narrator.tell(news))?;
    println!("{}", table::rows(&lines, "zookeeper 3.9"));
    conclude(&goals, &lines, &mut output)?;
    match narrator.missing() {
        0 => Ok(()),
        missing => Err(format!("{missing} rows are missing; the lines above say why")),
    }
}
