//! A worker: a session that changes its own nodes as fast as it can until the server is killed.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use ringkeeper::error::ErrorCode;
use ringkeeper::id::SessionId;
use ringkeeper::jute::Jute;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, OPEN_ACL, Session, SessionError};

use crate::Random;
use crate::history::{Effect, Entry, History, State, apply};

const KEYS: usize = 24;
const EPHEMERALS: usize = 4;
const BATCH_MAX: usize = 16;
const MULTI_MAX: usize = 4;
const DATA_BYTES_MAX: usize = 1500;
/// The session timeout; long enough to survive every restart in the test.
const TIMEOUT_MS: i32 = 120_000;

/// The parent of the sequential nodes of all workers.
pub const SEQUENCE: &str = "/crash/seq";

/// A second session of a worker, opened for one ephemeral node and closed again.
#[derive(Debug)]
pub struct SideSession {
    /// The id of the session.
    pub id: SessionId,
    /// The password of the session.
    pub password: [u8; 16],
    /// The path of the ephemeral node.
    pub node: String,
    /// Whether closeSession was sent.
    pub close_sent: bool,
    /// Whether closeSession was acknowledged.
    pub close_acknowledged: bool,
}

/// The results of a round of one worker.
#[derive(Debug, Default)]
pub struct Report {
    /// The requests and acknowledgements.
    pub history: History,
    /// Names that sequential nodes got, in order.
    pub names: Vec<String>,
    /// The newest zxid of any answer.
    pub zxid: i64,
    /// The second session, if there was time for one.
    pub side: Option<SideSession>,
}

/// A worker; it lasts for all rounds.
#[derive(Debug)]
pub struct Worker {
    number: usize,
    session: Session,
    /// The state at the beginning of a round.
    pub state: State,
    /// Names of this worker's existing sequential nodes, by their data.
    sequential: Vec<(String, String)>,
    written: u64,
}

impl Worker {
    /// Opens the worker's session and makes its node.
    pub fn new(number: usize, server: SocketAddr) -> Self {
        let mut session = Session::open(server, TIMEOUT_MS).expect("a session");
        let path = format!("/crash/w{number}");
        session.create(&path, None, OPEN_ACL, 0).expect("the worker's node");
        Worker { number, session, state: State::new(), sequential: Vec::new(), written: 0 }
    }

    /// The id of the worker's session.
    pub fn session_id(&self) -> SessionId {
        self.session.id()
    }

    /// The key under which a node of this worker stands in a [`State`], or `None` for a node of another worker.
    pub fn key_of(&self, path: &str, data: &str) -> Option<String> {
        if path.starts_with(SEQUENCE) {
            return data.starts_with(&format!("w{}:", self.number)).then(|| data.to_owned());
        }
        let own = [format!("/crash/w{}/", self.number), self.ephemeral_prefix()];
        own.iter().any(|prefix| path.starts_with(prefix)).then(|| path.to_owned())
    }

    /// The beginning of the paths of its ephemeral nodes.
    pub fn ephemeral_prefix(&self) -> String {
        format!("/crash/eph/w{}-", self.number)
    }

    /// Resumes the session after a restart, with the recovered state.
    pub fn resume(&mut self, server: SocketAddr, found: State, sequential: Vec<(String, String)>) {
        let (id, password) = (self.session.id(), self.session.password());
        self.session = Session::resume(server, TIMEOUT_MS, id, password)
            .unwrap_or_else(|error| panic!("session {id} of worker {}: {error}", self.number));
        assert_eq!(self.session.id(), id, "the same session");
        self.state = found;
        self.sequential = sequential;
    }

    /// The ephemeral nodes of this session, as the server lists them.
    pub fn ephemerals(&mut self) -> Vec<String> {
        self.session.ephemerals("/").expect("getEphemerals")
    }

    /// Works until the server is killed.
    pub fn round(&mut self, server: SocketAddr, random: &mut Random) -> Report {
        let mut report = Report::default();
        let mut state = self.state.clone();
        loop {
            let count = 1 + random.below(BATCH_MAX);
            let mut frames = Vec::new();
            let mut sent = Vec::new();
            for _ in 0..count {
                let (op, body, entry) = self.request(&state, random);
                apply(&mut state, &entry);
                self.session.queue(op, &body, &mut frames);
                report.history.entries.push(entry.clone());
                sent.push((op, entry));
            }
            // If the server is killed, the answers that it sent before must still be read.
            let _ = self.session.connection().send_raw(&frames);
            for (op, entry) in sent {
                let reply = match self.session.receive() {
                    Ok(reply) => reply,
                    Err(SessionError::Closed) => return report,
                    Err(error) => panic!("worker {}: {error:?}", self.number),
                };
                assert_eq!(reply.header.err, 0, "worker {}: {entry:?}", self.number);
                report.history.acknowledged += 1;
                report.zxid = report.zxid.max(reply.header.zxid.0);
                if op == OpCode::Create2 {
                    let name = Option::<&str>::from_bytes(&reply.body).expect("a path");
                    let name = name.expect("a path that is not null").to_owned();
                    let [Effect::Put(data, _)] = &entry[..] else { panic!("a create") };
                    report.names.push(name.clone());
                    self.sequential.push((data.clone(), name));
                }
            }
            if random.below(60) == 0 && report.side.is_none() {
                report.side = self.side_session(server);
            }
        }
    }

    /// A request that must succeed if all requests before it do, and its effects. Only sequential creates use
    /// create2.
    fn request(&mut self, state: &State, random: &mut Random) -> (OpCode, Body, Entry) {
        match random.below(10) {
            0..5 => {
                let key = format!("/crash/w{}/k{}", self.number, random.below(KEYS));
                self.change(&key, 0, state, random)
            }
            5 => {
                let key = format!("{}{}", self.ephemeral_prefix(), random.below(EPHEMERALS));
                self.change(&key, 1, state, random)
            }
            6 => {
                let data = self.data(random);
                let path = format!("{SEQUENCE}/s-");
                let body = Body::create(&path, Some(data.as_bytes()), OPEN_ACL, 2);
                (OpCode::Create2, body, vec![Effect::Put(data.clone(), data)])
            }
            7 if !self.sequential.is_empty() => {
                let last = self.sequential.len() - 1;
                // The worker often deletes the newest one, so that a server cannot guess the counter from the nodes
                // that are left.
                let at = if random.below(2) == 0 { last } else { random.below(last + 1) };
                let (data, name) = self.sequential.remove(at);
                (OpCode::Delete, Body::path_version(&name, -1), vec![Effect::Remove(data)])
            }
            _ => self.multi(state, random),
        }
    }

    fn multi(&mut self, state: &State, random: &mut Random) -> (OpCode, Body, Entry) {
        let first = random.below(KEYS);
        let mut state = state.clone();
        let mut body = Body::new();
        let mut entry = Vec::new();
        for step in 0..2 + random.below(MULTI_MAX - 1) {
            let key = format!("/crash/w{}/k{}", self.number, (first + step) % KEYS);
            let (op, part, effects) = self.change(&key, 0, &state, random);
            body = body.multi_op(op.number(), &part);
            apply(&mut state, &effects);
            entry.extend(effects);
        }
        if random.below(5) == 0 {
            body = body.multi_op(OpCode::Check.number(), &Body::path_version("/crash/nobody", -1));
            entry.clear();
        }
        (OpCode::Multi, body.multi_end(), entry)
    }

    fn change(
        &mut self,
        key: &str,
        flags: i32,
        state: &State,
        random: &mut Random,
    ) -> (OpCode, Body, Entry) {
        let exists = state.contains_key(key);
        if exists && random.below(4) == 0 {
            let effects = vec![Effect::Remove(key.to_owned())];
            return (OpCode::Delete, Body::path_version(key, -1), effects);
        }
        let data = self.data(random);
        let effects = vec![Effect::Put(key.to_owned(), data.clone())];
        if exists {
            (OpCode::SetData, Body::set_data(key, Some(data.as_bytes()), -1), effects)
        } else {
            (OpCode::Create, Body::create(key, Some(data.as_bytes()), OPEN_ACL, flags), effects)
        }
    }

    /// Data that no other write has.
    fn data(&mut self, random: &mut Random) -> String {
        self.written += 1;
        let length = random.below(DATA_BYTES_MAX);
        format!("w{}:{}:{}", self.number, self.written, "x".repeat(length))
    }

    /// Another session makes an ephemeral node and closes.
    fn side_session(&mut self, server: SocketAddr) -> Option<SideSession> {
        let mut session = Session::open(server, TIMEOUT_MS).ok()?;
        self.written += 1;
        let node = format!("/crash/eph/side{}-{}", self.number, self.written);
        session.create(&node, None, OPEN_ACL, 1).ok()?;
        let mut side = SideSession {
            id: session.id(),
            password: session.password(),
            node,
            close_sent: false,
            close_acknowledged: false,
        };
        thread::sleep(Duration::from_millis(5));
        side.close_sent = true;
        side.close_acknowledged = session.close().is_ok();
        Some(side)
    }
}

/// Whether a refusal means that the node was not there.
pub fn is_no_node(error: &SessionError) -> bool {
    error.is(ErrorCode::NoNode)
}
