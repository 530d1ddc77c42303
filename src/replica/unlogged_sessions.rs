//! Sessions that begin while the disk of a server on its own is full.
//!
//! The beginning of a session is a transaction, and there is no room for one. But a client that only
//! reads needs nothing of the disk, so it is let in: this server alone knows its session, as it knows a
//! local one. Its writes are refused, as those of all sessions are. When there is room again, the
//! beginnings are logged, each before anything that its session wrote.
//!
//! ```text
//! no room ── connect ─→ local ── room ─→ createSession proposed ── committed ─→ like every session
//!                         ↑                       │ no room after all
//!                         └───────────────────────┘
//! ```
//! If the server is started anew before there is room, the client hears that its session has expired.
//! Nothing is lost with it: it never wrote anything.
//!
//! A leader lets nobody in like that: a server that has room leads soon, and until then the other servers
//! let new sessions wait.
// ZooKeeper ends when its disk is full.

use super::Replica;
use super::connection::{Connection, Slot, State};
use super::ensemble::ReplicaRole;
use super::pipeline::InFlight;
use super::service::Service;
use super::sessions::SESSIONS_EXPIRED_AT_ONCE_MAX;
use crate::id::SessionId;
use crate::proto::OpCode;
use crate::time::Now;

/// Beginnings that are proposed in one turn, at most: each costs as much as the end of a session.
const LOGGED_AT_ONCE_MAX: usize = SESSIONS_EXPIRED_AT_ONCE_MAX;

impl Service {
    /// Lets a client in whose session cannot be logged. False: not here.
    pub(super) fn begin_unlogged_session(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
    ) -> bool {
        if self.ensemble.role != ReplicaRole::Alone {
            return false;
        }
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

    /// Proposes the beginning of a session that only this server knows. False: there is no room.
    pub(super) fn log_session(&mut self, now: Now, session: SessionId) -> bool {
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
        };
        self.propose(txn, request);
        self.sessions.local.remove(session);
        self.sessions.upgrading.insert(session);
        true
    }
}

impl Replica {
    /// The beginning of a session found no room: it is taken back.
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
            // Nobody has heard of the session yet, nor waits for it.
            return;
        }
        self.service.sessions.local.add(session, timeout_ms, now.mono);
        let slot = self.service.clients.by_session.get(&session).copied();
        if let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) {
            connection.local = true;
        }
    }

    /// Proposes the beginnings of sessions that found no room before there was some, so many that it
    /// takes a millisecond or two; the others follow.
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
                connection.local = false;
            }
        }
        self.service.sessions.unlogged_left = left.len() > LOGGED_AT_ONCE_MAX;
    }

    /// After writes were taken back: what their connections wait for.
    pub(super) fn go_on_without_room(&mut self, now: Now, slot: Slot) {
        let Some((connection, service)) = self.one(slot) else { return };
        if connection.state == State::Connecting {
            self.on_session_created(now, slot);
        } else {
            service.advance(now, slot, connection);
        }
    }
}
