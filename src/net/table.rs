//! The connections of one session core, and the delivery of bytes to them.
//!
//! A [`ConnectionId`] says where its connection is, so that delivery needs no lookup in a map:
//! ```text
//! 8 bits   number of the session core
//! 32 bits  sequence: differs from that of earlier connections in the same slot
//! 24 bits  slot in the table of the core
//! ```
//! The table also does what concerns several connections: the bounds on what is outstanding, the turns of those with
//! long output, the memory of all, and the lists that are checked once a second. A flag of the connection says
//! whether it is in such a list, so that it is in each at most once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Holder};
use super::socket::Records;
use super::{Budget, Census, Share};
use crate::id::ConnectionId;
use crate::limits;
use crate::log::Limiter;
use crate::replica::Outgoing;
use crate::runtime::{Clock, Reactor, Timer};

/// Options of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetOptions {
    /// Longest frame of a client (`jute.maxbuffer`).
    pub frame_bytes_max: u32,
    /// Outstanding requests of this core's connections beyond which only connections without outstanding requests are
    /// read (`globalOutstandingLimit`, shared by the cores).
    pub requests_outstanding_max: u32,
    /// Unsent bytes of a connection beyond which the server does not read from it until its client has read.
    pub unsent_bytes_before_pause: usize,
    /// Unsent bytes of a connection beyond which it is closed: its client does not read.
    pub unsent_bytes_max: usize,
    /// The same bound for the bytes of outstanding requests.
    pub received_bytes_max: u64,
    /// How long a connection may take until its first frame is complete (`nio.sessionlessCnxnTimeout`).
    pub sessionless_timeout: Duration,
}

impl Default for NetOptions {
    fn default() -> Self {
        NetOptions {
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            requests_outstanding_max: 1000,
            unsent_bytes_before_pause: 4 << 20,
            unsent_bytes_max: limits::CONNECTION_OUTPUT_BYTES_MAX,
            received_bytes_max: 256 << 20,
            sessionless_timeout: Duration::from_secs(10),
        }
    }
}

/// Bytes read from a socket at once, into memory that all connections of a core share: an idle
/// connection has no receive buffer of its own.
const SCRATCH_BYTES: usize = limits::CONNECTION_READ_BYTES;

/// How long a client may take no byte while more output waits than may.
pub(super) const OUTPUT_STALL: Duration = Duration::from_millis(limits::OUTPUT_STALL_MS);

/// Largest number of open connections of one core: the range of a slot's bits.
const SLOTS_MAX: usize = 1 << SLOT_BITS;
/// Bits of the slot in a [`ConnectionId`].
const SLOT_BITS: u32 = 24;
/// Bits of the sequence in a [`ConnectionId`].
const SEQUENCE_BITS: u32 = 32;

/// The connections of one session core. Clones are handles on the same table.
#[derive(Clone)]
pub struct Connections {
    pub(super) shared: Rc<Shared>,
}

/// What all handles on a table share. It stays on the thread of its session core.
pub(super) struct Shared {
    /// The number of the session core.
    core: u8,
    /// Bounds and times, from the configuration.
    pub(super) options: NetOptions,
    /// Counts connections, with all cores.
    pub(super) census: Census,
    /// The memory that the connections hold.
    pub(super) share: Share,
    /// Bytes that have arrived from another executor, and are no longer in transit.
    arrived: Share,
    /// Watches the sockets.
    pub(super) reactor: Reactor,
    /// The connections.
    slots: RefCell<Slots>,
    /// Requests outstanding of all connections, the excused ones not counted.
    pub(super) outstanding: Cell<u32>,
    /// Bytes of the requests outstanding.
    pub(super) outstanding_bytes: Cell<u64>,
    /// Connections that are not read because too much is outstanding.
    throttled: RefCell<Vec<ConnectionId>>,
    /// What a read reads into. Invariant: nobody holds it longer than one read and the passing on of its frames.
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// The same for TLS.
    pub(super) records: RefCell<Records>,
    /// Connections with more unsent bytes than may wait, now or a moment ago.
    slow: RefCell<Vec<ConnectionId>>,
    /// Connections with long pieces to write, each a little in turn.
    in_line: RefCell<VecDeque<ConnectionId>>,
    /// Connections whose frame was incomplete when they were last checked.
    begun: RefCell<Vec<ConnectionId>>,
    /// Connections whose first frame is awaited, oldest first.
    newcomers: RefCell<VecDeque<(Instant, ConnectionId)>>,
    /// Connections on ports with TLS whose clients are not known yet.
    pub(super) unknown: RefCell<Vec<ConnectionId>>,
    /// Those of them that wait for their handshake, and the timer that lets some begin.
    pub(super) hellos: RefCell<VecDeque<ConnectionId>>,
    /// How many reads of handshakes under way are left in this round.
    pub(super) handshake_reads_left: Cell<usize>,
    pub(super) hello_timer: RefCell<Option<Timer>>,
    /// For `lines`.
    clock: Clock,
    /// Lines of the log that clients can provoke.
    lines: RefCell<Limiter>,
}

/// When long pieces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once: the sender bounds the output in its own turns.
    AtOnce,
    /// In the turn of the connection.
    InTurn,
}

/// The connections by slot.
#[derive(Default)]
struct Slots {
    /// `None` in free slots.
    connections: Vec<Option<Rc<Connection>>>,
    /// Slots to use again. Invariant: each once.
    free: Vec<u32>,
    /// How many slots are taken.
    open: usize,
    /// That of the newest connection; it wraps.
    sequence: u32,
}

impl Connections {
    /// An empty table of session core number `core`.
    pub fn new(
        core: u8,
        options: NetOptions,
        census: Census,
        budget: &Budget,
        reactor: Reactor,
    ) -> Connections {
        let shared = Shared {
            core,
            options,
            census,
            share: budget.seat(core, Some(reactor.bell())),
            arrived: budget.on_the_way(),
            reactor,
            slots: RefCell::default(),
            outstanding: Cell::new(0),
            outstanding_bytes: Cell::new(0),
            throttled: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            records: RefCell::default(),
            slow: RefCell::default(),
            in_line: RefCell::default(),
            begun: RefCell::default(),
            newcomers: RefCell::default(),
            unknown: RefCell::default(),
            hellos: RefCell::default(),
            handshake_reads_left: Cell::new(limits::HANDSHAKES_READ_PER_ROUND),
            hello_timer: RefCell::default(),
            clock: Clock::start(),
            lines: RefCell::new(Limiter::of_provoked_lines()),
        };
        Connections { shared: Rc::new(shared) }
    }

    /// The number of the session core of a connection: the highest byte of the id.
    pub fn core_of(conn: ConnectionId) -> u8 {
        conn.0.to_be_bytes()[0]
    }

    /// Open connections.
    pub fn len(&self) -> usize {
        self.shared.slots.borrow().open
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Executes one send of the replica. Returns the buffer for reuse if all of it is sent.
    pub fn deliver(&self, send: Outgoing) -> Option<Vec<u8>> {
        self.deliver_at(Pace::AtOnce, send)
    }

    /// [`Connections::deliver`] at this pace. A send to a connection that is gone is dropped.
    fn deliver_at(&self, pace: Pace, send: Outgoing) -> Option<Vec<u8>> {
        // The connection is gone; the replica will get, or has got, the event.
        let connection = self.find(send.conn)?;
        // A connection that is being closed has no outstanding requests any more, however long its client takes to read
        // the last bytes; its unanswered requests must not slow down others.
        self.answered(&connection, if send.close { u32::MAX } else { send.answered });
        let close = send.close;
        let spare = connection.send(send, self.shared.options.unsent_bytes_max, pace);
        if close {
            connection.close_after_output();
        }
        connection.recount();
        spare
    }

    /// Executes sends from another executor, which has counted them while they were in transit: long ones in turn
    /// ([`Connections::write_some`]), because many may come together, and short ones after them should not wait.
    pub fn deliver_all(&self, sends: Vec<Outgoing>) {
        for send in sends {
            let bytes = send.bytes.capacity();
            self.deliver_at(Pace::InTurn, send);
            self.shared.arrived.change(bytes, 0);
        }
    }

    /// Enters a connection in the queue of those with long output, unless it is there.
    pub(super) fn stand_in_line(&self, connection: &Connection) {
        if !connection.in_line.replace(true) {
            self.shared.in_line.borrow_mut().push_back(connection.id);
        }
    }

    /// Writes a part of the queued output. Call once in each round, and do not sleep while [`Connections::has_line`].
    pub fn write_some(&self) {
        let mut wrote = 0;
        // The fixed cost of a system call, in bytes.
        const SEND_CALL_BYTES: usize = 1024;
        let waiting = self.shared.in_line.borrow().len();
        // Each gets one turn: those that stand in line again come in the next round.
        for _ in 0..waiting {
            if wrote >= limits::LONG_SENDS_BYTES_PER_ROUND {
                return;
            }
            let Some(next) = self.shared.in_line.borrow_mut().pop_front() else { return };
            let Some(connection) = self.find(next) else { continue };
            connection.in_line.set(false);
            let (bytes, is_more) = connection.take_turn(limits::LONG_SEND_BYTES_PER_TURN);
            wrote += bytes + SEND_CALL_BYTES;
            if is_more {
                self.stand_in_line(&connection);
            }
        }
    }

    /// Whether there is queued output.
    pub fn has_line(&self) -> bool {
        !self.shared.in_line.borrow().is_empty()
    }

    /// Publishes what the connections hold, and closes some if it is too much. Call once in each round, outside of any
    /// other method.
    pub fn settle(&self) {
        self.shared.handshake_reads_left.set(limits::HANDSHAKES_READ_PER_ROUND);
        let share = &self.shared.share;
        share.tell();
        self.shared.arrived.tell();
        let Some(excess) = share.excess() else { return };
        let now = Instant::now();
        let slots = self.shared.slots.borrow();
        let all = slots.connections.iter().flatten();
        // Only now, when it is too much, are all connections asked.
        let mut holders: Vec<Holder> = all.filter_map(|one| one.holds(now)).collect();
        drop(slots);
        holders.sort_unstable_by_key(|holder| std::cmp::Reverse(holder.weight));
        let mut let_go = 0;
        for holder in holders {
            if let_go >= excess {
                break;
            }
            let Some(connection) = self.find(holder.conn) else { continue };
            let_go += holder.bytes as u64;
            share.count_closed(holder.bytes as u64);
            connection.give_up(&holder, share.budget());
        }
        share.tell();
    }

    /// Uncounts the first `answered` outstanding requests of a connection, or all if there are fewer, and wakes the
    /// connection if it waited for that.
    fn answered(&self, connection: &Connection, answered: u32) {
        let before = connection.outstanding.get();
        let answered = answered.min(before);
        if answered == 0 {
            return;
        }
        let bytes = connection.outstanding_bytes.get();
        let share = connection.batches.borrow_mut().take(answered);
        connection.outstanding.set(before - answered);
        connection.outstanding_bytes.set(bytes - share);
        let excused = answered.min(connection.excused.get());
        connection.excused.set(connection.excused.get() - excused);
        self.release(answered - excused, share);
        let has_room =
            connection.outstanding_bytes.get() <= limits::CONNECTION_REQUESTS_PAUSE_BYTES;
        // Reading may have stopped because others used up the bound: this connection has nothing outstanding now.
        if (answered == before && self.is_throttled())
            || (has_room && connection.waits_for_answers.take())
        {
            connection.wake();
        }
    }

    /// Whether so much is outstanding that only connections without outstanding requests are read.
    pub(super) fn is_throttled(&self) -> bool {
        let shared = &*self.shared;
        shared.outstanding.get() > shared.options.requests_outstanding_max
            || shared.outstanding_bytes.get() > shared.options.received_bytes_max
    }

    /// Registers a connection to be woken when it may be read again.
    pub(super) fn wait_for_room(&self, connection: &Connection) {
        if !connection.throttled.replace(true) {
            self.shared.throttled.borrow_mut().push(connection.id);
        }
    }

    /// Counts requests that are passed on.
    pub(super) fn count(&self, connection: &Connection, requests: u32, bytes: u64) {
        connection.outstanding.set(connection.outstanding.get() + requests);
        connection.outstanding_bytes.set(connection.outstanding_bytes.get() + bytes);
        connection.batches.borrow_mut().put(requests, bytes);
        self.shared.outstanding.set(self.shared.outstanding.get() + requests);
        self.shared.outstanding_bytes.set(self.shared.outstanding_bytes.get() + bytes);
        self.excuse(connection, connection.excused.get() > 0);
    }

    /// While a client does not read its output, its requests wait only for itself: they do not count against other
    /// connections, or a client that reads nothing would slow down all of them. Their memory still counts.
    // ZooKeeper: ServerCnxn.decrOutstandingAndCheckThrottle is called when a reply is made, whether or not its client
    // reads the reply.
    pub(super) fn excuse(&self, connection: &Connection, is_slow: bool) {
        let before = connection.excused.get();
        let excused = if is_slow { connection.outstanding.get() } else { 0 };
        if excused == before {
            return;
        }
        connection.excused.set(excused);
        let counted = self.shared.outstanding.get() + before;
        self.shared.outstanding.set(counted - excused);
        // Fewer are counted now, which may let others read.
        if excused > before {
            self.release(0, 0);
        }
    }

    /// Uncounts requests, and wakes connections that waited for that.
    fn release(&self, requests: u32, bytes: u64) {
        let shared = &*self.shared;
        shared.outstanding.set(shared.outstanding.get() - requests);
        shared.outstanding_bytes.set(shared.outstanding_bytes.get() - bytes);
        if !self.is_throttled() {
            for conn in shared.throttled.borrow_mut().drain(..) {
                if let Some(connection) = self.find(conn) {
                    connection.throttled.set(false);
                    connection.wake();
                }
            }
        }
    }

    /// Enters a connection; `None` when every slot is taken.
    pub(super) fn insert(
        &self,
        make: impl FnOnce(ConnectionId) -> Connection,
    ) -> Option<Rc<Connection>> {
        let mut slots = self.shared.slots.borrow_mut();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None if slots.connections.len() < SLOTS_MAX => {
                slots.connections.push(None);
                u32::try_from(slots.connections.len() - 1).expect("bounded by 2^24")
            }
            None => return None,
        };
        slots.sequence = slots.sequence.wrapping_add(1);
        let id = (u64::from(self.shared.core) << (SLOT_BITS + SEQUENCE_BITS))
            | (u64::from(slots.sequence) << SLOT_BITS)
            | u64::from(slot);
        let connection = Rc::new(make(ConnectionId(id)));
        slots.connections[slot as usize] = Some(connection.clone());
        slots.open += 1;
        drop(slots);
        match connection.is_known() {
            true => self.note_newcomer(connection.id),
            false => self.shared.unknown.borrow_mut().push(connection.id),
        }
        Some(connection)
    }

    /// Notes that the first frame of this connection is awaited from now on.
    pub(super) fn note_newcomer(&self, conn: ConnectionId) {
        let deadline = Instant::now() + self.shared.options.sessionless_timeout;
        self.shared.newcomers.borrow_mut().push_back((deadline, conn));
    }

    /// Removes a connection; its outstanding requests no longer count.
    pub(super) fn remove(&self, connection: &Connection) {
        let slot = slot_of(connection.id);
        let mut slots = self.shared.slots.borrow_mut();
        let held = slots.connections[slot].take();
        assert!(held.is_some_and(|held| held.id == connection.id), "removed once, from its slot");
        slots.free.push(u32::try_from(slot).expect("bounded by 2^24"));
        slots.open -= 1;
        drop(slots);
        if connection.throttled.get() {
            self.shared.throttled.borrow_mut().retain(|waiting| *waiting != connection.id);
        }
        // The excused ones are not in the sum of all.
        let counted = connection.outstanding.replace(0) - connection.excused.replace(0);
        drop(connection.batches.take());
        self.shared.share.change(connection.counted.replace(0), 0);
        self.release(counted, connection.outstanding_bytes.replace(0));
    }

    /// The connection with this id, if it is still there: a later one in its slot has another sequence.
    pub(super) fn find(&self, conn: ConnectionId) -> Option<Rc<Connection>> {
        let slots = self.shared.slots.borrow();
        let connection = slots.connections.get(slot_of(conn))?.as_ref()?;
        (connection.id == conn).then(|| connection.clone())
    }

    /// Closes connections that have sent no whole frame for too long, and those whose clients do not
    /// read. Call about once a second.
    pub fn close_silent(&self, now: Instant) {
        self.close_stuck(now);
        self.close_unfinished();
        self.close_unknown(now);
        let mut newcomers = self.shared.newcomers.borrow_mut();
        while newcomers.front().is_some_and(|(deadline, _)| *deadline <= now) {
            let (_, conn) = newcomers.pop_front().expect("looked at just now");
            if let Some(connection) = self.find(conn)
                && !connection.greeted.get()
            {
                connection.fail("no request came in time after connecting".into());
            }
        }
    }

    /// Notes that this connection has an incomplete frame.
    pub(super) fn note_begun(&self, connection: &Connection) {
        if !connection.has_begun.replace(true) {
            self.shared.begun.borrow_mut().push(connection.id);
        }
    }

    /// Closes connections whose frames do not become complete in time. Call about once a second.
    fn close_unfinished(&self) {
        let begun = std::mem::take(&mut *self.shared.begun.borrow_mut());
        for conn in begun {
            let Some(connection) = self.find(conn) else { continue };
            connection.has_begun.set(false);
            if connection.look_after_frame() {
                self.note_begun(&connection);
            }
        }
    }

    /// Notes that this connection has more unsent bytes than may wait.
    pub(super) fn note_slow(&self, connection: &Connection) {
        if !connection.is_slow.replace(true) {
            self.shared.slow.borrow_mut().push(connection.id);
        }
    }

    /// Closes connections whose clients read nothing. Call about once a second.
    fn close_stuck(&self, now: Instant) {
        let slow = std::mem::take(&mut *self.shared.slow.borrow_mut());
        for conn in slow {
            let Some(connection) = self.find(conn) else { continue };
            connection.is_slow.set(false);
            let pause = self.shared.options.unsent_bytes_before_pause;
            if connection.close_if_stuck(now, OUTPUT_STALL, pause) {
                self.note_slow(&connection);
            }
        }
    }

    /// Logs a line that a client can provoke at will, unless there were too many.
    pub(super) fn warn(&self, line: std::fmt::Arguments<'_>) {
        let shared = &*self.shared;
        match shared.lines.borrow_mut().allow(shared.clock.mono()) {
            Some(0) => tracing::warn!("{line}"),
            Some(unsaid) => tracing::warn!(unsaid, "{line}"),
            None => {}
        }
    }

    /// Stops reading all sockets, and closes each connection after its remaining output.
    pub fn stop(&self) {
        let slots = self.shared.slots.borrow();
        for connection in slots.connections.iter().flatten() {
            connection.close_after_output();
        }
    }
}

/// The lowest 24 bits of an id.
fn slot_of(conn: ConnectionId) -> usize {
    let mask = (1 << SLOT_BITS) - 1;
    usize::try_from(conn.0 & mask).expect("24 bits")
}
