//! Long runs of the simulation: many seeds, or one seed with a line for everything that happens.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use ringkeeper::planted::PlantedBug;
use ringkeeper_sim::{Options, Outcome, Shape, Sink, run};

/// Whole ensembles from a seed, with faults and checkers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed; by default one made of the time.
    #[arg(long)]
    from: Option<u64>,
    /// This seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Runs at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Which ensembles.
    #[arg(long, value_enum, default_value_t = Which::Any)]
    shape: Which,
    /// A bug to put in, as `AckBeforeSync`; needs the feature planted-bugs.
    #[arg(long, value_parser = bug)]
    planted: Option<PlantedBug>,
    /// Ends after so many failures.
    #[arg(long, default_value_t = 20)]
    failures: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Any,
    Steady,
    Standalone,
    Ensemble,
    Changing,
    Guarded,
    Wild,
}

fn bug(name: &str) -> Result<PlantedBug, String> {
    let found = PlantedBug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    found.ok_or_else(|| format!("one of {:?}", PlantedBug::ALL))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let shape = match arguments.shape {
        Which::Any => Shape::Any,
        Which::Steady => Shape::Steady,
        Which::Changing => Shape::Changing,
        Which::Guarded => Shape::Guarded,
        Which::Wild => Shape::Wild,
        Which::Standalone => Shape::Standalone,
        Which::Ensemble => Shape::Ensemble,
    };
    let options = Options { shape, planted: arguments.planted };
    match arguments.seed {
        Some(seed) => one(seed, options, arguments.trace),
        None => many(&arguments, options),
    }
}

/// The command line that runs a seed again.
fn replay(seed: u64, options: Options) -> String {
    let features = if options.planted.is_some() { " --features planted-bugs" } else { "" };
    let mut line = format!("cargo run --profile sim -p ringkeeper-sim{features} -- --seed {seed}");
    match options.shape {
        Shape::Any => (),
        Shape::Steady => line.push_str(" --shape steady"),
        Shape::Changing => line.push_str(" --shape changing"),
        Shape::Guarded => line.push_str(" --shape guarded"),
        Shape::Wild => line.push_str(" --shape wild"),
        Shape::Standalone => line.push_str(" --shape standalone"),
        Shape::Ensemble => line.push_str(" --shape ensemble"),
    }
    if let Some(bug) = options.planted {
        line.push_str(&format!(" --planted {bug:?}"));
    }
    line
}

fn one(seed: u64, options: Options, trace: bool) -> ExitCode {
    if trace {
        tracing_subscriber::fmt().with_env_filter("debug").without_time().init();
    }
    let sink: Option<Sink> =
        trace.then(|| Box::new(|now: u64, line: &str| println!("{now:>12} {line}")) as Sink);
    let outcome = run(seed, options, sink);
    println!("{outcome}");
    if outcome.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn many(arguments: &Arguments, options: Options) -> ExitCode {
    let from = arguments.from.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs() * 1_000_000
    });
    println!("seeds {from} to {}", from + arguments.seeds - 1);
    let next = AtomicU64::new(from);
    let end = from + arguments.seeds;
    let (sender, outcomes) = mpsc::channel::<Outcome>();
    let sender = Mutex::new(sender);
    let begun = Instant::now();
    let mut failures: BTreeMap<u64, String> = BTreeMap::new();
    let (mut done, mut simulated_us, mut slowest) = (0_u64, 0_u64, 0.0_f64);
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send(run(seed, options, None)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut last = Instant::now();
        for outcome in outcomes {
            done += 1;
            simulated_us += outcome.simulated_us;
            slowest = slowest.max(last.elapsed().as_secs_f64());
            last = Instant::now();
            if let Some(what) = &outcome.failure {
                println!("{outcome}\n  again: {}", replay(outcome.seed, options));
                failures.insert(outcome.seed, what.clone());
                if failures.len() >= arguments.failures {
                    next.store(end, Ordering::Relaxed);
                }
            }
            if done.is_multiple_of(50) {
                progress(done, arguments.seeds, simulated_us, begun, failures.len());
            }
        }
    });
    progress(done, arguments.seeds, simulated_us, begun, failures.len());
    for (seed, what) in &failures {
        println!("{seed}: {what:.300}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn progress(done: u64, all: u64, simulated_us: u64, begun: Instant, failures: usize) {
    let tenths_of_hours = simulated_us / 360_000_000;
    println!(
        "{done} of {all} seeds, {}.{} simulated hours in {} s, {failures} failures",
        tenths_of_hours / 10,
        tenths_of_hours % 10,
        begun.elapsed().as_secs()
    );
}
