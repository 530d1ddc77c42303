//! When a learner leaves its leader, and what it says about the reason.

use super::*;

fn left(mut it: Conversation, write: impl FnOnce(&mut Vec<u8>)) -> String {
    it.says(write);
    it.learner.failure().expect("it left").reason.clone()
}

fn chosen() -> Conversation {
    let log = [z(1, 1), z(1, 2)];
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &log);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    it
}

#[test]
fn connecting_is_tried_five_times() {
    let mut it = Conversation::new(LearnerKind::Follower, 1, 1, &[]);
    for _ in 0..4 {
        assert!(it.told().starts_with("connect"));
        let event = LinkEvent::Closed { link: it.learner.link.unwrap(), reason: "refused" };
        it.learner.handle_link(it.now, event);
        assert_eq!(it.told(), "");
        assert_eq!(it.learner.next_timeout(), Some(it.now.plus_ms(100)));
        it.now = it.now.plus_ms(100);
        it.learner.handle_timeout(it.now);
    }
    it.told();
    let event = LinkEvent::Closed { link: it.learner.link.unwrap(), reason: "refused" };
    it.learner.handle_link(it.now, event);
    assert_eq!(it.told(), "left: it could not be reached, 5 times: refused");
}

#[test]
fn a_connection_that_is_not_made_in_time_is_given_up() {
    let mut it = Conversation::new(LearnerKind::Follower, 1, 1, &[]);
    it.told();
    assert_eq!(it.waits_ms(999), "");
    assert_eq!(it.waits_ms(1), "close\n--\nleft: it could not be reached in time");
}

#[test]
fn a_silent_leader_is_left() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    assert_eq!(it.waits_ms(999), "");
    assert_eq!(it.waits_ms(1), "close\n--\nleft: nothing was heard of it for 1000 ms");
    let mut it = Conversation::following();
    assert_eq!(it.waits_ms(499), "");
    it.says(|out| put_bare(out, packet::PING, Zxid::ZERO));
    assert_eq!(it.waits_ms(499), "");
    assert_eq!(it.waits_ms(1), "close\n--\nleft: nothing was heard of it for 500 ms");
}

#[test]
fn a_leader_of_an_earlier_epoch_is_left() {
    // The learner has followed a later epoch, so the leader's history is another one.
    let it = Conversation::connected(LearnerKind::Follower, 3, 3, &[]);
    let reason = left(it, |out| put_leader_info(out, Epoch(2), None));
    let expected = "server 3 leads epoch 2, and this server has followed epoch 3";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(reason.contains("move its version-2 folders"), "{reason}");
    // A leader of Apache ZooKeeper would count the learner.
    let it = Conversation::connected(LearnerKind::Follower, 3, 1, &[]);
    let version = crate::proto::quorum::PROTOCOL_VERSION.to_be_bytes();
    let reason = left(it, |out| put_data(out, packet::LEADERINFO, z(2, 0), &version));
    let expected = "server 3 leads epoch 2, and this server has accepted epoch 3";
    assert!(reason.starts_with(expected), "{reason}");
}

/// The learner has promised to follow a leader of a later epoch, which got no further. The promise stays, and the
/// present leader does not count the learner.
#[test]
fn a_leader_that_does_not_count_it_is_followed_in_an_earlier_epoch_than_was_accepted() {
    let mut it = Conversation::connected(LearnerKind::Follower, 3, 1, &[z(1, 1)]);
    assert_eq!(
        it.says(|out| put_leader_info(out, Epoch(2), None)),
        "synced: ACKEPOCH 0x100000001 [ffffffff] and marks"
    );
    it.says(|out| put_bare(out, packet::DIFF, z(1, 1)));
    assert_eq!(
        it.says(|out| put_bare(out, packet::NEWLEADER, z(2, 0))),
        "epochs 3 2\nsynced: ACK 0x200000000"
    );
    it.says(|out| put_bare(out, packet::UPTODATE, Zxid::NONE));
    assert_eq!(it.learner.is_up_to_date(), Some(Epoch(2)));
}

#[test]
fn a_leader_with_another_history_is_left_with_what_can_be_done() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let theirs = Mark { zxid: z(1, 1), txn: Some((SessionId(9), 5)), digest: None };
    let reason = left(it, |out| put_other_history(out, Epoch(2), theirs));
    assert!(reason.contains("at zxid 0x100000001 it has a transaction of session"), "{reason}");
    assert!(reason.contains("move its version-2 folders"), "{reason}");
}

#[test]
fn a_gap_between_proposals_is_not_accepted() {
    let mut it = chosen();
    it.says(|out| put_bare(out, packet::DIFF, z(1, 4)));
    let reason = left(it, |out| put_txn(out, packet::PROPOSAL, &txn(z(1, 4))));
    assert_eq!(
        reason,
        "it sent 0x100000004 after 0x100000002 in epoch 2: something is missing, or comes twice"
    );
    let mut it = Conversation::following();
    it.says(|out| put_txn(out, packet::PROPOSAL, &txn(z(2, 1))));
    left(it, |out| put_txn(out, packet::PROPOSAL, &txn(z(2, 1))));
    let it = Conversation::following();
    left(it, |out| put_txn(out, packet::PROPOSAL, &txn(z(1, 7))));
}

#[test]
fn a_commit_of_what_was_not_proposed_is_not_passed_over() {
    let it = Conversation::following();
    let reason = left(it, |out| put_bare(out, packet::COMMIT, z(2, 1)));
    assert_eq!(reason, "it commits 0x200000001, but the next proposal is not there");
    let mut it = Conversation::following();
    it.says(|out| (1..4).for_each(|at| put_txn(out, packet::PROPOSAL, &txn(z(2, at)))));
    let reason = left(it, |out| put_bare(out, packet::COMMIT, z(2, 2)));
    assert_eq!(reason, "it commits 0x200000002, but the next proposal is 0x200000001");
}

#[test]
fn packets_out_of_their_order_are_errors() {
    let new = || Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    left(new(), |out| put_bare(out, packet::NEWLEADER, z(2, 0)));
    left(new(), |out| out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n"));
    left(chosen(), |out| put_bare(out, packet::NEWLEADER, z(2, 0)));
    left(chosen(), |out| put_bare(out, packet::TRUNC, z(1, 3)));
    left(chosen(), |out| put_bare(out, packet::SNAP, Zxid::NONE));
    let history = || {
        let mut it = chosen();
        it.says(|out| put_bare(out, packet::DIFF, z(1, 2)));
        it
    };
    left(history(), |out| put_bare(out, packet::UPTODATE, Zxid::NONE));
    left(history(), |out| put_bare(out, packet::NEWLEADER, z(3, 0)));
    left(history(), |out| put_bare(out, packet::DIFF, z(1, 2)));
    left(history(), |out| put_data(out, packet::PROPOSAL, z(1, 3), b"no transaction"));
    let mut it = history();
    it.says(|out| put_bare(out, packet::NEWLEADER, z(2, 0)));
    left(it, |out| put_bare(out, packet::NEWLEADER, z(2, 0)));
}

#[test]
fn the_end_of_a_link_in_the_middle_of_a_tree_gives_the_tree_up() {
    let mut it = chosen();
    it.says(|out| put_bare(out, packet::SNAP, z(1, 9)));
    it.bytes(b"half");
    let event = LinkEvent::Closed { link: it.learner.link.unwrap(), reason: "reset" };
    it.learner.handle_link(it.now, event);
    assert_eq!(it.told(), "SnapshotAborted\n--\nleft: the connection ended: reset");
    // The learner has lost nothing.
    assert_eq!(it.learner.lasting.journal.accepted(), z(1, 2));
}

#[test]
fn a_leader_that_does_not_read_is_left() {
    let mut it = Conversation::following();
    let body = vec![0; 1 << 20];
    for _ in 0..=LEARNER_OUTPUT_BYTES_MAX >> 20 {
        let learner = &mut it.learner;
        learner.forward(&request(OpCode::Create, &body));
        it.learner.lasting.ready = ReadyQueue::default();
    }
    assert!(it.learner.failure().unwrap().reason.starts_with("it does not read"));
}
