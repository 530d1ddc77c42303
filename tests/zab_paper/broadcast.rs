//! Phase 3, broadcast: proposals, acknowledgements and commits, and followers that connect meanwhile.

use ringkeeper::id::{Epoch, Zxid};
use ringkeeper::proto::quorum::packet;
use ringkeeper::zab::packets::{put_bare, put_txn};

use crate::disk::txn;
use crate::ensemble::Ensemble;

fn zxid(counter: u32) -> Zxid {
    Zxid::new(Epoch(1), counter)
}

// Internals, leader activation.
#[test]
fn a_leader_broadcasts_nothing_before_its_initial_history_is_committed() {
    let mut ensemble = Ensemble::of(3);
    ensemble.lead(1, &[2, 3]);
    ensemble.run_until(|ensemble| {
        assert!(!ensemble.is_ready(1));
        ensemble.count(2, 1, "ACK") == 1
    });
    assert_eq!(ensemble.broadcast(1, 10), None);
    ensemble.run();
    assert_eq!(ensemble.broadcast(1, 10), Some((zxid(1), 10)));
}

// Paper, l.3.1; Internals, active messaging.
#[test]
fn a_leader_proposes_to_all_followers_in_one_order_with_rising_zxids_of_its_epoch() {
    let mut ensemble = Ensemble::led(3, 1);
    for value in [10, 11, 12] {
        ensemble.broadcast(1, value).unwrap();
    }
    ensemble.run();
    for follower in [2, 3] {
        let said = ensemble.said(1, follower);
        let proposals: Vec<&str> =
            said.into_iter().filter(|line| line.starts_with("PROPOSAL")).collect();
        assert_eq!(proposals, ["PROPOSAL 1:1", "PROPOSAL 1:2", "PROPOSAL 1:3"]);
    }
}

// Paper, l.3.2; Internals, active messaging.
#[test]
fn a_transaction_is_committed_as_soon_as_a_quorum_has_acknowledged_it() {
    let mut ensemble = Ensemble::led(5, 1);
    (2..=5).for_each(|id| ensemble.hold(id, 1));
    ensemble.broadcast(1, 10).unwrap();
    ensemble.run();
    ensemble.release(2, 1);
    assert_eq!(ensemble.delivered(1), [0; 0], "two of five are no quorum");
    ensemble.release(3, 1);
    assert_eq!(ensemble.delivered(1), [10]);
    // Followers that have not acknowledged the transaction hear of the commit too.
    assert_eq!(ensemble.delivered(5), [10]);
}

// Paper, l.3.2.
#[test]
fn a_leader_acknowledges_its_own_proposal_when_it_is_on_the_disk() {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.slow(1);
    ensemble.hold(3, 1);
    ensemble.broadcast(1, 10).unwrap();
    ensemble.run();
    assert_eq!(ensemble.delivered(1), [0; 0], "only 2 has it");
    ensemble.fast(1);
    assert_eq!(ensemble.delivered(1), [10]);
}

// Paper, f.3.2; Internals, active messaging.
#[test]
fn a_follower_acknowledges_a_proposal_when_it_is_on_the_disk() {
    let mut ensemble = Ensemble::led(3, 1);
    let acks = ensemble.count(2, 1, "ACK");
    ensemble.slow(2);
    ensemble.broadcast(1, 10).unwrap();
    ensemble.run();
    assert_eq!((ensemble.count(2, 1, "ACK"), ensemble.history(2)), (acks, vec![]));
    ensemble.fast(2);
    assert_eq!((ensemble.count(2, 1, "ACK"), ensemble.history(2)), (acks + 1, vec![10]));
}

// Paper, f.3.2: a follower logs proposals in the order in which they were made, without gaps.
#[test]
fn a_follower_logs_no_proposal_without_those_before_it() {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.forge(1, 2, |out| {
        put_txn(out, packet::PROPOSAL, &txn((zxid(1), 10)));
        put_txn(out, packet::PROPOSAL, &txn((zxid(3), 12)));
    });
    assert_eq!(ensemble.history(2), [10]);
    assert!(!ensemble.is_follower(2), "it has left");
}

// Paper, f.3.3; Internals, active messaging.
#[test]
fn a_follower_delivers_no_transaction_without_those_before_it() {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.forge(1, 2, |out| {
        put_txn(out, packet::PROPOSAL, &txn((zxid(1), 10)));
        put_txn(out, packet::PROPOSAL, &txn((zxid(2), 11)));
        put_bare(out, packet::COMMIT, zxid(2));
    });
    assert_eq!(ensemble.ever_delivered(2), [0; 0]);
    assert!(!ensemble.is_follower(2), "it has left");
}

// Internals, active messaging: a process that has written a message has written all that were proposed before it.
#[test]
fn an_acknowledgement_stands_for_everything_before_and_commits_are_in_order() {
    let mut ensemble = Ensemble::led(3, 1);
    [2, 3].into_iter().for_each(|id| ensemble.hold(id, 1));
    for value in [10, 11, 12] {
        ensemble.broadcast(1, value).unwrap();
    }
    ensemble.run();
    ensemble.forge(2, 1, |out| put_bare(out, packet::ACK, zxid(2)));
    assert_eq!(ensemble.delivered(1), [10, 11]);
    let said = ensemble.said(1, 3);
    assert!(said.ends_with(&["COMMIT 1:1", "COMMIT 1:2"]), "{said:?}");
}

// Paper, l.3.3.
#[test]
fn a_follower_that_comes_late_gets_the_initial_history_and_what_was_broadcast_since() {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.crash(3);
    ensemble.broadcast(1, 10).unwrap();
    ensemble.run();
    // This transaction is on its way when 3 connects.
    ensemble.hold(2, 1);
    ensemble.broadcast(1, 11).unwrap();
    ensemble.recover(3);
    ensemble.follow(1, &[3]);
    ensemble.run();
    assert_eq!(ensemble.history(3), [10, 11]);
    assert_eq!(ensemble.delivered(3), [10, 11], "1 and 3 are a quorum");
}

// Paper, l.3.4.
#[test]
fn a_follower_that_comes_late_belongs_to_the_quorum_when_it_has_acknowledged_the_history() {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.crash(3);
    ensemble.broadcast(1, 10).unwrap();
    ensemble.run();
    ensemble.crash(2);
    ensemble.recover(3);
    ensemble.slow(3);
    ensemble.follow(1, &[3]);
    ensemble.broadcast(1, 11).unwrap();
    ensemble.run();
    assert_eq!(ensemble.delivered(1), [10], "1 is alone as yet");
    ensemble.fast(3);
    assert_eq!((ensemble.delivered(1), ensemble.delivered(3)), (vec![10, 11], vec![10, 11]));
}

// Internals, leader activation: the others skip what a failed leader proposed and no other process has.
#[test]
fn a_leader_that_comes_back_drops_what_nobody_else_has_logged() {
    let mut ensemble = Ensemble::led(3, 1);
    [2, 3].into_iter().for_each(|id| ensemble.hold(1, id));
    ensemble.broadcast(1, 10).unwrap();
    ensemble.run();
    assert_eq!(ensemble.history(1), [10]);
    ensemble.crash(1);
    ensemble.lead(2, &[3]);
    ensemble.run();
    ensemble.broadcast(2, 20).unwrap();
    ensemble.run();
    [2, 3].into_iter().for_each(|id| ensemble.release(1, id));
    ensemble.recover(1);
    ensemble.follow(2, &[1]);
    ensemble.run();
    assert_eq!((ensemble.history(1), ensemble.delivered(1)), (vec![20], vec![20]));
}

// Paper, primary order: of two primaries the earlier one has no quorum.
#[test]
fn an_old_leader_commits_nothing_once_a_quorum_has_promised_a_later_epoch() {
    let mut ensemble = Ensemble::led(3, 1);
    // 1 does not hear that both others have left it.
    [2, 3].into_iter().for_each(|id| ensemble.hold(id, 1));
    ensemble.lead(2, &[3]);
    ensemble.run();
    assert!(ensemble.is_ready(1) && ensemble.is_ready(2), "both believe that they lead");
    ensemble.broadcast(1, 10).unwrap();
    ensemble.broadcast(2, 20).unwrap();
    ensemble.run();
    let delivered = [1, 2, 3].map(|id| ensemble.delivered(id));
    assert_eq!(delivered, [vec![], vec![20], vec![20]]);
}
