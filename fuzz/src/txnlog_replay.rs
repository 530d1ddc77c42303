//! Reading the transaction log: files of anything, and files of ours that were damaged.

use std::io::Cursor;

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::io::{Op, SegmentId};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::txn::{SetDataTxn, Txn, TxnBody, TxnDigest, TxnHeader};
use ringkeeper::txnlog::{Append, Entry, Progress, Reader, Verdict, Writer, WriterOptions};

use super::disk::Disk;
use super::script::Script;

/// The first byte chooses whether the rest is a file, or a script that makes one.
pub fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    if choice % 2 == 0 {
        let (entries, verdict) = read(data);
        check(data, &entries, &verdict);
    } else {
        damaged(&mut Script::new(data));
    }
}

/// Every record of a file, and what the reader says of its end.
fn read(file: &[u8]) -> (Vec<Entry>, Verdict) {
    let mut reader = Reader::open(Cursor::new(file)).expect("memory can be read");
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().expect("memory can be read") {
        entries.push(entry);
    }
    let verdict = reader.verdict().expect("behind the last record there is a verdict").clone();
    (entries, verdict)
}

/// Checks what holds for every file.
fn check(file: &[u8], entries: &[Entry], verdict: &Verdict) {
    let mut end = 0;
    for entry in entries {
        assert!(entry.offset >= end, "records follow each other");
        end = entry.offset + entry.bytes;
        assert!(end <= file.len() as u64, "a record lies within the file");
    }
    match verdict {
        Verdict::Clean { end: clean } => assert!(*clean >= end && *clean <= file.len() as u64),
        Verdict::Damaged { offset, .. } => assert!(*offset <= file.len() as u64),
        Verdict::TornTail { end: torn, .. } => {
            // A file that is cut where the verdict says is whole, and has the same records.
            let cut = usize::try_from(*torn).expect("the file is in memory");
            assert!(cut <= file.len() && *torn >= end);
            let (again, verdict) = read(&file[..cut]);
            assert_eq!(again, entries, "cutting a torn tail changes what is read");
            // A file that is cut inside its header is empty, and recovery removes it.
            assert!(cut == 0 || matches!(verdict, Verdict::Clean { .. }), "{verdict}");
        }
    }
}

/// Writes groups, then cuts the file, flips a bit or blanks bytes. The reader must read only what was written, in
/// order and from the beginning, and an undamaged file to its end.
fn damaged(script: &mut Script<'_>) {
    let mut disk = Disk::default();
    let options = WriterOptions {
        block_bytes: [512, 1024, 4096][script.below(3)],
        segment_bytes: 64 << 10,
        group_bytes_max: 8 << 10,
        txn_bytes_max: 4 << 10,
        ..WriterOptions::default()
    };
    let mut writer = Writer::new(options, Zxid::ZERO, 0);
    let mut written = Vec::new();
    let mut segments: Vec<SegmentId> = Vec::new();
    let mut flush = |writer: &mut Writer| {
        loop {
            let mut ops = Vec::new();
            writer.poll(&mut ops);
            for op in &ops {
                if let Op::SegmentPrepare { segment, .. } = op {
                    segments.push(*segment);
                }
            }
            disk.submit(ops);
            let Some(completion) = disk.perform() else { return };
            match writer.handle_completion(completion) {
                Progress::None | Progress::Synced(_) => {}
                other => panic!("a disk with room and without faults: {other:?}"),
            }
            while let Some(completion) = disk.perform() {
                let _ = writer.handle_completion(completion);
            }
        }
    };
    flush(&mut writer);
    for zxid in 1..=i64::from(script.byte() % 40) {
        let length = usize::from(script.byte()) * 12;
        let txn = set_data(zxid, &vec![b'd'; length], script.one_in(2));
        match writer.append(&txn) {
            Append::Accepted => written.push(txn),
            // The group is full or the segment used up: enough has been written.
            _ => break,
        }
        if script.one_in(3) {
            flush(&mut writer);
        }
    }
    flush(&mut writer);
    let Some(file) = segments.first().and_then(|segment| disk.segment(*segment)) else { return };
    let mut file = file.to_vec();
    let (entries, verdict) = read(&file);
    let whole: Vec<Txn> = entries.into_iter().map(|entry| entry.txn).collect();
    assert!(matches!(verdict, Verdict::Clean { .. }), "{verdict}");
    assert!(written.starts_with(&whole));
    assert!(segments.len() > 2 || whole.len() == written.len(), "everything is in one file");
    for _ in 0..=script.below(3) {
        let at = usize::from(script.word()) % file.len().max(1);
        match script.below(3) {
            0 => file.truncate(at),
            1 => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << script.below(8);
                }
            }
            _ => {
                let end = (at + usize::from(script.byte()) * 16).min(file.len());
                file[at.min(end)..end].fill(0);
            }
        }
    }
    let (entries, verdict) = read(&file);
    check(&file, &entries, &verdict);
    let kept: Vec<Txn> = entries.into_iter().map(|entry| entry.txn).collect();
    assert!(whole.starts_with(&kept), "a record was invented or lost from the middle");
}

fn set_data(zxid: i64, data: &[u8], digest: bool) -> Txn {
    let header = TxnHeader {
        client_id: SessionId(0x0100_0000_0000_0001),
        cxid: 7,
        zxid: Zxid(zxid),
        time: 1_795_163_301_145,
        op: OpCode::SetData,
    };
    let body = TxnBody::SetData(SetDataTxn { path: Some("/a"), data: Some(data), version: 1 });
    let digest = digest.then_some(TxnDigest { version: 2, tree_digest: zxid << 32 | 5 });
    Txn::new(header, &body, digest)
}
