//! What a peer decides is carried out in the order of durability.

use super::harness::Harness;
use crate::id::{Epoch, SessionId, Zxid};
use crate::io::Op;
use crate::link::{LinkId, LinkOp};
use crate::proto::OpCode;
use crate::proto::txn::{Txn, TxnBody, TxnHeader};
use crate::replica::ReplicaOptions;
use crate::replica::unlogged::Unlogged;
use crate::snapshot::StreamWriter;
use crate::zab::Epochs;
use crate::zab::{Inbound, Ready, Standing, Vouch};

fn zxid(epoch: i64, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

/// A session that begins: the smallest change that can be told from others.
pub fn txn(at: Zxid) -> Txn {
    let header = TxnHeader {
        client_id: SessionId(at.0),
        cxid: 0,
        zxid: at,
        time: 0,
        op: OpCode::CreateSession,
    };
    Txn::new(header, &TxnBody::CreateSession { timeout_ms: 1000 }, None)
}

fn txns(epoch: i64, counters: std::ops::RangeInclusive<u32>) -> Vec<Txn> {
    counters.map(|counter| txn(zxid(epoch, counter))).collect()
}

fn vouch(number: u64) -> Vec<Vouch> {
    vec![Vouch::new(LinkId::opened(number), vec![3].into())]
}

fn vouched(number: u64) -> Vec<LinkOp> {
    vec![LinkOp::Send { link: LinkId::opened(number), bytes: vec![3].into() }]
}

fn close(number: u64) -> Vec<LinkOp> {
    vec![LinkOp::Close { link: LinkId::opened(number) }]
}

fn epochs(accepted: i64, current: i64) -> Epochs {
    Epochs::new(Epoch(accepted), Epoch(current))
}

fn member() -> Harness {
    Harness::scripted(ReplicaOptions::default())
}

/// A member that has logged and applied so many transactions of epoch 1.
fn member_with(count: u32) -> Harness {
    let mut harness = member();
    harness.decide(Ready {
        append: txns(1, 1..=count),
        commit: txns(1, 1..=count),
        epochs: Some(epochs(1, 1)),
        ..Ready::default()
    });
    harness.settle();
    assert_eq!(harness.replica.txnlog().synced(), zxid(1, count));
    harness.links.clear();
    harness.peer().take_told();
    harness
}

fn sessions(harness: &Harness) -> usize {
    harness.replica.database().sessions_count()
}

#[test]
fn what_depends_on_the_disk_leaves_after_log_and_epochs() {
    let mut harness = member();
    harness.settle();
    harness.decide(Ready {
        send: close(1),
        append: txns(1, 1..=3),
        commit: txns(1, 1..=2),
        epochs: Some(epochs(2, 1)),
        send_after_sync: vouch(2),
        durable: Some(7),
        ..Ready::default()
    });
    assert_eq!(harness.links, close(1), "only what waits for nothing");
    assert_eq!(sessions(&harness), 2, "a commit waits for no disk");
    let mut files = Vec::new();
    while let Some(op) = harness.ops.front() {
        if let Op::FileReplace { name, .. } = op {
            assert_eq!(harness.replica.txnlog().synced(), zxid(1, 3), "the log comes first");
            files.push(name.clone());
        }
        assert_eq!(harness.links.len(), 1);
        harness.do_op();
    }
    assert_eq!(files, ["acceptedEpoch", "currentEpoch"]);
    assert_eq!(harness.links[1..], vouched(2));
    assert_eq!(harness.file("acceptedEpoch").unwrap(), b"2");
    assert_eq!(harness.file("currentEpoch").unwrap(), b"1");
    let told = harness.peer().take_told();
    assert_eq!(told.last().unwrap(), "durable 7");
    assert_eq!(told[told.len() - 2], format!("synced {}", zxid(1, 3)));
}

#[test]
fn a_later_ready_does_not_overtake_an_earlier_one() {
    let mut harness = member();
    harness.settle();
    harness.decide(Ready {
        append: txns(1, 1..=1),
        epochs: Some(epochs(1, 1)),
        send_after_sync: vouch(1),
        ..Ready::default()
    });
    harness.decide(Ready { send_after_sync: vouch(2), durable: Some(1), ..Ready::default() });
    harness.decide(Ready { append: txns(1, 2..=2), send_after_sync: vouch(3), ..Ready::default() });
    harness.settle();
    let order: Vec<_> = [1, 2, 3].into_iter().flat_map(vouched).collect();
    assert_eq!(harness.links, order);
}

#[test]
fn an_epoch_file_that_does_not_fit_makes_it_leave_and_nothing_untrue_is_said() {
    let mut harness = member();
    harness.settle();
    harness.files_full = true;
    harness.decide(Ready {
        epochs: Some(epochs(3, 1)),
        send_after_sync: vouch(1),
        durable: Some(5),
        ..Ready::default()
    });
    harness.settle();
    assert_eq!(harness.links, []);
    let leave = "leave without [5]: no room on the disk for an epoch file";
    assert_eq!(harness.peer().take_told(), ["room false", leave]);
    assert!(harness.fatal.is_none());

    // Room is looked for by writing what is there.
    let before = harness.file("acceptedEpoch");
    for _ in 0..3 {
        harness.advance_ms(1000);
        assert_eq!(harness.peer().take_told(), [""; 0]);
    }
    harness.files_full = false;
    harness.advance_ms(1000);
    assert_eq!(harness.peer().take_told(), ["room true"]);
    assert_eq!(harness.file("acceptedEpoch"), before);
    harness.decide(Ready {
        epochs: Some(epochs(3, 1)),
        send_after_sync: vouch(2),
        ..Ready::default()
    });
    harness.settle();
    assert_eq!(harness.links, vouched(2));
    assert_eq!(harness.file("acceptedEpoch").unwrap(), b"3");
}

#[test]
fn a_truncation_of_what_was_applied_reads_the_database_again_before_anything_goes_on() {
    let mut harness = member_with(5);
    harness.decide(Ready {
        truncate: Some(zxid(1, 3)),
        epochs: Some(epochs(2, 2)),
        append: txns(2, 1..=2),
        commit: txns(2, 1..=1),
        send_after_sync: vouch(1),
        ..Ready::default()
    });
    assert_eq!(sessions(&harness), 5, "the commit waits for the truncation");
    harness.settle();
    assert!(harness.fatal.is_none(), "{:?}", harness.fatal);
    assert_eq!(harness.replica.last_processed(), zxid(2, 1));
    assert_eq!(sessions(&harness), 4);
    assert_eq!(harness.replica.txnlog().synced(), zxid(2, 2));
    assert_eq!(harness.links, vouched(1));

    harness.crash();
    assert_eq!(harness.replica.last_processed(), zxid(2, 2), "the log holds both of the new ones");
    assert_eq!(sessions(&harness), 5);
}

#[test]
fn a_truncation_of_what_was_only_logged_leaves_the_database() {
    let mut harness = member_with(2);
    harness.decide(Ready { append: txns(1, 3..=6), ..Ready::default() });
    harness.decide(Ready {
        truncate: Some(zxid(1, 4)),
        commit: txns(1, 3..=4),
        ..Ready::default()
    });
    harness.settle();
    assert_eq!(harness.replica.last_processed(), zxid(1, 4));
    harness.crash();
    assert_eq!(harness.replica.last_processed(), zxid(1, 4));
}

/// The bytes of another server's tree.
fn tree(of: &mut Harness) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::begin(&mut of.replica.service.database);
    while let Some(piece) = writer.next_piece(&mut of.replica.service.database) {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

fn receive(harness: &mut Harness, at: Zxid, mut bytes: Vec<u8>) {
    bytes.extend_from_slice(b"rest");
    let mut inbound = vec![Inbound::SnapshotBegins { zxid: at, digest: None }];
    let pieces = bytes.chunks(17);
    inbound.extend(pieces.map(|piece| Inbound::Snapshot { bytes: piece.to_vec().into() }));
    harness.decide(Ready { inbound, ..Ready::default() });
    let told = harness.peer().take_told();
    assert!(told.iter().any(|told| told.starts_with("snapshot received")), "{told:?}");
}

#[test]
fn a_received_tree_is_on_the_disk_before_anything_behind_it() {
    let mut leader = member_with(8);
    let bytes = tree(&mut leader);
    let mut harness = member_with(2);
    receive(&mut harness, zxid(1, 8), bytes);
    assert_eq!(sessions(&harness), 2, "not before the peer says so");
    harness.decide(Ready {
        restore: Some(zxid(1, 8)),
        append: txns(1, 9..=10),
        epochs: Some(epochs(4, 4)),
        send_after_sync: vouch(1),
        commit: txns(1, 9..=9),
        ..Ready::default()
    });
    assert_eq!(sessions(&harness), 8, "in memory it is there at once");
    while let Some(op) = harness.ops.front() {
        match op {
            // What was committed behind it is applied when its snapshot has begun, and is not in it.
            Op::SnapshotCommit { name, .. } => {
                assert_eq!((name.as_str(), sessions(&harness)), ("snapshot.100000008", 9));
            }
            Op::LogWrite { .. } | Op::FileReplace { .. } => {
                assert!(harness.file("snapshot.100000008").is_some(), "the tree comes first");
            }
            _ => {}
        }
        assert_eq!(harness.links, []);
        harness.do_op();
    }
    assert_eq!(harness.links, vouched(1));
    assert!(harness.fatal.is_none(), "{:?}", harness.fatal);
    harness.crash();
    assert_eq!(harness.replica.last_processed(), zxid(1, 10));
    assert_eq!(sessions(&harness), 10);
}

#[test]
fn what_was_never_committed_does_not_come_back_behind_a_received_tree() {
    let mut leader = member_with(3);
    let bytes = tree(&mut leader);
    let mut harness = member_with(2);
    // Logged, and never committed by anybody.
    harness.decide(Ready { append: txns(1, 3..=7), ..Ready::default() });
    harness.settle();
    receive(&mut harness, zxid(1, 3), bytes);
    harness.decide(Ready { restore: Some(zxid(1, 3)), ..Ready::default() });
    harness.settle();
    harness.crash();
    assert_eq!(harness.replica.last_processed(), zxid(1, 3));
    assert_eq!(sessions(&harness), 3);
}

#[test]
fn a_crash_at_any_moment_of_a_restoration_leaves_the_old_state_or_the_new_one() {
    for done in 0..40 {
        let mut leader = member_with(8);
        let bytes = tree(&mut leader);
        let mut harness = member_with(2);
        receive(&mut harness, zxid(1, 8), bytes);
        harness.decide(Ready {
            restore: Some(zxid(1, 8)),
            append: txns(1, 9..=9),
            epochs: Some(epochs(2, 2)),
            send_after_sync: vouch(1),
            ..Ready::default()
        });
        for _ in 0..done {
            harness.do_op();
        }
        let acknowledged = !harness.links.is_empty();
        let last = if acknowledged { zxid(1, 9) } else { zxid(1, 2) };
        harness.crash();
        assert!(harness.replica.last_processed() >= last, "after {done} operations");
        let expected = harness.replica.last_processed().counter() as usize;
        assert_eq!(sessions(&harness), expected, "after {done} operations");
    }
}

#[test]
fn bytes_that_are_no_tree_are_refused() {
    let mut harness = member_with(2);
    let bytes = vec![0xff; 40];
    let inbound = vec![
        Inbound::SnapshotBegins { zxid: zxid(1, 8), digest: None },
        Inbound::Snapshot { bytes: bytes.into() },
        Inbound::Snapshot { bytes: vec![0; 9].into() },
    ];
    harness.decide(Ready { inbound, ..Ready::default() });
    let told = harness.peer().take_told();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("snapshot refused: "), "{told:?}");
    assert_eq!(sessions(&harness), 2);
}

#[test]
fn the_tree_goes_to_a_learner_as_it_was_when_it_began() {
    let mut harness = member_with(3);
    harness.decide(Ready {
        standing: vec![Standing::Leading { epoch: Epoch(2) }],
        ..Ready::default()
    });
    harness.peer().leads = Some(Epoch(2));
    harness.peer().wants_snapshot = true;
    harness.turn();
    let told = harness.peer().take_told();
    assert!(told.contains(&format!("snapshot begins {}", zxid(2, 0))), "{told:?}");
    while harness.peer().sends_snapshot {
        assert!(harness.replica.next_timeout() <= Some(harness.now.mono), "it wants to go on");
        harness.turn();
    }
    let bytes = std::mem::take(&mut harness.peer().pieces);
    let mut learner = member_with(1);
    receive(&mut learner, zxid(2, 0), bytes);
    learner.decide(Ready { restore: Some(zxid(2, 0)), ..Ready::default() });
    learner.settle();
    assert_eq!(learner.replica.database().digest(), harness.replica.database().digest());
    assert_eq!(sessions(&learner), 3);
}

/// A tree without anything being said about it.
fn receive_quietly(harness: &mut Harness, at: Zxid, mut bytes: Vec<u8>) {
    bytes.extend_from_slice(b"rest");
    let mut inbound = vec![Inbound::SnapshotBegins { zxid: at, digest: None }];
    let pieces = bytes.chunks(17);
    inbound.extend(pieces.map(|piece| Inbound::Snapshot { bytes: piece.to_vec().into() }));
    harness.decide(Ready { inbound, ..Ready::default() });
}

#[test]
fn a_second_tree_that_comes_while_the_first_is_written_waits_for_it() {
    for done in 0..30 {
        let mut leader = member_with(8);
        let first = tree(&mut leader);
        let mut next = member_with(12);
        let second = tree(&mut next);
        let mut harness = member_with(2);
        receive(&mut harness, zxid(1, 8), first);
        harness.decide(Ready { restore: Some(zxid(1, 8)), durable: Some(1), ..Ready::default() });
        for _ in 0..done {
            harness.do_op();
        }
        let mut told = harness.peer().take_told();
        receive_quietly(&mut harness, zxid(1, 12), second);
        harness.decide(Ready {
            restore: Some(zxid(1, 12)),
            epochs: Some(epochs(3, 3)),
            send_after_sync: vouch(9),
            durable: Some(2),
            ..Ready::default()
        });
        harness.settle();
        assert!(harness.fatal.is_none(), "{:?}", harness.fatal);
        told.extend(harness.peer().take_told());
        assert_eq!(harness.links, vouched(9), "after {done} operations");
        told.retain(|told| told.starts_with("durable"));
        assert_eq!(told, ["durable 1", "durable 2"], "after {done} operations");
        harness.crash();
        assert_eq!(harness.replica.last_processed(), zxid(1, 12));
        assert_eq!(sessions(&harness), 12);
    }
}

/// See the story at `Replica::on_not_held`.
#[test]
fn a_log_that_cannot_be_cut_ends_where_the_database_does() {
    let mut leader = member_with(8);
    let bytes = tree(&mut leader);
    let mut harness = member_with(2);
    receive(&mut harness, zxid(1, 8), bytes);
    harness.decide(Ready { restore: Some(zxid(1, 8)), ..Ready::default() });
    harness.settle();
    // The PROPOSAL of a DIFF has come, the connection broke before its COMMIT.
    harness.decide(Ready { append: txns(1, 9..=9), ..Ready::default() });
    harness.settle();
    harness.peer().take_told();
    harness.decide(Ready { truncate: Some(zxid(1, 5)), durable: Some(3), ..Ready::default() });
    harness.settle();
    let told = harness.peer().take_told();
    let said = format!("not cut, ends at {}", zxid(1, 8));
    assert!(told.contains(&said) && told.contains(&"durable 3".to_owned()), "{told:?}");
    assert_eq!(harness.replica.last_processed(), zxid(1, 8));
    // The log goes on there, and so does what a start finds.
    harness.decide(Ready { epochs: Some(epochs(2, 1)), ..Ready::default() });
    harness.decide(Ready { append: txns(2, 1..=1), send_after_sync: vouch(4), ..Ready::default() });
    harness.settle();
    assert_eq!(harness.links, vouched(4));
    harness.crash();
    assert_eq!((harness.replica.last_processed(), sessions(&harness)), (zxid(2, 1), 9));
}

/// A joiner whose only snapshot is a tree of 1:8 that came from a leader that never led gets another tree, of 1:5,
/// and the ensemble goes on meanwhile.
#[test]
fn an_older_tree_replaces_the_only_snapshot_while_commits_go_on() {
    for done in 0..30 {
        let mut leader = member_with(8);
        let newer = tree(&mut leader);
        let mut other = member_with(5);
        let older = tree(&mut other);
        let mut harness = member_with(2);
        receive(&mut harness, zxid(1, 8), newer);
        harness.decide(Ready { restore: Some(zxid(1, 8)), ..Ready::default() });
        harness.settle();
        harness.remove_file(crate::io::Place::Snapshots, "snapshot.0");
        receive(&mut harness, zxid(1, 5), older);
        harness.decide(Ready { restore: Some(zxid(1, 5)), ..Ready::default() });
        for _ in 0..done {
            harness.do_op();
        }
        // Behind the tree, what was committed since; and the ACK of NEWLEADER.
        harness.decide(Ready {
            append: txns(2, 1..=3),
            commit: txns(2, 1..=3),
            epochs: Some(epochs(2, 2)),
            send_after_sync: vouch(5),
            ..Ready::default()
        });
        harness.settle();
        assert!(harness.fatal.is_none(), "{:?}", harness.fatal);
        assert_eq!(harness.links, vouched(5), "after {done}");
        harness.crash();
        assert_eq!(harness.replica.last_processed(), zxid(2, 3), "after {done}");
        assert_eq!(sessions(&harness), 8, "after {done}");
    }
}

/// See the story in `replica::steps`: at no moment do the files fall back behind the tree that replaces
/// what they held, for its epoch would still vouch for more.
#[test]
fn a_crash_at_any_moment_of_a_restoration_to_an_older_tree_loses_nothing_of_it() {
    for done in 0..40 {
        let mut leader = member_with(8);
        let newer = tree(&mut leader);
        let mut other = member_with(5);
        let older = tree(&mut other);
        let mut harness = member_with(2);
        receive(&mut harness, zxid(1, 8), newer);
        harness.decide(Ready {
            restore: Some(zxid(1, 8)),
            epochs: Some(epochs(2, 2)),
            ..Ready::default()
        });
        harness.decide(Ready { epochs: Some(epochs(3, 2)), ..Ready::default() });
        harness.settle();
        receive(&mut harness, zxid(1, 5), older);
        harness.decide(Ready {
            restore: Some(zxid(1, 5)),
            append: txns(3, 1..=1),
            epochs: Some(epochs(3, 3)),
            send_after_sync: vouch(1),
            ..Ready::default()
        });
        for _ in 0..done {
            harness.do_op();
        }
        let acknowledged = !harness.links.is_empty();
        harness.crash();
        let last = harness.replica.last_processed();
        assert!(last >= zxid(1, 5), "after {done} operations it is at {last}");
        assert!(!acknowledged || last == zxid(3, 1), "after {done} operations");
    }
}

fn epoch_file(harness: &Harness, name: &str) -> i64 {
    String::from_utf8(harness.file(name).unwrap()).unwrap().parse().unwrap()
}

/// It goes like this: 1. An observer without a log is in epoch 2, and its disk is at 1:2. 2. It becomes a voter. 3. Nothing
/// that it says then may be untrue after a crash.
#[test]
fn an_observer_without_a_log_vouches_for_nothing_before_it_has_a_tree_on_the_disk() {
    for done in 0..40 {
        let mut harness = member_with(2);
        harness.replica.service.ensemble.unlogged = Some(Unlogged::new(zxid(1, 2)));
        harness.peer().only_observes = true;
        harness.decide(Ready {
            append: txns(1, 3..=6),
            commit: txns(1, 3..=5),
            epochs: Some(epochs(2, 2)),
            send_after_sync: vouch(1),
            ..Ready::default()
        });
        harness.settle();
        assert_eq!(harness.links, vouched(1), "an observer waits for no log");
        let files = [Epochs::ACCEPTED_FILE, Epochs::CURRENT_FILE];
        let [accepted, current] = files.map(|name| epoch_file(&harness, name));
        assert_eq!(accepted, 2);
        assert!(current < 2, "the disk does not have what epoch 2 began with");
        harness.links.clear();
        harness.peer().only_observes = false;
        harness.decide(Ready { commit: txns(1, 6..=6), ..Ready::default() });
        harness.decide(Ready {
            append: txns(2, 1..=1),
            send_after_sync: vouch(2),
            ..Ready::default()
        });
        for _ in 0..done {
            harness.do_op();
        }
        let acknowledged = !harness.links.is_empty();
        assert!(done < 39 || acknowledged, "it goes on in the end");
        let current = epoch_file(&harness, Epochs::CURRENT_FILE);
        harness.crash();
        let last = harness.replica.last_processed();
        let expected = if acknowledged { zxid(2, 1) } else { zxid(1, 2) };
        assert!(last >= expected, "after {done} operations it is at {last}");
        assert!(current < 2 || last >= zxid(1, 6), "epoch {current} vouches for more than {last}");
        assert!(!acknowledged || current == 2, "who acknowledges in an epoch has it on the disk");
        let counted = last.counter() as usize + if last.epoch().0 == 2 { 6 } else { 0 };
        assert_eq!(sessions(&harness), counted, "nothing is missing before {last}");
    }
}

#[test]
fn an_observer_without_a_log_writes_its_epoch_behind_a_snapshot_that_proves_it() {
    let mut harness = member_with(2);
    harness.replica.service.ensemble.unlogged = Some(Unlogged::new(zxid(1, 2)));
    harness.peer().only_observes = true;
    harness.decide(Ready {
        append: txns(1, 3..=4),
        commit: txns(1, 3..=4),
        epochs: Some(epochs(2, 2)),
        ..Ready::default()
    });
    harness.settle();
    assert!(epoch_file(&harness, Epochs::CURRENT_FILE) < 2);
    harness.replica.request_snapshot();
    harness.settle();
    assert!(harness.file("snapshot.100000004").is_some());
    assert_eq!(epoch_file(&harness, Epochs::CURRENT_FILE), 2);
}
