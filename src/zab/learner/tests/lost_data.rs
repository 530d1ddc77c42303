//! Bugs of ZooKeeper's learners that lost data. Each test tells the whole story of one.

use super::*;

/// ZOOKEEPER-3911, ZOOKEEPER-4646:
///
/// 1. A follower gets history with its DIFF, applies it and acknowledges NEWLEADER.
/// 2. The leader counts the follower, and the epoch begins.
/// 3. All servers crash before the follower has written its log. What was committed is on fewer disks than a quorum.
#[test]
fn the_ack_of_newleader_leaves_behind_the_history() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let first = it.says(|out| {
        put_bare(out, packet::DIFF, z(1, 2));
        put_txn(out, packet::PROPOSAL, &txn(z(1, 1)));
        put_bare(out, packet::COMMIT, z(1, 1));
    });
    let second = it.says(|out| {
        put_txn(out, packet::PROPOSAL, &txn(z(1, 2)));
        put_bare(out, packet::COMMIT, z(1, 2));
        put_bare(out, packet::NEWLEADER, z(2, 0));
    });
    assert_eq!(first, "append 0x100000001\ncommit 0x100000001");
    assert_eq!(
        second,
        "append 0x100000002\nepochs 2 2\nsynced: ACK 0x200000000\ncommit 0x100000002"
    );
}

/// ZOOKEEPER-4643, ZOOKEEPER-4785:
///
/// 1. A follower writes currentEpoch 2, and then the history of that epoch (or the snapshot, after a TRUNC or SNAP).
/// 2. The follower crashes between the two.
/// 3. With epoch 2 and the log of epoch 1, the follower wins an election against servers that have all of epoch 2,
///    and cuts their logs.
#[test]
fn the_current_epoch_is_written_behind_the_history_it_vouches_for() {
    // A DIFF: the epochs are in the Ready of the history, behind it.
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let got = it.says(|out| {
        put_bare(out, packet::DIFF, z(1, 2));
        put_txn(out, packet::PROPOSAL, &txn(z(1, 2)));
        put_bare(out, packet::NEWLEADER, z(2, 0));
    });
    assert!(got.starts_with("append 0x100000002\nepochs 2 2\nsynced: ACK"), "{got}");
    // A TRUNC.
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1), z(1, 2)]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let got = it.says(|out| {
        put_bare(out, packet::TRUNC, z(1, 1));
        put_bare(out, packet::NEWLEADER, z(2, 0));
    });
    assert_eq!(got, "truncate 0x100000001\n--\nepochs 2 2\nsynced: ACK 0x200000000");
    // A SNAP.
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    it.says(|out| put_bare(out, packet::SNAP, z(1, 9)));
    let mut rest = Vec::new();
    put_bare(&mut rest, packet::NEWLEADER, z(2, 0));
    it.learner.snapshot_received(None, &rest);
    assert_eq!(it.told(), "restore 0x100000009\n--\nepochs 2 2\nsynced: ACK 0x200000000");
}

/// ZOOKEEPER-4394:
///
/// 1. A proposal comes with the history, but its COMMIT does not yet.
/// 2. NEWLEADER comes.
/// 3. The COMMIT finds no proposal, because the follower has thrown it away, and the follower goes on without it.
///    The leader waits for an ACK that never comes.
#[test]
fn a_proposal_before_newleader_may_be_committed_after_it() {
    for commit_before_up_to_date in [true, false] {
        let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
        it.says(|out| put_leader_info(out, Epoch(2), None));
        let got = it.says(|out| {
            put_bare(out, packet::DIFF, Zxid::ZERO);
            put_txn(out, packet::PROPOSAL, &txn(z(2, 1)));
            put_bare(out, packet::NEWLEADER, z(2, 0));
        });
        assert_eq!(got, "append 0x200000001\nepochs 2 2\nsynced: ACK 0x200000000, ACK 0x200000001");
        let got = it.says(|out| {
            if commit_before_up_to_date {
                put_bare(out, packet::COMMIT, z(2, 1));
            }
            put_bare(out, packet::UPTODATE, Zxid::NONE);
            if !commit_before_up_to_date {
                put_bare(out, packet::COMMIT, z(2, 1));
            }
        });
        assert!(got.contains("commit 0x200000001"), "{got}");
        assert!(it.learner.failure().is_none());
    }
}

/// The learner logs and acknowledges a proposal between NEWLEADER and UPTODATE like any other, behind the ACK of
/// NEWLEADER.
#[test]
fn a_proposal_between_newleader_and_uptodate_is_acknowledged() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let got = it.says(|out| {
        put_bare(out, packet::DIFF, Zxid::ZERO);
        put_bare(out, packet::NEWLEADER, z(2, 0));
        put_txn(out, packet::PROPOSAL, &txn(z(2, 1)));
        put_bare(out, packet::UPTODATE, Zxid::NONE);
        put_bare(out, packet::COMMIT, z(2, 1));
    });
    assert_eq!(
        got,
        "append 0x200000001\nepochs 2 2\nsynced: ACK 0x200000000\n\
         Following { leader: ServerId(3), epoch: Epoch(2) }\n--\n\
         synced: ACK 0x200000001, ACK 0x200000000\ncommit 0x200000001"
    );
}

/// The accepted epoch is a promise: the learner writes it to its disk before ACKEPOCH says so.
#[test]
fn the_accepted_epoch_is_written_before_it_is_promised() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    let got = it.says(|out| put_leader_info(out, Epoch(2), None));
    assert_eq!(got, "epochs 2 1\nsynced: ACKEPOCH 0x0 [00000001]");
}

/// ZooKeeper cuts a log at a zxid that is not in it, and then believes to have that zxid:
///
/// 1. This server wrote 1:1 and 2:1, and crashed before it wrote currentEpoch 2.
/// 2. Another server, with 1:1 and 1:2, leads epoch 3.
/// 3. The leader says "cut at 1:2". Transaction 1:1 stays, and 1:2 would never come.
#[test]
fn a_log_is_not_believed_to_hold_where_it_was_cut() {
    let mut it = Conversation::connected(LearnerKind::Follower, 2, 1, &[z(1, 1), z(2, 1)]);
    it.says(|out| put_leader_info(out, Epoch(3), None));
    let got = it.says(|out| put_bare(out, packet::TRUNC, z(1, 2)));
    assert_eq!(
        got,
        "truncate 0x100000001\n--\nclose\n--\n\
         left: its log holds 0x100000002 and ours does not: asking again from 0x100000001"
    );
    let mut it = it.again();
    let got = it.says(|out| put_leader_info(out, Epoch(3), None));
    assert_eq!(got, "synced: ACKEPOCH 0x100000001 [ffffffff] and marks");
}
