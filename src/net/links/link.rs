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
use std::io::{self, IoSlice};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;

use bytes::Bytes;
use socket2::SockRef;

use super::{Links, Shared};
use crate::id::ServerId;
use crate::limits;
use crate::link::LinkId;
use crate::net::input::{self, Farewell, Input, LINGER};
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

/// One link. All of it belongs to the replica's thread.
pub(super) struct Link {
    /// Its name for its owner.
    id: LinkId,
    /// Not blocking, TCP_NODELAY.
    socket: TcpStream,
    /// All links, which get its events.
    links: Links,
    /// The remote address, if the link was accepted: it counts for that address until its end.
    accepted_from: Option<IpAddr>,
    /// The members that may have opened it, if it was accepted and addresses are checked. Empty: a stranger's.
    may_be: RefCell<Option<Vec<ServerId>>>,
    /// The watch on the socket; none before the link runs and after its end.
    watch: RefCell<Option<Registration>>,
    /// Output that the socket has not accepted yet.
    unsent: RefCell<Unsent>,
    /// Why it ends, once that is certain.
    end: RefCell<Option<End>>,
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
enum End {
    /// Its owner has closed it.
    ByCore,
    /// The other side or the network has ended it.
    Failed(String),
}

impl Link {
    /// A link that is not watched yet: [`Link::run`] begins it.
    ///
    /// # Errors
    /// The system's, if the socket cannot be set to not blocking.
    pub fn new(
        id: LinkId,
        socket: TcpStream,
        links: Links,
        accepted_from: Option<IpAddr>,
        may_be: Option<Vec<ServerId>>,
    ) -> io::Result<Link> {
        socket.set_nonblocking(true)?;
        Ok(Link {
            id,
            socket,
            links,
            accepted_from,
            may_be: RefCell::new(may_be),
            watch: RefCell::new(None),
            unsent: RefCell::default(),
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
    /// accepted, or addresses are not checked. Members that were possible before remain possible: the address may
    /// have been theirs when the link was opened.
    pub fn identify(&self, of: impl FnOnce(IpAddr) -> Vec<ServerId>) -> Option<Vec<ServerId>> {
        let from = self.accepted_from?;
        let mut may_be = self.may_be.borrow_mut();
        let known = may_be.as_mut()?;
        for id in of(from) {
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
    fn fail(&self, reason: String) {
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
            if unsent.pieces.is_empty() {
                break Ok(true);
            }
            match self.write_once(&unsent) {
                Ok(bytes) => {
                    sent += bytes as u64;
                    unsent.remove(bytes, shared);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(watch) = &*self.watch.borrow() {
                        watch.want_room();
                    }
                    break Ok(false);
                }
                Err(error) => break Err(error),
            }
        };
        // While it is full, `flush` makes no system call that would fail: the reactor says when there is room.
        unsent.full = matches!(result, Ok(false));
        drop(unsent);
        shared.sent(self.id, sent);
        result
    }

    /// Writes up to [`PIECES_AT_ONCE`] pieces with one system call; returns how many bytes the kernel took.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` if it is full.
    fn write_once(&self, unsent: &Unsent) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_AT_ONCE];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&unsent.pieces) {
            // Only the first piece can be sent in part.
            let skipped = if count == 0 { unsent.front_sent } else { 0 };
            *slice = IoSlice::new(&piece.bytes()[skipped..]);
            count += 1;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        SockRef::from(&self.socket).send_vectored_with_flags(&slices[..count], flags)
    }

    /// Reads and writes what is possible now; returns the reason of its end, if it has ended and its owner does not
    /// know.
    ///
    /// There is at most one read in a call. A stranger's link reads at most [`STRANGER_READ_BYTES`], out of what all
    /// strangers together may bring in a turn.
    fn advance(self: &Rc<Self>, what: Readiness) -> Option<String> {
        if let Err(error) = self.write() {
            return Some(error.to_string());
        }
        if let Some(End::Failed(reason)) = &*self.end.borrow() {
            return Some(reason.clone());
        }
        // Without a core there is no receiver for input.
        let core = self.links.core()?;
        if core.has_enough_of(self.id) {
            if !self.paused.replace(true) {
                self.links.shared.paused.borrow_mut().push(self.clone());
            }
            return None;
        }
        // One read at a time: a quarter of a megabyte of small packets is work for some milliseconds.
        let mut scratch = self.links.shared.scratch.borrow_mut();
        let is_strangers = self.is_strangers();
        let room = match is_strangers {
            false => scratch.len(),
            true => STRANGER_READ_BYTES.min(self.links.shared.strangers_left.get()),
        };
        // It is in the queue for the next turn already.
        if is_strangers && self.waits.get() {
            return None;
        }
        if room == 0 {
            self.wait_for_turn();
            return None;
        }
        match input::read(&self.socket, &mut scratch[..room], what) {
            Input::End => return Some("closed by the other side".to_owned()),
            Input::Bytes { bytes, is_more } => {
                if is_strangers {
                    let left = &self.links.shared.strangers_left;
                    left.set(left.get() - bytes);
                }
                core.link_received(self.id, &scratch[..bytes]);
                // The owner may have closed it because of these bytes. Then it is called again, to write its last ones.
                if !is_more && self.end.borrow().is_none() {
                    return None;
                }
            }
            Input::Nothing => return None,
            Input::Failed(error) => return Some(error.to_string()),
        }
        if is_strangers {
            self.wait_for_turn();
        } else {
            self.wake();
        }
        None
    }

    /// A stranger's link is read further in a later turn, after those that already wait.
    fn wait_for_turn(self: &Rc<Self>) {
        if !self.waits.replace(true) {
            self.links.shared.strangers.borrow_mut().push_back(self.clone());
        }
    }

    /// A stranger's link may be read again.
    pub fn take_turn(&self) {
        self.waits.set(false);
        self.wake();
    }

    /// Writes the last bytes, shuts down sending, and lets the other side read them.
    fn depart(self: &Rc<Self>) {
        if self.patience.borrow().is_none() {
            let this = self.clone();
            let timer = self.links.shared.reactor.after(LINGER, move || this.forget());
            *self.patience.borrow_mut() = Some(timer);
        }
        if !self.said_farewell.get() {
            match self.write() {
                // The reactor calls again when there is room, or the timer ends it.
                Ok(false) => return,
                Ok(true) if self.socket.shutdown(Shutdown::Write).is_ok() => {
                    self.said_farewell.set(true);
                }
                Ok(true) => return self.forget(),
                Err(error) => {
                    tracing::debug!(link = ?self.id, %error, "a link that was being closed failed");
                    return self.forget();
                }
            }
        }
        match input::discard(&self.socket) {
            Farewell::Over => self.forget(),
            Farewell::Waits => {}
            Farewell::HasMore => self.wake(),
        }
    }

    /// Drops the watch, which holds the last reference to the socket.
    fn forget(&self) {
        let watch = self.watch.borrow_mut().take();
        if watch.is_none() {
            return;
        }
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
