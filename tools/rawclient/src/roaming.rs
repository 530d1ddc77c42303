//! A session that follows its ensemble: when its connection ends it resumes on the next server that takes it, with
//! its watches and the last zxid that it saw, as every client library does.
//!
//! The session hides nothing: a request without an answer is [`Failure::Unknown`], and the caller decides what that
//! means. It does not ping either: a caller that does nothing for long loses the session.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::Jute;
use ringkeeper::proto::data::Stat;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::response::GetDataResponse;

use crate::body::{Acl, Body};
use crate::connection::Connection;
use crate::session::{Event, Reply, Session, SessionError};

/// The pause between two rounds of attempts to connect.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server answered with this code.
    Refused(i32),
    /// No answer came: the request may have been carried out, may yet be, or never will be.
    Unknown,
    /// No server took the session within the time given; nothing was sent.
    NoServer(String),
    /// The session is gone.
    Expired,
}

/// The kind of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchKind {
    /// Left by getData, or by exists of a node that is there.
    Data,
    /// Left by exists of a node that is not there.
    Exists,
    /// Left by getChildren.
    Children,
}

/// A session and the servers to which it may connect.
#[derive(Debug)]
pub struct Roaming {
    servers: Vec<SocketAddr>,
    /// The place of the server to which the session is connected, or which it tries next.
    at: usize,
    timeout_ms: i32,
    patience: Duration,
    id: SessionId,
    password: [u8; 16],
    last_zxid: Zxid,
    session: Option<Session>,
    next_xid: i32,
    restarts_xids: bool,
    watches: BTreeSet<(WatchKind, String)>,
    /// Events of all its connections, in the order of their arrival.
    pub events: VecDeque<Event>,
    /// How often the session has connected.
    pub connections: usize,
}

impl Roaming {
    /// Opens a session on the first server that gives one. `patience` is the time it waits for an answer before it
    /// takes the server for dead. It tries for `limit`.
    ///
    /// # Errors
    /// No server gave one.
    pub fn open(
        servers: &[SocketAddr],
        timeout_ms: i32,
        patience: Duration,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let mut roaming = Roaming {
            servers: servers.to_vec(),
            at: 0,
            timeout_ms,
            patience,
            id: SessionId::NONE,
            password: [0; 16],
            last_zxid: Zxid::ZERO,
            session: None,
            next_xid: 1,
            restarts_xids: false,
            watches: BTreeSet::new(),
            events: VecDeque::new(),
            connections: 0,
        };
        roaming.connect(limit)?;
        Ok(roaming)
    }

    /// Counts its requests from 1 again on each connection.
    ///
    /// Client libraries go on counting. If a connection ends with its first request under way, the next connection
    /// sends another request with the same xid. A server of Apache ZooKeeper that then receives the first request
    /// takes it for the second (`CommitProcessor` compares only session and xid).
    #[must_use]
    pub fn restarting_xids(mut self) -> Self {
        self.restarts_xids = true;
        self
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The newest zxid of any reply.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The place in the list of the server to which the session is connected, or which it tries next.
    pub fn place(&self) -> usize {
        self.at
    }

    /// Replaces the list of servers. The connection stays.
    pub fn set_servers(&mut self, servers: &[SocketAddr]) {
        let now = self.servers[self.at];
        self.servers = servers.to_vec();
        self.at = servers.iter().position(|server| *server == now).unwrap_or(0);
    }

    /// Drops the connection, and tries the server at this place first.
    pub fn move_to(&mut self, place: usize) {
        self.leave();
        self.at = place;
    }

    /// Drops the connection without closing the session.
    pub fn leave(&mut self) {
        if let Some(session) = self.session.take() {
            self.keep(session);
        }
    }

    /// Connects if it is not connected.
    ///
    /// # Errors
    /// No server took the session in time, or it has expired.
    pub fn connect(&mut self, limit: Duration) -> Result<(), Failure> {
        if self.session.is_some() {
            return Ok(());
        }
        let begun = Instant::now();
        let mut tried = 0;
        loop {
            match self.try_connect() {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Failure::Expired);
                }
                Err(error) if begun.elapsed() > limit => {
                    return Err(Failure::NoServer(error.to_string()));
                }
                Err(_) => {}
            }
            self.at = (self.at + 1) % self.servers.len();
            tried += 1;
            if tried % self.servers.len() == 0 {
                thread::sleep(RETRY_INTERVAL);
            }
        }
    }

    fn try_connect(&mut self) -> io::Result<()> {
        let connection = Connection::open_within(self.servers[self.at], self.patience)?;
        let (id, password) = (self.id, self.password);
        let mut session =
            Session::greet(connection, self.timeout_ms, id, password, self.last_zxid, false)?;
        if !self.restarts_xids {
            session.count_from(self.next_xid);
        }
        self.id = session.id();
        self.password = session.password();
        self.connections += 1;
        if !self.watches.is_empty() {
            let of = |kind: WatchKind| -> Vec<&String> {
                let all = self.watches.iter();
                all.filter(|(other, _)| *other == kind).map(|(_, path)| path).collect()
            };
            let body = Body::new()
                .long(self.last_zxid.0)
                .texts(&of(WatchKind::Data))
                .texts(&of(WatchKind::Exists))
                .texts(&of(WatchKind::Children));
            let answer = session.call(OpCode::SetWatches, &body);
            answer.map_err(|error| io::Error::other(format!("setWatches: {error:?}")))?;
        }
        self.session = Some(session);
        self.take_events();
        Ok(())
    }

    /// Sends a request on the present connection, or on a new one, and waits for the answer.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub fn call(&mut self, op: OpCode, body: &Body, limit: Duration) -> Result<Reply, Failure> {
        self.connect(limit)?;
        let session = self.session.as_mut().expect("connected, two lines above");
        let answer = session.call(op, body);
        match answer {
            Ok(reply) => {
                self.take_events();
                Ok(reply)
            }
            Err(SessionError::Refused(code)) => {
                self.take_events();
                Err(Failure::Refused(code))
            }
            Err(SessionError::Closed | SessionError::Silence) => {
                self.leave();
                self.at = (self.at + 1) % self.servers.len();
                Err(Failure::Unknown)
            }
        }
    }

    /// Repeats a request until an answer comes: for requests that may be carried out twice.
    ///
    /// # Errors
    /// A refusal, or the time is over.
    pub fn insist(&mut self, op: OpCode, body: &Body, limit: Duration) -> Result<Reply, Failure> {
        let begun = Instant::now();
        loop {
            match self.call(op, body, limit) {
                Err(Failure::Unknown) if begun.elapsed() < limit => {}
                other => return other,
            }
        }
    }

    /// create; repeated until an answer comes. A node that exists already counts as success.
    ///
    /// # Errors
    /// As [`Roaming::insist`].
    pub fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: Acl<'_>,
        flags: i32,
        limit: Duration,
    ) -> Result<(), Failure> {
        const NODE_EXISTS: i32 = -110;
        match self.insist(OpCode::Create, &Body::create(path, data, acl, flags), limit) {
            Ok(_) | Err(Failure::Refused(NODE_EXISTS)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// sync, then getData on the same connection, so that the answer is up to date.
    ///
    /// # Errors
    /// As [`Roaming::insist`].
    pub fn read(
        &mut self,
        path: &str,
        limit: Duration,
    ) -> Result<(Option<Vec<u8>>, Stat), Failure> {
        let begun = Instant::now();
        loop {
            self.insist(OpCode::Sync, &Body::path(path), limit)?;
            let before = self.connections;
            match self.call(OpCode::GetData, &Body::path_watch(path, false), limit) {
                Ok(reply) if self.connections == before => {
                    let got = GetDataResponse::from_bytes(&reply.body)
                        .expect("getData answers data and Stat");
                    return Ok((got.data.map(<[u8]>::to_vec), got.stat));
                }
                Ok(_) | Err(Failure::Unknown) if begun.elapsed() < limit => {}
                Ok(_) => return Err(Failure::Unknown),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Leaves a watch. The session renews it on each new connection until it fires.
    ///
    /// # Errors
    /// As [`Roaming::insist`].
    pub fn watch(&mut self, kind: WatchKind, path: &str, limit: Duration) -> Result<(), Failure> {
        const NO_NODE: i32 = -101;
        let op = match kind {
            WatchKind::Data => OpCode::GetData,
            WatchKind::Exists => OpCode::Exists,
            WatchKind::Children => OpCode::GetChildren,
        };
        match self.insist(op, &Body::path_watch(path, true), limit) {
            Ok(_) => {}
            Err(Failure::Refused(NO_NODE)) if kind == WatchKind::Exists => {}
            Err(failure) => return Err(failure),
        }
        self.watches.insert((kind, path.to_owned()));
        Ok(())
    }

    /// Pings until an event for this path has come, and takes it.
    ///
    /// # Errors
    /// The time is over, or the session is gone.
    pub fn wait_event(&mut self, path: &str, limit: Duration) -> Result<Event, Failure> {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.events.iter().position(|event| event.path == path) {
                return Ok(self.events.remove(at).expect("it was found there"));
            }
            if begun.elapsed() > limit {
                return Err(Failure::NoServer(format!("no event for {path} in {limit:?}")));
            }
            self.insist(OpCode::Ping, &Body::new(), limit)?;
            thread::sleep(RETRY_INTERVAL);
        }
    }

    /// The connected session underneath, for requests without a method here.
    ///
    /// # Errors
    /// As [`Roaming::connect`].
    pub fn session(&mut self, limit: Duration) -> Result<&mut Session, Failure> {
        self.connect(limit)?;
        Ok(self.session.as_mut().expect("connected, one line above"))
    }

    /// closeSession; returns when it is answered.
    ///
    /// # Errors
    /// As [`Roaming::call`].
    pub fn close(mut self, limit: Duration) -> Result<(), Failure> {
        self.call(OpCode::CloseSession, &Body::new(), limit).map(|_| ())
    }

    fn keep(&mut self, mut session: Session) {
        self.last_zxid = self.last_zxid.max(session.last_zxid());
        self.next_xid = session.next_xid();
        let events: Vec<Event> = session.events.drain(..).collect();
        events.into_iter().for_each(|event| self.take_event(event));
    }

    fn take_events(&mut self) {
        if let Some(session) = self.session.take() {
            let mut session = session;
            self.last_zxid = self.last_zxid.max(session.last_zxid());
            let events: Vec<Event> = session.events.drain(..).collect();
            self.session = Some(session);
            events.into_iter().for_each(|event| self.take_event(event));
        }
    }

    /// Keeps an event, and forgets the watches from which it can have come.
    fn take_event(&mut self, event: Event) {
        for kind in [WatchKind::Data, WatchKind::Exists, WatchKind::Children] {
            let ends = match event.event_type {
                // Created and changed concern the node itself, deleted everything, 4 the children.
                1 | 3 => kind != WatchKind::Children,
                4 => kind == WatchKind::Children,
                _ => true,
            };
            if ends {
                self.watches.remove(&(kind, event.path.clone()));
            }
        }
        self.events.push_back(event);
    }
}
