//! The tests of the log, and what they share: a disk in memory, and a few groups of transactions.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small numbers of tests

mod reading;
mod rows;
mod writing;

use std::collections::BTreeMap;
use std::io::Cursor;

use super::*;
use crate::id::{SessionId, Zxid};
use crate::io::{Completion, Done, IoFailure, IoFailureKind, Op, SegmentId};
use crate::proto::data::AclVector;
use crate::proto::opcode::OpCode;
use crate::proto::request::Paths;
use crate::proto::txn::{CreateTxn, DeleteTxn, Txn, TxnBody, TxnDigest, TxnHeader};

/// A disk in memory that performs every op at once.
#[derive(Default)]
pub(crate) struct Disk {
    pub prepared: BTreeMap<SegmentId, Vec<u8>>,
    pub names: BTreeMap<SegmentId, String>,
    pub files: BTreeMap<String, Vec<u8>>,
    /// The sizes, in bytes, of all segments that the writer asked for.
    pub sizes: Vec<u64>,
    /// If set, the disk has no room for another segment.
    pub full: bool,
}

impl Disk {
    fn file(&mut self, segment: SegmentId) -> &mut Vec<u8> {
        match self.names.get(&segment) {
            Some(name) => self.files.get_mut(name).unwrap(),
            None => self.prepared.get_mut(&segment).unwrap(),
        }
    }

    pub fn perform(&mut self, op: Op) -> Completion {
        let token = op.token();
        let mut done = Done::Plain;
        match op {
            Op::LogWrite { segment, offset, buf, bytes, .. } => {
                let (at, bytes) = (offset as usize, bytes as usize);
                let file = self.file(segment);
                assert!(at + bytes <= file.len(), "the segment was prepared that far");
                assert!(file[at.max(16)..].iter().all(|byte| *byte == 0), "nothing written twice");
                file[at..at + bytes].copy_from_slice(&buf[..bytes]);
                done = Done::Buffer(buf);
            }
            Op::SegmentPrepare { .. } if self.full => {
                let failure = IoFailure { kind: IoFailureKind::Full, text: "full".to_owned() };
                return Completion { token, result: Err(failure) };
            }
            Op::SegmentPrepare { segment, bytes, header, .. } => {
                self.sizes.push(bytes);
                let mut file = vec![0; bytes as usize];
                file[..16].copy_from_slice(&header);
                self.prepared.insert(segment, file);
            }
            Op::SegmentName { segment, name, .. } => {
                let file = self.prepared.remove(&segment).unwrap();
                assert!(self.files.insert(name.clone(), file).is_none(), "a name is used once");
                self.names.insert(segment, name);
            }
            Op::SegmentClose { segment, bytes_used: 0, .. } => {
                self.prepared.remove(&segment).unwrap();
            }
            Op::SegmentClose { segment, bytes_used, .. } => {
                self.file(segment).truncate(bytes_used as usize);
            }
            other => panic!("not an op of the log: {other:?}"),
        }
        Completion { token, result: Ok(done) }
    }

    /// Polls the writer and performs its ops until nothing is left to do.
    pub fn run(&mut self, writer: &mut Writer) -> Vec<Synced> {
        let mut synced = Vec::new();
        loop {
            let mut ops = Vec::new();
            writer.poll(&mut ops);
            if ops.is_empty() {
                return synced;
            }
            for op in ops {
                match writer.handle_completion(self.perform(op)) {
                    Progress::Synced(group) => synced.push(group),
                    Progress::None | Progress::NoSpace(_) => (),
                    Progress::Failed(failure) => panic!("{failure}"),
                }
            }
        }
    }
}

fn header(zxid: i64, op: OpCode) -> TxnHeader {
    let client_id = SessionId(0x100_0000_0000_0001);
    TxnHeader { client_id, cxid: 3, zxid: Zxid(zxid), time: 1_700_000_000_000, op }
}

pub(crate) fn create(zxid: i64, data: &[u8]) -> Txn {
    let path = format!("/node-{zxid:x}");
    let body = TxnBody::Create(CreateTxn {
        path: Some(&path),
        data: Some(data),
        acl: AclVector::EMPTY,
        ephemeral: false,
        parent_cversion: 1,
    });
    // The version of the digest is one that no reader compares.
    let digest = TxnDigest { version: 1, tree_digest: zxid ^ 0x5555_5555 };
    Txn::new(header(zxid, OpCode::Create), &body, Some(digest))
}

fn delete_without_digest(zxid: i64) -> Txn {
    let body = TxnBody::Delete(DeleteTxn { path: Some("/gone") });
    Txn::new(header(zxid, OpCode::Delete), &body, None)
}

fn options(block_bytes: usize) -> WriterOptions {
    WriterOptions {
        block_bytes,
        segment_bytes: 64 << 10,
        group_bytes_max: 16 << 10,
        txn_bytes_max: 32 << 10,
        ..WriterOptions::default()
    }
}

/// A writer with its first segment prepared.
fn ready_writer(options: WriterOptions, disk: &mut Disk) -> Writer {
    let mut writer = Writer::new(options, Zxid::ZERO, 0);
    assert_eq!(writer.append(&create(1, b"")), Append::Full, "no segment yet");
    disk.run(&mut writer);
    assert!(writer.is_ready());
    writer
}

/// Writes the groups one by one into one file, and gives its bytes and the offset at which each group ends.
fn log_of(groups: &[Vec<Txn>], block_bytes: usize) -> (Vec<u8>, Vec<usize>) {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(block_bytes), &mut disk);
    let mut ends = Vec::new();
    for group in groups {
        for txn in group {
            assert_eq!(writer.append(txn), Append::Accepted);
        }
        let synced = disk.run(&mut writer);
        let [synced] = synced[..] else { panic!("one group") };
        assert_eq!(synced.zxid, group.last().unwrap().zxid());
        assert_eq!(synced.txns as usize, group.len());
        ends.push(writer.current_bytes() as usize);
    }
    assert_eq!(disk.files.len(), 1);
    (disk.files.into_values().next().unwrap(), ends)
}

fn read(file: &[u8]) -> (Vec<Entry>, Verdict) {
    let mut reader = Reader::open(Cursor::new(file)).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        entries.push(entry);
    }
    let verdict = reader.verdict().expect("there is a verdict at the end").clone();
    (entries, verdict)
}

fn txns(entries: &[Entry]) -> Vec<Txn> {
    entries.iter().map(|entry| entry.txn.clone()).collect()
}

/// Groups of several sizes: a single transaction, several blocks, without digest, with zeroes as
/// data.
fn sample_groups() -> Vec<Vec<Txn>> {
    vec![
        vec![create(1, b"one")],
        vec![create(2, &[7; 900]), create(3, b""), create(4, &[0; 1300])],
        vec![delete_without_digest(5)],
        vec![create(6, &[9; 300]), delete_without_digest(7), create(8, &[0x42; 700])],
        vec![create(9, b"nine"), create(10, &[1; 2400]), create(11, b"eleven")],
    ]
}
