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
    is_found_in(Shape::Ensemble, bug);
}

fn is_found_in(shape: Shape, bug: PlantedBug) {
    is_found_from(1, shape, bug);
}

/// `first`: a seed that found it when this was written, so that the search takes seconds.
fn is_found_from(first: u64, shape: Shape, bug: PlantedBug) {
    let options = Options { shape, planted: Some(bug) };
    for seed in first..first + SEEDS {
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
    is_found_from(816, Shape::Ensemble, PlantedBug::AckBeforeSync);
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

#[test]
fn a_follower_that_keeps_its_sessions_touches_to_itself_is_found() {
    is_found(PlantedBug::TouchesNotPassedOn);
}

#[test]
fn a_reconfiguration_without_a_quorum_of_the_old_members_is_found() {
    is_found_from(207, Shape::Changing, PlantedBug::OldQuorumIgnored);
}

#[test]
fn a_received_tree_that_is_never_written_is_found() {
    is_found(PlantedBug::SnapNotWritten);
}

#[test]
fn a_purge_that_removes_too_much_is_found() {
    is_found_in(Shape::Wild, PlantedBug::PurgeTooMuch);
}

#[test]
fn requests_of_a_parked_client_that_are_sent_twice_are_found() {
    is_found(PlantedBug::ParkedSentTwice);
}

#[test]
fn a_session_that_is_said_to_have_expired_too_soon_is_found() {
    is_found_in(Shape::Wild, PlantedBug::ExpiredTooSoon);
}
