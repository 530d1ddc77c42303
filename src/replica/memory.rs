//! The memory of the process that answers may take in one turn.
//!
//! The edge counts what connections hold, and closes some when that is too much; but what a turn makes
//! it sees only afterwards, and a thousand clients may ask for a large node in the same turn. So the
//! replica is told how much room there is ([`Replica::set_output_room`]), and makes no more until it is
//! told anew. Requests then wait, framed as they came, and are taken up in the order in which they began
//! to wait.
//!
//! What cannot wait is an event, and a read that must not see the next write of its session: there the
//! connection is closed that has more of it than a little.

use std::collections::VecDeque;

use super::clients::Clients;
use super::connection::{Connection, Slot};
use super::{Replica, ReplicaOptions};
use crate::id::ConnectionId;
use crate::limits;
use crate::time::MonoUs;

/// See the module's words.
#[derive(Debug)]
pub(super) struct Memory {
    /// Bytes that may be made.
    room: usize,
    /// Bytes that were made since `room` was told.
    made: usize,
    /// Connections whose requests wait for room, each once, the one that has waited longest first.
    starving: VecDeque<Slot>,
}

impl Default for Memory {
    /// As much as there is, until somebody says how much that is.
    fn default() -> Memory {
        Memory { room: usize::MAX, made: 0, starving: VecDeque::new() }
    }
}

impl Memory {
    /// Whether no more may be made.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.made >= self.room
    }

    /// So many bytes were made.
    #[inline]
    pub fn make(&mut self, bytes: usize) {
        self.made = self.made.saturating_add(bytes);
    }

    /// Who has waited longest, if there is room.
    pub fn next_to_take_up(&mut self) -> Option<Slot> {
        if self.is_short() { None } else { self.starving.pop_front() }
    }

    /// When somebody has to look whether there is room.
    pub fn next_look(&self, now: MonoUs) -> Option<MonoUs> {
        let wait_ms = if self.is_short() { limits::STARVING_LOOK_MS } else { 0 };
        (!self.starving.is_empty()).then(|| now.plus_ms(wait_ms))
    }

    /// Bytes that a connection may have been given of what cannot wait.
    pub fn urgent_bytes_max(&self, options: &ReplicaOptions) -> usize {
        match self.is_short() {
            true => limits::OUTPUT_REPORTED_BYTES,
            false => options.connection_output_bytes_max,
        }
    }
}

/// What a connection holds of the memory, for whoever checks the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of requests that wait.
    pub requests: usize,
    /// Bytes of answers that are made and that its client has not read, those apart that are too short to be
    /// counted once they are handed out.
    pub unread: usize,
}

impl Clients {
    /// Lets a connection's next requests wait for memory. The caller leaves them where they are.
    pub(super) fn starve(&mut self, slot: Slot, connection: &mut Connection) {
        connection.waits_to_be_read = true;
        if !connection.starves {
            connection.starves = true;
            self.memory.starving.push_back(slot);
        }
    }
}

impl Replica {
    /// What a connection holds. `None`: it is gone.
    pub fn held_by(&self, conn: ConnectionId) -> Option<Held> {
        let connection = self.connections.get(self.connections.find(conn)?)?;
        Some(Held { requests: connection.held_bytes, unread: connection.unread_bytes() })
    }

    /// So many more bytes may be made for clients, all together, until this is called again: what the
    /// process has room for. Without a call, any number.
    pub fn set_output_room(&mut self, bytes: usize) {
        self.service.clients.memory.room = bytes;
        self.service.clients.memory.made = 0;
    }
}
