//! Sessions, one epoll, one thread.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::Jute;
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::response::ReplyHeader;
use rustix::event::{Timespec, epoll};

use crate::requests::{Requests, Work, create_frame};
use crate::result::Measured;

const READ_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
const SESSION_TIMEOUT_MS: i32 = 30_000;
/// A server that answers nothing for so long is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const LATENCY_NS_MAX: u64 = 120_000_000_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// Sessions.
    pub sessions: usize,
    /// Requests in flight in each.
    pub depth: usize,
    /// What they do.
    pub work: Work,
    /// Size of the values.
    pub value_bytes: usize,
    /// Time before anything is measured.
    pub warm_up: Duration,
    /// Time measured.
    pub measured: Duration,
}

struct Client {
    stream: TcpStream,
    requests: Requests,
    /// When each request in flight could be sent, oldest first.
    due: VecDeque<Instant>,
    /// The beginning of a frame whose rest has not come yet.
    partial: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    waits_for_space: bool,
}

/// Runs the load and measures. The sessions are spread evenly over the servers of an ensemble, the
/// first one to the first of them.
///
/// # Errors
/// A server cannot be reached, refuses, or falls silent.
pub fn run(servers: &[SocketAddr], load: &Load) -> Result<Measured, String> {
    let root = format!("/load-{:x}", std::process::id() ^ clock_bits());
    let value = vec![b'v'; load.value_bytes];
    let mut clients = connect(servers, load, &root, &value)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
    for (index, client) in clients.iter().enumerate() {
        client.stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        epoll::add(&poll, &client.stream, token(index), epoll::EventFlags::IN)
            .map_err(|error| error.to_string())?;
    }

    let mut latencies =
        Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).map_err(|error| format!("{error:?}"))?;
    let begun = Instant::now();
    for client in &mut clients {
        let now = Instant::now();
        client.refill(load.depth, now).map_err(|error| error.to_string())?;
    }
    let measure_from = begun + load.warm_up;
    let end = measure_from + load.measured;
    let mut first_measured = None;
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut chunk = vec![0; READ_BYTES];
    let timeout = Timespec::try_from(SILENCE_MAX).map_err(|error| error.to_string())?;
    loop {
        events.clear();
        let waited =
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout));
        match waited {
            Ok(0) => return Err(format!("the server has not answered for {SILENCE_MAX:?}")),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.to_string()),
        }
        let mut now = Instant::now();
        for event in &events {
            let index = usize::try_from(event.data.u64()).expect("an index that was given");
            let client = &mut clients[index];
            let flags = event.flags;
            if flags.contains(epoll::EventFlags::OUT) {
                client.flush().map_err(|error| error.to_string())?;
            }
            if flags
                .intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
            {
                now = Instant::now();
                let measures = now >= measure_from;
                if measures && first_measured.is_none() {
                    first_measured = Some(now);
                }
                client.receive(&mut chunk, now, |latency_ns| {
                    if measures {
                        latencies.saturating_record(latency_ns);
                    }
                })?;
                client.refill(load.depth, now).map_err(|error| error.to_string())?;
            }
            client.watch(&poll, index).map_err(|error| error.to_string())?;
        }
        if now >= end {
            let elapsed = first_measured.map_or(Duration::ZERO, |first| now - first);
            return Ok(Measured { latencies, elapsed });
        }
    }
}

fn connect(
    servers: &[SocketAddr],
    load: &Load,
    root: &str,
    value: &[u8],
) -> Result<Vec<Client>, String> {
    let mut clients = Vec::with_capacity(load.sessions);
    for (index, &server) in (0..load.sessions).zip(servers.iter().cycle()) {
        let mut stream =
            TcpStream::connect(server).map_err(|error| format!("{server}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(SILENCE_MAX)).map_err(|error| error.to_string())?;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: SESSION_TIMEOUT_MS,
            session_id: SessionId::NONE,
            password: Some(&[0; 16]),
            read_only: Some(false),
        };
        let body = request.to_bytes();
        let length = i32::try_from(body.len()).expect("a small frame");
        let frame = [&length.to_be_bytes()[..], &body].concat();
        let reply = exchange(&mut stream, &frame)?;
        let response = ConnectResponse::from_bytes(&reply).map_err(|error| error.to_string())?;
        if response.session_id == SessionId::NONE {
            return Err("the server refused a session".to_owned());
        }
        if index == 0 {
            expect_ok(&exchange(&mut stream, &create_frame(root, b""))?)?;
        }
        let node = format!("{root}/{index:06}");
        expect_ok(&exchange(&mut stream, &create_frame(&node, value))?)?;
        clients.push(Client {
            stream,
            requests: Requests::new(&node, load.work, value),
            due: VecDeque::with_capacity(load.depth),
            partial: Vec::new(),
            unsent: Vec::new(),
            waits_for_space: false,
        });
    }
    Ok(clients)
}

fn exchange(stream: &mut TcpStream, frame: &[u8]) -> Result<Vec<u8>, String> {
    let explain = |error: io::Error| format!("while connecting: {error}");
    stream.write_all(frame).map_err(explain)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(explain)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|error| error.to_string())?;
    let mut reply = vec![0; length];
    stream.read_exact(&mut reply).map_err(explain)?;
    Ok(reply)
}

fn expect_ok(reply: &[u8]) -> Result<(), String> {
    let header = ReplyHeader::from_bytes(reply).map_err(|error| error.to_string())?;
    if header.err == 0 { Ok(()) } else { Err(format!("the server answered {}", header.err)) }
}

impl Client {
    /// Sends as many requests as the depth allows, in one write.
    fn refill(&mut self, depth: usize, now: Instant) -> io::Result<()> {
        while self.due.len() < depth {
            self.requests.append(&mut self.unsent);
            self.due.push_back(now);
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.unsent) {
            Ok(count) if count == self.unsent.len() => self.unsent.clear(),
            Ok(count) => drop(self.unsent.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Asks epoll about space for sending, exactly while something is unsent.
    fn watch(&mut self, poll: &impl std::os::fd::AsFd, index: usize) -> io::Result<()> {
        let wants = !self.unsent.is_empty();
        if wants != self.waits_for_space {
            self.waits_for_space = wants;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, wants);
            epoll::modify(poll, &self.stream, token(index), flags)?;
        }
        Ok(())
    }

    /// Reads once and takes every whole frame.
    fn receive(
        &mut self,
        chunk: &mut [u8],
        now: Instant,
        mut record: impl FnMut(u64),
    ) -> Result<(), String> {
        let count = match self.stream.read(chunk) {
            Ok(0) => return Err("the server closed a connection".to_owned()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let joined;
        let mut rest = if self.partial.is_empty() {
            &chunk[..count]
        } else {
            self.partial.extend_from_slice(&chunk[..count]);
            joined = std::mem::take(&mut self.partial);
            &joined[..]
        };
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length))
                .map_err(|_| "a frame of negative length".to_owned())?;
            let Some(frame) = after.get(..length) else { break };
            expect_ok(frame)?;
            let due = self.due.pop_front().ok_or("an answer that nobody asked for")?;
            record(u64::try_from((now - due).as_nanos()).unwrap_or(u64::MAX));
            rest = &after[length..];
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }
}

fn token(index: usize) -> epoll::EventData {
    epoll::EventData::new_u64(u64::try_from(index).expect("64 bits"))
}

/// Something that differs from run to run, so that runs against one server do not meet.
fn clock_bits() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.subsec_nanos())
}
