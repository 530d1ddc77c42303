//! What connections hold of the server's memory, and how a client that asks faster than it reads is
//! slowed down instead of being cut off.
//!
//! ```text
//! request ─→ is output_bytes() above the bound? ─ no ──→ carried out ─→ out ─→ Send ─→ unread
//!                     └ yes ─→ early ─→ handle_written ─→ (again)
//! ```
//! Everything that the answers to one connection hold is in [`Connection::output_bytes`]: what is made
//! and not handed out, what the edge has not written yet, and what the reads in its queue will be
//! worth. While that is above `output_pause_bytes` its next requests wait, still framed, in `early`;
//! the edge reads on only until some bytes of requests are unanswered. So one connection holds the
//! bound and one reply, of any length, and the session of a client that reads slowly lives on, for its
//! pings are heard.
//!
//! The rule that is easy to break: what was taken is answered in its turn. A read that waits behind a
//! write in the queue must be answered before the session's next write is applied, so that it is
//! weighed when it is put there.

use super::Replica;
use super::connection::{Connection, Slot, State};
use crate::id::ConnectionId;
use crate::jute::{Decoder, Jute};
use crate::limits;
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;
use crate::time::Now;

/// Bytes of a reply with nothing but a header, a Stat or a short list in it.
const SHORT_REPLY_BYTES: usize = 128;
/// Bytes of a child's name in a list. A guess: names of locks and of members are about as long.
const CHILD_BYTES: usize = 32;
/// Bytes of the reply to a multiRead. A guess: a few nodes as large as ZooKeeper's users make them.
const MULTI_READ_BYTES: usize = 64 * 1024;

impl Replica {
    /// The client has taken all bytes of a [`Send`](super::Send) whose
    /// [`reported_bytes`](super::Send::reported_bytes) are these.
    pub fn handle_written(&mut self, now: Now, conn: ConnectionId, bytes: usize) {
        self.now = now;
        let Some(slot) = self.connections.find(conn) else { return };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        assert!(connection.owed.unread >= bytes, "it was handed out");
        connection.owed.unread -= bytes;
        if connection.owed.unread == 0 {
            connection.owed.events = 0;
        }
    }

    /// The client will send nothing more, and may still read. What it has asked for is answered, and
    /// then the connection is closed.
    // ZooKeeper: NIOServerCnxn.doIO closes at once, and what is under way is answered to nobody.
    pub fn handle_end(&mut self, now: Now, conn: ConnectionId) {
        self.now = now;
        let Some(slot) = self.connections.find(conn) else { return };
        let Some(mut connection) = self.connections.take(slot) else { return };
        let waits_for_leader = connection.parked.is_some();
        if connection.state == State::New || waits_for_leader {
            // As a rule the client is gone; elsewhere, perhaps, before there is a leader.
            self.close_taken(slot, &mut connection);
        } else if connection.is_open() && !connection.input_over {
            connection.input_over = true;
            self.ending.push(slot);
        }
        self.connections.put(slot, connection);
    }

    /// Closes connections whose clients send nothing more and have all their answers.
    pub(super) fn close_finished(&mut self) {
        if self.ending.is_empty() {
            return;
        }
        for slot in std::mem::take(&mut self.ending) {
            let Some(connection) = self.connections.get(slot) else { continue };
            if connection.is_done() {
                self.close(slot);
            } else if connection.is_open() {
                self.ending.push(slot);
            }
        }
    }

    /// Whether a connection's next request has to wait until its client has read.
    #[inline]
    pub(super) fn waits_to_be_read(&mut self, slot: Slot, connection: &mut Connection) -> bool {
        if connection.output_bytes() <= self.options.output_pause_bytes
            && connection.early.is_empty()
        {
            return false;
        }
        if !connection.waits_to_be_read {
            connection.waits_to_be_read = true;
            self.unread.push(slot);
        }
        true
    }

    /// Takes up what waited until clients had read.
    pub(super) fn go_on_reading(&mut self, now: Now) {
        if self.unread.is_empty() {
            return;
        }
        for slot in std::mem::take(&mut self.unread) {
            let Some(mut connection) = self.connections.take(slot) else { continue };
            connection.waits_to_be_read = false;
            // A parked one takes up everything when there is a leader.
            if connection.state == State::Ready && connection.parked.is_none() {
                if connection.output_bytes() > self.options.output_pause_bytes {
                    connection.waits_to_be_read = true;
                    self.unread.push(slot);
                } else {
                    let early = std::mem::take(&mut connection.early);
                    connection.held_bytes -= early.len();
                    self.on_frames(now, slot, &mut connection, &early);
                }
            }
            self.connections.put(slot, connection);
        }
    }

    /// Whether a connection whose requests wait has room again.
    pub(super) fn may_go_on_reading(&self) -> bool {
        let has_room = |connection: &Connection| {
            connection.output_bytes() <= self.options.output_pause_bytes
                && connection.parked.is_none()
        };
        self.unread.iter().any(|slot| self.connections.get(*slot).is_none_or(has_room))
    }

    /// What the reply to a read that has to wait will be worth, as far as can be told.
    pub(super) fn expected_bytes(&self, frame: &[u8]) -> usize {
        let mut input = Decoder::new(frame);
        let Ok(RequestHeader { op, .. }) = RequestHeader::decode(&mut input) else {
            return SHORT_REPLY_BYTES;
        };
        let node = |input: &mut Decoder<'_>| {
            let path = <Option<&str>>::decode(input).ok().flatten()?;
            self.database.node(path)
        };
        let body = match OpCode::from_i32(op) {
            Some(OpCode::GetData) => {
                node(&mut input).and_then(|node| node.data()).map_or(0, <[u8]>::len)
            }
            Some(OpCode::GetChildren | OpCode::GetChildren2) => {
                node(&mut input).map_or(0, |node| node.num_children() * CHILD_BYTES)
            }
            Some(OpCode::MultiRead) => MULTI_READ_BYTES,
            // An event for each watch whose node has changed.
            Some(OpCode::SetWatches | OpCode::SetWatches2) => frame.len(),
            _ => 0,
        };
        SHORT_REPLY_BYTES + body
    }

    /// An event was written for a client that did not ask whether there is room.
    pub(super) fn on_event_written(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        bytes: usize,
    ) {
        connection.owed.events += bytes;
        if connection.owed.events > self.options.connection_output_bytes_max {
            self.give_up_slow(slot, connection, "its client does not read its events");
        }
    }

    /// Closes a connection that would hold too much.
    pub(super) fn give_up_slow(&mut self, slot: Slot, connection: &mut Connection, reason: &str) {
        self.stats.connections_slow += 1;
        // It is of no use to a client that does not read, and of much to others.
        connection.out = Vec::new();
        self.reject(slot, connection, reason);
    }
}

impl Connection {
    /// `out` is handed out: what of it is heard of again is unread until then.
    pub(super) fn hand_out(&mut self) {
        if self.out.len() > limits::OUTPUT_REPORTED_BYTES {
            self.owed.unread += self.out.len();
        } else if self.owed.unread == 0 {
            self.owed.events = 0;
        }
    }
}
