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

use super::clients::Clients;
use super::connection::{Connection, Slot, State, Waiting};
use super::owed::Expected;
use super::service::Service;
use super::{Replica, ReplicaOptions};
use crate::acl::Identity;
use crate::database::NodeRef;
use crate::id::{ConnectionId, Zxid};
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

impl Clients {
    /// Whether no more of a connection's requests may be kept for later.
    pub(super) fn holds_too_much(&self, connection: &Connection) -> bool {
        connection.held_bytes > limits::connection_held_bytes_max(self.options.frame_bytes_max)
    }
}

impl Service {
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
        if self.clients.memory.is_short() {
            self.clients.starve(slot, connection);
            return true;
        }
        let Expected { at_most, units, .. } = connection.owed.expected;
        let bytes_max = self.options.connection_output_bytes_max;
        connection.waits_to_be_read = connection.output_bytes() > self.options.output_pause_bytes
            || !connection.early.is_empty()
            || ((at_most > bytes_max || units > self.options.turn_work_units) && !is_read(frame));
        connection.waits_to_be_read || self.waits_for_turn(slot, connection, frame)
    }

    /// Whether the read at the front of a connection's queue waits until its client has read.
    pub(super) fn may_wait_to_be_read(&mut self, slot: Slot, connection: &mut Connection) -> bool {
        if !connection.begins_with_due_read(self.database.last_processed()) {
            return false;
        }
        let waits = !connection.awaits_writes();
        let is_short = self.clients.memory.is_short();
        if !is_short && connection.unread_bytes() <= self.options.output_pause_bytes {
            return self.due_read_waits_for_turn(slot, connection, waits);
        }
        if is_short && waits {
            self.clients.starve(slot, connection);
        } else if is_short && connection.out.len() > limits::OUTPUT_REPORTED_BYTES {
            // The next write is not applied before these are answered.
            let reason = "its reads between two writes are worth more than there is room for";
            self.give_up_slow(slot, connection, reason);
            return true;
        }
        connection.waits_to_be_read |= waits;
        waits
    }

    /// What the reply to a read that has to wait will be worth.
    pub(super) fn expected_bytes(&self, connection: &Connection, frame: &[u8]) -> Expected {
        let mut input = Decoder::new(frame);
        let mut units = self.cost_of(connection, frame).units;
        let short = Expected { now: SHORT_REPLY_BYTES, at_most: SHORT_REPLY_BYTES, units };
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
                let bytes_max = self.options.frame_bytes_max as usize;
                let sent = data.max(connection.longest_write) / limits::SENT_BYTES_PER_UNIT;
                units = units.max(u32::try_from(sent).unwrap_or(u32::MAX));
                (data, data.max(bytes_max))
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
        let mut expected = Expected { units, ..short };
        expected.add(Expected { now, at_most, units: 0 });
        expected
    }

    /// An event was written for a client that did not ask whether there is room.
    pub(super) fn on_event_written(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        bytes: usize,
    ) {
        connection.owed.add_event(bytes);
        self.clients.memory.make(bytes);
        if connection.owed.events() > self.clients.memory.urgent_bytes_max(&self.options) {
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

impl Replica {
    /// The client has taken all bytes of a [`Outgoing`](super::Outgoing) whose
    /// [`reported_bytes`](super::Outgoing::reported_bytes) are these.
    pub fn handle_written(&mut self, now: Now, conn: ConnectionId, bytes: usize) {
        self.service.now = now;
        let Some(slot) = self.connections.find(conn) else { return };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.owed.take_off(bytes);
        connection.heard = now.mono;
        if connection.waits_to_be_read {
            // Who reads is alive. Its pings may lie in the socket, for the edge does not read while too
            // many bytes of requests wait here.
            if connection.state == State::Ready {
                self.service.sessions.touch(now, connection, &mut self.service.ensemble);
            }
            if connection.may_go_on(&self.service.options, self.service.database.last_processed()) {
                self.service.clients.resumable.push(slot);
            }
        }
    }

    /// The client will send nothing more, and may still read. What it has asked for is answered, and
    /// then the connection is closed.
    // ZooKeeper: NIOServerCnxn.doIO closes at once, and what is under way is answered to nobody.
    pub fn handle_end(&mut self, now: Now, conn: ConnectionId) {
        self.service.now = now;
        let Some(slot) = self.connections.find(conn) else { return };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let waits_for_leader = connection.parked.is_some();
        if connection.state == State::New || waits_for_leader {
            // As a rule the client is gone; elsewhere, perhaps, before there is a leader.
            self.service.close_connection(slot, connection);
        } else if connection.is_open() && !connection.input_over {
            connection.input_over = true;
            if matches!(connection.state, State::Connecting | State::Reopening) {
                let until = now.mono.plus_ms(self.service.options.tick_ms.into());
                self.service.clients.silence.watch_ended(until, slot);
            } else {
                // If it has all its answers, it is closed when its bytes are handed out.
                self.service.clients.mark_dirty(slot, connection);
            }
        }
    }

    /// Takes up what waited until clients had read, and what waited for memory.
    pub(super) fn go_on_reading(&mut self, now: Now) {
        for slot in std::mem::take(&mut self.service.clients.resumable) {
            self.go_on_with(now, slot);
        }
        for _ in 0..limits::STARVING_TAKEN_UP_MAX {
            let Some(slot) = self.service.clients.memory.next_to_take_up() else { return };
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            connection.starves = false;
            self.go_on_with(now, slot);
        }
    }

    pub(super) fn go_on_with(&mut self, now: Now, slot: Slot) {
        let Some((connection, service)) = self.one(slot) else { return };
        // A parked one takes up everything when there is a leader.
        if !connection.waits_to_be_read
            || connection.state != State::Ready
            || connection.parked.is_some()
        {
            return;
        }
        connection.waits_to_be_read = false;
        service.advance(now, slot, connection);
        if connection.has_room(&service.options) {
            self.look_at_early(now, slot);
        } else {
            connection.waits_to_be_read = true;
        }
    }

    /// Looks at frames that waited, up to the first that still has to.
    fn look_at_early(&mut self, now: Now, slot: Slot) {
        let Some((connection, service)) = self.one(slot) else { return };
        if connection.early.is_empty() || !connection.is_open() {
            return;
        }
        connection.heard = now.mono;
        service.sessions.touch(now, connection, &mut service.ensemble);
        let mut early = std::mem::take(&mut connection.early);
        connection.held_bytes -= early.len();
        let mut rest = &early[..];
        self.look_at_frames(now, slot, &mut rest);
        let Some(connection) = self.connections.get_mut(slot).filter(|it| it.is_open()) else {
            return;
        };
        let left = rest.len();
        connection.held_bytes += left;
        if connection.early.is_empty() {
            early.keep_last(left);
            connection.early = early;
        } else {
            // The last one waits for a leader, and those behind it.
            connection.early.push(rest);
        }
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
            self.longest_write = 0;
        }
        std::mem::take(&mut self.answered)
    }

    /// Whether its next requests, of whatever kind, may be looked at.
    fn has_room(&self, options: &ReplicaOptions) -> bool {
        self.output_bytes() <= options.output_pause_bytes
            && self.owed.expected.at_most <= options.connection_output_bytes_max
            && self.owed.expected.units <= options.turn_work_units
    }

    /// Whether its queue begins with a read that waits for nothing but its client.
    fn begins_with_due_read(&self, last_processed: Zxid) -> bool {
        matches!(self.queue.front(), Some(Waiting::Request { after, .. }) if *after <= last_processed)
    }

    /// Whether there is something to do if its requests wait until its client has read.
    pub(super) fn may_go_on(&self, options: &ReplicaOptions, last_processed: Zxid) -> bool {
        if self.starves || self.in_line {
            return false;
        }
        let may_advance = self.unread_bytes() <= options.output_pause_bytes
            && self.begins_with_due_read(last_processed);
        self.has_room(options) || may_advance
    }
}
