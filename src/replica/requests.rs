//! Requests as they arrive: each is decoded and told apart, and a write is proposed.

use super::Replica;
use super::clients::Clients;
use super::connection::{Answer, ClientRequest, Connection, Slot, State, Waiting};
use super::ensemble::Ensemble;
use super::ensemble::ReplicaRole;
use super::pipeline::InFlight;
use super::pipeline::Pipeline;
use super::service::Service;
use super::sessions::Sessions;
use super::warm::{WARMED_TOGETHER, warm};
use crate::error::ErrorCode;
use crate::id::{ConnectionId, SessionId, Zxid};
use crate::jute::{DecodeError, Decoder, Jute};
use crate::planted::{self, PlantedBug};
use crate::processor::read;
use crate::processor::{Beyond, ReconfigFacts, Requester};
use crate::proto::OpCode;
use crate::proto::request::{NULL_ACL_IN_MULTI, RequestBody, RequestHeader};
use crate::proto::txn::Txn;
use crate::time::Now;

/// Length of the length before a frame.
const LENGTH_BYTES: usize = 4;

impl Clients {
    /// Counts a request of `bytes` among the large ones, if it is one, and returns the bytes that it claims. `None`:
    /// too many are under way already.
    pub(super) fn claim_large(&mut self, bytes: usize) -> Option<u32> {
        // Without the option no request counts as large.
        let Some(threshold) = self.options.large_request_bytes else { return Some(0) };
        let bytes = u32::try_from(bytes).expect("a frame's length comes in 4 bytes");
        if bytes <= threshold {
            return Some(0);
        }
        if self.large_bytes + bytes as usize > self.options.large_requests_bytes_max {
            return None;
        }
        self.large_bytes += bytes as usize;
        Some(bytes)
    }

    /// Gives back what a request has claimed.
    pub(super) fn release_large(&mut self, bytes: u32) {
        assert!(
            bytes as usize <= self.large_bytes,
            "a large request has claimed what it gives back"
        );
        self.large_bytes -= bytes as usize;
    }
}

impl Pipeline {
    /// Whether this leader makes no more transactions in its epoch: all zxids of the epoch are used up, or the leader
    /// is about to stop leading.
    pub(super) fn epoch_is_over(&self, ensemble: &Ensemble) -> bool {
        ensemble.role == ReplicaRole::Leading
            && !self.is_disk_full()
            && ensemble.peer.zxid_after(self.prep.last()).is_none()
    }

    /// The zxid of a new write. `None`: the disk is full, or the epoch is over.
    pub(super) fn next_zxid_for_write(&mut self, ensemble: &mut Ensemble) -> Option<Zxid> {
        if self.is_disk_full() {
            return None;
        }
        let last = self.prep.last();
        let next = ensemble.peer.zxid_after(last);
        assert!(next.is_none_or(|next| next > last), "a new write comes behind {last}");
        next
    }
}

impl Sessions {
    /// A connection's session has shown a sign of life.
    pub(super) fn touch(&mut self, now: Now, connection: &Connection, ensemble: &mut Ensemble) {
        let (session, timeout_ms) = (connection.session, connection.timeout_ms);
        assert!(session != SessionId::NONE, "only a connection with a session is heard of");
        if connection.local {
            self.local.touch_with(session, timeout_ms, now.mono);
        } else if ensemble.proposes() {
            // A session that is being closed cannot be touched, and lives no longer for that.
            self.tracker.touch_with(session, timeout_ms, now.mono);
        } else {
            ensemble.touched.insert(session, timeout_ms);
        }
    }
}

impl Service {
    /// Lets frames wait, which are given in pieces.
    fn keep_early(&mut self, slot: Slot, connection: &mut Connection, pieces: &[&[u8]]) {
        assert!(connection.is_open(), "a closed connection keeps no frames");
        if self.clients.holds_too_much(connection) {
            return self.reject(slot, connection, "too many requests wait");
        }
        for piece in pieces {
            connection.held_bytes += piece.len();
            connection.early.push(piece);
        }
    }

    /// Handles a request of a connection that has a session.
    pub(super) fn on_request(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        frame: &[u8],
    ) {
        assert!(connection.is_open(), "a closed connection asks for nothing");
        assert!(connection.session != SessionId::NONE, "a request belongs to a session");
        let mut input = Decoder::new(frame);
        let Ok(RequestHeader { xid, op }) = RequestHeader::decode(&mut input) else {
            self.reject(slot, connection, "a request without a whole header");
            return;
        };
        let op = OpCode::from_i32(op);
        match op {
            // ZooKeeper answers these two in place, before what is in the pipeline.
            Some(OpCode::Auth) => return self.on_auth(slot, connection, xid, input.rest()),
            Some(OpCode::Sasl) => return self.on_sasl(slot, connection, xid, input.rest()),
            _ => {}
        }
        if !self.clients.has_enforced_identity(connection) {
            return self.refuse_unauthenticated(slot, connection, xid);
        }
        let Some(large) = self.clients.claim_large(frame.len()) else {
            self.stats.large_requests_rejected += 1;
            return self.reject(slot, connection, "too many bytes of large requests at once");
        };
        // ZooKeeper: a request of a session that is being closed is dropped without an answer;
        // so is one that arrives while the server stops.
        if self.shutting_down
            || self.sessions.tracker.is_closing(connection.session)
            || (connection.local && self.sessions.local.is_closing(connection.session))
        {
            self.clients.release_large(large);
            connection.dropped = true;
            connection.count_answered_at_once();
            return self.clients.mark_dirty(slot, connection);
        }
        let arrived = now.mono;
        if let Some(op) = op {
            self.upgrade_at_the_end_of_an_epoch(now, connection, op);
        }
        if let Some(op) = op
            && self.waits_for_next_leader(op)
        {
            // The request waits with its connection, and counts as large again when it is looked at again.
            self.clients.release_large(large);
            self.park(now, slot, connection);
            if connection.is_open() {
                let length = u32::try_from(frame.len()).expect("the frame came with this length");
                self.keep_early(slot, connection, &[&length.to_be_bytes(), frame]);
            }
            return;
        }
        let body = input.rest();
        let request = |op| ClientRequest { xid, op, body, large };
        match op {
            Some(OpCode::Sync)
                if !self.ensemble.proposes()
                    && (self.ensemble.is_learning()
                        || !planted::is(self.options.planted, PlantedBug::ReaderSynced)) =>
            {
                self.stats.count_request(OpCode::Sync);
                if self.ensemble.is_learning() {
                    let op = OpCode::Sync;
                    self.forward(now, slot, connection, request(op), None, None);
                } else {
                    self.refuse_read_only(now, slot, connection, request(OpCode::Sync));
                }
            }
            Some(op) if read::is_read(op) => {
                self.stats.count_request(op);
                // ZooKeeper: where transactions are made, a sync waits for all that are in the pipeline.
                let after =
                    if op == OpCode::Sync { self.pipeline.prep.last() } else { connection.floor };
                let takes_turns = Service::takes_turns(op, frame.len());
                let is_due = connection.queue.is_empty() && self.database.last_processed() >= after;
                if is_due && !takes_turns {
                    self.clients.prompt_reads += 1;
                    connection.latency_ms.record(0);
                    self.answer_read(now, slot, connection, xid, op, body);
                    self.clients.release_large(large);
                } else {
                    self.hold(slot, connection, frame, arrived, after);
                    self.clients.release_large(large);
                    if is_due {
                        self.advance(now, slot, connection);
                    }
                }
            }
            Some(OpCode::CloseSession) => {
                self.stats.count_request(OpCode::CloseSession);
                self.on_close_session(now, slot, connection, request(OpCode::CloseSession));
            }
            Some(
                op @ (OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl
                | OpCode::Delete
                | OpCode::SetData
                | OpCode::SetAcl
                | OpCode::Multi
                | OpCode::Reconfig),
            ) => {
                self.stats.count_request(op);
                self.on_write(now, slot, connection, request(op));
            }
            // An operation that is unknown or not for clients: a check outside a multi, and what servers say to each
            // other.
            // ZooKeeper: Request.isValid lets clients ask for deleteContainer, and no permission is checked:
            // everyone could remove every empty container and TTL node.
            op => {
                if let Some(unsaid) = self.lines.allow(self.now.mono) {
                    tracing::warn!(
                        conn = slot.id.0, remote = %connection.remote, ?op, unsaid,
                        "an operation that is unknown or not for clients"
                    );
                }
                let err = ErrorCode::Unimplemented.code();
                let answer = Answer {
                    xid,
                    op,
                    err,
                    zxid: Some(Zxid::NONE),
                    unknown: true,
                    large,
                    ends: false,
                };
                self.answer_in_turn(now, slot, connection, answer, Zxid::ZERO);
            }
        }
    }

    /// Proposes a write, passes it on to the leader, or refuses it.
    fn on_write(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        request: ClientRequest<'_>,
    ) {
        if self.ensemble.role == ReplicaRole::Looking {
            return self.refuse_read_only(now, slot, connection, request);
        }
        let ClientRequest { xid, op, body, large } = request;
        connection.longest_write = connection.longest_write.max(body.len());
        let decoded = RequestBody::decode(op, body);
        let body = match decoded {
            Ok(Some(body)) => Some(body),
            // ZooKeeper: a multi that cannot be decoded takes a zxid and fails with it, unless
            // decoding ends in a NullPointerException: then it is like any other request. At a
            // learner such a multi goes to the leader, which gives it the zxid.
            Err(why)
                if op == OpCode::Multi
                    && !is_null_acl_in_multi(&why)
                    && (self.ensemble.proposes() || self.ensemble.is_learning()) =>
            {
                self.stats.requests_malformed += 1;
                None
            }
            // ZooKeeper logs an error under the newest zxid, which then comes twice in its log. The
            // error changes nothing, so Ringkeeper logs none; the reply waits for that zxid all the same.
            _ => {
                self.stats.requests_malformed += 1;
                self.audit.on_refused(now, self.audit.ask(connection, op, None));
                let after = self.pipeline.newest_zxid(&self.ensemble);
                let answer = request.refusal(ErrorCode::MarshallingError);
                return self.answer_in_turn(now, slot, connection, answer, after);
            }
        };
        let audit = self.audit.ask(connection, op, body.as_ref());
        if let Some(body) = &body
            && let Some(err) = self.screen(connection, op, body)
        {
            self.audit.on_refused(now, audit);
            let is_planted = |bug| planted::is(self.options.planted, bug);
            let mut answer = Answer { zxid: Some(Zxid::ZERO), ..request.refusal(err) };
            if is_planted(PlantedBug::RefusedUnderLastXid) {
                answer.xid = connection.last_cxid;
            }
            if is_planted(PlantedBug::EagerRefusalLogged) {
                self.log_refusal(now, connection, xid, op, err);
            }
            return self.answer_in_turn(now, slot, connection, answer, Zxid::ZERO);
        }
        let upgraded = match &body {
            Some(body) => self.maybe_upgrade(now, connection, op, body),
            None => Ok(()),
        };
        if self.ensemble.is_learning() {
            let instead = upgraded.err();
            return self.forward(now, slot, connection, request, instead, audit);
        }
        let Some(zxid) = self.pipeline.next_zxid_for_write(&mut self.ensemble) else {
            self.stats.writes_refused_disk_full += 1;
            self.audit.on_refused(now, audit);
            let answer = request.refusal(ErrorCode::SystemError);
            return self.answer_in_turn(now, slot, connection, answer, Zxid::ZERO);
        };
        let digest_before = self.pipeline.prep.digest();
        let (allowed, allowed_ephemerals) = self.sessions.check_session(
            connection.session,
            self.ensemble.me,
            connection.scope(),
            &mut self.ensemble,
        );
        let requester = Requester {
            session: connection.session,
            cxid: xid,
            identities: &connection.identities,
            allowed,
            allowed_ephemerals: upgraded.and(allowed_ephemerals),
        };
        let txn = match &body {
            Some(body) => self.prepare(now, zxid, &requester, op, body),
            None => {
                let error = ErrorCode::MarshallingError;
                self.pipeline.prep.prepare_error(&self.database, now.wall, zxid, &requester, error)
            }
        };
        connection.queue.push_back(Waiting::Write);
        let request = InFlight {
            zxid,
            digest_before,
            op,
            slot: Some(slot),
            session: connection.session,
            xid,
            arrived: now.mono,
            large,
            audit,
        };
        self.propose(txn, request);
    }

    /// A planted bug: a leader logs the refusal of a request that needs no zxid.
    fn log_refusal(
        &mut self,
        now: Now,
        connection: &Connection,
        xid: i32,
        op: OpCode,
        err: ErrorCode,
    ) {
        if !self.ensemble.proposes() {
            return;
        }
        let Some(zxid) = self.pipeline.next_zxid_for_write(&mut self.ensemble) else { return };
        let digest_before = self.pipeline.prep.digest();
        let requester = Requester {
            session: connection.session,
            cxid: xid,
            identities: &connection.identities,
            allowed: Ok(()),
            allowed_ephemerals: Ok(()),
        };
        let txn = self.pipeline.prep.prepare_error(&self.database, now.wall, zxid, &requester, err);
        let request = InFlight {
            zxid,
            digest_before,
            op,
            slot: None,
            session: connection.session,
            xid,
            arrived: now.mono,
            large: 0,
            audit: None,
        };
        self.propose(txn, request);
    }

    /// Makes the transaction of a write, of a client here or at a learner, and logs what an operator should know of it.
    pub(super) fn prepare(
        &mut self,
        now: Now,
        zxid: Zxid,
        requester: &Requester<'_>,
        op: OpCode,
        body: &RequestBody<'_>,
    ) -> Txn {
        assert!(zxid > self.pipeline.prep.last(), "a write comes behind all that were proposed");
        let (database, wall) = (&self.database, now.wall);
        let txn = match (body, self.ensemble.peer.as_member()) {
            (RequestBody::Multi(parts), _) if parts.len() > self.options.multi_operations_max => {
                if let Some(unsaid) = self.lines.allow(now.mono) {
                    tracing::warn!(
                        remote = requester.address(), session = %requester.session, operations = parts.len(),
                        allowed = self.options.multi_operations_max, unsaid,
                        "a multi has too many operations (ringkeeper.multiOperationsMax)"
                    );
                }
                let error = ErrorCode::BadArguments;
                self.pipeline.prep.prepare_error(database, wall, zxid, requester, error)
            }
            (RequestBody::Reconfig(request), Some(member)) => {
                let facts = ReconfigFacts {
                    active: member.config(),
                    last_seen: member.last_seen_config(),
                    standalone_enabled: member.standalone_enabled(),
                    multi_address: member.multi_address(),
                    is_quorum_synced: &|config| member.is_quorum_synced(config),
                };
                self.pipeline
                    .prep
                    .prepare_reconfig(database, wall, zxid, requester, request, &facts)
            }
            _ => self.pipeline.prep.prepare(database, wall, zxid, requester, op, body),
        };
        self.say_quota_excess();
        self.say_beyond(requester);
        txn
    }

    /// Refuses a request that a server without a leader does not carry out (`ReadOnlyRequestProcessor`).
    pub(super) fn refuse_read_only(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        request: ClientRequest<'_>,
    ) {
        let answer = request.refusal(ErrorCode::NotReadOnly);
        self.answer_in_turn(now, slot, connection, answer, Zxid::ZERO);
    }

    /// Logs that a write was refused because it goes beyond a limit of this server.
    fn say_beyond(&mut self, requester: &Requester<'_>) {
        // The write went beyond no limit.
        let Some(beyond) = self.pipeline.prep.take_beyond() else { return };
        // The log takes no more lines in this second.
        let Some(unsaid) = self.lines.allow(self.now.mono) else { return };
        let (remote, session) = (requester.address(), requester.session);
        match beyond {
            Beyond::Ephemerals => tracing::warn!(
                remote, %session, allowed = self.options.ephemerals_per_session_max, unsaid,
                "refusing an ephemeral node: its session has as many as it may \
                 (ringkeeper.ephemeralsPerSessionMax)"
            ),
            Beyond::AclEntries => tracing::warn!(
                remote, %session, allowed = self.options.acl_entries_max, unsaid,
                "refusing an ACL: it has more entries than it may (ringkeeper.aclEntriesMax), each `auth` counted as \
                 one for each user that its author has shown"
            ),
        }
    }

    /// Logs that a write exceeds a quota.
    fn say_quota_excess(&mut self) {
        // The write exceeded no quota.
        let Some((path, excess)) = self.pipeline.prep.take_quota_excess() else { return };
        if let Some(unsaid) = self.lines.allow(self.now.mono) {
            let limit = if excess.is_hard { "hard" } else { "soft" };
            tracing::warn!(
                path,
                limit,
                figure = excess.figure,
                reached = excess.reached,
                allowed = excess.limit,
                unsaid,
                "quota exceeded"
            );
        }
    }

    /// Whether an operation has to wait for the next leader, which may be this server, because the epoch is over.
    #[inline]
    pub(super) fn waits_for_next_leader(&self, op: OpCode) -> bool {
        !read::is_read(op) && self.pipeline.epoch_is_over(&self.ensemble)
    }

    /// Proposes the transaction that was prepared for `request`.
    pub(super) fn propose(&mut self, txn: Txn, request: InFlight) {
        let (zxid, newest) = (request.zxid, self.pipeline.in_flight.back());
        assert!(txn.zxid() == zxid, "{zxid} is proposed as {}", txn.zxid());
        assert!(self.ensemble.proposes(), "a server proposes on its own, or as the leader");
        assert!(self.database.last_processed() < zxid, "{zxid} is proposed, and not applied");
        assert!(newest.is_none_or(|newest| newest.zxid < zxid), "zxids in flight rise");
        let units = self.units_of_applying(&txn);
        self.work.on_proposed(txn.zxid(), units, txn.bytes().len());
        self.pipeline.in_flight.push_back(request);
        match self.pipeline.prep.take_config() {
            Some(config) => self.ensemble.peer.member_mut().propose_reconfig(txn, config),
            None => self.ensemble.peer.propose(txn),
        }
    }
}

impl Replica {
    /// One or more whole frames arrived, each with its 4-byte length. The first frame of a connection
    /// is its `ConnectRequest`. The edge has checked the length of each frame against `jute.maxbuffer`.
    pub fn handle_frames(&mut self, now: Now, conn: ConnectionId, frames: &[u8]) {
        self.service.now = now;
        // The replica has closed the connection, and the edge does not know that yet.
        let Some(slot) = self.connections.find(conn) else { return };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        self.service.stats.bytes_received += frames.len() as u64;
        connection.heard = now.mono;
        self.on_frames(now, slot, frames);
    }

    /// Handles frames of a connection, which have just arrived or were kept until now.
    pub(super) fn on_frames(&mut self, now: Now, slot: Slot, mut frames: &[u8]) {
        let Some((connection, service)) = self.one(slot) else { return };
        if connection.state == State::Ready && service.clients.has_enforced_identity(connection) {
            // Once for all frames, which count as one moment. A stranger who must authenticate keeps no session alive.
            service.sessions.touch(now, connection, &mut service.ensemble);
        }
        self.look_at_frames(now, slot, &mut frames);
        // A request may have closed the connection, and with it gone its frames are of no use.
        let Some((connection, service)) = self.one(slot) else { return };
        if !frames.is_empty() && connection.is_open() {
            service.keep_early(slot, connection, &[frames]);
        }
    }

    /// Looks at frames up to the first that has to wait, and leaves the rest. A frame waits for its session to begin,
    /// for a leader, for its turn, or until the client has read.
    pub(super) fn look_at_frames(&mut self, now: Now, slot: Slot, frames: &mut &[u8]) {
        while let Some((connection, service)) = self.one(slot) {
            let Some(request) = service.look_at_frames(now, slot, connection, frames) else {
                return;
            };
            self.on_connect_request(now, slot, request);
        }
    }
}

impl Service {
    /// Looks at frames up to the first that has to wait, and leaves the rest. A connect request is returned to the
    /// caller, because it may end another connection.
    fn look_at_frames<'f>(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        frames: &mut &'f [u8],
    ) -> Option<&'f [u8]> {
        let mut warmed: usize = 0;
        while !frames.is_empty() {
            if connection.takes_no_frames() {
                return None;
            }
            if warmed == 0 {
                warmed = WARMED_TOGETHER;
                warm(&self.database, frames);
            }
            warmed -= 1;
            let mut rest = *frames;
            let Some(frame) = split_frame(&mut rest) else {
                self.reject(slot, connection, "a frame is longer than what arrived");
                return None;
            };
            assert!(rest.len() + LENGTH_BYTES + frame.len() == frames.len(), "no byte is left out");
            match connection.state {
                State::New => {
                    *frames = rest;
                    connection.received += 1;
                    self.stats.packets_received += 1;
                    return Some(frame);
                }
                State::Connecting | State::Reopening | State::Closed => return None,
                State::Ready => {
                    if self.waits_to_be_read(slot, connection, frame) {
                        return None;
                    }
                    *frames = rest;
                    connection.received += 1;
                    self.stats.packets_received += 1;
                    self.on_request(now, slot, connection, frame);
                }
                State::Ending => {
                    *frames = rest;
                    connection.count_answered_at_once();
                    self.clients.mark_dirty(slot, connection);
                }
            }
        }
        None
    }
}

/// Whether ZooKeeper's decoding of a multi ends in a NullPointerException.
fn is_null_acl_in_multi(why: &DecodeError) -> bool {
    matches!(why, DecodeError::BadValue { what, .. } if *what == NULL_ACL_IN_MULTI)
}

/// Takes the first frame off `frames`, and returns it without its length. `None`: it is not whole.
pub(super) fn split_frame<'a>(frames: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = frames.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    let (frame, rest) = rest.split_at_checked(length)?;
    *frames = rest;
    Some(frame)
}
