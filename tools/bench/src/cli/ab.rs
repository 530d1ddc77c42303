//! `ringkeeper-bench ab`: two commits of this project against each other.

use std::path::PathBuf;

use clap::Args;

use crate::ab::{self, Built};
use crate::cli::places::print_tables;
use crate::cli::turns::{Turns, Usual};
use crate::peers::{Launch, Peer};
use crate::result::Line;

/// Builds two commits, runs the same workloads on each in turn, and says which differences are
/// more than chance.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The earlier commit: a revision as git knows it, or `.` for the working tree with its changes.
    first: String,
    /// The later commit.
    second: String,
    #[command(flatten)]
    turns: Turns,
    /// Where the servers have their folders: on the disk to measure.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

/// Builds, compares, tests.
///
/// # Errors
/// A revision that does not exist or does not build, a workload that does not exist, or a server
/// that does not start.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { first, second, turns, folder } = arguments;
    if turns.selection.is_empty() {
        return Err(
            "name workloads with --workloads or --group; `ringkeeper-bench list` shows them"
                .to_owned(),
        );
    }
    let workloads = turns.selection.chosen(turns.places.definitions.as_deref())?;
    let mut output = turns.places.results.output()?;
    let first = ab::build(first)?;
    let second = ab::build(second)?;
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
    let launches = vec![launch(&first, &names.0)?, launch(&second, &names.1)?];
    let usual = Usual { rounds: 10, seconds: Some(3.0), warm_up_seconds: 2.0 };
    let narrator = turns.run(&usual, workloads, launches, folder, &mut output)?;
    for difference in ab::differences(output.lines(), (&names.0, &names.1)) {
        output.keep(Line::Difference(difference))?;
    }
    print_tables(&output);
    narrator.conclude()
}
