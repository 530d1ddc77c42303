//! Sessions: how they begin, are reopened, end and expire.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Stats;
use super::clients::Clients;
use super::connection::{ClientRequest, Connection, Slot, State, Waiting};
use super::ensemble::ReplicaRole;
use super::pipeline::InFlight;
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

/// The sessions that this server decides about, or keeps for its leader.
pub(super) struct Sessions {
    pub options: Rc<ReplicaOptions>,
    /// The bounds of the timeouts that clients negotiate.
    pub timeouts: Timeouts,
    /// On a server that makes transactions: every global session, and when it expires. On a learner: none.
    pub tracker: Tracker,
    /// The ids of the sessions that begin here.
    pub ids: IdGenerator,
    /// The sessions that only this server knows, and when each expires.
    pub local: Tracker,
    /// Local sessions on their way to become global ones, until their beginning is applied or taken back.
    ///
    /// Invariant: a session that joins has just left `local`.
    pub upgrading: BTreeSet<SessionId>,
    /// The first id given since this server last began to serve readers without a leader. Ids rise, so the sessions
    /// from here on were made for readers.
    pub first_reader: SessionId,
    /// The disk has room again, and the beginnings of some sessions are still to be logged.
    pub unlogged_left: bool,
    /// The zxid of the last end that was proposed because a session had expired.
    pub expired_up_to: Zxid,
    /// Sessions that have just expired; kept for its allocation.
    ///
    /// Invariant: empty unless sessions are being expired.
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

impl Clients {
    /// Writes the answer to a connect request.
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
    /// A connection reopens a session that no other connection here has.
    fn take_session_up(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        session: SessionId,
    ) {
        assert!(session != SessionId::NONE, "a session that is reopened has an id");
        assert!(connection.queue.is_empty(), "nothing waits before its session is there");
        self.stats.sessions_reopened += 1;
        connection.session = session;
        self.ensemble.adopt_orphans(now, connection);
        // ZooKeeper keeps the order by session, not by connection: what the client reads here must
        // not be older than what it wrote there.
        let last_write =
            self.pipeline.in_flight.iter().rev().find(|request| request.session == session);
        connection.floor = last_write.map_or(Zxid::ZERO, |request| request.zxid);
        let before = self.clients.by_session.insert(session, slot);
        assert!(before.is_none(), "the session's connection before this one is closed");
        self.begin_requests(slot, connection);
    }

    /// Decodes a connect request, and decides whether its client is let in. `None`: the client is refused.
    fn admit<'f>(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        frame: &'f [u8],
    ) -> Option<ConnectRequest<'f>> {
        assert_eq!(connection.state, State::New, "only the first frame is a connect request");
        self.work.add(limits::CONNECT_WORK_UNITS);
        let Ok(request) = ConnectRequest::from_bytes(frame) else {
            self.reject(slot, connection, "its first frame is not a connect request");
            return None;
        };
        if self.shutting_down || !self.ensemble.serves() {
            self.close_connection(slot, connection);
            return None;
        }
        // ZooKeeper: a client that gets no answer tries another server.
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
        // A client must not be led back in time. It gets no answer, and tries another server.
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
        // ZooKeeper: ZooKeeperServer.processConnectRequest sets the timeout before there is a session.
        self.clients.silence.watch(now.mono, slot, connection.heard, connection.timeout_ms);
        Some(request)
    }

    /// Begins the session of a new connection. True: the session is there at once, and the caller has to call
    /// [`Replica::on_session_created`].
    fn create_session(&mut self, now: Now, slot: Slot, connection: &mut Connection) -> bool {
        assert!(connection.session == SessionId::NONE, "a connection begins one session");
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

    /// Proposes the session of a connection, or asks the leader to. True: the disk has no room for its beginning, and
    /// the session is there at once, known to this server alone.
    pub(super) fn propose_create_session(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
    ) -> bool {
        let session = connection.session;
        assert!(session != SessionId::NONE, "a session that begins has an id");
        assert_eq!(connection.state, State::Connecting, "a session begins once");
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
        let tenure = Tenure { since: zxid, turn: 0 };
        // The session has just been added, so this cannot fail.
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
            audit: None,
        };
        self.propose(txn, request);
        false
    }

    /// Tells a client that its session is over, and closes the connection.
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

    /// Tells a client that its session is there: requests are carried out from now on.
    pub(super) fn begin_requests(&mut self, slot: Slot, connection: &mut Connection) {
        assert!(connection.is_open(), "a closed connection makes no requests");
        assert!(connection.session != SessionId::NONE, "requests belong to a session");
        connection.state = State::Ready;
        connection.epoch = self.ensemble.epoch;
        // The client could only wait until now, so its silence does not count.
        connection.heard = self.now.mono;
        // This response answers the connect request.
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
                // The body of a closeSession means nothing, so it is not passed on.
                self.forward(
                    now,
                    slot,
                    connection,
                    ClientRequest { body: &[], ..request },
                    None,
                    None,
                );
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

    /// Proposes the end of a session. False: the disk is full, or the epoch is over.
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
            audit: None,
        };
        self.propose(txn, request);
        true
    }
}

impl Replica {
    /// Handles the first frame of a connection.
    pub(super) fn on_connect_request(&mut self, now: Now, slot: Slot, frame: &[u8]) {
        let Some((connection, service)) = self.one(slot) else { return };
        // The client is refused, and its connection is being closed.
        let Some(request) = service.admit(now, slot, connection, frame) else { return };
        if request.session_id != SessionId::NONE {
            self.reopen_session(now, slot, &request);
        } else if service.create_session(now, slot, connection) {
            self.on_session_created(now, slot);
        }
    }

    /// Lets a client continue its session on a new connection, or finds out whether it may.
    fn reopen_session(&mut self, now: Now, slot: Slot, request: &ConnectRequest<'_>) {
        let Some((connection, service)) = self.one(slot) else { return };
        let session = request.session_id;
        // The password comes first: ZooKeeper closes the session's other connection before it checks the password,
        // so that anybody who guesses an id can cut a client off.
        if request.password != Some(&password(session)[..]) {
            return service.refuse_session(slot, connection, session);
        }
        // Whatever becomes of this connection, the client has left the one before it. Requests that still arrive there
        // must not be passed on behind the question to whom this session belongs:
        //
        // 1. The client reopens its session here, gives up, continues at another server, and writes.
        // 2. A part of what it sent on the first connection arrives only now, and is passed on.
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
            // ZooKeeper: a global session is not refused, because it may continue at another server.
            ReplicaRole::Looking if service.database.session_timeout(session).is_some() => {
                service.close_connection(slot, connection);
            }
            // ZooKeeper: ReadOnlyZooKeeperServer says that a session which it does not know has expired. But this
            // server may only not have heard of the session yet. With local sessions (the next arm) the session may be
            // known to another server alone, and its client has to give it up before it can read here. Then a session
            // that became global elsewhere, and is not known here yet, is called expired too early.
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

    /// Finds out, here or from the leader, whether the session of a connection is alive and belongs to the
    /// connection. `kept`: since when it has, if it did before this leader led.
    pub(super) fn confirm_session(&mut self, now: Now, slot: Slot, kept: Option<Tenure>) {
        let Some((connection, service)) = self.one(slot) else { return };
        let (session, timeout_ms) = (connection.session, connection.timeout_ms);
        assert!(session != SessionId::NONE, "a session that is asked about has an id");
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
        assert!(!slots.is_empty(), "a session is listed while a question about it is under way");
        let slot = slots.pop_front().expect("the list is not empty");
        let is_last = slots.is_empty();
        if is_last {
            self.service.ensemble.revalidating.remove(&session);
        }
        // The client has closed its socket, and needs no answer.
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if !is_last {
            // A later connection asks about the same session: the client has left this one.
            self.service.close_connection(slot, connection);
        } else if connection.is_open() {
            self.on_session_confirmed(now, slot, valid, tenure);
        }
    }

    /// A client has continued its session at an observer that learns from this follower. The leader takes such an
    /// observer for the follower itself, so it refuses nothing that comes from here:
    ///
    /// ```text
    /// 1. There is a new leader. A write of session S waits here until the leader says whose S is.
    /// 2. S's client cannot reach this server, reopens S at an observer, and writes.
    /// 3. The leader says that S is this server's, and the write of step 1 is passed on behind that of
    ///    step 2.
    /// ```
    /// So the session's connections here are closed.
    pub(super) fn on_taken_up_at_observer(&mut self, session: SessionId) {
        if let Some(slot) = self.service.clients.by_session.remove(&session) {
            self.close(slot);
        }
        // The leader still answers their questions, so the entry stays.
        let asking = self.service.ensemble.revalidating.get(&session).cloned().unwrap_or_default();
        for slot in asking {
            self.close(slot);
        }
    }

    /// The answer to a connection's question about its session has come. `valid`: the session is alive and the
    /// connection's, since `tenure` if its leader keeps tenures.
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

    /// A connection reopens a session; another one here that has the session is closed.
    fn take_session_up(&mut self, now: Now, slot: Slot, session: SessionId) {
        if let Some(old) = self.service.clients.by_session.remove(&session) {
            self.close(old);
        }
        if let Some((connection, service)) = self.one(slot) {
            service.take_session_up(now, slot, connection, session);
        }
    }

    /// The session of a connection is there: the client is told, and the frames that it sent meanwhile are handled.
    pub(super) fn on_session_created(&mut self, now: Now, slot: Slot) {
        let Some((connection, service)) = self.one(slot) else { return };
        assert_eq!(connection.state, State::Connecting, "only a session that is awaited begins");
        service.begin_requests(slot, connection);
        let early = std::mem::take(&mut connection.early);
        connection.held_bytes = 0;
        self.on_frames(now, slot, &early);
    }

    /// A session is over: its connection, if it still has one, is closed behind the bytes written so far.
    pub(super) fn on_session_closed(&mut self, session: SessionId) {
        self.service.sessions.tracker.remove(session);
        self.service.ensemble.questions.on_decided();
        self.service.ensemble.touched.remove(&session);
        if let Some(slot) = self.service.clients.by_session.remove(&session) {
            self.close(slot);
        }
        self.service.ensemble.passed_on.drop_orphans(session);
    }
}
