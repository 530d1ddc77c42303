//! A server that only splits bytes into frames and answers, so that no server can be faster over loopback.
//!
//! It grants every session, keeps nothing, and answers every request at once: getData with a hundred bytes,
//! everything else with about the size of the real answer. So a load against it shows the ceiling of the generator
//! on this machine, and a round trip to it shows the network's share of any latency. The server has one thread and
//! one epoll, and does one read and one write per wake-up of a session.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Jute, begin_frame, end_frame};
use ringkeeper::proto::connect::ConnectResponse;
use ringkeeper::proto::data::Stat;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::response::{GetChildrenResponse, GetDataResponse, MultiHeader, ReplyHeader};
use rustix::event::epoll;

use crate::definition::{Definition, Load, Mix, Operations, Work};
use crate::disk;
use crate::engine::{self, Target};
use crate::result::{Floor, Measured};

const CHUNK_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
/// Bytes of the xid and the opcode, which are all that the server reads of a request.
const HEAD_BYTES: usize = 8;
const VALUE_BYTES: usize = 100;
const TIMEOUT_MS: i32 = 30_000;

const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// The server, which stops when the value is dropped.
pub struct NullServer {
    address: SocketAddr,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl NullServer {
    /// Starts the server on a port of its own.
    ///
    /// # Errors
    /// This machine refuses a socket, an epoll or a thread.
    pub fn start() -> io::Result<NullServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // The queue has room for storms of connections.
        rustix::net::listen(&listener, 4096)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::Builder::new()
            .name("null-server".to_owned())
            .spawn(move || Server::new(listener, stopped)?.serve())?;
        Ok(NullServer { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The address at which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its load has noticed if the server ended early.
            let _ = thread.join();
        }
    }
}

struct Server {
    listener: TcpListener,
    /// Its other end is dropped when the server has to stop.
    stopped: UnixStream,
    poll: std::os::fd::OwnedFd,
    clients: HashMap<u64, Client>,
    next: u64,
    answers: Answers,
}

struct Client {
    stream: TcpStream,
    greeted: bool,
    /// The beginning of a head.
    partial: Vec<u8>,
    /// How many bytes are left to skip of a request whose head was read.
    skip: usize,
    /// The head of the request that the server answers once it has skipped the rest.
    head: Option<[u8; HEAD_BYTES]>,
    out: Vec<u8>,
    /// Whether the server has asked epoll about room for sending.
    waited: bool,
}

/// Bodies of answers, made once.
struct Answers {
    stat: Vec<u8>,
    data: Vec<u8>,
    children: Vec<u8>,
    multi: Vec<u8>,
}

impl Server {
    fn new(listener: TcpListener, stopped: UnixStream) -> io::Result<Server> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        epoll::add(&poll, &stopped, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
        let stat = Stat::default();
        let data = GetDataResponse { data: Some(&[b'v'; VALUE_BYTES]), stat };
        let none = ringkeeper::jute::VectorBuf::<Option<&str>>::default();
        let children = GetChildrenResponse { children: none.as_vector() };
        let answers = Answers {
            stat: stat.to_bytes(),
            data: data.to_bytes(),
            children: children.to_bytes(),
            multi: MultiHeader::END.to_bytes(),
        };
        Ok(Server { listener, stopped, poll, clients: HashMap::new(), next: 0, answers })
    }

    fn serve(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.poll, spare, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    STOP => {
                        drop(self.stopped);
                        return Ok(());
                    }
                    LISTENER => self.accept()?,
                    client => self.handle(client, &mut chunk),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let number = self.next;
            self.next += 1;
            let data = epoll::EventData::new_u64(number);
            epoll::add(&self.poll, &stream, data, epoll::EventFlags::IN)?;
            let client = Client {
                stream,
                greeted: false,
                partial: Vec::new(),
                skip: 0,
                head: None,
                out: Vec::new(),
                waited: false,
            };
            self.clients.insert(number, client);
        }
    }

    fn handle(&mut self, number: u64, chunk: &mut [u8]) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let stays = client.receive(chunk, &self.answers).and_then(|stays| {
            client.flush(&self.poll, number)?;
            Ok(stays)
        });
        if !stays.unwrap_or(false) {
            self.clients.remove(&number);
        }
    }
}

impl Client {
    /// Reads once and answers every whole request. Returns whether the client is still there.
    fn receive(&mut self, chunk: &mut [u8], answers: &Answers) -> io::Result<bool> {
        let have = self.partial.len();
        chunk[..have].copy_from_slice(&self.partial);
        let count = match self.stream.read(&mut chunk[have..]) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        self.partial.clear();
        let mut rest = &chunk[..have + count];
        loop {
            let skipped = self.skip.min(rest.len());
            rest = &rest[skipped..];
            self.skip -= skipped;
            if self.skip > 0 {
                return Ok(true);
            }
            if let Some(head) = self.head.take() {
                self.answer(head, answers);
            }
            let head = rest.split_first_chunk::<4>().and_then(|(length, after)| {
                let (head, _) = after.split_first_chunk::<HEAD_BYTES>()?;
                Some((i32::from_be_bytes(*length), *head))
            });
            let Some((length, head)) = head else { break };
            let length = usize::try_from(length).unwrap_or(0);
            if length < HEAD_BYTES {
                return Err(io::Error::other("a request shorter than its header"));
            }
            self.skip = 4 + length;
            self.head = Some(head);
        }
        self.partial.extend_from_slice(rest);
        Ok(true)
    }

    fn answer(&mut self, head: [u8; HEAD_BYTES], answers: &Answers) {
        if !self.greeted {
            self.greeted = true;
            let response = ConnectResponse {
                protocol_version: 0,
                timeout_ms: TIMEOUT_MS,
                session_id: SessionId(1),
                password: [7; 16],
                read_only: Some(false),
            };
            return response.encode_frame(&mut self.out);
        }
        let (xid, op) = head.split_first_chunk::<4>().expect("8 bytes");
        let xid = i32::from_be_bytes(*xid);
        let op = i32::from_be_bytes(*op.first_chunk().expect("4 bytes"));
        let body = match OpCode::from_i32(op) {
            Some(OpCode::GetData) => &answers.data,
            Some(OpCode::GetChildren) => &answers.children,
            Some(OpCode::Multi | OpCode::MultiRead) => &answers.multi,
            Some(OpCode::SetData | OpCode::Exists) => &answers.stat,
            Some(_) | None => &Vec::new(),
        };
        let start = begin_frame(&mut self.out);
        ReplyHeader { xid, zxid: Zxid(1), err: 0 }.encode(&mut self.out);
        self.out.extend_from_slice(body);
        end_frame(&mut self.out, start);
    }

    /// Sends as many bytes as the socket takes, and asks epoll about room for the rest.
    fn flush(&mut self, poll: &std::os::fd::OwnedFd, number: u64) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let sent = match self.stream.write(&self.out) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let whole = sent == self.out.len();
        self.out.drain(..sent);
        // Only a client that does not read gets here with more to send, so this call is rare.
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, !whole);
        if !whole || self.waited {
            epoll::modify(poll, &self.stream, epoll::EventData::new_u64(number), flags)?;
        }
        self.waited = !whole;
        Ok(())
    }
}

/// A mix for the null server: that server keeps nothing, so no nodes need to be made or removed.
pub fn workload(name: &str, sessions: u32, depth: u32, operations: Operations) -> Definition {
    let kind = if operations.get > 0 { "reads" } else { "writes" };
    let work = Work::Mix(Mix::new(sessions, Load::Closed { depth }, operations));
    let title = format!("{sessions} × {depth} {kind}");
    Definition { title, warm_up_s: 0.5, seconds: 2.0, slice_ms: 500, ..Definition::of(name, work) }
}

/// Loads a null server of its own.
///
/// # Errors
/// This machine refuses sockets or threads.
pub fn load(definition: &Definition, threads: usize) -> Result<Measured, String> {
    // Both ends of every connection are in this process.
    engine::allow_files(2 * u64::from(definition.work.sessions()))?;
    let server = NullServer::start().map_err(|error| format!("the null server: {error}"))?;
    let mut target = Target::new(vec![server.address()]);
    target.threads = threads;
    engine::run(&target, definition, None, &mut |_| {})
}

/// Measures what no server can beat on this machine now: a durable write in `folder`, a round trip, and a rate; each
/// for `seconds`.
///
/// # Errors
/// The folder cannot be written, or this machine refuses sockets or threads.
pub fn floor(folder: &Path, seconds: f64, round: u32) -> Result<Floor, String> {
    let one = Operations { get: 1, ..Operations::default() };
    let mut alone = workload("floor", 1, 1, one.clone());
    let mut many = workload("floor", 100, 16, one);
    (alone.seconds, many.seconds) = (seconds, seconds);
    Ok(Floor {
        round,
        dsync_write: disk::lone_writes(folder, seconds)?,
        null_round_trip: load(&alone, 1)?.all.percentiles,
        null_ops_per_second: load(&many, 1)?.all.per_second,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_of_a_load_is_answered() {
        let operations =
            Operations { get: 1, set: 1, children: 1, create: 1, ..Operations::default() };
        let mut definition = workload("null", 7, 3, operations);
        (definition.warm_up_s, definition.seconds, definition.slice_ms) = (0.0, 0.2, 100);
        let measured = load(&definition, 2).unwrap();
        assert_eq!(measured.errors.len(), 0, "{:?}", measured.errors);
        assert_eq!(measured.operations.len(), 4);
        assert!(measured.all.count > 100, "{}", measured.all.count);
        assert_eq!(measured.timeline.len(), 2);
    }

    #[test]
    fn values_larger_than_any_buffer_are_skipped_not_kept() {
        let mut definition = workload("null", 1, 1, Operations { set: 1, ..Operations::default() });
        let Work::Mix(mix) = &mut definition.work else { unreachable!("made as a mix") };
        mix.value_bytes = 1_000_000;
        (definition.warm_up_s, definition.seconds, definition.slice_ms) = (0.0, 0.1, 100);
        let measured = load(&definition, 1).unwrap();
        assert!(measured.all.count > 0 && measured.errors.is_empty(), "{measured:?}");
    }
}
