//! `cargo xtask`: the project's chores in one place, in Rust, so that they run wherever the project
//! builds.

mod ci;
mod setup;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of the ringkeeper project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what the tests run against: Debian packages, the jars of ZooKeeper 3.9 and Curator,
    /// a Python with kazoo. Takes no time if all of it is there.
    Setup,
    /// Run every check that a change must pass: formatting, style, lints, all tests, documentation.
    Ci {
        /// Run only these steps (see --list), in the usual order.
        steps: Vec<String>,
        /// Name the steps and the commands they stand for, and run nothing.
        #[arg(long)]
        list: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Setup => setup::run(),
        Chore::Ci { list: true, .. } => {
            ci::list();
            Ok(())
        }
        Chore::Ci { steps, list: false } => ci::run(&steps),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
