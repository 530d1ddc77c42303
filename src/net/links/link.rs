//! One link: its input, its unsent bytes, its end.
//!
//! ```text
//! push ─▶ pieces: short ones copied together, long ones shared ─▶ flush, at the end of the turn ─▶ socket
//!                                                                 what the socket does not accept waits for room
//! socket ─▶ advance: one read ─▶ LinkCore::link_received
//! ```
//! A proposal goes to every follower: its bytes exist once, and each link only counts a reference. What a link may
//! have unsent is not bounded here but by its owner, which hears of each byte that has left.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use bytes::Bytes;

use super::greeting::{Greeting, Stage};
use super::members::Members;
use super::{Links, PeerAddressCheck, Shared};
use crate::id::ServerId;
use crate::limits;
use crate::link::{LinkId, Port};
use crate::net::input::{Farewell, Input, LINGER};
use crate::net::socket::{Output, Socket};
use crate::runtime::{Readiness, Registration, SocketOwner, Timer};

/// Bytes per read of a link from an address of no member.
pub(super) const STRANGER_READ_BYTES: usize = 8 << 10;
const _: () = assert!(STRANGER_READ_BYTES * 4 <= limits::STRANGERS_READ_BYTES_PER_TURN);

/// Shorter pieces are copied together: copying them costs less than passing each of them to the kernel.
const COPIED_BYTES_MAX: usize = 2048;

/// Bytes of pieces copied together.
const BUFFER_BYTES: usize = 64 << 10;

/// Pieces per system call.
const PIECES_AT_ONCE: usize = 16;

/// Why a link ends that the other side has ended.
pub(super) const CLOSED: &str = "closed by the other side";

/// One link. All of it belongs to the replica's thread.
pub(super) struct Link {
    /// Its name for its owner.
    pub id: LinkId,
    /// Not blocking, TCP_NODELAY; with TLS or without.
    pub socket: Socket,
    /// All links, which get its events.
    pub links: Links,
    /// The address of the other side.
    pub remote: SocketAddr,
    /// The port that accepted it; `None`: this server has opened it.
    pub port: Option<Port>,
    /// The remote address, if the link was accepted: it counts for that address until its end.
    pub accepted_from: Option<IpAddr>,
    /// The members that may have opened it, if it was accepted and addresses or certificates are checked. Empty: a
    /// stranger's.
    pub may_be: RefCell<Option<Vec<ServerId>>>,
    /// How far its owner knows of it.
    pub stage: Cell<Stage>,
    /// Until then its owner must know of it.
    pub greets_by: RefCell<Option<Timer>>,
    /// The watch on the socket; none before the link runs and after its end.
    watch: RefCell<Option<Registration>>,
    /// Output that the socket has not accepted yet.
    unsent: RefCell<Unsent>,
    /// Bytes that the socket has taken last, until they are out: TLS may hold them as ciphertext.
    held_bytes: Cell<u64>,
    /// Why it ends, once that is certain.
    pub end: RefCell<Option<End>>,
    /// Whether it is not read because its owner has enough of it.
    paused: Cell<bool>,
    /// It is in the queue of strangers that wait for the next turn, and is not read before.
    waits: Cell<bool>,
    /// Bounds the time for the last bytes, and then for the other side to close.
    patience: RefCell<Option<Timer>>,
    /// Nothing more is written, and the other side may read the last bytes.
    said_farewell: Cell<bool>,
}

/// The output that the socket has not accepted.
#[derive(Default)]
struct Unsent {
    /// In order. Invariant: none is empty.
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are already sent.
    front_sent: usize,
    /// Whether it is written at the end of the turn.
    dirty: bool,
    /// Whether the socket is full, and the link waits for room.
    full: bool,
}

/// Bytes that are written together.
enum Piece {
    /// Short ones, copied together.
    Copied(Vec<u8>),
    /// A long one, shared with other links that send it.
    Shared(Bytes),
}

impl Piece {
    /// All its bytes, those that are sent included.
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Copied(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

/// Why a link ends.
pub(super) enum End {
    /// Its owner has closed it.
    ByCore,
    /// The other side or the network has ended it.
    Failed(String),
}

impl Link {
    /// A link that is not watched yet: [`Link::run`] begins it. `accepted`: the port that has accepted it, and the
    /// members that may have opened it; `None` for a link that this server has opened.
    ///
    /// # Errors
    /// The system's, if the socket cannot be set to not blocking.
    pub fn new(
        id: LinkId,
        socket: TcpStream,
        links: Links,
        remote: SocketAddr,
        accepted: Option<(Port, Option<Vec<ServerId>>)>,
    ) -> io::Result<Link> {
        socket.set_nonblocking(true)?;
        let (port, may_be) = accepted.map_or((None, None), |(port, may_be)| (Some(port), may_be));
        Ok(Link {
            id,
            socket: Socket::new(OwnedFd::from(socket)),
            links,
            remote,
            port,
            accepted_from: port.map(|_| remote.ip()),
            may_be: RefCell::new(may_be),
            stage: Cell::new(if port.is_some() { Stage::Fresh } else { Stage::Known }),
            greets_by: RefCell::new(None),
            watch: RefCell::new(None),
            unsent: RefCell::default(),
            held_bytes: Cell::new(0),
            end: RefCell::new(None),
            paused: Cell::new(false),
            waits: Cell::new(false),
            patience: RefCell::new(None),
            said_farewell: Cell::new(false),
        })
    }

    /// Whether it comes from an address of no member.
    pub fn is_strangers(&self) -> bool {
        self.may_be.borrow().as_ref().is_some_and(Vec::is_empty)
    }

    /// The members have changed: updates which of them may have opened it, and returns these. `None` if it was not
    /// accepted, or nothing is checked. Members that were possible before remain possible: the address may
    /// have been theirs when the link was opened.
    pub fn identify(&self, members: &Members) -> Option<Vec<ServerId>> {
        let from = self.accepted_from?;
        let mut may_be = self.may_be.borrow_mut();
        let known = may_be.as_mut()?;
        let named = self.named(members);
        let possible = match members.check() {
            _ if !named.is_empty() => named,
            // Only its certificate is known of it, and names its address.
            PeerAddressCheck::Off => members.at(from),
            PeerAddressCheck::Members | PeerAddressCheck::Strict => members.may_be(from),
        };
        for id in possible {
            if !known.contains(&id) {
                known.push(id);
            }
        }
        Some(known.clone())
    }

    /// Begins to listen to the other side.
    pub fn run(self: Rc<Self>) {
        let watch = self.links.shared.reactor.watch_first(self.socket.as_fd(), self.clone());
        *self.watch.borrow_mut() = Some(watch);
    }

    /// Makes the reactor call it again soon: it may be read, or it has ended.
    pub fn wake(&self) {
        self.paused.set(false);
        if let Some(watch) = &*self.watch.borrow() {
            watch.again();
        }
    }

    /// Keeps bytes for the end of the turn. Returns whether it is the first call in this turn.
    pub fn push(&self, bytes: Bytes, shared: &Shared) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        if bytes.is_empty() {
            return false;
        }
        if bytes.len() > COPIED_BYTES_MAX {
            unsent.pieces.push_back(Piece::Shared(bytes));
        } else {
            match unsent.pieces.back_mut() {
                Some(Piece::Copied(last)) if last.len() + bytes.len() <= BUFFER_BYTES => {
                    last.extend_from_slice(&bytes);
                }
                _ => {
                    // A buffer that an earlier turn has emptied: most turns allocate nothing.
                    let mut buffer = shared.spare.borrow_mut().pop().unwrap_or_default();
                    buffer.extend_from_slice(&bytes);
                    unsent.pieces.push_back(Piece::Copied(buffer));
                }
            }
        }
        // The caller keeps a list of the links to flush, each once.
        !std::mem::replace(&mut unsent.dirty, true)
    }

    /// Writes as much as the socket accepts now.
    pub fn flush(&self) {
        self.unsent.borrow_mut().dirty = false;
        if self.unsent.borrow().full {
            return;
        }
        if let Err(error) = self.write() {
            self.fail(error.to_string());
        }
    }

    /// Ends it for a reason that its owner gets. The event comes later, from the reactor's call: the owner may be in
    /// the middle of a turn.
    pub fn fail(&self, reason: String) {
        let mut end = self.end.borrow_mut();
        if end.is_none() {
            *end = Some(End::Failed(reason));
        }
        drop(end);
        self.wake();
    }

    /// Closes it when everything is sent, or after a time limit.
    pub fn close_after_output(&self) {
        // Another failure no longer matters.
        *self.end.borrow_mut() = Some(End::ByCore);
        self.wake();
    }

    /// Writes as much as the socket accepts; if that is not all, waits for room. Returns whether nothing is left.
    ///
    /// # Errors
    /// The socket's.
    fn write(&self) -> io::Result<bool> {
        let shared = &self.links.shared;
        let mut unsent = self.unsent.borrow_mut();
        let mut sent = 0;
        let result = loop {
            let is_all = unsent.pieces.is_empty();
            let output = if is_all { self.socket.flush() } else { self.write_once(&unsent) };
            match output {
                Output::Took(_) if is_all => break Ok(true),
                Output::Took(bytes) => {
                    // The socket takes more only when everything before is out.
                    sent += self.held_bytes.replace(bytes as u64);
                    unsent.remove(bytes, shared);
                }
                Output::Full(_) => {
                    if let Some(watch) = &*self.watch.borrow() {
                        watch.want_room();
                    }
                    break Ok(false);
                }
                Output::Failed(error) => break Err(error),
            }
        };
        if self.socket.unsent_bytes() == 0 {
            sent += self.held_bytes.take();
        }
        // While it is full, `flush` makes no system call that would fail: the reactor says when there is room.
        unsent.full = matches!(result, Ok(false));
        drop(unsent);
        shared.sent(self.id, sent);
        result
    }

    /// Writes up to [`PIECES_AT_ONCE`] pieces with one system call.
    fn write_once(&self, unsent: &Unsent) -> Output {
        let mut slices = [IoSlice::new(&[]); PIECES_AT_ONCE];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&unsent.pieces) {
            // Only the first piece can be sent in part.
            let skipped = if count == 0 { unsent.front_sent } else { 0 };
            *slice = IoSlice::new(&piece.bytes()[skipped..]);
            count += 1;
        }
        self.socket.write_pieces(&slices[..count], &self.links.shared.records)
    }

    /// Reads and writes what is possible now; returns the reason of its end, if it has ended and its owner does not
    /// know.
    ///
    /// There is at most one read in a call. A stranger's link, and one whose handshake is not over, reads at most
    /// [`STRANGER_READ_BYTES`], out of what all of them together may bring in a turn.
    fn advance(self: &Rc<Self>, what: Readiness) -> Option<String> {
        if let Err(error) = self.write() {
            return Some(self.reason_of(&error));
        }
        if let Some(End::Failed(reason)) = &*self.end.borrow() {
            return Some(reason.clone());
        }
        // Without a core there is no receiver for input.
        let core = self.links.core()?;
        if self.is_known() && core.has_enough_of(self.id) {
            if !self.paused.replace(true) {
                self.links.shared.paused.borrow_mut().push(self.clone());
            }
            return None;
        }
        if self.stage.get() != Stage::Known {
            match self.greet() {
                Greeting::Over => {}
                Greeting::Waits => return None,
                Greeting::Ends(reason) => return Some(reason),
            }
        }
        // One read at a time: a quarter of a megabyte of small packets is work for some milliseconds.
        let mut scratch = self.links.shared.scratch.borrow_mut();
        let is_bounded = self.is_bounded();
        let left = &self.links.shared.strangers_left;
        let room = match is_bounded {
            false => scratch.len(),
            true => STRANGER_READ_BYTES.min(left.get()),
        };
        // It is in the queue for the next turn already.
        if is_bounded && self.waits.get() {
            return None;
        }
        if room == 0 {
            self.wait_for_turn();
            return None;
        }
        let read = self.socket.read_some(&mut scratch, room, what, &self.links.shared.records);
        // A handshake answers what it reads.
        if self.socket.unsent_bytes() > 0
            && let Err(error) = self.write()
        {
            return Some(self.reason_of(&error));
        }
        match read {
            Input::End => return Some(CLOSED.to_owned()),
            Input::Bytes { bytes, is_more } => {
                if is_bounded {
                    // What TLS has to do is no less for few bytes.
                    let cost = if self.socket.is_secure() { room } else { bytes };
                    left.set(left.get() - cost);
                }
                if let Err(reason) = self.maybe_introduce() {
                    return Some(reason);
                }
                if bytes > 0 {
                    core.link_received(self.id, &scratch[..bytes]);
                }
                // The owner may have closed it because of these bytes. Then it is called again, to write its last ones.
                if !is_more && self.end.borrow().is_none() {
                    return None;
                }
            }
            Input::Nothing => return None,
            Input::Failed(error) => return Some(self.reason_of(&error)),
        }
        if is_bounded {
            self.wait_for_turn();
        } else {
            self.wake();
        }
        None
    }

    /// Why it ends after this error. Whoever does not like a handshake may leave its bytes unread.
    fn reason_of(&self, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe if !self.is_known() => {
                CLOSED.to_owned()
            }
            _ => error.to_string(),
        }
    }

    /// A stranger's link is read further in a later turn, after those that already wait. A member's goes before.
    fn wait_for_turn(self: &Rc<Self>) {
        if self.waits.replace(true) {
            return;
        }
        let mut waiting = self.links.shared.strangers.borrow_mut();
        match self.may_be.borrow().as_ref().is_some_and(|ids| !ids.is_empty()) {
            true => waiting.push_front(self.clone()),
            false => waiting.push_back(self.clone()),
        }
        // Its owner may have got nothing that would cause a turn.
        self.links.shared.reactor.stir();
    }

    /// A stranger's link may be read again.
    pub fn take_turn(&self) {
        self.waits.set(false);
        self.wake();
    }

    /// Writes the last bytes, shuts down sending, and lets the other side read them.
    pub fn depart(self: &Rc<Self>) {
        if self.patience.borrow().is_none() {
            let this = self.clone();
            let timer = self.links.shared.reactor.after(LINGER, move || this.forget());
            *self.patience.borrow_mut() = Some(timer);
        }
        if !self.said_farewell.get() {
            let written = self.write().and_then(|is_all| {
                if is_all {
                    self.socket.say_end(&self.links.shared.records);
                }
                self.write()
            });
            match written {
                // The reactor calls again when there is room, or the timer ends it.
                Ok(false) => return,
                Ok(true) if self.socket.end_output() => {
                    self.said_farewell.set(true);
                }
                Ok(true) => return self.forget(),
                Err(error) => {
                    tracing::debug!(link = ?self.id, %error, "a link that was being closed failed");
                    return self.forget();
                }
            }
        }
        match self.socket.discard() {
            Farewell::Over => self.forget(),
            Farewell::Waits => {}
            Farewell::HasMore => self.wake(),
        }
    }

    /// Drops the watch, which holds the last reference to the socket.
    pub fn forget(&self) {
        let watch = self.watch.borrow_mut().take();
        if watch.is_none() {
            return;
        }
        self.leave_door();
        let timer = self.patience.borrow_mut().take();
        if self.waits.replace(false) {
            // The queue also references the socket.
            self.links.shared.strangers.borrow_mut().retain(|link| link.id != self.id);
        }
        if let Some(remote) = self.accepted_from {
            self.links.forget_remote(remote);
        }
        if matches!(&*self.end.borrow(), Some(End::ByCore)) {
            self.links.departed();
        }
        drop((watch, timer));
    }
}

impl SocketOwner for Link {
    /// What the reactor calls when there is input or room, and after [`Link::wake`].
    fn ready(self: Rc<Self>, what: Readiness) {
        if matches!(&*self.end.borrow(), Some(End::ByCore)) {
            self.depart();
        } else if let Some(reason) = self.advance(what) {
            if !self.is_known() {
                return self.turn_away(&reason);
            }
            self.links.ended(self.id, reason);
            self.forget();
        }
    }
}

impl Unsent {
    /// Removes bytes that were sent.
    fn remove(&mut self, mut bytes: usize, shared: &Shared) {
        while bytes > 0 {
            let front = self.pieces.front().expect("no more is sent than there was");
            let left = front.bytes().len() - self.front_sent;
            if bytes < left {
                self.front_sent += bytes;
                return;
            }
            bytes -= left;
            self.front_sent = 0;
            match self.pieces.pop_front() {
                Some(Piece::Copied(buffer)) => shared.recycle(buffer),
                Some(Piece::Shared(_)) | None => {}
            }
        }
    }
}
