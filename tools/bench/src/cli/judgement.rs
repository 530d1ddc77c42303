//! What is to be reached, and whether it was.

use std::path::PathBuf;

use clap::Args;

use crate::goals::Goals;
use crate::output::Output;
use crate::result::Line;
use crate::table;

/// Arguments of commands that answer goals.
#[derive(Debug, Args)]
pub struct Judgement {
    /// The goals.
    #[arg(long, default_value = "benches/goals.toml")]
    goals: PathBuf,
}

impl Judgement {
    /// Reads the goals: before anything is measured, so that a mistake in the file costs no time.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn goals(&self) -> Result<Goals, String> {
        Goals::read(&self.goals)
    }
}

/// Holds results against the goals; writes and prints what comes of it.
///
/// # Errors
/// The results file cannot be written.
pub fn conclude(goals: &Goals, lines: &[Line], output: &mut Output) -> Result<(), String> {
    let judged = goals.judge(lines);
    judged.iter().try_for_each(|goal| output.line(&Line::Goal(goal.clone())))?;
    if !judged.is_empty() {
        println!("{}", table::goals(&judged));
    }
    Ok(())
}
