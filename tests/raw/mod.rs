//! A client that sends exactly what a test wants: one socket, frames, and the project's own codec.

#![allow(dead_code, clippy::missing_panics_doc, reason = "each test binary uses a part")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Jute, VectorBuf, begin_frame, end_frame};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::request::{
    CreateRequest, PathVersion, PathWatch, RequestBody, RequestHeader, SetDataRequest,
};
use ringkeeper::proto::response::{GetDataResponse, ReplyHeader};

/// How long a socket waits; long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One connection with its session.
pub struct Client {
    pub socket: TcpStream,
    pub session: ConnectResponse,
    xid: i32,
}

/// A reply: its header and the bytes of its body.
#[derive(Debug)]
pub struct Reply {
    pub header: ReplyHeader,
    pub body: Vec<u8>,
}

impl Reply {
    /// The header of a success.
    pub fn ok(self) -> Self {
        assert_eq!(self.header.err, 0, "{:?}", self.header);
        self
    }
}

/// A connected socket that waits no longer than [`PATIENCE`].
pub fn dial(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Reads one frame without its length.
pub fn read_frame(socket: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
    socket.read_exact(&mut frame)?;
    Ok(frame)
}

/// The frame of a connect request for a new session.
pub fn connect_frame(timeout_ms: i32) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session_id: SessionId::NONE,
        password: Some(&[0; 16]),
        read_only: Some(false),
    };
    let mut frame = Vec::new();
    let start = begin_frame(&mut frame);
    request.encode(&mut frame);
    end_frame(&mut frame, start);
    frame
}

/// The frame of a request.
pub fn request_frame(xid: i32, op: OpCode, body: &RequestBody<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    let start = begin_frame(&mut frame);
    RequestHeader { xid, op: op.number() }.encode(&mut frame);
    body.encode(op, &mut frame);
    end_frame(&mut frame, start);
    frame
}

impl Client {
    /// Opens a new session.
    pub fn connect(address: SocketAddr) -> Client {
        Self::connect_with(address, 10_000)
    }

    /// Opens a new session with a timeout.
    pub fn connect_with(address: SocketAddr, timeout_ms: i32) -> Client {
        let mut socket = dial(address);
        socket.write_all(&connect_frame(timeout_ms)).unwrap();
        let frame = read_frame(&mut socket).expect("an answer to the connect request");
        let session = ConnectResponse::from_bytes(&frame).unwrap();
        assert_ne!(session.session_id, SessionId::NONE);
        Client { socket, session, xid: 0 }
    }

    /// The frame of the next request.
    pub fn frame(&mut self, op: OpCode, body: &RequestBody<'_>) -> Vec<u8> {
        self.xid += 1;
        request_frame(self.xid, op, body)
    }

    pub fn send(&mut self, op: OpCode, body: &RequestBody<'_>) {
        let frame = self.frame(op, body);
        self.socket.write_all(&frame).unwrap();
    }

    /// The next frame, reply or event.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let frame = read_frame(&mut self.socket)?;
        let header = ReplyHeader::from_bytes(&frame).unwrap();
        Ok(Reply { header, body: frame[16..].to_vec() })
    }

    /// Sends a request, and returns its reply.
    pub fn call(&mut self, op: OpCode, body: &RequestBody<'_>) -> Reply {
        self.send(op, body);
        let reply = self.receive().expect("a reply");
        assert_eq!(reply.header.xid, self.xid);
        reply
    }

    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Reply {
        let acl = open_acl();
        self.call(OpCode::Create, &create(path, data, &acl, flags))
    }

    pub fn set(&mut self, path: &str, data: &[u8]) -> Reply {
        self.call(OpCode::SetData, &set(path, data))
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.call(OpCode::GetData, &get(path, false))
    }

    /// The data of a node that must exist.
    pub fn data(&mut self, path: &str) -> Vec<u8> {
        let reply = self.get(path).ok();
        GetDataResponse::from_bytes(&reply.body).unwrap().data.unwrap_or_default().to_vec()
    }

    pub fn delete(&mut self, path: &str) -> Reply {
        self.call(
            OpCode::Delete,
            &RequestBody::PathVersion(PathVersion { path: Some(path), version: -1 }),
        )
    }

    pub fn ping(&mut self) {
        let mut frame = Vec::new();
        let start = begin_frame(&mut frame);
        RequestHeader { xid: -2, op: OpCode::Ping.number() }.encode(&mut frame);
        end_frame(&mut frame, start);
        self.socket.write_all(&frame).unwrap();
        assert_eq!(self.receive().expect("a pong").header.xid, -2);
    }
}

pub type Acl = VectorBuf<AclEntry<'static>>;

/// The ACL that allows all operations to all clients.
pub fn open_acl() -> Acl {
    let entry = AclEntry { perms: 31, id: Id { scheme: Some("world"), id: Some("anyone") } };
    let mut acl = Acl::default();
    acl.push(&entry);
    acl
}

pub fn create<'a>(path: &'a str, data: &'a [u8], acl: &'a Acl, flags: i32) -> RequestBody<'a> {
    let acl = acl.as_vector();
    RequestBody::Create(CreateRequest { path: Some(path), data: Some(data), acl, flags })
}

pub fn set<'a>(path: &'a str, data: &'a [u8]) -> RequestBody<'a> {
    RequestBody::SetData(SetDataRequest { path: Some(path), data: Some(data), version: -1 })
}

pub fn get(path: &str, watch: bool) -> RequestBody<'_> {
    RequestBody::PathWatch(PathWatch { path: Some(path), watch })
}
