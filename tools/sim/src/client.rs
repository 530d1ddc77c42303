//! A client: a session that moves between servers, pings, watches, and requests that the client thinks of.
//!
//! The client speaks the protocol through its frames, as any client does, writes down its requests and the answers,
//! and says what it wants done with its connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Decoder, Jute};
use ringkeeper::limits::PASSWORD_BYTES;
use ringkeeper::proto::connect::ConnectResponse;
use ringkeeper::proto::event::{EventType, WatcherEvent};
use ringkeeper::proto::response::{ReplyHeader, xid};

use super::asking::{Asker, Asking};
use super::history::{Answer, Call, Frame, Greeting, History, Outcome, Request, Seen, Watched};
use super::network::ConnId;
use super::plan::{MS, Plan};
use super::rng::Rng;
use super::wider::Thinker;
use super::wire;

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Open a connection to a server.
    Open {
        /// The server's place.
        server: usize,
        /// The connection's number.
        number: u64,
    },
    /// Send bytes on the connection.
    Send(Vec<u8>),
    /// Close the connection.
    HangUp,
}

/// What a client does with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It sends requests.
    Active,
    /// It only keeps its session.
    Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Away {
        retry_at: u64,
    },
    Opening {
        since: u64,
    },
    /// The connect request is on its way.
    Greeting {
        since: u64,
    },
    Ready,
}

/// The first request of a session has the next number.
const FIRST_XID: i32 = 1;

/// A session as its client knows it.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    password: [u8; PASSWORD_BYTES],
    /// The timeout agreed on.
    pub timeout_ms: i32,
    last_zxid: Zxid,
}

/// A client.
pub struct Client {
    /// Its place among the clients.
    pub index: usize,
    rng: Rng,
    servers: usize,
    think: u64,
    depth: usize,
    keys: u64,
    session_ms: i32,
    /// What it does with its time.
    pub mode: Mode,
    link: Link,
    /// Number of its connection, counted from 1.
    pub connection: u64,
    /// Its connection in the network.
    pub conn: Option<ConnId>,
    /// Its session.
    pub session: Option<Session>,
    in_flight: VecDeque<usize>,
    pings: VecDeque<u64>,
    next_xid: i32,
    values: u64,
    watches: BTreeSet<(String, Watched)>,
    versions: BTreeMap<String, i32>,
    own: Vec<String>,
    folders_made: bool,
    heard_at: u64,
    sent_at: u64,
    next_request_at: u64,
    incoming: Vec<u8>,
    last_server: usize,
    /// When it wants to be woken.
    pub wake_at: Option<u64>,
    /// Writes acknowledged so far.
    pub writes_acknowledged: u64,
    thinker: Option<Thinker>,
    asking: Asking,
    asker: Option<Asker>,
    /// The secrets by which it proves its identities, on each connection anew.
    secrets: Vec<String>,
    /// Proofs under way: a server answers them at once, before earlier requests.
    proofs: VecDeque<usize>,
    /// Servers may begin local sessions.
    local_sessions: bool,
    /// It accepts read-only servers, which have no leader.
    is_reader: bool,
    /// The time until which it stays connected to a server without a leader.
    reads_until: Option<u64>,
    /// A server with a leader knew its session.
    is_lasting: bool,
}

impl Client {
    /// A client that has not begun.
    pub fn new(index: usize, plan: &Plan, mut rng: Rng) -> Client {
        let retry_at = rng.below(500 * MS);
        let last_server = rng.index(plan.servers());
        let asker = Asker::new(&plan.wild.asking, index, plan.keys, &mut rng);
        let thinker = Thinker::new(&plan.wild.wider, plan.keys, &mut rng);
        let readers = plan.wild.read_only_mode && plan.wild.wider.readers;
        let is_reader = readers && rng.one_in(2);
        Client {
            index,
            rng,
            servers: plan.servers(),
            think: plan.think,
            depth: plan.depth,
            keys: plan.keys,
            session_ms: plan.session_ms,
            local_sessions: plan.local_sessions,
            mode: Mode::Active,
            link: Link::Away { retry_at },
            connection: 0,
            conn: None,
            session: None,
            in_flight: VecDeque::new(),
            pings: VecDeque::new(),
            next_xid: FIRST_XID,
            values: 0,
            watches: BTreeSet::new(),
            versions: BTreeMap::new(),
            own: Vec::new(),
            folders_made: false,
            heard_at: 0,
            sent_at: 0,
            next_request_at: 0,
            incoming: Vec::new(),
            last_server,
            wake_at: Some(retry_at),
            writes_acknowledged: 0,
            thinker,
            asking: plan.wild.asking.clone(),
            asker,
            secrets: Vec::new(),
            proofs: VecDeque::new(),
            is_reader,
            reads_until: None,
            is_lasting: false,
        }
    }

    fn timeout(&self) -> u64 {
        let ms = self.session.map_or(self.session_ms, |session| session.timeout_ms);
        u64::try_from(ms).unwrap_or(0) * MS
    }

    /// The time at which it wants to be woken next.
    pub fn next_wake(&self) -> u64 {
        match self.link {
            Link::Away { retry_at } => retry_at,
            Link::Opening { since } | Link::Greeting { since } => since + self.timeout() / 3,
            Link::Ready => {
                let ping = self.sent_at + self.timeout() / 3;
                let dead = self.heard_at + self.timeout() * 2 / 3;
                let may_ask = self.mode == Mode::Active && self.in_flight.len() < self.depth;
                let request = if may_ask { self.next_request_at } else { u64::MAX };
                let leave = self.reads_until.unwrap_or(u64::MAX);
                ping.min(dead).min(request).min(leave)
            }
        }
    }

    /// Does what is due now: connects, gives up, pings, or asks.
    pub fn wake(&mut self, now: u64, history: &mut History, acts: &mut Vec<Act>) {
        match self.link {
            Link::Away { retry_at } if now >= retry_at => self.open(now, acts),
            Link::Away { .. } => (),
            Link::Opening { since } | Link::Greeting { since } => {
                if now >= since + self.timeout() / 3 {
                    acts.push(Act::HangUp);
                    self.ended(now);
                }
            }
            Link::Ready => self.wake_ready(now, history, acts),
        }
    }

    fn wake_ready(&mut self, now: u64, history: &mut History, acts: &mut Vec<Act>) {
        // The client leaves as if it had heard of a server that has a leader.
        let leaves = self.reads_until.is_some_and(|until| now >= until);
        if leaves || now >= self.heard_at + self.timeout() * 2 / 3 {
            acts.push(Act::HangUp);
            return self.ended(now);
        }
        if now >= self.sent_at + self.timeout() / 3 {
            self.sent_at = now;
            self.pings.push_back(now);
            acts.push(Act::Send(wire::ping()));
        }
        let may_ask = self.mode == Mode::Active && self.in_flight.len() < self.depth;
        if may_ask && now >= self.next_request_at {
            self.next_request_at = now + 1 + self.rng.waiting(self.think);
            self.ask(now, history, acts);
        }
    }

    fn open(&mut self, now: u64, acts: &mut Vec<Act>) {
        // Mostly another server than the last.
        if self.servers > 1 && !self.rng.one_in(4) {
            self.last_server =
                (self.last_server + 1 + self.rng.index(self.servers - 1)) % self.servers;
        }
        self.connection += 1;
        self.incoming.clear();
        self.link = Link::Opening { since: now };
        acts.push(Act::Open { server: self.last_server, number: self.connection });
    }

    /// The network has opened the connection: sends the connect request.
    pub fn established(&mut self, now: u64, history: &mut History, acts: &mut Vec<Act>) {
        self.link = Link::Greeting { since: now };
        self.sent_at = now;
        history.greetings.push(Greeting {
            client: self.index,
            connection: self.connection,
            server: self.last_server,
            session: self.session.map_or(SessionId::NONE, |session| session.id),
            sent: now,
            is_answered: false,
        });
        let known = self.session.map(|session| (session.id, session.password, session.last_zxid));
        acts.push(Act::Send(wire::connect(known, self.session_ms, self.is_reader)));
    }

    /// The connection has ended: the outcome of the requests under way is unknown.
    pub fn ended(&mut self, now: u64) {
        self.in_flight.clear();
        self.proofs.clear();
        self.pings.clear();
        self.incoming.clear();
        // ZooKeeper: ClientCnxn does not come back with a session that only a server without a leader
        // knows.
        if self.reads_until.take().is_some() && !self.is_lasting {
            self.forget_session();
        }
        let wait = if self.rng.one_in(4) { 1000 * MS } else { 50 * MS };
        self.link = Link::Away { retry_at: now + 1 + self.rng.waiting(wait) };
    }

    /// The client forgets its session, as if its process had died; another takes its place.
    pub fn abandon(&mut self, now: u64, acts: &mut Vec<Act>) {
        if !matches!(self.link, Link::Away { .. }) {
            acts.push(Act::HangUp);
            self.ended(now);
        }
        self.forget_session();
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.watches.clear();
        self.own.clear();
        self.secrets.clear();
        self.versions.clear();
        self.folders_made = false;
        self.next_xid = FIRST_XID;
        self.is_lasting = false;
    }

    /// Handles bytes that arrived.
    ///
    /// # Errors
    /// The server violated the protocol.
    pub fn received(
        &mut self,
        now: u64,
        bytes: &[u8],
        history: &mut History,
        acts: &mut Vec<Act>,
    ) -> Result<(), String> {
        self.heard_at = now;
        self.incoming.extend_from_slice(bytes);
        while let Some(frame) = wire::take_frame(&mut self.incoming) {
            match self.link {
                Link::Greeting { .. } => self.on_greeted(now, &frame, history, acts)?,
                Link::Ready => self.on_frame(now, &frame, history, acts)?,
                // The client hung up within this very loop.
                Link::Away { .. } | Link::Opening { .. } => return Ok(()),
            }
        }
        Ok(())
    }

    fn on_greeted(
        &mut self,
        now: u64,
        frame: &[u8],
        history: &mut History,
        acts: &mut Vec<Act>,
    ) -> Result<(), String> {
        let response = ConnectResponse::from_bytes(frame)
            .map_err(|error| format!("client {}: connect response: {error}", self.index))?;
        let its = (self.index, self.connection);
        let mut greetings = history.greetings.iter_mut().rev();
        if let Some(own) = greetings.find(|known| (known.client, known.connection) == its) {
            own.is_answered = true;
        }
        if response.timeout_ms <= 0 {
            // A server without a leader may say this of a session of which it has not heard. ZooKeeper:
            // ReadOnlyZooKeeperServer, if local sessions are allowed.
            let is_guess = self.local_sessions && response.read_only == Some(true);
            if let Some(session) = self.session.filter(|_| !is_guess) {
                history.told_expired(session.id, now);
            }
            self.forget_session();
            acts.push(Act::HangUp);
            self.ended(now);
            return Ok(());
        }
        let id = response.session_id;
        let relative = match self.session {
            Some(known) if known.id == id => Some(known.last_zxid),
            Some(known) => return Err(format!("asked for session {}, got {id}", known.id)),
            None => None,
        };
        self.session = Some(Session {
            id,
            password: response.password,
            timeout_ms: response.timeout_ms,
            last_zxid: relative.unwrap_or(Zxid::ZERO),
        });
        self.link = Link::Ready;
        if relative.is_some() && self.asking.xids_again {
            self.count_again(id, history);
        }
        if response.read_only == Some(true) {
            if !self.is_reader {
                return Err(format!("client {} is to read only, and did not offer it", self.index));
            }
            self.reads_until = Some(now + 1 + self.rng.waiting(3000 * MS));
            self.watches.clear();
            history.readers.insert((self.index, self.connection));
        } else {
            self.is_lasting = true;
        }
        let its = (self.index, self.connection);
        history.session_is_alive(id, its, response.timeout_ms, (self.sent_at, now));
        self.note(history, relative.unwrap_or(Zxid::ZERO), Seen::Connected);
        for secret in self.secrets.clone() {
            let request = Request::Auth { scheme: "digest".to_owned(), secret: Some(secret) };
            self.call(now, request, history, acts);
        }
        if let Some(relative) = relative
            && !self.watches.is_empty()
        {
            let watches = self.watches.iter().cloned().collect();
            self.call(now, Request::SetWatches { relative, watches }, history, acts);
        }
        Ok(())
    }

    /// Counts from small numbers again, or so that the next xid is that of a request lost with an earlier
    /// connection: a server that takes one request for the other then shows it.
    fn count_again(&mut self, session: SessionId, history: &History) {
        let is_lost = |call: &&Call| {
            call.session == session && call.outcome == Outcome::Unknown && call.xid > FIRST_XID
        };
        let lost = history.calls.iter().rev().find(is_lost);
        match (self.rng.below(3), lost) {
            (0, Some(call)) => self.next_xid = call.xid - 1,
            (0 | 1, _) => self.next_xid = FIRST_XID,
            _ => (),
        }
    }

    fn note(&self, history: &mut History, zxid: Zxid, seen: Seen) {
        let session = self.session.map_or(SessionId::NONE, |session| session.id);
        let frame = Frame { client: self.index, connection: self.connection, session, zxid, seen };
        history.frames.push(frame);
    }

    fn on_frame(
        &mut self,
        now: u64,
        frame: &[u8],
        history: &mut History,
        acts: &mut Vec<Act>,
    ) -> Result<(), String> {
        let who = self.index;
        let mut input = Decoder::new(frame);
        let bad = |what: &str| format!("client {who}: {what}");
        let header = ReplyHeader::decode(&mut input).map_err(|_| bad("a reply without header"))?;
        let session = self.session.as_mut().expect("it is connected");
        let seen = header.zxid.max(session.last_zxid);
        if header.zxid.0 > 0 {
            session.last_zxid = seen;
        }
        let id = session.id;
        match header.xid {
            xid::NOTIFICATION => {
                let event =
                    WatcherEvent::decode(&mut input).map_err(|_| bad("an event cut short"))?;
                let kind = EventType::from_i32(event.event_type)
                    .ok_or_else(|| bad("an event of no known type"))?;
                let path = event.path.unwrap_or_default().to_owned();
                self.forget_watches(kind, &path);
                self.note(history, header.zxid, Seen::Event { event: kind, path });
            }
            xid::PING => {
                let sent = self.pings.pop_front().ok_or_else(|| bad("an answer to no ping"))?;
                history.session_was_heard(id, sent);
                self.note(history, header.zxid, Seen::Pong);
            }
            number => {
                let waiting = match number {
                    xid::AUTH => &mut self.proofs,
                    _ => &mut self.in_flight,
                };
                let place = waiting.pop_front().ok_or_else(|| {
                    bad(&format!("a reply with xid {number}, and nothing is asked for"))
                })?;
                let call = &history.calls[place];
                if call.xid != number {
                    return Err(bad(&format!(
                        "a reply with xid {number} instead of {}: out of order",
                        call.xid
                    )));
                }
                let answer = if header.err == 0 {
                    wire::answer(&call.request, &mut input).map_err(|error| {
                        bad(&format!("the reply of {:?}: {error}", call.request))
                    })?
                } else {
                    Answer::Nothing
                };
                self.learn(place, header.err, &answer, history);
                let call = &mut history.calls[place];
                let (at, zxid, err) = (now, header.zxid, header.err);
                call.outcome = Outcome::Replied { at, zxid, err, answer };
                let (invoked, closes) = (call.invoked, call.request == Request::Close);
                if err == 0 && call.request.is_write() && self.reads_until.is_none() {
                    self.writes_acknowledged += 1;
                }
                history.session_was_heard(id, invoked);
                self.note(history, header.zxid, Seen::Reply(place));
                if closes {
                    acts.push(Act::HangUp);
                    self.ended(now);
                    self.forget_session();
                }
            }
        }
        Ok(())
    }

    /// Forgets the watches that an event has used up.
    fn forget_watches(&mut self, event: EventType, path: &str) {
        let kinds: &[Watched] = match event {
            EventType::NodeCreated => &[Watched::Missing, Watched::Data],
            EventType::NodeDataChanged => &[Watched::Data, Watched::Missing],
            EventType::NodeDeleted => &[Watched::Data, Watched::Missing, Watched::Children],
            EventType::NodeChildrenChanged => &[Watched::Children],
        };
        for kind in kinds {
            self.watches.remove(&(path.to_owned(), *kind));
        }
    }

    /// Keeps from a reply what later requests need.
    fn learn(&mut self, place: usize, err: i32, answer: &Answer, history: &History) {
        const NO_NODE: i32 = ringkeeper::error::ErrorCode::NoNode.code();
        let request = &history.calls[place].request;
        match (request, answer) {
            (Request::Get { path, watch }, Answer::Data(_, stat))
            | (Request::Exists { path, watch }, Answer::Stat(stat)) => {
                self.versions.insert(path.clone(), stat.version);
                if *watch {
                    self.watches.insert((path.clone(), Watched::Data));
                }
            }
            (Request::Set { path, .. }, Answer::Stat(stat)) => {
                self.versions.insert(path.clone(), stat.version);
            }
            (Request::Exists { path, watch: true }, _) if err == NO_NODE => {
                self.watches.insert((path.clone(), Watched::Missing));
            }
            (Request::Children { path, watch: true }, Answer::Children(..)) => {
                self.watches.insert((path.clone(), Watched::Children));
            }
            (Request::Create { sequential: true, .. }, Answer::Path(path)) => {
                self.own.push(path.clone());
            }
            (Request::Create { .. }, Answer::Path(path)) | (_, Answer::Created(path, _)) => {
                self.versions.insert(path.clone(), 0);
            }
            (Request::Auth { secret: Some(secret), .. }, _)
                if err == 0 && !self.secrets.contains(secret) =>
            {
                self.secrets.push(secret.clone());
            }
            (Request::AddWatch { path, recursive }, _) if err == 0 => {
                let kind = if *recursive { Watched::Recursive } else { Watched::Persistent };
                self.watches.insert((path.clone(), kind));
            }
            (Request::Watches { path, kind, remove: true }, _) if err == 0 => {
                for kind in super::watching::kinds_of(*kind) {
                    self.watches.remove(&(path.clone(), *kind));
                }
            }
            _ => (),
        }
    }

    fn call(&mut self, now: u64, request: Request, history: &mut History, acts: &mut Vec<Act>) {
        let number = match request {
            Request::SetWatches { .. } => xid::SET_WATCHES,
            Request::Auth { .. } => xid::AUTH,
            _ => {
                self.next_xid += 1;
                self.next_xid
            }
        };
        self.sent_at = now;
        acts.push(Act::Send(wire::request(number, &request)));
        let session = self.session.expect("it is connected").id;
        match number {
            xid::AUTH => self.proofs.push_back(history.calls.len()),
            _ => self.in_flight.push_back(history.calls.len()),
        }
        history.calls.push(Call {
            client: self.index,
            session,
            connection: self.connection,
            xid: number,
            request,
            invoked: now,
            outcome: Outcome::Unknown,
        });
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.link == Link::Ready
    }

    /// Whether it is connected, and sends requests.
    pub fn is_ready(&self) -> bool {
        self.is_connected() && self.mode == Mode::Active && self.reads_until.is_none()
    }

    /// Sends a request of the caller's.
    pub fn ask_for(
        &mut self,
        now: u64,
        request: Request,
        history: &mut History,
        acts: &mut Vec<Act>,
    ) {
        assert!(self.is_ready(), "who asks is connected");
        self.call(now, request, history, acts);
    }

    /// Thinks of a request and sends it.
    fn ask(&mut self, now: u64, history: &mut History, acts: &mut Vec<Act>) {
        if !self.folders_made {
            self.folders_made = true;
            for path in ["/e", "/q"] {
                let request = Request::Create {
                    path: path.to_owned(),
                    data: Vec::new(),
                    ephemeral: false,
                    sequential: false,
                };
                self.call(now, request, history, acts);
            }
            return;
        }
        if self.rng.one_in(400) {
            return self.call(now, Request::Close, history, acts);
        }
        if self.rng.one_in(500) {
            return self.abandon(now, acts);
        }
        if let Some(request) = self.asker.as_mut().and_then(Asker::think) {
            return self.call(now, request, history, acts);
        }
        let wider = self.thinker.as_mut().and_then(|thinker| thinker.think(&self.watches));
        if let Some(requests) = wider {
            for request in requests {
                self.call(now, request, history, acts);
            }
            return;
        }
        let request = super::workload::think(
            &mut self.rng,
            self.keys,
            (self.index, &mut self.values),
            &self.versions,
            &mut self.own,
        );
        if let Request::Sync { path } = &request {
            let read = Request::Get { path: path.clone(), watch: false };
            self.call(now, request, history, acts);
            return self.call(now, read, history, acts);
        }
        self.call(now, request, history, acts);
    }
}
