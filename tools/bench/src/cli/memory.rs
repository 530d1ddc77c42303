//! `ringkeeper-bench memory`: what things cost a server in memory.

use clap::Args;

use crate::cli::judgement::{Judgement, conclude};
use crate::cli::places::Places;
use crate::cli::programs::Programs;
use crate::header;
use crate::memory::{self, Counts};
use crate::progress::Display;
use crate::result::{Line, MemoryRow, float};

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

/// Weighs.
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
    let launches = arguments.programs.launches_of_zookeepers_kind()?;
    let mut output = places.results.output()?;
    output.line(&Line::Run(header::collect(folder, *churn_seconds, *rounds)))?;
    let mut lines = Vec::new();
    let mut keep = |line: Line| {
        output.line(&line)?;
        tell(&line);
        lines.push(line);
        Ok::<(), String>(())
    };
    for round in 1..=*rounds {
        for launch in &launches {
            let mut say = |what: &str| eprintln!("round {round}: {}: {what} …", launch.name);
            let weighed = memory::weigh(launch, counts, round, folder, &mut say)?;
            weighed.rows.into_iter().map(Line::Memory).try_for_each(&mut keep)?;
            keep(Line::Elapsed(weighed.restart))?;
        }
    }
    if let Some(churn) = &churn {
        for launch in &launches {
            let mut display = Display::new(&format!("{}: {}", launch.name, churn.title));
            let rows = memory::churn(launch, churn, folder, &mut |progress| display.show(progress));
            display.end();
            rows?.into_iter().map(Line::Memory).try_for_each(&mut keep)?;
        }
    }
    conclude(&goals, &lines, &mut output)
}

fn tell(line: &Line) {
    match line {
        Line::Memory(row) => {
            let MemoryRow { program, what, count, resident_bytes_before, .. } = row;
            let mib = |bytes: u64| float(bytes) / f64::from(1 << 20);
            let live = match (row.live_bytes_before, row.live_bytes) {
                (Some(before), Some(with)) => {
                    format!(", live {:.0} to {:.0} MiB", mib(before), mib(with))
                }
                (Some(_) | None, _) => String::new(),
            };
            let (before, with) = (mib(*resident_bytes_before), mib(row.resident_bytes));
            if what == "after churn" {
                println!("{program}: {count} s of churn: resident {with:.0} MiB");
            } else {
                println!(
                    "{program}: {count} × {what}: {:.0} bytes each (resident {before:.0} to \
                     {with:.0} MiB{live})",
                    row.bytes_each
                );
            }
        }
        Line::Elapsed(elapsed) => {
            println!("{}: {}: {:.2} s", elapsed.program, elapsed.what, elapsed.seconds);
        }
        _ => {}
    }
}
