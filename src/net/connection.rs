//! One client connection: its input, its unsent bytes, its end.
//!
//! It reads into memory shared by all connections of the core and passes whole frames on from there, so that only
//! a frame in two pieces is ever copied. Bytes to the client are written at once when they are delivered; only
//! bytes that the socket does not accept are kept until there is room.
//!
//! This file has its states and its end. `frames` finds frames in its input, `output` writes, and `memory` says how
//! much it holds. The table ([`Connections`]) decides what concerns several connections.
//!
//! ```text
//! new ─▶ run ─▶ greeted: the first frame or word is whole ─▶ requests and replies ─┐
//!                ┌─────────────────────────────────────────────────────────────────┘
//!                └▶ end is set ─▶ finish: out of the table, core told ─▶ forget
//!                                         or, if the core closed it, lingers first ─▶ forget
//! ```

mod arrival;
mod frames;
mod memory;
mod output;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use arrival::{Arrival, Greeting};
pub(super) use memory::Holder;
use output::Unsent;

use super::input::{Farewell, Input, LINGER, READS_PER_TURN};
use super::outstanding::Outstanding;
use super::socket::Socket;
use super::{Connections, Core, Door};
use crate::id::ConnectionId;
use crate::limits;
use crate::runtime::{Readiness, Registration, SocketOwner, Timer};

/// One client connection. All of it belongs to one thread, so cells suffice.
pub(super) struct Connection {
    /// Its name for the core; the table says how it is made.
    pub(super) id: ConnectionId,
    /// The client's address, an IPv4 one never as ::ffff:a.b.c.d.
    remote: SocketAddr,
    /// Read and written without waiting (MSG_DONTWAIT), with or without TLS.
    socket: Socket,
    /// What clients speak on the port to which it came.
    door: Door,
    /// How far its client is known.
    arrival: Cell<Arrival>,
    /// When its client must be known, unless the client waits in line for its handshake.
    known_by: Cell<Option<Instant>>,
    /// Whether the client was told why the connection ends, and should have time to read it.
    has_told_why: Cell<bool>,
    /// The table that owns the connection and gets its events.
    table: Connections,
    /// The receiver of its frames and of its end.
    core: Rc<dyn Core>,
    /// The watch on the socket; none before the connection runs and after its end.
    watch: RefCell<Option<Registration>>,
    /// Output that the socket has not accepted yet.
    unsent: RefCell<Unsent>,
    /// The start of a frame whose rest has not arrived.
    partial: RefCell<Vec<u8>>,
    /// Requests passed on and not yet answered.
    pub(super) outstanding: Cell<u32>,
    /// How many of them do not count against other connections, because this client has not read its earlier
    /// replies.
    pub(super) excused: Cell<u32>,
    /// Bytes of those requests.
    pub(super) outstanding_bytes: Cell<u64>,
    /// How these bytes are distributed over the requests.
    pub(super) batches: RefCell<Outstanding>,
    /// Whether it is in the list of connections that wait for answers to requests of others.
    pub(super) throttled: Cell<bool>,
    /// Whether it is not read because too many bytes of its own requests are unanswered.
    pub(super) waits_for_answers: Cell<bool>,
    /// Whether it is in the list of connections whose clients may have stopped reading.
    pub(super) is_slow: Cell<bool>,
    /// Whether it is in the queue of connections that write in turn.
    pub(super) in_line: Cell<bool>,
    /// Whether a whole frame, or a whole four-letter word, has arrived.
    pub(super) greeted: Cell<bool>,
    /// Whether it is in the list of connections with an incomplete frame.
    pub(super) has_begun: Cell<bool>,
    /// How often a check found that frame incomplete although more could have been read.
    looks: Cell<u32>,
    /// Whether the first bytes were a four-letter word, whose answer closes the connection.
    asked_a_word: Cell<bool>,
    /// Whether the client has closed its half: it sends nothing more, and may still read.
    input_over: Cell<bool>,
    /// The bytes that it holds, as counted in the executor's share.
    pub(super) counted: Cell<usize>,
    /// The time since which its requests and incomplete frame take more than a small amount.
    loaded_since: Cell<Option<Instant>>,
    /// The time by which the last bytes must be out, if the core has closed it.
    closes_by: Cell<Option<Instant>>,
    /// The time since which the client has taken none of the waiting bytes.
    stuck_since: Cell<Instant>,
    /// Why it ends, once that is certain. The first reason stays, but for a client that reads nothing or too slowly.
    /// Invariant: once it is set, no more input is passed on.
    end: RefCell<Option<End>>,
    /// Set after [`Connection::finish`], while the client may read the last bytes: the time limit of that.
    lingers: RefCell<Option<Timer>>,
}

/// Why a connection ends.
#[derive(Clone, PartialEq, Eq, Debug)]
enum End {
    /// The core has closed it.
    ByCore,
    /// The client closed it.
    ByClient,
    /// It failed.
    Failed(String),
}

impl Connection {
    /// A connection that is not watched yet: [`Connection::run`] begins it.
    pub(super) fn new(
        id: ConnectionId,
        remote: SocketAddr,
        socket: OwnedFd,
        door: Door,
        table: Connections,
        core: Rc<dyn Core>,
    ) -> Connection {
        let arrival = Cell::new(Arrival::at(&door));
        let known_by = Cell::new(door.tls().map(|port| Instant::now() + port.detection));
        Connection {
            id,
            remote,
            socket: Socket::new(socket),
            door,
            arrival,
            known_by,
            has_told_why: Cell::new(false),
            table,
            core,
            watch: RefCell::new(None),
            unsent: RefCell::default(),
            partial: RefCell::default(),
            outstanding: Cell::new(0),
            excused: Cell::new(0),
            outstanding_bytes: Cell::new(0),
            batches: RefCell::default(),
            throttled: Cell::new(false),
            waits_for_answers: Cell::new(false),
            greeted: Cell::new(false),
            has_begun: Cell::new(false),
            looks: Cell::new(0),
            is_slow: Cell::new(false),
            in_line: Cell::new(false),
            asked_a_word: Cell::new(false),
            input_over: Cell::new(false),
            counted: Cell::new(0),
            loaded_since: Cell::new(None),
            closes_by: Cell::new(None),
            stuck_since: Cell::new(Instant::now()),
            end: RefCell::new(None),
            lingers: RefCell::new(None),
        }
    }

    /// Begins to listen to the client, and tells the core that it is there.
    pub(super) fn run(self: Rc<Self>) {
        if self.arrival.get() == Arrival::Known {
            self.core.open(self.id, self.remote);
        }
        let watch = self.table.shared.reactor.watch(self.socket.as_fd(), self.clone());
        *self.watch.borrow_mut() = Some(watch);
    }

    /// Makes the reactor call it again soon: there may be room, or it has ended.
    pub(super) fn wake(&self) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.again();
        }
    }

    /// Closes it for a reason worth a line in the log.
    pub(super) fn fail(&self, reason: String) {
        let mut end = self.end.borrow_mut();
        if end.is_none() {
            *end = Some(End::Failed(reason));
        }
        drop(end);
        self.wake();
    }

    /// Closes it when everything given to [`Connection::send`] is sent.
    pub(super) fn close_after_output(&self) {
        let mut end = self.end.borrow_mut();
        if end.is_none() {
            *end = Some(End::ByCore);
        }
        drop(end);
        let bytes = self.unsent_bytes();
        if bytes > 0 {
            self.set_farewell(bytes);
        }
        self.wake();
    }

    /// Bounds the time that its client has for the last `bytes`.
    fn set_farewell(&self, bytes: usize) {
        // A long last answer, such as that to `mntr` or a large node, gets time by its length.
        let seconds = (bytes / limits::FAREWELL_BYTES_PER_SECOND) as u64;
        let patience =
            Duration::from_millis(limits::OUTPUT_STALL_MS) + Duration::from_secs(seconds);
        self.closes_by.set(Some(Instant::now() + patience));
        self.table.note_slow(self);
    }

    /// The socket failed while writing. The reactor then calls [`Connection::advance`], which returns the end: whoever
    /// writes may be in the middle of a delivery.
    fn break_off(&self, error: &io::Error) {
        let broken = self.broken(error);
        let mut end = self.end.borrow_mut();
        if end.is_none() {
            *end = Some(broken);
        }
        drop(end);
        self.wake();
    }

    /// What an error of the socket means.
    fn broken(&self, error: &io::Error) -> End {
        if self.input_over.get() {
            // The client had already closed its half of the connection.
            return End::ByClient;
        }
        End::Failed(error.to_string())
    }

    /// Reads and writes what is possible now; returns its end, if it has ended.
    ///
    /// It writes first, unless it stands in line: output that leaves makes room. Then it reads at most
    /// [`READS_PER_TURN`] times, and not at all
    /// * while more than `unsent_bytes_before_pause` bytes wait for the client, beside those that the core bounds;
    /// * while too many bytes of its own requests are unanswered: an answer that makes room wakes it;
    /// * while too much of all clients is outstanding, and something of this one: `Connections::release` wakes it;
    /// * while other clients wait for their turn and something of this one is outstanding, or memory is short: it asks
    ///   to be called again in the next round.
    fn advance(&self, what: Readiness) -> Option<End> {
        // A connection in the queue does not get a turn by sending something.
        if !self.in_line.get()
            && let Err(error) = self.flush(self.unsent.borrow_mut(), usize::MAX).0
        {
            return Some(self.broken(&error));
        }
        let unsent = self.unsent.borrow();
        let (unsent_bytes, unknown) = (unsent.bytes + self.socket.unsent_bytes(), unsent.unknown());
        drop(unsent);
        match &*self.end.borrow() {
            None => {}
            Some(End::ByCore) if unsent_bytes > 0 => return None,
            Some(End::ByCore) => {
                self.socket.say_end(&self.table.shared.records);
                if self.socket.unsent_bytes() == 0 {
                    return Some(End::ByCore);
                }
                if self.closes_by.get().is_none() {
                    // Until now the socket had room for everything.
                    self.stuck_since.set(Instant::now());
                    self.set_farewell(0);
                }
                return None;
            }
            Some(end) => return Some(end.clone()),
        }
        let table = &self.table;
        if self.input_over.get() {
            return self.socket.is_gone().then_some(End::ByClient);
        }
        match self.greet() {
            Greeting::Over => {}
            Greeting::Waits => return None,
            Greeting::Ends(end) => return Some(end),
        }
        if unknown > table.shared.options.unsent_bytes_before_pause {
            return None;
        }
        if self.arrival.get() == Arrival::Shaking && !table.may_read_handshake() {
            self.wake();
            return None;
        }
        // The conditions are checked again before each read: what one read brings may change them.
        for _ in 0..READS_PER_TURN {
            if self.outstanding_bytes.get() > limits::CONNECTION_REQUESTS_PAUSE_BYTES {
                self.waits_for_answers.set(true);
                return None;
            }
            if self.outstanding.get() > 0 && self.core.is_busy() {
                break;
            }
            if self.outstanding.get() > 0 && table.is_throttled() {
                table.wait_for_room(self);
                return None;
            }
            if table.shared.share.is_nearly_full() {
                // At the end of the round some memory is released.
                break;
            }
            let mut scratch = table.shared.scratch.borrow_mut();
            let read = self.socket.read(&mut scratch, what, &table.shared.records);
            if self.arrival.get() == Arrival::Shaking {
                if self.socket.take_answered() {
                    self.stuck_since.set(Instant::now());
                }
                if self.socket.is_established()
                    && let Err(reason) = self.introduce()
                {
                    return Some(End::Failed(reason));
                }
            }
            match read {
                Input::End => {
                    drop(scratch);
                    return self.input_ends();
                }
                Input::Bytes { bytes, is_more } => {
                    if let Err(reason) = self.received(&scratch[..bytes]) {
                        return Some(End::Failed(reason));
                    }
                    if !is_more {
                        return None;
                    }
                    // Long frames are read one piece per round: hundreds of them are as much as a round may read.
                    if self.partial.borrow().len() >= scratch.len()
                        || self.socket.has_tiny_records()
                    {
                        break;
                    }
                }
                Input::Nothing => return None,
                Input::Failed(error) => return Some(End::Failed(error.to_string())),
            }
        }
        self.wake();
        None
    }

    fn want_room(&self) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.want_room();
        }
    }

    /// Takes it out of the table and reports its end, once. If the core closed it and all its output has left, or the
    /// client was told why it ends, the socket stays open for a moment: closing it with unread input would reset the
    /// connection, and the client might lose the last bytes.
    fn finish(self: &Rc<Self>, end: &End) {
        let (id, remote) = (self.id, self.remote);
        match end {
            End::ByCore => tracing::debug!(%remote, conn = id.0, "connection closed"),
            End::ByClient => {
                tracing::debug!(%remote, conn = id.0, "connection closed by the client")
            }
            End::Failed(reason) => {
                self.table.warn(format_args!("connection from {remote} closed: {reason}"));
            }
        }
        self.table.remove(self);
        self.table.shared.census.leave(remote.ip());
        if self.arrival.get() == Arrival::Known {
            self.core.close(id);
        }
        self.leave_door(end);
        self.socket.say_end(&self.table.shared.records);
        let may_read = *end == End::ByCore || self.has_told_why.get();
        if !may_read || !self.socket.end_output() || !self.table.shared.census.linger() {
            return self.forget();
        }
        // Nothing more will be sent, and the client may read the last bytes.
        let this = self.clone();
        let timer = self.table.shared.reactor.after(LINGER, move || this.forget());
        *self.lingers.borrow_mut() = Some(timer);
        self.drain();
    }

    /// Reads and discards input until the client closes its side.
    fn drain(&self) {
        match self.socket.discard() {
            Farewell::Over => self.forget(),
            Farewell::Waits => {}
            Farewell::HasMore => self.wake(),
        }
    }

    /// Drops the watch, which holds the last reference to the socket.
    fn forget(&self) {
        let watch = self.watch.borrow_mut().take();
        let timer = self.lingers.borrow_mut().take();
        if timer.is_some() {
            self.table.shared.census.end_linger();
        }
        drop((watch, timer));
    }
}

impl SocketOwner for Connection {
    /// What the reactor calls when there is input or room, and after [`Connection::wake`].
    fn ready(self: Rc<Self>, what: Readiness) {
        if self.lingers.borrow().is_some() {
            self.drain();
        } else if let Some(end) = self.advance(what) {
            self.finish(&end);
        } else {
            if self.socket.unsent_bytes() > 0 {
                // What was read may have been answered: by a part of the handshake, say.
                self.want_room();
            }
            self.recount();
        }
    }
}
