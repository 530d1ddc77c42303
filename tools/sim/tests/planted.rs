//! The simulation finds bugs that are planted on purpose:
//!
//!     cargo test --profile sim -p ringkeeper-sim --features planted-bugs --test planted
//!
//! These tests are apart from the other tests of the simulation, so that no server for use is built with the bugs.

use ringkeeper::planted::PlantedBug;
use ringkeeper_sim::{Options, Shape, run};

/// Seeds within which each bug is found.
const SEEDS: u64 = 1000;

fn is_found(bug: PlantedBug) {
    is_found_in(Shape::Ensemble, bug);
}

fn is_found_in(shape: Shape, bug: PlantedBug) {
    is_found_from(1, shape, bug);
}

/// Fails unless a check of the wild ensembles finds the bug and says `says`; other checks may find it sooner.
/// `first`: as for [`is_found_from`].
fn is_found_by(first: u64, says: &str, bug: PlantedBug) {
    let options = Options { shape: Shape::Wild, planted: Some(bug) };
    for seed in first..first + SEEDS {
        let failure = run(seed, options, None).failure;
        if let Some(what) = failure.filter(|what| what.contains(says)) {
            println!("{bug:?} is found by seed {seed}: {what:.300}");
            return;
        }
    }
    panic!("no failure of {SEEDS} seeds with {bug:?} says {says:?}");
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
    is_found_from(468, Shape::Changing, PlantedBug::OldQuorumIgnored);
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

#[test]
fn permissions_that_a_multi_read_does_not_ask_for_are_found() {
    is_found_by(1, "MultiRead(", PlantedBug::MultiReadUnchecked);
}

#[test]
fn a_multi_read_that_ends_with_its_first_error_is_found() {
    is_found_by(1, "MultiRead(", PlantedBug::MultiReadStops);
}

#[test]
fn a_frame_that_is_too_long_and_is_carried_out_is_found() {
    is_found_by(1, "LONG: client", PlantedBug::LongFrameTaken);
}

#[test]
fn a_frame_that_fits_and_is_refused_is_found() {
    is_found_by(1, "LONG: server", PlantedBug::FullFrameRefused);
}

#[test]
fn what_a_transaction_leaves_behind_that_is_too_long_is_found() {
    is_found_by(34, "digest", PlantedBug::LongTxnNotTakenBack);
}

#[test]
fn a_transaction_that_fits_and_is_refused_is_found() {
    is_found_by(1, "met error", PlantedBug::FullTxnRefused);
}

#[test]
fn a_refusal_with_another_xid_is_found() {
    is_found_by(1, "out of order", PlantedBug::RefusedUnderLastXid);
}

#[test]
fn an_early_check_that_learners_leave_out_is_found() {
    is_found_by(1, "was refused with a zxid", PlantedBug::EagerCheckAtLeaderOnly);
}

#[test]
fn an_early_refusal_that_is_logged_is_found() {
    is_found_by(1, "was refused early", PlantedBug::EagerRefusalLogged);
}

#[test]
fn an_early_check_that_asks_too_much_is_found() {
    is_found_by(30, "was refused before it got a zxid", PlantedBug::EagerAsksTooMuch);
}

#[test]
fn quotas_that_keep_ephemeral_nodes_are_found() {
    is_found_by(1, "zookeeper_stats", PlantedBug::QuotaKeepsEphemerals);
}

#[test]
fn quotas_that_add_all_new_data_are_found() {
    is_found_by(1, "zookeeper_stats", PlantedBug::QuotaAddsWholeData);
}

#[test]
fn quotas_that_count_less_at_a_start_are_found() {
    is_found_by(1, "QUOTA:", PlantedBug::QuotaRecountLeavesTop);
}

#[test]
fn limits_that_new_data_may_break_are_found() {
    is_found_by(15, "met error [-125]", PlantedBug::QuotaNotAskedBySetData);
}

#[test]
fn readers_who_stay_when_there_is_a_leader_are_found() {
    is_found_by(138, "READER:", PlantedBug::ReadersKept);
}

#[test]
fn a_sync_without_a_leader_is_found() {
    is_found_by(27, "READER:", PlantedBug::ReaderSynced);
}

#[test]
fn permissions_that_readers_are_not_asked_for_are_found() {
    is_found_by(223, "was answered from", PlantedBug::ReadersUnchecked);
}

#[test]
fn a_container_that_stays_is_found() {
    is_found_by(35, "should be gone", PlantedBug::ContainerOfOneChildKept);
}

#[test]
fn a_node_that_outlives_its_time_is_found() {
    is_found_by(1, "should be gone", PlantedBug::SetTtlNodeKept);
}

#[test]
fn ephemeral_nodes_that_outlive_their_session_are_found() {
    is_found_by(24, "closes session", PlantedBug::CloseForgetsNewest);
}

#[test]
fn sessions_that_never_expire_are_found() {
    is_found_by(1, "did not expire", PlantedBug::OldSessionsNotTimed);
}

#[test]
fn an_early_check_that_nobody_has_asked_for_is_found() {
    is_found_by(3, "enableEagerACLCheck is off", PlantedBug::EagerCheckAlways);
}

#[test]
fn what_recovery_reads_and_does_not_sync_is_found() {
    is_found_by(148, "cannot be started at the end", PlantedBug::ReadNotSynced);
}

#[test]
fn a_write_that_is_under_way_for_ever_is_found() {
    is_found_by(30, "waits for a write that nobody makes", PlantedBug::OrphanKept);
}
