//! What the transaction log costs before and after the disk: to copy transactions into groups and seal the groups,
//! and to read a file back. Run with `cargo bench --bench txnlog`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "inputs/mod.rs"]
mod inputs;

use std::hint::black_box;
use std::io::Cursor;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inputs::{ThreadTime, Txns, elements, in_turns, path};
use ringkeeper::id::Zxid;
use ringkeeper::io::{Completion, Done, Op};
use ringkeeper::proto::txn::Txn;
use ringkeeper::txnlog::{Append, Reader, Verdict, Writer, WriterOptions};

const DATA: [u8; 100] = [7; 100];
const READ_TXNS: u64 = 10_000;
/// Groups that are prepared together.
const TURN: u64 = 100;

struct World {
    writer: Writer,
    txns: Txns,
    ops: Vec<Op>,
    /// The bytes of the file, if the benchmark keeps them.
    file: Option<Vec<u8>>,
    synced: u64,
}

impl World {
    fn new() -> World {
        let writer = Writer::new(WriterOptions::default(), Zxid::ZERO, 1);
        let mut world = World { writer, txns: Txns::new(), ops: Vec::new(), file: None, synced: 0 };
        world.write();
        world
    }

    fn sets(&mut self, count: u64) -> Vec<Txn> {
        (0..count).map(|n| self.txns.set(&path(n), &DATA)).collect()
    }

    fn append(&mut self, txns: &[Txn]) {
        for txn in txns {
            assert_eq!(self.writer.append(txn), Append::Accepted);
        }
    }

    /// Writes everything at once, as a disk that takes no time would.
    fn write(&mut self) {
        loop {
            self.writer.poll(&mut self.ops);
            if self.ops.is_empty() {
                return;
            }
            let ops: Vec<Op> = self.ops.drain(..).collect();
            for op in ops {
                let token = op.token();
                let done = match op {
                    Op::LogWrite { buf, bytes, offset, .. } => {
                        if let Some(file) = &mut self.file {
                            assert_eq!(file.len() as u64, offset);
                            file.extend_from_slice(&buf[..bytes as usize]);
                        }
                        Done::Buffer(buf)
                    }
                    _ => Done::Plain,
                };
                match self.writer.handle_completion(Completion { token, result: Ok(done) }) {
                    ringkeeper::txnlog::Progress::Synced(synced) => {
                        self.synced += u64::from(synced.txns);
                    }
                    ringkeeper::txnlog::Progress::None => (),
                    other => panic!("the disk never fails here: {other:?}"),
                }
            }
        }
    }
}

fn write(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("txnlog");
    for count in [1, 16, 256] {
        let mut world = World::new();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("write a group of setData", count), |bencher| {
            bencher.iter_custom(|iters| {
                let before = world.synced;
                let groups = |world: &mut World, turn| -> Vec<Vec<Txn>> {
                    (0..turn).map(|_| world.sets(count)).collect()
                };
                let timed = |world: &mut World, groups: Vec<Vec<Txn>>| {
                    for txns in &groups {
                        world.append(txns);
                        world.write();
                    }
                };
                let took = in_turns(iters, TURN, &mut world, groups, timed, |_, _| ());
                assert_eq!(world.synced - before, iters * count, "all of it is durable");
                took
            });
        });
    }
    group.finish();
}

fn read(criterion: &mut Criterion<ThreadTime>) {
    let mut world = World { file: Some(Vec::new()), ..World::new() };
    for _ in 0..READ_TXNS / 16 {
        let txns = world.sets(16);
        world.append(&txns);
        world.write();
    }
    let file = world.file.unwrap();
    let mut group = criterion.benchmark_group("txnlog");
    group.throughput(elements(usize::try_from(READ_TXNS / 16 * 16).unwrap()));
    group.bench_function("read back, groups of 16, each", |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::open(Cursor::new(&file[..])).unwrap();
            let mut count = 0;
            while let Some(entry) = reader.next_entry().unwrap() {
                black_box(&entry);
                count += 1;
            }
            assert_eq!(count, READ_TXNS / 16 * 16);
            assert!(matches!(reader.verdict(), Some(Verdict::Clean { .. })));
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = inputs::criterion(); targets = write, read }
criterion_main!(benches);
