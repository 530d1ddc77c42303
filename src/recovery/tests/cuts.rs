//! Cuts of the log, with crashes between their changes to the folder, and reads of old transactions.

use super::harness::{Crashing, Server};
use super::*;
use crate::proto::txn::TxnBody;
use crate::recovery::crash::Random;
use crate::txnlog::{Reader, Verdict};

/// Checks that a recovered state is a prefix of what was logged. `from` is the zxid at which the tree began.
fn assert_is_prefix(recovered: &Recovered, logged: &[Txn], from: i64) {
    let built_in = Database::new(DatabaseOptions::default()).node_count();
    let kept = logged.iter().filter(|txn| txn.zxid() <= recovered.zxid).count();
    let before = usize::try_from(from & 0xff).unwrap();
    assert_eq!(recovered.database.node_count() - built_in, before + kept, "{}", recovered.zxid);
    for txn in logged {
        let TxnBody::Create(create) = txn.body() else { unreachable!() };
        let there = recovered.database.node(create.path.unwrap()).is_some();
        assert_eq!(there, txn.zxid() <= recovered.zxid, "{:?} at {}", create.path, recovered.zxid);
    }
}

/// Cuts the log after each transaction, and crashes before each change to the folder.
fn cut_everywhere(folder: &MemoryFolder, logged: &[Txn], from: i64) {
    let last = logged.last().unwrap().zxid();
    for at in logged.iter().map(Txn::zxid).filter(|at| at.0 > from) {
        for changes in 0.. {
            let cut = folder.clone();
            let crashing = Crashing::after(changes, &cut);
            let done = truncate(&crashing, at);
            let recovered = recover_default(&cut)
                .unwrap_or_else(|error| panic!("{changes} changes of a cut at {at}: {error}"));
            assert!(recovered.zxid >= at && recovered.zxid <= last, "{at}: {}", recovered.zxid);
            assert_is_prefix(&recovered, logged, from);
            if done.is_err() {
                truncate(&cut, at).unwrap();
            }
            let recovered = recover_default(&cut).unwrap();
            assert_eq!((recovered.zxid, &recovered.notes[..]), (at, &[][..]));
            assert_is_prefix(&recovered, logged, from);
            for file in cut.list(Place::Logs).unwrap() {
                if plan::log_zxid(&file.name).is_none() {
                    continue;
                }
                let mut reader = Reader::open(cut.open(Place::Logs, &file.name).unwrap()).unwrap();
                while let Some(entry) = reader.next_entry().unwrap() {
                    assert!(entry.txn.zxid() <= at);
                }
                assert!(matches!(reader.verdict(), Some(Verdict::Clean { .. })), "{}", file.name);
            }
            assert_eq!(truncate(&cut, at).unwrap(), [""; 0], "nothing is left to be cut");
            if done.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn a_folder_can_be_cut_behind_any_transaction_and_recovers_from_a_crash_at_any_change() {
    for seed in 1..=6u64 {
        let mut random = Random(seed * 0x9e37_79b9);
        let mut server = Server::new();
        let mut zxid = 0;
        for _ in 0..12 {
            let group = 1 + i64::try_from(random.below(4)).unwrap();
            server.log(&(zxid + 1..=zxid + group).collect::<Vec<_>>());
            zxid += group;
            if random.one_in(4) {
                server.snapshot();
            }
            if random.one_in(6) {
                zxid = Zxid::new(Epoch((zxid >> 32) + 1), 0).0;
            }
        }
        let (folder, logged) = server.stop();
        cut_everywhere(&folder, &logged, 0);
    }
}

#[test]
fn a_hole_that_a_received_tree_left_does_not_make_a_crash_worse() {
    let mut server = Server::new();
    server.log(&[1, 2, 3]);
    server.restore(0x1_0000_0020);
    let logged_before = server.logged.len();
    server.log(&[0x1_0000_0021, 0x1_0000_0022]);
    server.snapshot();
    server.log(&[0x1_0000_0023, 0x1_0000_0024, 0x1_0000_0025]);
    let (folder, logged) = server.stop();
    cut_everywhere(&folder, &logged[logged_before..], 0x1_0000_0020);
    // No state exists in the hole, so a cut into it fails; a cut before the hole succeeds.
    for at in [0x1_0000_0010, 0x1_0000_001f] {
        let error = truncate(&folder.clone(), Zxid(at)).unwrap_err();
        assert!(matches!(error, RecoveryError::NotInHistory { last: Zxid(3), .. }), "{error}");
    }
    for changes in 0.. {
        let cut = folder.clone();
        let crashing = Crashing::after(changes, &cut);
        let done = truncate(&crashing, Zxid(2));
        recover_default(&cut).unwrap();
        if done.is_ok() {
            assert_eq!(recover_default(&cut).unwrap().zxid, Zxid(2));
            break;
        }
    }
}

#[test]
fn a_tree_behind_what_a_purge_has_left_does_not_make_a_crash_worse() {
    // Everything after the tree of the leader has to go.
    let mut leader = Server::new();
    leader.log(&(1..=0x10).collect::<Vec<_>>());
    leader.snapshot();
    let name = plan::snapshot_name(Zxid(0x10));
    let tree = leader.folder.get(Place::Snapshots, &name).unwrap();
    let mut server = Server::new();
    for first in [0x01, 0x11, 0x21, 0x31, 0x41] {
        server.log(&(first..first + 0x10).collect::<Vec<_>>());
        server.snapshot();
    }
    server.log(&[0x51, 0x52]);
    let (folder, _) = server.stop();
    // The oldest remaining log begins before the oldest remaining snapshot.
    for at in [0, 0x10, 0x20, 0x30] {
        folder.remove(Place::Snapshots, &plan::snapshot_name(Zxid(at))).unwrap();
    }
    for at in [0x01, 0x11, 0x21] {
        folder.remove(Place::Logs, &plan::log_name(Zxid(at))).unwrap();
    }
    folder.put(Place::Snapshots, &name, tree);
    for changes in 0.. {
        let cut = folder.clone();
        let crashing = Crashing::after(changes, &cut);
        let done = truncate::discard_after(&crashing, Zxid(0x10));
        recover_default(&cut).unwrap_or_else(|error| panic!("{changes} changes: {error}"));
        if done.is_ok() {
            assert!(changes > 3, "there was something to remove");
            assert_eq!(recover_default(&cut).unwrap().zxid, Zxid(0x10));
            break;
        }
    }
}

#[test]
fn what_cannot_be_cut_is_left_as_it_was() {
    let mut server = Server::new();
    server.log(&[1, 2]);
    server.snapshot();
    server.log(&[3]);
    let (folder, _) = server.stop();
    folder.remove(Place::Snapshots, "snapshot.0").unwrap();
    let before = folder.list(Place::Logs).unwrap();
    let error = truncate(&folder, Zxid(1)).unwrap_err();
    assert!(matches!(error, RecoveryError::NothingBefore { .. }), "{error}");
    let error = truncate(&folder, Zxid(9)).unwrap_err();
    assert!(matches!(error, RecoveryError::NotInHistory { last: Zxid(3), .. }), "{error}");
    assert_eq!(folder.list(Place::Logs).unwrap(), before);
    // A tree of zxid 9 will follow, and the folder holds nothing after it.
    assert_eq!(discard_after(&folder, Zxid(9)).unwrap(), [""; 0]);
    assert_eq!(discard_after(&folder, Zxid(2)).unwrap().len(), 1);
    assert_eq!(recover_default(&folder).unwrap().zxid, Zxid(2));
}

#[test]
fn a_folder_of_zookeeper_is_cut_behind_any_of_its_transactions() {
    let whole = golden_folder();
    let mut zxids = Vec::new();
    for name in ["log.100000001", "log.400000001", "log.500000001"] {
        let mut reader = Reader::open(whole.open(Place::Logs, name).unwrap()).unwrap();
        while let Some(entry) = reader.next_entry().unwrap() {
            zxids.push(entry.txn.zxid());
        }
    }
    for at in zxids {
        let folder = whole.clone();
        truncate(&folder, at).unwrap();
        let recovered = recover_default(&folder).unwrap();
        assert_eq!((recovered.zxid, recovered.database.digest_mismatches()), (at, 0));
        for (zxid, name) in plan::snapshots(
            folder.list(Place::Snapshots).unwrap().iter().map(|file| file.name.as_str()),
        ) {
            assert!(zxid <= at, "{name} holds what was cut off at {at}");
        }
    }
}

fn zxids(txns: Option<Vec<Txn>>) -> Option<Vec<i64>> {
    txns.map(|txns| txns.iter().map(|txn| txn.zxid().0).collect())
}

#[test]
fn the_past_is_read_from_the_one_asked_for_to_the_last_one_wanted() {
    let mut server = Server::new();
    server.log(&[1, 2, 3]);
    server.snapshot();
    server.log(&[4]);
    server.log(&[0x1_0000_0001, 0x1_0000_0002]);
    let (folder, logged) = server.stop();
    let read = |from, to| zxids(read_txns(&folder, Zxid(from), Zxid(to), 1 << 20).unwrap());
    assert_eq!(read(2, 4), Some(vec![2, 3, 4]));
    let of_epoch_1 = Some(vec![0x1_0000_0001, 0x1_0000_0002]);
    assert_eq!(read(0x1_0000_0001, 0x1_0000_0002), of_epoch_1);
    assert_eq!(read(3, 0x1_0000_0002), None, "between two epochs a hole does not always show");
    assert_eq!(read(9, 0x1_0000_0001), None, "nor behind one that is not ours");
    assert_eq!(read(0, 4), None, "nothing says that the history before 1 is the same");
    assert_eq!(read(2, 0x1_0000_0009), None, "not all there");
    let bytes: usize = logged[1..4].iter().map(|txn| txn.bytes().len()).sum();
    let limited = |max| zxids(read_txns(&folder, Zxid(2), Zxid(4), max).unwrap());
    assert_eq!(limited(bytes as u64), Some(vec![2, 3, 4]));
    assert_eq!(limited(bytes as u64 - 1), None);
}

#[test]
fn the_past_is_read_while_the_newest_file_is_written() {
    let mut server = Server::new();
    server.log(&[1, 2]);
    server.log(&[3, 4]);
    let mut content = server.disk.files["log.1"].clone();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // One sector of the next group has already reached the disk.
    content[end + 600..end + 700].fill(9);
    let folder = MemoryFolder::new();
    folder.put(Place::Logs, "log.1", content);
    let read = |to| zxids(read_txns(&folder, Zxid(1), Zxid(to), 1 << 20).unwrap());
    assert_eq!(read(3), Some(vec![1, 2, 3]));
    assert_eq!(read(4), Some(vec![1, 2, 3, 4]));
    assert_eq!(read(5), None);
}

#[test]
fn a_hole_in_the_past_is_seen_even_between_two_epochs() {
    for restored in [0x20, 0x1_0000_0000] {
        let mut server = Server::new();
        server.log(&[1, 2, 3]);
        server.restore(restored);
        server.log(&[0x1_0000_0001, 0x1_0000_0002]);
        let (folder, _) = server.stop();
        let read = |from, to| zxids(read_txns(&folder, Zxid(from), Zxid(to), 1 << 20).unwrap());
        assert_eq!(read(2, 0x1_0000_0002), None);
        assert_eq!(read(2, 3), Some(vec![2, 3]));
        assert_eq!(read(0x1_0000_0001, 0x1_0000_0002), Some(vec![0x1_0000_0001, 0x1_0000_0002]));
    }
}

#[test]
fn a_learner_gets_a_share_of_the_newest_snapshots_size() {
    let folder = MemoryFolder::new();
    assert_eq!(log_read_bytes_max(&folder, 33).unwrap(), crate::limits::LOG_READ_BYTES_MAX);
    folder.put(Place::Snapshots, "snapshot.1", vec![0; 5000]);
    folder.put(Place::Snapshots, "snapshot.2", vec![0; 1000]);
    assert_eq!(log_read_bytes_max(&folder, 33).unwrap(), 330);
    assert_eq!(log_read_bytes_max(&folder, 0).unwrap(), crate::limits::LOG_READ_BYTES_MAX);
}
