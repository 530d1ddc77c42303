//! Phase 1, discovery: a prospective leader learns what a quorum has promised, and which histories it has.

use ringkeeper::id::{Epoch, Zxid};

use crate::ensemble::Ensemble;

/// An ensemble of three in which 1 has led epoch 1 and has broadcast 10 and 11; and all three have both.
fn with_history() -> Ensemble {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.broadcast(1, 10).unwrap();
    ensemble.broadcast(1, 11).unwrap();
    ensemble.run();
    ensemble
}

// Paper, f.1.1.
#[test]
fn a_follower_tells_its_last_promise_first() {
    let mut ensemble = with_history();
    ensemble.lead(2, &[3]);
    assert_eq!(ensemble.said(3, 2), ["FOLLOWERINFO 1:0"]);
}

// Paper, l.1.1.
#[test]
fn a_prospective_leader_proposes_an_epoch_when_it_has_the_promises_of_a_quorum() {
    let mut ensemble = Ensemble::of(5);
    (2..=5).for_each(|id| ensemble.hold(id, 1));
    ensemble.lead(1, &[2, 3, 4, 5]);
    ensemble.run();
    ensemble.release(2, 1);
    assert_eq!(ensemble.count(1, 2, "LEADERINFO"), 0, "two of five are no quorum");
    ensemble.release(3, 1);
    assert_eq!(ensemble.count(1, 2, "LEADERINFO"), 1);
}

// Paper, l.1.1.
#[test]
fn a_new_epoch_is_later_than_any_that_the_quorum_has_promised() {
    let mut ensemble = Ensemble::of(3);
    // 2 and 3 promise epochs of which 1 hears nothing.
    for epoch in 1..4 {
        ensemble.lead(2, &[3]);
        ensemble.run();
        assert_eq!(ensemble.epochs(3), (epoch, epoch));
    }
    // Process 1 itself has made the earliest promise.
    assert_eq!(ensemble.epochs(1), (0, 0));
    ensemble.lead(1, &[2, 3]);
    ensemble.run();
    assert_eq!(ensemble.said(1, 3)[0], "LEADERINFO 4:0");
}

// Paper, l.1.1: its own promise is one of the quorum's.
#[test]
fn a_prospective_leader_has_promised_its_epoch_itself_before_it_proposes_it() {
    let mut ensemble = Ensemble::of(3);
    ensemble.slow(1);
    ensemble.lead(1, &[2, 3]);
    ensemble.run();
    assert_eq!((ensemble.count(1, 2, "LEADERINFO"), ensemble.epochs(1)), (0, (0, 0)));
    ensemble.fast(1);
    assert_eq!((ensemble.count(1, 2, "LEADERINFO"), ensemble.epochs(1)), (1, (1, 1)));
}

// Paper, f.1.2: the promise survives a crash.
#[test]
fn a_follower_acknowledges_an_epoch_when_its_promise_is_on_the_disk() {
    let mut ensemble = Ensemble::of(3);
    ensemble.slow(2);
    ensemble.lead(1, &[2]);
    ensemble.run();
    assert_eq!((ensemble.count(2, 1, "ACKEPOCH"), ensemble.epochs(2)), (0, (0, 0)));
    assert!(ensemble.write(2));
    assert_eq!((ensemble.count(2, 1, "ACKEPOCH"), ensemble.epochs(2)), (0, (1, 0)));
    ensemble.fast(2);
    assert_eq!(ensemble.count(2, 1, "ACKEPOCH"), 1);
}

// Paper, f.1.2: a follower acknowledges an epoch only if its last promise is earlier.
#[test]
fn an_epoch_that_was_promised_before_is_not_acknowledged_again() {
    let mut ensemble = Ensemble::of(3);
    // 3 promises epoch 1 as a prospective leader, and gets no further.
    ensemble.hold(3, 2);
    ensemble.lead(3, &[2]);
    ensemble.run();
    ensemble.crash(3);
    ensemble.recover(3);
    assert_eq!(ensemble.epochs(3), (1, 0));
    // 1 proposes epoch 1 as well, because neither 1 nor 2 has promised anything.
    ensemble.slow(2);
    ensemble.lead(1, &[2]);
    ensemble.release(3, 2);
    ensemble.follow(1, &[3]);
    ensemble.run();
    assert_eq!(ensemble.epochs(1), (1, 0));
    assert_eq!(ensemble.count(1, 3, "NEWLEADER"), 0, "3 counts for no quorum");
    ensemble.fast(2);
    assert!(ensemble.is_ready(1));
}

// Paper, l.1.2: the initial history is that of the follower with the latest epoch and, of these, the latest zxid.
#[test]
fn a_prospective_leader_does_not_lead_whose_history_is_not_the_newest_of_its_quorum() {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.crash(3);
    ensemble.broadcast(1, 10).unwrap();
    ensemble.run();
    ensemble.crash(1);
    ensemble.recover(3);
    ensemble.lead(3, &[2]);
    ensemble.run();
    assert!(!ensemble.is_ready(3) && !ensemble.is_ready(2), "3 does not have 10");
    ensemble.lead(2, &[3]);
    ensemble.run();
    assert_eq!((ensemble.delivered(2), ensemble.delivered(3)), (vec![10], vec![10]));
}

// Paper, l.1.2.
#[test]
fn of_two_histories_that_of_the_later_epoch_is_the_newer_one_although_its_last_zxid_is_earlier() {
    let mut ensemble = with_history();
    // 1 alone logs 12. 2 and 3 go on without 1 in epoch 2, in which nothing is broadcast.
    ensemble.hold(1, 2);
    ensemble.hold(1, 3);
    ensemble.broadcast(1, 12).unwrap();
    ensemble.run();
    ensemble.crash(1);
    ensemble.lead(2, &[3]);
    ensemble.run();
    assert!(ensemble.is_ready(2));
    ensemble.release(1, 2);
    ensemble.release(1, 3);
    ensemble.crash(3);
    ensemble.recover(1);
    assert_eq!((ensemble.epochs(1).1, ensemble.epochs(2).1), (1, 2));
    assert_eq!((ensemble.history(1), ensemble.history(2)), (vec![10, 11, 12], vec![10, 11]));
    ensemble.lead(1, &[2]);
    ensemble.run();
    assert!(!ensemble.is_ready(1), "what 1 has is of an epoch that is over");
    ensemble.lead(2, &[1]);
    ensemble.run();
    assert_eq!(ensemble.delivered(1), [10, 11]);
}

// Paper, l.1.2: the initial history contains every history that a quorum has acknowledged, because any two quorums
// have a process in common.
#[test]
fn what_a_quorum_has_logged_is_in_every_later_initial_history() {
    for survivor in [1, 2] {
        let mut ensemble = Ensemble::led(3, 1);
        ensemble.hold(1, 3);
        // No COMMIT leaves.
        ensemble.hold(2, 1);
        ensemble.broadcast(1, 10).unwrap();
        ensemble.run();
        [1, 2, 3].into_iter().for_each(|id| ensemble.crash(id));
        for id in [survivor, 3] {
            ensemble.recover(id);
        }
        ensemble.lead(survivor, &[3]);
        ensemble.run();
        ensemble.release(1, 3);
        ensemble.release(2, 1);
        assert_eq!(ensemble.delivered(3), [10], "{survivor}");
    }
}

// Internals, leader activation: the first zxid of an epoch is that of NEWLEADER, and of no transaction.
#[test]
fn the_first_zxid_of_an_epoch_is_the_new_leaders() {
    let mut ensemble = with_history();
    ensemble.lead(2, &[1, 3]);
    ensemble.run();
    assert!(ensemble.said(2, 3).contains(&"NEWLEADER 2:0"));
    let (zxid, _) = ensemble.broadcast(2, 12).unwrap();
    assert_eq!(zxid, Zxid::new(Epoch(2), 1));
}
