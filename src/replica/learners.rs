//! The leader's part for clients of learners: their requests, and which server owns their sessions.

use super::Replica;
use super::cost::Weight;
use super::deferred::Due;
use super::ensemble::Ensemble;
use super::ensemble::ReplicaRole;
use super::pipeline::InFlight;
use super::pipeline::Pipeline;
use super::service::Service;
use super::sessions::Sessions;
use crate::error::ErrorCode;
use crate::id::{ServerId, SessionId, Zxid};
use crate::jute::Jute;
use crate::limits;
use crate::link::LinkId;
use crate::processor::Requester;
use crate::proto::OpCode;
use crate::proto::request::RequestBody;
use crate::proto::txn::Txn;
use crate::session::Tenure;
use crate::time::{MonoUs, Now};
use crate::zab::{ForwardedRequest, SessionScope};

impl Ensemble {
    /// A learner passes on a sync. A Ringkeeper keeps the sync in its session's queue, behind the session's earlier
    /// requests, so it need not wait here for the requests of others. If it does wait here, the session's later
    /// requests wait behind it: a read between the two would otherwise see them.
    pub(super) fn on_forwarded_sync(&mut self, request: &ForwardedRequest) {
        assert!(request.op == OpCode::Sync.number(), "a sync needs no transaction, a write does");
        let deferred = &mut self.deferred;
        let is_ordered_there = request.scope != SessionScope::Unsaid;
        // A learner matches the answers over a link to its syncs by their order.
        if is_ordered_there && !deferred.has_sync_of(request.link) {
            self.peer.answer_sync(request.link);
        } else {
            deferred.push_sync(request);
            self.answer_due();
        }
    }

    /// Answers the syncs and fences that have nothing before them any more.
    fn answer_due(&mut self) {
        while let Some(due) = self.deferred.pop_due() {
            match due {
                Due::Sync(link) => self.peer.answer_sync(link),
                Due::Fence(link) => self.peer.answer_fence(link),
            }
        }
    }

    /// A learner wants to know when everything before its fence is proposed.
    pub(super) fn on_fence(&mut self, link: LinkId) {
        self.deferred.push_fence(link);
        self.answer_due();
    }
}

impl Pipeline {
    /// Whether a leader can have given this tenure: it is not later than the last transaction, and this leader has
    /// given no later turn. Otherwise anybody who reaches the port for learners could keep a client out:
    ///
    /// 1. An intruder says that it has held session S since the last turn that is possible in this epoch.
    /// 2. The client of S reopens it, again and again: each time its turn is earlier, and its server does not get S.
    pub(super) fn may_have_been_given(&self, tenure: Tenure, ensemble: &Ensemble) -> bool {
        let last = self.prep.last();
        let is_of_reign = tenure.since.epoch() == last.epoch();
        tenure.since <= last && (!is_of_reign || tenure.turn <= ensemble.turns)
    }
}

impl Sessions {
    /// A client has taken its session up on a new connection to the server `owner`, in this turn: requests from earlier
    /// connections are refused from now on. If the client already has a later connection, that one keeps the session,
    /// and requests from this one are refused. `None`: the session is unknown, or being closed.
    pub(super) fn give_session(
        &mut self,
        now: Now,
        session: SessionId,
        owner: ServerId,
        timeout_ms: i32,
        turn: u64,
        pipeline: &mut Pipeline,
    ) -> Option<Tenure> {
        let asked = Tenure { since: pipeline.prep.last(), turn };
        let tenure = self.tracker.claim(session, owner, asked).ok()?;
        if tenure == asked {
            self.tracker.touch_with(session, timeout_ms, now.mono);
        }
        assert!(tenure.turn == turn, "a tenure has the turn of its question");
        Some(tenure)
    }

    /// Whether a session may ask for anything through the server `owner`, and whether it may own ephemeral nodes
    /// (`LeaderSessionTracker`).
    // ZooKeeper: if local sessions are enabled, LeaderSessionTracker takes every unknown session of another server for
    // a local one. So a request of a global session from a connection that its client gave up is carried out even
    // behind the session's end.
    pub(super) fn check_session(
        &mut self,
        session: SessionId,
        owner: ServerId,
        scope: SessionScope,
        ensemble: &mut Ensemble,
    ) -> (Result<(), ErrorCode>, Result<(), ErrorCode>) {
        if ensemble.role == ReplicaRole::Alone {
            return (Ok(()), Ok(()));
        }
        let global = self.tracker.check(session, owner);
        let ephemerals = global.map_err(|error| match error {
            ErrorCode::UnknownSession => ErrorCode::SessionExpired,
            error => error,
        });
        let any = match global {
            Err(ErrorCode::UnknownSession) => {
                let of_another_server =
                    self.options.local_sessions && server_of(session) != ensemble.me;
                let local = match scope {
                    SessionScope::Global => false,
                    SessionScope::Local | SessionScope::Unsaid => {
                        self.local.contains(session) || of_another_server
                    }
                };
                if local { Ok(()) } else { Err(ErrorCode::SessionExpired) }
            }
            other => other,
        };
        assert!(
            ephemerals.is_err() || any.is_ok(),
            "who may own ephemeral nodes may ask for others"
        );
        (any, ephemerals)
    }
}

impl Service {
    /// Proposes the next of the learners' requests that wait and have this weight. False: there is none, or no room on
    /// the disk.
    pub(super) fn propose_deferred(&mut self, now: Now, weight: Weight) -> bool {
        if self.pipeline.is_disk_full() {
            return false;
        }
        let next = self.ensemble.deferred.pop(weight);
        if let Some((request, units)) = &next {
            self.work.spend(*units, weight);
            self.propose_forwarded(now, request);
        }
        self.ensemble.answer_due();
        next.is_some()
    }

    /// When the requests and questions of learners that wait can go on.
    pub(super) fn next_deferred(&self) -> Option<MonoUs> {
        let waits = !self.ensemble.deferred.is_empty()
            && !self.pipeline.is_disk_full()
            && self.may_write(Weight::Light);
        (waits || self.ensemble.questions.is_due()).then_some(self.now.mono)
    }

    /// Proposes a learner's request, or its failure.
    fn propose_forwarded(&mut self, now: Now, request: &ForwardedRequest) {
        let role = self.ensemble.role;
        assert!(role == ReplicaRole::Leading, "only a leader proposes for learners");
        let op = OpCode::from_i32(request.op);
        if self.pipeline.in_flight.len() >= limits::PROPOSALS_PENDING_MAX {
            return self.ensemble.peer.leave(now.mono, "too many transactions wait for a quorum");
        }
        // Without a next zxid, the epoch is used up or over. The learner passes the request on again, to the next
        // leader.
        let Some(zxid) = self.ensemble.peer.zxid_after(self.pipeline.prep.last()) else { return };
        assert!(zxid > self.pipeline.prep.last(), "zxids rise");
        let op = op.unwrap_or(OpCode::Error);
        self.stats.count_request(op);
        match op {
            OpCode::CreateSession => self.create_session_for(now, request, zxid),
            OpCode::CloseSession => {
                self.propose_close_session(now, request.session, None, request.cxid, 0);
            }
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig => self.write_for(now, request, zxid, op),
            _ => {
                let txn = self.error_for(now, request, zxid, ErrorCode::Unimplemented);
                self.propose_for(now, request, zxid, op, txn);
            }
        }
    }

    /// Proposes the creation of a session for a learner's client.
    fn create_session_for(&mut self, now: Now, request: &ForwardedRequest, zxid: Zxid) {
        let op = OpCode::CreateSession;
        let Ok(timeout_ms) = i32::from_bytes(&request.body) else {
            let txn = self.error_for(now, request, zxid, ErrorCode::MarshallingError);
            return self.propose_for(now, request, zxid, op, txn);
        };
        self.sessions.tracker.add(request.session, timeout_ms, now.mono);
        // The tracker knows the session by now; it fails only for a session that is being closed, which has no owner.
        let tenure = Tenure { since: zxid, turn: 0 };
        let _ = self.sessions.tracker.set_owner(request.session, request.server, tenure);
        let (database, wall) = (&self.database, now.wall);
        let txn = self.pipeline.prep.prepare_create_session(
            database,
            wall,
            zxid,
            request.session,
            timeout_ms,
        );
        self.propose_for(now, request, zxid, op, txn);
    }

    /// Proposes a write of a learner's client, or the error that refuses it.
    fn write_for(&mut self, now: Now, request: &ForwardedRequest, zxid: Zxid, op: OpCode) {
        let (allowed, allowed_ephemerals) = self.sessions.check_session(
            request.session,
            request.server,
            request.scope,
            &mut self.ensemble,
        );
        let requester = Requester {
            session: request.session,
            cxid: request.cxid,
            identities: &request.identities,
            allowed,
            allowed_ephemerals,
        };
        let txn = match RequestBody::decode(op, &request.body) {
            Ok(Some(body)) => self.prepare(now, zxid, &requester, op, &body),
            // ZooKeeper: PrepRequestProcessor logs the error under the zxid before, which then comes twice. Here it
            // gets a zxid of its own: what counts is that the learner hears of the error.
            Ok(None) | Err(_) => {
                self.stats.requests_malformed += 1;
                self.error_for(now, request, zxid, ErrorCode::MarshallingError)
            }
        };
        self.propose_for(now, request, zxid, op, txn);
    }

    /// The transaction that tells a learner that a request has failed.
    fn error_for(
        &mut self,
        now: Now,
        request: &ForwardedRequest,
        zxid: Zxid,
        error: ErrorCode,
    ) -> Txn {
        let requester = Requester {
            session: request.session,
            cxid: request.cxid,
            identities: &request.identities,
            allowed: Ok(()),
            allowed_ephemerals: Ok(()),
        };
        self.pipeline.prep.prepare_error(&self.database, now.wall, zxid, &requester, error)
    }

    /// Proposes the transaction that a learner's request became.
    fn propose_for(
        &mut self,
        now: Now,
        request: &ForwardedRequest,
        zxid: Zxid,
        op: OpCode,
        txn: Txn,
    ) {
        assert!(txn.zxid() == zxid, "{zxid} was prepared, and {} came out", txn.zxid());
        let request = InFlight {
            zxid,
            digest_before: 0,
            op,
            slot: None,
            session: request.session,
            xid: request.cxid,
            arrived: now.mono,
            large: 0,
            audit: None,
        };
        self.propose(txn, request);
    }
}

impl Replica {
    /// A learner passes a request on.
    pub(super) fn on_forwarded_request(&mut self, now: Now, request: ForwardedRequest) {
        if self.service.ensemble.role != ReplicaRole::Leading {
            tracing::debug!(
                server = request.server.0,
                "dropping a learner's request: this server does not lead"
            );
            return;
        }
        if OpCode::from_i32(request.op) == Some(OpCode::Sync) {
            return self.service.ensemble.on_forwarded_sync(&request);
        }
        let units = self.service.units_of_forwarded(&request);
        let weight = Weight::of(units);
        let waits = !self.service.ensemble.deferred.is_empty()
            || self.service.pipeline.is_disk_full()
            || !self.service.may_write(weight);
        if waits || !self.service.work.claim(units, weight) {
            return self.defer(now, request, units);
        }
        self.service.propose_forwarded(now, &request);
    }

    /// Keeps a request until there is room on the disk, or until its turn comes. It has no zxid yet, so nobody waits
    /// for it but the learner that has sent it.
    fn defer(&mut self, now: Now, request: ForwardedRequest, units: u32) {
        self.service.ensemble.deferred.push(request, units);
        assert!(!self.service.ensemble.deferred.is_empty(), "a request that is kept waits");
        if !self.service.ensemble.deferred.is_too_much() {
            return;
        }
        if self.service.pipeline.is_disk_full() {
            self.service
                .ensemble
                .peer
                .leave(now.mono, "the disk is full, and too many requests wait for room");
        } else {
            // Turns become longer, but no more requests wait.
            let _ = self.service.propose_deferred(now, Weight::Light)
                || self.service.propose_deferred(now, Weight::Heavy);
            self.on_deferred_proposed(now);
        }
    }

    /// Requests of learners were proposed: answers the questions that waited for them.
    pub(super) fn on_deferred_proposed(&mut self, now: Now) {
        self.service.ensemble.questions.on_decided();
        self.answer_questions(now);
    }
}

/// The server that has made a session's id.
fn server_of(session: SessionId) -> ServerId {
    ServerId(session.0 >> 56)
}
