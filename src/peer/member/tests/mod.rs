//! Members against members in one process, from a seed: slow and broken links, slow disks, crashes.
//!
//! After every event, the tests check that each epoch has one leader, that no transaction that a leader committed is
//! lost or changed, and that every server that serves has applied a prefix of them. In the end, when all faults are
//! over, every server serves and has all of them.

mod histories;
mod logins;
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

/// A transaction whose `content` tells it from others.
fn txn(zxid: Zxid, content: i32) -> Txn {
    let time = i64::from(content);
    let header = TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time, op: OpCode::Error };
    Txn::new(header, &TxnBody::Error { err: content }, None)
}
