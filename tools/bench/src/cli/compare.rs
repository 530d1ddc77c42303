//! `ringkeeper-bench compare`: ringkeeper and its peers side by side.

use clap::Args;

use crate::cli::places::{Judgement, conclude};
use crate::cli::programs::Programs;
use crate::cli::turns::{Turns, Usual};

/// Starts ringkeeper and its peers in turn on fresh folders, runs the same workloads on each (those
/// of the goals, if neither --workloads nor --group is given), and says how they compare and which
/// goals are met.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    turns: Turns,
    #[command(flatten)]
    programs: Programs,
    #[command(flatten)]
    judgement: Judgement,
}

/// Compares the programs, with the workloads of the goals if none is named.
///
/// # Errors
/// Nothing to compare, a program that is missing or does not start, or a file that cannot be read
/// or written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { turns, programs, judgement } = arguments;
    let goals = judgement.goals()?;
    let (selection, definitions) = (&turns.selection, turns.places.definitions.as_deref());
    let workloads = if selection.is_empty() {
        selection.chosen_of(definitions, &goals.workloads())?
    } else {
        selection.chosen(definitions)?
    };
    let launches = programs.launches()?;
    let mut output = turns.places.results.output()?;
    let usual = Usual { rounds: 3, seconds: None, warm_up_seconds: 15.0 };
    let narrator = turns.run(&usual, workloads, launches, &programs.folder, &mut output)?;
    conclude(&goals, &mut output)?;
    narrator.conclude()
}
