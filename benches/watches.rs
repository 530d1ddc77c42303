//! What a watch costs beside a million others: to set it, to fire it, and to forget a connection. Run with `cargo
//! bench --bench watches`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "inputs/mod.rs"]
mod inputs;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use inputs::{ThreadTime, Txns, elements, in_turns, path};
use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::ConnectionId;
use ringkeeper::proto::txn::Txn;
use ringkeeper::watch::{WatchBounds, WatchKind};

/// Watches that exist before, ten on each path, of ten thousand connections.
const OTHERS: u64 = 1_000_000;
const CONNECTIONS: u64 = 10_000;
/// One more connection, whose watches come and go.
const NEWCOMER: ConnectionId = ConnectionId(CONNECTIONS);
const TURN: u64 = 1000;
/// Znodes that no connection watches before.
const NODES: u64 = 1000;

struct World {
    database: Database,
    txns: Txns,
}

impl World {
    fn new() -> World {
        let watches = WatchBounds { bytes_max: 1 << 40, ..WatchBounds::DEFAULT };
        let options = DatabaseOptions { watches, ..DatabaseOptions::default() };
        let mut world = World { database: Database::new(options), txns: Txns::new() };
        world.txns.populate(&mut world.database, NODES);
        for n in 0..OTHERS {
            world.watch(&path(1_000_000 + n / 10), ConnectionId(n % CONNECTIONS));
        }
        world
    }

    fn watch(&mut self, path: &str, connection: ConnectionId) {
        let added = self.database.watches_mut().add(path, connection, WatchKind::Data);
        assert!(added.expect("there is room"), "it is new");
    }

    fn forget(&mut self, _: u64) {
        self.database.watches_mut().remove_connection(NEWCOMER);
    }
}

fn watches(criterion: &mut Criterion<ThreadTime>) {
    let mut world = World::new();
    let mut group = criterion.benchmark_group("watches");
    group.throughput(elements(1));
    for (name, from) in [("set, on a path of its own", 9_000_000), ("set, beside ten", 1_000_000)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iters| {
                let paths =
                    |_: &mut World, turn| (0..turn).map(|n| path(from + n)).collect::<Vec<_>>();
                let set = |world: &mut World, paths: Vec<String>| {
                    for path in &paths {
                        world.watch(path, NEWCOMER);
                    }
                };
                in_turns(iters, TURN, &mut world, paths, set, World::forget)
            });
        });
    }
    group.throughput(elements(100));
    group.bench_function("a connection with a hundred goes, each", |bencher| {
        bencher.iter_custom(|iters| {
            let newcomers = |turn| (CONNECTIONS..CONNECTIONS + turn).map(ConnectionId);
            let watch = |world: &mut World, turn| {
                for connection in newcomers(turn) {
                    (0..100).for_each(|n| world.watch(&path(1_000_000 + n), connection));
                }
                turn
            };
            let go = |world: &mut World, turn| {
                newcomers(turn).for_each(|of| world.database.watches_mut().remove_connection(of));
            };
            in_turns(iters, 100, &mut world, watch, go, |_, _| ())
        });
    });
    for watchers in [1, 100, 10_000] {
        group.throughput(elements(usize::try_from(watchers).unwrap()));
        let id = BenchmarkId::new("a write fires, each of its watchers", watchers);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|iters| fire(&mut world, watchers, iters))
        });
    }
    group.finish();
}

/// Times `iters` writes, each to another node, which `watchers` connections watch.
fn fire(world: &mut World, watchers: u64, iters: u64) -> Duration {
    let watch = |world: &mut World, turn| -> Vec<Txn> {
        let nodes: Vec<String> = (0..turn).map(path).collect();
        for node in &nodes {
            (0..watchers).for_each(|n| world.watch(node, ConnectionId(n)));
        }
        nodes.iter().map(|node| world.txns.set(node, &[7; 100])).collect()
    };
    let apply = |world: &mut World, txns: Vec<Txn>| {
        let mut fired = Vec::new();
        for txn in &txns {
            black_box(world.database.apply(txn, &mut fired));
            let told: usize = fired.drain(..).map(|event| event.watchers.len()).sum();
            assert_eq!(told as u64, watchers, "everybody is told once");
        }
    };
    let turn = (10_000 / watchers).clamp(1, NODES);
    in_turns(iters, turn, world, watch, apply, |_, _| ())
}

criterion_group! { name = benches; config = inputs::criterion(); targets = watches }
criterion_main!(benches);
