//! One session: its socket, its requests in flight, and what it needs to go on after a lost connection.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{DecodeError, Jute, begin_frame, end_frame};
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::response::xid;
use rustls::ClientConfig;

use super::frames::{self, XID_AT};
use super::socket::Socket;

/// A frame with more bytes does not come in pieces through the thread's buffer, but into memory of its own.
const LARGE_FRAME_BYTES: usize = 64 * 1024;

/// The number of an operation that belongs to no workload: closeSession.
pub const CLOSE: u16 = u16::MAX;

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// Its due time, in ns of the run's clock.
    pub due: u64,
    /// Its number on the connection.
    pub xid: i32,
    /// The operation, by the workload's numbers.
    pub operation: u16,
}

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No workload wants it open.
    Idle,
    /// A workload wants it open, and its turn to connect has not come.
    Queued,
    /// The connection is being made.
    Connecting,
    /// The connection exists, and the session does not yet.
    Handshaking,
    /// Requests may be sent.
    Live,
    /// closeSession was sent.
    Closing,
}

/// The result of a read.
pub enum Received<'a> {
    /// Whole frames, and perhaps the beginning of another.
    Bytes(&'a [u8]),
    /// One large frame with its length. The caller gives its memory back.
    Large(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The end of the connection.
    End,
}

/// A session, live or not.
pub struct Session {
    /// Its state.
    pub state: State,
    /// Requests in flight, oldest first.
    pub pending: VecDeque<Pending>,
    /// The due times of requests that could not be sent yet.
    pub waiting: VecDeque<u64>,
    /// The time at which its opening was due.
    pub open_due: u64,
    /// The time at which something was last sent.
    pub sent_at: u64,
    /// The time at which something was last received.
    pub heard_at: u64,
    /// The timeout that the server granted.
    pub timeout_ms: u64,
    /// The newest zxid it has seen.
    pub last_zxid: i64,
    /// Counts connections, so that an event of an old connection is recognised.
    pub generation: u32,
    /// The index of its server in the target's list.
    pub server: usize,
    /// The id of the session, if it was ever open and not lost.
    pub id: SessionId,
    pub(super) dirty: bool,
    pub(super) wants_space: bool,
    password: [u8; 16],
    socket: Option<Socket>,
    out: Vec<u8>,
    out_sent: usize,
    partial: Vec<u8>,
    /// A large frame that is being received, and the number of its bytes that have come; 0 if there is none.
    large: Vec<u8>,
    large_have: usize,
    next_xid: i32,
}

impl Session {
    /// A session that no workload wants yet.
    pub fn new() -> Session {
        Session {
            state: State::Idle,
            pending: VecDeque::new(),
            waiting: VecDeque::new(),
            open_due: 0,
            sent_at: 0,
            heard_at: 0,
            timeout_ms: 0,
            last_zxid: 0,
            generation: 0,
            server: 0,
            id: SessionId::NONE,
            dirty: false,
            wants_space: false,
            password: [0; 16],
            socket: None,
            out: Vec::new(),
            out_sent: 0,
            partial: Vec::new(),
            large: Vec::new(),
            large_have: 0,
            next_xid: 1,
        }
    }

    /// Begins a connection, with TLS if this is the client's side of it; returns at once.
    ///
    /// # Errors
    /// No sockets are left, or no route.
    pub fn connect(
        &mut self,
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<()> {
        let socket = Socket::connect(address, tls)?;
        self.generation = self.generation.wrapping_add(1);
        self.socket = Some(socket);
        self.state = State::Connecting;
        self.out.clear();
        self.out_sent = 0;
        self.partial.clear();
        self.large_have = 0;
        self.wants_space = false;
        Ok(())
    }

    /// Asks on a new connection for the old session, or for a new one.
    pub fn handshake(&mut self, timeout_ms: i32) {
        let password = self.password;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(self.last_zxid),
            timeout_ms,
            session_id: self.id,
            password: Some(&password),
            read_only: Some(false),
        };
        let start = begin_frame(&mut self.out);
        request.encode(&mut self.out);
        end_frame(&mut self.out, start);
        self.state = State::Handshaking;
    }

    /// Handles the answer to the handshake, and returns whether it grants the session. If it does not, the next
    /// handshake asks for a new session.
    ///
    /// # Errors
    /// The frame is no such answer.
    pub fn on_handshake(&mut self, frame: &[u8]) -> Result<bool, DecodeError> {
        let response = ConnectResponse::from_bytes(frame)?;
        if response.session_id == SessionId::NONE || response.timeout_ms <= 0 {
            self.forget();
            return Ok(false);
        }
        self.id = response.session_id;
        self.password = response.password;
        self.timeout_ms = u64::try_from(response.timeout_ms).expect("above 0");
        self.state = State::Live;
        Ok(true)
    }

    /// Forgets the session, which is over; the next handshake asks for a new one.
    pub fn forget(&mut self) {
        self.id = SessionId::NONE;
        self.password = [0; 16];
        self.last_zxid = 0;
        self.next_xid = 1;
    }

    /// Ends the connection, even if requests are in flight.
    pub fn disconnect(&mut self) {
        self.socket = None;
        self.state = State::Idle;
        self.out.clear();
        self.out_sent = 0;
        self.partial.clear();
        self.large_have = 0;
    }

    /// Its socket, while it has one.
    pub fn socket(&self) -> Option<&TcpStream> {
        self.socket.as_ref().map(Socket::stream)
    }

    /// Queues a request, whose frame `fill` appends.
    #[inline]
    pub fn request(&mut self, operation: u16, due: u64, fill: impl FnOnce(&mut Vec<u8>)) {
        let xid = self.next_xid;
        self.next_xid = if xid == i32::MAX { 1 } else { xid + 1 };
        let start = self.out.len();
        fill(&mut self.out);
        self.out[start + XID_AT..][..4].copy_from_slice(&xid.to_be_bytes());
        self.pending.push_back(Pending { due, xid, operation });
    }

    /// Queues a ping.
    pub fn ping(&mut self) {
        let start = self.out.len();
        frames::encode(&mut self.out, OpCode::Ping, |_| {});
        self.out[start + XID_AT..][..4].copy_from_slice(&xid::PING.to_be_bytes());
    }

    /// Queues a closeSession.
    pub fn close(&mut self, due: u64) {
        self.request(CLOSE, due, |out| frames::encode(out, OpCode::CloseSession, |_| {}));
        self.state = State::Closing;
    }

    /// Whether bytes are queued that the socket has not taken yet.
    pub fn has_unsent(&self) -> bool {
        !self.out.is_empty() || self.socket.as_ref().is_some_and(Socket::has_unsent)
    }

    /// Whether the last read may have left something that epoll does not know of.
    #[inline]
    pub fn may_have_more(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::may_have_more)
    }

    /// Gives the socket as many bytes as it takes, in one call.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn flush(&mut self, now: u64) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        if self.out.is_empty() {
            return socket.flush();
        }
        match socket.write(&self.out[self.out_sent..]) {
            Ok(count) => self.out_sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        self.sent_at = now;
        if self.out_sent == self.out.len() {
            self.out.clear();
            self.out_sent = 0;
        }
        Ok(())
    }

    /// Reads once. The earlier beginning of a frame stands in front of the new bytes.
    ///
    /// # Errors
    /// The connection is lost, or a frame is longer than any can be.
    pub fn receive<'a>(&mut self, chunk: &'a mut [u8]) -> io::Result<Received<'a>> {
        let Some(socket) = &mut self.socket else { return Ok(Received::Nothing) };
        if let Some(whole) = frame_end(&self.partial)?.filter(|&whole| whole > LARGE_FRAME_BYTES) {
            self.large.resize(whole, 0);
            self.large_have = self.partial.len();
            self.large[..self.large_have].copy_from_slice(&self.partial);
            self.partial.clear();
        }
        if self.large_have > 0 {
            let count = match socket.read(&mut self.large[self.large_have..]) {
                Ok(count) => count,
                Err(error) => return nothing_if_would_block(error),
            };
            self.large_have += count;
            if count > 0 && self.large_have == self.large.len() {
                self.large_have = 0;
                return Ok(Received::Large(std::mem::take(&mut self.large)));
            }
            return Ok(if count == 0 { Received::End } else { Received::Nothing });
        }
        let have = self.partial.len();
        chunk[..have].copy_from_slice(&self.partial);
        match socket.read(&mut chunk[have..]) {
            Ok(0) => Ok(Received::End),
            Ok(count) => {
                self.partial.clear();
                Ok(Received::Bytes(&chunk[..have + count]))
            }
            Err(error) => nothing_if_would_block(error),
        }
    }

    /// Keeps the beginning of a frame until the rest comes.
    pub fn keep(&mut self, beginning: &[u8]) {
        self.partial.extend_from_slice(beginning);
    }

    /// Takes back the memory of a [`Received::Large`].
    pub fn take_back(&mut self, memory: Vec<u8>) {
        self.large = memory;
    }
}

/// The end of the frame whose beginning this is, or `None` if not even its length is there.
fn frame_end(beginning: &[u8]) -> io::Result<Option<usize>> {
    let Some(length) = beginning.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(i32::from_be_bytes(*length))
        .map_err(|_| io::Error::other("a frame of negative length"))?;
    Ok(Some(4 + length))
}

fn nothing_if_would_block<'a>(error: io::Error) -> io::Result<Received<'a>> {
    if error.kind() == io::ErrorKind::WouldBlock { Ok(Received::Nothing) } else { Err(error) }
}
