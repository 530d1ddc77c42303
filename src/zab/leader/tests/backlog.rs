//! Learners that do not take what the leader sends: the leader cuts them off, and they cost the others nothing.

use bytes::Bytes;

use super::script::Script;
use crate::id::{SessionId, Zxid};
use crate::limits::{LEARNER_BACKLOG_BYTES_MAX, LEARNER_SPREAD_BYTES_MAX, LEARNER_WINDOW_BYTES};
use crate::proto::OpCode;
use crate::proto::txn::{SetDataTxn, Txn, TxnBody, TxnHeader};
use crate::zab::tests::{TREE_END, zxid};

fn large(at: Zxid, bytes: usize) -> Txn {
    let (client_id, op) = (SessionId(0), OpCode::SetData);
    let header = TxnHeader { client_id, cxid: 0, zxid: at, time: 0, op };
    let data = vec![b'x'; bytes];
    let body = SetDataTxn { path: Some("/a"), data: Some(&data), version: 1 };
    Txn::new(header, &TxnBody::SetData(body), None)
}

/// Server 1 leads, servers 2 and 3 follow, and the leader may not read log files.
fn ensemble() -> Script {
    let mut script = Script::new("1 of 1,2,3/4 epochs=1,1 recent=1:7,1:8 nofiles");
    for line in [
        "connect 2",
        "2 -> FOLLOWERINFO 1:0",
        "connect 3",
        "3 -> FOLLOWERINFO 1:0",
        "durable",
        "2 -> ACKEPOCH 1:8 1",
        "3 -> ACKEPOCH 1:8 1",
        "durable",
        "2 -> ACK 2:0",
        "3 -> ACK 2:0",
    ] {
        script.event(line);
    }
    script.said();
    script
}

#[test]
fn a_learner_that_takes_nothing_is_cut_off_and_the_others_go_on() {
    let mut script = ensemble();
    script.hanging.push("3".to_owned());
    let bytes = 4 << 20;
    let mut at = zxid("2:0");
    let mut sent = 0;
    while !script.said().contains("close 3") {
        assert!(sent <= LEARNER_BACKLOG_BYTES_MAX, "{sent} bytes wait for it");
        at = at.next().unwrap();
        script.leader.propose(large(at, bytes));
        sent += bytes as u64;
        script.take();
    }
    assert!(sent > LEARNER_BACKLOG_BYTES_MAX / 2);
    script.event("synced");
    script.event(&format!("2 -> ACK 2:{}", at.counter()));
    assert_eq!(script.leader.committed(), at);
    assert!(script.said().contains(&format!("2 <- COMMIT 2:{}", at.counter())));
}

#[test]
fn a_long_history_goes_out_only_as_fast_as_it_is_taken() {
    let mut script = ensemble();
    let bytes = 1 << 20;
    let mut at = zxid("2:0");
    for _ in 0..20 {
        at = at.next().unwrap();
        script.leader.propose(large(at, bytes));
    }
    script.take();
    script.event("synced");
    script.event("2 -> ACK 2:20");
    script.said();
    script.hanging.push("4".to_owned());
    script.event("connect 4");
    script.event("4 -> OBSERVERINFO 1:0");
    script.event("4 -> ACKEPOCH 1:8 1");
    let said = script.said();
    let proposals = said.matches("4 <- PROPOSAL").count() as u64;
    assert!(proposals > 0 && proposals <= LEARNER_WINDOW_BYTES / bytes as u64 + 1, "{proposals}");
    // The other proposals wait until the learner has taken these.
    script.event("propose 2:21");
    assert!(!script.said().contains("4 <-"));
    script.hanging.clear();
    script.sent("4");
    for _ in 0..20 {
        script.take();
    }
    let said = script.said();
    assert!(said.contains("4 <- COMMIT 2:20\n    4 <- NEWLEADER 2:0"), "{said}");
}

#[test]
fn of_those_who_get_the_tree_the_one_that_hangs_is_cut_off() {
    let mut script = ensemble();
    for line in [
        "connect 4",
        "4 -> OBSERVERINFO 1:0",
        "4 -> ACKEPOCH 1:1 1",
        "close 3",
        "connect 3",
        "3 -> FOLLOWERINFO 1:0",
        "3 -> ACKEPOCH 1:1 1",
    ] {
        script.event(line);
    }
    script.hanging.push("4".to_owned());
    script.event("hold 2:0");
    let piece = Bytes::from(vec![b'n'; 1 << 20]);
    let mut pieces = 0;
    while script.leader.wants_snapshot_piece() {
        script.leader.snapshot_piece(&piece);
        script.take();
        pieces += 1;
    }
    let behind = pieces << 20;
    assert!((LEARNER_SPREAD_BYTES_MAX..LEARNER_SPREAD_BYTES_MAX + (2 << 20)).contains(&behind));
    script.said();
    // The learner gets a little time.
    script.event("2 -> PING");
    script.event("tick");
    script.event("tick");
    assert!(!script.leader.wants_snapshot_piece());
    script.event("2 -> PING");
    script.event("tick");
    assert!(script.said().contains("close 4"));
    assert!(script.leader.wants_snapshot_piece());
    script.leader.snapshot_piece(&Bytes::from_static(TREE_END));
    script.leader.snapshot_ends();
    script.take();
    assert!(script.said().contains("3 <- NEWLEADER"));
}

#[test]
fn proposals_wait_behind_the_tree_within_a_bound() {
    let mut script = ensemble();
    for line in ["close 3", "connect 3", "3 -> FOLLOWERINFO 1:0", "3 -> ACKEPOCH 1:1 1", "hold 2:0"]
    {
        script.event(line);
    }
    let mut at = zxid("2:0");
    let mut sent = 0;
    while !script.said().contains("close 3") {
        assert!(sent <= LEARNER_BACKLOG_BYTES_MAX, "{sent} bytes wait for it");
        at = at.next().unwrap();
        script.leader.propose(large(at, 8 << 20));
        sent += 8 << 20;
        script.take();
    }
    // No learner gets the tree any more, so the replica gives it up.
    assert!(!script.leader.sends_snapshot() && !script.leader.wants_snapshot());
}

/// An ensemble in which learner `name` receives the tree, which the database holds for it, while the others go on.
fn getting_the_tree(name: &str) -> Script {
    let mut script = ensemble();
    script.event(&format!("connect {name}"));
    script.event(&format!("{name} -> OBSERVERINFO 1:0"));
    script.event(&format!("{name} -> ACKEPOCH 1:1 1"));
    script.event("hold 2:0");
    script.hanging.push(name.to_owned());
    more_of_the_tree(&mut script);
    script.said();
    script
}

fn more_of_the_tree(script: &mut Script) {
    while script.leader.wants_snapshot_piece() {
        script.leader.snapshot_piece(&Bytes::from(vec![b'n'; 1 << 20]));
        script.take();
    }
}

/// Lets half a tick pass, in which `name` takes `taken` bytes and the followers send pings.
fn half_tick(script: &mut Script, name: &str, taken: u64) -> String {
    script.took(name, taken);
    more_of_the_tree(script);
    for follower in ["2", "3"] {
        script.event(&format!("{follower} -> PING"));
    }
    script.event("tick");
    script.said()
}

#[test]
fn who_takes_the_tree_too_slowly_does_not_hold_the_database() {
    // initLimit is 10 s. Server 4 is a member, and server 9 is not.
    for (name, rate) in [("4", 64 << 10), ("9", 1 << 20)] {
        let mut script = getting_the_tree(name);
        let mut refused = false;
        for _ in 0..19 {
            refused |= half_tick(&mut script, name, rate / 2 - 100).contains("close");
        }
        assert!(!refused, "{name}: it has initLimit");
        for _ in 0..2 {
            refused |=
                half_tick(&mut script, name, rate / 2 - 100).contains(&format!("close {name}"));
        }
        assert!(refused, "{name}");
        assert!(!script.leader.sends_snapshot());
    }
}

#[test]
fn a_member_that_needs_the_tree_does_not_wait_for_a_server_that_is_none() {
    for (first, gives_way) in [("9", true), ("4", false)] {
        let mut script = getting_the_tree(first);
        for line in ["close 3", "connect 3", "3 -> FOLLOWERINFO 1:0", "3 -> ACKEPOCH 1:1 1"] {
            script.event(line);
        }
        let mut said = String::new();
        for _ in 0..4 {
            script.took(first, 600 << 10);
            script.event("2 -> PING");
            script.event("tick");
            said += &script.said();
        }
        assert_eq!(said.contains(&format!("close {first}")), gives_way, "{said}");
        assert_eq!(script.leader.wants_snapshot(), gives_way);
    }
}

#[test]
fn what_waits_for_all_servers_that_are_no_members_has_one_bound() {
    let mut script = ensemble();
    let strangers = ["7", "8", "9"];
    for name in strangers {
        script.event(&format!("connect {name}"));
        script.event(&format!("{name} -> OBSERVERINFO 1:0"));
        script.event(&format!("{name} -> ACKEPOCH 1:8 1"));
        script.event(&format!("{name} -> ACK 2:0"));
        script.hanging.push(name.to_owned());
    }
    script.said();
    let mut at = zxid("2:0");
    let mut sent = 0;
    while !script.said().contains("close ") {
        assert!(sent < LEARNER_BACKLOG_BYTES_MAX / 2, "{sent} bytes wait for each");
        at = at.next().unwrap();
        script.leader.propose(large(at, 4 << 20));
        sent += 4 << 20;
        script.take();
        script.event("synced");
        script.event(&format!("2 -> ACK 2:{}", at.counter()));
    }
}
