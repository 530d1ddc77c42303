//! Connections that ask `ruok`, hear `imok` and end, over and over: what a connection costs, and with TLS its handshake.
//!
//! No session is made, so no disk is involved; and because the server answers, its part of the handshake, which is the
//! longer one with TLS 1.3, is over too. One thread makes them, so that the server keeps the other processors.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};
use rustls::{ClientConfig, HandshakeKind};

use super::recorder::thread_cpu_ns;
use super::socket::Socket;
use crate::result::{Measured, OpResult, float};

/// The name in results of connections without TLS.
pub const PLAIN: &str = "plain";
/// The name of those with a whole handshake.
pub const FULL: &str = "full handshake";
/// The name of those that took up the TLS session of an earlier one.
pub const RESUMED: &str = "resumed handshake";
const FAILED: &str = "connection failed";

const QUESTION: &[u8] = b"ruok";
const ANSWER: &[u8] = b"imok";
/// If no connection ends for this long, the server is taken for dead.
const SILENCE: Duration = Duration::from_secs(10);

/// A connection that is under way.
struct Caller {
    socket: Socket,
    since: Instant,
    asked: bool,
    heard: Vec<u8>,
}

struct Callers<'a> {
    server: SocketAddr,
    tls: Option<&'a Arc<ClientConfig>>,
    poll: OwnedFd,
    callers: Vec<Caller>,
    latencies: BTreeMap<&'static str, Histogram<u64>>,
    failed: u64,
    last_failure: Option<io::Error>,
    last_end: Instant,
}

/// Keeps `parallel` such connections under way with a server for `time`, and until one has ended; each begins anew when
/// it has ended. Results by [`PLAIN`], [`FULL`] and [`RESUMED`]; a latency is that of a whole connection, from its beginning to the end that the
/// server makes.
///
/// # Errors
/// No connection succeeds for ten seconds, or none is left.
pub fn greetings(
    server: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    parallel: usize,
    time: Duration,
) -> Result<Measured, String> {
    let explain = |error: io::Error| format!("{server}: {error}");
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| explain(error.into()))?;
    let begun = Instant::now();
    let mut all = Callers {
        server,
        tls,
        poll,
        callers: Vec::new(),
        latencies: BTreeMap::new(),
        failed: 0,
        last_failure: None,
        last_end: begun,
    };
    for index in 0..parallel {
        let caller = all.call(index).map_err(explain)?;
        all.callers.push(caller);
    }
    let busy = thread_cpu_ns();
    let mut events = Vec::with_capacity(parallel);
    // A figure of nothing says nothing, however short the time.
    while begun.elapsed() < time || all.latencies.is_empty() {
        all.turn(&mut events).map_err(explain)?;
        if all.last_end.elapsed() > SILENCE {
            let why = all.last_failure.map_or("no answer".to_owned(), |error| error.to_string());
            return Err(format!("{server}: no connection succeeds: {why}"));
        }
    }
    let (seconds, busy) = (begun.elapsed().as_secs_f64(), thread_cpu_ns() - busy);
    Ok(all.measured(seconds, float(busy) / 1e9 / seconds))
}

impl Callers<'_> {
    fn call(&self, index: usize) -> io::Result<Caller> {
        let socket = Socket::connect(self.server, self.tls)?;
        epoll::add(&self.poll, socket.stream(), token(index), epoll::EventFlags::OUT)?;
        Ok(Caller { socket, since: Instant::now(), asked: false, heard: Vec::new() })
    }

    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        events.clear();
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(events), Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.iter() {
            let index = usize::try_from(event.data.u64()).expect("64 bits");
            match self.callers[index].go_on(&self.poll, index) {
                Ok(true) => self.count(index),
                Ok(false) => continue,
                Err(error) => {
                    self.failed += 1;
                    self.last_failure = Some(error);
                }
            }
            self.callers[index] = self.call(index)?;
        }
        Ok(())
    }

    fn count(&mut self, index: usize) {
        let caller = &self.callers[index];
        let kind = match caller.socket.handshake_kind() {
            None => PLAIN,
            Some(HandshakeKind::Resumed) => RESUMED,
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) => FULL,
        };
        let latency = u64::try_from(caller.since.elapsed().as_nanos()).expect("not centuries");
        let latencies = self.latencies.entry(kind).or_insert_with(histogram);
        latencies.record(latency).expect("a histogram that grows");
        self.last_end = Instant::now();
    }

    fn measured(self, seconds: f64, generator_busy: f64) -> Measured {
        let mut whole = histogram();
        let mut operations = BTreeMap::new();
        for (kind, latencies) in &self.latencies {
            whole.add(latencies).expect("a histogram that grows");
            let result = OpResult::of(latencies, 0, latencies.len(), seconds);
            operations.insert((*kind).to_owned(), result);
        }
        let errors = (self.failed > 0).then(|| (FAILED.to_owned(), self.failed));
        Measured {
            seconds,
            all: OpResult::of(&whole, self.failed, whole.len(), seconds),
            operations,
            errors: errors.into_iter().collect(),
            generator_busy,
            ..Measured::default()
        }
    }
}

impl Caller {
    /// Does what is possible now; true: the connection has ended as it should.
    fn go_on(&mut self, poll: &OwnedFd, index: usize) -> io::Result<bool> {
        if !self.asked {
            if let Some(error) = self.socket.stream().take_error()? {
                return Err(error);
            }
            self.asked = true;
            self.socket.write_all(QUESTION)?;
            epoll::modify(poll, self.socket.stream(), token(index), epoll::EventFlags::IN)?;
            return Ok(false);
        }
        let mut chunk = [0; 64];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) if self.heard == ANSWER => return Ok(true),
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
                Ok(bytes) => self.heard.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.heard.len() > ANSWER.len() {
                return Err(io::Error::other("another answer than `imok`"));
            }
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three figures are few")
}

fn token(index: usize) -> epoll::EventData {
    epoll::EventData::new_u64(u64::try_from(index).expect("64 bits"))
}
