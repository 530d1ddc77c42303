//! The checkers: whether what clients were told can have come of the one history there is.
//!
//! A reply carries the zxid of the state that it was made from. So every reply can be compared with
//! a simple model at exactly that zxid; nothing has to be searched for.

use std::collections::{BTreeMap, BTreeSet};

use super::assign::{ByRequest, by_request};
use super::chain::{Chain, Link};
use super::history::{Answer, Call, History, Outcome, Request};
use super::model::Model;
use super::order;
use super::plan::Plan;
use super::watches::{self, Changes};
use super::watching;
use crate::error::ErrorCode;
use crate::id::{SessionId, Zxid};
use crate::proto::OpCode;
use crate::proto::txn::{Txn, TxnBody};

/// What was looked at, for a report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    /// Transactions of the one history.
    pub txns: usize,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Writes whose outcome no client knows, and that were carried out.
    pub unknown_carried_out: usize,
    /// Replies of reads.
    pub reads: usize,
    /// Watch events.
    pub events: usize,
}

/// Errors that say something about the tree.
const MEANT: [ErrorCode; 5] = [
    ErrorCode::NoNode,
    ErrorCode::NodeExists,
    ErrorCode::BadVersion,
    ErrorCode::NotEmpty,
    ErrorCode::NoChildrenForEphemerals,
];

/// Whether an error says something about the tree.
pub fn is_meant(err: i32) -> bool {
    MEANT.iter().any(|code| code.code() == err)
}

/// Compares everything with the history that ends with `last`. Some sessions begin without a
/// transaction, and may end so. Returns the sessions that were begun by one as well.
///
/// # Errors
/// What cannot have come of it.
pub fn check(
    history: &History,
    chain: &Chain,
    last: Zxid,
    plan: &Plan,
) -> Result<(Checked, Model, BTreeSet<SessionId>), String> {
    let local = plan.has_unlogged_sessions();
    let links = chain.history(last)?;
    let mut checked = Checked { txns: links.len(), ..Checked::default() };
    chain.configs_are_in(&links)?;
    let begun = sessions(history, &links, local)?;
    let by_request = by_request(history, &links)?;
    let ends_unseen =
        |call: &Call| local && call.request == Request::Close && !begun.contains(&call.session);
    let of_zxid = acknowledged(history, &by_request, &ends_unseen, &mut checked)?;
    real_time_order(history, &by_request)?;
    synced_reads(history, &by_request)?;
    order::check(history, &by_request, chain, &links, plan)?;
    let wider = &plan.wild.wider;
    let mut model = Model::new();
    model.never_used_ms = wider.never_used_ms_max.and_then(|ms| i64::try_from(ms).ok());
    let changes = replay(&mut model, history, chain, &links, &of_zxid, &mut checked)?;
    let again;
    (checked.events, again) = watches::check(history, &changes)?;
    watching::check(history, &changes, &again)?;
    Ok((checked, model, begun))
}

/// A request, in a line for who reads about a failure.
pub fn what(call: &Call) -> String {
    let Call { client, session, xid, request, invoked, .. } = call;
    let text = format!("{request:?}");
    format!("client {client}'s request {xid} in {session}, asked for at {invoked} µs, {text:.160}")
}

/// Every acknowledged write is in the history, at the zxid that its reply says; but for those that
/// make no transaction.
fn acknowledged(
    history: &History,
    by_request: &ByRequest,
    makes_none: &dyn Fn(&Call) -> bool,
    checked: &mut Checked,
) -> Result<BTreeMap<Zxid, usize>, String> {
    let mut of_zxid = BTreeMap::new();
    for (place, call) in history.calls.iter().enumerate() {
        if !call.request.is_write() || makes_none(call) {
            continue;
        }
        let found = by_request.get(&place).copied();
        if let Some(zxid) = found {
            of_zxid.insert(zxid, place);
        }
        match &call.outcome {
            Outcome::Unknown => checked.unknown_carried_out += usize::from(found.is_some()),
            Outcome::Replied { zxid, err, at, .. } if *err == 0 || is_meant(*err) => {
                checked.acknowledged += 1;
                if found != Some(*zxid) {
                    return Err(format!(
                        "LOST: {} was acknowledged with error {err} and zxid {zxid} at {at} µs; \
                         the history has it at {found:?}",
                        what(call)
                    ));
                }
            }
            Outcome::Replied { .. } => (),
        }
    }
    Ok(of_zxid)
}

/// When each request was answered of which there is a transaction, and that.
pub fn returned(history: &History, by_request: &ByRequest) -> Vec<(u64, Zxid)> {
    let answered =
        by_request.iter().filter_map(|(place, zxid)| match history.calls[*place].outcome {
            Outcome::Replied { at, .. } => Some((at, *zxid)),
            Outcome::Unknown => None,
        });
    answered.collect()
}

/// What was asked for after a write had been acknowledged comes after it.
fn real_time_order(history: &History, by_request: &ByRequest) -> Result<(), String> {
    let mut returned = returned(history, by_request);
    returned.sort_unstable();
    let mut next = 0;
    let mut newest = Zxid::ZERO;
    for (place, call) in history.calls.iter().enumerate() {
        while next < returned.len() && returned[next].0 < call.invoked {
            newest = newest.max(returned[next].1);
            next += 1;
        }
        if let Some(&zxid) = by_request.get(&place)
            && zxid < newest
        {
            return Err(format!(
                "{} was carried out at {zxid}, though {newest} had been acknowledged before",
                what(call)
            ));
        }
    }
    Ok(())
}

/// A read behind a sync sees every write acknowledged before the sync; except, as in ZooKeeper,
/// those of a newer leader than the one that answered the sync.
fn synced_reads(history: &History, by_request: &ByRequest) -> Result<(), String> {
    let acknowledged = returned(history, by_request);
    for (place, call) in history.calls.iter().enumerate() {
        let Request::Sync { .. } = call.request else { continue };
        let Outcome::Replied { err: 0, .. } = call.outcome else { continue };
        let Some(read) = history.calls.get(place + 1) else { continue };
        if (read.client, read.connection) != (call.client, call.connection) {
            continue;
        }
        let Outcome::Replied { zxid, .. } = read.outcome else { continue };
        let missed = acknowledged.iter().find(|(at, acknowledged)| {
            *at < call.invoked && *acknowledged > zxid && acknowledged.epoch() <= zxid.epoch()
        });
        if let Some((at, missed)) = missed {
            return Err(format!(
                "{} read at {zxid} behind a sync, though {missed} had been acknowledged at {at} µs",
                what(read)
            ));
        }
    }
    Ok(())
}

/// Every session that a client ever had was begun, and one that was said to have expired was ended.
fn sessions(
    history: &History,
    links: &[&Link],
    local: bool,
) -> Result<BTreeSet<SessionId>, String> {
    let mut begun = BTreeSet::new();
    let mut ended = BTreeSet::new();
    for link in links {
        let header = link.txn.header();
        match header.op {
            OpCode::CreateSession => _ = begun.insert(header.client_id),
            OpCode::CloseSession => _ = ended.insert(header.client_id),
            _ => (),
        }
    }
    for (id, lease) in &history.leases {
        if !begun.contains(id) {
            if local {
                continue;
            }
            return Err(format!(
                "LOST: session {id} of client {} is not in the history",
                lease.client
            ));
        }
        if lease.expired.is_some() && !ended.contains(id) {
            return Err(format!(
                "session {id} of client {} was said to have expired, and never ended",
                lease.client
            ));
        }
    }
    Ok(begun)
}

/// In a multi that failed: a part behind the one that did.
const BEHIND: i32 = ErrorCode::RuntimeInconsistency.code();

/// The error that a transaction tells its client.
pub fn error_of(txn: &Txn) -> i32 {
    match txn.body() {
        TxnBody::Error { err } => err,
        TxnBody::Multi(parts) => TxnBody::parts(parts)
            .find_map(|(_, part)| match part {
                TxnBody::Error { err } if err != 0 && err != BEHIND => Some(err),
                _ => None,
            })
            .unwrap_or(0),
        _ => 0,
    }
}

/// Goes through the history with the model, and compares each reply with it.
fn replay(
    model: &mut Model,
    history: &History,
    chain: &Chain,
    links: &[&Link],
    of_zxid: &BTreeMap<Zxid, usize>,
    checked: &mut Checked,
) -> Result<Changes, String> {
    let mut reads: BTreeMap<Zxid, Vec<&Call>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| !call.request.is_write()) {
        if let Outcome::Replied { zxid, .. } = call.outcome {
            reads.entry(zxid).or_default().push(call);
        }
    }
    let epochs = chain.epochs();
    let known: BTreeSet<Zxid> =
        links.iter().map(|link| link.txn.zxid()).chain(epochs).chain([Zxid::ZERO]).collect();
    if let Some((zxid, calls)) = reads.iter().find(|(zxid, _)| !known.contains(*zxid)) {
        return Err(format!(
            "{} was read from {zxid}, which is no state of the history",
            what(calls[0])
        ));
    }
    let mut changes = Changes::default();
    let mut reads = reads.into_iter().peekable();
    for link in links {
        let txn = &link.txn;
        let zxid = txn.zxid();
        while let Some((_, calls)) = reads.next_if(|(at, _)| *at < zxid) {
            for call in calls {
                read(model, call)?;
                checked.reads += 1;
            }
        }
        let call = of_zxid.get(&zxid).map(|place| &history.calls[*place]);
        if let Some(call) = call {
            decided(model, call, txn)?;
        }
        changes.note(txn, model);
        model.apply(txn)?;
        if let Some(call) = call {
            answered(model, call, txn)?;
        }
    }
    for (_, calls) in reads {
        for call in calls {
            read(model, call)?;
            checked.reads += 1;
        }
    }
    Ok(changes)
}

/// Whether a write was rightly carried out, or rightly refused.
fn decided(model: &Model, call: &Call, txn: &Txn) -> Result<(), String> {
    let err = error_of(txn);
    // Why a reconfiguration is refused is no matter of the tree.
    let is_reconfig = matches!(call.request, Request::Reconfig { .. });
    if is_reconfig || (err != 0 && !is_meant(err)) {
        return Ok(());
    }
    let expected = model.obstacle(&call.request).map_or(0, ErrorCode::code);
    if expected == err {
        return Ok(());
    }
    Err(format!(
        "{} met error {expected} at {}, and the transaction says {err}: {:?}",
        what(call),
        txn.zxid(),
        txn.body()
    ))
}

/// Whether the reply of a write says what was done.
fn answered(model: &Model, call: &Call, txn: &Txn) -> Result<(), String> {
    let Outcome::Replied { err, answer, .. } = &call.outcome else { return Ok(()) };
    let said = error_of(txn);
    let err = if let Answer::Multi(part) = answer { part } else { err };
    if *err != said && (is_meant(*err) || is_meant(said) || *err == 0) {
        return Err(format!("{} was answered {err}, the transaction says {said}", what(call)));
    }
    match (answer, txn.body()) {
        (Answer::Path(path), TxnBody::Create(create)) if create.path != Some(path) => {
            Err(format!("{} was answered {path}, {:?} was created", what(call), create.path))
        }
        (Answer::Created(path, stat), TxnBody::CreateContainer(_) | TxnBody::CreateTtl(_)) => {
            let made = model.nodes.get(path).map(|node| node.stat);
            if made == Some(*stat) {
                Ok(())
            } else {
                Err(format!("{} was answered {path} {stat:?}, not {made:?}", what(call)))
            }
        }
        (Answer::Stat(stat), TxnBody::SetData(set)) => {
            let path = set.path.unwrap_or_default();
            let node = model.nodes.get(path).expect("it was just set");
            if node.stat == *stat {
                Ok(())
            } else {
                Err(format!("{} was answered {stat:?}, not {:?}", what(call), node.stat))
            }
        }
        (Answer::Data(data, _), TxnBody::SetData(set)) if data.as_deref() != set.data => {
            Err(format!("{} was answered with another configuration than was made", what(call)))
        }
        _ => Ok(()),
    }
}

/// Whether a read shows the state that it says it is from.
fn read(model: &Model, call: &Call) -> Result<(), String> {
    let Outcome::Replied { zxid, err, answer, .. } = &call.outcome else { return Ok(()) };
    let (Request::Get { path, .. } | Request::Exists { path, .. } | Request::Children { path, .. }) =
        &call.request
    else {
        return Ok(());
    };
    let wrong = |expected: &dyn std::fmt::Debug| {
        let (expected, answer) = (format!("{expected:?}"), format!("{answer:?}"));
        Err(format!(
            "{} was answered from {zxid}: error {err}, {answer:.400}; the history says {expected:.400}",
            what(call)
        ))
    };
    let Some(node) = model.nodes.get(path) else {
        let no_node = ErrorCode::NoNode.code();
        return if *err == no_node || !(is_meant(*err) || *err == 0) {
            Ok(())
        } else {
            wrong(&ErrorCode::NoNode)
        };
    };
    let same = match answer {
        Answer::Data(data, stat) => *data == node.data && *stat == node.stat,
        Answer::Stat(stat) => *stat == node.stat,
        Answer::Children(names, stat) => {
            // The root's numbers begin before the history does.
            names.iter().eq(node.children.iter()) && (path == "/" || *stat == node.stat)
        }
        Answer::Path(_) | Answer::Created(..) | Answer::Multi(_) | Answer::Nothing => {
            !is_meant(*err)
        }
    };
    if same { Ok(()) } else { wrong(&node) }
}
