//! TLS over a socket: what is held of its input and of its output.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use super::super::input::{self, Input};
use super::session::{Fault, Received, Session};
use super::{Output, Records, send_out};
use crate::limits;
use crate::runtime::Readiness;

/// A session over a socket, and the ciphertext that the socket has not taken.
pub(super) struct Secure {
    pub session: Session,
    /// Ciphertext to be sent, from `unsent_from` on.
    unsent: Vec<u8>,
    unsent_from: usize,
    /// Whether its last records were tiny: then little is read at once.
    pub has_tiny_records: bool,
    /// Whether a read had an answer of the session itself: the next message of a handshake.
    pub has_answered: bool,
    has_said_end: bool,
}

impl Secure {
    pub fn new(session: Session) -> Secure {
        let (unsent, unsent_from) = (Vec::new(), 0);
        let (has_tiny_records, has_answered, has_said_end) = (false, false, false);
        Secure { session, unsent, unsent_from, has_tiny_records, has_answered, has_said_end }
    }

    pub fn unsent_bytes(&self) -> usize {
        self.unsent.len() - self.unsent_from
    }

    pub fn held_bytes(&self) -> usize {
        let handshake = if self.session.is_established() { 0 } else { limits::HANDSHAKE_BYTES };
        self.unsent.capacity() + self.session.held_bytes() + handshake
    }

    /// Sends the first words of the side that speaks first.
    ///
    /// # Errors
    /// The socket's.
    pub fn begin(&mut self, fd: &OwnedFd, records: &mut Records) -> io::Result<()> {
        let begun = self.session.receive(&mut [], &mut [], &mut records.out);
        let sent = self.send(fd, records.out.take());
        match begun {
            Ok(_) => sent,
            Err(Fault(reason)) => Err(io::Error::other(reason)),
        }
    }

    /// Reads up to `most` bytes of ciphertext.
    pub fn read(
        &mut self,
        fd: &OwnedFd,
        into: &mut [u8],
        most: usize,
        what: Readiness,
        records: &mut Records,
    ) -> Input {
        if let Some(Fault(reason)) = self.session.take_fault() {
            return failed(&reason);
        }
        if self.session.is_ended() {
            return Input::End;
        }
        if self.unsent_bytes() > limits::CIPHERTEXT_UNSENT_BYTES_MAX {
            // Whoever waits for room to write also reads again.
            return Input::Nothing;
        }
        records.cipher();
        let Records { cipher, out } = records;
        let held = self.session.copy_held(cipher);
        let most = match self.has_tiny_records {
            true => most.min(limits::TINY_RECORDS_READ_BYTES),
            false => most,
        };
        let most = cipher.len().min(held.saturating_add(most));
        if held == most {
            return failed("a record, or a message of the TLS handshake, is too long");
        }
        let (arrived, is_more) = match input::read(fd, &mut cipher[held..most], what) {
            Input::Bytes { bytes, is_more } => (bytes, is_more),
            // A stream that ends without saying so: the frames show whether something is missing.
            other @ (Input::Nothing | Input::End | Input::Failed(_)) => return other,
        };
        let received = self.session.receive(&mut cipher[..held + arrived], into, out);
        let answer = out.take();
        self.has_answered |= !answer.is_empty();
        let sent = self.send(fd, answer);
        let Received { bytes, records, consumed, ended } = match received {
            Ok(received) => received,
            Err(Fault(reason)) => return failed(&reason),
        };
        if let Err(error) = sent {
            return Input::Failed(error);
        }
        // Records without plaintext are the shortest.
        self.has_tiny_records = records * limits::TINY_RECORD_BYTES > arrived
            || (bytes == 0 && consumed > limits::TINY_RECORD_BYTES);
        // What came before the end is handled before it; the next read says that it has ended.
        match ended && bytes == 0 {
            true => Input::End,
            false => Input::Bytes { bytes, is_more: is_more || ended },
        }
    }

    pub fn write(&mut self, fd: &OwnedFd, pieces: &[IoSlice<'_>], records: &mut Records) -> Output {
        match self.flush(fd) {
            Output::Took(_) => {}
            other @ (Output::Full(_) | Output::Failed(_)) => return other,
        }
        let (mut took, mut encrypted) = (0, Ok(()));
        for piece in pieces {
            let few = piece.len().min(limits::ENCRYPTED_BYTES_AT_ONCE - took);
            encrypted = self.session.send(&piece[..few], &mut records.out);
            took += few;
            if encrypted.is_err() || took == limits::ENCRYPTED_BYTES_AT_ONCE {
                break;
            }
        }
        match (encrypted, self.send(fd, records.out.take())) {
            (Ok(()), Ok(())) => Output::Took(took),
            (Err(Fault(reason)), _) => Output::Failed(io::Error::other(reason)),
            (_, Err(error)) => Output::Failed(error),
        }
    }

    pub fn flush(&mut self, fd: &OwnedFd) -> Output {
        let before = self.unsent_bytes();
        while self.unsent_from < self.unsent.len() {
            match send_out(fd, &self.unsent[self.unsent_from..]) {
                Output::Took(took) => self.unsent_from += took,
                Output::Full(_) => return Output::Full(before - self.unsent_bytes()),
                Output::Failed(error) => return Output::Failed(error),
            }
        }
        if before > 0 {
            // An idle connection holds nothing.
            (self.unsent, self.unsent_from) = (Vec::new(), 0);
        }
        Output::Took(before)
    }

    pub fn say_end(&mut self, fd: &OwnedFd, records: &mut Records) {
        if !std::mem::replace(&mut self.has_said_end, true) {
            self.session.say_end(&mut records.out);
            // If it fails, the other side is not there to hear it.
            let _ = self.send(fd, records.out.take());
        }
    }

    /// Sends ciphertext, behind what is unsent; holds what the socket does not take.
    fn send(&mut self, fd: &OwnedFd, mut cipher: &[u8]) -> io::Result<()> {
        if self.unsent_bytes() == 0 {
            while !cipher.is_empty() {
                match send_out(fd, cipher) {
                    Output::Took(took) => cipher = &cipher[took..],
                    Output::Full(_) => break,
                    Output::Failed(error) => return Err(error),
                }
            }
        }
        self.unsent.extend_from_slice(cipher);
        Ok(())
    }
}

fn failed(reason: &str) -> Input {
    Input::Failed(io::Error::other(format!("TLS: {reason}")))
}
