//! Recovery of folders made for a test, and of one that ZooKeeper wrote.

#![allow(clippy::disallowed_methods, reason = "golden files are read from the disk")]

mod cuts;
mod harness;
mod starts;

use std::path::PathBuf;

use super::*;
use crate::id::Epoch;
use crate::proto::data::AclVector;
use crate::proto::txn::{CreateTxn, TxnBody};
use crate::snapshot::SNAPSHOT_TEMPORARY;
use crate::txnlog::tests::{Disk, create};
use crate::txnlog::{Append, Reader, Verdict, Writer, WriterOptions};

fn recover_with(
    folder: &MemoryFolder,
    options: &RecoveryOptions,
) -> Result<Recovered, RecoveryError> {
    recover(folder, options, &mut |_| ())
}

fn recover_default(folder: &MemoryFolder) -> Result<Recovered, RecoveryError> {
    recover_with(folder, &RecoveryOptions::default())
}

fn golden_folder() -> MemoryFolder {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datadir-3.10-HEAD/version-2");
    let folder = MemoryFolder::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        folder.put(Place::Snapshots, &name, std::fs::read(entry.path()).unwrap());
    }
    folder
}

/// Writes a log for each run of zxids into the folder, with one transaction in each group.
fn log_runs(folder: &MemoryFolder, runs: &[&[i64]]) {
    for run in runs {
        let txns: Vec<Txn> = run.iter().map(|zxid| create(*zxid, b"data")).collect();
        log_txns(folder, &txns);
    }
}

/// Writes one log with these transactions into the folder, with one transaction in each group.
fn log_txns(folder: &MemoryFolder, txns: &[Txn]) {
    let options = WriterOptions {
        block_bytes: 512,
        segment_bytes: 32 << 10,
        group_bytes_max: 8 << 10,
        txn_bytes_max: 4 << 10,
        ..WriterOptions::default()
    };
    let mut disk = Disk::default();
    let mut writer = Writer::new(options, Zxid(txns[0].zxid().0 - 1), 0);
    disk.run(&mut writer);
    for txn in txns {
        assert_eq!(writer.append(txn), Append::Accepted);
        disk.run(&mut writer);
    }
    for (name, content) in disk.files {
        folder.put(Place::Logs, &name, content);
    }
}

fn names(folder: &MemoryFolder) -> Vec<String> {
    folder.list(Place::Snapshots).unwrap().into_iter().map(|file| file.name).collect()
}

#[test]
fn a_folder_of_zookeeper_gives_zookeepers_state_from_every_snapshot() {
    let whole = recover_default(&golden_folder()).unwrap();
    assert_eq!(whole.snapshot, Some(Zxid(0x4_0000_0003)));
    assert_eq!(whole.database.digest_mismatches(), 0, "{:?}", whole.notes);
    let mut folder = golden_folder();
    for name in ["snapshot.400000003", "snapshot.100000002"] {
        folder.remove(Place::Snapshots, name).unwrap();
        let older = recover_default(&folder).unwrap();
        assert!(older.txns > whole.txns);
        // Replay has compared each digest in a transaction with the tree after it.
        assert_eq!(older.database.digest_mismatches(), 0, "{:?}", older.notes);
        assert_eq!(older.zxid, whole.zxid);
        assert_eq!(older.database.node_count(), whole.database.node_count());
        folder = folder.clone();
    }
}

#[test]
fn every_log_of_zookeeper_reads_clean() {
    let folder = golden_folder();
    let mut counts = Vec::new();
    for name in ["log.100000001", "log.400000001", "log.500000001"] {
        let mut reader = Reader::open(folder.open(Place::Logs, name).unwrap()).unwrap();
        let mut count = 0;
        while let Some(entry) = reader.next_entry().unwrap() {
            assert_eq!(entry.group, None);
            count += 1;
        }
        assert!(matches!(reader.verdict(), Some(Verdict::Clean { .. })), "{name}");
        assert!(!reader.is_guarded());
        counts.push(count);
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn compressed_snapshots_of_zookeeper_hold_the_state_that_the_logs_lead_to() {
    let whole = recover_default(&golden_folder()).unwrap();
    for name in ["snapshot.500000003.snappy", "snapshot.500000003.gz"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compressed-3.9.4");
        let folder = MemoryFolder::new();
        folder.put(Place::Snapshots, name, std::fs::read(path.join(name)).unwrap());
        let recovered = recover_default(&folder).unwrap();
        assert_eq!(recovered.zxid, whole.zxid, "{name}");
        assert_eq!(recovered.database.digest(), whole.database.digest(), "{name}");
        assert_eq!(recovered.database.digest_mismatches(), 0, "{name}");
        assert_eq!(recovered.database.node_count(), whole.database.node_count(), "{name}");
    }
}

#[test]
fn a_damaged_snapshot_gives_way_to_the_one_before_it() {
    let folder = golden_folder();
    let whole = recover_default(&folder).unwrap();
    let mut content = folder.get(Place::Snapshots, "snapshot.400000003").unwrap();
    content[100] ^= 1;
    folder.put(Place::Snapshots, "snapshot.400000003", content.clone());
    let older = recover_default(&folder).unwrap();
    assert_eq!(older.snapshot, Some(Zxid(0x1_0000_0002)));
    assert_eq!((older.zxid, older.database.digest()), (whole.zxid, whole.database.digest()));
    assert!(older.notes.iter().any(|note| note.contains("snapshot.400000003")));

    content.truncate(500);
    folder.put(Place::Snapshots, "snapshot.400000003", content);
    let older = recover_default(&folder).unwrap();
    assert!(older.notes.iter().any(|note| note.contains("never finished")), "{:?}", older.notes);

    for name in ["snapshot.0", "snapshot.100000002"] {
        let mut content = folder.get(Place::Snapshots, name).unwrap();
        content[60] ^= 1;
        folder.put(Place::Snapshots, name, content);
    }
    let error = recover_default(&folder).unwrap_err();
    assert!(matches!(error, RecoveryError::NoUsableSnapshot { .. }), "{error}");
}

/// The only snapshot of a member had a wrong first byte. Recovery took it for one that was never finished, so the
/// member started without data and without a vote, and the ensemble lacked its vote for a quorum.
#[test]
fn a_snapshot_with_a_wrong_beginning_is_damaged_and_not_unfinished() {
    let folder = MemoryFolder::new();
    recover_default(&folder).unwrap();
    let mut content = folder.get(Place::Snapshots, "snapshot.0").unwrap();
    content[1] ^= 1;
    folder.put(Place::Snapshots, "snapshot.0", content);
    let error = recover_default(&folder).unwrap_err();
    assert!(matches!(error, RecoveryError::NoUsableSnapshot { .. }), "{error}");
    assert!(error.to_string().contains("snapshot.0: it does not begin as a snapshot"), "{error}");
}

#[test]
fn an_empty_folder_is_a_new_database_with_a_snapshot() {
    let folder = MemoryFolder::new();
    let first = recover_default(&folder).unwrap();
    assert_eq!((first.zxid, first.snapshot, first.txns), (Zxid::ZERO, None, 0));
    assert_eq!(names(&folder), ["snapshot.0"]);
    log_runs(&folder, &[&[1, 2, 3]]);
    let second = recover_default(&folder).unwrap();
    assert_eq!((second.zxid, second.snapshot), (Zxid(3), Some(Zxid::ZERO)));
    assert!(second.database.node("/node-3").is_some());
    assert_eq!(second.epochs, None);
}

#[test]
fn an_empty_folder_that_may_have_lost_its_data_is_not_trusted() {
    let options =
        RecoveryOptions { autocreate: false, ensemble: true, ..RecoveryOptions::default() };
    let folder = MemoryFolder::new();
    let unknown = recover_with(&folder, &options).unwrap();
    assert_eq!(unknown.zxid, Zxid::NONE);
    assert!(!names(&folder).iter().any(|name| name.starts_with("snapshot")));
    let folder = MemoryFolder::new();
    folder.put(Place::DataDir, "initialize", Vec::new());
    let trusted = recover_with(&folder, &options).unwrap();
    assert_eq!(trusted.zxid, Zxid::ZERO);
    assert_eq!(folder.get(Place::DataDir, "initialize"), None);
    assert_eq!(names(&folder), ["acceptedEpoch", "currentEpoch", "snapshot.0"]);
}

#[test]
fn a_member_that_has_waited_for_its_data_waits_on_without_a_vote() {
    const NAME: &str = "snapshot.ffffffffffffffff";
    let waiting = MemoryFolder::new();
    waiting.put(Place::Snapshots, NAME, b"of no data".to_vec());
    let member = RecoveryOptions { ensemble: true, ..RecoveryOptions::default() };
    for _ in 0..2 {
        let recovered = recover_with(&waiting, &member).unwrap();
        assert_eq!(recovered.zxid, Zxid::NONE);
        assert!(recovered.notes.iter().any(|note| note.contains(NAME)), "{:?}", recovered.notes);
    }
    let begins = waiting.clone();
    begins.put(Place::DataDir, "initialize", Vec::new());
    assert_eq!(recover_with(&begins, &member).unwrap().zxid, Zxid::ZERO);
    // The file has no meaning once the server has data.
    assert_eq!(recover_with(&begins, &member).unwrap().zxid, Zxid::ZERO);
    assert_eq!(
        recover_default(&waiting).unwrap().zxid,
        Zxid::ZERO,
        "a server alone waits for no one"
    );
}

#[test]
fn logs_without_a_snapshot_are_refused_unless_trusted() {
    let folder = MemoryFolder::new();
    log_runs(&folder, &[&[7, 8]]);
    let before = names(&folder);
    let error = recover_default(&folder).unwrap_err();
    assert!(error.to_string().starts_with("No snapshot found, but there are log entries"));
    assert_eq!(names(&folder), before);
    let options = RecoveryOptions { trust_empty: true, ..RecoveryOptions::default() };
    let trusted = recover_with(&folder, &options).unwrap();
    assert_eq!((trusted.zxid, trusted.txns), (Zxid(8), 2));
}

/// A new database with two logs.
fn two_logs() -> MemoryFolder {
    let folder = MemoryFolder::new();
    recover_default(&folder).unwrap();
    log_runs(&folder, &[&[1, 2, 3], &[4, 5, 6]]);
    folder
}

#[test]
fn a_torn_tail_is_cut_off_so_that_zookeeper_could_read_the_file() {
    let whole = two_logs();
    let content = whole.get(Place::Logs, "log.4").unwrap();
    // The last of three groups, each of one block, loses its first sector, and with it everything.
    let mut torn = content.clone();
    torn[1024..1536].fill(0);
    torn[1600] = 9;
    let folder = whole.clone();
    folder.put(Place::Logs, "log.4", torn);
    let recovered = recover_default(&folder).unwrap();
    assert_eq!(recovered.zxid, Zxid(5));
    assert!(recovered.notes.iter().any(|note| note.contains("torn tail")), "{:?}", recovered.notes);
    assert_eq!(folder.get(Place::Logs, "log.4").unwrap(), content[..1024]);
    let again = recover_default(&folder).unwrap();
    assert_eq!((again.zxid, again.notes), (Zxid(5), vec![]));

    // Nothing is left of the file: its name belongs to the next run.
    let mut torn = content;
    torn[16..].fill(0);
    torn[600] = 9;
    folder.put(Place::Logs, "log.4", torn);
    assert_eq!(recover_default(&folder).unwrap().zxid, Zxid(3));
    assert_eq!(folder.get(Place::Logs, "log.4"), None);
}

#[test]
fn files_with_names_that_no_server_gives_are_neither_read_nor_cut_nor_removed() {
    let folder = two_logs();
    let log = folder.get(Place::Logs, "log.4").unwrap();
    let mut torn = log.clone();
    torn[1024..1536].fill(0);
    torn[1600] = 9;
    let foreign = [
        ("log.1.bak", folder.get(Place::Logs, "log.1").unwrap()),
        ("log.6.bak", torn.clone()),
        ("log.04", log),
        ("log.7.gz", b"".to_vec()),
        ("log.backup", b"".to_vec()),
        ("log.FF", torn),
        ("snapshot.9.bak", folder.get(Place::Snapshots, "snapshot.0").unwrap()),
        ("prepared-segment-3.bak", b"".to_vec()),
        ("unfinished-snapshot.bak", b"".to_vec()),
    ];
    for (name, content) in &foreign {
        folder.put(Place::Logs, name, content.clone());
    }
    let recovered = recover_default(&folder).unwrap();
    assert_eq!((recovered.zxid, recovered.snapshot), (Zxid(6), Some(Zxid::ZERO)));
    assert!(recovered.notes[0].contains("log.1.bak"), "{:?}", recovered.notes);
    assert_eq!(recovered.notes.len(), 1, "{:?}", recovered.notes);
    truncate(&folder, Zxid(5)).unwrap();
    for (name, content) in &foreign {
        assert_eq!(folder.get(Place::Logs, name).as_ref(), Some(content), "{name}");
    }
}

#[test]
fn a_file_with_the_name_of_a_log_that_is_none_is_refused_and_stays() {
    for content in [&b""[..], b"my notes", b"my notes, and more of them than a header has"] {
        let folder = two_logs();
        folder.put(Place::Logs, "log.abc", content.to_vec());
        // ZooKeeper: FileTxnIterator.goToNextLog removes the last log if it is empty.
        if content.is_empty() {
            recover_default(&folder).unwrap();
            assert_eq!(folder.get(Place::Logs, "log.abc"), None);
            continue;
        }
        let text = recover_default(&folder).unwrap_err().to_string();
        assert!(text.contains("Logs/log.abc") && text.contains("may be no log at all"), "{text}");
        assert_eq!(folder.get(Place::Logs, "log.abc").unwrap(), content);
    }
}

#[test]
fn a_wrong_checksum_in_the_last_record_is_refused_in_zookeepers_files_as_in_ours() {
    let folder = golden_folder();
    let name = "log.500000001";
    let mut content = folder.get(Place::Logs, name).unwrap();
    let mut reader = Reader::open(std::io::Cursor::new(&content)).unwrap();
    let mut last = 0;
    while let Some(entry) = reader.next_entry().unwrap() {
        last = usize::try_from(entry.offset).unwrap();
    }
    for at in [last, last + 40] {
        content[at] ^= 1;
        folder.put(Place::Logs, name, content.clone());
        let text = recover_default(&folder).unwrap_err().to_string();
        assert!(text.contains(&format!("damaged at offset {last}")), "{text}");
        assert_eq!(folder.get(Place::Logs, name).unwrap(), content, "nothing was cut");
        content[at] ^= 1;
    }
}

#[test]
fn a_file_that_a_crash_left_empty_is_removed_only_at_the_end() {
    let folder = two_logs();
    for content in [vec![], b"ZKLG\0\0\0\x02\0".to_vec()] {
        folder.put(Place::Logs, "log.7", content.clone());
        assert_eq!(recover_default(&folder).unwrap().zxid, Zxid(6));
        assert_eq!(folder.get(Place::Logs, "log.7"), None);
        let middle = folder.clone();
        middle.put(Place::Logs, "log.3", content);
        let error = recover_default(&middle).unwrap_err();
        assert!(matches!(error, RecoveryError::Damaged { .. }), "{error}");
    }
}

#[test]
fn damage_is_refused_with_file_offset_zxid_and_the_way_out() {
    let folder = two_logs();
    let mut content = folder.get(Place::Logs, "log.1").unwrap();
    content[512 + 40] ^= 4;
    folder.put(Place::Logs, "log.1", content);
    let text = recover_default(&folder).unwrap_err().to_string();
    for part in ["Logs/log.1", "at offset 512", "zxid 0x1", "a whole group follows", "backup"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Recovery has changed nothing.
    assert!(folder.get(Place::Logs, "log.4").is_some());
}

#[test]
fn damage_before_the_snapshot_does_not_matter_only_if_nothing_needs_the_file() {
    let folder = golden_folder();
    let mut content = folder.get(Place::Logs, "log.100000001").unwrap();
    content[100] ^= 1;
    folder.put(Place::Logs, "log.100000001", content);
    assert!(recover_default(&folder).is_ok());
    folder.remove(Place::Snapshots, "snapshot.400000003").unwrap();
    assert!(matches!(recover_default(&folder), Err(RecoveryError::Damaged { .. })));
}

#[test]
fn a_node_that_a_log_makes_below_an_ephemeral_one_is_passed_over_and_told_of() {
    let folder = MemoryFolder::new();
    recover_default(&folder).unwrap();
    let txn = |zxid, path, ephemeral| {
        let acl = AclVector::EMPTY;
        let (path, data, parent_cversion) = (Some(path), None, 1);
        let header = *create(zxid, b"").header();
        let body = TxnBody::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion });
        Txn::new(header, &body, None)
    };
    log_txns(&folder, &[txn(1, "/e", true), txn(2, "/e/c", false)]);
    let recovered = recover_default(&folder).unwrap();
    assert_eq!(recovered.zxid, Zxid(2));
    assert!(recovered.database.node("/e/c").is_none());
    let says = "the transaction 0x2 at offset 512 of Logs/log.1 makes the node \"/e/c\" below an ephemeral one";
    assert!(recovered.notes.iter().any(|note| note.starts_with(says)), "{:#?}", recovered.notes);
}

#[test]
fn a_missing_file_is_noticed() {
    let folder = two_logs();
    log_runs(&folder, &[&[7, 8]]);
    folder.remove(Place::Logs, "log.4").unwrap();
    let text = recover_default(&folder).unwrap_err().to_string();
    assert!(text.contains("transactions 0x3 to 0x7, both excluded, are missing"), "{text}");
    let options = RecoveryOptions { allow_gaps: true, ..RecoveryOptions::default() };
    let recovered = recover_with(&folder, &options).unwrap();
    assert_eq!((recovered.zxid, recovered.gaps), (Zxid(8), true));
    let says = "transactions are missing between 0x3, the last one of Logs/log.1, and 0x7, at offset 16 of \
                Logs/log.7: passed over";
    assert!(recovered.notes.iter().any(|note| note.starts_with(says)), "{:#?}", recovered.notes);
    folder.remove(Place::Logs, "log.1").unwrap();
    assert!(matches!(recover_default(&folder), Err(RecoveryError::Gap { .. })));
}

#[test]
fn zxids_that_go_back_are_refused_and_a_new_epoch_is_not_a_gap() {
    let folder = two_logs();
    log_runs(&folder, &[&[0x1_0000_0001, 0x1_0000_0002]]);
    assert_eq!(recover_default(&folder).unwrap().zxid, Zxid(0x1_0000_0002));
    log_runs(&folder, &[&[5, 6]]);
    let error = recover_default(&folder).unwrap_err();
    assert!(matches!(error, RecoveryError::Backwards { .. }), "{error}");
    assert!(error.to_string().contains("they overlap"), "{error}");
}

/// If recovery skipped the log because the snapshot holds all of it, the next log of the server would need the same
/// name.
#[test]
fn a_log_whose_first_zxid_is_lower_than_its_name_is_refused() {
    let folder = two_logs();
    let log = folder.get(Place::Logs, "log.1").unwrap();
    folder.remove(Place::Logs, "log.4").unwrap();
    folder.put(Place::Logs, "log.a", log);
    let error = recover_default(&folder).unwrap_err();
    assert!(matches!(error, RecoveryError::Misnamed { zxid: Zxid(1), .. }), "{error}");
    assert!(error.to_string().contains("give it the name log.1"), "{error}");
}

#[test]
fn what_an_earlier_run_left_unfinished_is_removed() {
    let folder = two_logs();
    folder.put(Place::Logs, "prepared-segment-3", vec![0; 100]);
    folder.put(Place::Snapshots, SNAPSHOT_TEMPORARY, vec![0; 100]);
    let recovered = recover_default(&folder).unwrap();
    assert_eq!(names(&folder), ["log.1", "log.4", "snapshot.0"]);
    assert_eq!(recovered.news.len(), 2);
}

#[test]
fn logs_and_snapshots_may_not_change_places() {
    let mut folder = MemoryFolder::new();
    folder.apart = true;
    recover_default(&folder).unwrap();
    folder.put(Place::Snapshots, "log.1", vec![]);
    assert!(matches!(recover_default(&folder), Err(RecoveryError::Misplaced { .. })));
}

#[test]
fn epochs_are_created_checked_and_finished() {
    let options = RecoveryOptions { ensemble: true, ..RecoveryOptions::default() };
    let epochs = |folder: &MemoryFolder| recover_with(folder, &options).map(|r| r.epochs.unwrap());
    let folder = golden_folder();
    let found = epochs(&folder).unwrap();
    assert_eq!((found.accepted, found.current), (Epoch(5), Epoch(5)));
    folder.remove(Place::Snapshots, Epochs::ACCEPTED_FILE).unwrap();
    folder.remove(Place::Snapshots, Epochs::CURRENT_FILE).unwrap();
    assert_eq!(epochs(&folder).unwrap(), found);
    assert_eq!(folder.get(Place::Snapshots, Epochs::CURRENT_FILE).unwrap(), b"5");

    folder.put(Place::Snapshots, Epochs::CURRENT_FILE, b"4\n".to_vec());
    let found_4 = epochs(&folder).unwrap();
    assert_eq!((found_4.accepted, found_4.current), (Epoch(5), Epoch(4)), "history half received");
    for torn in [&b"\0"[..], b"", b"4"] {
        folder.put(Place::Snapshots, "currentEpoch.tmp", torn.to_vec());
        assert_eq!(epochs(&folder).unwrap(), found_4, "never finished: {torn:?}");
    }
    folder.remove(Place::Snapshots, "currentEpoch.tmp").unwrap();
    folder.put(Place::Snapshots, Epochs::ACCEPTED_FILE, b"4\n".to_vec());
    let error = epochs(&folder).unwrap_err().to_string();
    assert!(error.contains("the current epoch, 4, is older than the last zxid"), "{error}");
    folder.put(Place::Snapshots, "currentEpoch.tmp", b"5".to_vec());
    folder.put(Place::Snapshots, Epochs::ACCEPTED_FILE, b"5\n".to_vec());
    assert_eq!(epochs(&folder).unwrap(), found);
    folder.put(Place::Snapshots, Epochs::ACCEPTED_FILE, b"4".to_vec());
    assert!(matches!(epochs(&folder), Err(RecoveryError::Epoch { .. })));
    folder.put(Place::Snapshots, Epochs::ACCEPTED_FILE, b"five".to_vec());
    assert!(epochs(&folder).unwrap_err().to_string().contains("\"five\" is not a number"));
    for beyond in ["2147483648", "4294967295", "9223372036854775807"] {
        folder.put(Place::Snapshots, Epochs::ACCEPTED_FILE, beyond.as_bytes().to_vec());
        let error = epochs(&folder).unwrap_err().to_string();
        assert!(error.contains("is no epoch") && error.contains("acceptedEpoch"), "{error}");
    }
}

#[test]
fn where_a_history_began_counts_only_beside_the_epoch_in_which_it_was_noted() {
    let options = RecoveryOptions { ensemble: true, ..RecoveryOptions::default() };
    let origin = |folder: &MemoryFolder| {
        let recovered = recover_with(folder, &options).unwrap();
        (recovered.epochs.unwrap().origin.map(|origin| origin.0), recovered.notes)
    };
    let left = |folder: &MemoryFolder| folder.get(Place::Snapshots, Epochs::ORIGIN_FILE);
    let folder = golden_folder();
    assert_eq!((origin(&folder).0, left(&folder)), (None, None));
    for (text, expected, remains) in [
        ("7 5\n", Some(7), "7 5\n"),
        ("-7 4\n8 5\n", Some(8), "8 5\n"),
        // A crash came before currentEpoch was 6; another leader of epoch 6 may name another origin.
        ("7 5\n8 6\n", Some(7), "7 5\n"),
        // Apache ZooKeeper ran on the folder since then, and changed only the epochs.
        ("7 3\n8 4\n", None, "none"),
    ] {
        folder.put(Place::Snapshots, Epochs::ORIGIN_FILE, text.as_bytes().to_vec());
        let (number, notes) = origin(&folder);
        assert_eq!((number, notes.len()), (expected, 0), "{text:?}: {notes:?}");
        assert_eq!(left(&folder).unwrap(), remains.as_bytes(), "{text:?}");
    }
    for damaged in [&b"\xff\xfe7 5\n"[..], b"", b"7", b"seven 5\n"] {
        folder.put(Place::Snapshots, Epochs::ORIGIN_FILE, damaged.to_vec());
        let (number, notes) = origin(&folder);
        assert_eq!(number, None, "{damaged:?}");
        assert!(notes.len() == 1 && notes[0].contains("historyOrigin holds"), "{notes:?}");
        assert_eq!(left(&folder).unwrap(), b"none");
    }
    // The last zxid is of epoch 5: its leader has not sent its whole history.
    folder.put(Place::Snapshots, Epochs::CURRENT_FILE, b"4\n".to_vec());
    folder.put(Place::Snapshots, Epochs::ORIGIN_FILE, b"7 4\n".to_vec());
    assert_eq!(origin(&folder).0, None);
}

#[test]
fn an_epoch_file_that_is_no_text_says_the_way_out() {
    let options = RecoveryOptions { ensemble: true, ..RecoveryOptions::default() };
    let folder = golden_folder();
    folder.put(Place::Snapshots, "currentEpoch.tmp", b"\xff".to_vec());
    recover_with(&folder, &options).unwrap();
    folder.put(Place::Snapshots, Epochs::CURRENT_FILE, b"\xff\xfe".to_vec());
    let error = recover_with(&folder, &options).unwrap_err().to_string();
    assert!(error.contains("is not a number") && error.contains("acceptedEpoch"), "{error}");
}

#[test]
fn the_last_transactions_are_kept_for_followers() {
    let options = RecoveryOptions { recent_txns_max: 4, ..RecoveryOptions::default() };
    let recovered = recover_with(&two_logs(), &options).unwrap();
    let zxids: Vec<i64> = recovered.recent.iter().map(|txn| txn.zxid().0).collect();
    assert_eq!(zxids, [3, 4, 5, 6]);
}
