//! Many sessions that are opened at once and then stay idle.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Jute, begin_frame, end_frame};
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::request::RequestHeader;
use ringkeeper::proto::response::xid;
use ringkeeper_rawclient::Session;
use rustls::{ClientConnection, StreamOwned};

use crate::engine::{self, Target};

/// Threads that open sessions. Each session is a durable write, and the sessions of several threads share one.
const OPENERS: u32 = 32;
/// The longest answer that an idle session gets is that to its opening.
const ANSWER_BYTES_MAX: usize = 1024;

/// Opens `count` sessions.
///
/// # Errors
/// The server does not open one of them, or the process may not open a file for each.
pub fn open(server: SocketAddr, timeout_ms: i32, count: u32) -> Result<Vec<Session>, String> {
    let one = move || {
        Session::open(server, timeout_ms)
            .map_err(|error| format!("{server}: opening a session: {error}"))
    };
    all(count, one)
}

/// A session that does nothing but ping, with or without TLS.
pub struct Idle {
    stream: Box<dyn Stream>,
}

/// What bytes pass through, in both directions.
trait Stream: Read + Write + Send {}

impl Stream for TcpStream {}

impl Stream for StreamOwned<ClientConnection, TcpStream> {}

impl Idle {
    /// Opens `count` sessions with the first server, with TLS if the target has it.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open_all(target: &Target, timeout_ms: i32, count: u32) -> Result<Vec<Idle>, String> {
        let server = target.for_sessions()[0];
        let one = || {
            Idle::open(target, server, timeout_ms)
                .map_err(|error| format!("{server}: opening a session: {error}"))
        };
        all(count, one)
    }

    fn open(target: &Target, server: SocketAddr, timeout_ms: i32) -> io::Result<Idle> {
        let socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &target.tls {
            None => Box::new(socket),
            Some(tls) => {
                Box::new(StreamOwned::new(engine::begin_tls(&tls.client, server)?, socket))
            }
        };
        let mut idle = Idle { stream };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms,
            session_id: SessionId::NONE,
            password: Some(&[0; 16]),
            read_only: Some(false),
        };
        let answer = idle.ask(&request)?;
        let response = ConnectResponse::from_bytes(&answer).map_err(io::Error::other)?;
        match response.session_id {
            SessionId::NONE => Err(io::Error::other("the session was refused")),
            _ => Ok(idle),
        }
    }

    /// Asks whether the session is still alive.
    ///
    /// # Errors
    /// It is not.
    pub fn ping(&mut self) -> io::Result<()> {
        let header = RequestHeader { xid: xid::PING, op: OpCode::Ping.number() };
        self.ask(&header).map(|_| ())
    }

    fn ask<'a>(&mut self, request: &impl Jute<'a>) -> io::Result<Vec<u8>> {
        let mut frame = Vec::new();
        let start = begin_frame(&mut frame);
        request.encode(&mut frame);
        end_frame(&mut frame, start);
        self.stream.write_all(&frame)?;
        self.stream.flush()?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ANSWER_BYTES_MAX {
            return Err(io::Error::other("an answer of another length"));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

/// Opens `count` sessions, several at once.
fn all<T: Send>(count: u32, one: impl Fn() -> Result<T, String> + Sync) -> Result<Vec<T>, String> {
    engine::allow_files(u64::from(count))?;
    let one = &one;
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| {
                let numbers = (opener..count).step_by(OPENERS as usize);
                scope.spawn(move || numbers.map(|_| one()).collect::<Result<Vec<_>, String>>())
            })
            .collect();
        let mut all = Vec::new();
        for opener in openers {
            all.extend(opener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}
