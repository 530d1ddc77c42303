//! The subcommands, one file each.

mod ab;
mod ceiling;
mod compare;
mod core;
mod disk;
mod failures;
mod list;
mod memory;
mod places;
mod programs;
mod report;
mod run;
mod selection;
mod tls;
mod turns;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures ZooKeeper-compatible servers and ensembles.
#[derive(Debug, Parser)]
#[command(name = "ringkeeper-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Two commits of this project against each other, with a test of significance.
    Ab(ab::Arguments),
    /// ringkeeper and its peers side by side, at the workloads of the goals if none is named.
    Compare(compare::Arguments),
    /// Runs workloads on servers that are already there.
    Run(run::Arguments),
    /// Measures whether a disk is good enough for an ensemble's log.
    Disk(disk::Arguments),
    /// Measures what the generator itself can do here, against a server that does nothing.
    Ceiling(ceiling::Arguments),
    /// What ringkeeper's core does on one processor core, in this process: no sockets, no disk.
    Core(core::Arguments),
    /// What clients see while servers fail and come back.
    Failures(failures::Arguments),
    /// What znodes, watches and sessions cost a server in memory.
    Memory(memory::Arguments),
    /// What TLS costs: Ringkeeper and Apache ZooKeeper without and with it.
    Tls(tls::Arguments),
    /// Shows the workloads that there are.
    List(list::Arguments),
    /// Makes Markdown, an HTML page with charts and a headline picture of results files.
    Report(report::Arguments),
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Command::Ab(arguments) => ab::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Disk(arguments) => disk::run(arguments),
        Command::Ceiling(arguments) => ceiling::run(arguments),
        Command::Core(arguments) => core::run(arguments),
        Command::Failures(arguments) => failures::run(arguments),
        Command::Memory(arguments) => memory::run(arguments),
        Command::Tls(arguments) => tls::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Report(arguments) => report::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("ringkeeper-bench: {why}");
            ExitCode::FAILURE
        }
    }
}
