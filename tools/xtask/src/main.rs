//! `cargo xtask`: the project's chores in one place, in Rust, so that they run wherever the project
//! builds.

mod ci;
mod deny;
mod nightly;
mod setup;
mod steps;

use std::path::PathBuf;
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
    /// Check licences, sources and known faults of all dependencies, without a network.
    Deny,
    /// Take over what is known of our dependencies from a clone of the RustSec advisory database.
    Advisories {
        /// The clone.
        clone: PathBuf,
    },
    /// Run the checks that take hours: every wiring and mix, long simulations, long loads.
    Nightly {
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
        Chore::Deny => deny::check(),
        Chore::Advisories { clone } => deny::take_over(&clone),
        Chore::Ci { list: true, .. } => {
            steps::list(ci::STEPS);
            Ok(())
        }
        Chore::Ci { steps, list: false } => steps::run(ci::STEPS, &steps, ci::LIMIT),
        Chore::Nightly { list: true, .. } => {
            steps::list(nightly::STEPS);
            Ok(())
        }
        Chore::Nightly { steps, list: false } => steps::run(nightly::STEPS, &steps, nightly::LIMIT),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
