//! Crashes at random moments. Afterwards everything that was reported as durable is there, and nothing was invented.
//!
//! A run writes through a [`Writer`] to a disk that performs ops in any allowed order, and that loses in the crash any
//! set of sectors of incomplete writes. Then the folder is recovered, and the next run continues from there.

use std::collections::BTreeMap;

use super::*;
use crate::io::{Completion, Done, Op, SegmentId};
use crate::txnlog::tests::create;
use crate::txnlog::{Append, Progress, Writer, WriterOptions};

/// A generator of pseudo-random numbers: xorshift64*.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// Segments by number, and their names; a file has both until it is closed.
#[derive(Default)]
struct Disk {
    segments: BTreeMap<SegmentId, Vec<u8>>,
    names: BTreeMap<SegmentId, String>,
    pending: Vec<Op>,
}

impl Disk {
    /// Performs one of the pending ops.
    fn complete_one(&mut self, random: &mut Random) -> Option<Completion> {
        if self.pending.is_empty() {
            return None;
        }
        let at = random.below(self.pending.len() as u64);
        let op = self.pending.remove(index(at));
        let token = op.token();
        let mut done = Done::Plain;
        match op {
            Op::LogWrite { segment, offset, buf, bytes, .. } => {
                let at = index(offset);
                let bytes = bytes as usize;
                self.segments.get_mut(&segment).unwrap()[at..at + bytes]
                    .copy_from_slice(&buf[..bytes]);
                done = Done::Buffer(buf);
            }
            Op::SegmentPrepare { segment, bytes, header, .. } => {
                let mut file = vec![0; index(bytes)];
                file[..16].copy_from_slice(&header);
                self.segments.insert(segment, file);
            }
            Op::SegmentName { segment, name, .. } => {
                self.names.insert(segment, name);
            }
            Op::SegmentClose { segment, bytes_used, .. } => {
                self.segments.get_mut(&segment).unwrap().truncate(index(bytes_used));
            }
            other => panic!("not an op of the log: {other:?}"),
        }
        Some(Completion { token, result: Ok(done) })
    }

    /// Cuts the power: of each pending op nothing, a part, or all has happened.
    fn crash(mut self, random: &mut Random, folder: &MemoryFolder) {
        for op in std::mem::take(&mut self.pending) {
            let happened = random.one_in(2);
            match op {
                Op::LogWrite { segment, offset, buf, bytes, .. } => {
                    let file = self.segments.get_mut(&segment).unwrap();
                    let lost_of_four = random.below(5);
                    for at in (0..bytes as usize).step_by(512) {
                        if random.below(4) >= lost_of_four {
                            let to = index(offset) + at;
                            file[to..to + 512].copy_from_slice(&buf[at..at + 512]);
                        }
                    }
                }
                Op::SegmentPrepare { segment, bytes, header, .. } if happened => {
                    // A part of it is written, but never under the name of a log.
                    let mut file = vec![0; index(random.below(bytes)).max(16)];
                    file[..16].copy_from_slice(&header);
                    self.segments.insert(segment, file);
                }
                Op::SegmentName { segment, name, .. } if happened => {
                    self.names.insert(segment, name);
                }
                Op::SegmentClose { segment, bytes_used, .. } if happened => {
                    self.segments.get_mut(&segment).unwrap().truncate(index(bytes_used));
                }
                _ => (),
            }
        }
        for (segment, content) in self.segments {
            let name = match self.names.get(&segment) {
                Some(name) => name.clone(),
                None => crate::io::segment_temporary(segment),
            };
            folder.put(Place::Logs, &name, content);
        }
    }
}

fn run(seed: u64) {
    let mut random = Random(seed | 1);
    let folder = MemoryFolder::new();
    let block_bytes = [512, 4096][index(random.below(2))];
    // Every transaction that the log was given, by zxid; a later run may give it another one with the same zxid.
    let mut given: BTreeMap<i64, Txn> = BTreeMap::new();
    let mut durable = 0;
    for round in 0..12 {
        let context = || format!("seed={seed} round={round}");
        let recovered = recover(&folder, &RecoveryOptions::default(), &mut |_| ())
            .unwrap_or_else(|error| panic!("{}: {error}", context()));
        let last = recovered.zxid.0;
        assert!(last >= durable, "{}: {durable} was durable, {last} is there", context());
        for (zxid, txn) in &given {
            if *zxid > last {
                continue;
            }
            let path = format!("/node-{zxid:x}");
            let node = recovered.database.node(&path);
            let node = node.unwrap_or_else(|| panic!("{}: {path} is lost", context()));
            let crate::proto::txn::TxnBody::Create(wanted) = txn.body() else { unreachable!() };
            assert_eq!(node.data(), wanted.data, "{}: {path}", context());
        }
        let built_in = Database::new(DatabaseOptions::default()).node_count();
        let nodes = recovered.database.node_count() - built_in;
        assert_eq!(i64::try_from(nodes).unwrap(), last, "{}: nothing else is there", context());
        given.retain(|zxid, _| *zxid <= last);
        durable = last;

        let options = WriterOptions {
            block_bytes,
            segment_bytes: 24 << 10,
            group_bytes_max: 8 << 10,
            txn_bytes_max: 12 << 10,
            ..WriterOptions::default()
        };
        let mut writer = Writer::new(options, recovered.zxid, random.next());
        let mut disk = Disk::default();
        let mut zxid = last;
        for _ in 0..random.below(200) {
            match random.below(10) {
                0..4 => {
                    let long = if random.one_in(10) { 10_000 } else { 1500 };
                    let byte = random.next().to_le_bytes()[0] % 3;
                    let txn = create(zxid + 1, &vec![byte; index(random.below(long))]);
                    match writer.append(&txn) {
                        Append::Accepted => {
                            zxid += 1;
                            given.insert(zxid, txn);
                        }
                        Append::Full => (),
                        other => panic!("{}: {other:?}", context()),
                    }
                }
                4 if random.one_in(8) => writer.roll(random.next()),
                4..6 => writer.poll(&mut disk.pending),
                _ => {
                    let Some(completion) = disk.complete_one(&mut random) else { continue };
                    match writer.handle_completion(completion) {
                        Progress::None => (),
                        Progress::Synced(synced) => durable = synced.zxid.0,
                        other => panic!("{}: {other:?}", context()),
                    }
                }
            }
        }
        disk.crash(&mut random, &folder);
    }
}

#[test]
fn whatever_was_durable_survives_any_crash_and_nothing_is_invented() {
    for seed in 1..=40 {
        run(seed * 0x9e37_79b9);
    }
}
