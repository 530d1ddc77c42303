//! What the state costs in memory, and how long one slice of a snapshot holds up everything: the bytes of a znode
//! and of a watch, and the longest slices, which a mean would hide.
//!
//! Run with `cargo bench --bench memory -- [znodes]`; without the number, a million. The measure is the resident
//! memory of the process, so the overhead of the allocator counts. Use the figures to compare two commits on one
//! quiet machine. The benchmarks `tree` and `watches` tell what single operations cost.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "inputs/mod.rs"]
mod inputs;

use std::hint::black_box;
use std::time::{Duration, Instant};

use inputs::{Txns, path, scattered};
use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::ConnectionId;
use ringkeeper::watch::{WatchBounds, WatchKind};

const DATA: [u8; 100] = [7; 100];
/// Writes between two slices.
const WRITES: u64 = 64;

/// Bytes of the process that are resident in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn main() {
    let count: u64 = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let mut database = Database::new(DatabaseOptions {
        watches: WatchBounds { bytes_max: 1 << 40, ..WatchBounds::DEFAULT },
        ..DatabaseOptions::default()
    });

    let before = resident();
    for n in 0..count {
        let watches = database.watches_mut();
        watches.add(&path(n / 10), ConnectionId(n % 10_000), WatchKind::Data).expect("room");
    }
    println!("{:<42} {:>11} bytes", "one watch, a tenth of a path", (resident() - before) / count);
    for n in 0..10_000 {
        database.watches_mut().remove_connection(ConnectionId(n));
    }

    let mut txns = Txns::new();
    txns.populate(&mut database, 0);
    let before = resident();
    let mut fired = Vec::new();
    for n in 0..count {
        database.apply(&txns.create(&path(n), &DATA), &mut fired);
    }
    println!("{:<42} {:>11} bytes", "one znode, everything", (resident() - before) / count);

    let begun = Instant::now();
    black_box(database.snapshot_begin());
    println!("{:<42} {:>11} ns", "snapshot: begin", begun.elapsed().as_nanos());
    report("snapshot: slice of 512 nodes, with writes", slices(&mut database, &mut txns, count));
    let (nodes, digest) = (database.node_count(), database.digest());
    println!(
        "{nodes} nodes, {} bytes of paths and data, digest {digest}",
        database.approximate_data_size()
    );
}

/// Takes a whole snapshot, and writes between its slices, so that it has to keep old states of nodes. Gives the time
/// of each slice.
fn slices(database: &mut Database, txns: &mut Txns, count: u64) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut fired = Vec::new();
    let mut written = 0;
    loop {
        let mut bytes = 0;
        let begun = Instant::now();
        let more = database.snapshot_next(512, &mut |node| {
            bytes += node.path.len() + node.data.map_or(0, <[u8]>::len) + 76;
        });
        times.push(begun.elapsed());
        black_box(bytes);
        if !more {
            database.snapshot_end();
            return times;
        }
        for n in written..written + WRITES {
            database.apply(&txns.set(&path(scattered(n, count)), &DATA), &mut fired);
        }
        written += WRITES;
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |permille: usize| times[(times.len() - 1) * permille / 1000].as_nanos();
    println!("{what:<42} p50 {:>7} p99 {:>8} p99.9 {:>9} ns", at(500), at(990), at(999));
}
