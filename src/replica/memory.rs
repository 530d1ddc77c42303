//! How much of the process's memory the answers of one turn may take.
//!
//! The edge counts what connections hold, and closes some of them when that is too much. But it sees what a turn makes
//! only afterwards, and a thousand clients may ask for a large node in the same turn. So the edge tells the replica how
//! much room there is ([`Replica::set_output_room`]), and the replica makes no more than that until it is told again.
//! Requests then wait, framed as they came, and are taken up in the order in which they began to wait.
//!
//! Two things cannot wait: an event, and a read that must not see the next write of its session. A connection that has
//! more than a little of these is closed.

use std::collections::VecDeque;

use super::clients::Clients;
use super::connection::{Connection, Slot};
use super::{Replica, ReplicaOptions};
use crate::id::ConnectionId;
use crate::limits;
use crate::time::MonoUs;

/// The room for answers, and the connections that wait for it. The module's header says what it is for.
#[derive(Debug)]
pub(super) struct Memory {
    /// Bytes of answers for which the process has room, as the edge said last.
    room: usize,
    /// Bytes of answers made since the edge said so. May exceed `room` by one answer, and by events.
    made: usize,
    /// Connections whose requests wait for room, the one that has waited longest first.
    ///
    /// Invariant: each is listed once, and its `starves` is set.
    starving: VecDeque<Slot>,
}

impl Default for Memory {
    /// Unlimited room, until the edge says how much there is.
    fn default() -> Memory {
        Memory { room: usize::MAX, made: 0, starving: VecDeque::new() }
    }
}

impl Memory {
    /// Whether there is no room for another answer.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.made >= self.room
    }

    /// Counts `bytes` that were just written for a client.
    #[inline]
    pub fn make(&mut self, bytes: usize) {
        self.made = self.made.saturating_add(bytes);
    }

    /// Takes the connection that has waited longest off the list, if there is room.
    pub fn next_to_take_up(&mut self) -> Option<Slot> {
        if self.is_short() { None } else { self.starving.pop_front() }
    }

    /// When to check again whether there is room. `None`: no connection waits.
    pub fn next_look(&self, now: MonoUs) -> Option<MonoUs> {
        let wait_ms = if self.is_short() { limits::STARVING_LOOK_MS } else { 0 };
        (!self.starving.is_empty()).then(|| now.plus_ms(wait_ms))
    }

    /// Bytes of what cannot wait that a connection may hold before it is closed.
    pub fn urgent_bytes_max(&self, options: &ReplicaOptions) -> usize {
        match self.is_short() {
            true => limits::OUTPUT_REPORTED_BYTES,
            false => options.connection_output_bytes_max,
        }
    }
}

/// How much memory a connection holds, for whoever checks the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of requests that wait.
    pub requests: usize,
    /// Bytes of answers that are made and that its client has not read. Answers that are too short to be counted are
    /// left out once they are handed out.
    pub unread: usize,
}

impl Clients {
    /// Lets a connection's next requests wait for memory. The caller leaves them where they are.
    pub(super) fn starve(&mut self, slot: Slot, connection: &mut Connection) {
        assert!(connection.is_open(), "a closed connection has no requests that could wait");
        assert!(self.memory.is_short(), "a request waits for memory only while there is none");
        connection.waits_to_be_read = true;
        if !connection.starves {
            connection.starves = true;
            self.memory.starving.push_back(slot);
        }
    }
}

impl Replica {
    /// How much memory a connection holds. `None`: it is gone.
    pub fn held_by(&self, conn: ConnectionId) -> Option<Held> {
        let connection = self.connections.get(self.connections.find(conn)?)?;
        Some(Held { requests: connection.held_bytes, unread: connection.unread_bytes() })
    }

    /// The process has room for `bytes` more of answers, for all clients together, until this is called again. Before
    /// the first call the room is unlimited.
    pub fn set_output_room(&mut self, bytes: usize) {
        self.service.clients.memory.room = bytes;
        self.service.clients.memory.made = 0;
    }
}
