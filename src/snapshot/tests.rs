//! Snapshots written and read, whole and broken, ours and ZooKeeper's.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small numbers of tests
#![allow(clippy::disallowed_methods, reason = "golden files are read from the disk")]

use std::io::Write as _;
use std::path::PathBuf;

use super::snappy::compress;
use super::*;
use crate::database::{Database, DatabaseOptions};
use crate::id::Zxid;
use crate::io::{Completion, Done, IoFailure, IoFailureKind, Op};
use crate::txnlog::tests::create;

/// A disk that keeps the one snapshot that is being written.
#[derive(Default)]
struct Disk {
    file: Option<Vec<u8>>,
    done: Option<(String, Vec<u8>)>,
    /// The op that fails, counted from 0.
    failing: Option<usize>,
    ops: usize,
    failed: bool,
    abandoned: bool,
}

impl Disk {
    fn perform(&mut self, op: Op) -> Completion {
        let token = op.token();
        let fails = self.failed || self.failing == Some(self.ops);
        self.ops += 1;
        if fails && !matches!(op, Op::SnapshotAbandon { .. }) {
            self.failed = true;
            let failure = IoFailure { kind: IoFailureKind::Full, text: "no space".to_owned() };
            return Completion { token, result: Err(failure) };
        }
        let mut done = Done::Plain;
        match op {
            Op::SnapshotCreate { temporary, .. } => {
                assert_eq!(temporary, SNAPSHOT_TEMPORARY);
                self.file = Some(Vec::new());
            }
            Op::SnapshotWrite { bytes, .. } => {
                self.file.as_mut().unwrap().extend_from_slice(&bytes);
                done = Done::Bytes(bytes);
            }
            Op::SnapshotCommit { name, .. } => self.done = Some((name, self.file.take().unwrap())),
            Op::SnapshotAbandon { .. } => {
                (self.file, self.failed, self.abandoned) = (None, false, true);
            }
            other => panic!("not an op of snapshots: {other:?}"),
        }
        Completion { token, result: Ok(done) }
    }
}

fn options() -> WriterOptions {
    WriterOptions {
        nodes_max: 20,
        slice_bytes: 500,
        in_flight_bytes_max: 1500,
        ..WriterOptions::default()
    }
}

pub(super) fn sample(nodes: i64) -> Database {
    let mut database = Database::new(DatabaseOptions::default());
    for zxid in 1..=nodes {
        database.apply_in_replay(&create(zxid, &vec![7; zxid as usize]));
    }
    database
}

/// Writes a snapshot, with a transaction applied between any two slices.
fn write(database: &mut Database, disk: &mut Disk) -> Vec<Progress> {
    let mut writer = Writer::new(options());
    let mut ops = Vec::new();
    writer.begin(database, &mut ops);
    let mut zxid = database.last_processed().0;
    let mut told = Vec::new();
    while writer.is_active() {
        while writer.wants_poll() {
            writer.poll(database, &mut ops);
            zxid += 1;
            database.apply_in_replay(&create(zxid, b"later"));
        }
        let in_flight: usize = ops
            .iter()
            .map(|op| if let Op::SnapshotWrite { bytes, .. } = op { bytes.len() } else { 0 })
            .sum();
        assert!(in_flight < 1500 + 500 + 16 * 450, "{in_flight} bytes in flight");
        assert!(!ops.is_empty(), "an op is under way, or it would never end");
        for op in ops.drain(..) {
            match writer.handle_completion(disk.perform(op)) {
                Progress::None => (),
                progress => told.push(progress),
            }
        }
    }
    told
}

pub(super) fn load_plain(bytes: &[u8], zxid: Zxid) -> Result<Loaded, SnapshotError> {
    load(&mut &bytes[..], Compression::None, zxid, DatabaseOptions::default(), &mut |_, _| ())
}

pub(super) fn same(a: &Database, b: &Database, path: &str) {
    let (a_node, b_node) = (a.node(path).unwrap(), b.node(path).unwrap());
    assert_eq!(a_node.stat(), b_node.stat(), "{path}");
    assert_eq!(a_node.data(), b_node.data(), "{path}");
    assert_eq!(a_node.acl(), b_node.acl(), "{path}");
    for child in a_node.children() {
        let path = if path == "/" { format!("/{child}") } else { format!("{path}/{child}") };
        same(a, b, &path);
    }
}

/// The bytes of a snapshot of the present database.
pub(super) fn write_file(database: &mut Database) -> Vec<u8> {
    let mut disk = Disk::default();
    let mut writer = Writer::new(options());
    let mut ops = Vec::new();
    writer.begin(database, &mut ops);
    while writer.is_active() {
        writer.poll(database, &mut ops);
        for op in ops.drain(..) {
            let _ = writer.handle_completion(disk.perform(op));
        }
    }
    disk.done.unwrap().1
}

pub(super) fn written(nodes: i64) -> Vec<u8> {
    let mut disk = Disk::default();
    let told = write(&mut sample(nodes), &mut disk);
    let (name, bytes) = disk.done.expect("it was finished");
    assert_eq!(name, format!("snapshot.{nodes:x}"));
    let [Progress::Done { zxid, bytes: length, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((zxid.0, *length), (nodes, bytes.len() as u64));
    bytes
}

#[test]
fn a_snapshot_is_the_state_of_its_zxid_whatever_came_later() {
    let bytes = written(300);
    let loaded = load_plain(&bytes, Zxid(300)).unwrap();
    let (first, last) = (&bytes[..8], &bytes[bytes.len() - 8..]);
    assert_eq!(look(Compression::None, first, last), Look::Finished);
    assert_eq!(look(Compression::None, first, first), Look::Unfinished);
    assert_eq!(look(Compression::None, &[], &[]), Look::Unfinished);
    assert_eq!(look(Compression::None, last, last), Look::Damaged);
    let expected = sample(300);
    assert_eq!(loaded.database.digest(), expected.digest());
    assert_eq!(loaded.database.digest_mismatches(), 0);
    assert_eq!(loaded.database.last_processed(), Zxid(300));
    assert_eq!(loaded.database.node_count(), expected.node_count());
    assert_eq!(loaded.trailers.last_zxid, Some(Zxid(300)));
    let digest = Digest { zxid: Zxid(300), version: 2, digest: expected.digest() };
    assert_eq!(loaded.trailers.digest, Some(digest));
    same(&expected, &loaded.database, "/");
}

#[test]
fn any_byte_changed_or_missing_is_noticed() {
    let bytes = written(4);
    for cut in 0..bytes.len() {
        let result = load_plain(&bytes[..cut], Zxid(4));
        // Snapshots of older versions end before the last zxid, or before the digest, each with a seal.
        let whole = [0, 21, 21 + 33].map(|less| bytes.len() - less).contains(&cut);
        assert_eq!(result.is_ok(), whole, "cut at {cut} of {}", bytes.len());
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let result = load_plain(&changed, Zxid(4));
        // ZooKeeper: no reader checks the path behind a seal. A later seal covers the path, except behind the last
        // seal.
        let last = at >= bytes.len() - 5;
        assert_eq!(result.is_ok(), last, "byte {at} of {}", bytes.len());
    }
}

#[test]
fn compressed_snapshots_are_read_as_plain_ones() {
    let bytes = written(200);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    let packed = [
        (Compression::Gzip, gzip.finish().unwrap()),
        (Compression::Snappy, compress(&bytes, 32 << 10)),
    ];
    for (compression, packed) in packed {
        let (first, last) = (&packed[..8], &packed[packed.len() - 8..]);
        assert_eq!(look(compression, first, last), Look::Finished);
        assert_eq!(look(compression, &[0; 8], last), Look::Unfinished);
        let mut damaged = first.to_vec();
        damaged[0] ^= 4;
        assert_eq!(look(compression, &damaged, last), Look::Damaged);
        let options = DatabaseOptions::default();
        let load = |mut bytes: &[u8]| {
            super::load(&mut bytes, compression, Zxid(200), options, &mut |_, _| ())
        };
        let loaded = load(&packed).unwrap();
        assert_eq!(loaded.database.digest(), sample(200).digest());
        for cut in [0, 1, 10, packed.len() / 2, packed.len() - 60] {
            assert!(load(&packed[..cut]).is_err(), "{compression:?} cut at {cut}");
        }
    }
}

#[test]
fn a_snapshot_that_fails_anywhere_is_given_up_and_the_next_one_works() {
    let mut ops = 0;
    let mut tried = 0;
    loop {
        let mut database = sample(100);
        let mut disk = Disk { failing: Some(tried), ..Disk::default() };
        let told = write(&mut database, &mut disk);
        if disk.done.is_some() {
            assert_eq!(tried, ops, "every op was made to fail once");
            break;
        }
        assert!(told.iter().any(|progress| matches!(progress, Progress::Failed(_))));
        assert_eq!(told.len(), 1, "told once");
        assert!(disk.abandoned && disk.file.is_none());
        disk.failing = None;
        let again = write(&mut database, &mut disk);
        assert!(matches!(&again[..], [Progress::Done { .. }]));
        tried += 1;
        ops = ops.max(tried);
    }
    assert!(tried > 5);
}

#[test]
fn lengths_that_nothing_backs_allocate_nothing() {
    let bytes = written(1);
    // The counts of sessions and of ACL lists stand behind the header, at bytes 16 and 20.
    for length in [i32::MAX, 1 << 30, -2, i32::MIN] {
        for at in [16, 20] {
            let mut hostile = bytes.clone();
            hostile[at..at + 4].copy_from_slice(&length.to_be_bytes());
            assert!(load_plain(&hostile, Zxid(1)).is_err(), "{length} at {at}");
        }
    }
}

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("tests/golden/datadir-3.10-HEAD/version-2").join(name);
    std::fs::read(&path).unwrap()
}

#[test]
fn snapshots_of_zookeeper_have_the_digest_that_zookeeper_says() {
    let expected = [
        ("snapshot.0", 0, 1_371_985_504, Zxid(0)),
        ("snapshot.100000002", 0x1_0000_0002, 7_367_702_061, Zxid(0x1_0000_0002)),
        ("snapshot.400000003", 0x4_0000_0003, 7_749_185_122, Zxid(0x4_0000_0003)),
    ];
    for (name, zxid, digest, last) in expected {
        let loaded = load_plain(&golden(name), Zxid(zxid)).unwrap();
        assert_eq!(loaded.database.digest(), digest, "{name}");
        assert_eq!(loaded.database.digest_mismatches(), 0, "{name}");
        assert_eq!(loaded.trailers.last_zxid, Some(last), "{name}");
        // Only the third snapshot was written after a transaction was applied, so only that one stores a digest.
        let stored = loaded.trailers.digest.unwrap();
        let written = if zxid > 0x4_0000_0000 { (Zxid(zxid), digest) } else { (Zxid(0), 0) };
        assert_eq!((stored.zxid, stored.digest), written, "{name}");
    }
}

#[test]
fn a_snapshot_of_an_empty_database_is_zookeepers_but_for_the_configuration() {
    let mut disk = Disk::default();
    write(&mut Database::new(DatabaseOptions::default()), &mut disk);
    let (name, bytes) = disk.done.unwrap();
    assert_eq!(name, "snapshot.0");
    assert_eq!(sections(&bytes), sections(&golden("snapshot.0")));
}

/// The nodes of a snapshot except that of the configuration, sorted, because ZooKeeper's order is that of its hash
/// sets; and the digest and zxid behind them.
fn sections(bytes: &[u8]) -> (Vec<String>, Option<Digest>, Option<Zxid>) {
    struct Collect(Vec<String>);
    impl Parts for Collect {
        fn session(&mut self, id: crate::id::SessionId, timeout_ms: i32) {
            self.0.push(format!("session {id} {timeout_ms}"));
        }
        fn acl(&mut self, key: crate::acl::AclId, acl: crate::proto::data::AclVector<'_>) {
            self.0.push(format!("acl {} {acl:?}", key.0));
        }
        fn node(
            &mut self,
            path: &str,
            data: Option<&[u8]>,
            acl: crate::acl::AclId,
            stat: crate::proto::data::StatPersisted,
        ) -> Result<(), crate::database::LoadError> {
            self.0.push(format!("node {path:?} {data:?} {} {stat:?}", acl.0));
            Ok(())
        }
        fn progress(&mut self, _: u64, _: u64) {}
    }
    let mut parts = Collect(Vec::new());
    let trailers = read(&mut &bytes[..], Compression::None, &mut parts).unwrap();
    parts.0.retain(|part| !part.contains("/zookeeper/config"));
    parts.0.sort();
    (parts.0, trailers.digest, trailers.last_zxid)
}
