//! Where a command finds its workloads and goals, and leaves its results.

use std::path::PathBuf;

use clap::Args;

use crate::cli::selection::select;
use crate::definition::Definition;
use crate::goals::Goals;
use crate::output::Output;
use crate::report::markdown;
use crate::report::summary::Summary;
use crate::result::Line;

/// Arguments of commands that run definitions.
#[derive(Debug, Args)]
pub struct Places {
    /// A folder of definitions of workloads to take instead of those that are built in.
    #[arg(long, value_name = "FOLDER")]
    pub definitions: Option<PathBuf>,
    /// And where the results go.
    #[command(flatten)]
    pub results: Results,
}

/// Where results go.
#[derive(Debug, Args)]
pub struct Results {
    /// Where to write all results, one JSON line each; `ringkeeper-bench report` reads them.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Arguments of commands that answer goals.
#[derive(Debug, Args)]
pub struct Judgement {
    /// The goals.
    #[arg(long, default_value = "benches/goals.toml")]
    goals: PathBuf,
}

impl Results {
    /// Creates the results file, if one is wanted.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn output(&self) -> Result<Output, String> {
        Output::create(self.output.as_deref())
    }
}

impl Places {
    /// The definition of the workload with this name.
    ///
    /// # Errors
    /// There is no such workload, or a definition cannot be read.
    pub fn definition(&self, name: &str) -> Result<Definition, String> {
        let mut found = select(self.definitions.as_deref(), &[name.to_owned()], None)?;
        Ok(found.pop().expect("a name that was found"))
    }
}

impl Judgement {
    /// Reads the goals. Callers do so before they measure anything, so that a mistake in the file costs no time.
    ///
    /// # Errors
    /// The goals cannot be read.
    pub fn goals(&self) -> Result<Goals, String> {
        Goals::read(&self.goals)
    }
}

/// Judges the goals by the measurements, keeps the verdicts, and prints everything as tables.
///
/// # Errors
/// The results file cannot be written.
pub fn conclude(goals: &Goals, output: &mut Output) -> Result<(), String> {
    for goal in goals.judge(output.lines()) {
        output.keep(Line::Goal(goal))?;
    }
    print_tables(output);
    Ok(())
}

/// Prints the measurements as Markdown tables.
pub fn print_tables(output: &Output) {
    println!("{}", markdown::tables(&Summary::of([output.lines().to_vec()])));
}
