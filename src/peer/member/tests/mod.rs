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
use crate::link::{Endpoint, LinkEvent};
use crate::proto::OpCode;
use crate::proto::txn::{TxnBody, TxnHeader};

/// A transaction that can be told from others.
fn txn(zxid: Zxid, content: i32) -> Txn {
    let time = i64::from(content);
    let header = TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time, op: OpCode::Error };
    Txn::new(header, &TxnBody::Error { err: content }, None)
}
