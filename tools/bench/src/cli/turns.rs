//! Arguments of the commands that give programs their turns at workloads, `compare` and `ab`.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::cli::places::Places;
use crate::cli::selection::{Chosen, Selection};
use crate::compare::{self, Plan};
use crate::header;
use crate::output::Output;
use crate::peers::Launch;
use crate::progress::Narrator;
use crate::result::Line;

/// The workloads to run, how often, and for how long.
#[derive(Debug, Args)]
pub struct Turns {
    /// The workloads.
    #[command(flatten)]
    pub selection: Selection,
    /// How often each program has its turn: 3 times for `compare`, 10 times for `ab`. Fewer than six pairs of turns
    /// never show a difference: chance alone does as much once in sixteen times with five.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds for each workload: as long as it says itself for `compare`, 3 for `ab`.
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds of load on each program before its first workload: 15 for `compare`, for Java's compiler, 2 for `ab`.
    #[arg(long)]
    warm_up_seconds: Option<f64>,
    /// Where the workloads are, and where results go.
    #[command(flatten)]
    pub places: Places,
}

/// The defaults of a command.
pub struct Usual {
    /// Turns of each program.
    pub rounds: u32,
    /// Seconds of each workload; what it says itself if not given.
    pub seconds: Option<f64>,
    /// Seconds of load before the first workload.
    pub warm_up_seconds: f64,
}

impl Turns {
    /// Runs the workloads on these programs, below this folder.
    ///
    /// # Errors
    /// A program does not start at all, or a file cannot be written.
    pub fn run(
        &self,
        usual: &Usual,
        mut workloads: Chosen,
        launches: Vec<Launch>,
        folder: &Path,
        output: &mut Output,
    ) -> Result<Narrator, String> {
        let rounds = self.rounds.unwrap_or(usual.rounds);
        let mut longest: f64 = 0.0;
        for (definition, _) in &mut workloads {
            definition.seconds = self.seconds.or(usual.seconds).unwrap_or(definition.seconds);
            longest = longest.max(definition.seconds);
        }
        let warm_up = self.warm_up_seconds.unwrap_or(usual.warm_up_seconds);
        let warm_up = Duration::try_from_secs_f64(warm_up)
            .map_err(|error| format!("--warm-up-seconds: {error}"))?;
        output.keep(Line::Run(header::collect(folder, longest, rounds)))?;
        let (threads, folder) = (self.selection.threads, folder.to_owned());
        let plan = Plan { launches, workloads, rounds, threads, warm_up, folder };
        let mut narrator = Narrator::default();
        compare::run(&plan, output, &mut narrator)?;
        Ok(narrator)
    }
}
