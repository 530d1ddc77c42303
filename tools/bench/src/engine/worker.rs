//! One thread of the generator: its sessions, one epoll, and the workload that tells them what to
//! do.
//!
//! A wake-up costs one `epoll_wait` for all sessions, and one `read` and one `write` for each session with answers,
//! however many requests there are. Requests that a workload makes while it handles an answer leave before the
//! worker looks at the next session.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use ringkeeper::jute::Jute;
use ringkeeper::proto::event::WatcherEvent;
use ringkeeper::proto::response::xid;
use rustix::event::{Timespec, epoll};
use rustls::ClientConfig;

use super::frames::REPLY_HEADER_BYTES;
use super::io::{Clock, Io, SESSION_TIMEOUT_MS, untoken};
use super::recorder::{RawSlice, Recorded, Recorder, Window};
use super::session::{CLOSE, Received, State};
use super::workload::{Reply, Workload};

const CHUNK_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
/// How often the worker looks for sessions that need a ping or have fallen silent, in ns.
const SWEEP_NS: u64 = 250_000_000;
/// If the preparation makes no progress for this long, it has failed.
const PREPARE_SILENCE: Duration = Duration::from_secs(30);
/// If servers go on to close connections at once, and grant no session for this long, they will grant no more.
const REFUSED_SILENCE: Duration = Duration::from_secs(1);
/// How long the worker waits for answers after the end.
const GRACE: Duration = Duration::from_secs(10);
/// How long the worker waits for the ends of its sessions.
const CLOSE_GRACE: Duration = Duration::from_secs(10);

/// A message of a worker to the run.
pub enum Report {
    /// Everything is prepared, or the thread gave up and says why when it is joined.
    Ready,
    /// The measured time begins.
    Begun,
    /// A slice is over.
    Slice(RawSlice),
}

/// What the threads of a run share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The clock.
    pub clock: Clock,
    /// All servers, the leader first.
    pub servers: Arc<[SocketAddr]>,
    /// The clients' side of TLS, if they use it.
    pub tls: Option<Arc<ClientConfig>>,
    /// Sessions that the workload has.
    pub sessions: u32,
    /// The number of sessions that servers have granted and not lost; closed sessions still count.
    pub sessions_taken: Arc<AtomicU64>,
    /// The time at which the load begins, in ns of the run's clock; 0 while that is not known.
    pub load_from: Arc<AtomicU64>,
    /// Warm-up, measured time and slice in ns.
    pub times: (u64, u64, u64),
}

/// A thread's share of a run.
pub struct Worker<W> {
    workload: W,
    io: Io,
    shared: Shared,
    reports: Sender<Report>,
    next_sweep: u64,
}

impl<W: Workload> Worker<W> {
    /// A worker whose sessions connect to `seats`, one for each session.
    ///
    /// # Errors
    /// This machine has no epoll left.
    pub fn new(
        workload: W,
        recorder: Recorder,
        seats: Vec<usize>,
        shared: Shared,
        reports: Sender<Report>,
    ) -> Result<Self, String> {
        let io = Io::new(workload.sessions(), seats, recorder, &shared)?;
        Ok(Worker { workload, io, shared, reports, next_sweep: 0 })
    }

    /// Prepares, loads, waits for the last answers and closes the sessions.
    ///
    /// # Errors
    /// The workload could not be prepared.
    pub fn run(mut self) -> Result<Recorded, String> {
        // Due times are kept to the microsecond, not to the kernel's default of 50.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut events = Vec::with_capacity(EVENTS_MAX);
        self.workload.start(&mut self.io);
        let prepared = self.prepare(&mut chunk, &mut events);
        // A thread that failed reports ready too, or the others would wait for it for ever. The receiver is gone
        // only if the run was given up.
        let _ = self.reports.send(Report::Ready);
        prepared?;
        let load_from = loop {
            let load_from = self.shared.load_from.load(Ordering::Acquire);
            if load_from != 0 {
                break load_from;
            }
            self.turn(&mut chunk, &mut events, 1_000_000)?;
        };
        let (warm_up, measured, slice) = self.shared.times;
        let from = load_from + warm_up;
        let window = Window { from, end: from + measured, slice };
        // Due times follow from the common beginning, and not from the moment at which this thread noticed it.
        self.io.now = load_from;
        self.io.until = window.end;
        self.io.recorder.begin(load_from, window);
        self.workload.begin(&mut self.io);
        self.flush_dirty();
        let mut begun = false;
        while self.io.now < window.end {
            if !begun && self.io.now >= window.from {
                begun = true;
                let _ = self.reports.send(Report::Begun);
            }
            self.turn(&mut chunk, &mut events, window.end.saturating_sub(self.io.now))?;
        }
        self.io.recorder.roll(self.io.now);
        self.io.stopped = true;
        self.drain(&mut chunk, &mut events, window.end + nanos(GRACE))?;
        self.close_all(&mut chunk, &mut events)?;
        Ok(self.io.recorder.end())
    }

    fn prepare(&mut self, chunk: &mut [u8], events: &mut Vec<epoll::Event>) -> Result<(), String> {
        while !self.workload.is_ready() {
            self.turn(chunk, events, SWEEP_NS)?;
            if self.io.now - self.io.progress_at > nanos(PREPARE_SILENCE) {
                return Err(self.cannot_prepare());
            }
            if self.io.closed_at_once > 0
                && self.io.now - self.io.progress_at > nanos(REFUSED_SILENCE)
            {
                self.check_refused()?;
            }
        }
        Ok(())
    }

    /// Waits for the answers to requests that were due in time, and counts those that get none.
    fn drain(
        &mut self,
        chunk: &mut [u8],
        events: &mut Vec<epoll::Event>,
        until: u64,
    ) -> Result<(), String> {
        while self.io.now < until && (self.is_answering() || self.workload.awaits(&self.io)) {
            self.turn(chunk, events, 10_000_000)?;
        }
        self.workload.give_up(&mut self.io);
        let now = self.io.now;
        for session in &mut self.io.sessions {
            for pending in session.pending.drain(..) {
                if pending.operation != CLOSE {
                    let operation = usize::from(pending.operation);
                    self.io.recorder.failed(operation, "unanswered", pending.due, now);
                }
            }
            // These requests were due and could not even be sent, for lack of a connection or of answers.
            for due in session.waiting.drain(..) {
                self.io.recorder.never_sent(due);
            }
        }
        Ok(())
    }

    /// Whether a request has no answer yet, or was not even sent.
    fn is_answering(&self) -> bool {
        self.io.sessions.iter().any(|own| !own.pending.is_empty() || !own.waiting.is_empty())
    }

    fn close_all(
        &mut self,
        chunk: &mut [u8],
        events: &mut Vec<epoll::Event>,
    ) -> Result<(), String> {
        for index in 0..self.io.sessions.len() {
            if self.io.sessions[index].state == State::Live {
                self.io.close(index);
            }
        }
        self.flush_dirty();
        let until = self.io.now + nanos(CLOSE_GRACE);
        while self.io.now < until
            && self.io.sessions.iter().any(|session| session.state == State::Closing)
        {
            self.turn(chunk, events, 10_000_000)?;
        }
        Ok(())
    }

    /// Fails if servers have taken some sessions, and close every further connection at once.
    fn check_refused(&self) -> Result<(), String> {
        let taken = self.shared.sessions_taken.load(Ordering::Relaxed);
        // Servers that grant no session at all have another reason, such as a missing leader.
        let Some((server, why)) = self.io.last_failure.clone().filter(|_| taken > 0) else {
            return Ok(());
        };
        Err(format!(
            "{server}: the workload needs {} sessions; {taken} were taken, and the server closes every further \
             connection at once ({why}). Its maxClientCnxns may be the reason: it bounds the connections \
             from one address, at 60 unless its configuration says otherwise (0: no bound)",
            self.shared.sessions
        ))
    }

    fn cannot_prepare(&self) -> String {
        let (server, why) = self.io.last_failure.clone().unwrap_or_else(|| {
            let silent = format!("no answer for {} s", PREPARE_SILENCE.as_secs());
            (self.io.servers[0], silent)
        });
        format!("{server}: the workload could not be prepared: {why}")
    }

    /// Waits for something to happen, at most `wait` ns, and handles all that did.
    fn turn(
        &mut self,
        chunk: &mut [u8],
        events: &mut Vec<epoll::Event>,
        wait: u64,
    ) -> Result<(), String> {
        self.io.open_queued();
        let now = self.shared.clock.now();
        let next = [
            now.saturating_add(wait),
            self.workload.next_time(),
            self.io.recorder.slice_end(),
            self.next_sweep,
            self.io.retries.peek().map_or(u64::MAX, |Reverse((at, _))| *at),
        ];
        let until = next.into_iter().min().expect("an array that is not empty");
        let timeout = Duration::from_nanos(until.saturating_sub(now));
        let timeout = Timespec::try_from(timeout).expect("below the time of a sweep");
        events.clear();
        let spare = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.io.poll, spare, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("epoll: {error}")),
        }
        self.io.look_at_clock();
        for event in events.iter() {
            let (index, generation) = untoken(event.data);
            if self.io.sessions[index].generation == generation {
                self.handle_event(index, event.flags, chunk);
                self.flush_dirty();
            }
        }
        self.handle_time();
        self.flush_dirty();
        Ok(())
    }

    fn handle_time(&mut self) {
        let now = self.io.now;
        self.io.recorder.roll(now);
        if now >= self.workload.next_time() {
            self.workload.on_time(&mut self.io);
        }
        while let Some(&Reverse((at, index))) = self.io.retries.peek() {
            if at > now {
                break;
            }
            self.io.retries.pop();
            self.io.queued.push_back(index);
        }
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_NS;
            self.sweep();
        }
    }

    /// Sends a ping in sessions that have sent nothing for a third of the timeout, and gives up connections on which
    /// nothing came for two thirds, as ZooKeeper's own client does.
    fn sweep(&mut self) {
        let now = self.io.now;
        for index in 0..self.io.sessions.len() {
            let session = &mut self.io.sessions[index];
            match session.state {
                State::Live | State::Closing => {
                    let timeout = session.timeout_ms * 1_000_000;
                    if now.saturating_sub(session.heard_at) > timeout / 3 * 2 {
                        self.lose(index, "no answer within two thirds of the session timeout");
                    } else if now.saturating_sub(session.sent_at) > timeout / 3 {
                        session.ping();
                        session.sent_at = now;
                        self.io.mark(index);
                    }
                }
                State::Connecting | State::Handshaking => {
                    let patience = u64::try_from(SESSION_TIMEOUT_MS).expect("positive") * 1_000_000;
                    if now.saturating_sub(session.heard_at) > patience {
                        self.lose(index, "the server accepts no session");
                    }
                }
                State::Idle | State::Queued => {}
            }
        }
    }

    fn handle_event(&mut self, index: usize, flags: epoll::EventFlags, chunk: &mut [u8]) {
        if self.io.sessions[index].state == State::Connecting {
            let socket = self.io.sessions[index].socket().expect("a connection is being made");
            match socket.take_error() {
                Ok(None) if flags.contains(epoll::EventFlags::OUT) => {
                    self.io.sessions[index].heard_at = self.io.now;
                    let timeout_ms = self.io.timeout_ms;
                    self.io.sessions[index].handshake(timeout_ms);
                    self.io.sessions[index].wants_space = true;
                    self.io.mark(index);
                }
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => self.lose(index, &error.to_string()),
            }
            return;
        }
        if flags.contains(epoll::EventFlags::OUT) {
            self.io.mark(index);
        }
        let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(readable) {
            self.receive(index, chunk);
            while self.io.sessions[index].may_have_more() {
                self.receive(index, chunk);
            }
        }
    }

    /// Reads once and handles every whole frame.
    fn receive(&mut self, index: usize, chunk: &mut [u8]) {
        let received = self.io.sessions[index].receive(chunk);
        self.io.look_at_clock();
        let now = self.io.now;
        self.io.sessions[index].heard_at = now;
        match received {
            Ok(Received::Bytes(bytes)) => {
                let mut rest = bytes;
                while let Some((length, after)) = rest.split_first_chunk::<4>() {
                    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                        return self.lose(index, "a frame of negative length");
                    };
                    let Some(frame) = after.get(..length) else { break };
                    if let Err(why) = self.handle_frame(index, frame) {
                        return self.lose(index, why);
                    }
                    rest = &after[length..];
                }
                self.io.sessions[index].keep(rest);
            }
            Ok(Received::Large(memory)) => {
                if let Err(why) = self.handle_frame(index, &memory[4..]) {
                    return self.lose(index, why);
                }
                self.io.sessions[index].take_back(memory);
            }
            Ok(Received::Nothing) => {}
            Ok(Received::End) => self.on_end(index),
            Err(error) => self.lose(index, &error.to_string()),
        }
    }

    fn handle_frame(&mut self, index: usize, frame: &[u8]) -> Result<(), &'static str> {
        let session = &mut self.io.sessions[index];
        if session.state == State::Handshaking {
            return self.handle_handshake(index, frame);
        }
        let Some((header, body)) = frame.split_first_chunk::<REPLY_HEADER_BYTES>() else {
            return Err("an answer shorter than a header");
        };
        let (number, zxid) = header.split_first_chunk::<4>().expect("16 bytes");
        let (zxid, error) = zxid.split_first_chunk::<8>().expect("12 bytes");
        let number = i32::from_be_bytes(*number);
        let error = i32::from_be_bytes(*error.first_chunk::<4>().expect("4 bytes"));
        match number {
            xid::PING => return Ok(()),
            xid::NOTIFICATION => {
                let event = WatcherEvent::from_bytes(body).map_err(|_| "a malformed event")?;
                self.workload.on_event(&mut self.io, index, event);
                return Ok(());
            }
            _ => {}
        }
        let zxid = i64::from_be_bytes(*zxid);
        if zxid > 0 {
            session.last_zxid = zxid;
        }
        let Some(pending) = session.pending.pop_front() else {
            return Err("an answer that nobody asked for");
        };
        if pending.xid != number {
            session.pending.push_front(pending);
            return Err("an answer out of order");
        }
        if pending.operation == CLOSE {
            self.on_close_answered(index, pending.due);
            return Ok(());
        }
        let error = (error != 0).then_some(error);
        self.io.progress_at = self.io.now;
        self.workload.on_reply(&mut self.io, index, pending, Reply { error, body });
        Ok(())
    }

    fn handle_handshake(&mut self, index: usize, frame: &[u8]) -> Result<(), &'static str> {
        let now = self.io.now;
        let session = &mut self.io.sessions[index];
        let had_one = session.id != ringkeeper::id::SessionId::NONE;
        let granted = session.on_handshake(frame).map_err(|_| "a malformed first answer")?;
        if !granted {
            if had_one {
                self.io.recorder.lost_session(now);
            }
            return Err("the session was refused");
        }
        self.io.opening -= 1;
        self.io.closed_at_once = 0;
        self.io.progress_at = now;
        self.shared.sessions_taken.fetch_add(1, Ordering::Relaxed);
        self.workload.on_live(&mut self.io, index, had_one);
        Ok(())
    }

    fn on_close_answered(&mut self, index: usize, due: u64) {
        let now = self.io.now;
        let session = &mut self.io.sessions[index];
        session.disconnect();
        session.forget();
        // Requests behind closeSession get no answer.
        for late in session.pending.drain(..) {
            self.io.recorder.failed(usize::from(late.operation), "connection lost", late.due, now);
        }
        self.workload.on_closed(&mut self.io, index, due);
    }

    /// Handles the end of a connection; after closeSession, the end is an answer too.
    fn on_end(&mut self, index: usize) {
        let session = &mut self.io.sessions[index];
        let only_close =
            session.state == State::Closing && session.pending.iter().all(|p| p.operation == CLOSE);
        match session.pending.pop_front() {
            Some(close) if only_close => self.on_close_answered(index, close.due),
            Some(other) => {
                session.pending.push_front(other);
                self.lose(index, "the server closed the connection");
            }
            None => self.lose(index, "the server closed the connection"),
        }
    }

    /// Gives up a connection: its requests in flight have failed, and the session connects again.
    fn lose(&mut self, index: usize, why: &str) {
        let now = self.io.now;
        let session = &mut self.io.sessions[index];
        let state = session.state;
        session.disconnect();
        let mut lost = std::mem::take(&mut session.pending);
        match state {
            State::Connecting => self.io.opening -= 1,
            State::Handshaking => {
                self.io.opening -= 1;
                self.io.closed_at_once += 1;
            }
            State::Closing => session.forget(),
            State::Live => {
                self.shared.sessions_taken.fetch_sub(1, Ordering::Relaxed);
            }
            State::Idle | State::Queued => {}
        }
        let lost_slice = lost.make_contiguous();
        for pending in lost_slice.iter().filter(|pending| pending.operation != CLOSE) {
            let operation = usize::from(pending.operation);
            self.io.recorder.failed(operation, "connection lost", pending.due, now);
        }
        if state == State::Closing {
            // The session ends in any case, if only by its timeout.
            self.io.recorder.happened("connection lost while closing", now);
            let due = lost_slice.last().map_or(now, |pending| pending.due);
            self.workload.on_closed(&mut self.io, index, due);
        } else if self.io.stopped {
            self.io.last_failure = None;
        } else {
            if state == State::Live {
                if lost_slice.is_empty() {
                    self.io.recorder.happened("idle connection lost", now);
                }
                self.workload.on_lost(&mut self.io, index, lost_slice);
            }
            if self.io.sessions[index].state == State::Idle {
                self.io.retry(index, why.to_owned());
            }
        }
        lost.clear();
        self.io.sessions[index].pending = lost;
    }

    /// Sends the queued requests. A connection that takes nothing any more is lost, which may queue further
    /// requests.
    fn flush_dirty(&mut self) {
        while let Some(index) = self.io.dirty.pop() {
            let now = self.io.now;
            let session = &mut self.io.sessions[index];
            session.dirty = false;
            let sent = session.flush(now).and_then(|()| self.io.watch_space(index));
            if let Err(error) = sent {
                self.lose(index, &error.to_string());
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("seconds")
}
