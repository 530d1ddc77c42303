//! `ringkeeper-conformance`: longer comparisons with Apache ZooKeeper, and replays of what it found.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use ringkeeper_conformance::{ALLOWED, PROFILES, Plan, Profile, Verdict, run_plan_past, shrink};
use ringkeeper_testkit::Program;

/// Sends random operations to two servers side by side and compares every answer.
#[derive(Debug, Parser)]
#[command(name = "ringkeeper-conformance")]
struct Arguments {
    /// The server to compare with Apache ZooKeeper 3.9: a ringkeeper binary, or `java` for a second ZooKeeper.
    #[arg(long, default_value = "target/debug/ringkeeper")]
    peer: PathBuf,
    /// Options of the servers; all of them in turn if not given.
    #[arg(long)]
    profile: Option<String>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Steps for each seed.
    #[arg(long, default_value_t = 10_000)]
    steps: usize,
    /// Only these steps of the plan, by number.
    #[arg(long, value_delimiter = ',')]
    keep: Vec<usize>,
    /// Take steps out while the servers still differ: at most this many runs.
    #[arg(long, default_value_t = 0)]
    shrink: usize,
    /// Goes on with the next plan after a difference.
    #[arg(long)]
    keep_going: bool,
    /// Goes on within a plan after this many differences, without the steps before them.
    #[arg(long, default_value_t = 0)]
    past: usize,
    /// Prints the steps and runs nothing.
    #[arg(long)]
    print: bool,
    /// Prints the differences that are allowed and runs nothing.
    #[arg(long)]
    allowed: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.allowed {
        for allowed in ALLOWED {
            println!("{}\n  {}\n  Why: {}", allowed.name, allowed.what, allowed.why);
        }
        return ExitCode::SUCCESS;
    }
    let profiles: Vec<&'static Profile> = match &arguments.profile {
        None => PROFILES.iter().filter(|profile| !profile.by_name_only).collect(),
        Some(name) => match Profile::named(name) {
            Some(profile) => vec![profile],
            None => {
                let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
                eprintln!("no profile is called {name}; there are {}", names.join(", "));
                return ExitCode::from(2);
            }
        },
    };
    let peer = if arguments.peer.as_os_str() == "java" {
        Program::ZooKeeper39
    } else {
        // Servers run in folders of their own.
        match arguments.peer.canonicalize() {
            Ok(binary) => Program::Ringkeeper(binary),
            Err(error) => {
                eprintln!("{}: {error}", arguments.peer.display());
                return ExitCode::from(2);
            }
        }
    };
    let programs = [Program::ZooKeeper39, peer];
    let mut differences = 0;
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        for profile in &profiles {
            if !one(&arguments, profile, seed, &programs) {
                differences += 1;
                if !arguments.keep_going {
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the servers agree.
fn one(
    arguments: &Arguments,
    profile: &'static Profile,
    seed: u64,
    programs: &[Program; 2],
) -> bool {
    let mut plan = Plan::random(profile, seed, arguments.steps);
    if !arguments.keep.is_empty() {
        plan = plan.keeping(&arguments.keep);
    }
    if arguments.print {
        plan.steps.iter().for_each(|(number, step)| println!("{number}: {}", step.label()));
        return true;
    }
    let begun = Instant::now();
    let verdict = run_plan_past(&plan, programs, arguments.past, |difference| {
        println!("{}", difference.without_history());
    });
    match verdict {
        Verdict::Same { operations, nodes } => {
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "profile {} seed {seed}: {operations} operations, {nodes} nodes at the end, no difference ({seconds:.1} s)",
                profile.name
            );
            true
        }
        Verdict::Different(difference) => {
            println!("{difference}");
            if arguments.shrink > 0 {
                println!("{}", shrink(&plan, *difference, programs, arguments.shrink));
            }
            false
        }
    }
}
