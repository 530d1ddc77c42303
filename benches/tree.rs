//! What each change of the tree and each look-up costs, with a thousand znodes and with a million: the code that
//! every request runs, without requests. Run with `cargo bench --bench tree`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "inputs/mod.rs"]
mod inputs;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use inputs::{ThreadTime, Txns, elements, in_turns, path, scattered};
use ringkeeper::acl::Schemes;
use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::proto::txn::Txn;

const DATA: [u8; 100] = [7; 100];
/// Operations of a turn. A turn is short, so that its inputs, which live only for the turn, take little of the
/// caches.
const TURN: u64 = 1000;
const SLICE: usize = 512;

struct World {
    database: Database,
    txns: Txns,
    count: u64,
    /// The number of the walk's next node.
    at: u64,
}

impl World {
    fn new(count: u64) -> World {
        let mut database = Database::new(DatabaseOptions::default());
        let mut txns = Txns::new();
        txns.populate(&mut database, count);
        World { database, txns, count, at: 0 }
    }

    /// The next paths of the walk.
    fn some(&mut self, turn: u64) -> Vec<String> {
        let from = self.at;
        self.at += turn;
        (from..from + turn).map(|n| path(scattered(n, self.count))).collect()
    }

    fn creates(&mut self, turn: u64) -> Vec<Txn> {
        (0..turn).map(|n| self.txns.create(&path(self.count + n), &DATA)).collect()
    }

    fn deletes(&mut self, turn: u64) -> Vec<Txn> {
        (0..turn).map(|n| self.txns.delete(&path(self.count + n))).collect()
    }

    fn apply(&mut self, txns: Vec<Txn>) {
        let mut fired = Vec::new();
        for txn in &txns {
            black_box(self.database.apply(txn, &mut fired));
        }
        assert!(fired.is_empty(), "nobody watches");
    }
}

fn tree(criterion: &mut Criterion<ThreadTime>) {
    for count in [1000, 1_000_000] {
        let mut world = World::new(count);
        let mut group = criterion.benchmark_group("tree");
        group.throughput(elements(1));
        group.bench_function(BenchmarkId::new("get: data, Stat, ACL", count), |bencher| {
            bencher.iter_custom(|iters| {
                let look = |world: &mut World, paths: Vec<String>| {
                    for path in &paths {
                        let node = world.database.node(path).unwrap();
                        black_box((
                            node.data(),
                            node.stat(),
                            node.acl_list().permits(1, &[], &Schemes::USUAL),
                        ));
                    }
                };
                in_turns(iters, TURN, &mut world, World::some, look, |_, _| ())
            });
        });
        group.bench_function(BenchmarkId::new("set", count), |bencher| {
            bencher.iter_custom(|iters| {
                let sets = |world: &mut World, turn| -> Vec<Txn> {
                    let paths = world.some(turn);
                    paths.iter().map(|path| world.txns.set(path, &DATA)).collect()
                };
                in_turns(iters, TURN, &mut world, sets, World::apply, |_, _| ())
            });
        });
        group.bench_function(BenchmarkId::new("create", count), |bencher| {
            bencher.iter_custom(|iters| {
                let tidy = |world: &mut World, turn| {
                    let deletes = world.deletes(turn);
                    world.apply(deletes);
                };
                in_turns(iters, TURN, &mut world, World::creates, World::apply, tidy)
            });
        });
        group.bench_function(BenchmarkId::new("delete", count), |bencher| {
            bencher.iter_custom(|iters| {
                let prepare = |world: &mut World, turn| {
                    let creates = world.creates(turn);
                    world.apply(creates);
                    world.deletes(turn)
                };
                in_turns(iters, TURN, &mut world, prepare, World::apply, |_, _| ())
            });
        });
        children(&mut group, &world);
        snapshot(&mut group, &mut world);
        group.finish();
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, ThreadTime>;

/// Lists the names below one parent: one child in a tree of a thousand znodes, a thousand children in a tree of a
/// million.
fn children(group: &mut Group<'_>, world: &World) {
    let parent = world.database.node("/bench/000").unwrap();
    group.throughput(elements(parent.num_children()));
    group.bench_function(
        BenchmarkId::new("children of one parent, each", world.count),
        |bencher| {
            bencher.iter(|| {
                let parent = world.database.node(black_box("/bench/000")).unwrap();
                parent.children().map(str::len).sum::<usize>()
            });
        },
    );
}

/// Writes a slice of a snapshot, for which a request may have to wait.
fn snapshot(group: &mut Group<'_>, world: &mut World) {
    group.throughput(elements(SLICE));
    let id = BenchmarkId::new("snapshot: a slice of 512 nodes, each", world.count);
    group.bench_function(id, |bencher| {
        world.database.snapshot_begin();
        bencher.iter(|| {
            let mut bytes = 0;
            let more = world.database.snapshot_next(SLICE, &mut |node| {
                bytes += node.path.len() + node.data.map_or(0, <[u8]>::len);
            });
            if !more {
                world.database.snapshot_end();
                world.database.snapshot_begin();
            }
            bytes
        });
        world.database.snapshot_end();
    });
}

criterion_group! { name = benches; config = inputs::criterion(); targets = tree }
criterion_main!(benches);
