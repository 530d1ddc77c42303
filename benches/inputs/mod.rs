//! What the benchmarks share: the measure, which is the processor time of their own thread, so that a busy machine
//! does not count; paths of 30 bytes; transactions with growing zxids.

#![allow(dead_code, clippy::unwrap_used, reason = "each benchmark takes what it needs")]

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use ringkeeper::database::Database;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::VectorBuf;
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::txn::{CreateTxn, DeleteTxn, SetDataTxn, Txn, TxnBody, TxnHeader};
use ringkeeper::proto::{AclVector, OpCode};
use rustix::time::{ClockId, clock_gettime};

/// A clock for Criterion: the time that this thread was on a core.
pub struct ThreadTime;

impl ThreadTime {
    /// The processor time of this thread since it began.
    pub fn now() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap()
    }
}

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        ThreadTime::now()
    }

    fn end(&self, start: Duration) -> Duration {
        ThreadTime::now() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A Criterion that measures processor time, for a short while each, because there are many benchmarks.
pub fn criterion() -> Criterion<ThreadTime> {
    Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(30)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

/// The number of things that each iteration does.
pub fn elements(count: usize) -> Throughput {
    Throughput::Elements(count as u64)
}

/// Runs `timed` `iters` times, in turns of at most `turn_max`. Each turn is prepared and tidied up off the clock.
/// This serves work that cannot be repeated on the same state.
pub fn in_turns<S, P>(
    iters: u64,
    turn_max: u64,
    state: &mut S,
    mut prepare: impl FnMut(&mut S, u64) -> P,
    mut timed: impl FnMut(&mut S, P),
    mut tidy: impl FnMut(&mut S, u64),
) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = iters;
    while left > 0 {
        let turn = left.min(turn_max);
        let prepared = prepare(state, turn);
        let start = ThreadTime::now();
        timed(state, prepared);
        took += ThreadTime::now() - start;
        tidy(state, turn);
        left -= turn;
    }
    took
}

/// The path of node `n`: 30 bytes, below one of a thousand parents.
pub fn path(n: u64) -> String {
    format!("/bench/{:03}/node-{n:014}", n % 1000)
}

/// Number `n` of a walk over `0..count` that no cache foresees. The walk may meet a number twice.
pub fn scattered(n: u64, count: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count
}

/// An ACL that gives `world:anyone` all permissions.
pub fn open_acl() -> VectorBuf<AclEntry<'static>> {
    let mut acl = VectorBuf::default();
    let id = Id { scheme: Some("world"), id: Some("anyone") };
    acl.push(&AclEntry { perms: 31, id });
    acl
}

/// Makes transactions, each with the next zxid.
pub struct Txns {
    zxid: i64,
    acl: VectorBuf<AclEntry<'static>>,
}

impl Txns {
    /// Transactions from zxid 1 on.
    pub fn new() -> Txns {
        Txns { zxid: 0, acl: open_acl() }
    }

    /// The creation of a node.
    pub fn create(&mut self, path: &str, data: &[u8]) -> Txn {
        let acl: AclVector<'_> = self.acl.as_vector();
        let body = TxnBody::Create(CreateTxn {
            path: Some(path),
            data: Some(data),
            acl,
            ephemeral: false,
            parent_cversion: -1,
        });
        txn(&mut self.zxid, OpCode::Create, &body)
    }

    /// New data of a node.
    pub fn set(&mut self, path: &str, data: &[u8]) -> Txn {
        let body = TxnBody::SetData(SetDataTxn { path: Some(path), data: Some(data), version: 1 });
        txn(&mut self.zxid, OpCode::SetData, &body)
    }

    /// The deletion of a node.
    pub fn delete(&mut self, path: &str) -> Txn {
        let body = TxnBody::Delete(DeleteTxn { path: Some(path) });
        txn(&mut self.zxid, OpCode::Delete, &body)
    }

    /// Makes the thousand parents of [`path`] and `count` nodes of 100 bytes below them.
    pub fn populate(&mut self, database: &mut Database, count: u64) {
        let mut fired = Vec::new();
        database.apply(&self.create("/bench", &[]), &mut fired);
        for n in 0..1000 {
            database.apply(&self.create(&format!("/bench/{n:03}"), &[]), &mut fired);
        }
        for n in 0..count {
            database.apply(&self.create(&path(n), &[7; 100]), &mut fired);
        }
    }
}

fn txn(zxid: &mut i64, op: OpCode, body: &TxnBody<'_>) -> Txn {
    *zxid += 1;
    let (client_id, zxid) = (SessionId(1), Zxid(*zxid));
    Txn::new(TxnHeader { client_id, cxid: 0, zxid, time: 0, op }, body, None)
}
