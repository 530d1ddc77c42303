//! A learner's part in writes and syncs: it passes them on to the leader, and answers them when their outcome arrives
//! (`FollowerRequestProcessor`, `CommitProcessor`).
//!
//! The rule that is easy to break: a transaction belongs to a request under way if it has the session and the xid of
//! that request. No request before that one may then still be under way, because the leader takes them in order. Any
//! other transaction of the session comes from another server, to which the client has moved, or from the leader
//! itself.
//!
//! Xids distinguish only the requests of one connection; some clients count from 1 again on each:
//!
//! ```text
//! 1. Server 1 passes on a client's request with xid 2; the leader proposes it.
//! 2. The client leaves server 1 and goes on at server 2, and its next request has xid 2 as well.
//! 3. The transaction of step 1 arrives at server 2, whose client waits for an answer to xid 2.
//! ```
//! If server 2 took it for that answer, it would report another write's success. But a connection's tenure says how far
//! the leader had come when it gave the session to the connection: a transaction that is not behind that point was
//! asked for on an earlier connection, whatever its xid ([`Forwarded::silent`]).

use super::Replica;
use super::audit::Asked;
use super::connection::{ClientRequest, Connection, Forwarded, Slot, State, Waiting};
use super::ensemble::Ensemble;
use super::passed_on::Orphan;
use super::pipeline::InFlight;
use super::pipeline::Pipeline;
use super::service::Service;
use super::syncs::HeldSync;
use crate::acl;
use crate::database::Applied;
use crate::error::ErrorCode;
use crate::id::{SessionId, Zxid};
use crate::jute::{Decoder, Jute};
use crate::planted::{self, PlantedBug};
use crate::processor::finish;
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;
use crate::proto::txn::{Txn, TxnBody};
use crate::session::Tenure;
use crate::time::Now;
use crate::zab::PassedRequest;

/// Bytes of a request's header.
const HEADER_BYTES: usize = 8;

impl Ensemble {
    /// A connection ends while requests of its session are under way: remembers them as orphans.
    pub(super) fn note_orphans(&mut self, connection: &mut Connection) {
        // A parked connection's requests went to a leader that is lost: their outcome may never arrive.
        if !self.is_learning() || connection.parked.is_some() {
            return;
        }
        let orphans = connection.queue.iter_mut().filter_map(|step| match step {
            Waiting::Forwarded(request) if request.sync.is_none() => {
                let audit = request.audit.take();
                Some(Orphan { xid: request.xid, bytes: request.passed_bytes, audit })
            }
            _ => None,
        });
        self.passed_on.orphan(connection.session, orphans);
    }

    /// A connection takes a session up again: its requests come after those that its session has under way, which go
    /// into its queue.
    pub(super) fn adopt_orphans(&mut self, now: Now, connection: &mut Connection) {
        assert!(connection.session != SessionId::NONE, "a session that is taken up has an id");
        for orphan in self.passed_on.take_orphans(connection.session) {
            let request = Box::new(Forwarded {
                xid: orphan.xid,
                op: OpCode::Error,
                frame: Box::default(),
                passed_bytes: orphan.bytes,
                arrived: now.mono,
                large: 0,
                sync: None,
                instead: None,
                silent: true,
                identities: 0,
                again: false,
                suspect: false,
                audit: orphan.audit,
            });
            self.passed_on.add(&request);
            connection.queue.push_back(Waiting::Forwarded(request));
        }
    }

    /// Passes on a sync that was kept back.
    pub(super) fn pass_sync_on(&mut self, held: &HeldSync) {
        // The leader needs no identities for a sync, because it shows nothing.
        self.peer.forward(&PassedRequest {
            session: held.session,
            scope: held.scope,
            cxid: held.cxid,
            op: OpCode::Sync.number(),
            body: &held.body,
            identities: &[],
        });
    }

    /// A transaction was applied of a session that has no connection here. Returns what the audit log is told of it.
    fn on_orphan(&mut self, txn: &Txn) -> Option<Box<Asked>> {
        if planted::is(self.options.planted, PlantedBug::OrphanKept) {
            return None;
        }
        let header = txn.header();
        self.passed_on.on_orphan_done(header.client_id, header.cxid)
    }
}

impl Pipeline {
    /// The newest transaction of this server, which must be applied before a request that waits for everything
    /// proposed. On a learner: none.
    pub(super) fn newest_zxid(&self, ensemble: &Ensemble) -> Zxid {
        if ensemble.proposes() { self.prep.last() } else { Zxid::ZERO }
    }
}

impl Service {
    /// Answers the request at the front of a queue, whose transaction is applied. True: it created the connection's
    /// session.
    fn answer_forwarded(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        txn: &Txn,
        applied: &Applied,
    ) -> bool {
        let Some(Waiting::Forwarded(mut request)) = connection.queue.pop_front() else {
            unreachable!("everything before it was answered")
        };
        assert!(request.sync.is_none(), "no transaction answers a sync");
        self.audit.on_outcome(now, request.audit.take(), txn, applied);
        self.end_forwarded(connection, &request);
        self.stats.record_update(now.mono.since_us(request.arrived));
        if request.silent {
            self.advance(now, slot, connection);
            return false;
        }
        if connection.state == State::Connecting {
            let is_created = matches!(applied, Applied::CreateSession);
            if !is_created {
                self.reject(slot, connection, "the leader refuses its session");
            }
            return is_created;
        }
        if finish::is_session_moved(applied) {
            self.on_session_moved(slot, connection);
            return false;
        }
        if let Some(error) = request.instead
            && matches!(applied, Applied::Error(_))
        {
            let (xid, op) = (request.xid, request.op);
            let answer = ClientRequest { xid, op, body: &[], large: 0 }.refusal(error);
            self.give_answer(now, slot, connection, &answer, request.arrived);
        } else {
            let request = InFlight {
                zxid: txn.zxid(),
                digest_before: 0,
                op: request.op,
                slot: Some(slot),
                session: connection.session,
                xid: request.xid,
                arrived: request.arrived,
                large: 0,
                audit: None,
            };
            self.answer_write(now, slot, connection, &request, txn, applied);
        }
        self.advance(now, slot, connection);
        false
    }

    /// Gives back what a request has claimed that was passed on and has left its connection's queue.
    fn end_forwarded(&mut self, connection: &mut Connection, request: &Forwarded) {
        self.ensemble.passed_on.remove(request);
        self.clients.release_large(request.large);
        let bytes = request.frame.len();
        assert!(connection.held_bytes >= bytes, "the bytes of a request that waits are counted");
        connection.held_bytes -= bytes;
    }

    /// Passes a request on to the leader. `instead`: the error that the client is told if the request fails. `audit`:
    /// what the audit log is told with the outcome.
    pub(super) fn forward(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        request: ClientRequest<'_>,
        instead: Option<ErrorCode>,
        audit: Option<Box<Asked>>,
    ) {
        assert!(self.ensemble.is_learning(), "only a learner passes requests on");
        let ClientRequest { xid, op, body, large } = request;
        assert!(self.clients.large_bytes >= large as usize, "a large request is counted");
        let mut frame = RequestHeader { xid, op: op.number() }.to_bytes();
        frame.extend_from_slice(body);
        if self.clients.holds_too_much(connection) {
            self.clients.release_large(large);
            self.reject(slot, connection, "too many requests behind its own writes");
            return;
        }
        connection.held_bytes += frame.len();
        let (session, scope) = (connection.session, connection.scope());
        let (sync, passes) = if op == OpCode::Sync {
            let (number, passes) = self.ensemble.syncs.ask(slot, session, scope, xid, body);
            assert!(number >= connection.asked_syncs, "the numbers of a connection's syncs rise");
            connection.asked_syncs = number + 1;
            (Some(number), passes)
        } else {
            if let Some(held) = self.ensemble.syncs.take_held_before(connection.asked_syncs) {
                self.ensemble.pass_sync_on(&held);
            }
            (None, true)
        };
        // A sync needs no permission.
        let identities = if sync.is_some() { &[][..] } else { &connection.identities };
        if passes {
            let op = op.number();
            self.ensemble.peer.forward(&PassedRequest {
                session,
                scope,
                cxid: xid,
                op,
                body,
                identities,
            });
        }
        let request = Box::new(Forwarded {
            xid,
            op,
            passed_bytes: frame.len() + acl::bytes_of(identities),
            frame: frame.into(),
            arrived: now.mono,
            large,
            sync,
            instead,
            silent: false,
            identities: connection.identities.len(),
            again: false,
            suspect: false,
            audit,
        });
        self.ensemble.passed_on.add(&request);
        self.work.on_passed_on();
        connection.queue.push_back(Waiting::Forwarded(request));
    }

    /// Asks the leader to create the connection's session.
    pub(super) fn forward_create_session(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
    ) {
        let body = connection.timeout_ms.to_bytes();
        let request = ClientRequest { xid: 0, op: OpCode::CreateSession, body: &body, large: 0 };
        self.forward(now, slot, connection, request, None, None);
    }

    /// The outcome of the request at this place of a queue has arrived: the requests that were passed on before it must
    /// be over as well.
    fn pass_up_to(&mut self, slot: Slot, connection: &mut Connection, place: usize) {
        assert!(place < connection.queue.len(), "the request whose outcome arrived waits");
        let mut place = place;
        let mut index = 0;
        while index < place {
            match &connection.queue[index] {
                // The leader had the sync before this transaction: everything for which the sync waits is applied.
                Waiting::Forwarded(request) if request.sync.is_some() => {
                    let done = request.sync.map_or(0, |number| number + 1);
                    connection.synced = connection.synced.max(done);
                }
                Waiting::Forwarded(request) if request.silent => {
                    self.ensemble.passed_on.remove(request);
                    connection.queue.remove(index);
                    place -= 1;
                    continue;
                }
                Waiting::Forwarded(_) => {
                    // If this write were passed on again, the leader might carry it out twice.
                    self.reject(slot, connection, "the leader left one of its writes out");
                    // Its outcome never arrives, and the session's next reads must not wait for it.
                    self.ensemble.passed_on.drop_orphans(connection.session);
                    return;
                }
                Waiting::Write | Waiting::Request { .. } | Waiting::Answer { .. } => {}
            }
            index += 1;
        }
    }

    /// Closes a connection whose session has moved to another server.
    // ZooKeeper: FinalRequestProcessor tells the client nothing, because the client would take the reply for one of its
    // new connection (ZOOKEEPER-710).
    pub(super) fn on_session_moved(&mut self, slot: Slot, connection: &mut Connection) {
        self.stats.session_errors += 1;
        self.reject(slot, connection, "its session has moved to another server");
    }

    /// Answers a sync that is done and was at the front of its connection's queue.
    pub(super) fn answer_sync(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        request: &Forwarded,
    ) {
        assert!(request.op == OpCode::Sync, "a request with the number of a sync is one");
        assert!(
            request.sync.is_some_and(|number| number < connection.synced),
            "a sync is answered when it is done"
        );
        self.end_forwarded(connection, request);
        let body = request.frame.get(HEADER_BYTES..).unwrap_or_default();
        self.answer_read(now, slot, connection, request.xid, OpCode::Sync, body);
    }
}

impl Replica {
    /// The transaction that creates a session is applied: the session's connection here holds it from then on.
    pub(super) fn note_tenure(&mut self, txn: &Txn) {
        if let Some(&slot) = self.service.clients.by_session.get(&txn.header().client_id)
            && let Some(connection) = self.connections.get_mut(slot)
        {
            assert!(
                connection.session == txn.header().client_id,
                "a session leads to its connection"
            );
            connection.tenure = Some(Tenure { since: txn.zxid(), turn: 0 });
        }
    }

    /// A transaction was applied that this server has not proposed: perhaps one of its clients waits for it.
    pub(super) fn on_foreign_txn(&mut self, now: Now, txn: &Txn, applied: &Applied) {
        let header = txn.header();
        let session = header.client_id;
        let Some(&slot) = self.service.clients.by_session.get(&session) else {
            let audit = self.service.ensemble.on_orphan(txn);
            return self.service.audit.on_outcome(now, audit, txn, applied);
        };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        assert!(connection.session == session, "a session leads to its connection");
        let tenure = connection.tenure.filter(|_| header.op != OpCode::CreateSession);
        let is_earlier = tenure.map(|tenure| txn.zxid() <= tenure.since);
        let found = connection.queue.iter().position(|step| match step {
            Waiting::Forwarded(request) => {
                request.sync.is_none()
                    && request.xid == header.cxid
                    && is_of(request, txn)
                    && is_earlier.is_none_or(|is_earlier| is_earlier == request.silent)
            }
            Waiting::Write | Waiting::Request { .. } | Waiting::Answer { .. } => false,
        });
        if let Some(found) = found {
            self.service.pass_up_to(slot, connection, found);
            self.service.advance(now, slot, connection);
            if connection.is_open()
                && self.service.answer_forwarded(now, slot, connection, txn, applied)
            {
                self.on_session_created(now, slot);
            }
        } else if connection.tenure.is_some_and(|tenure| shows_a_later_connection(tenure, txn)) {
            self.service.on_session_moved(slot, connection);
        }
    }

    /// The oldest sync that was passed on is done.
    pub(super) fn on_sync_done(&mut self, now: Now) {
        let Some(up_to) = self.service.ensemble.syncs.on_answer() else {
            tracing::warn!("the leader answers a sync that this server has not passed on");
            return;
        };
        while let Some((slot, number)) = self.service.ensemble.syncs.take_done(up_to) {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            assert!(number <= up_to, "the answer covers the syncs up to {up_to}, and not {number}");
            assert!(number < connection.asked_syncs, "the connection has asked for sync {number}");
            connection.synced = connection.synced.max(number + 1);
            self.service.advance(now, slot, connection);
        }
        if let Some(held) = self.service.ensemble.syncs.take_held() {
            self.service.ensemble.pass_sync_on(&held);
        }
    }

    /// The follower from which this observer learns has dropped the requests of a session that the observer passed on,
    /// because the session's client has moved to that follower or to another of its observers.
    pub(super) fn on_left_out(&mut self, session: SessionId) {
        if let Some(&slot) = self.service.clients.by_session.get(&session)
            && let Some(connection) = self.connections.get_mut(slot)
        {
            self.service.on_session_moved(slot, connection);
        }
        // The outcome of these requests will not arrive.
        self.service.ensemble.passed_on.drop_orphans(session);
    }
}

/// Whether a transaction of a session, which belongs to no request of the session's connection here, shows that the
/// client has moved on. The requests of earlier connections were proposed before this connection got the session; a
/// refusal shows nothing, because it may answer a stray request of one of those.
fn shows_a_later_connection(tenure: Tenure, txn: &Txn) -> bool {
    let header = txn.header();
    let is_refusal = match txn.body() {
        TxnBody::Error { err } => err == ErrorCode::SessionMoved.code(),
        _ => false,
    };
    let about_session = matches!(header.op, OpCode::CreateSession | OpCode::CloseSession);
    txn.zxid() > tenure.since && !is_refusal && !about_session
}

/// Whether a transaction can be the outcome of a request.
///
/// A client may count its requests from 1 again on each connection. A leader of Apache ZooKeeper gives connections no
/// tenure, and then the last request of an earlier connection can have the same xid as the first one of this.
// ZooKeeper: CommitProcessor compares only session and cxid, so that a setData is answered with the outcome of a
// create. A transaction that failed tells nothing else, here as there.
fn is_of(request: &Forwarded, txn: &Txn) -> bool {
    let op = txn.header().op;
    // Only the xid is known of a request whose connection is gone, and of a transaction that failed.
    if request.op == OpCode::Error || op == OpCode::Error {
        return true;
    }
    let asked = || {
        let body = request.frame.get(HEADER_BYTES..)?;
        <Option<&[u8]>>::decode(&mut Decoder::new(body)).ok()?
    };
    request.op == op
        && txn.path_ahead().zip(asked()).is_none_or(|(path, asked)| match op {
            // A sequential node has its number behind the path that was asked for.
            OpCode::Create | OpCode::Create2 => path.starts_with(asked),
            _ => path == asked,
        })
}
