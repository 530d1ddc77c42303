//! Bugs that are put in on purpose are found: `cargo test --profile sim -p ringkeeper-sim --features planted-bugs --test planted`.
//!
//! They stand here, and not with the other tests of the simulation, so that nothing that serves
//! anybody is built with them.

#![cfg(feature = "planted-bugs")]

use ringkeeper::planted::PlantedBug;
use ringkeeper::sim::{Options, Shape, run};

/// Seeds within which each bug is found.
const SEEDS: u64 = 1000;

fn is_found(bug: PlantedBug) {
    let options = Options { shape: Shape::Ensemble, planted: Some(bug) };
    for seed in 1..=SEEDS {
        let outcome = run(seed, options, None);
        if let Some(what) = outcome.failure {
            println!("{bug:?} is found by seed {seed}: {what:.300}");
            return;
        }
    }
    panic!("{bug:?} is not found by {SEEDS} seeds");
}

#[test]
fn an_ack_before_the_sync_is_found() {
    is_found(PlantedBug::AckBeforeSync);
}

#[test]
fn a_vote_forgotten_on_restart_is_found() {
    is_found(PlantedBug::VoteForgottenOnRestart);
}

#[test]
fn a_torn_tail_that_is_accepted_is_found() {
    is_found(PlantedBug::TornTailAccepted);
}

#[test]
fn a_trunc_that_is_skipped_is_found() {
    is_found(PlantedBug::TruncSkipped);
}

#[test]
fn a_watch_event_behind_the_data_is_found() {
    is_found(PlantedBug::WatchAfterData);
}

#[test]
fn commits_out_of_order_are_found() {
    is_found(PlantedBug::CommitOutOfOrder);
}
