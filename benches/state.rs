//! What the state costs: bytes of a znode and of a watch, time of each operation, and how long a
//! slice of a snapshot holds everything up.
//!
//! `cargo bench --bench state -- [znodes]`, a million if not told. Memory is what the process
//! really has resident, so allocator overhead counts; the figures are for comparing two commits on
//! one quiet machine.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::{ConnectionId, SessionId, Zxid};
use ringkeeper::jute::VectorBuf;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::txn::{CreateTxn, DeleteTxn, SetDataTxn, Txn, TxnBody, TxnHeader};
use ringkeeper::watch::WatchKind;

/// Bytes that the process has in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn path(n: u64) -> String {
    // 30 bytes.
    format!("/bench/{:03}/node-{n:014}", n % 1000)
}

/// A fixed walk over 0..count that no cache foresees.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count)
}

struct Bench {
    database: Database,
    zxid: i64,
    acl: VectorBuf<AclEntry<'static>>,
    /// One for each operation since the last report.
    times: Vec<Duration>,
}

impl Bench {
    fn txn(&mut self, op: OpCode, body: &TxnBody<'_>) -> Txn {
        self.zxid += 1;
        let (client_id, zxid) = (SessionId(1), Zxid(self.zxid));
        Txn::new(TxnHeader { client_id, cxid: 0, zxid, time: 0, op }, body, None)
    }

    fn apply(&mut self, txn: &Txn) {
        let mut fired = Vec::new();
        self.time(|bench| {
            black_box(bench.database.apply(txn, &mut fired));
        });
    }

    fn time(&mut self, work: impl FnOnce(&mut Self)) {
        let start = Instant::now();
        work(self);
        self.times.push(start.elapsed());
    }

    fn create(&mut self, path: &str, data: &[u8]) {
        let acl = std::mem::take(&mut self.acl);
        let body = TxnBody::Create(CreateTxn {
            path: Some(path),
            data: Some(data),
            acl: acl.as_vector(),
            ephemeral: false,
            parent_cversion: -1,
        });
        let txn = self.txn(OpCode::Create, &body);
        self.acl = acl;
        self.apply(&txn);
    }

    fn set(&mut self, path: &str, data: &[u8]) {
        let body = TxnBody::SetData(SetDataTxn { path: Some(path), data: Some(data), version: 1 });
        let txn = self.txn(OpCode::SetData, &body);
        self.apply(&txn);
    }

    fn report(&mut self, what: &str) {
        self.times.sort_unstable();
        let at = |permille: usize| self.times[(self.times.len() - 1) * permille / 1000].as_nanos();
        println!("{what:<42} p50 {:>7} p99 {:>8} p99.9 {:>9} ns", at(500), at(990), at(999));
        self.times.clear();
    }
}

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let mut acl = VectorBuf::default();
    let id = Id { scheme: Some("world"), id: Some("anyone") };
    acl.push(&AclEntry { perms: 31, id });
    let database = Database::new(DatabaseOptions::default());
    let times = vec![Duration::ZERO; usize::try_from(count).unwrap() + 2000];
    let mut bench = Bench { database, zxid: 0, acl, times };
    bench.times.clear();

    let before = resident();
    for n in 0..count {
        let path = path(n / 10);
        bench.time(|bench| {
            bench.database.watches_mut().add(&path, ConnectionId(n % 10_000), WatchKind::Data);
        });
    }
    bench.report("watch: add, ten on a path");
    println!("{:<42} {:>11} bytes", "one watch, a tenth of a path", (resident() - before) / count);
    for n in 0..10_000 {
        bench.time(|bench| bench.database.watches_mut().remove_connection(ConnectionId(n)));
    }
    bench.report("watch: a connection with a hundred goes");

    bench.create("/bench", &[]);
    for n in 0..1000 {
        bench.create(&format!("/bench/{n:03}"), &[]);
    }
    bench.report("create, first thousand");
    let data = [7; 100];
    let before = resident();
    for n in 0..count {
        bench.create(&path(n), &data);
    }
    bench.report("create, 30 + 100 bytes");
    println!("{:<42} {:>11} bytes", "one znode, everything", (resident() - before) / count);

    for n in scattered(count) {
        let path = path(n);
        bench.time(|bench| {
            let node = bench.database.node(&path).unwrap();
            black_box((node.data(), node.stat(), node.acl_list().permits(1, &[])));
        });
    }
    bench.report("get (data, Stat, ACL), scattered");
    for n in scattered(count) {
        bench.set(&path(n), &data);
    }
    bench.report("set, scattered");

    let digest = bench.database.digest();
    let mut nodes = 0u64;
    let mut bytes = 0;
    let mut touched = scattered(count);
    bench.time(|bench| {
        black_box(bench.database.snapshot_begin());
    });
    bench.report("snapshot: begin");
    loop {
        let mut more = false;
        bench.time(|bench| {
            more = bench.database.snapshot_next(512, &mut |node| {
                nodes += 1;
                bytes += node.path.len() + node.data.map_or(0, <[u8]>::len) + 76;
            });
        });
        if !more {
            break;
        }
        let taken = bench.times.len();
        for n in touched.by_ref().take(64) {
            bench.set(&path(n), &data);
        }
        bench.times.truncate(taken);
    }
    bench.database.snapshot_end();
    bench.report("snapshot: slice of 512 nodes, with writes");
    println!("{nodes} nodes, {bytes} bytes, digest {digest}");

    for n in scattered(count) {
        let path = path(n);
        let body = TxnBody::Delete(DeleteTxn { path: Some(&path) });
        // The walk may meet a number twice.
        if bench.database.node(&path).is_some() {
            let txn = bench.txn(OpCode::Delete, &body);
            bench.apply(&txn);
        }
    }
    bench.report("delete, scattered");
}
