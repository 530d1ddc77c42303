//! Checks the promises to a session beside single replies: the order of its requests over all of its connections,
//! the age of its reads, and the truth of errors.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::proto::OpCode;

use super::assign::ByRequest;
use super::chain::{Chain, Link};
use super::check::{error_of, is_meant, returned, what};
use super::history::{Call, History, Outcome, Request};
use super::plan::{MS, Plan, SECOND};

/// The requests of a session are carried out in the order in which the client made them, whatever connections they
/// took (ZOOKEEPER-417).
///
/// # Errors
/// A request was carried out behind a later one.
pub fn session_order(
    history: &History,
    by_request: &ByRequest,
    chain: &Chain,
) -> Result<(), String> {
    let mut newest: BTreeMap<SessionId, (Zxid, i32, u64)> = BTreeMap::new();
    for (place, call) in history.calls.iter().enumerate() {
        // ZooKeeper: a client that closes a session need not own it.
        if call.request == Request::Close {
            continue;
        }
        let Some(zxid) = by_request.get(&place).copied() else { continue };
        // A refused request changes nothing. A stray one, for example, is refused with SESSIONMOVED.
        if chain.get(zxid).is_some_and(|link| error_of(&link.txn) != 0) {
            continue;
        }
        if let Some((last, xid, connection)) = newest.get(&call.session)
            && zxid < *last
        {
            return Err(format!(
                "ORDER: {} on its connection {} was carried out at {zxid}, behind the later request \
                 {xid} of connection {connection} at {last}; its outcome: {:.80}",
                what(call),
                call.connection,
                format!("{:?}", call.outcome)
            ));
        }
        newest.insert(call.session, (zxid, call.xid, call.connection));
    }
    Ok(())
}

/// The greatest age of a read, in µs: a server that serves has heard of a quorum within `syncLimit`.
fn age_max(plan: &Plan) -> u64 {
    let silent = 2 * (plan.sync_limit + 2) * u64::from(plan.tick_ms) * MS;
    // The sum also covers the longest pause of a server, which answers waiting requests before it looks at its
    // clock, and the error of its clock.
    silent + silent / 20 + 12 * SECOND
}

/// A read shows every write that was acknowledged long before it was asked for.
///
/// # Errors
/// A read is older than the state of any server that still serves may be.
pub fn age_of_reads(history: &History, by_request: &ByRequest, plan: &Plan) -> Result<(), String> {
    let age = age_max(plan);
    let mut acknowledged = returned(history, by_request);
    acknowledged.sort_unstable();
    let mut next = 0;
    let mut newest = (0, Zxid::ZERO);
    for call in &history.calls {
        while next < acknowledged.len() && acknowledged[next].0 + age < call.invoked {
            if acknowledged[next].1 > newest.1 {
                newest = acknowledged[next];
            }
            next += 1;
        }
        if call.request.is_write() || history.is_readers(call) {
            continue;
        }
        if let Outcome::Replied { zxid, .. } = call.outcome
            && zxid < newest.1
            && zxid.0 > 0
        {
            return Err(format!(
                "OLD: {} was answered from {zxid}, though {} had been acknowledged at {} µs; no \
                 server may serve that has heard nothing for {age} µs",
                what(call),
                newest.1,
                newest.0
            ));
        }
    }
    Ok(())
}

/// Errors of reconfigurations.
const OF_RECONFIG: [ErrorCode; 5] = [
    ErrorCode::NewConfigNoQuorum,
    ErrorCode::ReconfigInProgress,
    ErrorCode::BadArguments,
    ErrorCode::Unimplemented,
    ErrorCode::BadVersion,
];

/// How the sessions ended.
#[derive(Debug, Default)]
pub struct Ends {
    /// The time at which a server first applied the end of each session.
    at: BTreeMap<SessionId, u64>,
    /// Sessions that began with a transaction; `None`: all.
    begun: Option<BTreeSet<SessionId>>,
}

impl Ends {
    /// The ends in a history. With `has_unlogged`, some sessions may begin and end without a transaction.
    pub fn of(links: &[&Link], has_unlogged: bool) -> Ends {
        let mut at = BTreeMap::new();
        let mut begun = BTreeSet::new();
        for link in links {
            let header = link.txn.header();
            match header.op {
                OpCode::CreateSession => _ = begun.insert(header.client_id),
                OpCode::CloseSession => _ = at.entry(header.client_id).or_insert(link.at),
                _ => (),
            }
        }
        Ends { at, begun: has_unlogged.then_some(begun) }
    }

    /// Whether a call's session may have been over when the call was answered.
    fn explain(&self, call: &Call, answered: u64) -> bool {
        let is_unlogged = self.begun.as_ref().is_some_and(|begun| !begun.contains(&call.session));
        is_unlogged || self.at.get(&call.session).is_some_and(|end| *end <= answered)
    }
}

/// Checks that error replies are true: the request had no effect, and the history explains the error.
///
/// # Errors
/// A request was carried out although its client was told otherwise, or an error has no reason.
pub fn errors(
    history: &History,
    by_request: &ByRequest,
    chain: &Chain,
    ends: &Ends,
) -> Result<(), String> {
    for (place, call) in history.calls.iter().enumerate() {
        let Outcome::Replied { err, at, .. } = &call.outcome else { continue };
        if *err == 0 || is_meant(*err) {
            continue;
        }
        let is_of = |codes: &[ErrorCode]| codes.iter().any(|code| code.code() == *err);
        let is_reconfig = matches!(call.request, Request::Reconfig { .. });
        let is_local_ephemeral = *err == ErrorCode::EphemeralOnLocalSession.code();
        let of_reconfig = is_reconfig && is_of(&OF_RECONFIG);
        let of_room = *err == ErrorCode::SystemError.code()
            && history.somebody_lacked_room(call.invoked, *at);
        let of_watches =
            matches!(call.request, Request::Watches { .. }) && *err == ErrorCode::NoWatcher.code();
        // `acl::proofs` checks what an authentication proves.
        let of_proof = matches!(call.request, Request::Auth { .. });
        // `readers` checks these replies one by one.
        let of_reader = *err == ErrorCode::NotReadOnly.code();
        let has_moved = *err == ErrorCode::SessionMoved.code() && history.may_have_moved(call);
        let has_ended = *err == ErrorCode::SessionExpired.code() && ends.explain(call, *at);
        let is_explained = has_moved
            || has_ended
            || is_local_ephemeral
            || of_reconfig
            || of_room
            || of_watches
            || of_proof
            || of_reader;
        if !is_explained {
            return Err(format!("{} was answered with error {err} for no reason", what(call)));
        }
        let done = by_request.get(&place).and_then(|zxid| chain.get(*zxid));
        if let Some(link) = done
            && error_of(&link.txn) == 0
            && call.request != Request::Close
        {
            return Err(format!(
                "{} was answered with error {err} at {at} µs, and was carried out at {}",
                what(call),
                link.txn.zxid()
            ));
        }
    }
    Ok(())
}

/// Checks that a client is told of the end of its session only when some server has applied that end. Other servers
/// know nothing of a local session that becomes a global one until that is applied.
///
/// # Errors
/// A client was told before.
pub fn told_after_the_end(history: &History, links: &[&Link]) -> Result<(), String> {
    let mut began: BTreeMap<SessionId, u64> = BTreeMap::new();
    let mut ended: BTreeMap<SessionId, u64> = BTreeMap::new();
    for link in links {
        let header = link.txn.header();
        match header.op {
            OpCode::CreateSession => _ = began.entry(header.client_id).or_insert(link.at),
            OpCode::CloseSession => _ = ended.entry(header.client_id).or_insert(link.at),
            _ => {}
        }
    }
    for (id, lease) in &history.leases {
        if let (Some(told), Some(end)) = (lease.expired, ended.get(id))
            && told < *end
            && began.get(id).is_some_and(|begin| *begin <= told)
        {
            return Err(format!(
                "client {} was told at {told} µs that session {id} had expired; the first server \
                 applied its end at {end} µs",
                lease.client
            ));
        }
    }
    Ok(())
}

/// Runs all checks of this file.
///
/// # Errors
/// As each of the checks.
pub fn check(
    history: &History,
    by_request: &ByRequest,
    chain: &Chain,
    links: &[&Link],
    plan: &Plan,
) -> Result<(), String> {
    session_order(history, by_request, chain)?;
    errors(history, by_request, chain, &Ends::of(links, plan.has_unlogged_sessions()))?;
    age_of_reads(history, by_request, plan)?;
    told_after_the_end(history, links)
}

#[cfg(test)]
mod tests {
    use super::super::history::Answer;
    use super::super::plan::Shape;
    use super::super::rng::Rng;
    use super::*;

    fn call(xid: i32, connection: u64, invoked: u64, zxid: Zxid) -> Call {
        Call {
            client: 0,
            session: SessionId(7),
            connection,
            xid,
            request: Request::Set { path: "/a".to_owned(), data: Vec::new(), version: -1 },
            invoked,
            outcome: Outcome::Replied { at: invoked + 1, zxid, err: 0, answer: Answer::Nothing },
        }
    }

    #[test]
    fn a_request_that_is_carried_out_behind_a_later_one_is_found() {
        let at = |counter: i64| Zxid((1 << 32) | counter);
        let calls = vec![call(1, 1, 10, at(2)), call(2, 2, 20, at(1))];
        let mut history = History { calls, ..History::default() };
        let by_request: ByRequest = [(0, at(2)), (1, at(1))].into();
        let wrong = session_order(&history, &by_request, &Chain::default());
        assert!(wrong.unwrap_err().starts_with("ORDER"));
        history.calls.reverse();
        let by_request: ByRequest = [(0, at(1)), (1, at(2))].into();
        assert_eq!(session_order(&history, &by_request, &Chain::default()), Ok(()));
    }

    #[test]
    fn a_read_from_a_server_that_was_left_behind_is_found() {
        let at = |counter: i64| Zxid((1 << 32) | counter);
        let plan = Plan::draw(&mut Rng::new(1), &mut Rng::new(2), Shape::Ensemble, None);
        let late = 3 * age_max(&plan);
        let mut read = call(2, 1, late, at(1));
        read.request = Request::Get { path: "/a".to_owned(), watch: false };
        let calls = vec![call(1, 1, 10, at(2)), read];
        let mut history = History { calls, ..History::default() };
        let by_request: ByRequest = [(0, at(2))].into();
        assert!(age_of_reads(&history, &by_request, &plan).unwrap_err().starts_with("OLD"));
        history.calls[1].invoked = 20;
        assert_eq!(age_of_reads(&history, &by_request, &plan), Ok(()));
    }
}
