//! A server with its edge: the bytes of clients arrive as sockets bring them, the server reads as far as the real
//! edge does, and answers wait until their client takes them. After each turn, the target compares what the turn
//! took with the bounds.

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

/// Processor time that a turn may take in a release, in microseconds. A leader is silent meanwhile and everybody
/// waits. After a few such turns in a row, the others take the leader for dead.
pub const TURN_CPU_MAX_US: u64 = 50_000;
/// A unit is about a microsecond. A turn takes at most this many microseconds for each unit that it was told.
const CPU_PER_UNIT_MAX: u64 = 8;
/// Microseconds that a turn may take beside its units, for a slice of a snapshot or a few long transactions to
/// apply.
const CPU_UNTOLD_MAX_US: u64 = 20_000;
/// Units that are left out of account, because the time of so few proves nothing.
const FREE_UNITS: u64 = 500;

/// Bytes that the server may hold for each byte of requests: a node, a watch or an entry of a session takes
/// this many times what the request for it takes.
const HELD_PER_REQUEST_BYTE: u64 = 40;
/// Bytes that the server holds for itself: tables that grow by doubling, and the buffers of the log.
const HELD_BY_ITSELF: u64 = 16 << 20;
/// Bytes of the log for each byte of requests.
const LOGGED_PER_REQUEST_BYTE: u64 = 16;
/// Bytes of the log for each request or operation of a multi.
const LOGGED_PER_OPERATION: u64 = 1024;
/// Bytes of the log for each byte of identities that the entries of an ACL may name; a digest is longer than the
/// words that a client says.
const LOGGED_PER_IDENTITY_BYTE: u64 = 2;
/// Bytes of the shortest entry of an ACL.
const ENTRY_BYTES: u64 = 16;

/// Connections alive at the same time.
pub const CONNECTIONS_MAX: usize = 4;

/// A client's connection.
pub struct Connection {
    /// The number of the connection.
    pub conn: ConnectionId,
    /// The number of its last request.
    pub xid: i32,
    /// What its client saw.
    pub witness: Witness,
    /// Whether its client takes all that there is to read.
    pub reads: bool,
    /// Frames on their way to the server.
    sent: VecDeque<Vec<u8>>,
    sent_bytes: usize,
    /// Bytes of the identities of all its `auth` requests.
    identity_bytes: u64,
    /// Lengths of the requests that are not yet answered, in bytes.
    outstanding: VecDeque<usize>,
    outstanding_bytes: usize,
    /// Pieces of output that its client has not taken: for each its bytes, the bytes of events among them, and the
    /// bytes that the edge reports to the replica.
    pieces: VecDeque<(usize, usize, usize)>,
    unread: usize,
    unread_events: usize,
    unread_unknown: usize,
    /// Bytes of the longest frame that the client got.
    frame_bytes_max: usize,
}

/// A turn that took too long.
#[derive(Clone)]
pub struct Slow {
    /// The number of the turn.
    pub turn: u64,
    /// The operation that was under way.
    pub op: Option<OpCode>,
    /// Processor time in this build, in microseconds.
    pub cpu_us: u64,
    /// The units of work that the turn was told.
    pub units: u64,
}

impl fmt::Debug for Slow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slow { turn, op, cpu_us, units } = self;
        write!(out, "{cpu_us} us for {units} units in turn {turn} of {op:?}")
    }
}

/// What clients sent, and what it cost the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// Bytes of requests that the server has read.
    pub request_bytes: u64,
    /// Operations in them.
    pub operations: u64,
    /// The bytes of identities that requests may name: for each ACL entry that a request may have, the bytes with
    /// which its connection has authenticated; for one request at most the length of a transaction.
    pub named_bytes: u64,
    /// Bytes of replies and events.
    pub output_bytes: u64,
    /// Bytes of transactions.
    pub log_bytes: u64,
    /// Bytes allocated, given back or not.
    pub allocated: u64,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Units of work that were told.
    pub units: u64,
    /// Bytes held now.
    pub held: u64,
    /// The most bytes that were held at a time.
    pub held_max: u64,
    /// Processor time of the longest turn, in microseconds.
    pub turn_cpu_us_max: u64,
    /// The most microseconds of a turn for each of its units, in 16ths; each turn has `FREE_UNITS` more than it was
    /// told.
    pub untold_max: u64,
}

/// A server with its edge, its disk and its clients.
pub struct Edge {
    replica: Replica,
    disk: Disk,
    /// Bytes of the thread's memory that belong to the story.
    pub story_bytes: usize,
    /// If set, the disk does nothing.
    pub disk_waits: bool,
    /// Bytes of output that the process has room for, as the edge reports them to the replica.
    pub room: usize,
    now: Now,
    output: Output,
    connections: BTreeMap<usize, Connection>,
    next_connection: u64,
    told: Zxid,
    sessions: Vec<(SessionId, [u8; 16])>,
    /// Bytes of the thread's memory before the server began.
    live_before: i64,
    turns: u64,
    /// How many times slower than a release this build is.
    slowness: u64,
    sums: Sums,
    /// The operation that the present turns serve.
    pub op: Option<OpCode>,
    /// Turns that took too long.
    pub slow: Vec<Slow>,
    /// Bytes of the longest frame that any client got.
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

    /// Opens a connection in this slot, if there is none yet.
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

    /// A session that a client may take up again, and its password.
    pub fn session(&self, number: usize) -> Option<(SessionId, [u8; 16])> {
        self.sessions.get(number).copied()
    }

    /// Sends a frame, its length included, on its way to the server; `operations` is the number of operations in it.
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

    /// Breaks off the client's connection.
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

    /// Lets time pass.
    pub fn wait(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.now.wall.0 += i64::try_from(ms).expect("waits are short");
        self.measured(|edge| edge.replica.handle_timeout(edge.now));
        self.turn();
    }

    /// Asks the server for a snapshot.
    pub fn request_snapshot(&mut self) {
        self.replica.request_snapshot();
    }

    /// Lets a client take this many pieces of the output that waits for it.
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

    /// Runs turns until there is nothing to do, or until the number of turns is used up.
    pub fn settle(&mut self, turns: usize) {
        let mut idle = 0;
        for _ in 0..turns {
            if self.turn() {
                idle = 0;
                continue;
            }
            // After a moment, the server looks at the clients that wait for memory.
            let soon = self.now.mono.plus_ms(limits::STARVING_LOOK_MS);
            if idle > 3 || self.replica.next_timeout().is_none_or(|at| at > soon) {
                return;
            }
            idle += 1;
            self.wait(1);
        }
    }

    /// Runs one round, as the real edge does. Returns whether there was something to do.
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

    /// Takes the frames that the edge reads from the sockets in this round.
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

    /// Hands out the answers.
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
        // Beyond the room, a connection may get the output that cannot wait, up to a bound, and one reply.
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

    /// Bytes of memory that the story, the clients and the disk take.
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

    /// Checks that the server holds no more bytes than the options and the requests allow.
    fn check(&self) {
        let options = self.replica.options();
        let requests_max = limits::connection_held_bytes_max(options.frame_bytes_max)
            + options.frame_bytes_max as usize;
        for connection in self.connections.values() {
            // The edge counts short pieces and the replica counts the others; one reply may go beyond each limit.
            // The replica answers reads between two writes whether there is room or not, up to a bound, and sends
            // events the same way.
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

    /// The sums so far. The longest turn is counted anew from here on.
    pub fn sums(&mut self) -> Sums {
        let sums = self.sums;
        self.sums.turn_cpu_us_max = 0;
        self.sums.untold_max = 0;
        sums
    }

    /// Drops the frames that the server has not read yet, because the story has become too long.
    pub fn drop_unsent(&mut self) {
        for connection in self.connections.values_mut() {
            connection.witness.wild |= !connection.sent.is_empty();
            connection.sent = VecDeque::new();
            connection.sent_bytes = 0;
        }
    }

    /// Brings everything to an end, checks that each request has its answer and that the files hold all changes, and
    /// gives the turns that took too long.
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
        // A start counts the figures of quotas anew, which may change their length.
        let quotas = self.replica.database().node("/zookeeper/quota");
        let has_quotas = quotas.is_some_and(|root| root.num_children() > 0);
        check_folder(&self.replica, &self.disk, self.told, has_quotas);
        std::mem::take(&mut self.slow)
    }
}
