//! The checkers: they decide whether the one history can explain everything that clients were told.
//!
//! A reply carries the zxid of the state from which it was made. So the checkers can compare every reply with a
//! simple model at exactly that zxid, and need not search for anything.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::txn::{SetAclTxn, SetDataTxn, Txn, TxnBody};

use super::acl::{self, Who};
use super::assign::{ByRequest, by_request};
use super::chain::{Chain, Link};
use super::history::{Answer, Call, History, Outcome, Request};
use super::looks::read;
use super::model::Model;
use super::order;
use super::plan::Plan;
use super::quotas;
use super::readers;
use super::refusals::Refusals;
use super::sizes;
use super::watches::{self, Changes};
use super::watching;

/// Counts of what the checkers compared, for a report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    /// Transactions of the one history.
    pub txns: usize,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Writes that were carried out and whose outcome no client knows.
    pub unknown_carried_out: usize,
    /// Replies of reads.
    pub reads: usize,
    /// Watch events.
    pub events: usize,
}

/// Errors that say something about the tree, or about the request.
const MEANT: [ErrorCode; 9] = [
    ErrorCode::NoNode,
    ErrorCode::NodeExists,
    ErrorCode::BadVersion,
    ErrorCode::NotEmpty,
    ErrorCode::NoChildrenForEphemerals,
    ErrorCode::NoAuth,
    ErrorCode::InvalidAcl,
    ErrorCode::QuotaExceeded,
    ErrorCode::MarshallingError,
];

/// The error of a request whose transaction would be too long.
const LONG: i32 = ErrorCode::MarshallingError.code();

/// Whether an error says something about the tree.
pub fn is_meant(err: i32) -> bool {
    MEANT.iter().any(|code| code.code() == err)
}

/// Compares everything with the history that ends with `last`. Returns the counts, the tree at the end, and the
/// sessions that a transaction began; local sessions, for example, begin and end without one.
///
/// # Errors
/// The first contradiction, in words.
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
    let begun = sessions(history, &links, plan)?;
    let by_request = by_request(history, &links)?;
    let ends_unseen =
        |call: &Call| local && call.request == Request::Close && !begun.contains(&call.session);
    let is_early = plan.wild.eager_acl_check;
    let of_zxid = acknowledged(history, &by_request, is_early, &ends_unseen, &mut checked)?;
    real_time_order(history, &by_request)?;
    synced_reads(history, &by_request)?;
    order::check(history, &by_request, chain, &links, plan)?;
    let mut model = Model::of(plan);
    let askers = acl::askers(history, plan);
    acl::proofs(history)?;
    sizes::frames(history, &by_request)?;
    let mut refusals = Refusals::new(history, plan);
    let known_before = quotas::acknowledged_before(history, &of_zxid);
    let known =
        Known { plan, history, of_zxid: &of_zxid, askers: &askers, known_before: &known_before };
    checked.reads += readers::check(plan, &known, chain)?;
    let changes = replay(&mut model, &known, chain, &links, &mut refusals, &mut checked)?;
    refusals.end(history)?;
    let again;
    (checked.events, again) = watches::check(history, &changes)?;
    watching::check(history, &changes, &again)?;
    Ok((checked, model, begun))
}

/// A request in one line, for the message about a failure.
pub fn what(call: &Call) -> String {
    let Call { client, session, xid, request, invoked, .. } = call;
    let text = format!("{request:?}");
    format!("client {client}'s request {xid} in {session}, asked for at {invoked} µs, {text:.160}")
}

/// Checks that every acknowledged write is in the history, at the zxid that its reply says, except for writes that
/// make no transaction. `is_early`: servers may refuse a write before it gets a zxid.
fn acknowledged(
    history: &History,
    by_request: &ByRequest,
    is_early: bool,
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
            Outcome::Replied { err, .. } if acl::is_early_refusal(call) => {
                if !is_early {
                    return Err(format!(
                        "EAGER: {} was refused with error {err} and without a zxid, and \
                         enableEagerACLCheck is off",
                        what(call)
                    ));
                }
                if found.is_some() {
                    return Err(format!(
                        "{} was refused early with error {err}, and is in the history at {found:?}",
                        what(call)
                    ));
                }
            }
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

/// For each request with a transaction: the time of its answer, and the transaction's zxid.
pub fn returned(history: &History, by_request: &ByRequest) -> Vec<(u64, Zxid)> {
    let answered =
        by_request.iter().filter_map(|(place, zxid)| match history.calls[*place].outcome {
            Outcome::Replied { at, .. } => Some((at, *zxid)),
            Outcome::Unknown => None,
        });
    answered.collect()
}

/// Checks that a request sent after a write was acknowledged comes after that write in the history.
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

/// Checks that a read behind a sync sees every write acknowledged before the sync; except, as in ZooKeeper, the
/// writes of a newer leader than the one that answered the sync.
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

/// Checks that the history begins every session that a client ever had, and ends each one reported as expired.
fn sessions(
    history: &History,
    links: &[&Link],
    plan: &Plan,
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
            let lacks_room = || plan.is_standalone() && history.began_without_room(*id);
            if plan.local_sessions || lacks_room() {
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

/// The error of each part behind the one that made a multi fail.
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

/// The calls, and what the checkers know of them.
pub struct Known<'a> {
    /// What the seed decided.
    pub plan: &'a Plan,
    /// All calls.
    pub history: &'a History,
    /// The place of the call that each transaction carried out.
    pub of_zxid: &'a BTreeMap<Zxid, usize>,
    /// The identities that asked, by the place of the call.
    pub askers: &'a [Who],
    /// See [`quotas::acknowledged_before`].
    pub known_before: &'a [Zxid],
}

/// Goes through the history with the model, and compares each reply with it.
fn replay(
    model: &mut Model,
    known: &Known<'_>,
    chain: &Chain,
    links: &[&Link],
    refusals: &mut Refusals,
    checked: &mut Checked,
) -> Result<Changes, String> {
    let Known { plan, history, of_zxid, askers, known_before } = *known;
    let mut reads: BTreeMap<Zxid, Vec<usize>> = BTreeMap::new();
    for (place, call) in history.calls.iter().enumerate() {
        if let Outcome::Replied { zxid, .. } = call.outcome
            && !call.request.is_write()
            && !history.is_readers(call)
        {
            reads.entry(zxid).or_default().push(place);
        }
    }
    let epochs = chain.epochs();
    let states: BTreeSet<Zxid> =
        links.iter().map(|link| link.txn.zxid()).chain(epochs).chain([Zxid::ZERO]).collect();
    if let Some((zxid, places)) = reads.iter().find(|(zxid, _)| !states.contains(*zxid)) {
        return Err(format!(
            "{} was read from {zxid}, which is no state of the history",
            what(&history.calls[places[0]])
        ));
    }
    let mut changes = Changes::default();
    let mut reads = reads.into_iter().peekable();
    let mut before = Zxid::ZERO;
    for link in links {
        let txn = &link.txn;
        let zxid = txn.zxid();
        refusals.look(history, askers, model, before, zxid);
        while let Some((_, places)) = reads.next_if(|(at, _)| *at < zxid) {
            for place in places {
                read(model, &history.calls[place], &askers[place])?;
                checked.reads += 1;
            }
        }
        let place = of_zxid.get(&zxid).copied();
        if let Some(place) = place {
            let (call, since) = (&history.calls[place], known_before[place]);
            decided(plan, model, call, &askers[place], since, txn)?;
        }
        changes.note(txn, model);
        model.apply(txn)?;
        if let Some(place) = place {
            answered(model, &history.calls[place], txn)?;
        }
        before = zxid;
    }
    refusals.look(history, askers, model, before, Zxid(i64::MAX));
    for (_, places) in reads {
        for place in places {
            read(model, &history.calls[place], &askers[place])?;
            checked.reads += 1;
        }
    }
    Ok(changes)
}

/// Checks that a write was rightly carried out, or rightly refused. `since`: the newest zxid acknowledged when the
/// client asked for the write.
fn decided(
    plan: &Plan,
    model: &Model,
    call: &Call,
    who: &Who,
    since: Zxid,
    txn: &Txn,
) -> Result<(), String> {
    let err = error_of(txn);
    // The reason for refusing a reconfiguration is not in the tree.
    let is_reconfig = matches!(call.request, Request::Reconfig { .. });
    if is_reconfig || (err != 0 && !is_meant(err)) {
        return Ok(());
    }
    let obstacle = model.obstacle(&call.request, who);
    let mut expected = quotas::errors(model, &call.request, obstacle, since);
    if !sizes::fits(plan, &call.request) {
        // A server checks the length of a request only if nothing else is wrong with it.
        let long = |err: &mut i32| *err = if *err == 0 { LONG } else { *err };
        expected.iter_mut().for_each(long);
    }
    if expected.contains(&err) {
        return acl::stored_rightly(&call.request, who, txn)
            .map_err(|wrong| format!("{}: {wrong}", what(call)));
    }
    Err(format!(
        "{} met error {expected:?} at {}, and the transaction says {err}: {:?}; he is {who:?}",
        what(call),
        txn.zxid(),
        txn.body()
    ))
}

/// Checks that the reply to a write says what the transaction did.
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
        (
            Answer::Stat(stat),
            TxnBody::SetData(SetDataTxn { path, .. }) | TxnBody::SetAcl(SetAclTxn { path, .. }),
        ) => {
            let path = path.unwrap_or_default();
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
