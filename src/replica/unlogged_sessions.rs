//! Sessions that begin while the disk of a server on its own is full.
//!
//! The beginning of a session is a transaction, and the disk has no room for one. But a client that only
//! reads needs no disk, so it is let in: only this server knows its session, like a
//! local one. Its writes are refused, as those of all sessions are. When there is room again, the
//! beginnings are logged, each before any write of its session.
//!
//! ```text
//! no room ── connect ─→ local ── room ─→ createSession proposed ── committed ─→ like every session
//!                         ↑                       │ no room after all
//!                         └───────────────────────┘
//! ```
//! If the server starts again before there is room, the client hears that its session has expired.
//! Nothing is lost with the session, which never wrote anything.
//!
//! A leader lets no client in that way: a server with room will lead soon, and until then new sessions wait at the
//! other servers.
// ZooKeeper ends when its disk is full.

use super::Replica;
use super::connection::{Connection, Slot, State};
use super::ensemble::ReplicaRole;
use super::expiry::SESSIONS_EXPIRED_AT_ONCE_MAX;
use super::pipeline::InFlight;
use super::service::Service;
use crate::id::SessionId;
use crate::proto::OpCode;
use crate::time::Now;

/// Most beginnings that are proposed in one turn: each costs as much as the end of a session.
const LOGGED_AT_ONCE_MAX: usize = SESSIONS_EXPIRED_AT_ONCE_MAX;

impl Service {
    /// Lets a client in whose session cannot be logged. False: a member of an ensemble does not do that.
    pub(super) fn begin_unlogged_session(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
    ) -> bool {
        if self.ensemble.role != ReplicaRole::Alone {
            return false;
        }
        assert_eq!(connection.state, State::Connecting, "a session begins once");
        let session = connection.session;
        if let Some(unsaid) = self.lines.allow(now.mono) {
            tracing::warn!(
                conn = slot.id.0, remote = %connection.remote, %session, unsaid,
                "the disk is full: a new session may only read, and is forgotten if the server is \
                 started anew before there is room"
            );
        }
        connection.local = true;
        self.sessions.local.add(session, connection.timeout_ms, now.mono);
        self.clients.by_session.insert(session, slot);
        true
    }

    /// Proposes the beginning of a session that only this server knows. False: the disk is full, or the epoch is over.
    pub(super) fn log_session(&mut self, now: Now, session: SessionId) -> bool {
        assert!(session != SessionId::NONE, "a session that begins has an id");
        let timeout_ms =
            self.sessions.local.timeout_ms(session).unwrap_or(self.sessions.timeouts.max_ms);
        let Some(zxid) = self.pipeline.next_zxid_for_write(&mut self.ensemble) else {
            return false;
        };
        self.sessions.tracker.add(session, timeout_ms, now.mono);
        let digest_before = self.pipeline.prep.digest();
        let (database, wall) = (&self.database, now.wall);
        let txn =
            self.pipeline.prep.prepare_create_session(database, wall, zxid, session, timeout_ms);
        let request = InFlight {
            zxid,
            digest_before,
            op: OpCode::CreateSession,
            slot: None,
            session,
            xid: 0,
            arrived: now.mono,
            large: 0,
            audit: None,
        };
        self.propose(txn, request);
        self.sessions.local.remove(session);
        self.sessions.upgrading.insert(session);
        true
    }
}

impl Replica {
    /// The beginning of a session found no room and is taken back: only this server knows the session.
    pub(super) fn keep_unlogged(&mut self, now: Now, request: &InFlight) {
        let session = request.session;
        let timeout_ms = self
            .service
            .sessions
            .tracker
            .timeout_ms(session)
            .unwrap_or(self.service.sessions.timeouts.max_ms);
        self.service.sessions.tracker.remove(session);
        self.service.sessions.upgrading.remove(&session);
        if request.slot.is_some_and(|slot| self.connections.get(slot).is_none()) {
            // The client has gone before it heard of the session.
            return;
        }
        self.service.sessions.local.add(session, timeout_ms, now.mono);
        let slot = self.service.clients.by_session.get(&session).copied();
        if let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) {
            assert_eq!(connection.session, session, "a session's connection has that session");
            connection.local = true;
        }
    }

    /// Proposes the beginnings of sessions that had found no room, now that there is some: as many as
    /// take a millisecond or two. The others follow.
    pub(super) fn log_unlogged_sessions(&mut self, now: Now) {
        self.service.sessions.unlogged_left = false;
        if self.service.ensemble.role != ReplicaRole::Alone || self.service.shutting_down {
            return;
        }
        let local = self.service.sessions.local.by_expiry().into_values().flatten();
        let left: Vec<SessionId> =
            local.filter(|session| !self.service.sessions.local.is_closing(*session)).collect();
        for &session in left.iter().take(LOGGED_AT_ONCE_MAX) {
            if !self.service.log_session(now, session) {
                return;
            }
            let slot = self.service.clients.by_session.get(&session).copied();
            if let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) {
                assert_eq!(connection.session, session, "a session's connection has that session");
                connection.local = false;
            }
        }
        self.service.sessions.unlogged_left = left.len() > LOGGED_AT_ONCE_MAX;
    }

    /// A write of this connection was taken back: the connection continues without it.
    pub(super) fn go_on_without_room(&mut self, now: Now, slot: Slot) {
        let Some((connection, service)) = self.one(slot) else { return };
        if connection.state == State::Connecting {
            self.on_session_created(now, slot);
        } else {
            service.advance(now, slot, connection);
        }
    }
}
