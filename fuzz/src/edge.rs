//! A server with its edge: clients' bytes arrive as sockets bring them, are read as far as the real edge reads,
//! and answers wait until their client takes them. After each turn its bounds are held against what was taken.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use ringkeeper::database::DatabaseOptions;
use ringkeeper::id::{ConnectionId, SessionId, Zxid};
use ringkeeper::limits;
use ringkeeper::proto::OpCode;
use ringkeeper::recovery::{RecoveryOptions, recover};
use ringkeeper::replica::{Output, Replica, ReplicaOptions};
use ringkeeper::time::{MonoUs, Now, WallMs};

use super::disk::Disk;
use super::meter::{self, Meter, Use};
use super::witness::{Witness, check_folder};

/// What a turn may take of a processor, in a build for use: a leader is silent meanwhile, everybody waits, and
/// with a few of them in a row it is taken for dead.
pub const TURN_CPU_MAX_US: u64 = 50_000;
/// A unit is about a microsecond: a turn takes at most this many times what it was told.
const CPU_PER_UNIT_MAX: u64 = 8;
/// What a turn may take that was told nothing: a snapshot's slice, a few long transactions to apply.
const CPU_UNTOLD_MAX_US: u64 = 20_000;
/// The time of so few units proves nothing.
const FREE_UNITS: u64 = 500;

/// Bytes that the server may hold for each byte of requests: a node, a watch or an entry of a session takes
/// this many times what the request for it takes.
const HELD_PER_REQUEST_BYTE: u64 = 40;
/// What it holds of its own: tables that grow by doubling, buffers of the log.
const HELD_BY_ITSELF: u64 = 16 << 20;
/// Bytes of the log for each byte of requests.
const LOGGED_PER_REQUEST_BYTE: u64 = 16;
/// Bytes of the log for each request or operation of a multi.
const LOGGED_PER_OPERATION: u64 = 1024;
/// The same, for each byte of identities that its entries of permissions may name; a digest is longer than what is said.
const LOGGED_PER_IDENTITY_BYTE: u64 = 2;
/// The shortest entry of a list of permissions.
const ENTRY_BYTES: u64 = 16;

/// Connections alive at the same time.
pub const CONNECTIONS_MAX: usize = 4;

/// A client's connection.
pub struct Connection {
    /// Its number.
    pub conn: ConnectionId,
    /// The number of its last request.
    pub xid: i32,
    /// What its client saw.
    pub witness: Witness,
    /// Its client takes what there is to read.
    pub reads: bool,
    /// Frames on their way to the server.
    sent: VecDeque<Vec<u8>>,
    sent_bytes: usize,
    /// Of all `auth` requests.
    identity_bytes: u64,
    /// Lengths of those that are not answered.
    outstanding: VecDeque<usize>,
    outstanding_bytes: usize,
    /// Pieces of output that its client has not taken: bytes, those of them that are events, those that are
    /// reported.
    pieces: VecDeque<(usize, usize, usize)>,
    unread: usize,
    unread_events: usize,
    unread_unknown: usize,
    /// The longest frame that it got.
    frame_bytes_max: usize,
}

/// A turn that took too long.
#[derive(Clone)]
pub struct Slow {
    /// Its number.
    pub turn: u64,
    /// What was under way.
    pub op: Option<OpCode>,
    /// Processor time, in a build like this.
    pub cpu_us: u64,
    /// What it was told.
    pub units: u64,
}

impl fmt::Debug for Slow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slow { turn, op, cpu_us, units } = self;
        write!(out, "{cpu_us} us for {units} units in turn {turn} of {op:?}")
    }
}

/// What was sent and what came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// Bytes of requests that the server has read.
    pub request_bytes: u64,
    /// Operations in them.
    pub operations: u64,
    /// For each entry of permissions that a request may have, the bytes that its connection had introduced itself with;
    /// of one request no more than a transaction may have.
    pub named_bytes: u64,
    /// Bytes of replies and events.
    pub output_bytes: u64,
    /// Bytes of transactions.
    pub log_bytes: u64,
    /// Bytes allocated, given back or not.
    pub allocated: u64,
    /// Processor time.
    pub cpu_us: u64,
    /// Units of work that were told.
    pub units: u64,
    /// Bytes held now.
    pub held: u64,
    /// The most that were held.
    pub held_max: u64,
    /// The longest turn.
    pub turn_cpu_us_max: u64,
    /// Microseconds of a turn for each of its units, in 16ths, where they were most; some units are free.
    pub untold_max: u64,
}

/// See the module's words.
pub struct Edge {
    replica: Replica,
    disk: Disk,
    /// Memory of the thread that is the story's own.
    pub story_bytes: usize,
    /// The disk does nothing.
    pub disk_waits: bool,
    /// More requests than this are not read at once.
    pub room: usize,
    now: Now,
    output: Output,
    connections: BTreeMap<usize, Connection>,
    next_connection: u64,
    told: Zxid,
    sessions: Vec<(SessionId, [u8; 16])>,
    /// Memory of the thread before there was anything.
    live_before: i64,
    turns: u64,
    /// How many times longer than a build for use this one takes.
    slowness: u64,
    sums: Sums,
    /// The operation that the turns are for.
    pub op: Option<OpCode>,
    /// Turns that took too long.
    pub slow: Vec<Slow>,
    /// The largest answers.
    reply_bytes_max: usize,
}

impl Edge {
    /// A server on an empty folder, in a build that is `slowness` times slower than a release.
    pub fn new(options: ReplicaOptions, slowness: u64) -> Edge {
        let live_before = meter::live_bytes();
        let recovery = RecoveryOptions {
            database: DatabaseOptions {
                extended_types: options.extended_types,
                ..DatabaseOptions::default()
            },
            ..RecoveryOptions::default()
        };
        let disk = Disk::default();
        let recovered = recover(&disk.after_crash(), &recovery, &mut |_| {});
        let now = Now { wall: WallMs(1_795_163_301_145), mono: MonoUs(5_000_000) };
        let replica = Replica::new(options, recovered.expect("nothing is damaged"), now, 7);
        let mut edge = Edge {
            replica,
            disk,
            story_bytes: 0,
            disk_waits: false,
            room: usize::MAX,
            now,
            output: Output::default(),
            connections: BTreeMap::new(),
            next_connection: 1,
            told: Zxid::ZERO,
            sessions: Vec::new(),
            live_before,
            turns: 0,
            slowness,
            sums: Sums::default(),
            op: None,
            slow: Vec::new(),
            reply_bytes_max: 0,
        };
        edge.settle(100);
        edge
    }

    /// A connection in this slot, if there is none yet.
    pub fn open(&mut self, slot: usize) {
        let conn = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let port = 40_000 + u16::try_from(slot).expect("slots are few");
        self.replica.handle_open(self.now, conn, SocketAddr::from(([127, 0, 0, 1], port)));
        let connection = Connection {
            conn,
            xid: 0,
            witness: Witness::default(),
            reads: true,
            sent: VecDeque::new(),
            sent_bytes: 0,
            identity_bytes: 0,
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
            pieces: VecDeque::new(),
            unread: 0,
            unread_events: 0,
            unread_unknown: 0,
            frame_bytes_max: 0,
        };
        assert!(self.connections.insert(slot, connection).is_none(), "a slot holds one");
    }

    /// The connection in a slot.
    pub fn connection(&mut self, slot: usize) -> Option<&mut Connection> {
        self.connections.get_mut(&slot)
    }

    /// A session to take up again.
    pub fn session(&self, number: usize) -> Option<(SessionId, [u8; 16])> {
        self.sessions.get(number).copied()
    }

    /// A frame, its length included, begins its way to the server; `operations` says how many operations it has.
    pub fn send(&mut self, slot: usize, frame: Vec<u8>, operations: u64) {
        self.sums.operations += operations;
        let connection = self.connections.get_mut(&slot).expect("the caller opened it");
        if frame.get(8..12) == Some(&OpCode::Auth.number().to_be_bytes()) {
            connection.identity_bytes += frame.len() as u64;
        }
        let introduced = connection.identity_bytes.min(2 * limits::IDENTITIES_BYTES_MAX as u64);
        let entries = operations + frame.len() as u64 / ENTRY_BYTES;
        let txn_bytes_max = self.replica.options().txnlog.txn_bytes_max as u64;
        self.sums.named_bytes += (entries * introduced).min(txn_bytes_max);
        connection.sent_bytes += frame.capacity() + size_of::<Vec<u8>>();
        connection.sent.push_back(frame);
    }

    /// The client breaks the connection off.
    pub fn close(&mut self, slot: usize) {
        if let Some(connection) = self.connections.remove(&slot) {
            self.remember(&connection);
            self.measured(|edge| edge.replica.handle_close(edge.now, connection.conn));
        }
    }

    fn remember(&mut self, connection: &Connection) {
        if connection.witness.session != SessionId::NONE && self.sessions.len() < 60 {
            self.sessions.push((connection.witness.session, connection.witness.password));
        }
    }

    /// Time passes.
    pub fn wait(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.now.wall.0 += i64::try_from(ms).expect("waits are short");
        self.measured(|edge| edge.replica.handle_timeout(edge.now));
        self.turn();
    }

    /// Wants a snapshot.
    pub fn request_snapshot(&mut self) {
        self.replica.request_snapshot();
    }

    /// Clients that do not read take this many pieces of what waits for them.
    pub fn read(&mut self, slot: usize, pieces: usize) {
        for _ in 0..pieces {
            let Some(connection) = self.connections.get_mut(&slot) else { return };
            let Some((bytes, events, reported)) = connection.pieces.pop_front() else { return };
            connection.unread -= bytes;
            connection.unread_events -= events;
            connection.unread_unknown -= bytes - reported;
            let conn = connection.conn;
            if reported > 0 {
                self.measured(|edge| edge.replica.handle_written(edge.now, conn, reported));
            }
        }
    }

    /// Turns until there is nothing to do, or until the number of turns is used up.
    pub fn settle(&mut self, turns: usize) {
        let mut idle = 0;
        for _ in 0..turns {
            if self.turn() {
                idle = 0;
                continue;
            }
            // The server looks after a moment at the clients that wait for memory.
            let soon = self.now.mono.plus_ms(limits::STARVING_LOOK_MS);
            if idle > 3 || self.replica.next_timeout().is_none_or(|at| at > soon) {
                return;
            }
            idle += 1;
            self.wait(1);
        }
    }

    /// One round of the real edge. Whether there was something to do.
    pub fn turn(&mut self) -> bool {
        let completion = if self.disk_waits { None } else { self.disk.perform() };
        let arrived = self.arrive();
        let mut moved = completion.is_some() || !arrived.is_empty();
        let due = self.replica.next_timeout().is_some_and(|at| at <= self.now.mono);
        let before = self.replica.stats().log_bytes;
        let handled = self.measured(|edge| {
            edge.replica.set_output_room(edge.room);
            if let Some(completion) = completion {
                edge.replica.handle_completion(edge.now, completion);
            }
            for (conn, frames) in &arrived {
                edge.replica.handle_frames(edge.now, *conn, frames);
            }
            if due {
                edge.replica.handle_timeout(edge.now);
            }
        });
        drop(arrived);
        self.turns += 1;
        let taken = self.measured(|edge| edge.replica.take_output(&mut edge.output));
        let units = self.replica.units_of_last_turn();
        self.sums.units += units;
        self.sums.log_bytes += self.replica.stats().log_bytes - before;
        self.check_time(handled.cpu_us + taken.cpu_us, units);
        if let Some(reason) = self.output.fatal.take() {
            panic!("stopped: {reason}");
        }
        moved |= !self.output.sends.is_empty() || !self.output.ops.is_empty();
        self.disk.submit(self.output.ops.drain(..));
        self.deliver();
        self.check();
        moved
    }

    /// Takes what is read of the sockets in this round.
    fn arrive(&mut self) -> Vec<(ConnectionId, Vec<u8>)> {
        let options = self.replica.options();
        let outstanding: usize = self.connections.values().map(|one| one.outstanding.len()).sum();
        let is_throttled = outstanding > options.requests_outstanding_max;
        let is_busy = self.replica.has_somebody_in_line();
        let mut arrived = Vec::new();
        for connection in self.connections.values_mut() {
            let waits = connection.outstanding_bytes as u64
                > limits::CONNECTION_REQUESTS_PAUSE_BYTES
                || connection.unread_unknown > options.output_pause_bytes
                || (!connection.outstanding.is_empty() && (is_busy || is_throttled));
            if waits {
                continue;
            }
            let mut bytes = Vec::new();
            while let Some(frame) = connection.sent.front()
                && (bytes.is_empty() || bytes.len() + frame.len() <= limits::CONNECTION_READ_BYTES)
            {
                let frame = connection.sent.pop_front().expect("it was seen");
                connection.sent_bytes -= frame.capacity() + size_of::<Vec<u8>>();
                bytes.extend_from_slice(&frame);
                connection.outstanding.push_back(frame.len());
                connection.outstanding_bytes += frame.len();
            }
            if !bytes.is_empty() {
                self.sums.request_bytes += bytes.len() as u64;
                arrived.push((connection.conn, bytes));
            }
        }
        arrived
    }

    /// Hands the answers out.
    fn deliver(&mut self) {
        let mut made = 0;
        let mut events = 0;
        let sends: Vec<_> = self.output.sends.drain(..).collect();
        for send in sends {
            let bytes = send.bytes.len();
            self.sums.output_bytes += bytes as u64;
            made += bytes;
            let slot = self.connections.iter().find(|(_, one)| one.conn == send.conn);
            let Some(slot) = slot.map(|(slot, _)| *slot) else { continue };
            let connection = self.connections.get_mut(&slot).expect("it was found");
            let received = connection.witness.receive(&send.bytes);
            self.told = self.told.max(received.told);
            events += received.event_bytes;
            let answered = if send.close { usize::MAX } else { send.answered as usize };
            let finished = connection.outstanding.len().min(answered);
            connection.outstanding_bytes -= connection.outstanding.drain(..finished).sum::<usize>();
            self.reply_bytes_max = self.reply_bytes_max.max(received.frame_bytes_max);
            connection.frame_bytes_max = connection.frame_bytes_max.max(received.frame_bytes_max);
            if bytes > 0 {
                let piece = (bytes, received.event_bytes, send.reported_bytes());
                connection.pieces.push_back(piece);
                connection.unread += bytes;
                connection.unread_events += received.event_bytes;
                connection.unread_unknown += bytes - send.reported_bytes();
            }
            self.output.recycle(send.bytes);
            let fails = connection.unread_unknown
                > self.replica.options().connection_output_bytes_max + bytes;
            if send.close {
                let connection = self.connections.remove(&slot).expect("it was found");
                self.remember(&connection);
            } else if fails {
                self.close(slot);
            } else if connection.reads {
                self.read(slot, usize::MAX);
            }
        }
        // A connection to which room matters no more has what cannot wait, up to a bound, and one reply.
        let each = limits::OUTPUT_REPORTED_BYTES + 2 * self.reply_bytes_max;
        let most = self.room.saturating_add(CONNECTIONS_MAX * each);
        assert!(made <= most, "{made} bytes made in a turn, {events} of events, most is {most}");
        assert_eq!(self.replica.database().digest_mismatches(), 0, "a digest was not as foretold");
    }

    /// Does something with the replica, and counts what that takes.
    fn measured(&mut self, act: impl FnOnce(&mut Edge)) -> Use {
        let aside = self.aside();
        let meter = Meter::start();
        act(self);
        let taken = meter.stop();
        self.sums.cpu_us += taken.cpu_us;
        self.sums.allocated += taken.allocated;
        let unread: usize = self.connections.values().map(|one| one.unread).sum();
        let held = |live: i64| {
            u64::try_from(live - self.live_before).unwrap_or(0).saturating_sub(aside)
                + unread as u64
        };
        self.sums.held_max = self.sums.held_max.max(held(taken.peak));
        self.sums.held = held(meter::live_bytes());
        taken
    }

    /// Memory that the story, the clients and the disk take.
    fn aside(&self) -> u64 {
        let clients = self.connections.values().map(|one| {
            one.sent_bytes
                + (one.outstanding.capacity() + 3 * one.pieces.capacity()) * size_of::<usize>()
                + one.witness.expected.capacity() * size_of::<(i32, OpCode)>()
        });
        (self.story_bytes + clients.sum::<usize>() + self.disk.bytes()) as u64
    }

    fn check_time(&mut self, cpu_us: u64, units: u64) {
        self.sums.turn_cpu_us_max = self.sums.turn_cpu_us_max.max(cpu_us);
        self.sums.untold_max = self.sums.untold_max.max(16 * cpu_us / (units + FREE_UNITS));
        let told = CPU_UNTOLD_MAX_US + CPU_PER_UNIT_MAX * units;
        if cpu_us > told.min(TURN_CPU_MAX_US) * self.slowness {
            self.slow.push(Slow { turn: self.turns, op: self.op, cpu_us, units });
        }
    }

    /// What is held is within what the options and the requests allow.
    fn check(&self) {
        let options = self.replica.options();
        let requests_max = limits::connection_held_bytes_max(options.frame_bytes_max)
            + options.frame_bytes_max as usize;
        for connection in self.connections.values() {
            // Short pieces are counted by the edge, others by the replica; a reply may go beyond each. Reads
            // between two writes are made whether there is room or not, up to a bound, and so are events.
            let pause = options.output_pause_bytes + connection.frame_bytes_max;
            let urgent = options.connection_output_bytes_max + connection.frame_bytes_max;
            let most = 2 * pause + urgent + connection.unread_events;
            let unread = connection.unread;
            assert!(
                unread <= most,
                "{unread} bytes wait for a client that does not read, most is {most}"
            );
            let events = connection.unread_events;
            assert!(events <= 2 * urgent, "{events} bytes of events wait, most is 2 * {urgent}");
            let Some(held) = self.replica.held_by(connection.conn) else { continue };
            let requests = held.requests;
            assert!(
                requests <= requests_max,
                "{requests} bytes of requests wait, most is {requests_max}"
            );
        }
        let Sums { request_bytes, operations, named_bytes, log_bytes, held_max, .. } = self.sums;
        let each = 2 * options.output_pause_bytes + 2 * options.connection_output_bytes_max;
        let connections = CONNECTIONS_MAX * (each + 4 * self.reply_bytes_max);
        let most = HELD_BY_ITSELF + HELD_PER_REQUEST_BYTE * request_bytes + connections as u64;
        assert!(
            held_max <= most,
            "{held_max} bytes held after {request_bytes} of requests, most is {most}"
        );
        let most = (64 << 10)
            + LOGGED_PER_REQUEST_BYTE * request_bytes
            + LOGGED_PER_OPERATION * operations
            + LOGGED_PER_IDENTITY_BYTE * named_bytes;
        assert!(
            log_bytes <= most,
            "{log_bytes} bytes logged after {request_bytes} of requests, most is {most}"
        );
    }

    /// What was sent and what came of it; the most that a turn took is looked for anew.
    pub fn sums(&mut self) -> Sums {
        let sums = self.sums;
        self.sums.turn_cpu_us_max = 0;
        self.sums.untold_max = 0;
        sums
    }

    /// What has not begun its way to the server is not sent: the story has become too long.
    pub fn drop_unsent(&mut self) {
        for connection in self.connections.values_mut() {
            connection.witness.wild |= !connection.sent.is_empty();
            connection.sent = VecDeque::new();
            connection.sent_bytes = 0;
        }
    }

    /// Everything comes to an end: each request has its answer, and the files hold it.
    pub fn end(&mut self) -> Vec<Slow> {
        self.disk_waits = false;
        self.room = usize::MAX;
        for slot in 0..CONNECTIONS_MAX {
            let Some(connection) = self.connections.get_mut(&slot) else { continue };
            connection.reads = true;
            self.read(slot, usize::MAX);
        }
        self.settle(100_000);
        for connection in self.connections.values() {
            let waiting = !connection.witness.wild && connection.witness.connected;
            let expected = &connection.witness.expected;
            assert!(
                !waiting || expected.is_empty(),
                "{} requests without an answer, the first {:?}",
                expected.len(),
                expected.front()
            );
        }
        self.replica.shutdown(self.now);
        self.settle(1000);
        assert!(self.replica.is_quiet(), "something is still in flight");
        // A start counts the figures of quotas anew, and they may have another length then.
        let quotas = self.replica.database().node("/zookeeper/quota");
        let has_quotas = quotas.is_some_and(|root| root.num_children() > 0);
        check_folder(&self.replica, &self.disk, self.told, has_quotas);
        std::mem::take(&mut self.slow)
    }
}
