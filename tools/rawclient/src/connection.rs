//! One socket that sends and receives whole frames.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest wait for one frame. Long, because a server under test may share two cores with much else.
const FRAME_TIMEOUT: Duration = Duration::from_secs(20);
const READ_BYTES: usize = 64 * 1024;

/// What a connection received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole frame, without its length.
    Frame(Vec<u8>),
    /// The server closed the connection (end of file or reset).
    Closed,
    /// Nothing within the time given.
    Silence,
}

/// A client's socket with a buffer of what has arrived.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    taken: usize,
    patience: Duration,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub fn open(server: SocketAddr) -> io::Result<Self> {
        Self::open_within(server, FRAME_TIMEOUT)
    }

    /// Connects, and waits at most `patience` for this and for each frame.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub fn open_within(server: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, patience)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Connection { stream, inbox: Vec::new(), taken: 0, patience })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is gone, or the server does not read.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a frame: the payload's length and the payload.
    ///
    /// # Errors
    /// As [`Connection::send_raw`].
    pub fn send_frame(&mut self, payload: &[u8]) -> io::Result<()> {
        let length = i32::try_from(payload.len()).expect("a frame below 2 GiB");
        let mut frame = Vec::with_capacity(payload.len() + 4);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(payload);
        self.send_raw(&frame)
    }

    /// The next frame; waits long enough that silence means trouble.
    pub fn receive(&mut self) -> Received {
        self.receive_within(self.patience)
    }

    /// The next frame, waiting at most `limit`.
    ///
    /// # Panics
    /// If the frame's length is negative, or the socket fails in a way that is not an end.
    pub fn receive_within(&mut self, limit: Duration) -> Received {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(frame) = self.take_frame() {
                return Received::Frame(frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Received::Silence;
            }
            self.stream.set_read_timeout(Some(left)).expect("a time-out above zero");
            let mut chunk = [0; READ_BYTES];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Received::Closed,
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe => return Received::Closed,
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted => {}
                    _ => panic!("reading from the server: {error}"),
                },
            }
        }
    }

    /// Closes the sending side: the server sees the end of the stream and may still answer.
    pub fn shutdown_write(&self) {
        // An error means that the connection is already gone, which is what the caller wants.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The socket, for tests that need options of their own.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn take_frame(&mut self) -> Option<Vec<u8>> {
        let rest = &self.inbox[self.taken..];
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length))
            .expect("a server never sends a negative length");
        let frame = rest.get(..length)?.to_vec();
        self.taken += 4 + length;
        if self.taken == self.inbox.len() {
            self.inbox.clear();
            self.taken = 0;
        }
        Some(frame)
    }
}
