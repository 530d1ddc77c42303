//! Phase 2, synchronization: a quorum takes over the initial history, and only then does the epoch begin.

use ringkeeper::id::{Epoch, Zxid};
use ringkeeper::proto::quorum::packet;
use ringkeeper::zab::packets::{put_bare, put_leader_info};

use crate::ensemble::Ensemble;

/// An ensemble of three, in which 2 and 3 lack what 1 has broadcast in epoch 1: 10 and 11. No process leads.
fn behind() -> Ensemble {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.crash(3);
    ensemble.broadcast(1, 10).unwrap();
    ensemble.broadcast(1, 11).unwrap();
    ensemble.run();
    ensemble.recover(3);
    ensemble.crash(2);
    ensemble
}

// Paper, l.2.1.
#[test]
fn a_leader_proposes_its_epoch_with_the_whole_initial_history() {
    let mut ensemble = behind();
    ensemble.lead(1, &[3]);
    ensemble.run();
    let said = ensemble.said(1, 3);
    let history = said.iter().skip_while(|line| **line != "DIFF 1:2").copied();
    let expected = [
        "DIFF 1:2",
        "PROPOSAL 1:1",
        "COMMIT 1:1",
        "PROPOSAL 1:2",
        "COMMIT 1:2",
        "NEWLEADER 2:0",
        "UPTODATE",
    ];
    assert_eq!(history.collect::<Vec<_>>(), expected);
}

// Paper, f.2.1: a follower accepts the history and makes the epoch its own, in one step; then it acknowledges.
#[test]
fn a_follower_acknowledges_an_initial_history_when_it_and_the_epoch_are_on_the_disk() {
    let mut ensemble = behind();
    let acks = ensemble.count(3, 1, "ACK");
    ensemble.lead(1, &[3]);
    ensemble.slow(3);
    ensemble.run();
    let mut seen = vec![];
    loop {
        seen.push((ensemble.history(3), ensemble.epochs(3), ensemble.count(3, 1, "ACK") - acks));
        if !ensemble.write(3) {
            break;
        }
        ensemble.run();
    }
    // A crash between any two of these leaves an earlier history with an earlier epoch.
    assert!(seen.iter().all(|(history, (_, current), _)| *current < 2 || history == &[10, 11]));
    assert!(seen.iter().all(|(_, (_, current), acks)| *acks == 0 || *current == 2), "{seen:?}");
    assert!(seen.last().unwrap().2 > 0, "in the end it acknowledges: {seen:?}");
}

// Paper, f.2.1: if the epoch is another one, the follower begins anew.
#[test]
fn a_follower_takes_no_initial_history_of_another_epoch_than_it_has_promised() {
    let mut ensemble = Ensemble::led(3, 1);
    ensemble.hold(1, 2);
    ensemble.follow(1, &[2]);
    ensemble.run();
    let acks = ensemble.count(2, 1, "ACK");
    ensemble.forge(1, 2, |out| {
        put_leader_info(out, Epoch(1), None);
        put_bare(out, packet::DIFF, Zxid::ZERO);
        put_bare(out, packet::NEWLEADER, Zxid::new(Epoch(2), 0));
    });
    assert!(!ensemble.is_follower(2), "it has left");
    assert_eq!((ensemble.count(2, 1, "ACK"), ensemble.epochs(2)), (acks, (1, 1)));
}

/// An ensemble of five. Its leader, 1, hears nothing any more since it has proposed the initial history.
fn unacknowledged() -> Ensemble {
    let mut ensemble = Ensemble::of(5);
    ensemble.lead(1, &[2, 3, 4, 5]);
    ensemble.run_until(|ensemble| (2..=5).any(|id| ensemble.count(1, id, "NEWLEADER") == 1));
    (2..=5).for_each(|id| ensemble.hold(id, 1));
    ensemble
}

// Paper, l.2.2; Internals, leader activation.
#[test]
fn an_initial_history_is_committed_when_a_quorum_has_acknowledged_it() {
    let mut ensemble = unacknowledged();
    ensemble.run();
    ensemble.release(2, 1);
    assert!(!ensemble.is_ready(1), "two of five are no quorum");
    ensemble.release(3, 1);
    assert!(ensemble.is_ready(1));
    let up_to_date = |id| ensemble.count(1, id, "UPTODATE");
    assert_eq!((2..=5).map(up_to_date).collect::<Vec<_>>(), [1, 1, 0, 0]);
}

// Internals, leader activation: the leader counts as a follower as well.
#[test]
fn a_leader_is_one_of_the_quorum_when_its_own_disk_has_the_epoch() {
    let mut ensemble = unacknowledged();
    ensemble.slow(1);
    ensemble.run();
    ensemble.release(2, 1);
    ensemble.release(3, 1);
    assert!(!ensemble.is_ready(1));
    ensemble.fast(1);
    assert!(ensemble.is_ready(1));
}

// Paper, f.2.2.
#[test]
fn a_follower_delivers_the_initial_history_in_its_order_when_that_is_committed() {
    let mut ensemble = behind();
    ensemble.lead(1, &[3]);
    let acks = ensemble.count(3, 1, "ACK");
    ensemble.run_until(|ensemble| ensemble.count(3, 1, "ACK") > acks);
    ensemble.hold(1, 3);
    ensemble.run();
    assert_eq!((ensemble.is_ready(3), ensemble.ever_delivered(3)), (false, vec![]));
    ensemble.release(1, 3);
    assert_eq!(ensemble.delivered(3), [10, 11]);
}
