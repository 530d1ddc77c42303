//! Members against members in one process, from a seed: slow and broken links, slow disks, crashes.
//!
//! What is checked after every event: one leader per epoch; what a leader has committed is never
//! lost or changed; whoever serves has applied a prefix of it. And in the end, when all is well
//! again, everybody serves and has all of it.

mod histories;
mod network;
mod one_breath;
mod scenarios;
mod server;
mod servers;

use super::*;
use crate::id::{Epoch, SessionId};
use crate::link::Endpoint;
use crate::proto::OpCode;
use crate::proto::txn::{TxnBody, TxnHeader};

/// A transaction that can be told from others.
fn txn(zxid: Zxid, content: i32) -> Txn {
    let time = i64::from(content);
    let header = TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time, op: OpCode::Error };
    Txn::new(header, &TxnBody::Error { err: content }, None)
}

/// Numbers from a seed (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// An index below `end`.
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("it is below a usize")
    }

    pub fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.index(from.len())) }
    }
}
