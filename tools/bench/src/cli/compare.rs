//! `ringkeeper-bench compare`: ringkeeper and its peers side by side.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::narrator::Narrator;
use crate::cli::selection::select;
use crate::compare::{self, Plan};
use crate::definition::Definition;
use crate::goals::Goals;
use crate::header;
use crate::output::Output;
use crate::peers::{Launch, Peer};
use crate::result::Line;
use crate::table;

/// Starts ringkeeper and its peers in turn on fresh folders, runs the same workloads on each, and
/// says how they compare and which goals are met.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The programs: ringkeeper, zookeeper-3.9, zookeeper-3.8, etcd.
    #[arg(long, value_delimiter = ',', default_values_t = [Peer::Ringkeeper, Peer::ZooKeeper39])]
    programs: Vec<Peer>,
    /// Workloads by name; those of the goals if neither this nor `--group` is given.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    workloads: Vec<String>,
    /// All workloads of a group, such as `ladders`.
    #[arg(long)]
    group: Option<String>,
    /// Sizes of ensembles; those that the workloads name if not given.
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    servers: Vec<usize>,
    /// How often each program has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds for each workload instead of what it says itself.
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds of load on each program before its first workload, for Java's compiler.
    #[arg(long, default_value_t = 15.0)]
    warm_up_seconds: f64,
    /// Threads of the generator, over which the sessions are divided.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Where the servers have their folders: on the disk to measure.
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
    /// Where to write all results, one JSON line each; `ringkeeper-bench report` reads them.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Compares.
///
/// # Errors
/// Nothing to compare, a program that is missing or does not start, or a file that cannot be read
/// or written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let goals = Goals::read(&arguments.goals)?;
    let workloads = arguments.chosen(&goals)?;
    if workloads.is_empty() {
        return Err(
            "no workload for these sizes of ensembles; `ringkeeper-bench list` shows what \
                    each is for"
                .to_owned(),
        );
    }
    if arguments.rounds == 0 {
        return Err("--rounds must be at least 1".to_owned());
    }
    let mut launches = Vec::new();
    for peer in &arguments.programs {
        let launch = Launch::find(*peer, &arguments.ringkeeper, &arguments.heap)?;
        launches.push(match peer {
            Peer::Ringkeeper => launch.of_working_tree(&arguments.ringkeeper_line),
            Peer::ZooKeeper39 | Peer::ZooKeeper38 | Peer::Etcd => launch,
        });
    }
    let warm_up = Duration::try_from_secs_f64(arguments.warm_up_seconds)
        .map_err(|error| format!("--warm-up-seconds: {error}"))?;
    let mut output = Output::create(arguments.output.as_deref())?;
    let seconds = workloads.iter().map(|(definition, _)| definition.seconds).fold(0.0, f64::max);
    output.line(&Line::Run(header::collect(&arguments.folder, seconds, arguments.rounds)))?;
    let plan = Plan {
        launches,
        workloads,
        rounds: arguments.rounds,
        threads: arguments.threads,
        warm_up,
        folder: arguments.folder.clone(),
    };
    let mut narrator = Narrator::new();
    let lines = compare::run(&plan, &mut output, &mut |news| narrator.tell(news))?;

    let judged = goals.judge(&lines);
    for goal in &judged {
        output.line(&Line::Goal(goal.clone()))?;
    }
    println!("{}", table::rows(&lines, "zookeeper 3.9"));
    if !judged.is_empty() {
        println!("{}", table::goals(&judged));
    }
    match narrator.missing() {
        0 => Ok(()),
        missing => Err(format!("{missing} rows are missing; the lines above say why")),
    }
}

impl Arguments {
    /// The workloads, each with the sizes of ensembles to run it on.
    fn chosen(&self, goals: &Goals) -> Result<Vec<(Definition, Vec<usize>)>, String> {
        let of_goals = self.workloads.is_empty() && self.group.is_none();
        let names: Vec<String> = if of_goals {
            goals.workloads().iter().map(|(name, _)| (*name).to_owned()).collect()
        } else {
            self.workloads.clone()
        };
        let mut chosen = Vec::new();
        for mut definition in select(&self.definitions, &names, self.group.as_deref())? {
            let mut sizes = compare::sizes(&definition, &self.servers);
            if of_goals {
                sizes.retain(|size| goals.workloads().contains(&(&definition.name[..], *size)));
            }
            if !sizes.is_empty() {
                definition.seconds = self.seconds.unwrap_or(definition.seconds);
                chosen.push((definition, sizes));
            }
        }
        Ok(chosen)
    }
}
