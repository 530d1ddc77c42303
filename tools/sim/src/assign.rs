//! Finds the request that each transaction came from.
//!
//! A transaction carries the session and the xid of its request. Within one connection, each request has its own
//! xid; but some clients count from 1 again on each connection (kazoo does), and then several requests of a session
//! have the same xid. The zxid of the reply tells apart those that were answered, and what a request asked for tells
//! apart the others.

use std::collections::BTreeMap;

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::Vector;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::txn::{SubTxn, Txn, TxnBody};

use super::chain::Link;
use super::check::{error_of, is_meant, what};
use super::history::{Call, History, Outcome, Part, Request};

/// The transaction of each request, by the place of its call.
pub type ByRequest = BTreeMap<usize, Zxid>;

/// Finds the transaction of each request.
///
/// # Errors
/// A request was carried out twice, or a transaction has no request.
pub fn by_request(history: &History, links: &[&Link]) -> Result<ByRequest, String> {
    let mut calls: BTreeMap<(SessionId, i32), Vec<usize>> = BTreeMap::new();
    for (place, call) in history.calls.iter().enumerate() {
        if call.request.is_write() {
            calls.entry((call.session, call.xid)).or_default().push(place);
        }
    }
    let mut txns: BTreeMap<(SessionId, i32), Vec<&Txn>> = BTreeMap::new();
    for link in links {
        let header = link.txn.header();
        if header.cxid > 0 && header.op != OpCode::CreateSession {
            txns.entry((header.client_id, header.cxid)).or_default().push(&link.txn);
        }
    }
    let mut by_request = ByRequest::new();
    for ((session, xid), txns) in txns {
        let places = calls.get(&(session, xid)).map_or(&[][..], Vec::as_slice);
        if txns.len() > places.len() {
            let zxids: Vec<Zxid> = txns.iter().map(|txn| txn.zxid()).collect();
            return Err(format!(
                "request {xid} of session {session} was asked for {} times and carried out at \
                 {zxids:?}",
                places.len()
            ));
        }
        if let [place] = places {
            by_request.insert(*place, txns[0].zxid());
        } else {
            several(history, places, &txns, &mut by_request)?;
        }
    }
    Ok(by_request)
}

/// Assigns the transactions of one xid to the several requests that have this xid.
fn several(
    history: &History,
    places: &[usize],
    txns: &[&Txn],
    by_request: &mut ByRequest,
) -> Result<(), String> {
    let mut left = Vec::new();
    for txn in txns {
        let told = |place: &&usize| told_at(&history.calls[**place]) == Some(txn.zxid());
        match places.iter().find(told) {
            Some(place) => _ = by_request.insert(*place, txn.zxid()),
            None => left.push(*txn),
        }
    }
    // The newest transaction comes first and takes the latest request that it can belong to: so the transaction of
    // an earlier request never takes the place of a later one.
    for txn in left.into_iter().rev() {
        let open: Vec<usize> = places
            .iter()
            .copied()
            .filter(|place| !by_request.contains_key(place))
            .filter(|place| told_at(&history.calls[*place]).is_none())
            .filter(|place| can_be(&history.calls[*place].request, txn))
            .collect();
        // A request sent to a server without a leader is the last choice.
        let is_readers = |place: &usize| history.is_readers(&history.calls[*place]);
        let (readers, others): (Vec<usize>, Vec<usize>) = open.into_iter().partition(is_readers);
        let open = if others.is_empty() { readers } else { others };
        let in_time = |place: &&usize| {
            acknowledged_before(history, history.calls[**place].invoked) < txn.zxid()
        };
        match open.iter().rfind(in_time).or(open.last()) {
            // No client can tell which of several requests was refused, and it makes no difference.
            Some(_) if error_of(txn) != 0 && open.len() > 1 => (),
            Some(place) => _ = by_request.insert(*place, txn.zxid()),
            None => {
                return Err(format!(
                    "{:?} {:?} is in the history once more than anybody asked for it; the requests \
                     with its xid are: {}",
                    txn.header(),
                    txn.body(),
                    places
                        .iter()
                        .map(|place| &history.calls[*place])
                        .map(|call| format!("{} (told {:?})", what(call), told_at(call)))
                        .collect::<Vec<_>>()
                        .join("; ")
                ));
            }
        }
    }
    Ok(())
}

/// The zxid at which the reply says that the call was carried out or refused.
fn told_at(call: &Call) -> Option<Zxid> {
    match call.outcome {
        Outcome::Replied { zxid, err, .. } if err == 0 || is_meant(err) => Some(zxid),
        Outcome::Replied { .. } | Outcome::Unknown => None,
    }
}

/// The zxid of the newest write that a client knew at the time `at`.
fn acknowledged_before(history: &History, at: u64) -> Zxid {
    let known = history.calls.iter().filter(|call| call.request.is_write());
    let known = known.filter(|call| match call.outcome {
        Outcome::Replied { at: told, .. } => told < at,
        Outcome::Unknown => false,
    });
    known.filter_map(told_at).max().unwrap_or(Zxid::ZERO)
}

/// Whether a transaction can belong to a request.
fn can_be(request: &Request, txn: &Txn) -> bool {
    match (request, txn.body()) {
        (_, TxnBody::Error { .. }) => true,
        (Request::Create { path, data, sequential, .. }, TxnBody::Create(made)) => {
            let name = made.path.unwrap_or_default();
            let is_it = if *sequential { name.starts_with(path) } else { name == path };
            is_it && made.data == Some(data)
        }
        (Request::CreateWith { path, data, .. }, TxnBody::Create(made)) => {
            made.path == Some(path) && made.data == Some(data)
        }
        (Request::CreateContainer { path, data }, TxnBody::CreateContainer(made)) => {
            made.path == Some(path) && made.data == Some(data)
        }
        (Request::CreateTtl { path, data, .. }, TxnBody::CreateTtl(made)) => {
            made.path == Some(path) && made.data == Some(data)
        }
        (Request::SetAcl { path, .. }, TxnBody::SetAcl(set)) => set.path == Some(path),
        (Request::Set { path, data, .. }, TxnBody::SetData(set)) => {
            set.path == Some(path) && set.data == Some(data)
        }
        (Request::Delete { path, .. }, TxnBody::Delete(deleted)) => deleted.path == Some(path),
        (Request::Multi(parts), TxnBody::Multi(made)) => can_be_multi(parts, made),
        (Request::Reconfig { .. }, TxnBody::SetData(_)) => txn.header().op == OpCode::Reconfig,
        (Request::Close, TxnBody::CloseSession { .. }) => true,
        _ => false,
    }
}

fn can_be_multi(parts: &[Part], made: Vector<'_, SubTxn<'_>>) -> bool {
    let made: Vec<TxnBody<'_>> = TxnBody::parts(made).map(|(_, part)| part).collect();
    made.len() == parts.len()
        && parts.iter().zip(&made).all(|(part, made)| match (part, made) {
            (_, TxnBody::Error { .. }) => true,
            (Part::Set { path, data, .. }, TxnBody::SetData(set)) => {
                set.path == Some(path) && set.data == Some(data)
            }
            (
                Part::Create { path, data } | Part::CreateWith { path, data, .. },
                TxnBody::Create(made),
            ) => made.path == Some(path) && made.data == Some(data),
            (Part::Delete { path, .. }, TxnBody::Delete(gone)) => gone.path == Some(path),
            (Part::Check { path, .. }, TxnBody::Check(check)) => check.path == Some(path),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use ringkeeper::id::ServerId;
    use ringkeeper::proto::txn::{SetDataTxn, TxnHeader};

    use super::super::history::Answer;
    use super::*;

    fn call(connection: u64, value: &[u8], told: Option<i64>) -> Call {
        let outcome = told.map_or(Outcome::Unknown, |zxid| Outcome::Replied {
            at: 10 * connection + 5,
            zxid: Zxid(zxid),
            err: 0,
            answer: Answer::Nothing,
        });
        Call {
            client: 0,
            session: SessionId(7),
            connection,
            xid: 2,
            request: Request::Set { path: "/a".to_owned(), data: value.to_vec(), version: -1 },
            invoked: 10 * connection,
            outcome,
        }
    }

    fn link(zxid: i64, value: &[u8]) -> Link {
        let header = TxnHeader {
            client_id: SessionId(7),
            cxid: 2,
            zxid: Zxid(zxid),
            time: 0,
            op: OpCode::SetData,
        };
        let set = SetDataTxn { path: Some("/a"), data: Some(value), version: 1 };
        let txn = Txn::new(header, &TxnBody::SetData(set), None);
        Link { txn, before: Zxid(zxid - 1), digest: 0, by: ServerId(1), at: 0 }
    }

    #[test]
    fn requests_with_one_xid_are_told_apart_by_their_reply_and_by_what_they_ask_for() {
        let calls = vec![call(1, b"x", None), call(2, b"y", Some(6)), call(3, b"x", None)];
        let history = History { calls, ..History::default() };
        let (early, told, late) = (link(5, b"x"), link(6, b"y"), link(7, b"x"));
        let found = by_request(&history, &[&early, &told, &late]).unwrap();
        assert_eq!(found, [(0, Zxid(5)), (1, Zxid(6)), (2, Zxid(7))].into());
        // What was acknowledged before the third was asked for was not carried out behind it.
        let found = by_request(&history, &[&early, &told]).unwrap();
        assert_eq!(found, [(0, Zxid(5)), (1, Zxid(6))].into());
        let found = by_request(&history, &[&told, &late]).unwrap();
        assert_eq!(found, [(1, Zxid(6)), (2, Zxid(7))].into());
    }

    #[test]
    fn a_request_that_is_carried_out_twice_is_found_though_another_has_its_xid() {
        let calls = vec![call(1, b"x", None), call(2, b"y", Some(6))];
        let history = History { calls, ..History::default() };
        let (once, twice) = (link(5, b"y"), link(6, b"y"));
        assert!(by_request(&history, &[&once, &twice]).is_err());
        assert!(by_request(&history, &[&once, &twice, &link(7, b"x")]).is_err());
    }
}
