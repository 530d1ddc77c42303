//! `ringkeeper-load`: closed-loop load on a server or an ensemble, and a comparison of two.
//!
//! Every session keeps `--depth` requests in flight and sends the next when one is answered. One thread serves all sessions
//! through epoll, with one read and one write for as many requests as are there, so that on a small machine the servers get
//! most of the processor. Latency counts from the moment a request could be sent, that is, from its predecessor's answer.

mod compare;
mod engine;
mod floor;
mod requests;
mod result;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::engine::Load;
use crate::requests::Work;

#[derive(Debug, Parser)]
#[command(name = "ringkeeper-load", about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: Option<LoadArguments>,
}

/// Closed-loop load on a ZooKeeper-compatible server.
#[derive(Debug, Args)]
struct LoadArguments {
    /// Client ports: of one server, or of several of an ensemble, over which the sessions are spread.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    server: Vec<String>,
    /// Sessions.
    #[arg(long, default_value_t = 1)]
    sessions: usize,
    /// Requests in flight in each session.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// What to do: `mix` is nine reads to one write.
    #[arg(long, value_enum, default_value_t = Work::Set)]
    op: Work,
    /// Size of the values.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long to run before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up_seconds: f64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs ringkeeper and Apache ZooKeeper 3.9.4 in turn on fresh folders and prints medians and ratios.
    Compare(CompareArguments),
    /// Measures what no server can beat here: a durable 4 KiB write and a round trip to a server that does nothing.
    Floor {
        /// A folder on the disk to measure.
        #[arg(long, default_value = ".")]
        folder: PathBuf,
    },
}

/// A comparison.
#[derive(Debug, Args)]
struct CompareArguments {
    /// The ringkeeper binary, or `java` for a second ZooKeeper.
    #[arg(long, default_value = "target/release/ringkeeper")]
    ringkeeper: PathBuf,
    /// Servers of each ensemble; 1: each alone.
    #[arg(long, default_value_t = 1)]
    servers: usize,
    /// How often each server has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds for each row.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds of load before the first row, for the Java machine's compiler.
    #[arg(long, default_value_t = 15.0)]
    warm_up_seconds: f64,
    /// Only rows whose name contains this.
    #[arg(long)]
    row: Option<String>,
    /// A folder on the disk to use.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.command, arguments.load) {
        (Some(Command::Compare(compare)), _) => compare::run(&compare),
        (Some(Command::Floor { folder }), _) => {
            floor::measure(&folder).map(|floor| println!("{floor}"))
        }
        (None, Some(load)) => run_load(&load),
        (None, None) => Err("--server is needed; see --help".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("ringkeeper-load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run_load(arguments: &LoadArguments) -> Result<(), String> {
    let servers =
        arguments.server.iter().map(|server| resolve(server)).collect::<Result<Vec<_>, _>>()?;
    if arguments.sessions == 0 || arguments.depth == 0 {
        return Err("--sessions and --depth must be at least 1".to_owned());
    }
    let load = Load {
        sessions: arguments.sessions,
        depth: arguments.depth,
        work: arguments.op,
        value_bytes: arguments.value_bytes,
        warm_up: seconds(arguments.warm_up_seconds)?,
        measured: seconds(arguments.seconds)?,
    };
    let result = engine::run(&servers, &load)?;
    println!("{result}");
    println!("{}", result.json(&load));
    Ok(())
}

fn resolve(server: &str) -> Result<SocketAddr, String> {
    let mut found = server.to_socket_addrs().map_err(|error| format!("{server}: {error}"))?;
    found.next().ok_or_else(|| format!("{server} has no address"))
}

fn seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} seconds: {error}"))
}
