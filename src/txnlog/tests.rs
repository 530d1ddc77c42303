//! Files made by the writer, cut and damaged in every place.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small numbers of tests

use std::collections::BTreeMap;
use std::io::Cursor;

use super::*;
use crate::id::{SessionId, Zxid};
use crate::io::{Completion, Done, IoFailure, IoFailureKind, Op, SegmentId};
use crate::proto::data::AclVector;
use crate::proto::opcode::OpCode;
use crate::proto::request::Paths;
use crate::proto::txn::{CreateTxn, DeleteTxn, Txn, TxnBody, TxnDigest, TxnHeader};

/// Files of a disk that performs every op at once.
#[derive(Default)]
pub(crate) struct Disk {
    pub prepared: BTreeMap<SegmentId, Vec<u8>>,
    pub names: BTreeMap<SegmentId, String>,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Sizes of all segments it was asked for.
    pub sizes: Vec<u64>,
    /// No room for another segment.
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

    /// Polls and performs until nothing is left to do.
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
    // With a version that is never compared.
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

/// Writes the groups one by one into one file; also where each of them ends.
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

#[test]
fn a_log_reads_as_it_was_written() {
    for block in [512, 4096] {
        let groups = sample_groups();
        let (file, ends) = log_of(&groups, block);
        let (entries, verdict) = read(&file);
        assert_eq!(txns(&entries), groups.concat());
        let end = *ends.last().unwrap();
        assert_eq!(end % block, 0);
        assert_eq!(verdict, Verdict::Clean { end: end as u64 });
        let group_ends: Vec<usize> = entries
            .iter()
            .filter_map(|entry| entry.group)
            .map(|group| (group.offset + u64::from(group.bytes)) as usize)
            .collect();
        assert_eq!(group_ends, ends);
    }
}

#[test]
fn a_log_cut_anywhere_in_its_last_two_groups_is_a_torn_tail() {
    for block in [512, 4096] {
        let groups = sample_groups();
        let all = groups.concat();
        let (file, ends) = log_of(&groups, block);
        let start = ends[ends.len() - 3];
        for cut in start..=*ends.last().unwrap() {
            let whole_groups = ends.iter().filter(|end| **end <= cut).count();
            let durable: usize = groups[..whole_groups].iter().map(Vec::len).sum();
            let (entries, verdict) = read(&file[..cut]);
            assert!(entries.len() >= durable, "cut at {cut}: a group was lost");
            assert_eq!(txns(&entries), all[..entries.len()], "cut at {cut}");
            let last = entries.last().unwrap();
            let records_end = last.offset + last.bytes;
            match verdict {
                Verdict::Clean { end } => {
                    assert_eq!(end, records_end, "cut at {cut}");
                    // The first bytes of a checksum are zeroes.
                    assert!(file[end as usize..cut].iter().all(|byte| *byte == 0), "cut at {cut}");
                }
                Verdict::TornTail { end, .. } => {
                    assert!(end == records_end && end < cut as u64, "cut at {cut}");
                    // After recovery the file reads clean, for Java as well.
                    let (again, verdict) = read(&file[..end as usize]);
                    assert_eq!(again.len(), entries.len());
                    assert_eq!(verdict, Verdict::Clean { end });
                }
                Verdict::Damaged { .. } => panic!("cut at {cut}: {verdict}"),
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_the_last_two_groups_is_damage_and_never_a_shorter_log() {
    for block in [512, 4096] {
        let groups = sample_groups();
        let all = groups.concat();
        let (file, ends) = log_of(&groups, block);
        let start = ends[ends.len() - 3];
        for (at, mask) in
            (start..*ends.last().unwrap()).flat_map(|at| [(at, 0xff), (at, 1), (at, 0x80)])
        {
            let mut flipped = file.clone();
            flipped[at] ^= mask;
            let (entries, verdict) = read(&flipped);
            assert_eq!(txns(&entries), all[..entries.len()], "byte {at} ^ {mask:x}");
            let Verdict::Damaged { offset, zxid, reason } = verdict else {
                panic!("byte {at} ^ {mask:x} of {ends:?}: {verdict}");
            };
            assert!(offset <= at as u64, "byte {at}");
            assert_eq!(zxid, entries.last().map(|entry| entry.txn.zxid()));
            let follows = reason.contains("a whole group follows at offset");
            assert_eq!(follows, at < ends[ends.len() - 2], "byte {at}: {reason}");
        }
    }
}

#[test]
fn a_last_group_with_any_sectors_missing_is_a_torn_tail() {
    let groups = sample_groups();
    let all = groups.concat();
    let durable = all.len() - groups.last().unwrap().len();
    for block in [512, 4096] {
        let (file, ends) = log_of(&groups, block);
        let (start, end) = (ends[ends.len() - 2], ends[ends.len() - 1]);
        let sectors = (end - start) / 512;
        assert!((4..12).contains(&sectors), "{sectors} sectors");
        for missing in 1..1u32 << sectors {
            let mut torn = file.clone();
            for sector in (0..sectors).filter(|sector| missing & (1 << sector) != 0) {
                torn[start + sector * 512..start + (sector + 1) * 512].fill(0);
            }
            let (entries, verdict) = read(&torn);
            assert!(entries.len() >= durable, "{missing:b}");
            assert_eq!(txns(&entries), all[..entries.len()], "{missing:b}");
            match verdict {
                // Only sectors that were zero anyway are missing, or all of them.
                Verdict::Clean { end: at } => {
                    assert!(torn == file || at == start as u64, "{missing:b}");
                }
                Verdict::TornTail { end: at, .. } => assert!(at >= start as u64, "{missing:b}"),
                Verdict::Damaged { .. } => panic!("{missing:b}: {verdict}"),
            }
        }
    }
}

#[test]
fn a_torn_first_group_is_told_from_a_file_of_java() {
    let groups = vec![vec![create(1, &[3; 700]), create(2, &[4; 900]), create(3, b"")]];
    for block in [512, 4096] {
        let (file, ends) = log_of(&groups, block);
        let header = file_header();
        let sectors = ends[0] / 512;
        assert!(sectors >= 4);
        for missing in 1..1u32 << sectors {
            let mut torn = file.clone();
            for sector in (0..sectors).filter(|sector| missing & (1 << sector) != 0) {
                torn[sector * 512..(sector + 1) * 512].fill(0);
            }
            // It is there since the segment was prepared.
            torn[..16].copy_from_slice(&header);
            let (entries, verdict) = read(&torn);
            assert_eq!(txns(&entries), groups[0][..entries.len()], "{missing:b}");
            assert!(!matches!(verdict, Verdict::Damaged { .. }), "{missing:b}: {verdict}");
        }
    }
}

#[test]
fn a_group_missing_between_two_is_damage() {
    let groups = sample_groups();
    let (mut file, ends) = log_of(&groups, 512);
    file[ends[2]..ends[3]].fill(0);
    let (entries, verdict) = read(&file);
    assert_eq!(entries.len(), 5);
    let Verdict::Damaged { offset, zxid, reason } = verdict else { panic!("{verdict}") };
    assert_eq!((offset, zxid), (ends[2] as u64, Some(Zxid(5))));
    assert!(reason.contains(&format!("a whole group follows at offset {}", ends[3])), "{reason}");
}

#[test]
fn a_group_from_elsewhere_does_not_fit_the_chain() {
    let (file, ends) = log_of(&sample_groups(), 512);
    let mut other_groups = sample_groups();
    other_groups[1][0] = create(2, &[8; 900]);
    let (other, _) = log_of(&other_groups, 512);
    let mut mixed = file[..ends[1]].to_vec();
    mixed.extend_from_slice(&other[ends[1]..]);
    let (entries, verdict) = read(&mixed);
    assert_eq!(entries.len(), 4);
    assert!(matches!(verdict, Verdict::Damaged { zxid: Some(Zxid(4)), .. }), "{verdict}");
}

#[test]
fn a_close_session_without_paths_is_never_padded() {
    let body = TxnBody::CloseSession { paths: None };
    let digest = Some(TxnDigest { version: 2, tree_digest: 7_367_702_061 });
    for digest in [None, digest] {
        let close = Txn::new(header(1, OpCode::CloseSession), &body, digest);
        let (file, _) = log_of(&[vec![close.clone()]], 512);
        let (entries, verdict) = read(&file);
        assert!(matches!(verdict, Verdict::Clean { .. }), "{verdict}");
        assert_eq!(entries[0].txn, close);
        assert_eq!(entries[1].txn.header().op, OpCode::Error);
        assert_eq!((entries[1].txn.zxid(), entries.len()), (Zxid(1), 2));
    }
    let body = TxnBody::CloseSession { paths: Some(Paths::EMPTY) };
    let close = Txn::new(header(1, OpCode::CloseSession), &body, None);
    let (file, _) = log_of(&[vec![close.clone()]], 512);
    assert_eq!(txns(&read(&file).0), [close]);
}

#[test]
fn one_group_is_in_flight_and_the_next_is_what_arrived_meanwhile() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    assert_eq!(writer.append(&create(1, b"")), Append::Accepted);
    let mut ops = Vec::new();
    writer.poll(&mut ops);
    let first: Vec<Op> = std::mem::take(&mut ops);
    // The segment's name, the write, the preparation of the segment after it.
    assert_eq!(first.len(), 3, "{first:?}");
    for zxid in 2..10 {
        assert_eq!(writer.append(&create(zxid, b"")), Append::Accepted);
        writer.poll(&mut ops);
        assert!(ops.is_empty(), "one group at a time: {ops:?}");
    }
    assert_eq!(writer.txns_pending(), 9);
    let mut synced = Vec::new();
    for op in first {
        if let Progress::Synced(group) = writer.handle_completion(disk.perform(op)) {
            synced.push(group);
        }
    }
    synced.append(&mut disk.run(&mut writer));
    let counts: Vec<(Zxid, u32)> = synced.iter().map(|group| (group.zxid, group.txns)).collect();
    assert_eq!(counts, [(Zxid(1), 1), (Zxid(9), 8)]);
    assert!(writer.is_idle());
    assert_eq!(writer.synced(), Zxid(9));
}

#[test]
fn a_segment_counts_as_written_only_with_its_name() {
    for name_last in [false, true] {
        let mut disk = Disk::default();
        let mut writer = ready_writer(options(512), &mut disk);
        assert_eq!(writer.append(&create(1, b"")), Append::Accepted);
        let mut ops = Vec::new();
        writer.poll(&mut ops);
        ops.retain(|op| matches!(op, Op::LogWrite { .. } | Op::SegmentName { .. }));
        if name_last {
            ops.reverse();
        }
        let second = ops.pop().unwrap();
        let first = disk.perform(ops.pop().unwrap());
        assert!(matches!(writer.handle_completion(first), Progress::None));
        assert_eq!(writer.synced(), Zxid::ZERO);
        let second = disk.perform(second);
        assert!(matches!(writer.handle_completion(second), Progress::Synced(_)));
    }
}

#[test]
fn files_change_when_they_are_full_or_rolled_and_hold_everything() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(4096), &mut disk);
    let mut written = Vec::new();
    for zxid in 1..=60 {
        let txn = create(zxid, &vec![1; 100 * zxid as usize]);
        assert_eq!(writer.append(&txn), Append::Accepted);
        written.push(txn);
        if zxid == 7 {
            writer.roll(0);
        }
        disk.run(&mut writer);
    }
    writer.close();
    disk.run(&mut writer);
    assert!(writer.is_closed());
    assert!(disk.prepared.is_empty(), "the segment prepared in vain is gone");
    assert!(disk.files.len() > 3);
    assert!(disk.files.contains_key("log.7"));
    let mut zxids: Vec<Zxid> =
        disk.files.keys().map(|name| plan::log_zxid(name).unwrap()).collect();
    zxids.sort_unstable();
    let mut found = Vec::new();
    for zxid in zxids {
        let (entries, verdict) = read(&disk.files[&plan::log_name(zxid)]);
        assert!(matches!(verdict, Verdict::Clean { .. }), "{verdict}");
        assert_eq!(entries[0].txn.zxid(), zxid);
        found.extend(txns(&entries));
    }
    assert_eq!(found, written);
}

#[test]
fn a_full_disk_refuses_before_anything_is_written_and_recovers() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    disk.full = true;
    let mut zxid = 1;
    loop {
        let txn = create(zxid, &[1; 4000]);
        match writer.append(&txn) {
            Append::Accepted => zxid += 1,
            Append::NoSpace => break,
            other => panic!("{other:?}"),
        }
        disk.run(&mut writer);
    }
    assert!(zxid > 10, "the current segment was filled first");
    assert!(writer.is_idle() && writer.is_out_of_space());
    assert_eq!(writer.synced(), Zxid(zxid - 1), "everything accepted is durable");
    writer.retry_prepare();
    disk.run(&mut writer);
    assert_eq!(writer.append(&create(zxid, &[1; 4000])), Append::NoSpace);
    disk.full = false;
    writer.retry_prepare();
    disk.run(&mut writer);
    assert_eq!(writer.append(&create(zxid, &[1; 4000])), Append::Accepted);
    disk.run(&mut writer);
    assert_eq!(writer.synced(), Zxid(zxid));
}

#[test]
fn a_failed_write_is_the_end() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    assert_eq!(writer.append(&create(1, b"")), Append::Accepted);
    let mut ops = Vec::new();
    writer.poll(&mut ops);
    let write = ops.iter().find(|op| matches!(op, Op::LogWrite { .. })).unwrap().token();
    // Even for lack of room: the write was to existing blocks.
    let failure = IoFailure { kind: IoFailureKind::Full, text: "log.1: no space".to_owned() };
    let progress =
        writer.handle_completion(Completion { token: write, result: Err(failure.clone()) });
    assert!(matches!(progress, Progress::Failed(told) if told == failure));
    ops.clear();
    writer.poll(&mut ops);
    assert!(ops.is_empty(), "nothing is tried again");
}

#[test]
fn a_transaction_longer_than_a_buffer_gets_its_own() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    let long = create(1, &[5; 30_000]);
    assert_eq!(writer.append(&long), Append::Accepted);
    assert_eq!(writer.append(&create(2, &[5; 5000])), Append::Full);
    disk.run(&mut writer);
    let mut last = 1;
    for _ in 0..3 {
        last += 1;
        assert_eq!(writer.append(&create(last, &[5; 5000])), Append::Accepted);
        disk.run(&mut writer);
    }
    assert_eq!(writer.append(&create(last + 1, &[5; 40_000])), Append::TooLarge);
    assert_eq!(writer.buffers().count(), 2);
    assert_eq!(writer.synced(), Zxid(last));
}

#[test]
fn a_snapshot_is_due_between_half_and_all_of_snap_count() {
    for (random, due_at) in [(0, 51), (49, 100), (50, 51)] {
        let mut disk = Disk::default();
        let options = WriterOptions { snap_count: 100, ..options(512) };
        let mut writer = Writer::new(options, Zxid::ZERO, random);
        disk.run(&mut writer);
        let mut zxid = 0;
        while !writer.snapshot_due() {
            zxid += 1;
            assert_eq!(writer.append(&create(zxid, b"")), Append::Accepted);
            disk.run(&mut writer);
        }
        assert_eq!(zxid, due_at);
        writer.roll(0);
        assert!(!writer.snapshot_due());
    }
}

#[test]
fn a_segment_is_as_large_as_what_lies_between_two_snapshots() {
    const MIB: u64 = 1 << 20;
    let mut disk = Disk::default();
    let options = WriterOptions {
        segment_bytes: 8 * MIB,
        segment_bytes_min: 2 * MIB,
        txn_bytes_max: 1 << 20,
        ..options(512)
    };
    let mut writer = ready_writer(options, &mut disk);
    let mut zxid = 0;
    let mut log = |writer: &mut Writer, disk: &mut Disk, bytes: u64| {
        let before = disk.sizes.len();
        for _ in 0..bytes / (256 << 10) {
            zxid += 1;
            assert_eq!(writer.append(&create(zxid, &[7; 256 << 10])), Append::Accepted);
            disk.run(writer);
        }
        disk.sizes[before..].to_vec()
    };
    assert_eq!(disk.sizes, [2 * MIB], "nothing is known yet");
    // While it grows, each is larger than the one before.
    let grown = log(&mut writer, &mut disk, 12 * MIB);
    assert!(grown.is_sorted() && grown.iter().all(|bytes| bytes % MIB == 0), "{grown:?}");
    assert_eq!((grown[0], grown.last()), (2 * MIB, Some(&(8 * MIB))));
    // One exists already; those after the next snapshots have the size of the log between them, and
    // some more.
    writer.roll(0);
    log(&mut writer, &mut disk, 3 * MIB);
    writer.roll(0);
    assert_eq!(log(&mut writer, &mut disk, 3 * MIB), [4 * MIB]);
    writer.roll(0);
    assert_eq!(log(&mut writer, &mut disk, MIB), [4 * MIB]);
    writer.roll(0);
    assert_eq!(log(&mut writer, &mut disk, MIB), [2 * MIB]);
}

#[test]
fn room_is_short_when_half_of_a_segment_is_used_and_the_next_is_not_there() {
    let mut disk = Disk::default();
    let mut writer = Writer::new(options(512), Zxid::ZERO, 0);
    let mut ops = Vec::new();
    writer.poll(&mut ops);
    assert!(writer.is_short_of_room(), "there is none at all");
    let _ = writer.handle_completion(disk.perform(ops.pop().expect("one preparation")));
    let mut preparing = None;
    let mut used = 0;
    for zxid in 1..=30 {
        assert_eq!(writer.append(&create(zxid, &[1; 1500])), Append::Accepted);
        let mut ops = Vec::new();
        writer.poll(&mut ops);
        for op in ops {
            match op {
                Op::SegmentPrepare { .. } => preparing = Some(op),
                op => drop(writer.handle_completion(disk.perform(op))),
            }
        }
        used = writer.current_bytes();
        assert_eq!(writer.is_short_of_room(), used > 32 << 10, "{used} of 64 KiB");
    }
    assert!(used > 32 << 10);
    let _ = writer.handle_completion(disk.perform(preparing.expect("one ahead")));
    assert!(!writer.is_short_of_room());
}

#[test]
fn a_snapshot_waits_until_the_log_is_worth_half_of_the_last_one() {
    let mut disk = Disk::default();
    let snap_count = 2;
    let options = WriterOptions { snap_count, snapshot_bytes_cheap: 1000, ..options(512) };
    let mut writer = Writer::new(options, Zxid::ZERO, 0);
    disk.run(&mut writer);
    writer.note_snapshot_bytes(10_000);
    let (mut zxid, mut logged) = (0, 0);
    while !writer.snapshot_due() {
        zxid += 1;
        let txn = create(zxid, &[1; 300]);
        logged += txn.bytes().len();
        assert_eq!(writer.append(&txn), Append::Accepted);
        disk.run(&mut writer);
    }
    assert!((5000..5400).contains(&logged), "{logged} bytes after {zxid} transactions");
    // The next snapshot begins: its size is not known yet, so that of the last one counts.
    writer.roll(0);
    for more in 1..=3 {
        assert_eq!(writer.append(&create(zxid + more, b"")), Append::Accepted);
        disk.run(&mut writer);
    }
    assert!(!writer.snapshot_due());
    // A very cheap snapshot does not wait.
    writer.note_snapshot_bytes(999);
    assert!(writer.snapshot_due());
}

#[test]
fn a_zxid_that_comes_twice_never_gives_two_files_one_name() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    let body = TxnBody::Error { err: -8 };
    let again = |zxid| Txn::new(header(zxid, OpCode::Error), &body, None);
    assert_eq!(writer.append(&create(5, b"")), Append::Accepted);
    disk.run(&mut writer);
    writer.roll(0);
    assert_eq!(writer.append(&again(5)), Append::Accepted);
    disk.run(&mut writer);
    assert_eq!(disk.files.len(), 1, "nothing but the old zxid: the old file");
    assert_eq!(writer.append(&again(5)), Append::Accepted);
    assert_eq!(writer.append(&create(6, b"")), Append::Accepted);
    disk.run(&mut writer);
    let names: Vec<&String> = disk.files.keys().collect();
    assert_eq!(names, ["log.5", "log.6"]);
}

#[test]
fn no_garbage_makes_a_reader_stumble_or_invent() {
    let groups = sample_groups();
    let all = groups.concat();
    let (file, ends) = log_of(&groups, 512);
    let used = *ends.last().unwrap();
    let mut plain = file[..used].to_vec();
    // The same bytes in a file of ZooKeeper, which knows no guards.
    plain[8..16].fill(0);
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut random = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % end
    };
    for _ in 0..3000 {
        let mut garbled = if random(2) == 0 { file[..used].to_vec() } else { plain.clone() };
        for _ in 0..=random(3) {
            let (from, bytes) = (random(used), 1 + random(300));
            let to = (from + bytes).min(used);
            match random(4) {
                0 => garbled[from..to].fill(0),
                1 => garbled[from..to].fill(0xff),
                2 => garbled[from..to].iter_mut().for_each(|byte| *byte = random(256) as u8),
                _ => garbled[from] ^= 1 << random(8),
            }
        }
        garbled.truncate(used - [0, random(used)][random(2)]);
        let (entries, _) = read(&garbled);
        assert_eq!(txns(&entries), all[..entries.len()]);
    }
}

#[test]
fn a_closed_log_opens_again_behind_any_zxid_with_the_same_buffers() {
    let mut disk = Disk::default();
    let mut writer = Writer::new(options(512), Zxid(0), 0);
    let mut slots: Vec<_> = writer.buffers().map(crate::io::AlignedBuf::slot).collect();
    let mut addresses: Vec<_> = writer.buffers().map(|buf| buf.as_ptr()).collect();
    disk.run(&mut writer);
    for (first, last) in [(1, 0x500), (0x1_0000_0021, 0x1_0000_0030), (7, 9)] {
        for zxid in [first, first + 1] {
            // The second is longer than a buffer.
            let data = vec![1; if zxid == first { 10 } else { 20 << 10 }];
            while writer.append(&create(zxid, &data)) != Append::Accepted {
                disk.run(&mut writer);
            }
        }
        writer.close();
        assert!(!writer.is_closed());
        disk.run(&mut writer);
        assert!(writer.is_closed());
        assert!(disk.prepared.is_empty(), "the segment that was prepared is removed");
        // Transactions that are cut off may come again.
        disk.files.remove("log.7");
        writer.reopen(Zxid(last), 0);
        assert_eq!((writer.appended(), writer.synced()), (Zxid(last), Zxid(last)));
        let mut slots_now: Vec<_> = writer.buffers().map(crate::io::AlignedBuf::slot).collect();
        let mut addresses_now: Vec<_> = writer.buffers().map(|buf| buf.as_ptr()).collect();
        slots_now.sort_unstable();
        slots.sort_unstable();
        addresses_now.sort_unstable();
        addresses.sort_unstable();
        assert_eq!((&slots_now, &addresses_now), (&slots, &addresses));
        disk.run(&mut writer);
        if last == 0x1_0000_0030 {
            // After a cut the next transactions continue after a lower zxid.
            writer.close();
            disk.run(&mut writer);
            writer.reopen(Zxid(6), 0);
            disk.run(&mut writer);
        }
    }
    assert_eq!(disk.files.len(), 2, "{:?}", disk.files.keys());
}
