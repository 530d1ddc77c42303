//! `ringkeeper-bench ab`: two commits of this project against each other.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::ab::{self, Built};
use crate::cli::narrator::Narrator;
use crate::cli::places::Places;
use crate::cli::selection::Selection;
use crate::compare::{self, Plan};
use crate::header;
use crate::peers::{Launch, Peer};
use crate::result::Line;
use crate::statistics::significance;
use crate::table;

/// Builds two commits, runs the same workloads on each in turn, and says which differences are
/// more than chance.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What it was: a revision as git knows it, or `.` for the working tree as it is.
    first: String,
    /// What it became.
    second: String,
    #[command(flatten)]
    selection: Selection,
    /// Pairs of turns. Fewer than six never show a difference: chance alone does as much once in
    /// sixteen times with five.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Seconds for each workload.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds of load on each program before its first workload.
    #[arg(long, default_value_t = 2.0)]
    warm_up_seconds: f64,
    /// Where the servers have their folders: on the disk to measure.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    places: Places,
}

/// Builds, compares, tests.
///
/// # Errors
/// A revision that does not exist or does not build, a workload that does not exist, or a server
/// that does not start.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { selection, places, .. } = arguments;
    if selection.is_empty() {
        return Err(
            "name workloads with --workloads or --group; `ringkeeper-bench list` shows them"
                .to_owned(),
        );
    }
    let mut workloads = selection.chosen(places.definitions.as_deref())?;
    for (definition, _) in &mut workloads {
        definition.seconds = arguments.seconds;
    }
    let warm_up = Duration::try_from_secs_f64(arguments.warm_up_seconds)
        .map_err(|error| format!("--warm-up-seconds: {error}"))?;
    let mut output = places.results.output()?;
    let mut tell = |text: &str| eprintln!("{text}");
    let first = ab::build(&arguments.first, &mut tell)?;
    let second = ab::build(&arguments.second, &mut tell)?;
    output.line(&Line::Run(header::collect(
        &arguments.folder,
        arguments.seconds,
        arguments.rounds,
    )))?;
    // The same commit twice shows what chance does, so the two need different names.
    let names = if first.commit == second.commit {
        (format!("{} (a)", first.commit), format!("{} (b)", second.commit))
    } else {
        (first.commit.clone(), second.commit.clone())
    };
    let launch = |built: &Built, name: &str| {
        let launch = Launch::find(Peer::Ringkeeper, &built.binary, "")?;
        Ok::<Launch, String>(launch.built_from(Some(name.to_owned())))
    };
    let plan = Plan {
        launches: vec![launch(&first, &names.0)?, launch(&second, &names.1)?],
        workloads,
        rounds: arguments.rounds,
        threads: selection.threads,
        warm_up,
        folder: arguments.folder.clone(),
    };
    let mut narrator = Narrator::new();
    let lines = compare::run(&plan, &mut output, &mut |news| narrator.tell(news))?;
    let differences = ab::differences(&lines, (&names.0, &names.1));
    for difference in &differences {
        output.line(&Line::Difference(difference.clone()))?;
    }
    println!("{}", table::differences(&differences));
    let pairs = usize::try_from(arguments.rounds).unwrap_or(usize::MAX).min(16);
    println!(
        "{} pairs; p cannot be below {:.4} with so many. A difference counts if its adjusted p is \
         below 0.05.",
        arguments.rounds,
        significance(&vec![2.0; pairs])
    );
    match narrator.missing() {
        0 => Ok(()),
        missing => Err(format!("{missing} rows are missing; the lines above say why")),
    }
}
