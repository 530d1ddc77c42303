//! The socket of a client's connection or of a link between servers, and what lies between it and the bytes of its
//! owner: nothing, or TLS.
//!
//! For a socket without TLS, reading and writing are the system calls and one branch. With TLS, ciphertext is read into
//! a buffer that all connections, or all links, of an executor share (`Records`), and only what is incomplete is held;
//! what is sent is encrypted into another such buffer, and only what the socket does not take is held.
//!
//! The rules that are easy to break: the reactor reports input once; whoever gets `Input::Bytes` with `is_more` reads
//! again, or asks to be called again. And bytes that `Socket::write` took may still be held here: nothing is out before
//! `Socket::unsent_bytes` is 0.

mod advice;
mod secure;
mod session;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustls::pki_types::CertificateDer;
use socket2::SockRef;

use super::input::{self, Farewell, Input};
use crate::limits;
use crate::runtime::Readiness;
use secure::Secure;
pub use session::{Fault, Outbox, Received, Session};

/// The result of one write.
#[derive(Debug)]
pub(super) enum Output {
    /// So many of the bytes are on their way; the caller writes the others again.
    Took(usize),
    /// There is no room now, or none for more than this many bytes that had been taken earlier.
    /// [`Registration::want_room`](crate::runtime::Registration::want_room) makes an event tell when there is.
    Full(usize),
    /// The connection has failed.
    Failed(io::Error),
}

/// The buffers for records that all connections of an executor share. Empty until one of them has TLS.
#[derive(Default)]
pub(super) struct Records {
    /// What was read from a socket.
    cipher: Box<[u8]>,
    /// What is written to one.
    out: Outbox,
}

/// A connected, non-blocking socket.
pub(super) struct Socket {
    fd: OwnedFd,
    /// The TLS over it; none without TLS.
    secure: RefCell<Option<Box<Secure>>>,
    /// Whether there is TLS over it.
    is_secure: Cell<bool>,
}

impl Socket {
    /// A socket whose bytes are the frames.
    pub fn new(fd: OwnedFd) -> Socket {
        Socket { fd, secure: RefCell::new(None), is_secure: Cell::new(false) }
    }

    /// From now on what is read and written goes through TLS.
    pub fn begin_tls(&self, session: Session) {
        assert!(!self.is_secure.replace(true), "TLS begins once");
        *self.secure.borrow_mut() = Some(Box::new(Secure::new(session)));
    }

    /// The same for the side that speaks first, whose first words are sent.
    ///
    /// # Errors
    /// The socket's.
    pub fn call_with_tls(&self, session: Session, records: &RefCell<Records>) -> io::Result<()> {
        self.begin_tls(session);
        self.with(records, |secure, records| secure.begin(&self.fd, records))
    }

    /// Reads what has arrived, as much as fits into `into`, which has [`limits::CONNECTION_READ_BYTES`].
    #[inline]
    pub fn read(&self, into: &mut [u8], what: Readiness, records: &RefCell<Records>) -> Input {
        if !self.is_secure.get() {
            return input::read(&self.fd, into, what);
        }
        self.with(records, |secure, records| secure.read(&self.fd, into, usize::MAX, what, records))
    }

    /// The same, but takes no more than `most` bytes from the socket; with TLS these are bytes of ciphertext.
    #[inline]
    pub fn read_some(
        &self,
        into: &mut [u8],
        most: usize,
        what: Readiness,
        records: &RefCell<Records>,
    ) -> Input {
        if !self.is_secure.get() {
            let most = most.min(into.len());
            return input::read(&self.fd, &mut into[..most], what);
        }
        self.with(records, |secure, records| secure.read(&self.fd, into, most, what, records))
    }

    /// Writes as much as there is room for now.
    #[inline]
    pub fn write(&self, bytes: &[u8], records: &RefCell<Records>) -> Output {
        if !self.is_secure.get() {
            return send_out(&self.fd, bytes);
        }
        self.write_pieces_with_tls(&[IoSlice::new(bytes)], records)
    }

    /// The same for several pieces, which follow each other.
    #[inline]
    pub fn write_pieces(&self, pieces: &[IoSlice<'_>], records: &RefCell<Records>) -> Output {
        if !self.is_secure.get() {
            return send_pieces(&self.fd, pieces);
        }
        self.write_pieces_with_tls(pieces, records)
    }

    fn write_pieces_with_tls(&self, pieces: &[IoSlice<'_>], records: &RefCell<Records>) -> Output {
        self.with(records, |secure, records| secure.write(&self.fd, pieces, records))
    }

    /// Writes what was taken earlier: [`Output::Took`] if nothing of it is left, with its length.
    #[inline]
    pub fn flush(&self) -> Output {
        if !self.is_secure.get() {
            return Output::Took(0);
        }
        let mut secure = self.secure.borrow_mut();
        secure.as_mut().expect("TLS has begun").flush(&self.fd)
    }

    /// With TLS: says that nothing more follows, once.
    pub fn say_end(&self, records: &RefCell<Records>) {
        if self.is_secure.get() {
            self.with(records, |secure, records| secure.say_end(&self.fd, records));
        }
    }

    /// Bytes that were taken and that the socket has not taken yet.
    #[inline]
    pub fn unsent_bytes(&self) -> usize {
        if self.is_secure.get() { self.look(Secure::unsent_bytes) } else { 0 }
    }

    /// Bytes of memory that it holds for TLS: what is incomplete, what is unsent, and the state of a handshake.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        if self.is_secure.get() { self.look(Secure::held_bytes) } else { 0 }
    }

    /// Whether there is TLS over it.
    #[inline]
    pub fn is_secure(&self) -> bool {
        self.is_secure.get()
    }

    /// Whether TLS has begun and its handshake is over.
    pub fn is_established(&self) -> bool {
        self.is_secure.get() && self.look(|secure| secure.session.is_established())
    }

    /// Whether TLS has answered what was read since the last call: during a handshake, this side has moved on and the
    /// other one is next.
    pub fn take_answered(&self) -> bool {
        self.secure.borrow_mut().as_mut().is_some_and(|it| std::mem::take(&mut it.has_answered))
    }

    /// Whether its records are so short that a read of usual length would take long.
    #[inline]
    pub fn has_tiny_records(&self) -> bool {
        self.is_secure.get() && self.look(|secure| secure.has_tiny_records)
    }

    /// Calls `then` with the certificate (DER) of the other side, if it has shown one.
    pub fn with_certificate<T>(&self, then: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.secure.borrow().as_ref().and_then(|secure| secure.session.certificate().map(then))
    }

    /// Calls `then` with the certificates that the other side has shown in an earlier session, if this one resumes it.
    pub fn with_shown_earlier<T>(
        &self,
        then: impl FnOnce(&[CertificateDer<'_>]) -> T,
    ) -> Option<T> {
        self.secure.borrow().as_ref().and_then(|secure| secure.session.shown_earlier().map(then))
    }

    /// The first bytes that have arrived, which stay where they are. `None`: there are none yet; empty: the other side
    /// sends none.
    pub fn peek<'a>(&self, into: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        loop {
            return match recv(&self.fd, &mut *into, RecvFlags::DONTWAIT | RecvFlags::PEEK) {
                Ok((bytes, _)) => Ok(Some(&into[..bytes])),
                Err(Errno::AGAIN) => Ok(None),
                Err(Errno::INTR) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Whether the other side has closed its receiving half as well. Reading does not show it: after the end of the
    /// stream there is nothing more to read.
    pub fn is_gone(&self) -> bool {
        self.is_any(PollFlags::ERR | PollFlags::HUP)
    }

    /// Whether the other side sends nothing more, even if something that it has sent is unread.
    pub fn is_left(&self) -> bool {
        self.is_any(PollFlags::ERR | PollFlags::HUP | PollFlags::RDHUP)
    }

    fn is_any(&self, wanted: PollFlags) -> bool {
        let mut look = [PollFd::new(&self.fd, wanted)];
        let found = poll(&mut look, Some(&Timespec::default()));
        found.is_ok() && look[0].revents().intersects(wanted)
    }

    /// Tells the other side that nothing more follows. Whether it could be told.
    pub fn end_output(&self) -> bool {
        shutdown(&self.fd, Shutdown::Write).is_ok()
    }

    /// Reads and discards input, after everything was sent.
    pub fn discard(&self) -> Farewell {
        input::discard(&self.fd)
    }

    fn with<T>(
        &self,
        records: &RefCell<Records>,
        then: impl FnOnce(&mut Secure, &mut Records) -> T,
    ) -> T {
        let mut secure = self.secure.borrow_mut();
        then(secure.as_mut().expect("TLS has begun"), &mut records.borrow_mut())
    }

    fn look<T>(&self, then: impl FnOnce(&Secure) -> T) -> T {
        then(self.secure.borrow().as_ref().expect("TLS has begun"))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Records {
    fn cipher(&mut self) -> &mut [u8] {
        if self.cipher.is_empty() {
            self.cipher = vec![0; limits::RECORDS_HELD_BYTES_MAX].into();
        }
        &mut self.cipher
    }
}

#[inline]
fn send_out(fd: &OwnedFd, bytes: &[u8]) -> Output {
    loop {
        return match send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(took) => Output::Took(took),
            Err(Errno::AGAIN) => Output::Full(0),
            Err(Errno::INTR) => continue,
            Err(error) => Output::Failed(error.into()),
        };
    }
}

#[inline]
fn send_pieces(fd: &OwnedFd, pieces: &[IoSlice<'_>]) -> Output {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    loop {
        return match SockRef::from(fd).send_vectored_with_flags(pieces, flags) {
            Ok(took) => Output::Took(took),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Output::Full(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Output::Failed(error),
        };
    }
}
