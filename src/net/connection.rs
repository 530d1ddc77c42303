//! One client connection: its input, its unsent bytes, its end.
//!
//! It reads into memory shared by all connections of the core and passes whole frames on from there, so that only
//! a frame in two pieces is ever copied. Bytes to the client are written at once when they are delivered; only
//! bytes that the socket does not accept are kept until there is room.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use super::frame::{LENGTH_BYTES, Tail, split};
use super::outstanding::Outstanding;
use super::table::Pace;
use super::{Budget, Connections, Core};
use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;
use crate::limits;
use crate::replica::Outgoing;
use crate::runtime::{Readiness, Registration, SocketOwner, Timer};

/// Reads in a row before the other connections get their turn.
const READS_PER_TURN: usize = 4;

/// A receive buffer larger than this is freed as soon as it is empty.
const PARTIAL_BYTES_KEPT: usize = 4096;

/// Room that is allocated for the rest of a frame, per byte that has arrived.
const FRAME_ROOM_PER_BYTE: usize = 15;

/// How long to wait, after the last byte to a client, for it to close its side: closing with
/// unread input would reset the connection and might cost the client our last bytes.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) id: ConnectionId,
    remote: SocketAddr,
    socket: OwnedFd,
    /// The table that owns the connection and gets its events.
    table: Connections,
    core: Rc<dyn Core>,
    /// The watch on the socket; none before the connection runs and after its end.
    watch: RefCell<Option<Registration>>,
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
    /// Whether a whole frame has arrived.
    pub(super) greeted: Cell<bool>,
    /// Whether it is in the list of connections with an incomplete frame.
    pub(super) has_begun: Cell<bool>,
    /// How often a check found that frame incomplete although more could have been read.
    looks: Cell<u32>,
    /// Whether that was a four-letter word, whose answer closes the connection.
    asked_a_word: Cell<bool>,
    /// The client sends nothing more.
    input_over: Cell<bool>,
    /// The bytes that it holds, as counted in the executor's share.
    pub(super) counted: Cell<usize>,
    /// The time since which its requests and incomplete frame take more than a small amount.
    loaded_since: Cell<Option<Instant>>,
    /// The time by which the last bytes must be out, if the core has closed it.
    closes_by: Cell<Option<Instant>>,
    /// The time since which the client has taken none of the waiting bytes.
    stuck_since: Cell<Instant>,
    end: RefCell<Option<End>>,
    /// The core knows of its end, and the client may read the last bytes.
    lingers: RefCell<Option<Timer>>,
}

#[derive(Default)]
struct Unsent {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are already sent.
    front_sent: usize,
    bytes: usize,
    /// Bytes of memory that the pieces take.
    held: usize,
    /// Bytes of the pieces that are reported to the core when they are sent; the core bounds them itself.
    reported: usize,
}

/// The bytes of one send.
struct Piece {
    bytes: Vec<u8>,
    /// How many of them are reported to the core: all or none.
    reported_bytes: usize,
    /// The time of its arrival.
    since: Instant,
}

/// The memory that one connection holds.
pub(super) struct Holder {
    pub conn: ConnectionId,
    pub bytes: usize,
    /// How long it has held the oldest part of it.
    age: Duration,
    /// Bytes times age: much memory for a moment weighs the same as little memory for long.
    pub weight: u128,
}

/// The least age that counts, so that a large new piece weighs more than a small new one.
const AGE_MIN: Duration = Duration::from_millis(100);
/// Bytes of requests that wait for the server weigh this many times less than bytes that wait for their client.
/// Their total is bounded by the limits on reading.
const LAWFUL_WEIGHT: u128 = 16;

impl Unsent {
    /// Bytes that the core does not bound itself.
    fn unknown(&self) -> usize {
        // A piece is reported as a whole, but may be sent in part.
        (self.bytes + self.front_sent).saturating_sub(self.reported)
    }
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
    pub(super) fn new(
        id: ConnectionId,
        remote: SocketAddr,
        socket: OwnedFd,
        table: Connections,
        core: Rc<dyn Core>,
    ) -> Connection {
        Connection {
            id,
            remote,
            socket,
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

    /// Begins to listen to the client.
    pub(super) fn run(self: Rc<Self>) {
        self.core.open(self.id, self.remote);
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
            let seconds = (bytes / limits::FAREWELL_BYTES_PER_SECOND) as u64;
            let patience =
                Duration::from_millis(limits::OUTPUT_STALL_MS) + Duration::from_secs(seconds);
            self.closes_by.set(Some(Instant::now() + patience));
            self.table.note_slow(self);
        }
        self.wake();
    }

    /// Updates the executor's share with the bytes that it holds now.
    pub(super) fn recount(&self) {
        let requests = self.request_bytes();
        if requests <= limits::OUTPUT_REPORTED_BYTES {
            self.loaded_since.set(None);
        } else if self.loaded_since.get().is_none() {
            self.loaded_since.set(Some(Instant::now()));
        }
        let bytes = self.unsent.borrow().held + requests;
        self.table.shared.share.change(self.counted.replace(bytes), bytes);
    }

    /// Bytes of unanswered requests and of an incomplete frame.
    fn request_bytes(&self) -> usize {
        let outstanding = usize::try_from(self.outstanding_bytes.get()).unwrap_or(usize::MAX);
        outstanding.saturating_add(self.partial.borrow().capacity())
    }

    /// The memory that it holds, if any.
    pub(super) fn holds(&self, now: Instant) -> Option<Holder> {
        let unsent = self.unsent.borrow();
        let requests = self.request_bytes();
        let bytes = unsent.held + requests;
        if bytes == 0 {
            return None;
        }
        let age = |since: Option<Instant>| {
            since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
        };
        let unsent_age = age(unsent.pieces.front().map(|piece| piece.since));
        let requests_age = age(self.loaded_since.get());
        let weigh = |bytes: usize, age: Duration| bytes as u128 * (age + AGE_MIN).as_millis();
        // Complete requests of a client that reads its answers wait for this server, not for their client.
        let lawful = if unsent.held == 0 {
            usize::try_from(self.outstanding_bytes.get()).unwrap_or(usize::MAX).min(requests)
        } else {
            0
        };
        let weight = weigh(unsent.held, unsent_age)
            + weigh(requests - lawful, requests_age)
            + weigh(lawful, requests_age) / LAWFUL_WEIGHT;
        Some(Holder { conn: self.id, bytes, age: unsent_age.max(requests_age), weight })
    }

    /// Ends it because of the memory that it holds, and because all connections together hold too much.
    pub(super) fn give_up(self: &Rc<Self>, holder: &Holder, budget: &Budget) {
        self.finish(&End::Failed(format!(
            "it holds {} kB, the oldest for {} ms, and all connections together hold nearly the \
             allowed {} MiB (ringkeeper.connectionMemoryMax)",
            holder.bytes.div_ceil(1000),
            holder.age.as_millis(),
            budget.bytes_max() >> 20,
        )));
        // Frees its memory now, whatever still references it.
        self.unsent.take();
        self.partial.take();
    }

    /// Writes as much of a send's bytes as the socket accepts now and keeps the rest. Returns the buffer when it
    /// is empty.
    pub(super) fn send(&self, send: Outgoing, unsent_max: usize, pace: Pace) -> Option<Vec<u8>> {
        if send.bytes.is_empty() {
            return Some(send.bytes);
        }
        let waits = pace == Pace::InTurn && send.bytes.len() > limits::SHORT_SEND_BYTES;
        let reported_bytes = send.reported_bytes();
        let piece = Piece { reported_bytes, bytes: send.bytes, since: Instant::now() };
        let mut unsent = self.unsent.borrow_mut();
        let unknown = unsent.unknown();
        if unknown > unsent_max {
            drop(unsent);
            self.fail(format!("{unknown} bytes of events wait, and its client does not read them"));
            return Some(piece.bytes);
        }
        unsent.bytes += piece.bytes.len();
        unsent.held += piece.bytes.capacity();
        let now = piece.since;
        unsent.reported += piece.reported_bytes;
        unsent.pieces.push_back(piece);
        if unsent.pieces.len() > 1 {
            // The socket is full, or the connection waits for its turn.
            return None;
        }
        self.stuck_since.set(now);
        if waits {
            drop(unsent);
            self.table.stand_in_line(self);
            return None;
        }
        let (result, spare) = self.flush(unsent, usize::MAX);
        if let Err(error) = result {
            self.break_off(&error);
        }
        spare
    }

    /// Takes its turn to write at most `most` bytes; returns how many it wrote, and whether it may write more.
    pub(super) fn take_turn(&self, most: usize) -> (usize, bool) {
        let before = self.unsent_bytes();
        let is_more = match self.flush(self.unsent.borrow_mut(), most).0 {
            Ok(is_more) => is_more,
            Err(error) => {
                self.break_off(&error);
                false
            }
        };
        self.recount();
        let after = self.unsent_bytes();
        if after == 0 && self.end.borrow().is_some() {
            self.wake();
        }
        (before - after, is_more)
    }

    /// The socket failed.
    fn break_off(&self, error: &io::Error) {
        let broken = self.broken(error);
        let mut end = self.end.borrow_mut();
        if end.is_none() {
            *end = Some(broken);
        }
        drop(end);
        self.wake();
    }

    fn broken(&self, error: &io::Error) -> End {
        if self.input_over.get() {
            // The client had already closed its half of the connection.
            return End::ByClient;
        }
        End::Failed(error.to_string())
    }

    /// Closes it if its client has taken none of the bytes that wait for it for `long`. True: it has to be
    /// checked again.
    pub(super) fn close_if_stuck(&self, now: Instant, long: Duration, pause: usize) -> bool {
        let bytes = self.unsent_bytes();
        let mut end = self.end.borrow_mut();
        if bytes > 0 && now.saturating_duration_since(self.stuck_since.get()) >= long {
            // Even if it is to be closed after these bytes.
            *end = Some(End::Failed(format!(
                "its client has read nothing for {} s, and {bytes} bytes wait for it",
                long.as_secs()
            )));
            drop(end);
            self.wake();
            return false;
        }
        if bytes > 0 && self.closes_by.get().is_some_and(|until| until <= now) {
            *end = Some(End::Failed(format!(
                "the server has closed it, and its client reads the last {bytes} bytes too slowly"
            )));
            drop(end);
            self.wake();
            return false;
        }
        bytes > pause || (bytes > 0 && end.is_some())
    }

    fn unsent_bytes(&self) -> usize {
        self.unsent.borrow().bytes
    }

    /// Writes at most `most` bytes, as far as the socket accepts them; waits for room if it accepts no more.
    /// Returns whether it might accept more, and the last buffer that was sent completely.
    fn flush(
        &self,
        mut unsent: RefMut<'_, Unsent>,
        most: usize,
    ) -> (io::Result<bool>, Option<Vec<u8>>) {
        let mut spare = None;
        let mut taken = 0;
        let result = self.write_out(&mut unsent, most, &mut spare, &mut taken);
        unsent.reported -= taken;
        let unsent_bytes = unsent.bytes;
        drop(unsent);
        if unsent_bytes > self.table.shared.options.unsent_bytes_before_pause {
            self.table.note_slow(self);
        }
        self.table.excuse(self, unsent_bytes > 0);
        if taken > 0 {
            self.core.written(self.id, taken);
        }
        (result, spare)
    }

    fn write_out(
        &self,
        unsent: &mut Unsent,
        most: usize,
        spare: &mut Option<Vec<u8>>,
        taken: &mut usize,
    ) -> io::Result<bool> {
        let mut wrote_in_all = 0;
        while let Some(front) = unsent.pieces.front() {
            if wrote_in_all >= most {
                self.stuck_since.set(Instant::now());
                return Ok(true);
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let rest = &front.bytes[unsent.front_sent..];
            match send(&self.socket, &rest[..rest.len().min(most - wrote_in_all)], flags) {
                Ok(wrote) => {
                    wrote_in_all += wrote;
                    unsent.front_sent += wrote;
                    unsent.bytes -= wrote;
                    if unsent.front_sent == front.bytes.len() {
                        unsent.front_sent = 0;
                        *taken += front.reported_bytes;
                        unsent.held -= front.bytes.capacity();
                        *spare = unsent.pieces.pop_front().map(|piece| piece.bytes);
                    }
                }
                Err(rustix::io::Errno::AGAIN) => {
                    if wrote_in_all > 0 {
                        self.stuck_since.set(Instant::now());
                    }
                    if let Some(watch) = &*self.watch.borrow() {
                        watch.want_room();
                    }
                    break;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Reads and writes what is possible now; returns its end, if it has ended.
    fn advance(&self, what: Readiness) -> Option<End> {
        // A connection in the queue does not get a turn by sending something.
        if !self.in_line.get()
            && let Err(error) = self.flush(self.unsent.borrow_mut(), usize::MAX).0
        {
            return Some(self.broken(&error));
        }
        let unsent = self.unsent.borrow();
        let (unsent_bytes, unknown) = (unsent.bytes, unsent.unknown());
        drop(unsent);
        match &*self.end.borrow() {
            None => {}
            Some(End::ByCore) if unsent_bytes > 0 => return None,
            Some(end) => return Some(end.clone()),
        }
        let table = &self.table;
        if self.input_over.get() {
            return self.look_whether_gone();
        }
        if unknown > table.shared.options.unsent_bytes_before_pause {
            return None;
        }
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
            match recv(&self.socket, &mut **scratch, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    drop(scratch);
                    return self.input_ends();
                }
                Ok((bytes, _)) => {
                    if let Err(reason) = self.received(&scratch[..bytes]) {
                        return Some(End::Failed(reason));
                    }
                    // Later input causes a new event; the end of the stream was reported with these bytes.
                    if bytes < scratch.len() && !what.hung_up {
                        return None;
                    }
                    // Long frames are read one piece per round: hundreds of them are as much as a round may read.
                    if self.partial.borrow().len() >= scratch.len() {
                        break;
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return None,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Some(End::Failed(io::Error::from(error).to_string())),
            }
        }
        self.wake();
        None
    }

    /// The client sends nothing more. Its requests are answered first: a client that sends a four-letter word and
    /// closes its half, as `nc -N` does, waits for the answer.
    fn input_ends(&self) -> Option<End> {
        if !self.greeted.get() {
            return Some(End::ByClient);
        }
        self.input_over.set(true);
        if !self.asked_a_word.get() {
            self.core.end(self.id);
        }
        None
    }

    /// Checks whether the client has also closed its receiving half. Reading does not show it: after the end of
    /// the stream there is nothing more to read.
    fn look_whether_gone(&self) -> Option<End> {
        let mut look = [PollFd::new(&self.socket, PollFlags::empty())];
        let found = poll(&mut look, Some(&Timespec::default()));
        let gone = PollFlags::ERR | PollFlags::HUP;
        (found.is_ok() && look[0].revents().intersects(gone)).then_some(End::ByClient)
    }

    fn received(&self, bytes: &[u8]) -> Result<(), String> {
        if self.asked_a_word.get() {
            // Bytes after a four-letter word have no meaning.
            return Ok(());
        }
        let mut partial = self.partial.borrow_mut();
        let used = if partial.is_empty() {
            let used = self.hand_on(bytes)?;
            partial.extend_from_slice(&bytes[used..]);
            bytes.len()
        } else {
            partial.extend_from_slice(bytes);
            let used = self.hand_on(&partial)?;
            partial.drain(..used);
            used
        };
        if partial.is_empty() {
            if partial.capacity() > PARTIAL_BYTES_KEPT {
                *partial = Vec::new();
            }
            return Ok(());
        }
        if used > 0 {
            // It is the beginning of another frame.
            self.looks.set(0);
            self.table.note_begun(self);
        }
        if let Tail::Partial(needed) = split(&partial, u32::MAX).tail
            && partial.capacity() > PARTIAL_BYTES_KEPT
        {
            // A large frame is arriving: allocate for its rest, once or twice. Not for its whole announced
            // length, because announcing costs a client nothing.
            let missing = needed - partial.len();
            let more = missing.min(FRAME_ROOM_PER_BYTE * partial.len());
            partial.reserve_exact(more);
        }
        Ok(())
    }

    /// Checks an incomplete frame, and closes the connection if the frame does not become complete in time.
    /// True: it has to be checked again.
    pub(super) fn look_after_frame(&self) -> bool {
        let partial = self.partial.borrow();
        if partial.is_empty() || self.end.borrow().is_some() {
            return false;
        }
        let options = &self.table.shared.options;
        let is_read = !self.throttled.get()
            && !self.waits_for_answers.get()
            && self.unsent.borrow().unknown() <= options.unsent_bytes_before_pause;
        let looks = self.looks.get() + u32::from(is_read);
        self.looks.set(looks);
        let needed = match split(&partial, u32::MAX).tail {
            Tail::Partial(needed) => needed,
            Tail::Unknown | Tail::Bad(_) => LENGTH_BYTES,
        };
        let more = u32::try_from(needed / limits::FRAME_BYTES_PER_LOOK).unwrap_or(u32::MAX);
        if looks <= limits::FRAME_LOOKS_MIN.saturating_add(more) {
            return true;
        }
        let arrived = partial.len();
        drop(partial);
        self.fail(format!("only {arrived} of {needed} bytes of a request have come in {looks} s"));
        false
    }

    /// Passes whole frames on; returns how many bytes were consumed.
    fn hand_on(&self, bytes: &[u8]) -> Result<usize, String> {
        let (table, core) = (&self.table, &*self.core);
        if !self.greeted.get()
            && let Some(first) = bytes.first_chunk::<4>()
            && let Some(word) = FourLetterWord::parse(*first)
        {
            return Ok(self.word(core, word, bytes));
        }
        let frame_bytes_max = table.shared.options.frame_bytes_max;
        if !self.greeted.get()
            && let Some(first) = bytes.first_chunk::<LENGTH_BYTES>()
            && let length = i32::from_be_bytes(*first)
            && u32::try_from(length).map_or(true, |it| it > limits::CONNECT_FRAME_BYTES_MAX)
        {
            return Err(format!(
                "its first frame is to have {length} bytes; a connect request has {} at most",
                limits::CONNECT_FRAME_BYTES_MAX
            ));
        }
        let found = split(bytes, frame_bytes_max);
        if found.frames > 0 {
            self.greeted.set(true);
            table.count(self, found.frames, found.whole_bytes as u64);
            core.frames(self.id, &bytes[..found.whole_bytes]);
        }
        match found.tail {
            Tail::Bad(length) => Err(format!(
                "a frame of {length} bytes was announced; 0 to {} are allowed (jute.maxbuffer)",
                table.shared.options.frame_bytes_max
            )),
            Tail::Unknown | Tail::Partial(_) => Ok(found.whole_bytes),
        }
    }

    fn word(&self, core: &dyn Core, word: FourLetterWord, bytes: &[u8]) -> usize {
        let needed = LENGTH_BYTES + word.argument_bytes();
        if bytes.len() >= needed {
            self.greeted.set(true);
            self.asked_a_word.set(true);
            core.word(self.id, self.remote, word, bytes[LENGTH_BYTES..].first_chunk().copied());
            return bytes.len();
        }
        0
    }

    /// Reports its end to the table and the core.
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
        self.core.close(id);
        if *end != End::ByCore
            || shutdown(&self.socket, Shutdown::Write).is_err()
            || !self.table.shared.census.linger()
        {
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
        let mut rest = [0; 512];
        for _ in 0..READS_PER_TURN {
            match recv(&self.socket, &mut rest, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return self.forget(),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => return self.forget(),
            }
        }
        self.wake();
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
    fn ready(self: Rc<Self>, what: Readiness) {
        if self.lingers.borrow().is_some() {
            self.drain();
        } else if let Some(end) = self.advance(what) {
            self.finish(&end);
        } else {
            self.recount();
        }
    }
}

#[cfg(test)]
mod tests;
