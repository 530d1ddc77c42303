//! A workload's tools: it opens and closes sessions, sends requests, reads the clock, and records every outcome.
//!
//! Nothing is sent at once: the worker sends what was queued after each thing that it handled.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use ringkeeper::proto::opcode::OpCode;
use rustix::event::epoll;

use super::frames;
use super::recorder::Recorder;
use super::session::{Session, State};
use super::worker::Shared;
use super::workload::error_name;

/// Between two attempts to connect; a real client waits longer, at random.
const RETRY_NS: u64 = 20_000_000;
/// Connections that are being made at once, so that no listener's queue overflows.
const OPENING_MAX: usize = 64;
/// The session timeout that is asked for unless a workload wants another.
pub const SESSION_TIMEOUT_MS: i32 = 30_000;

/// The run's clock, the same for all threads.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub Instant);

impl Clock {
    /// ns since the run began.
    pub fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("a run is shorter than 500 years")
    }
}

/// A workload's tools.
pub struct Io {
    /// The sessions of this thread.
    pub sessions: Vec<Session>,
    /// When what is being handled came, in ns of the run's clock.
    pub now: u64,
    /// When the measurement ends: what is due later is not wanted.
    pub until: u64,
    /// Whether the load is over: answers are still taken, requests no longer wanted.
    pub stopped: bool,
    /// What is counted.
    pub recorder: Recorder,
    /// The timeout that new sessions ask for.
    pub timeout_ms: i32,
    /// Connections that may be in the making at once.
    pub opening_max: usize,
    pub(super) clock: Clock,
    pub(super) servers: Arc<[SocketAddr]>,
    /// The server that each session connects to first.
    seats: Vec<usize>,
    pub(super) poll: OwnedFd,
    pub(super) dirty: Vec<usize>,
    pub(super) queued: VecDeque<usize>,
    pub(super) opening: usize,
    pub(super) retries: BinaryHeap<Reverse<(u64, usize)>>,
    pub(super) last_failure: Option<(SocketAddr, String)>,
    /// Connections that were closed before a session was granted, since one was.
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

    /// Opens a session, or goes on with the one it had. It is due now.
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

    /// Cuts a connection without a word and forgets the session, which then has to expire.
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

    /// A request is answered: it succeeded now, or failed.
    #[inline]
    pub fn answered(&mut self, operation: u16, due: u64, error: Option<i32>) {
        match error {
            None => self.succeeded(operation, due),
            Some(code) => self.failed(operation, error_name(code), due),
        }
    }

    /// A request of this operation succeeded now.
    #[inline]
    pub fn succeeded(&mut self, operation: u16, due: u64) {
        self.recorder.succeeded(usize::from(operation), due, self.now);
    }

    /// A request of this operation failed.
    pub fn failed(&mut self, operation: u16, name: &'static str, due: u64) {
        self.recorder.failed(usize::from(operation), name, due, self.now);
    }

    /// Up to when requests are due now.
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

    /// Connects those whose turn has come.
    pub(super) fn open_queued(&mut self) {
        while self.opening < self.opening_max {
            let Some(index) = self.queued.pop_front() else { return };
            let server = self.servers[self.sessions[index].server % self.servers.len()];
            let begun = self.sessions[index].connect(server).and_then(|()| self.register(index));
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

    /// Asks epoll about space for sending, exactly while something is unsent.
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

/// What epoll gives back of a connection.
fn token(index: usize, generation: u32) -> epoll::EventData {
    let index = u64::try_from(index).expect("64 bits");
    epoll::EventData::new_u64((u64::from(generation) << 32) | index)
}

/// The session's index, and the number of its connection.
pub fn untoken(data: epoll::EventData) -> (usize, u32) {
    let data = data.u64();
    let index = usize::try_from(data & 0xffff_ffff).expect("64 bits");
    (index, u32::try_from(data >> 32).expect("the upper half"))
}
