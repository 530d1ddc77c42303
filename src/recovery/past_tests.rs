//! What is cut off a folder, what is read from its past, and what a start makes of one that has lost
//! something.

use std::cell::Cell;
use std::io;

use super::crash::Random;
use super::tests::{golden_folder, recover_default};
use super::*;
use crate::id::Epoch;
use crate::proto::txn::TxnBody;
use crate::txnlog::tests::{Disk, create};
use crate::txnlog::{Append, Reader, Verdict, Writer, WriterOptions};

fn options() -> WriterOptions {
    WriterOptions {
        block_bytes: 512,
        segment_bytes: 64 << 10,
        group_bytes_max: 16 << 10,
        txn_bytes_max: 8 << 10,
        ..WriterOptions::default()
    }
}

/// A server's files while it writes them.
struct Server {
    folder: MemoryFolder,
    disk: Disk,
    writer: Writer,
    database: Database,
    /// Every transaction in the log, in order.
    logged: Vec<Txn>,
}

impl Server {
    fn new() -> Server {
        let folder = MemoryFolder::new();
        let recovered = recover_default(&folder).unwrap();
        let mut disk = Disk::default();
        let mut writer = Writer::new(options(), Zxid(0), 0);
        disk.run(&mut writer);
        Server { folder, disk, writer, database: recovered.database, logged: Vec::new() }
    }

    /// Logs a group.
    fn log(&mut self, zxids: &[i64]) {
        for zxid in zxids {
            let txn = create(*zxid, &vec![7; usize::try_from(zxid % 700).unwrap()]);
            assert_eq!(self.writer.append(&txn), Append::Accepted);
            self.database.apply_in_replay(&txn);
            self.logged.push(txn);
        }
        self.disk.run(&mut self.writer);
    }

    fn snapshot(&mut self) {
        self.writer.roll(0);
        let content = snapshot_of(&mut self.database);
        let name = plan::snapshot_name(self.database.last_processed());
        self.folder.put(Place::Snapshots, &name, content);
    }

    /// The whole tree comes from a leader, at a zxid beyond the log's.
    fn restore(&mut self, zxid: i64) {
        self.close();
        self.database = Database::new(DatabaseOptions::default());
        for zxid in 1..=zxid & 0xff {
            self.database.apply_in_replay(&create(zxid, b""));
        }
        self.database.set_last_processed(Zxid(zxid));
        self.snapshot();
        self.writer.reopen(Zxid(zxid), 0);
        self.disk.run(&mut self.writer);
    }

    fn close(&mut self) {
        self.writer.close();
        self.disk.run(&mut self.writer);
        assert!(self.writer.is_closed());
    }

    /// The folder of a server that was stopped.
    fn stop(mut self) -> (MemoryFolder, Vec<Txn>) {
        self.close();
        for (name, content) in std::mem::take(&mut self.disk.files) {
            self.folder.put(Place::Logs, &name, content);
        }
        (self.folder, self.logged)
    }
}

fn snapshot_of(database: &mut Database) -> Vec<u8> {
    let folder = MemoryFolder::new();
    save_empty(&folder, database).unwrap();
    folder.get(Place::Snapshots, "snapshot.0").unwrap()
}

/// A folder whose power goes before one of the changes.
struct Crashing<'a> {
    folder: &'a MemoryFolder,
    changes_left: Cell<usize>,
}

impl Crashing<'_> {
    fn change(&self) -> io::Result<()> {
        let left = self.changes_left.get();
        self.changes_left.set(left.saturating_sub(1));
        if left == 0 { Err(io::Error::other("the power went")) } else { Ok(()) }
    }
}

impl Folder for Crashing<'_> {
    fn list(&self, place: Place) -> io::Result<Vec<FileInfo>> {
        self.folder.list(place)
    }
    fn open(&self, place: Place, name: &str) -> io::Result<Box<dyn ReadSeek + '_>> {
        self.folder.open(place, name)
    }
    fn truncate(&self, place: Place, name: &str, bytes: u64) -> io::Result<()> {
        self.change()?;
        self.folder.truncate(place, name, bytes)
    }
    fn remove(&self, place: Place, name: &str) -> io::Result<()> {
        self.change()?;
        self.folder.remove(place, name)
    }
    fn replace(&self, place: Place, name: &str, content: &[u8]) -> io::Result<()> {
        self.change()?;
        self.folder.replace(place, name, content)
    }
    fn sync(&self, place: Place, name: &str) -> io::Result<()> {
        self.folder.sync(place, name)
    }
    fn sync_names(&self, place: Place) -> io::Result<()> {
        self.folder.sync_names(place)
    }
    fn has_initialize(&self) -> io::Result<bool> {
        self.folder.has_initialize()
    }
    fn remove_initialize(&self) -> io::Result<()> {
        self.change()?;
        self.folder.remove_initialize()
    }
    fn logs_apart(&self) -> bool {
        self.folder.logs_apart()
    }
    fn describe(&self, place: Place, name: &str) -> String {
        self.folder.describe(place, name)
    }
}

/// Holds a recovered state against what was logged; `from`: the zxid that the tree began with.
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

/// Cuts behind each transaction and crashes before each change.
fn cut_everywhere(folder: &MemoryFolder, logged: &[Txn], from: i64) {
    let last = logged.last().unwrap().zxid();
    for at in logged.iter().map(Txn::zxid).filter(|at| at.0 > from) {
        for changes in 0.. {
            let cut = folder.clone();
            let crashing = Crashing { folder: &cut, changes_left: Cell::new(changes) };
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
    // Behind the hole there is nothing to cut to; before it there is.
    for at in [0x1_0000_0010, 0x1_0000_001f] {
        let error = truncate(&folder.clone(), Zxid(at)).unwrap_err();
        assert!(matches!(error, RecoveryError::NotInHistory { last: Zxid(3), .. }), "{error}");
    }
    for changes in 0.. {
        let cut = folder.clone();
        let crashing = Crashing { folder: &cut, changes_left: Cell::new(changes) };
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
    // The leader's, of which everything else is to go.
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
    // The oldest log that is left begins before the oldest snapshot.
    for at in [0, 0x10, 0x20, 0x30] {
        folder.remove(Place::Snapshots, &plan::snapshot_name(Zxid(at))).unwrap();
    }
    for at in [0x01, 0x11, 0x21] {
        folder.remove(Place::Logs, &plan::log_name(Zxid(at))).unwrap();
    }
    folder.put(Place::Snapshots, &name, tree);
    for changes in 0.. {
        let cut = folder.clone();
        let crashing = Crashing { folder: &cut, changes_left: Cell::new(changes) };
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
    // A tree at 9 is about to come: nothing is behind it.
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
    // Of the group behind it a sector is there already.
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

fn member() -> RecoveryOptions {
    RecoveryOptions { ensemble: true, ..RecoveryOptions::default() }
}

fn recover_as(folder: &dyn Folder, options: &RecoveryOptions) -> Result<Recovered, RecoveryError> {
    recover(folder, options, &mut |_| ())
}

/// It would claim the epoch of that tree, and with what is left in the log beat servers that hold more.
#[test]
fn a_damaged_tree_of_a_leader_with_nothing_behind_it_is_refused() {
    for alone in [false, true] {
        let mut server = Server::new();
        server.log(&[1, 2, 3]);
        server.restore(0x1_0000_0009);
        let (folder, _) = server.stop();
        folder.put(Place::Snapshots, "acceptedEpoch", b"1".to_vec());
        folder.put(Place::Snapshots, "currentEpoch", b"1".to_vec());
        let options = RecoveryOptions { ensemble: !alone, ..RecoveryOptions::default() };
        let whole = recover_as(&folder, &options).unwrap();
        assert_eq!(whole.zxid, Zxid(0x1_0000_0009));
        let content = folder.get(Place::Snapshots, "snapshot.100000009").unwrap();
        let mut flipped = content.clone();
        flipped[100] ^= 1;
        for (damaged, reason) in [
            (flipped, "checksum"),
            (content[..content.len() / 2].to_vec(), "it is incomplete"),
            (Vec::new(), "it is incomplete"),
        ] {
            folder.put(Place::Snapshots, "snapshot.100000009", damaged);
            let before = folder.list(Place::Snapshots).unwrap();
            let error = recover_as(&folder, &options).unwrap_err();
            assert!(matches!(error, RecoveryError::LostTree { last: Zxid(3), .. }), "{error}");
            let text = error.to_string();
            let way_out = "leave acceptedEpoch and currentEpoch where they are";
            for part in ["snapshot.100000009", reason, "ends at 0x3", way_out] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert_eq!(folder.list(Place::Snapshots).unwrap(), before, "nothing was touched");
        }
        // Nothing but the damaged tree, as if the folder were empty.
        for name in ["snapshot.0", "log.1"] {
            folder.remove(Place::Snapshots, name).unwrap();
        }
        let error = recover_as(&folder, &options).unwrap_err();
        assert!(matches!(error, RecoveryError::LostTree { last: Zxid::ZERO, .. }), "{error}");
    }
}

#[test]
fn a_damaged_snapshot_whose_content_is_in_the_log_is_passed_over() {
    let mut server = Server::new();
    server.log(&[1, 2, 3]);
    server.snapshot();
    server.log(&[4]);
    let (folder, _) = server.stop();
    let content = folder.get(Place::Snapshots, "snapshot.3").unwrap();
    folder.put(Place::Snapshots, "snapshot.3", content[..content.len() / 2].to_vec());
    assert_eq!(recover_as(&folder, &member()).unwrap().zxid, Zxid(4));
}

/// The server is the one that the operator has called new, whenever the power goes, or it waits for a
/// leader because nobody has called it that.
#[test]
fn initialize_is_there_until_what_it_vouches_for_is_durable() {
    let options = RecoveryOptions { autocreate: false, ..member() };
    for stale in [false, true] {
        for changes in 0.. {
            let folder = MemoryFolder::new();
            folder.put(Place::DataDir, "initialize", Vec::new());
            if stale {
                folder.put(Place::Snapshots, "acceptedEpoch", b"4".to_vec());
                folder.put(Place::Snapshots, "currentEpoch", b"3".to_vec());
            }
            let crashing = Crashing { folder: &folder, changes_left: Cell::new(changes) };
            let done = recover_as(&crashing, &options);
            let again = recover_as(&folder, &options).unwrap();
            assert_eq!(again.zxid, Zxid::ZERO, "after {changes} changes");
            let accepted = Epoch(if stale { 4 } else { 0 });
            let epochs = again.epochs.unwrap();
            assert_eq!((epochs.accepted, epochs.current), (accepted, Epoch::ZERO));
            assert_eq!(folder.get(Place::DataDir, "initialize"), None);
            if done.is_ok() {
                assert!(changes >= 3, "snapshot, two epochs and the file itself");
                break;
            }
        }
    }
}

/// `initialize` of long ago must not make a folder that is lost later look new.
#[test]
fn initialize_beside_data_goes_at_once() {
    let mut server = Server::new();
    server.log(&[1]);
    let (folder, _) = server.stop();
    folder.put(Place::DataDir, "initialize", Vec::new());
    folder.put(Place::Snapshots, "acceptedEpoch", b"nonsense".to_vec());
    recover_as(&folder, &member()).unwrap_err();
    assert_eq!(folder.get(Place::DataDir, "initialize"), None);
}

#[test]
fn an_empty_folder_whose_epoch_says_that_there_was_data_has_no_vote() {
    let folder = MemoryFolder::new();
    folder.put(Place::Snapshots, "acceptedEpoch", b"3".to_vec());
    folder.put(Place::Snapshots, "currentEpoch", b"2".to_vec());
    let lost = recover_as(&folder, &member()).unwrap();
    assert_eq!(lost.zxid, Zxid::NONE);
    assert!(lost.notes.iter().any(|note| note.contains("epoch 2")), "{:?}", lost.notes);
    let again = recover_as(&folder, &member()).unwrap();
    assert_eq!(again.zxid, Zxid::NONE, "and after another start");
}

/// What a member has acknowledged goes with its data. With a vote then, it could elect a server that has none
/// of it either.
#[test]
fn who_does_what_is_said_about_epoch_files_has_no_vote_without_data() {
    let written = [
        (Some("4"), Some("4")),
        (Some("0"), Some("0")),
        (Some("-1"), Some("0")),
        (Some("0"), None),
        (Some("0"), Some("4")),
        (Some("5"), Some("4")),
        (None, Some("4")),
        (None, Some("0")),
        (Some("five"), Some("5")),
        (Some(""), Some("0")),
        (Some("5"), Some("-3")),
    ];
    for (current, accepted) in written {
        let context = format!("currentEpoch {current:?}, acceptedEpoch {accepted:?}");
        let folder = golden_folder();
        for (name, content) in [("currentEpoch", current), ("acceptedEpoch", accepted)] {
            match content {
                Some(content) => folder.put(Place::Snapshots, name, content.into()),
                None => folder.remove(Place::Snapshots, name).unwrap(),
            }
        }
        let said = recover_as(&folder, &member()).unwrap_err().to_string();
        assert!(
            said.contains("the other servers have a quorum, move log.* and snapshot.*"),
            "{said}"
        );
        for file in folder.list(Place::Snapshots).unwrap() {
            if file.name.starts_with("log.") || file.name.starts_with("snapshot.") {
                folder.remove(Place::Snapshots, &file.name).unwrap();
            }
        }
        let number = |before: &str, behind: &str| -> Option<Vec<u8>> {
            let (_, rest) = said.split_once(before)?;
            let number = rest.split(|it: char| !it.is_ascii_digit()).next()?;
            rest.contains(behind).then(|| number.into())
        };
        let of_leader =
            said.contains("what currentEpoch of the leader says").then(|| b"7".to_vec());
        if let Some(both) = number("aside, write ", "into both of these files").or(of_leader) {
            folder.put(Place::Snapshots, "currentEpoch", both.clone());
            folder.put(Place::Snapshots, "acceptedEpoch", both);
        }
        for start in 1..=2 {
            let recovered = recover_as(&folder, &member());
            let recovered = recovered.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(recovered.zxid, Zxid::NONE, "{context}, start {start}: {said}");
        }
    }
}

/// currentEpoch may be lost with the data, or have been 0 when the data was lost.
#[test]
fn an_empty_folder_of_a_server_that_has_accepted_an_epoch_has_no_vote() {
    for current in [None, Some("0"), Some("-1")] {
        let folder = MemoryFolder::new();
        folder.put(Place::Snapshots, "acceptedEpoch", b"3".to_vec());
        if let Some(current) = current {
            folder.put(Place::Snapshots, "currentEpoch", current.into());
        }
        let lost = recover_as(&folder, &member()).unwrap();
        assert_eq!(lost.zxid, Zxid::NONE, "{current:?}");
        assert!(
            lost.notes.iter().any(|note| note.contains("acceptedEpoch says")),
            "{:?}",
            lost.notes
        );
        folder.put(Place::DataDir, "initialize", Vec::new());
        let new = recover_as(&folder, &member()).unwrap();
        assert_eq!((new.zxid, new.epochs.unwrap().accepted), (Zxid::ZERO, Epoch(3)));
        assert_eq!(
            recover_as(&folder, &member()).unwrap().zxid,
            Zxid::ZERO,
            "its snapshot is there"
        );
    }
}

/// It goes like this: 1. A server without data gets a tree of epoch 1. 2. Its power goes before currentEpoch is written.
/// And 3. The number in that file must not be the one that says "do not count me" to every leader.
#[test]
fn a_server_that_stopped_behind_its_first_tree_has_an_epoch_that_counts() {
    let options = RecoveryOptions { autocreate: false, ..member() };
    let folder = MemoryFolder::new();
    let unknown = recover_as(&folder, &options).unwrap();
    assert_eq!(unknown.zxid, Zxid::NONE);
    let mut server = Server::new();
    server.restore(0x1_0000_0009);
    let (tree, _) = server.stop();
    let content = tree.get(Place::Snapshots, "snapshot.100000009").unwrap();
    // What ZooKeeper writes there, and what is written here.
    let ours = folder.get(Place::Snapshots, "currentEpoch").unwrap();
    for current in [ours, b"-1".to_vec()] {
        let folder = MemoryFolder::new();
        folder.put(Place::Snapshots, "snapshot.100000009", content.clone());
        folder.put(Place::Snapshots, "acceptedEpoch", b"1".to_vec());
        folder.put(Place::Snapshots, "currentEpoch", current);
        let epochs = recover_as(&folder, &options).unwrap().epochs.unwrap();
        assert_eq!((epochs.accepted, epochs.current), (Epoch(1), Epoch::ZERO));
    }
    folder.put(Place::Snapshots, "currentEpoch", b"-2".to_vec());
    let error = recover_as(&folder, &options).unwrap_err().to_string();
    assert!(error.contains("-2 is no epoch"), "{error}");
}
