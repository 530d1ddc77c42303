//! A session that connects, sends requests one by one or in pipelines, and keeps events apart from replies.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Decoder, Jute, Vector};
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::data::{AclVector, Stat};
use ringkeeper::proto::event::WatcherEvent;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::request::RequestHeader;
use ringkeeper::proto::response::{
    GetAclResponse, GetChildren2Response, GetDataResponse, PathResponse, ReplyHeader, xid,
};

use crate::body::{Acl, Body};
use crate::connection::{Connection, Received};

/// The reason why a request failed: the server refused it, or no reply came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionError {
    /// The server answered with this code.
    Refused(i32),
    /// The connection ended.
    Closed,
    /// Nothing came within the time that a test waits.
    Silence,
}

impl SessionError {
    /// Whether the server answered with this code.
    pub fn is(&self, code: ErrorCode) -> bool {
        *self == SessionError::Refused(code.code())
    }
}

/// A reply: header and body. The body is empty if the header carries an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The header.
    pub header: ReplyHeader,
    /// The bytes that follow the header.
    pub body: Vec<u8>,
}

/// A watch event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The header's zxid.
    pub zxid: Zxid,
    /// Number of an event type.
    pub event_type: i32,
    /// The state, 3.
    pub state: i32,
    /// The path.
    pub path: String,
}

/// A session on a connection.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    id: SessionId,
    password: [u8; 16],
    timeout_ms: i32,
    read_only: bool,
    next_xid: i32,
    /// The newest zxid of any reply.
    last_zxid: Zxid,
    /// Events in the order of their arrival.
    pub events: VecDeque<Event>,
}

impl Session {
    /// Opens a new session.
    ///
    /// # Errors
    /// The server cannot be reached, or does not open one.
    pub fn open(server: SocketAddr, timeout_ms: i32) -> io::Result<Self> {
        Self::connect(server, timeout_ms, SessionId::NONE, [0; 16], Zxid::ZERO)
    }

    /// Opens a connection for a session that exists.
    ///
    /// # Errors
    /// The server cannot be reached, or does not know the session (`NotFound`).
    pub fn resume(
        server: SocketAddr,
        timeout_ms: i32,
        id: SessionId,
        password: [u8; 16],
    ) -> io::Result<Self> {
        Self::connect(server, timeout_ms, id, password, Zxid::ZERO)
    }

    fn connect(
        server: SocketAddr,
        timeout_ms: i32,
        id: SessionId,
        password: [u8; 16],
        last_zxid_seen: Zxid,
    ) -> io::Result<Self> {
        let connection = Connection::open(server)?;
        Self::greet(connection, timeout_ms, id, password, last_zxid_seen, false)
    }

    /// Opens or resumes a session on an open connection; the id [`SessionId::NONE`] asks for a new session.
    ///
    /// # Errors
    /// The connection ends, or the server does not know the session (`NotFound`).
    pub fn greet(
        mut connection: Connection,
        timeout_ms: i32,
        id: SessionId,
        password: [u8; 16],
        last_zxid_seen: Zxid,
        read_only: bool,
    ) -> io::Result<Self> {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen,
            timeout_ms,
            session_id: id,
            password: Some(&password),
            read_only: Some(read_only),
        };
        connection.send_frame(&request.to_bytes())?;
        let frame = match connection.receive() {
            Received::Frame(frame) => frame,
            other => return Err(io::Error::other(format!("no connect response: {other:?}"))),
        };
        let response = ConnectResponse::from_bytes(&frame).map_err(io::Error::other)?;
        if response.session_id == SessionId::NONE {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the session has expired"));
        }
        Ok(Session {
            connection,
            id: response.session_id,
            password: response.password,
            timeout_ms: response.timeout_ms,
            read_only: response.read_only.unwrap_or(false),
            next_xid: 1,
            last_zxid: Zxid::ZERO,
            events: VecDeque::new(),
        })
    }

    /// The xid of the next request.
    pub fn next_xid(&self) -> i32 {
        self.next_xid
    }

    /// Gives the next request this xid, and counts on from it.
    pub fn count_from(&mut self, xid: i32) {
        self.next_xid = xid;
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Its password.
    pub fn password(&self) -> [u8; 16] {
        self.password
    }

    /// The timeout that the server gave.
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    /// Whether the server is in read-only mode.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The newest zxid that a reply carried.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The connection underneath.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Sends a request and returns its xid, without waiting.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, op: OpCode, body: &Body) -> Result<i32, SessionError> {
        let mut frames = Vec::new();
        let xid = self.queue(op, body, &mut frames);
        self.connection.send_raw(&frames).map_err(|_| SessionError::Closed)?;
        Ok(xid)
    }

    /// Appends a request's frame to `frames` and returns its xid, so that a caller can send several at once.
    pub fn queue(&mut self, op: OpCode, body: &Body, frames: &mut Vec<u8>) -> i32 {
        let xid = match op {
            OpCode::Ping => xid::PING,
            OpCode::Auth => xid::AUTH,
            OpCode::SetWatches | OpCode::SetWatches2 => xid::SET_WATCHES,
            _ => {
                self.next_xid += 1;
                self.next_xid - 1
            }
        };
        let length = i32::try_from(body.bytes().len() + 8).expect("a frame below 2 GiB");
        length.encode(frames);
        RequestHeader { xid, op: op.number() }.encode(frames);
        frames.extend_from_slice(body.bytes());
        xid
    }

    /// The next reply; events before it go to [`Session::events`].
    ///
    /// # Errors
    /// The connection ended or the server is silent. A refusal is a reply.
    pub fn receive(&mut self) -> Result<Reply, SessionError> {
        loop {
            let frame = match self.connection.receive() {
                Received::Frame(frame) => frame,
                Received::Closed => return Err(SessionError::Closed),
                Received::Silence => return Err(SessionError::Silence),
            };
            let mut input = Decoder::new(&frame);
            let header = ReplyHeader::decode(&mut input).expect("a reply has a header");
            if header.xid == xid::NOTIFICATION {
                let event = WatcherEvent::decode(&mut input).expect("an event has a body");
                self.events.push_back(Event {
                    zxid: header.zxid,
                    event_type: event.event_type,
                    state: event.state,
                    path: event.path.unwrap_or_default().to_owned(),
                });
                continue;
            }
            self.last_zxid = self.last_zxid.max(header.zxid);
            return Ok(Reply { header, body: input.rest().to_vec() });
        }
    }

    /// Sends one request and waits for its reply.
    ///
    /// # Errors
    /// As [`Session::receive`], or the server refused.
    ///
    /// # Panics
    /// If the reply belongs to another request.
    pub fn call(&mut self, op: OpCode, body: &Body) -> Result<Reply, SessionError> {
        let xid = self.send(op, body)?;
        let reply = self.receive()?;
        assert_eq!(reply.header.xid, xid, "the reply to {} belongs to another request", op.name());
        if reply.header.err == 0 { Ok(reply) } else { Err(SessionError::Refused(reply.header.err)) }
    }

    /// create; returns the name that the node got.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: Acl<'_>,
        flags: i32,
    ) -> Result<String, SessionError> {
        let reply = self.call(OpCode::Create, &Body::create(path, data, acl, flags))?;
        let path = PathResponse::from_bytes(&reply.body).expect("create answers a path").path;
        Ok(path.expect("a path that is not null").to_owned())
    }

    /// delete.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn delete(&mut self, path: &str, version: i32) -> Result<(), SessionError> {
        self.call(OpCode::Delete, &Body::path_version(path, version)).map(|_| ())
    }

    /// setData.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<Stat, SessionError> {
        let reply = self.call(OpCode::SetData, &Body::set_data(path, data, version))?;
        Ok(Stat::from_bytes(&reply.body).expect("setData answers a Stat"))
    }

    /// exists; `None` if there is no such node.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn exists(&mut self, path: &str, watch: bool) -> Result<Option<Stat>, SessionError> {
        match self.call(OpCode::Exists, &Body::path_watch(path, watch)) {
            Ok(reply) => Ok(Some(Stat::from_bytes(&reply.body).expect("exists answers a Stat"))),
            Err(error) if error.is(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// getData.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn get_data(
        &mut self,
        path: &str,
        watch: bool,
    ) -> Result<(Option<Vec<u8>>, Stat), SessionError> {
        let reply = self.call(OpCode::GetData, &Body::path_watch(path, watch))?;
        let got = GetDataResponse::from_bytes(&reply.body).expect("getData answers data and Stat");
        Ok((got.data.map(<[u8]>::to_vec), got.stat))
    }

    /// getChildren2: the children, sorted, and the Stat.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn children(
        &mut self,
        path: &str,
        watch: bool,
    ) -> Result<(Vec<String>, Stat), SessionError> {
        let reply = self.call(OpCode::GetChildren2, &Body::path_watch(path, watch))?;
        let got = GetChildren2Response::from_bytes(&reply.body)
            .expect("getChildren2 answers children and a Stat");
        Ok((sorted(got.children), got.stat))
    }

    /// getACL: the entries as text `perms scheme:id`, in order, and the Stat.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn get_acl(&mut self, path: &str) -> Result<(Vec<String>, Stat), SessionError> {
        let reply = self.call(OpCode::GetAcl, &Body::path(path))?;
        let got = GetAclResponse::from_bytes(&reply.body).expect("getACL answers ACL and Stat");
        Ok((acl_texts(got.acl), got.stat))
    }

    /// setACL.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn set_acl(
        &mut self,
        path: &str,
        acl: Acl<'_>,
        version: i32,
    ) -> Result<Stat, SessionError> {
        let reply = self.call(OpCode::SetAcl, &Body::set_acl(path, acl, version))?;
        Ok(Stat::from_bytes(&reply.body).expect("setACL answers a Stat"))
    }

    /// getEphemerals: this session's nodes below a prefix, sorted.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn ephemerals(&mut self, prefix: &str) -> Result<Vec<String>, SessionError> {
        let reply = self.call(OpCode::GetEphemerals, &Body::path(prefix))?;
        let paths = Vector::<Option<&str>>::from_bytes(&reply.body)
            .expect("getEphemerals answers a list of paths");
        Ok(sorted(paths))
    }

    /// auth.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn authenticate(&mut self, scheme: &str, proof: &[u8]) -> Result<(), SessionError> {
        self.call(OpCode::Auth, &Body::auth(scheme, proof)).map(|_| ())
    }

    /// ping; returns the server's zxid.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn ping(&mut self) -> Result<Zxid, SessionError> {
        self.call(OpCode::Ping, &Body::new()).map(|reply| reply.header.zxid)
    }

    /// closeSession; returns when it is answered.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub fn close(mut self) -> Result<(), SessionError> {
        self.call(OpCode::CloseSession, &Body::new()).map(|_| ())
    }
}

fn sorted(names: Vector<'_, Option<&str>>) -> Vec<String> {
    let mut names: Vec<String> =
        names.iter().map(|name| name.unwrap_or_default().to_owned()).collect();
    names.sort_unstable();
    names
}

fn acl_texts(acl: AclVector<'_>) -> Vec<String> {
    acl.iter()
        .map(|entry| {
            format!(
                "{} {}:{}",
                entry.perms,
                entry.id.scheme.unwrap_or("null"),
                entry.id.id.unwrap_or("null")
            )
        })
        .collect()
}
