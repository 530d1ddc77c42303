//! Requests that are too long: as frames, or for the log.

use std::collections::BTreeSet;

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::txn::{SetDataTxn, Txn, TxnBody, TxnDigest, TxnHeader};

use super::assign::ByRequest;
use super::check::what;
use super::history::{History, Outcome, Request};
use super::plan::Plan;
use super::server::{FRAME_BYTES_MAX, txn_bytes_max};

/// Checks that no server carries out a request that is longer than a frame may be, nor any request behind it on its
/// connection.
///
/// # Errors
/// Such a request was carried out.
pub fn frames(history: &History, by_request: &ByRequest) -> Result<(), String> {
    let mut over: BTreeSet<(usize, u64)> = BTreeSet::new();
    for (place, call) in history.calls.iter().enumerate() {
        let key = (call.client, call.connection);
        let bytes = match &call.request {
            Request::Set { data, .. } if data.len() > 3000 => {
                super::wire::request(call.xid, &call.request).len() - 4
            }
            _ => 0,
        };
        if bytes > FRAME_BYTES_MAX as usize {
            over.insert(key);
        }
        let is_over = over.contains(&key);
        if is_over && (by_request.contains_key(&place) || call.outcome != Outcome::Unknown) {
            return Err(format!(
                "LONG: {} was carried out or answered on connection {}, on which a request was too \
                 long",
                what(call),
                call.connection
            ));
        }
    }
    Ok(())
}

/// Whether the transaction of a request fits the log.
pub fn fits(plan: &Plan, request: &Request) -> bool {
    // No other request of the clients is long.
    let Request::Set { path, data, .. } = request else { return true };
    let header = TxnHeader {
        client_id: SessionId::NONE,
        cxid: 0,
        zxid: Zxid::ZERO,
        time: 0,
        op: OpCode::SetData,
    };
    let body = TxnBody::SetData(SetDataTxn { path: Some(path), data: Some(data), version: 0 });
    let digest = (!plan.wild.no_digest).then_some(TxnDigest { version: 2, tree_digest: 0 });
    Txn::new(header, &body, digest).bytes().len() <= txn_bytes_max(plan)
}
