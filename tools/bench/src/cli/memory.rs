//! `ringkeeper-bench memory`: what things cost a server in memory.

use clap::Args;

use crate::cli::places::{Judgement, Places, conclude};
use crate::cli::programs::Programs;
use crate::header;
use crate::memory::{self, Counts};
use crate::progress::Narrator;
use crate::result::Line;

/// Fills a server with znodes, watches and sessions, and says what each costs in memory; how long
/// it takes to start again with them; and whether its memory stays flat under churn.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How often each program is filled.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Znodes with 100 bytes of data each.
    #[arg(long, default_value_t = 1_000_000)]
    znodes: u32,
    /// Data watches, each on another znode; at most as many as there are znodes.
    #[arg(long, default_value_t = 1_000_000)]
    watches: u32,
    /// Idle sessions.
    #[arg(long, default_value_t = 10_000)]
    sessions: u32,
    /// Seconds of churn; 0 leaves it out.
    #[arg(long, default_value_t = 600.0)]
    churn_seconds: f64,
    /// The workload that makes and removes things.
    #[arg(long, default_value = "ephemeral-churn")]
    churn_workload: String,
    #[command(flatten)]
    programs: Programs,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    judgement: Judgement,
}

/// Measures each program, and prints the results.
///
/// # Errors
/// A program that is missing or does not start, or a workload that does not exist.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { rounds, znodes, watches, sessions, churn_seconds, places, .. } = arguments;
    let folder = &arguments.programs.folder;
    let goals = arguments.judgement.goals()?;
    let counts = Counts { znodes: *znodes, watches: *watches, sessions: *sessions };
    let churn = if *churn_seconds > 0.0 {
        let mut definition = places.definition(&arguments.churn_workload)?;
        definition.seconds = *churn_seconds;
        Some(definition)
    } else {
        None
    };
    let launches = arguments.programs.launches()?;
    let mut output = places.results.output()?;
    output.keep(Line::Run(header::collect(folder, *churn_seconds, *rounds)))?;
    let mut narrator = Narrator::default();
    for round in 1..=*rounds {
        for launch in &launches {
            let mut say =
                |what: &str| narrator.say(&format!("round {round}: {}: {what} …", launch.name));
            for line in memory::weigh(launch, counts, round, folder, &mut say)? {
                narrator.tell(&line);
                output.keep(line)?;
            }
        }
    }
    if let Some(churn) = &churn {
        for launch in &launches {
            let what = format!("{}: {}", launch.name, churn.title);
            let rows = memory::churn(launch, churn, folder, &mut |progress| {
                narrator.show(&what, progress);
            });
            narrator.end();
            rows?.into_iter().map(Line::Memory).try_for_each(|line| output.keep(line))?;
        }
    }
    conclude(&goals, &mut output)
}
