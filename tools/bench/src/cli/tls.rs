//! `ringkeeper-bench tls`: what TLS costs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::places::Results;
use crate::cli::programs::Programs;
use crate::cli::selection::select;
use crate::compare::Plan;
use crate::header;
use crate::progress::Narrator;
use crate::result::Line;
use crate::tls::{self, Extent, WORKLOADS};

/// Starts Ringkeeper and Apache ZooKeeper in turn, without and with TLS (mutual, with certificates made for the run),
/// and writes Markdown tables: reads and writes, handshakes, memory of idle sessions, processor time, and how busy the
/// generator was. Ratios are those of the first program to the second.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How often each program has its turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds for each workload.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Seconds of load on each program before its first workload, and before its connections; for Java's compiler.
    #[arg(long, default_value_t = 12.0)]
    warm_up_seconds: f64,
    /// Seconds of connections that begin and end, of each kind; 0 leaves them out.
    #[arg(long, default_value_t = 4.0)]
    connection_seconds: f64,
    /// Idle sessions whose memory is measured; 0 leaves it out.
    #[arg(long, default_value_t = 10_000)]
    sessions: u32,
    /// Threads of the generator for reads and writes, over which the sessions are divided.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Where to write the tables, beside standard output.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[command(flatten)]
    programs: Programs,
    #[command(flatten)]
    results: Results,
}

/// Measures, and prints the tables.
///
/// # Errors
/// A program is missing or does not start, or a file cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { rounds, seconds, threads, programs, .. } = arguments;
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string());
    let warm_up = time(arguments.warm_up_seconds)?;
    time(arguments.connection_seconds)?;
    let Ok([ours, theirs]) = <[_; 2]>::try_from(programs.launches()?) else {
        return Err("--programs: two programs are compared".to_owned());
    };
    let mut workloads = Vec::new();
    for name in WORKLOADS {
        let mut found = select(None, &[name.to_owned()], None)?;
        let mut definition = found.pop().expect("a name that was found");
        definition.seconds = *seconds;
        workloads.push((definition, vec![1]));
    }
    let mut output = arguments.results.output()?;
    output.keep(Line::Run(header::collect(&programs.folder, *seconds, *rounds)))?;
    let (launches, columns) = tls::launches(ours, theirs)?;
    let (threads, folder) = (*threads, programs.folder.clone());
    let plan = Plan { launches, workloads, rounds: *rounds, threads, warm_up, folder };
    let Arguments { connection_seconds, sessions, .. } = *arguments;
    let mut narrator = Narrator::default();
    tls::run(&plan, Extent { connection_seconds, sessions }, &mut output, &mut narrator)?;
    let text = tls::table::tables(output.lines(), &columns);
    if let Some(path) = &arguments.markdown {
        tls::write(path, &text)?;
    }
    println!("{text}");
    narrator.conclude()
}
