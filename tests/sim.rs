//! Whole ensembles in one process, each from a seed: disks, networks and clocks that fail, clients,
//! and checkers. A failure prints its seed and the command that runs it again, event by event.
//!
//! Long runs: `cargo run --profile sim -p ringkeeper-sim -- --seeds 2000`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use ringkeeper::sim::{Options, Outcome, run};

/// Seeds that failed once, and what they found.
const FOUND: &[(u64, &str)] = &[(90_003, "a torn currentEpoch.tmp kept a server from starting")];

const FIXED: std::ops::Range<u64> = 1..51;
const FRESH: u64 = 50;

/// Runs all seeds on the processors that there are.
fn run_all(seeds: &[u64], options: Options) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let outcomes = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("few");
                    let Some(&seed) = seeds.get(at) else { return };
                    let outcome = run(seed, options, None);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// No run may fail, and together they must have done something.
fn expect_good(seeds: &[u64]) {
    let outcomes = run_all(seeds, Options::default());
    assert_eq!(outcomes.len(), seeds.len());
    let failures: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .map(|outcome| {
            format!(
                "{outcome}\n  again: cargo run --profile sim -p ringkeeper-sim -- --seed {}",
                outcome.seed
            )
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let crashes: u64 = outcomes.iter().map(|outcome| outcome.stats.crashes).sum();
    let acknowledged: usize = outcomes.iter().map(|outcome| outcome.checked.acknowledged).sum();
    assert!(crashes > 0 && acknowledged > 100, "{crashes} crashes, {acknowledged} writes");
}

#[test]
fn seeds_that_are_always_the_same() {
    expect_good(&FIXED.collect::<Vec<_>>());
}

#[test]
fn seeds_that_failed_once() {
    expect_good(&FOUND.iter().map(|(seed, _)| *seed).collect::<Vec<_>>());
}

#[test]
fn seeds_that_nobody_has_run_before() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let from = since.as_secs() * 1000;
    println!("seeds {from} to {}", from + FRESH - 1);
    expect_good(&(from..from + FRESH).collect::<Vec<_>>());
}

#[test]
fn a_seed_gives_the_same_run_again_event_by_event() {
    for seed in [3, 7, 11] {
        let [one, two] = [(); 2].map(|()| run(seed, Options::default(), None));
        assert!(one.events > 1000, "{one}");
        assert_eq!((one.hash, one.events), (two.hash, two.events), "seed {seed}");
    }
    let other = run(4, Options::default(), None);
    assert_ne!(other.hash, run(3, Options::default(), None).hash);
}

/// Needs the feature: `cargo test --features planted-bugs --test sim planted`.
#[cfg(feature = "planted-bugs")]
mod planted {
    use super::*;
    use ringkeeper::planted::PlantedBug;

    const SEEDS_MAX: u64 = 1000;
    const AT_ONCE: u64 = 10;

    #[test]
    fn each_planted_bug_is_found_within_a_thousand_seeds() {
        let missed: Vec<PlantedBug> =
            PlantedBug::ALL.into_iter().filter(|bug| !is_found(*bug)).collect();
        assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
    }

    fn is_found(bug: PlantedBug) -> bool {
        let options = Options { planted: Some(bug), ..Options::default() };
        for from in (1..=SEEDS_MAX).step_by(usize::try_from(AT_ONCE).expect("few")) {
            let outcomes = run_all(&(from..from + AT_ONCE).collect::<Vec<_>>(), options);
            let found = outcomes.iter().filter(|outcome| outcome.failure.is_some());
            if let Some(outcome) = found.min_by_key(|outcome| outcome.seed) {
                println!("{bug:?}: {outcome}");
                return true;
            }
        }
        false
    }
}
