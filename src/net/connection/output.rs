//! The output of a connection: written at once as far as the socket accepts it; the rest waits for room.
//!
//! ```text
//! pieces   front ───────────────┬────────────── … ── back
//!          front_sent │ rest    │
//! ```
//! The buffers of the replica are queued as they are, never copied together. Bytes that the replica wants reported
//! are counted as sent only with the end of their piece. Two bounds apply to the others: beyond the first the
//! connection is not read, beyond the second it is closed.

use std::cell::RefMut;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::{Connection, End};
use crate::limits;
use crate::net::socket::Output;
use crate::net::table::Pace;
use crate::replica::Outgoing;

/// The output that the socket has not accepted.
#[derive(Default)]
pub(super) struct Unsent {
    /// One for each send, in order. Invariant: none is empty.
    pub pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are already sent.
    front_sent: usize,
    /// Bytes of the pieces that are still to be sent.
    pub bytes: usize,
    /// Bytes of memory that the pieces take.
    pub held: usize,
    /// Bytes of the pieces that are reported to the core when they are sent; the core bounds them itself.
    pub reported: usize,
}

/// The bytes of one send.
pub(super) struct Piece {
    bytes: Vec<u8>,
    /// How many of them are reported to the core: all or none.
    reported_bytes: usize,
    /// The time of its arrival.
    pub since: Instant,
}

impl Unsent {
    /// Bytes that the core does not bound itself: those of the sends that it does not want reported.
    pub fn unknown(&self) -> usize {
        // A piece is reported as a whole, but may be sent in part.
        (self.bytes + self.front_sent).saturating_sub(self.reported)
    }
}

impl Connection {
    /// Writes as much of a send's bytes as the socket accepts now and keeps the rest. Returns the buffer when it is
    /// empty, for reuse.
    ///
    /// Beyond `unsent_max` bytes that the core does not bound, it drops the send and closes the connection: the
    /// client does not read. With [`Pace::InTurn`] a long send stands in line.
    pub(in crate::net) fn send(
        &self,
        send: Outgoing,
        unsent_max: usize,
        pace: Pace,
    ) -> Option<Vec<u8>> {
        if send.bytes.is_empty() {
            return Some(send.bytes);
        }
        // Short ones never stand in line: they should not wait for the long ones of other connections.
        let waits = pace == Pace::InTurn && send.bytes.len() > limits::SHORT_SEND_BYTES;
        let reported_bytes = send.reported_bytes();
        let piece = Piece { reported_bytes, bytes: send.bytes, since: Instant::now() };
        let mut unsent = self.unsent.borrow_mut();
        let unknown = unsent.unknown();
        // Checked before this send is added: a single long send never closes a connection whose client reads.
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
    pub(in crate::net) fn take_turn(&self, most: usize) -> (usize, bool) {
        // What leaves is measured, whatever the socket says in between.
        let before = self.unsent.borrow().bytes;
        let is_more = match self.flush(self.unsent.borrow_mut(), most).0 {
            Ok(is_more) => is_more,
            Err(error) => {
                self.break_off(&error);
                false
            }
        };
        self.recount();
        // It was closed, and only its output kept it: the reactor's call ends it.
        if self.unsent_bytes() == 0 && self.end.borrow().is_some() {
            self.wake();
        }
        (before - self.unsent.borrow().bytes, is_more)
    }

    /// Closes it if its client has taken none of the bytes that wait for it for `long`. True: it has to be
    /// checked again.
    pub(in crate::net) fn close_if_stuck(
        &self,
        now: Instant,
        long: Duration,
        pause: usize,
    ) -> bool {
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
        // Below the first bound it is no slow client; one that is being closed is watched until its last byte.
        bytes > pause || (bytes > 0 && end.is_some())
    }

    /// Bytes that are still to be sent: those that are not encrypted yet, and those that are.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.borrow().bytes + self.socket.unsent_bytes()
    }

    /// The socket is full, after it took so many bytes.
    fn wait_for_room(&self, took: usize) {
        if took > 0 {
            self.stuck_since.set(Instant::now());
        }
        self.want_room();
    }

    /// Writes at most `most` bytes, as far as the socket accepts them; waits for room if it accepts no more.
    /// Returns whether it might accept more, and the last buffer that was sent completely.
    pub(super) fn flush(
        &self,
        mut unsent: RefMut<'_, Unsent>,
        most: usize,
    ) -> (io::Result<bool>, Option<Vec<u8>>) {
        let mut spare = None;
        let mut taken = 0;
        let result = self.write_out(&mut unsent, most, &mut spare, &mut taken);
        unsent.reported -= taken;
        // The borrow ends here: what follows calls the table and the core, which may ask this connection again.
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

    /// The loop of [`Connection::flush`]. `taken` gets the reported bytes of the pieces that are sent completely,
    /// `spare` the last such buffer. True: it stopped at `most`, and the socket may accept more.
    ///
    /// # Errors
    /// The socket's.
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
            let rest = &front.bytes[unsent.front_sent..];
            let rest = &rest[..rest.len().min(most - wrote_in_all)];
            match self.socket.write(rest, &self.table.shared.records) {
                Output::Took(wrote) => {
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
                Output::Full(earlier) => {
                    self.wait_for_room(wrote_in_all + earlier);
                    return Ok(false);
                }
                Output::Failed(error) => return Err(error),
            }
        }
        // All of it was taken; with TLS it may not be out yet.
        match self.socket.flush() {
            Output::Took(_) => {}
            Output::Full(earlier) => self.wait_for_room(wrote_in_all + earlier),
            Output::Failed(error) => return Err(error),
        }
        Ok(false)
    }
}
