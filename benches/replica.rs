//! What the replica costs on one core, disk and sockets left out: requests a second, by kind.
//!
//! `cargo bench --bench replica`. Fifty clients pipeline 32 requests each; the disk does everything
//! at once; there are ten thousand znodes. Time is the thread's own, so that a busy machine does not
//! count.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "inputs/mod.rs"]
mod inputs;

use std::collections::VecDeque;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inputs::{ThreadTime, in_turns, open_acl};
use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::{ConnectionId, SessionId, Zxid};
use ringkeeper::io::{Completion, Done, Op};
use ringkeeper::jute::Jute;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::connect::ConnectRequest;
use ringkeeper::proto::request::{
    CreateRequest, MultiOp, PathVersion, PathWatch, RequestBody, RequestHeader, SetDataRequest,
};
use ringkeeper::recovery::Recovered;
use ringkeeper::replica::{Output, Replica, ReplicaOptions};
use ringkeeper::time::{MonoUs, Now, WallMs};

const CLIENTS: u64 = 50;
const PIPELINED: u64 = 32;
/// What all clients together send before the replica gets to answer.
const TURN: u64 = CLIENTS * PIPELINED;
const ZNODES: u64 = 10_000;
const DATA: [u8; 100] = [7; 100];
/// The parent of everything.
const TOP: &str = "/bench";

/// Requests of all clients, one buffer each.
type Batch = Vec<(ConnectionId, Vec<u8>)>;

struct Bench {
    replica: Replica,
    output: Output,
    now: Now,
    answered: u64,
    /// Requests made so far: no two turns ask for the same.
    made: u64,
}

impl Bench {
    fn new() -> Bench {
        let now = Now { wall: WallMs(1_700_000_000_000), mono: MonoUs(0) };
        let recovered = Recovered {
            database: Database::new(DatabaseOptions::default()),
            zxid: Zxid::ZERO,
            epochs: None,
            snapshot: None,
            txns: 0,
            recent: VecDeque::new(),
            notes: Vec::new(),
            news: Vec::new(),
        };
        let replica = Replica::new(ReplicaOptions::default(), recovered, now, 1);
        let mut bench = Bench { replica, output: Output::default(), now, answered: 0, made: 0 };
        bench.settle();
        for id in 1..=CLIENTS {
            let conn = ConnectionId(id);
            bench.replica.handle_open(now, conn, "127.0.0.1:1".parse().unwrap());
            let request = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid::ZERO,
                timeout_ms: 30_000,
                session_id: SessionId::NONE,
                password: None,
                read_only: None,
            };
            bench.replica.handle_frames(now, conn, &frame(&request.to_bytes()));
        }
        bench.settle();
        bench.populate();
        bench
    }

    fn populate(&mut self) {
        let batch = self.batch(1, |_| create(TOP, 0));
        self.send(batch);
        self.made = 0;
        while self.made < ZNODES {
            let batch = self.batch(1000, |n| create(&node(n), 0));
            self.send(batch);
        }
        let there = self.replica.database().node(TOP).unwrap().num_children();
        assert_eq!(there as u64, ZNODES);
    }

    /// So many requests, dealt out to the clients in turn; each is made of its number.
    fn batch(&mut self, count: u64, make: impl Fn(u64) -> Request) -> Batch {
        let mut batch: Batch = (1..=CLIENTS).map(|id| (ConnectionId(id), Vec::new())).collect();
        for n in 0..count {
            let client = n % CLIENTS;
            let (op, body) = make(self.made + n);
            let mut payload = RequestHeader { xid: 1, op: op.number() }.to_bytes();
            payload.extend_from_slice(&body);
            batch[usize::try_from(client).unwrap()].1.extend_from_slice(&frame(&payload));
        }
        batch.retain(|(_, frames)| !frames.is_empty());
        self.made += count;
        batch
    }

    /// Everything is asked, then everything is answered.
    fn send(&mut self, batch: Batch) {
        for (conn, frames) in &batch {
            self.replica.handle_frames(self.now, *conn, frames);
        }
        self.settle();
    }

    /// Deletes the nodes under `parent`, so many.
    fn clear(&mut self, parent: &str, expected: u64) {
        let parent = self.replica.database().node(parent).unwrap();
        let paths: Vec<String> =
            parent.children().map(|name| format!("{}/{name}", parent.path())).collect();
        let count = paths.len() as u64;
        assert_eq!(count, expected, "everything was made");
        let made = self.made;
        let batch = self.batch(count, |n| delete(&paths[usize::try_from(n - made).unwrap()]));
        self.send(batch);
    }

    /// Turns until nothing is left to do.
    fn settle(&mut self) {
        loop {
            self.replica.take_output(&mut self.output);
            assert!(self.output.fatal.is_none());
            let sends = std::mem::take(&mut self.output.sends);
            for send in sends {
                self.answered += u64::from(send.answered);
                self.output.recycle(send.bytes);
            }
            if self.output.ops.is_empty() {
                return;
            }
            let ops: Vec<Op> = self.output.ops.drain(..).collect();
            for op in ops {
                let token = op.token();
                let done = match op {
                    Op::LogWrite { buf, .. } => Done::Buffer(buf),
                    Op::SnapshotWrite { mut bytes, .. } => {
                        bytes.clear();
                        Done::Bytes(bytes)
                    }
                    _ => Done::Plain,
                };
                let completion = Completion { token, result: Ok(done) };
                self.replica.handle_completion(self.now, completion);
            }
        }
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(payload);
    frame
}

/// Its operation and its body.
type Request = (OpCode, Vec<u8>);

fn body(op: OpCode, body: &RequestBody<'_>) -> Request {
    let mut out = Vec::new();
    body.encode(op, &mut out);
    (op, out)
}

fn create(path: &str, flags: i32) -> Request {
    let acl = open_acl();
    let acl = acl.as_vector();
    let request = CreateRequest { path: Some(path), data: Some(&DATA), acl, flags };
    body(OpCode::Create, &RequestBody::Create(request))
}

fn delete(path: &str) -> Request {
    let request = PathVersion { path: Some(path), version: -1 };
    body(OpCode::Delete, &RequestBody::PathVersion(request))
}

fn read(op: OpCode, path: &str, watch: bool) -> Request {
    body(op, &RequestBody::PathWatch(PathWatch { path: Some(path), watch }))
}

fn set(path: &str) -> SetDataRequest<'_> {
    SetDataRequest { path: Some(path), data: Some(&DATA), version: -1 }
}

fn node(n: u64) -> String {
    format!("{TOP}/node-{n:018}")
}

/// One of the nodes that are there, here and there.
fn path(n: u64) -> String {
    node(n.wrapping_mul(0x9e37_79b9) % ZNODES)
}

fn multi(n: u64) -> Request {
    let paths = [path(n), path(n + 1), path(n + 2)];
    let parts = paths.iter().map(|path| MultiOp::SetData(set(path))).collect();
    body(OpCode::Multi, &RequestBody::Multi(parts))
}

/// A request on nodes that are there and stay.
type Make = fn(u64) -> Request;

const ON_WHAT_IS_THERE: [(&str, Make); 6] = [
    ("ping", |_| (OpCode::Ping, Vec::new())),
    ("exists", |n| read(OpCode::Exists, &path(n), false)),
    ("getData", |n| read(OpCode::GetData, &path(n), false)),
    ("getData with a watch", |n| read(OpCode::GetData, &path(n), true)),
    ("setData", |n| body(OpCode::SetData, &RequestBody::SetData(set(&path(n))))),
    ("multi of three setData", |n| multi(n)),
];

fn replica(criterion: &mut Criterion<ThreadTime>) {
    let mut bench = Bench::new();
    let mut group = criterion.benchmark_group("replica");
    group.throughput(Throughput::Elements(1));
    for (name, make) in ON_WHAT_IS_THERE {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iters| {
                let answered = bench.answered;
                let batch = |bench: &mut Bench, turn| bench.batch(turn, make);
                let took = in_turns(iters, TURN, &mut bench, batch, Bench::send, |_, _| ());
                assert_eq!(bench.answered - answered, iters, "every request was answered");
                took
            });
        });
    }
    // What comes must go again, off the clock, or the tree grows with the speed.
    let parent = node(0);
    let new = |n: u64| format!("{parent}/c-{n}");
    for (name, flags) in [("create", 0), ("create ephemeral", 1), ("create sequential", 2)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iters| {
                let batch = |bench: &mut Bench, turn| bench.batch(turn, |n| create(&new(n), flags));
                let clear = |bench: &mut Bench, turn| bench.clear(&parent, turn);
                in_turns(iters, TURN, &mut bench, batch, Bench::send, clear)
            });
        });
    }
    group.bench_function("delete", |bencher| {
        bencher.iter_custom(|iters| {
            let batch = |bench: &mut Bench, turn| {
                let creates = bench.batch(turn, |n| create(&new(n), 0));
                bench.send(creates);
                bench.batch(turn, |n| delete(&new(n - turn)))
            };
            in_turns(iters, TURN, &mut bench, batch, Bench::send, |_, _| ())
        });
    });
    group.finish();
    assert_eq!(bench.replica.database().digest_mismatches(), 0);
}

criterion_group! { name = benches; config = inputs::criterion(); targets = replica }
criterion_main!(benches);
