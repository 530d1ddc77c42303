//! Sessions: how they begin, are taken up again, end and expire.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Stats;
use super::clients::Clients;
use super::connection::{ClientRequest, Connection, Slot, State, Waiting};
use super::cost::Weight;
use super::ensemble::ReplicaRole;
use super::pipeline::InFlight;
use super::pipeline::Pipeline;
use super::service::Service;
use super::{Replica, ReplicaOptions};
use crate::error::ErrorCode;
use crate::id::{SessionId, Zxid};
use crate::jute::Jute;
use crate::limits;
use crate::proto::OpCode;
use crate::proto::connect::{ConnectRequest, ConnectResponse};
use crate::session::{IdGenerator, Tenure, Timeouts, Tracker, password};
use crate::time::Now;

/// Sessions that expire in one turn, at most. Each costs 6 µs here and as much again when its end is
/// applied, so this is two milliseconds; when ten thousand clients vanish, the others go on meanwhile.
pub(super) const SESSIONS_EXPIRED_AT_ONCE_MAX: usize = 200;

/// The sessions that this server decides about, or keeps for its leader.
pub(super) struct Sessions {
    pub options: Rc<ReplicaOptions>,
    pub timeouts: Timeouts,
    /// Where sessions are decided about: every session, and when it expires. On a learner: none.
    pub tracker: Tracker,
    pub ids: IdGenerator,
    /// Sessions that only this server knows.
    pub local: Tracker,
    /// Local sessions on their way to become global ones.
    ///
    /// Invariant: each is in `local`.
    pub upgrading: BTreeSet<SessionId>,
    /// The first session of the time in which only readers were served, and all after it.
    pub first_reader: SessionId,
    /// There is room again, and beginnings of sessions are still to be logged.
    pub unlogged_left: bool,
    /// The last end of a session that was proposed because nothing was heard of it.
    pub expired_up_to: Zxid,
    /// Sessions that are to end; kept for its allocation.
    pub expired: Vec<SessionId>,
}

impl Sessions {
    pub fn new(options: &Rc<ReplicaOptions>, now: Now) -> Sessions {
        Sessions {
            options: Rc::clone(options),
            timeouts: Timeouts {
                min_ms: options.session_timeout_ms_min,
                max_ms: options.session_timeout_ms_max,
            },
            tracker: Tracker::new(options.tick_ms),
            ids: IdGenerator::new(options.server_id, now.wall.0),
            local: Tracker::new(options.tick_ms),
            upgrading: BTreeSet::new(),
            first_reader: SessionId::NONE,
            unlogged_left: false,
            expired_up_to: Zxid::ZERO,
            expired: Vec::new(),
        }
    }
}

impl Sessions {
    /// Whether the ends of sessions that were proposed last are all applied, or nobody waits for them
    /// any more. Until then no others are proposed: they would be applied in one piece.
    pub(super) fn may_expire(&self, pipeline: &Pipeline) -> bool {
        pipeline.in_flight.front().is_none_or(|request| request.zxid > self.expired_up_to)
    }
}

impl Clients {
    pub(super) fn respond(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        response: ConnectResponse,
        stats: &mut Stats,
    ) {
        self.prepare_buffer(slot, connection);
        response.encode_frame(&mut connection.out);
        connection.sent += 1;
        stats.packets_sent += 1;
    }
}

impl Service {
    /// A connection takes up a session that no other connection here has.
    fn take_session_up(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        session: SessionId,
    ) {
        self.stats.sessions_reopened += 1;
        connection.session = session;
        self.ensemble.adopt_orphans(now, connection);
        // ZooKeeper keeps the order by session, not by connection: what the client reads here must
        // not be older than what it wrote there.
        let last_write =
            self.pipeline.in_flight.iter().rev().find(|request| request.session == session);
        connection.floor = last_write.map_or(Zxid::ZERO, |request| request.zxid);
        self.clients.by_session.insert(session, slot);
        self.begin_requests(slot, connection);
    }

    /// What a connect request asks for. `None`: it is refused.
    fn admit<'f>(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        frame: &'f [u8],
    ) -> Option<ConnectRequest<'f>> {
        self.work.add(limits::CONNECT_WORK_UNITS);
        let Ok(request) = ConnectRequest::from_bytes(frame) else {
            self.reject(slot, connection, "its first frame is no connect request");
            return None;
        };
        if self.shutting_down || !self.ensemble.serves() {
            self.close_connection(slot, connection);
            return None;
        }
        // ZooKeeper: told nothing, such a client tries another server.
        if self.ensemble.read_only && request.read_only != Some(true) {
            self.close_connection(slot, connection);
            return None;
        }
        if !self.clients.throttle.admit(now.mono, request.session_id != SessionId::NONE) {
            if let Some(unsaid) = self.lines.allow(self.now.mono) {
                tracing::warn!(
                    conn = slot.id.0, remote = %connection.remote,
                    unsaid, "refusing a session: too many at once (connection_throttle_tokens)"
                );
            }
            self.stats.connections_rejected += 1;
            self.close_connection(slot, connection);
            return None;
        }
        connection.read_only = request.read_only;
        // A client must not be led back in time. It is told nothing: it tries another server.
        if request.last_zxid_seen > self.database.last_processed() {
            if let Some(unsaid) = self.lines.allow(self.now.mono) {
                tracing::info!(
                    conn = slot.id.0, remote = %connection.remote, session = %request.session_id,
                    seen = %request.last_zxid_seen, ours = %self.database.last_processed(),
                    unsaid, "refusing a session: the client has seen a newer zxid"
                );
            }
            self.stats.connections_rejected += 1;
            self.close_connection(slot, connection);
            return None;
        }
        connection.timeout_ms = self.sessions.timeouts.clamp(request.timeout_ms);
        // ZooKeeper: ZooKeeperServer.processConnectRequest sets the timeout before the session is there.
        self.clients.silence.watch(now.mono, slot, connection.heard, connection.timeout_ms);
        Some(request)
    }

    /// Begins the session of a new connection. True: it is there at once, but for what is said of it.
    fn create_session(&mut self, now: Now, slot: Slot, connection: &mut Connection) -> bool {
        if self.options.local_sessions && self.ensemble.role != ReplicaRole::Alone {
            self.create_local_session(now, slot, connection);
            return false;
        }
        if self.ensemble.role == ReplicaRole::Looking {
            self.reject(slot, connection, "no new session without a leader");
            return false;
        }
        self.stats.count_request(OpCode::CreateSession);
        connection.session = self.sessions.ids.next();
        connection.state = State::Connecting;
        self.propose_create_session(now, slot, connection)
    }

    /// Proposes the session of a connection, so that every server knows it. True: there is no room to log it, and it is
    /// there at once.
    pub(super) fn propose_create_session(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
    ) -> bool {
        let session = connection.session;
        connection.epoch = self.ensemble.epoch;
        if self.ensemble.is_learning() {
            self.clients.by_session.insert(session, slot);
            self.forward_create_session(now, slot, connection);
            return false;
        }
        if self.pipeline.epoch_is_over(&self.ensemble) {
            self.park(now, slot, connection);
            return false;
        }
        let Some(zxid) = self.pipeline.next_zxid_for_write(&mut self.ensemble) else {
            self.stats.writes_refused_disk_full += 1;
            let begins = self.begin_unlogged_session(now, slot, connection);
            if !begins {
                let reason = "no new session: the disk of this leader is full, and until there is \
                              room another server has to lead";
                self.reject(slot, connection, reason);
            }
            return begins;
        };
        self.sessions.tracker.add(session, connection.timeout_ms, now.mono);
        // It has just been added.
        let tenure = Tenure { since: zxid, turn: 0 };
        let _ = self.sessions.tracker.set_owner(session, self.ensemble.me, tenure);
        self.clients.by_session.insert(session, slot);
        let digest_before = self.pipeline.prep.digest();
        let txn = self.pipeline.prep.prepare_create_session(
            &self.database,
            now.wall,
            zxid,
            session,
            connection.timeout_ms,
        );
        let request = InFlight {
            zxid,
            digest_before,
            op: OpCode::CreateSession,
            slot: Some(slot),
            session,
            xid: 0,
            arrived: now.mono,
            large: 0,
        };
        self.propose(txn, request);
        false
    }

    fn refuse_session(&mut self, slot: Slot, connection: &mut Connection, session: SessionId) {
        if let Some(unsaid) = self.lines.allow(self.now.mono) {
            tracing::info!(
                conn = slot.id.0, remote = %connection.remote, %session,
                unsaid, "refusing a session: unknown, expired or a wrong password"
            );
        }
        let read_only = connection.read_only.map(|_| self.ensemble.read_only);
        self.clients.respond(
            slot,
            connection,
            ConnectResponse::refused(read_only),
            &mut self.stats,
        );
        self.close_connection(slot, connection);
    }

    pub(super) fn begin_requests(&mut self, slot: Slot, connection: &mut Connection) {
        connection.state = State::Ready;
        connection.epoch = self.ensemble.epoch;
        // Until now it could only wait.
        connection.heard = self.now.mono;
        // The connect request.
        connection.answered += 1;
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: connection.timeout_ms,
            session_id: connection.session,
            password: password(connection.session),
            read_only: connection.read_only.map(|_| self.ensemble.read_only),
        };
        self.clients.respond(slot, connection, response, &mut self.stats);
    }

    /// A client closes its session.
    pub(super) fn on_close_session(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        request: ClientRequest<'_>,
    ) {
        let session = connection.session;
        if connection.local {
            return self.close_local_session(now, slot, connection, request);
        }
        match self.ensemble.role {
            ReplicaRole::Looking => {
                return self.refuse_read_only(now, slot, connection, request);
            }
            ReplicaRole::Learning => {
                // Its body says nothing, whatever is in it.
                self.forward(now, slot, connection, ClientRequest { body: &[], ..request }, None);
                if connection.is_open() {
                    connection.state = State::Ending;
                }
                return;
            }
            ReplicaRole::Alone | ReplicaRole::Leading => {}
        }
        if !self.propose_close_session(now, session, Some(slot), request.xid, request.large) {
            let answer = request.refusal(ErrorCode::SystemError);
            return self.answer_in_turn(now, slot, connection, answer, Zxid::ZERO);
        }
        connection.queue.push_back(Waiting::Write);
        connection.state = State::Ending;
    }

    /// Proposes the end of a session. False: the disk is full.
    pub(super) fn propose_close_session(
        &mut self,
        now: Now,
        session: SessionId,
        slot: Option<Slot>,
        xid: i32,
        large: u32,
    ) -> bool {
        let Some(zxid) = self.pipeline.next_zxid_for_write(&mut self.ensemble) else {
            self.stats.writes_refused_disk_full += 1;
            return false;
        };
        let digest_before = self.pipeline.prep.digest();
        let (database, wall) = (&self.database, now.wall);
        let txn = self.pipeline.prep.prepare_close_session(database, wall, zxid, session, xid);
        self.sessions.tracker.set_closing(session);
        let request = InFlight {
            zxid,
            digest_before,
            op: OpCode::CloseSession,
            slot,
            session,
            xid,
            arrived: now.mono,
            large,
        };
        self.propose(txn, request);
        true
    }
}

impl Replica {
    /// The first frame of a connection.
    pub(super) fn on_connect_request(&mut self, now: Now, slot: Slot, frame: &[u8]) {
        let Some((connection, service)) = self.one(slot) else { return };
        let Some(request) = service.admit(now, slot, connection, frame) else { return };
        if request.session_id != SessionId::NONE {
            self.reopen_session(now, slot, &request);
        } else if service.create_session(now, slot, connection) {
            self.on_session_created(now, slot);
        }
    }

    fn reopen_session(&mut self, now: Now, slot: Slot, request: &ConnectRequest<'_>) {
        let Some((connection, service)) = self.one(slot) else { return };
        let session = request.session_id;
        // The password first: ZooKeeper closes the session's other connection before it looks,
        // so that anybody who guesses an id can cut a client off.
        if request.password != Some(&password(session)[..]) {
            return service.refuse_session(slot, connection, session);
        }
        // Whatever becomes of this connection, the client has left the one before it. What is still to
        // arrive there must not be passed on behind the question whose this session is:
        //
        // 1. The client reopens its session here, gives up, goes on at another server, and writes.
        // 2. Part of what it sent on the first connection arrives only now, and is passed on.
        // 3. The question of step 1 reaches the leader late: the session is this server's again, and the
        //    write of step 2 comes behind those of step 1.
        if let Some(old) = service.clients.by_session.remove(&session) {
            self.close(old);
        }
        let Some((connection, service)) = self.one(slot) else { return };
        let timeout_ms = connection.timeout_ms;
        if service.sessions.local.contains(session) {
            if !service.sessions.local.touch_with(session, timeout_ms, now.mono) {
                return service.refuse_session(slot, connection, session);
            }
            connection.local = true;
            return self.take_session_up(now, slot, session);
        }
        match service.ensemble.role {
            // ZooKeeper: a global session is not refused, it may go on elsewhere.
            ReplicaRole::Looking if service.database.session_timeout(session).is_some() => {
                service.close_connection(slot, connection);
            }
            // ZooKeeper: ReadOnlyZooKeeperServer says that it has expired. This server may only not have
            // heard of it. With local sessions it may be one of another reader's, which its client has
            // to give up before it can read here; of one that became global elsewhere and is not
            // known here yet, this is said too early.
            ReplicaRole::Looking if !service.options.local_sessions => {
                service.close_connection(slot, connection);
            }
            ReplicaRole::Looking => service.refuse_session(slot, connection, session),
            ReplicaRole::Learning | ReplicaRole::Alone | ReplicaRole::Leading => {
                connection.session = session;
                connection.state = State::Reopening;
                self.confirm_session(now, slot, None);
            }
        }
    }

    /// Finds out, here or from the leader, whether the session of a connection is alive and the
    /// connection's: `kept`, if it was so before there was this leader.
    pub(super) fn confirm_session(&mut self, now: Now, slot: Slot, kept: Option<Tenure>) {
        let Some((connection, service)) = self.one(slot) else { return };
        let (session, timeout_ms) = (connection.session, connection.timeout_ms);
        if service.ensemble.is_learning() {
            service.ensemble.revalidating.entry(session).or_default().push_back(slot);
            return service.ensemble.peer.revalidate(session, timeout_ms, kept);
        }
        if let Some(owns) = service.ask_here(now, slot, session, timeout_ms, kept) {
            self.on_session_confirmed(now, slot, owns.is_some(), owns);
        }
    }

    /// The leader's answer to the oldest question about a session.
    pub(super) fn on_revalidated(
        &mut self,
        now: Now,
        session: SessionId,
        valid: bool,
        tenure: Option<Tenure>,
    ) {
        let Some(slots) = self.service.ensemble.revalidating.get_mut(&session) else {
            tracing::warn!(%session, "the leader answers a question that was not asked");
            return;
        };
        let slot = slots.pop_front();
        let is_last = slots.is_empty();
        if is_last {
            self.service.ensemble.revalidating.remove(&session);
        }
        let Some(slot) = slot else { return };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if !is_last {
            // The client has left this connection as well.
            self.service.close_connection(slot, connection);
        } else if connection.is_open() {
            self.on_session_confirmed(now, slot, valid, tenure);
        }
    }

    /// A client has gone on at an observer that learns from this follower, which to the leader is this
    /// follower as well: it refuses nothing that comes from here.
    ///
    /// ```text
    /// 1. There is a new leader. A write of session S waits here until it says whose S is.
    /// 2. S's client cannot reach this server, reopens S at an observer, and writes.
    /// 3. The leader says that S is this server's, and the write of step 1 is passed on behind that of
    ///    step 2.
    /// ```
    pub(super) fn on_taken_up_at_observer(&mut self, session: SessionId) {
        if let Some(slot) = self.service.clients.by_session.remove(&session) {
            self.close(slot);
        }
        // The answers come all the same.
        let asking = self.service.ensemble.revalidating.get(&session).cloned().unwrap_or_default();
        for slot in asking {
            self.close(slot);
        }
    }

    pub(super) fn on_session_confirmed(
        &mut self,
        now: Now,
        slot: Slot,
        valid: bool,
        tenure: Option<Tenure>,
    ) {
        let Some((connection, service)) = self.one(slot) else { return };
        let session = connection.session;
        match (connection.state, valid) {
            (State::Reopening, true) => {
                connection.tenure = tenure;
                let early = std::mem::take(&mut connection.early);
                connection.held_bytes = 0;
                self.take_session_up(now, slot, session);
                if !early.is_empty() {
                    self.on_frames(now, slot, &early);
                }
            }
            (State::Reopening, false) => service.refuse_session(slot, connection, session),
            (_, true) if connection.parked.is_some() => self.unpark(now, slot),
            (_, true) => {}
            (_, false) => service.close_connection(slot, connection),
        }
    }

    fn take_session_up(&mut self, now: Now, slot: Slot, session: SessionId) {
        if let Some(old) = self.service.clients.by_session.remove(&session) {
            self.close(old);
        }
        if let Some((connection, service)) = self.one(slot) {
            service.take_session_up(now, slot, connection, session);
        }
    }

    /// The session is there: the client is told, and what it sent meanwhile is looked at.
    pub(super) fn on_session_created(&mut self, now: Now, slot: Slot) {
        let Some((connection, service)) = self.one(slot) else { return };
        assert_eq!(connection.state, State::Connecting);
        service.begin_requests(slot, connection);
        let early = std::mem::take(&mut connection.early);
        connection.held_bytes = 0;
        self.on_frames(now, slot, &early);
    }

    /// Closes sessions that nothing was heard of for their timeout, so many that it takes a
    /// millisecond or two; the others follow when those are gone.
    pub(super) fn expire_sessions(&mut self, now: Now) {
        if self.service.shutting_down {
            return;
        }
        self.expire_local_sessions(now);
        if !self.service.ensemble.proposes()
            || !self.service.sessions.may_expire(&self.service.pipeline)
        {
            return;
        }
        let mut expired = std::mem::take(&mut self.service.sessions.expired);
        for _ in 0..SESSIONS_EXPIRED_AT_ONCE_MAX {
            // Each may own many nodes.
            if !self.service.may_write(Weight::Heavy) || !self.service.work.may_end_a_session() {
                break;
            }
            self.service.sessions.tracker.expire(now.mono, 1, &mut expired);
            if expired.is_empty() {
                // Those that live on were looked at, some at a time.
                if self.service.sessions.tracker.next_expiry().is_none_or(|at| at > now.mono) {
                    break;
                }
                continue;
            }
            self.end_expired(now, &mut expired);
            if !self.service.may_write(Weight::Heavy) {
                self.service.work.on_long_end();
            }
        }
        self.service.sessions.expired = expired;
        self.answer_questions(now);
    }

    fn end_expired(&mut self, now: Now, expired: &mut Vec<SessionId>) {
        for session in expired.drain(..) {
            if let Some(unsaid) = self.service.lines.allow(self.service.now.mono) {
                tracing::info!(%session, unsaid, "expiring a session");
            }
            if self.service.propose_close_session(now, session, None, 0, 0) {
                self.service.stats.sessions_expired += 1;
                let last = self.service.pipeline.in_flight.back().map(|request| request.zxid);
                self.service.sessions.expired_up_to =
                    last.unwrap_or(self.service.sessions.expired_up_to);
            } else {
                // No room on the disk for its end: it lives on for a timeout.
                self.revive_session(now, session);
            }
        }
    }

    /// A session whose end could not be logged is as it was.
    pub(super) fn revive_session(&mut self, now: Now, session: SessionId) {
        self.service.sessions.tracker.revive(session, now.mono);
        if let Some(&slot) = self.service.clients.by_session.get(&session)
            && self.connections.get(slot).is_some_and(|connection| connection.dropped)
        {
            self.close(slot);
        }
        self.service.ensemble.questions.on_decided();
    }

    /// A session is gone: its connection, if it still has one, is closed after `last_reply`.
    pub(super) fn on_session_closed(&mut self, session: SessionId) {
        self.service.sessions.tracker.remove(session);
        self.service.ensemble.questions.on_decided();
        self.service.ensemble.touched.remove(&session);
        if let Some(slot) = self.service.clients.by_session.remove(&session) {
            self.close(slot);
        }
        self.service.ensemble.passed_on.take_orphans(session);
    }
}
