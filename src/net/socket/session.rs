//! One side of a TLS session: ciphertext in and out, plaintext out and in, over buffers of the caller. It performs no
//! I/O and reads no clock.
//!
//! rustls' unbuffered interface decrypts in the buffer into which a socket was read, and encrypts into the one that is
//! written to a socket; so a session that waits for nothing holds no buffer. (Its other interface reads through a buffer
//! of its own, 4 KiB at a time.)
//!
//! The rule that is easy to break: after each [`Session::receive`] every whole record is processed. What is held is a
//! part of a record, or of a message of the handshake that spans several; so [`Session::send`], which has to show it to
//! rustls again, finds nothing new in it.

use rustls::HandshakeKind;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};

use super::advice::{self, Other};

/// A session that has ended because of what the other side sent, or what it lacks: the reason, for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault(pub String);

/// The result of [`Session::receive`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes of plaintext at the front of the caller's buffer.
    pub bytes: usize,
    /// Records with plaintext.
    pub records: usize,
    /// Bytes of ciphertext that are processed; the others are held.
    pub consumed: usize,
    /// The other side has said that it sends nothing more.
    pub ended: bool,
}

/// A buffer that is filled from the front, and emptied at once.
#[derive(Default)]
pub struct Outbox {
    buffer: Vec<u8>,
    used: usize,
}

impl Outbox {
    /// Takes out what is in it. Valid until it is filled again.
    pub fn take(&mut self) -> &[u8] {
        &self.buffer[..std::mem::take(&mut self.used)]
    }

    /// At least so many bytes behind what is in it.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let needed = self.used + bytes;
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
        &mut self.buffer[self.used..]
    }
}

/// One side of a TLS session.
pub struct Session {
    side: Side,
    /// Who is at the other end, for the words of a fault.
    other: Other,
    /// Ciphertext of a record or of a message that has not arrived as a whole.
    held: Vec<u8>,
    /// The other side sends nothing more.
    ended: bool,
    /// There was a fault: what rustls knows of the input does not fit any more, and it must not be asked again.
    failed: bool,
    /// That fault, if plaintext came before it, until the next read.
    fault: Option<Fault>,
}

/// The two sides of TLS.
enum Side {
    /// Of a connection that was accepted.
    Server(UnbufferedServerConnection),
    /// Of a connection that was made.
    Client(UnbufferedClientConnection),
}

/// What is the same for both sides, and has different types.
trait Rustls {
    type Data;

    fn process<'c, 'i>(&'c mut self, cipher: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn wants_write(&self) -> bool;
}

impl Rustls for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, cipher: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(cipher)
    }

    fn wants_write(&self) -> bool {
        (**self).wants_write()
    }
}

impl Rustls for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, cipher: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(cipher)
    }

    fn wants_write(&self) -> bool {
        (**self).wants_write()
    }
}

/// What is said to the other side.
#[derive(Clone, Copy)]
enum Saying<'a> {
    Bytes(&'a [u8]),
    /// Nothing more follows.
    End,
}

/// What has become of one step of rustls.
enum Step {
    /// There may be another one.
    Done,
    /// Nothing more can be done without further input.
    Waits,
}

impl Session {
    /// The side of a server for clients, at its beginning.
    pub fn new(side: UnbufferedServerConnection) -> Session {
        Session::of(Side::Server(side), Other::Client)
    }

    /// The side of the server that has accepted a connection of another one, at its beginning.
    pub fn accepted(side: UnbufferedServerConnection) -> Session {
        Session::of(Side::Server(side), Other::Caller)
    }

    /// The side of the server that has made a connection to another one, at its beginning. It speaks first:
    /// [`Session::receive`] without any input puts its first words into the outbox.
    pub fn made(side: UnbufferedClientConnection) -> Session {
        Session::of(Side::Client(side), Other::Called)
    }

    fn of(side: Side, other: Other) -> Session {
        Session { side, other, held: Vec::new(), ended: false, failed: false, fault: None }
    }

    /// Copies the ciphertext that is held to the front of a buffer, where further input has to follow it for
    /// [`Session::receive`]. Returns its length.
    pub fn copy_held(&self, into: &mut [u8]) -> usize {
        into[..self.held.len()].copy_from_slice(&self.held);
        self.held.len()
    }

    /// Processes ciphertext: what is held and what has arrived after it. Plaintext goes to the front of `plain`, which
    /// is at least as long; what is to be sent goes into `out`, also after a fault. A fault behind plaintext is told by
    /// [`Session::take_fault`]: the plaintext counts.
    ///
    /// # Errors
    /// The session is over.
    pub fn receive(
        &mut self,
        cipher: &mut [u8],
        plain: &mut [u8],
        out: &mut Outbox,
    ) -> Result<Received, Fault> {
        assert!(plain.len() >= cipher.len(), "plaintext is shorter than its ciphertext");
        if self.failed {
            return Err(over());
        }
        let mut received = Received { ended: self.ended, ..Received::default() };
        let result = match &mut self.side {
            Side::Server(side) => receive_all(side, self.other, cipher, plain, out, &mut received),
            Side::Client(side) => receive_all(side, self.other, cipher, plain, out, &mut received),
        };
        self.ended = received.ended;
        match result {
            Ok(()) => self.hold(&cipher[received.consumed..]),
            Err(fault) => {
                (self.failed, self.held) = (true, Vec::new());
                if received.bytes == 0 {
                    return Err(fault);
                }
                (self.fault, received.ended) = (Some(fault), true);
            }
        }
        Ok(received)
    }

    /// What has ended the session behind the plaintext that was received last.
    pub fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// Encrypts plaintext into `out`.
    ///
    /// # Errors
    /// The session is over, or its handshake is not.
    pub fn send(&mut self, plain: &[u8], out: &mut Outbox) -> Result<(), Fault> {
        if !self.is_established() {
            // TLS 1.3 could send to a client whose certificate has not been seen.
            return Err(Fault("its handshake is not over".into()));
        }
        self.say(Saying::Bytes(plain), out)
    }

    /// Says in `out` that nothing more follows.
    pub fn say_end(&mut self, out: &mut Outbox) {
        // Whether or not it can still be said, the session is over.
        let _ = self.say(Saying::End, out);
    }

    fn say(&mut self, what: Saying<'_>, out: &mut Outbox) -> Result<(), Fault> {
        if self.failed {
            return Err(over());
        }
        let (other, held, ended) = (self.other, &mut self.held, &mut self.ended);
        let said = match &mut self.side {
            Side::Server(side) => say(side, other, ended, held, what, out),
            Side::Client(side) => say(side, other, ended, held, what, out),
        };
        self.failed = said.is_err();
        said
    }

    /// Whether the other side has said that it sends nothing more.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the handshake is over.
    pub fn is_established(&self) -> bool {
        match &self.side {
            Side::Server(side) => !side.is_handshaking(),
            Side::Client(side) => !side.is_handshaking(),
        }
    }

    /// The certificate of the other side (DER), which was verified in this session or in the one that it resumes;
    /// `None`: it has shown none.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.chain()?.first().map(|certificate| &certificate[..])
    }

    /// The certificates of the other side, its own first, if it has shown them in an earlier session, which this one
    /// resumes: they were verified then.
    pub fn shown_earlier(&self) -> Option<&[CertificateDer<'static>]> {
        let kind = match &self.side {
            Side::Server(side) => side.handshake_kind(),
            Side::Client(side) => side.handshake_kind(),
        };
        self.chain().filter(|_| kind == Some(HandshakeKind::Resumed))
    }

    fn chain(&self) -> Option<&[CertificateDer<'static>]> {
        match &self.side {
            Side::Server(side) => side.peer_certificates(),
            Side::Client(side) => side.peer_certificates(),
        }
    }

    /// Bytes of memory for ciphertext.
    pub fn held_bytes(&self) -> usize {
        self.held.capacity()
    }

    fn hold(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            // An idle session holds nothing.
            self.held = Vec::new();
        } else {
            self.held.clear();
            self.held.extend_from_slice(rest);
        }
    }
}

fn receive_all<S: Rustls>(
    side: &mut S,
    other: Other,
    cipher: &mut [u8],
    plain: &mut [u8],
    out: &mut Outbox,
    received: &mut Received,
) -> Result<(), Fault> {
    loop {
        let done = received.consumed;
        let UnbufferedStatus { mut discard, state } = side.process(&mut cipher[done..]);
        let step = match state {
            Err(error) => {
                let fault = advice::fault(&error, other);
                last_words(side, &mut cipher[done + discard..], out);
                return Err(fault);
            }
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(|error| advice::fault(&error, other))?;
                    let end = received.bytes + record.payload.len();
                    plain[received.bytes..end].copy_from_slice(record.payload);
                    received.bytes = end;
                    received.records += 1;
                    discard += record.discard;
                }
                Step::Done
            }
            Ok(state) => take_step(state, out, &mut received.ended)?,
        };
        received.consumed = done + discard;
        if let Step::Waits = step {
            break;
        }
    }
    Ok(())
}

fn say<S: Rustls>(
    side: &mut S,
    other: Other,
    ended: &mut bool,
    held: &mut Vec<u8>,
    what: Saying<'_>,
    out: &mut Outbox,
) -> Result<(), Fault> {
    loop {
        let UnbufferedStatus { discard, state } = side.process(held);
        let said = match state {
            Err(error) => Some(Err(advice::fault(&error, other))),
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                Some(say_now(&mut traffic, what, out))
            }
            Ok(state) => match take_step(state, out, ended) {
                Ok(Step::Done) => None,
                Ok(Step::Waits) => Some(Err(Fault("nothing can be sent now".into()))),
                Err(fault) => Some(Err(fault)),
            },
        };
        held.drain(..discard);
        if let Some(said) = said {
            return said;
        }
    }
}

fn say_now<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    what: Saying<'_>,
    out: &mut Outbox,
) -> Result<(), Fault> {
    let plain = match what {
        Saying::Bytes(plain) => plain,
        Saying::End => {
            // An alert in its record, and an answer to a request for new keys.
            const BYTES: usize = 256;
            if let Ok(wrote) = traffic.queue_close_notify(out.room(BYTES)) {
                out.used += wrote;
            }
            return Ok(());
        }
    };
    /// The longest plaintext of a record, and the most bytes that a record adds to it.
    const RECORD: (usize, usize) = (16 << 10, 64);
    let most = plain.len() + (plain.len() / RECORD.0 + 1) * RECORD.1;
    let wrote = match traffic.encrypt(plain, out.room(most)) {
        // An answer to the other side's request for new keys is sent before it.
        Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
            traffic.encrypt(plain, out.room(required_size))
        }
        wrote => wrote,
    };
    out.used += wrote.map_err(|error| Fault(error.to_string()))?;
    Ok(())
}

/// Puts the alerts that tell of a fault into `out`.
fn last_words<S: Rustls>(side: &mut S, rest: &mut [u8], out: &mut Outbox) {
    while side.wants_write() {
        let Ok(ConnectionState::EncodeTlsData(mut data)) = side.process(rest).state else { return };
        if encode(&mut data, out).is_err() {
            return;
        }
    }
}

fn over() -> Fault {
    Fault("the session is over".into())
}

/// Takes a step that is the same for input and output.
fn take_step<Data>(
    state: ConnectionState<'_, '_, Data>,
    out: &mut Outbox,
    ended: &mut bool,
) -> Result<Step, Fault> {
    match state {
        ConnectionState::EncodeTlsData(mut data) => encode(&mut data, out).map(|()| Step::Done),
        ConnectionState::TransmitTlsData(transmit) => {
            // It is in `out`, which the caller sends.
            transmit.done();
            Ok(Step::Done)
        }
        ConnectionState::PeerClosed => {
            *ended = true;
            Ok(Step::Done)
        }
        ConnectionState::Closed => {
            *ended = true;
            Ok(Step::Waits)
        }
        ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => Ok(Step::Waits),
        // Plaintext, which is handled where it is expected; early data, which is not offered; and what a later rustls
        // may add.
        _ => Err(Fault("plaintext came where none was expected".into())),
    }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, out: &mut Outbox) -> Result<(), Fault> {
    // Most records of a handshake.
    const USUAL_BYTES: usize = 4096;
    let wrote = match data.encode(out.room(USUAL_BYTES)) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            data.encode(out.room(required_size))
        }
        wrote => wrote,
    };
    out.used += wrote.map_err(|error| Fault(error.to_string()))?;
    Ok(())
}
