//! One of the two servers: its process, the plan's connections to it, and what it has told so far.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Decoder, Jute};
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::data::Stat;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::request::RequestHeader;
use ringkeeper::proto::response::{ReplyHeader, xid};
use ringkeeper_rawclient::{Connection, Received};
use ringkeeper_testkit::Program;

use crate::draft::{Draft, Known};
use crate::plan::{Connect, Request, SLOTS, Step};
use crate::profile::Profile;
use crate::render::{Names, created_path};
use crate::servers::{Servers, Shape};

/// How long a server may take to close a connection that it must close.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);
const DEFAULT_TIMEOUT_MS: i32 = 900_000;
const CLOCK_SLACK_MS: i64 = 5_000;
const SEQUENTIAL_NAMES_MAX: usize = 16;

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    session: Option<(SessionId, [u8; 16])>,
    generation: u32,
}

/// A request whose reply the run expects.
#[derive(Debug)]
struct Expected {
    op: i32,
    closing: bool,
}

/// What [`Side::finish`] must collect after [`Side::begin`].
#[derive(Debug, Default)]
struct Pending {
    slot: usize,
    kind: PendingKind,
}

#[derive(Debug, Default)]
enum PendingKind {
    #[default]
    Nothing,
    Replies(Vec<Expected>),
    Garbage,
    Connect,
}

/// One server and everything that the plan has to do with it.
#[derive(Debug)]
pub struct Side {
    servers: Servers,
    profile: &'static Profile,
    slots: Vec<Slot>,
    known: Known,
    names: Names,
    next_xid: i32,
    pending: Vec<Pending>,
    observed: Vec<String>,
}

impl Side {
    /// Starts the servers.
    pub fn start(program: &Program, profile: &'static Profile, shape: Shape) -> Self {
        Side {
            servers: Servers::start(program, &profile.config(), shape),
            profile,
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            known: Known::default(),
            names: Names::new(now_ms() - CLOCK_SLACK_MS),
            next_xid: 1,
            pending: Vec::new(),
            observed: Vec::new(),
        }
    }

    /// The server.
    pub fn name(&self) -> &'static str {
        self.servers.name()
    }

    /// The servers, to ask them.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// A Stat in canonical text.
    pub fn stat_text(&mut self, stat: &Stat) -> String {
        self.names.stat(stat)
    }

    /// Sends what a step sends. Nothing is waited for, unless a connection must be opened first.
    pub fn begin(&mut self, step: &Step) {
        self.names.set_latest(now_ms() + CLOCK_SLACK_MS);
        match step {
            Step::Request(slot, request) => self.send(*slot, std::slice::from_ref(request)),
            Step::Burst(slot, requests) => self.send(*slot, requests),
            Step::Connect(slot, how) => self.connect(*slot, *how),
            Step::Drop(slot) => self.slots[*slot].connection = None,
            Step::Garbage(slot, bytes) => self.send_garbage(*slot, bytes),
            Step::PingAll | Step::Wait(_) => self.ping_all(),
            Step::Restart => {
                self.slots.iter_mut().for_each(|slot| slot.connection = None);
                self.servers.begin_restart();
            }
        }
    }

    /// Collects what came back, as canonical text.
    ///
    /// # Panics
    /// If the server does not come back from a restart.
    pub fn finish(&mut self, step: &Step) -> Vec<String> {
        if *step == Step::Restart {
            self.servers.finish_restart();
        }
        for pending in std::mem::take(&mut self.pending) {
            match pending.kind {
                PendingKind::Nothing => {}
                PendingKind::Replies(expected) => self.collect(pending.slot, expected),
                PendingKind::Garbage => self.collect_garbage(pending.slot),
                PendingKind::Connect => self.collect_connect(pending.slot),
            }
        }
        std::mem::take(&mut self.observed)
    }

    fn send(&mut self, slot: usize, requests: &[Request]) {
        self.servers.bring_up_to_date(slot, Zxid(self.known.zxid));
        if self.slots[slot].connection.is_none() {
            self.connect(
                slot,
                Connect::New { timeout_ms: DEFAULT_TIMEOUT_MS, read_only: Some(false) },
            );
            // The first frame must be answered before requests may follow on this connection.
            let opened = self.pending.pop().expect("connect left something to collect");
            self.collect_connect(opened.slot);
        }
        let mut frames = Vec::new();
        let mut expected = Vec::new();
        for request in requests {
            let xid = self.xid(request.op);
            let body = request.draft.finish(&self.known);
            let length = body.len() + 8;
            let too_long = length > self.profile.shape().frame_bytes_max;
            if too_long && !expected.is_empty() {
                // The server may or may not answer the requests before this one.
                break;
            }
            i32::try_from(length).expect("a frame below 2 GiB").encode(&mut frames);
            RequestHeader { xid, op: request.op }.encode(&mut frames);
            frames.extend_from_slice(&body);
            expected.push(Expected { op: request.op, closing: request.closing || too_long });
            if too_long {
                break;
            }
        }
        let Some(connection) = &mut self.slots[slot].connection else {
            self.observed.push(format!("[{slot}] no connection"));
            return;
        };
        // A failure shows when the replies are collected: as a closed connection.
        let _ = connection.send_raw(&frames);
        self.pending.push(Pending { slot, kind: PendingKind::Replies(expected) });
    }

    fn xid(&mut self, op: i32) -> i32 {
        match OpCode::from_i32(op) {
            Some(OpCode::Ping) => xid::PING,
            Some(OpCode::Auth) => xid::AUTH,
            Some(OpCode::SetWatches | OpCode::SetWatches2) => xid::SET_WATCHES,
            _ => {
                self.next_xid += 1;
                self.next_xid
            }
        }
    }

    fn connect(&mut self, slot: usize, how: Connect) {
        self.servers.bring_up_to_date(slot, Zxid(self.known.zxid));
        let place = &mut self.slots[slot];
        let mut request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(self.known.zxid),
            timeout_ms: DEFAULT_TIMEOUT_MS,
            session_id: SessionId::NONE,
            password: Some(&[0; 16]),
            read_only: Some(false),
        };
        let (id, password) = place.session.unwrap_or_default();
        let mut wrong = password;
        wrong[3] ^= 1;
        match how {
            Connect::New { timeout_ms, read_only } => {
                request.timeout_ms = timeout_ms;
                request.read_only = read_only;
            }
            Connect::Resume => (request.session_id, request.password) = (id, Some(&password[..])),
            Connect::WrongPassword => {
                (request.session_id, request.password) = (id, Some(&wrong[..]))
            }
            Connect::NullPassword => (request.session_id, request.password) = (id, None),
            Connect::FutureZxid => {
                (request.session_id, request.password) = (id, Some(&password[..]));
                request.last_zxid_seen = Zxid(self.known.zxid + 1000);
            }
            Connect::UnknownSession => request.session_id = SessionId(0x0123_4567_89ab_cdef),
        }
        let moves = how == Connect::Resume && id != SessionId::NONE;
        let mut old = place.connection.take();
        if !moves {
            old = None;
        }
        let mut connection =
            Connection::open(self.servers.address(slot)).expect("the server accepts connections");
        connection.send_frame(&request.to_bytes()).expect("the server reads the first frame");
        place.connection = Some(connection);
        self.pending.push(Pending { slot, kind: PendingKind::Connect });
        if let Some(mut old) = old {
            // The server closes the connection from which the session moves away.
            let mut events = Vec::new();
            let end = loop {
                match old.receive_within(CLOSE_LIMIT) {
                    Received::Frame(frame) => {
                        let mut input = Decoder::new(&frame);
                        let header = ReplyHeader::decode(&mut input).expect("a header");
                        events.push(self.names.event(&header, input.rest()));
                    }
                    other => break other,
                }
            };
            self.names.settle(&mut events);
            self.observed.extend(events.into_iter().map(|(_, text)| text));
            self.observed.push(format!("[{slot}] old connection: {end:?}"));
        }
    }

    fn collect_connect(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        let connection = place.connection.as_mut().expect("connect made one");
        let received = match connection.receive() {
            Received::Frame(frame) => ConnectResponse::from_bytes(&frame)
                .map_err(|error| format!("a connect response that cannot be decoded: {error}")),
            other => Err(format!("{other:?}")),
        };
        match received {
            Ok(response) if response.session_id == SessionId::NONE => {
                let end = connection.receive_within(CLOSE_LIMIT);
                self.observed.push(format!(
                    "[{slot}] refused: version {} timeout {} password {:?} read-only {:?}, then {end:?}",
                    response.protocol_version,
                    response.timeout_ms,
                    response.password,
                    response.read_only
                ));
                place.connection = None;
            }
            Ok(response) => {
                let id = response.session_id;
                let same = place.session.is_some_and(|(old, _)| old == id);
                if !same {
                    place.generation += 1;
                    self.names.name_session(id.0, format!("session {slot}.{}", place.generation));
                    place.session = Some((id, response.password));
                }
                let password = if response.password == implied_password(id.0) {
                    "right".to_owned()
                } else {
                    format!("{:?} does not belong to {id}", response.password)
                };
                self.observed.push(format!(
                    "[{slot}] connected: same session {same}, version {} timeout {} password {password} read-only {:?}",
                    response.protocol_version, response.timeout_ms, response.read_only
                ));
            }
            Err(what) => {
                self.observed.push(format!("[{slot}] no session: {what}"));
                place.connection = None;
            }
        }
    }

    /// Sends bytes that are no request, after it has collected the events under way: Apache ZooKeeper drops unsent
    /// events when it closes a connection.
    fn send_garbage(&mut self, slot: usize, bytes: &[u8]) {
        if self.slots[slot].connection.is_some() {
            self.send(slot, &[ping()]);
            let sent = self.pending.pop().expect("the ping is to be collected");
            if let PendingKind::Replies(expected) = sent.kind {
                self.collect(slot, expected);
            }
        }
        let Some(connection) = &mut self.slots[slot].connection else {
            self.observed.push(format!("[{slot}] no connection"));
            return;
        };
        let _ = connection.send_raw(bytes);
        connection.shutdown_write();
        self.pending.push(Pending { slot, kind: PendingKind::Garbage });
    }

    fn collect_garbage(&mut self, slot: usize) {
        let end = self.drain(slot, CLOSE_LIMIT);
        self.observed.push(format!("[{slot}] after the garbage: {end}"));
        self.slots[slot].connection = None;
    }

    fn ping_all(&mut self) {
        for slot in 0..SLOTS {
            if self.slots[slot].connection.is_some() {
                self.send(slot, &[ping()]);
            }
        }
    }

    fn collect(&mut self, slot: usize, expected: Vec<Expected>) {
        for Expected { op, closing } in expected {
            let mut events = Vec::new();
            let connection = self.slots[slot].connection.as_mut().expect("the sender had one");
            let (header, body) = loop {
                let frame = match connection.receive() {
                    Received::Frame(frame) => frame,
                    end => {
                        self.flush_events(events);
                        self.observed.push(format!("[{slot}] no reply: {end:?}"));
                        self.slots[slot].connection = None;
                        return;
                    }
                };
                let mut input = Decoder::new(&frame);
                let header = ReplyHeader::decode(&mut input).expect("a reply has a header");
                let body = input.rest().to_vec();
                if header.xid != xid::NOTIFICATION {
                    break (header, body);
                }
                events.push(self.names.event(&header, &body));
            };
            if op == OpCode::CloseSession.number() {
                self.names.add_close(header.zxid.0);
            }
            self.known.zxid = self.known.zxid.max(header.zxid.0);
            if header.err == 0 {
                self.remember_sequential(op, &body);
            }
            self.flush_events(events);
            let text = self.names.reply(op, &header, &body);
            self.observed.push(format!("[{slot}] {text}"));
            let refused_for_good = matches!(header.err, -115 | -124);
            if closing || refused_for_good {
                let end = self.drain(slot, CLOSE_LIMIT);
                self.observed.push(format!("[{slot}] then: {end}"));
                if end == "Closed" {
                    self.slots[slot].connection = None;
                    return;
                }
            }
        }
    }

    /// Renders everything that still comes, until the connection ends or the limit is over.
    fn drain(&mut self, slot: usize, limit: Duration) -> String {
        let connection = self.slots[slot].connection.as_mut().expect("the caller has one");
        let mut events = Vec::new();
        let mut others = Vec::new();
        let end = loop {
            match connection.receive_within(limit) {
                Received::Frame(frame) => {
                    let mut input = Decoder::new(&frame);
                    let header = ReplyHeader::decode(&mut input).expect("a reply has a header");
                    if header.xid == xid::NOTIFICATION {
                        events.push(self.names.event(&header, input.rest()));
                    } else {
                        others.push(format!("[{slot}] {header:?} {}", input.rest().len()));
                    }
                }
                other => break format!("{other:?}"),
            }
        };
        self.flush_events(events);
        self.observed.append(&mut others);
        end
    }

    fn flush_events(&mut self, mut events: Vec<(i64, String)>) {
        self.names.settle(&mut events);
        self.observed.extend(events.into_iter().map(|(_, text)| text));
    }

    fn remember_sequential(&mut self, op: i32, body: &[u8]) {
        if let Some(path) = created_path(op, body) {
            self.known.sequential.push(path);
            if self.known.sequential.len() > SEQUENTIAL_NAMES_MAX {
                self.known.sequential.remove(0);
            }
        }
    }
}

fn ping() -> Request {
    Request::new(OpCode::Ping.number(), Draft::new("ping"))
}

/// The password of a session id: the output of `java.util.Random` for a seed made of the id.
fn implied_password(id: i64) -> [u8; 16] {
    const MULTIPLIER: i64 = 0x5_DEEC_E66D;
    const MASK: i64 = (1 << 48) - 1;
    let mut seed = (id ^ 0xB341_5C00 ^ MULTIPLIER) & MASK;
    let mut password = [0; 16];
    for chunk in password.chunks_exact_mut(4) {
        seed = seed.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        let [.., a, b, c, d] = (seed >> 16).to_be_bytes();
        chunk.copy_from_slice(&[d, c, b, a]);
    }
    password
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a time that fits into 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_those_of_a_java_machine() {
        let expected = 0x054c_c74a_3732_7db2_15e7_02e2_0c73_f005_u128.to_be_bytes();
        assert_eq!(implied_password(0x0100_0000_0000_0001), expected);
        let expected = 0xfae1_8b1f_ff04_a306_6806_fbae_e072_25b6_u128.to_be_bytes();
        assert_eq!(implied_password(0x1000_1234_5678_0000), expected);
    }
}
