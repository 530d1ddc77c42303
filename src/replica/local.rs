//! Local sessions: only one server knows them, until they create an ephemeral node
//! (`UpgradeableSessionTracker`, `LocalSessionTracker`).

use super::Replica;
use super::connection::{Answer, ClientRequest, Connection, Slot};
use super::ensemble::ReplicaRole;
use super::expiry::SESSIONS_EXPIRED_AT_ONCE_MAX;
use super::service::Service;
use super::sessions::Sessions;
use crate::error::ErrorCode;
use crate::id::{SessionId, Zxid};
use crate::jute::Jute;
use crate::proto::request::{MultiOp, RequestBody};
use crate::proto::{CreateMode, OpCode};
use crate::time::Now;
use crate::zab::{PassedRequest, SessionScope};

impl Sessions {
    /// A session is global: all servers know it.
    pub(super) fn on_global_session(&mut self, session: SessionId) {
        self.upgrading.remove(&session);
        self.local.remove(session);
    }
}

impl Service {
    /// Creates a session of which no other server hears.
    pub(super) fn create_local_session(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
    ) {
        assert!(connection.session == SessionId::NONE, "a new session is for a new connection");
        self.stats.count_request(OpCode::CreateSession);
        let session = self.sessions.ids.next();
        assert!(!self.sessions.local.contains(session), "{session} is the id of one session");
        connection.session = session;
        connection.local = true;
        self.sessions.local.add(session, connection.timeout_ms, now.mono);
        self.clients.by_session.insert(session, slot);
        self.begin_requests(slot, connection);
    }

    /// A client closes its local session: in the order of its replies, and without another server.
    pub(super) fn close_local_session(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        request: ClientRequest<'_>,
    ) {
        assert!(connection.local, "only a local session ends without a transaction");
        self.sessions.local.set_closing(connection.session);
        let op = Some(request.op);
        let (xid, large) = (request.xid, request.large);
        let answer = Answer { xid, op, err: 0, zxid: None, unknown: false, large, ends: true };
        self.answer_in_turn(now, slot, connection, answer, Zxid::ZERO);
    }

    /// Before a write of a local session: if the write creates an ephemeral node, the session first becomes a global
    /// one.
    ///
    /// # Errors
    /// If the session must not become a global one, or its beginning cannot be logged.
    pub(super) fn maybe_upgrade(
        &mut self,
        now: Now,
        connection: &mut Connection,
        op: OpCode,
        body: &RequestBody<'_>,
    ) -> Result<(), ErrorCode> {
        if !connection.local {
            return Ok(());
        }
        let session = connection.session;
        if self.ensemble.role == ReplicaRole::Alone {
            // The session began while the disk was full. If it still is, the write is refused as well.
            connection.local = !self.log_session(now, session);
            return Ok(());
        }
        if !wants_ephemeral(op, body) {
            return Ok(());
        }
        if !self.options.local_sessions_upgrading {
            return Err(ErrorCode::EphemeralOnLocalSession);
        }
        let timeout_ms = self.sessions.local.timeout_ms(session).unwrap_or(connection.timeout_ms);
        if self.ensemble.is_learning() {
            let body = timeout_ms.to_bytes();
            self.ensemble.peer.forward(&PassedRequest {
                session,
                scope: SessionScope::Global,
                cxid: 0,
                op: OpCode::CreateSession.number(),
                body: &body,
                identities: &[],
            });
            self.sessions.local.remove(session);
            self.sessions.upgrading.insert(session);
        } else if !self.log_session(now, session) {
            return Err(ErrorCode::SystemError);
        }
        tracing::info!(%session, "a local session becomes a global one");
        connection.local = false;
        Ok(())
    }

    /// Makes a local session global before a write that may create an ephemeral node, if the epoch has only one zxid
    /// left: the session's beginning and the write would need two. The beginning takes the last zxid, whatever the
    /// write wants, and the write waits for the next leader.
    #[inline]
    pub(super) fn upgrade_at_the_end_of_an_epoch(
        &mut self,
        now: Now,
        connection: &mut Connection,
        op: OpCode,
    ) {
        let may_need_two = connection.local
            && self.options.local_sessions_upgrading
            && matches!(op, OpCode::Create | OpCode::Create2 | OpCode::Multi);
        if !may_need_two
            || self.ensemble.role != ReplicaRole::Leading
            || self.pipeline.is_disk_full()
        {
            return;
        }
        let next = self.ensemble.peer.zxid_after(self.pipeline.prep.last());
        let is_last = next.is_some_and(|next| self.ensemble.peer.zxid_after(next).is_none());
        if is_last {
            connection.local = !self.log_session(now, connection.session);
        }
    }
}

impl Replica {
    /// Ends local sessions that were silent for too long.
    pub(super) fn expire_local_sessions(&mut self, now: Now) {
        let mut expired = std::mem::take(&mut self.service.sessions.expired);
        assert!(expired.is_empty(), "the sessions that expired before are ended");
        self.service.sessions.local.expire(now.mono, SESSIONS_EXPIRED_AT_ONCE_MAX, &mut expired);
        for session in expired.drain(..) {
            tracing::debug!(%session, "expiring a local session");
            self.service.stats.sessions_expired += 1;
            self.end_local_session(session);
        }
        self.service.sessions.expired = expired;
    }

    /// Removes a local session, and closes its connection.
    pub(super) fn end_local_session(&mut self, session: SessionId) {
        self.service.sessions.local.remove(session);
        if let Some(slot) = self.service.clients.by_session.remove(&session) {
            self.close(slot);
        }
    }
}

/// Whether a request creates an ephemeral node (`QuorumZooKeeperServer.checkUpgradeSession`).
fn wants_ephemeral(op: OpCode, body: &RequestBody<'_>) -> bool {
    let is_ephemeral =
        |flags: i32| CreateMode::from_flag(flags).is_some_and(CreateMode::is_ephemeral);
    match (op, body) {
        (OpCode::Create | OpCode::Create2, RequestBody::Create(request)) => {
            is_ephemeral(request.flags)
        }
        (OpCode::Multi, RequestBody::Multi(parts)) => parts.iter().any(|part| {
            matches!(
                part,
                MultiOp::Create(OpCode::Create | OpCode::Create2, request)
                    if is_ephemeral(request.flags)
            )
        }),
        _ => false,
    }
}
