//! `ringkeeper-bench memory`: what things cost a server in memory.

use std::path::PathBuf;

use clap::Args;

use crate::cli::selection::select;
use crate::goals::Goals;
use crate::header;
use crate::memory::{self, Counts};
use crate::output::Output;
use crate::peers::{Launch, Peer};
use crate::progress::Display;
use crate::result::{Line, MemoryRow, float};
use crate::table;

/// Fills a server with znodes, watches and sessions, and says what each costs in memory; how long
/// it takes to start again with them; and whether its memory stays flat under churn.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The programs: ringkeeper, zookeeper-3.9, zookeeper-3.8.
    #[arg(long, value_delimiter = ',', default_values_t = [Peer::Ringkeeper, Peer::ZooKeeper39])]
    programs: Vec<Peer>,
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
    /// Where the servers have their folders.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// The ringkeeper binary.
    #[arg(long, default_value = "target/release/ringkeeper")]
    ringkeeper: PathBuf,
    /// Another line of ringkeeper's configuration; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    ringkeeper_line: Vec<String>,
    /// The heap of each Java server.
    #[arg(long, default_value = "2g")]
    heap: String,
    /// Where the definitions of workloads lie.
    #[arg(long, default_value = "benches/definitions")]
    definitions: PathBuf,
    /// The goals.
    #[arg(long, default_value = "benches/goals.toml")]
    goals: PathBuf,
    /// A file for the results, one JSON line each; `ringkeeper-bench report` reads it.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Weighs.
///
/// # Errors
/// A program that is missing or does not start, or a workload that does not exist.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { rounds, znodes, watches, sessions, churn_seconds, folder, .. } = arguments;
    let goals = Goals::read(&arguments.goals)?;
    let counts = Counts { znodes: *znodes, watches: *watches, sessions: *sessions };
    let churn = if *churn_seconds > 0.0 {
        let mut found =
            select(&arguments.definitions, std::slice::from_ref(&arguments.churn_workload), None)?;
        let mut definition = found.pop().expect("a name that was found");
        definition.seconds = *churn_seconds;
        Some(definition)
    } else {
        None
    };
    let mut launches = Vec::new();
    for peer in &arguments.programs {
        let launch = Launch::find(*peer, &arguments.ringkeeper, &arguments.heap)?;
        launches.push(match peer {
            Peer::Ringkeeper => launch.of_working_tree(&arguments.ringkeeper_line),
            Peer::ZooKeeper39 | Peer::ZooKeeper38 => launch,
            Peer::Etcd => return Err("etcd has no sessions and watches of this kind".to_owned()),
        });
    }
    let mut output = Output::create(arguments.output.as_deref())?;
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
    let judged = goals.judge(&lines);
    for goal in &judged {
        output.line(&Line::Goal(goal.clone()))?;
    }
    if !judged.is_empty() {
        println!("{}", table::goals(&judged));
    }
    Ok(())
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
