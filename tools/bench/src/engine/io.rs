//! A workload's tools: it opens and closes sessions, sends requests, reads the clock, and records every outcome.
//!
//! Requests are not sent at once: the worker sends the queued ones after each event that it has handled.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use ringkeeper::proto::opcode::OpCode;
use rustix::event::epoll;
use rustls::ClientConfig;

use super::frames;
use super::recorder::Recorder;
use super::session::{Session, State};
use super::worker::Shared;
use super::workload::error_name;

/// The pause between two attempts to connect, in ns; a real client waits longer, for a random time.
const RETRY_NS: u64 = 20_000_000;
/// The most connections that are being made at once, so that no listener's queue overflows.
const OPENING_MAX: usize = 64;
/// The session timeout of new sessions, unless a workload wants another one.
pub const SESSION_TIMEOUT_MS: i32 = 30_000;

/// The run's clock, the same for all threads.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub Instant);

impl Clock {
    /// The ns since the run began.
    pub fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("a run is shorter than 500 years")
    }
}

/// A workload's tools.
pub struct Io {
    /// The sessions of this thread.
    pub sessions: Vec<Session>,
    /// The time of the event that is being handled, in ns of the run's clock.
    pub now: u64,
    /// The end of the measurement, in ns of the run's clock; no request is due later.
    pub until: u64,
    /// Whether the load is over; then answers still count, and no requests are made.
    pub stopped: bool,
    /// The record of all outcomes.
    pub recorder: Recorder,
    /// The timeout that new sessions ask for.
    pub timeout_ms: i32,
    /// The most connections that may be in the making at once.
    pub opening_max: usize,
    pub(super) clock: Clock,
    pub(super) servers: Arc<[SocketAddr]>,
    tls: Option<Arc<ClientConfig>>,
    /// The server that each session connects to first.
    seats: Vec<usize>,
    pub(super) poll: OwnedFd,
    pub(super) dirty: Vec<usize>,
    pub(super) queued: VecDeque<usize>,
    pub(super) opening: usize,
    pub(super) retries: BinaryHeap<Reverse<(u64, usize)>>,
    pub(super) last_failure: Option<(SocketAddr, String)>,
    /// Connections that ended before the server granted a session, since the last one that it granted.
    pub(super) closed_at_once: u32,
    pub(super) progress_at: u64,
}

impl Io {
    /// The tools for `sessions` sessions, each of which connects to its seat first.
    ///
    /// # Errors
    /// This machine has no epoll left.
    pub fn new(
        sessions: usize,
        seats: Vec<usize>,
        recorder: Recorder,
        shared: &Shared,
    ) -> Result<Io, String> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| format!("epoll: {error}"))?;
        Ok(Io {
            sessions: (0..sessions).map(|_| Session::new()).collect(),
            now: shared.clock.now(),
            until: u64::MAX,
            stopped: false,
            recorder,
            timeout_ms: SESSION_TIMEOUT_MS,
            opening_max: OPENING_MAX,
            clock: shared.clock,
            servers: shared.servers.clone(),
            tls: shared.tls.clone(),
            seats,
            poll,
            dirty: Vec::new(),
            queued: VecDeque::new(),
            opening: 0,
            retries: BinaryHeap::new(),
            last_failure: None,
            closed_at_once: 0,
            progress_at: shared.clock.now(),
        })
    }

    /// Opens a session, or takes up the old one; the opening is due now.
    pub fn open(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        assert!(session.state == State::Idle, "a session is opened twice: {:?}", session.state);
        session.state = State::Queued;
        session.server = self.seats[index];
        session.open_due = self.now;
        self.queued.push_back(index);
    }

    /// Ends a session in order.
    pub fn close(&mut self, index: usize) {
        let now = self.now;
        self.sessions[index].close(now);
        self.mark(index);
    }

    /// Cuts a connection without closeSession and forgets the session, which then has to expire.
    pub fn vanish(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        session.disconnect();
        session.pending.clear();
        session.forget();
    }

    /// Sends a request, whose frame `fill` appends.
    #[inline]
    pub fn request(
        &mut self,
        index: usize,
        operation: u16,
        due: u64,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        self.sessions[index].request(operation, due, fill);
        self.mark(index);
    }

    /// Sends a request of this opcode, whose body `fill` appends.
    pub fn send(
        &mut self,
        index: usize,
        operation: u16,
        due: u64,
        op: OpCode,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        self.request(index, operation, due, |out| frames::encode(out, op, fill));
    }

    /// Records the answer to a request: it succeeded now, or failed.
    #[inline]
    pub fn answered(&mut self, operation: u16, due: u64, error: Option<i32>) {
        match error {
            None => self.succeeded(operation, due),
            Some(code) => self.failed(operation, error_name(code), due),
        }
    }

    /// Records that a request of this operation succeeded now.
    #[inline]
    pub fn succeeded(&mut self, operation: u16, due: u64) {
        self.recorder.succeeded(usize::from(operation), due, self.now);
    }

    /// Records that a request of this operation failed.
    pub fn failed(&mut self, operation: u16, name: &'static str, due: u64) {
        self.recorder.failed(usize::from(operation), name, due, self.now);
    }

    /// The time up to which requests are due now.
    pub fn due_until(&self) -> u64 {
        self.now.min(self.until - 1)
    }

    #[inline]
    pub(super) fn mark(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        if !session.dirty {
            session.dirty = true;
            self.dirty.push(index);
        }
    }

    pub(super) fn look_at_clock(&mut self) {
        self.now = self.clock.now();
    }

    /// Connects the sessions whose turn has come.
    pub(super) fn open_queued(&mut self) {
        while self.opening < self.opening_max {
            let Some(index) = self.queued.pop_front() else { return };
            let server = self.servers[self.sessions[index].server % self.servers.len()];
            let begun = self.sessions[index].connect(server, self.tls.as_ref());
            let begun = begun.and_then(|()| self.register(index));
            match begun {
                Ok(()) => {
                    self.opening += 1;
                    self.sessions[index].heard_at = self.now;
                }
                Err(error) => {
                    self.sessions[index].disconnect();
                    self.retry(index, error.to_string());
                }
            }
        }
    }

    fn register(&self, index: usize) -> io::Result<()> {
        let session = &self.sessions[index];
        let socket = session.socket().expect("connect leaves a socket");
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(&self.poll, socket, token(index, session.generation), flags)?;
        Ok(())
    }

    /// Tries the next server a little later.
    pub(super) fn retry(&mut self, index: usize, why: String) {
        let session = &mut self.sessions[index];
        let server = self.servers[session.server % self.servers.len()];
        session.state = State::Queued;
        session.server += 1;
        self.last_failure = Some((server, why));
        self.recorder.happened("connect failed", self.now);
        self.retries.push(Reverse((self.now + RETRY_NS, index)));
    }

    /// Asks epoll about room for sending exactly as long as bytes are unsent.
    pub(super) fn watch_space(&mut self, index: usize) -> io::Result<()> {
        let session = &mut self.sessions[index];
        let wants = session.has_unsent() || session.state == State::Connecting;
        if wants == session.wants_space {
            return Ok(());
        }
        session.wants_space = wants;
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, wants);
        if let Some(socket) = session.socket() {
            epoll::modify(&self.poll, socket, token(index, session.generation), flags)?;
        }
        Ok(())
    }
}

/// The data by which epoll names a connection.
fn token(index: usize, generation: u32) -> epoll::EventData {
    let index = u64::try_from(index).expect("64 bits");
    epoll::EventData::new_u64((u64::from(generation) << 32) | index)
}

/// The index of the session and the number of its connection in epoll's data.
pub fn untoken(data: epoll::EventData) -> (usize, u32) {
    let data = data.u64();
    let index = usize::try_from(data & 0xffff_ffff).expect("64 bits");
    (index, u32::try_from(data >> 32).expect("the upper half"))
}
