//! The end of a connection: because of what its client did, or because its session is over.

use super::Replica;
use super::clients::Clients;
use super::connection::{Connection, Slot, State, Waiting};
use super::early::Early;
use super::ensemble::Ensemble;
use super::ensemble::ReplicaRole;
use super::owed::Expected;
use super::service::Service;
use super::waiting::Queue;
use crate::database::Database;
use crate::id::SessionId;

impl Clients {
    /// Gives back what the requests in a connection's queue have claimed.
    pub(super) fn release_queue(&mut self, connection: &mut Connection, ensemble: &mut Ensemble) {
        ensemble.note_orphans(connection);
        let queue = std::mem::take(&mut connection.queue);
        self.release_steps(queue, ensemble);
        connection.held_bytes = 0;
        connection.owed.expected = Expected::default();
    }

    /// Gives back what these steps of a connection's queue have claimed.
    pub(super) fn release_steps(&mut self, steps: Queue, ensemble: &mut Ensemble) {
        for waiting in steps {
            let held = usize::from(waiting.is_held());
            assert!(self.requests_held >= held, "a step that is held is counted");
            self.requests_held -= held;
            match waiting {
                Waiting::Answer { answer, .. } => {
                    self.release_large(answer.large);
                }
                Waiting::Forwarded(request) => {
                    ensemble.passed_on.remove(&request);
                    self.release_large(request.large);
                }
                Waiting::Write | Waiting::Request { .. } => {}
            }
        }
    }

    /// Removes a connection's watches. If the session's connection is this one, the session has none from now on.
    pub(super) fn forget(&mut self, slot: Slot, session: SessionId, database: &mut Database) {
        database.watches_mut().remove_connection(slot.id);
        if self.by_session.get(&session) == Some(&slot) {
            self.by_session.remove(&session);
        }
    }
}

impl Service {
    /// Closes a connection because of what its client did, and logs the reason.
    pub(super) fn reject(&mut self, slot: Slot, connection: &mut Connection, reason: &str) {
        if let Some(unsaid) = self.lines.allow(self.now.mono) {
            tracing::warn!(
                conn = slot.id.0, remote = %connection.remote, session = %connection.session,
                reason, unsaid, "closing a connection"
            );
        }
        assert!(!reason.is_empty(), "the log says why a connection is closed");
        self.stats.connections_rejected += 1;
        self.close_connection(slot, connection);
    }

    /// Closes a connection that the caller holds, after the bytes written so far. A closed one stays as it is.
    pub(super) fn close_connection(&mut self, slot: Slot, connection: &mut Connection) {
        if !connection.is_open() {
            return;
        }
        connection.state = State::Closed;
        connection.early = Early::default();
        self.clients.give_up_login(connection);
        self.clients.release_queue(connection, &mut self.ensemble);
        let is_looking = self.ensemble.role == ReplicaRole::Looking;
        if connection.parked.take().is_some() && is_looking {
            // These answers were withheld because a new leader may not have what they tell.
            connection.out.clear();
        }
        self.clients.forget(slot, connection.session, &mut self.database);
        self.clients.mark_dirty(slot, connection);
        assert!(connection.queue.is_empty(), "nothing waits on a closed connection");
        assert!(connection.held_bytes == 0, "a closed connection holds no requests");
        assert!(connection.dirty, "the next output tells the edge that the connection is closed");
    }
}

impl Replica {
    /// Closes the connection at a slot, if it is still there.
    pub(super) fn close(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot) {
            self.service.close_connection(slot, connection);
        }
    }
}
