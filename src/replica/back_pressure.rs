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
//! Reads that wait behind a write in the queue become due together, and their nodes may have grown.
//! Those that no write of the session stands behind are answered one after the other, as the client
//! reads. Others must be answered before that write is applied, for they must not see it: so a write is
//! taken only while what is before it is worth a bounded number of bytes at most.
//!
//! The rule that is easy to break: a read in the queue that is due and waits for its client has no
//! write of its session behind it. Whoever puts one there has asked `waits_to_be_read` before.

use super::Replica;
use super::connection::{Connection, Expected, Slot, State, Waiting};
use crate::acl::Identity;
use crate::database::NodeRef;
use crate::id::ConnectionId;
use crate::jute::{Decoder, Jute};
use crate::limits;
use crate::processor::read;
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;
use crate::time::Now;

/// Bytes of a reply with nothing but a header, a Stat or a short list in it.
const SHORT_REPLY_BYTES: usize = 128;
/// Of how many children the names are looked at, to know how long those of all are.
const CHILDREN_LOOKED_AT: usize = 8;
/// By how much a list of nodes may grow, beside doubling, while a write is under way: some tens of
/// thousands of names. A guess.
const LIST_GROWTH_BYTES: usize = 1 << 20;
/// Bytes of a string's length.
const STRING_BYTES: usize = 4;
/// The shortest path that a client can watch has 4 bytes in its setWatches, and an event for it 8 times as many.
const EVENT_PER_WATCH_BYTES: usize = 8;
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
    pub(super) fn waits_to_be_read(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        frame: &[u8],
    ) -> bool {
        if connection.waits_to_be_read {
            return true;
        }
        let Expected { at_most, .. } = connection.owed.expected;
        let bytes_max = self.options.connection_output_bytes_max;
        if connection.output_bytes() <= self.options.output_pause_bytes
            && connection.early.is_empty()
            && (at_most <= bytes_max || is_read(frame))
        {
            return false;
        }
        self.wait_to_be_read(slot, connection);
        true
    }

    fn wait_to_be_read(&mut self, slot: Slot, connection: &mut Connection) {
        if !connection.waits_to_be_read {
            connection.waits_to_be_read = true;
            self.unread.push(slot);
        }
    }

    /// Whether the read at the front of a connection's queue waits until its client has read.
    pub(super) fn may_wait_to_be_read(&mut self, slot: Slot, connection: &mut Connection) -> bool {
        let waits = connection.unread_bytes() > self.options.output_pause_bytes
            && matches!(connection.queue.front(), Some(Waiting::Request { .. }))
            && !connection.awaits_writes();
        if waits {
            self.wait_to_be_read(slot, connection);
        }
        waits
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
                self.advance(now, slot, &mut connection);
                if self.has_room(&connection) {
                    let early = std::mem::take(&mut connection.early);
                    connection.held_bytes -= early.len();
                    self.on_frames(now, slot, &mut connection, &early);
                } else if connection.is_open() {
                    self.wait_to_be_read(slot, &mut connection);
                }
            }
            self.connections.put(slot, connection);
        }
    }

    /// Whether there is something to do for a connection whose requests wait.
    pub(super) fn may_go_on_reading(&self) -> bool {
        let may_go_on = |connection: &Connection| {
            connection.parked.is_none()
                && (self.has_room(connection) || self.may_advance(connection))
        };
        self.unread.iter().any(|slot| self.connections.get(*slot).is_none_or(may_go_on))
    }

    /// Whether a connection's next requests, of whatever kind, may be looked at.
    fn has_room(&self, connection: &Connection) -> bool {
        connection.output_bytes() <= self.options.output_pause_bytes
            && connection.owed.expected.at_most <= self.options.connection_output_bytes_max
    }

    /// Whether the queue begins with a read that has waited for nothing but its client.
    fn may_advance(&self, connection: &Connection) -> bool {
        let is_due = matches!(connection.queue.front(), Some(Waiting::Request { after, .. })
            if *after <= self.database.last_processed());
        is_due && connection.unread_bytes() <= self.options.output_pause_bytes
    }

    /// What the reply to a read that has to wait will be worth.
    pub(super) fn expected_bytes(&self, connection: &Connection, frame: &[u8]) -> Expected {
        let mut input = Decoder::new(frame);
        let short = Expected { now: SHORT_REPLY_BYTES, at_most: SHORT_REPLY_BYTES };
        let Ok(RequestHeader { op, .. }) = RequestHeader::decode(&mut input) else {
            return short;
        };
        let node = |input: &mut Decoder<'_>| {
            let path = <Option<&str>>::decode(input).ok().flatten()?;
            self.database.node(path)
        };
        let (now, at_most) = match OpCode::from_i32(op) {
            Some(OpCode::GetData) => {
                let data = node(&mut input).and_then(|node| node.data()).map_or(0, <[u8]>::len);
                (data, data.max(self.options.frame_bytes_max as usize))
            }
            Some(OpCode::GetAcl) => {
                let acl = node(&mut input).map_or(0, |node| node.acl_list().encoded().len());
                (acl, acl.max(self.options.frame_bytes_max as usize))
            }
            Some(OpCode::GetChildren | OpCode::GetChildren2) => {
                let list = node(&mut input).map_or(0, |node| children_bytes(&node));
                (list, 2 * list + LIST_GROWTH_BYTES)
            }
            Some(OpCode::GetEphemerals) => {
                let (nodes, path_bytes) = self.database.ephemerals_size(connection.session);
                let list = nodes * STRING_BYTES + path_bytes;
                (list, 2 * list + LIST_GROWTH_BYTES)
            }
            Some(OpCode::WhoAmI) => {
                let bytes = |identity: &Identity| {
                    2 * STRING_BYTES + identity.scheme.len() + identity.id.len()
                };
                let list = connection.identities.iter().map(bytes).sum();
                (list, list)
            }
            // Its path.
            Some(OpCode::Sync) => (frame.len(), frame.len()),
            Some(OpCode::MultiRead) => (MULTI_READ_BYTES, self.options.multi_read_bytes_max),
            // An event for each watch whose node has changed.
            Some(OpCode::SetWatches | OpCode::SetWatches2) => {
                (frame.len(), EVENT_PER_WATCH_BYTES * frame.len())
            }
            // A number, a Stat, or nothing but the header.
            _ => (0, 0),
        };
        let mut expected = short;
        expected.add(Expected { now, at_most });
        expected
    }

    /// Whether no more of a connection's requests may be kept for later.
    pub(super) fn holds_too_much(&self, connection: &Connection) -> bool {
        connection.held_bytes > limits::connection_held_bytes_max(self.options.frame_bytes_max)
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

/// Bytes of the names of a node's children, from those of a few.
fn children_bytes(node: &NodeRef<'_>) -> usize {
    let names = node.children().take(CHILDREN_LOOKED_AT);
    let (looked_at, bytes) =
        names.fold((0, 0), |(names, bytes), name| (names + 1, bytes + STRING_BYTES + name.len()));
    // Of a few it is their sum, and nobody divides by none.
    bytes * node.num_children() / looked_at.max(1)
}

/// Whether a request changes nothing: nothing of its session has to be applied behind it.
fn is_read(frame: &[u8]) -> bool {
    let header = RequestHeader::decode(&mut Decoder::new(frame));
    header.is_ok_and(|header| OpCode::from_i32(header.op).is_some_and(read::is_read))
}

impl Connection {
    /// Requests that are finished since the last entry, with all before them.
    pub(super) fn take_answered(&mut self) -> u32 {
        if self.queue.is_empty() {
            self.answered += std::mem::take(&mut self.answered_early);
        }
        std::mem::take(&mut self.answered)
    }

    /// `out` is handed out. Whether it is counted: then it is unread until it is heard of again.
    pub(super) fn hand_out(&mut self) -> bool {
        let is_counted = self.out.len() > limits::OUTPUT_REPORTED_BYTES;
        if is_counted {
            self.owed.unread += self.out.len();
        } else if self.owed.unread == 0 {
            self.owed.events = 0;
        }
        is_counted
    }
}
