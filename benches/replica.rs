//! What the replica costs on one core, disk and sockets left out: requests a second, by kind.
//!
//! `cargo bench --bench replica -- [znodes]`, ten thousand if not told. Clients pipeline 32
//! requests each; the disk does everything at once. Time is the thread's own, so that a busy
//! machine does not count.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::{ConnectionId, SessionId, Zxid};
use ringkeeper::io::{Completion, Done, Op};
use ringkeeper::jute::{Jute, VectorBuf};
use ringkeeper::proto::connect::ConnectRequest;
use ringkeeper::proto::request::{
    CreateRequest, MultiOp, PathVersion, PathWatch, RequestBody, RequestHeader, SetDataRequest,
};
use ringkeeper::proto::{AclEntry, Id, OpCode};
use ringkeeper::recovery::Recovered;
use ringkeeper::replica::{Output, Replica, ReplicaOptions};
use ringkeeper::time::{MonoUs, Now, WallMs};

const CLIENTS: u64 = 50;
const PIPELINED: u64 = 32;
const ROUNDS: u64 = 400;

struct Bench {
    replica: Replica,
    output: Output,
    now: Now,
    bytes: u64,
    answered: u64,
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
        let mut bench = Bench { replica, output: Output::default(), now, bytes: 0, answered: 0 };
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
        bench
    }

    /// Turns until nothing is left to do.
    fn settle(&mut self) {
        loop {
            self.replica.take_output(&mut self.output);
            assert!(self.output.fatal.is_none());
            let sends = std::mem::take(&mut self.output.sends);
            for send in sends {
                self.bytes += send.bytes.len() as u64;
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

    /// Sends what `make` gives, pipelined, and tells how many a second were answered.
    fn run(&mut self, name: &str, make: impl Fn(u64, u64) -> (OpCode, Vec<u8>)) {
        // Everything is encoded before, so that only the replica is measured.
        let mut batches = Vec::new();
        let mut n = 0;
        for _ in 0..ROUNDS {
            for id in 1..=CLIENTS {
                let mut frames = Vec::new();
                for _ in 0..PIPELINED {
                    let (op, body) = make(n, id);
                    let mut payload = RequestHeader { xid: 1, op: op.number() }.to_bytes();
                    payload.extend_from_slice(&body);
                    frames.extend_from_slice(&frame(&payload));
                    n += 1;
                }
                batches.push((ConnectionId(id), frames));
            }
        }
        let (bytes, answered) = (self.bytes, self.answered);
        let start = cpu_time();
        for (at, (conn, frames)) in batches.iter().enumerate() {
            self.replica.handle_frames(self.now, *conn, frames);
            if (at as u64 + 1).is_multiple_of(CLIENTS) {
                self.settle();
            }
        }
        let took = cpu_time() - start;
        assert_eq!(self.answered - answered, n, "every request was answered");
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let (per_second, ns, bytes) = (
            n as f64 / took.as_secs_f64(),
            took.as_secs_f64() * 1e9 / n as f64,
            (self.bytes - bytes) as f64 / n as f64,
        );
        println!("{name:<28} {per_second:>12.0}/s {ns:>8.0} ns {bytes:>7.0} B/reply");
    }
}

/// Time that this thread was on a core.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(payload);
    frame
}

fn body(op: OpCode, body: &RequestBody<'_>) -> (OpCode, Vec<u8>) {
    let mut out = Vec::new();
    body.encode(op, &mut out);
    (op, out)
}

fn main() {
    // Cargo passes `--bench`.
    let znodes: u64 = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(10_000);
    let mut acl = VectorBuf::<AclEntry<'static>>::default();
    acl.push(&AclEntry { perms: 31, id: Id { scheme: Some("world"), id: Some("anyone") } });
    let data = [7; 100];
    let path = |n: u64| format!("/bench/node-{:018}", n.wrapping_mul(0x9e37_79b9) % znodes);
    let create = |path: &str, flags| {
        let acl = acl.as_vector();
        let request = CreateRequest { path: Some(path), data: Some(&data), acl, flags };
        body(OpCode::Create, &RequestBody::Create(request))
    };
    let at = |op, path: &str, watch| {
        body(op, &RequestBody::PathWatch(PathWatch { path: Some(path), watch }))
    };

    let mut bench = Bench::new();
    let send = |bench: &mut Bench, (op, body): (OpCode, Vec<u8>)| {
        let mut payload = RequestHeader { xid: 1, op: op.number() }.to_bytes();
        payload.extend_from_slice(&body);
        bench.replica.handle_frames(bench.now, ConnectionId(1), &frame(&payload));
    };
    send(&mut bench, create("/bench", 0));
    for n in 0..znodes {
        send(&mut bench, create(&format!("/bench/node-{n:018}"), 0));
        if n % 1000 == 0 {
            bench.settle();
        }
    }
    bench.settle();
    println!("{CLIENTS} clients, {PIPELINED} requests each at once, {znodes} znodes of 100 bytes");
    bench.run("ping", |_, _| (OpCode::Ping, Vec::new()));
    bench.run("exists", |n, _| at(OpCode::Exists, &path(n), false));
    bench.run("getData", |n, _| at(OpCode::GetData, &path(n), false));
    bench.run("getData with a watch", |n, _| at(OpCode::GetData, &path(n), true));
    bench.run("setData", |n, _| {
        let path = path(n);
        let request = SetDataRequest { path: Some(&path), data: Some(&data), version: -1 };
        body(OpCode::SetData, &RequestBody::SetData(request))
    });
    bench.run("create", |n, id| create(&format!("/bench/c{id}-{n}"), 0));
    bench.run("create sequential", |_, _| create("/bench/s-", 2));
    bench.run("delete", |n, id| {
        let path = format!("/bench/c{id}-{n}");
        let request = PathVersion { path: Some(&path), version: -1 };
        body(OpCode::Delete, &RequestBody::PathVersion(request))
    });
    bench.run("create ephemeral, delete", |n, id| {
        let path = format!("/bench/e{id}-{}", n / 2);
        if n % 2 == 0 {
            return create(&path, 1);
        }
        let request = PathVersion { path: Some(&path), version: -1 };
        body(OpCode::Delete, &RequestBody::PathVersion(request))
    });
    bench.run("multi of three", |n, _| {
        let paths = [path(n), path(n + 1), path(n + 2)];
        let parts = paths
            .iter()
            .map(|path| {
                let path = Some(path.as_str());
                MultiOp::SetData(SetDataRequest { path, data: Some(&data), version: -1 })
            })
            .collect();
        body(OpCode::Multi, &RequestBody::Multi(parts))
    });
    assert_eq!(bench.replica.database().digest_mismatches(), 0);
}
