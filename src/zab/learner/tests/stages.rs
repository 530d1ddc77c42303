//! The stages of a learner, each with a leader that keeps to the protocol.

use super::*;
use crate::limits::EPOCH_LEAD_MAX;
use crate::zab::packets::{put_fence_answer, put_left_out, put_revalidated};

#[test]
fn a_follower_goes_through_all_stages() {
    let mut it = Conversation::new(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
    assert_eq!(it.told(), "connect 1000");
    it.connect();
    assert_eq!(it.told(), "FOLLOWERINFO 0x100000000 [0000000000000001000100000000000000000000]");
    assert_eq!(
        it.says(|out| put_leader_info(out, Epoch(2), None)),
        "epochs 2 1\nsynced: ACKEPOCH 0x100000001 [00000001] and marks"
    );
    assert_eq!(it.says(|out| put_bare(out, packet::DIFF, z(1, 2))), "");
    let got = it.says(|out| {
        put_txn(out, packet::PROPOSAL, &txn(z(1, 2)));
        put_bare(out, packet::COMMIT, z(1, 2));
        put_data(out, packet::NEWLEADER, z(2, 0), format!("{THREE}version=0").as_bytes());
    });
    assert_eq!(got, "append 0x100000002\nepochs 2 2\nsynced: ACK 0x200000000\ncommit 0x100000002");
    assert_eq!(
        it.says(|out| put_bare(out, packet::UPTODATE, Zxid::NONE)),
        "synced: ACK 0x200000000\nFollowing { leader: ServerId(3), epoch: Epoch(2) }"
    );
    let got = it.says(|out| put_txn(out, packet::PROPOSAL, &txn(z(2, 1))));
    assert_eq!(got, "append 0x200000001\nsynced: ACK 0x200000001");
    assert_eq!(it.says(|out| put_bare(out, packet::COMMIT, z(2, 1))), "commit 0x200000001");
    assert_eq!(it.learner.is_up_to_date(), Some(Epoch(2)));
}

#[test]
fn what_is_active_does_not_undo_what_is_proposed() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let five = format!("{THREE}server.4=h4:2888:3888:participant\nversion=200000001");
    it.says(|out| {
        put_bare(out, packet::DIFF, Zxid::ZERO);
        put_txn(out, packet::PROPOSAL, &reconfig(z(2, 1), &five));
        put_data(out, packet::NEWLEADER, z(2, 0), format!("{THREE}version=100000000").as_bytes());
    });
    it.says(|out| put_bare(out, packet::UPTODATE, Zxid::NONE));
    let known = (it.learner.lasting.config.version, it.learner.lasting.last_seen.version);
    assert_eq!(known, (0x1_0000_0000, 0x2_0000_0001));
    // A configuration that an earlier leader proposed does not outlive a leader that does not have it.
    let mut it = it.again();
    it.says(|out| put_leader_info(out, Epoch(3), None));
    it.says(|out| {
        put_bare(out, packet::TRUNC, Zxid::ZERO);
        put_data(out, packet::NEWLEADER, z(3, 0), format!("{THREE}version=100000000").as_bytes());
    });
    assert_eq!(it.learner.lasting.last_seen.version, 0x1_0000_0000);
}

/// Before anything is written, each leader may give the first configuration a version of its own.
#[test]
fn an_earlier_first_configuration_than_ours_is_followed_and_not_taken_over() {
    for tried in [false, true] {
        let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
        let of_epoch_2 = Rc::new(config(0x2_0000_0000, THREE));
        if tried {
            // A vote carried the configuration of epoch 2, and the leader that the vote led to has another one.
            it.learner.lasting.try_config(it.now, of_epoch_2);
        } else {
            (it.learner.lasting.config, it.learner.lasting.last_seen) =
                (of_epoch_2.clone(), of_epoch_2);
        }
        it.says(|out| put_leader_info(out, Epoch(3), None));
        let told = format!("{THREE}version=100000000");
        it.says(|out| {
            put_bare(out, packet::DIFF, Zxid::ZERO);
            put_data(out, packet::NEWLEADER, z(3, 0), told.as_bytes());
        });
        it.says(|out| put_bare(out, packet::UPTODATE, Zxid::NONE));
        let known = (it.learner.lasting.config.version, it.learner.lasting.last_seen.version);
        let expected = if tried { 0x1_0000_0000 } else { 0x2_0000_0000 };
        assert_eq!(known, (expected, expected), "tried: {tried}");
    }
}

#[test]
fn a_role_that_only_a_vote_has_given_ends_where_the_leader_has_another_configuration() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    let observer = THREE.replacen("participant", "observer", 1);
    let own = Rc::new(config(0x1_0000_0000, &observer));
    (it.learner.lasting.config, it.learner.lasting.last_seen) = (own.clone(), own);
    // The server has looked for a leader, and found one, as a voter.
    it.learner.lasting.try_config(it.now, Rc::new(config(0x2_0000_0000, THREE)));
    assert!(!it.learner.lasting.is_observer);
    it.says(|out| put_leader_info(out, Epoch(3), None));
    it.says(|out| {
        put_bare(out, packet::DIFF, Zxid::ZERO);
        let told = format!("{observer}version=100000000");
        put_data(out, packet::NEWLEADER, z(3, 0), told.as_bytes());
    });
    assert!(it.learner.lasting.is_observer && it.learner.failure().is_none());
    it.says(|out| put_bare(out, packet::UPTODATE, Zxid::NONE));
    assert!(it.learner.failure().is_some(), "it comes again as an observer");
}

#[test]
fn where_the_history_began_is_taken_over_with_it_and_forgotten_with_a_leader_that_does_not_know() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
    it.says(|out| put_leader_info(out, Epoch(2), Some(Origin(7))));
    assert_eq!(it.learner.lasting.epochs.origin, None, "what it has is not the leader's yet");
    it.says(|out| {
        put_bare(out, packet::DIFF, z(1, 1));
        put_bare(out, packet::NEWLEADER, z(2, 0));
    });
    assert_eq!(it.learner.lasting.epochs.origin, Some(Origin(7)));
    assert_eq!(it.learner.lasting.marks().at(Zxid::ZERO), Some(Origin(7).mark()));
    let mut it = it.again();
    it.says(|out| put_leader_info(out, Epoch(3), None));
    assert_eq!(
        it.learner.lasting.epochs.origin, None,
        "a tree from there may be another history's"
    );
}

#[test]
fn an_origin_without_data_is_given_up_before_data_of_another_one_comes() {
    // A leader that got no further drew origin 7, and the ensemble began with another leader.
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    it.learner.lasting.epochs.origin = Some(Origin(7));
    // If the learner wrote the origin only with currentEpoch, a crash before that would leave origin 7 beside the
    // data.
    let told = it.says(|out| put_leader_info(out, Epoch(2), Some(Origin(8))));
    assert_eq!(it.learner.lasting.epochs.origin, None, "{told}");
    let (written, asked) = (told.find("epochs 2 1"), told.find("synced: "));
    assert!(written.is_some() && written < asked, "{told}");
}

#[test]
fn packets_may_come_byte_by_byte() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    let mut bytes = Vec::new();
    put_leader_info(&mut bytes, Epoch(2), None);
    put_bare(&mut bytes, packet::DIFF, z(1, 1));
    put_txn(&mut bytes, packet::PROPOSAL, &txn(z(1, 1)));
    put_bare(&mut bytes, packet::COMMIT, z(1, 1));
    put_bare(&mut bytes, packet::NEWLEADER, z(2, 0));
    for byte in bytes {
        it.bytes(&[byte]);
    }
    assert_eq!(
        it.told(),
        "append 0x100000001\nepochs 2 1\nsynced: ACKEPOCH 0x0 [00000001]\ncommit 0x100000001\n--\n\
         epochs 2 2\nsynced: ACK 0x200000000"
    );
}

#[test]
fn proposals_of_one_turn_are_acknowledged_together() {
    let mut it = Conversation::following();
    let got = it.says(|out| {
        (1..4).for_each(|counter| put_txn(out, packet::PROPOSAL, &txn(z(2, counter))));
    });
    assert_eq!(
        got,
        "append 0x200000001 0x200000002 0x200000003\n\
         synced: ACK 0x200000001, ACK 0x200000002, ACK 0x200000003"
    );
}

#[test]
fn an_epoch_that_was_accepted_before_is_not_counted_again() {
    let mut it = Conversation::connected(LearnerKind::Follower, 2, 1, &[z(1, 1)]);
    assert_eq!(
        it.says(|out| put_leader_info(out, Epoch(2), None)),
        "synced: ACKEPOCH 0x100000001 [ffffffff] and marks"
    );
}

#[test]
fn an_epoch_that_no_elections_explain_is_not_written_down() {
    let known = EPOCH_LEAD_MAX + 1;
    for (epoch, is_refused) in [(known, false), (known + 1, true), (i64::from(i32::MAX), true)] {
        let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
        let told = it.says(|out| put_leader_info(out, Epoch(epoch), None));
        assert_eq!(told.contains("failed elections do not explain that"), is_refused, "{told}");
        assert_eq!(it.learner.lasting.epochs.accepted, Epoch(if is_refused { 1 } else { epoch }));
    }
    // The voters of this leader have followed it to that epoch.
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
    it.learner.target.voted = Epoch(50_000);
    it.says(|out| put_leader_info(out, Epoch(50_001), None));
    assert_eq!(it.learner.lasting.epochs.accepted, Epoch(50_001));
}

/// ACKEPOCH says "do not count me" by an epoch of -1; no followed epoch says that.
#[test]
fn a_server_that_followed_nobody_yet_counts_if_it_has_data_and_only_then() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 0, &[z(1, 9)]);
    assert_eq!(
        it.says(|out| put_leader_info(out, Epoch(2), None)),
        "epochs 2 0\nsynced: ACKEPOCH 0x100000009 [00000000] and marks"
    );
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 0, &[Zxid::NONE]);
    assert_eq!(
        it.says(|out| put_leader_info(out, Epoch(2), None)),
        "epochs 2 0\nsynced: ACKEPOCH 0xffffffffffffffff [ffffffff] and marks"
    );
}

/// A server that cannot cut its history:
///
/// 1. A leader says where to cut, and the server cannot cut there, so it wants the tree.
/// 2. The leader is lost.
/// 3. The next leader needs this server for its quorum, and does not count a server that hides its history.
#[test]
fn a_server_that_needs_the_tree_is_counted_by_a_new_leader_before_it_asks_for_it() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 9)]);
    it.learner.lasting.wants_tree = true;
    let counted = "epochs 2 1\nsynced: ACKEPOCH 0x100000009 [00000001] and marks";
    assert_eq!(it.says(|out| put_leader_info(out, Epoch(2), None)), counted);
    // The server cannot cut its history where this leader says either. In this leader's epoch it need not be counted
    // again.
    it.learner.lasting.wants_tree = true;
    let mut it = it.again();
    let asks = "synced: ACKEPOCH 0xffffffffffffffff [ffffffff] and marks";
    assert_eq!(it.says(|out| put_leader_info(out, Epoch(2), None)), asks);
}

#[test]
fn a_log_that_is_too_long_is_cut_before_anything_is_appended() {
    let log = [z(1, 1), z(1, 2), z(1, 3)];
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &log);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let got = it.says(|out| {
        put_bare(out, packet::TRUNC, z(1, 2));
        put_txn(out, packet::PROPOSAL, &txn(z(2, 1)));
        put_bare(out, packet::COMMIT, z(2, 1));
        put_bare(out, packet::NEWLEADER, z(2, 0));
    });
    assert_eq!(
        got,
        "truncate 0x100000002\n--\n\
         append 0x200000001\nepochs 2 2\nsynced: ACK 0x200000000\ncommit 0x200000001"
    );
}

#[test]
fn a_tree_replaces_everything_and_what_it_holds_is_not_taken_twice() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let got = it.says(|out| {
        put_bare(out, packet::SNAP, z(1, 9));
        out.extend_from_slice(b"abc");
    });
    assert_eq!(got, "SnapshotBegins { zxid: Zxid(0x100000009), digest: None }\ntree abc");
    // The replica finds the end of the tree within the piece.
    it.bytes(b"defg");
    assert_eq!(it.told(), "tree defg");
    let mut rest = Vec::new();
    put_txn(&mut rest, packet::PROPOSAL, &txn(z(1, 9)));
    put_bare(&mut rest, packet::COMMIT, z(1, 9));
    put_txn(&mut rest, packet::PROPOSAL, &txn(z(1, 10)));
    let (rest, later) = rest.split_at(30);
    // Bytes that came meanwhile follow the rest.
    it.bytes(later);
    it.learner.snapshot_received(None, rest);
    assert_eq!(it.told(), "restore 0x100000009\n--\nappend 0x10000000a");
    assert_eq!(
        it.says(|out| put_bare(out, packet::NEWLEADER, z(2, 0))),
        "epochs 2 2\nsynced: ACK 0x200000000, ACK 0x10000000a"
    );
}

#[test]
fn what_was_pending_under_the_former_leader_is_committed_with_a_diff() {
    let mut it = Conversation::following();
    it.says(|out| {
        put_txn(out, packet::PROPOSAL, &txn(z(2, 1)));
        put_txn(out, packet::PROPOSAL, &txn(z(2, 2)));
        put_bare(out, packet::COMMIT, z(2, 1));
    });
    let mut it = it.again();
    assert_eq!(
        it.says(|out| put_leader_info(out, Epoch(3), None)),
        "epochs 3 2\nsynced: ACKEPOCH 0x200000002 [00000002] and marks"
    );
    assert_eq!(it.says(|out| put_bare(out, packet::DIFF, z(2, 2))), "commit 0x200000002");
}

#[test]
fn what_was_pending_and_is_cut_off_is_never_committed() {
    let mut it = Conversation::following();
    it.says(|out| (1..4).for_each(|at| put_txn(out, packet::PROPOSAL, &txn(z(2, at)))));
    let mut it = it.again();
    it.says(|out| put_leader_info(out, Epoch(3), None));
    let got = it.says(|out| put_bare(out, packet::TRUNC, z(2, 2)));
    assert_eq!(got, "commit 0x200000001 0x200000002\n--\ntruncate 0x200000002");
    assert_eq!(it.learner.lasting.journal.accepted(), z(2, 2));
}

#[test]
fn an_observer_logs_what_it_is_informed_of() {
    let mut it = Conversation::connected(LearnerKind::Observer, 1, 1, &[]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let got = it.says(|out| {
        put_bare(out, packet::DIFF, z(1, 1));
        put_txn(out, packet::PROPOSAL, &txn(z(1, 1)));
        // An old leader sends even observers proposals that it has not committed.
        put_txn(out, packet::PROPOSAL, &txn(z(1, 2)));
        put_bare(out, packet::COMMIT, z(1, 1));
        put_bare(out, packet::NEWLEADER, z(2, 0));
        put_txn(out, packet::INFORM, &txn(z(1, 2)));
        put_bare(out, packet::UPTODATE, Zxid::NONE);
        put_txn(out, packet::INFORM, &txn(z(2, 1)));
    });
    assert_eq!(
        got,
        "append 0x100000001 0x100000002 0x200000001\nepochs 2 2\n\
         synced: ACK 0x200000000\n\
         commit 0x100000001 0x100000002\nObserving { leader: ServerId(3), epoch: Epoch(2) }\n--\n\
         synced: ACK 0x200000000\ncommit 0x200000001"
    );
}

#[test]
fn a_master_that_is_a_ringkeeper_says_what_it_has_left_out_and_no_fence_is_a_sync() {
    let says = |out: &mut Vec<u8>| {
        put_left_out(out, SessionId(8));
        put_fence_answer(out);
        put_revalidated(out, SessionId(8), false, None);
    };
    let mut it = Conversation::following();
    assert_eq!(
        it.says(says),
        "LeftOut { session: SessionId(0x8) }\n\
         Revalidated { session: SessionId(0x8), valid: false, tenure: None }"
    );
    // From any other master, the bytes behind an answer mean nothing.
    let mut it = Conversation::following_one(|out| {
        put_data(out, packet::LEADERINFO, z(2, 0), &0x10000_i32.to_be_bytes());
    });
    let no = "Revalidated { session: SessionId(0x8), valid: false, tenure: None }";
    assert_eq!(it.says(says), format!("{no}\n{no}"));
}

#[test]
fn what_a_session_is_is_said_to_leaders_that_read_it() {
    let mut it = Conversation::following();
    for scope in [SessionScope::Local, SessionScope::Global, SessionScope::Unsaid] {
        let request = PassedRequest { scope, ..request(OpCode::Create, b"") };
        it.learner.forward(&request);
    }
    let body = "[00000000000000070000000300000001]";
    let expected = format!(
        "REQUEST 0xfffffffffffffffe {body}\nREQUEST 0xfffffffffffffffd {body}\n\
         REQUEST 0xffffffffffffffff {body}"
    );
    assert_eq!(it.told(), expected);
    // Apache ZooKeeper's LEADERINFO ends behind the number of its protocol.
    let mut it = Conversation::following_one(|out| {
        put_data(out, packet::LEADERINFO, z(2, 0), &0x10000_i32.to_be_bytes());
    });
    it.learner.forward(&request(OpCode::Create, b""));
    assert_eq!(it.told(), format!("REQUEST 0xffffffffffffffff {body}"));
}

#[test]
fn requests_carry_identities_and_pings_carry_sessions() {
    let mut it = Conversation::following();
    let learner = &mut it.learner;
    learner.forward(&request(OpCode::Create, b"body"));
    learner.revalidate(SessionId(8), 4000, None);
    let kept = Some(Tenure { since: z(1, 9), turn: 2 });
    learner.revalidate(SessionId(8), 4000, kept);
    learner.answer_ping(z(2, 0), std::iter::empty());
    learner.answer_ping(z(2, 0), [(SessionId(9), 5)].into_iter());
    let got = it.told();
    assert_eq!(
        got,
        "REQUEST 0xfffffffffffffffd [00000000000000070000000300000001626f6479]\n\
         REVALIDATE 0xffffffffffffffff [000000000000000800000fa0]\n\
         REVALIDATE 0xffffffffffffffff \
         [000000000000000800000fa000000001000000090000000000000002]\n\
         PING 0x200000000 []\n\
         PING 0x200000000 [000000000000000900000005]"
    );
    let got = it.says(|out| {
        put_bare(out, packet::PING, z(2, 5));
        put_bare(out, packet::SYNC, Zxid::ZERO);
        put_data(out, packet::REVALIDATE, Zxid::NONE, &[0, 0, 0, 0, 0, 0, 0, 8, 1]);
    });
    assert_eq!(
        got,
        "Ping { zxid: Zxid(0x200000005) }\nSyncDone\n\
         Revalidated { session: SessionId(0x8), valid: true, tenure: None }"
    );
}

#[test]
fn a_ping_is_not_answered_before_the_ack_of_newleader_was_heard() {
    let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    let got = it.says(|out| {
        put_bare(out, packet::DIFF, Zxid::ZERO);
        put_bare(out, packet::PING, Zxid::ZERO);
        put_bare(out, packet::NEWLEADER, z(2, 0));
        put_bare(out, packet::PING, Zxid::ZERO);
    });
    assert_eq!(got, "epochs 2 2\nsynced: ACK 0x200000000");
}

#[test]
fn a_configuration_is_seen_when_proposed_and_active_when_committed() {
    let mut it = Conversation::following();
    let four = format!("{THREE}server.4=h4:2888:3888:observer\nversion=200000001");
    let got = it.says(|out| put_txn(out, packet::PROPOSAL, &reconfig(z(2, 1), &four)));
    assert_eq!(got, "append 0x200000001\nsynced: ACK 0x200000001\nproposed 200000001");
    let activate =
        |out: &mut Vec<u8>| crate::zab::packets::put_commit_and_activate(out, z(2, 1), LEADER);
    assert_eq!(it.says(activate), "commit 0x200000001\nactive 200000001");
    assert!(it.learner.failure().is_none());
}

#[test]
fn a_new_leader_by_reconfiguration_is_followed_without_an_election() {
    let mut it = Conversation::following();
    let text = "server.1=h1:2888:3888:participant\nserver.2=h2:2888:3888:participant\n\
                version=200000001";
    let got = it.says(|out| {
        put_txn(out, packet::PROPOSAL, &reconfig(z(2, 1), text));
        crate::zab::packets::put_commit_and_activate(out, z(2, 1), ServerId(2));
    });
    assert_eq!(
        got,
        "append 0x200000001\nproposed 200000001\n--\n\
         close\nsynced: ACK 0x200000001\ncommit 0x200000001\nactive 200000001\n--\n\
         left for 2: a reconfiguration changed its leader or this server's role"
    );
}

#[test]
fn an_observer_that_becomes_a_voter_leaves_to_come_back_as_one() {
    let mut it = Conversation::connected(LearnerKind::Observer, 1, 1, &[]);
    it.says(|out| put_leader_info(out, Epoch(2), None));
    it.says(|out| put_bare(out, packet::DIFF, Zxid::ZERO));
    it.says(|out| put_bare(out, packet::NEWLEADER, z(2, 0)));
    it.says(|out| put_bare(out, packet::UPTODATE, Zxid::NONE));
    let voters = format!("{THREE}version=200000001");
    let got = it.says(|out| {
        put_inform_and_activate(out, &reconfig(z(2, 1), &voters), LEADER);
    });
    assert!(got.contains("commit 0x200000001"), "{got}");
    // The members are the same as before here: only the version changed.
    assert!(it.learner.failure().is_none());
    let more = format!("{THREE}server.4=h4:2888:3888:observer\nversion=200000002");
    let got = it.says(|out| {
        put_inform_and_activate(out, &reconfig(z(2, 2), &more), LEADER);
    });
    assert!(
        got.ends_with("left for 3: a reconfiguration changed its leader or this server's role")
    );
    assert!(!it.learner.lasting.is_observer);
}
