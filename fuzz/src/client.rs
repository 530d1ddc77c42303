//! Clients of a live replica: connects, requests of every kind in any order, frames of anything, closed connections,
//! time that passes, and a disk that is slow, full, or cut off by a crash.
//!
//! Besides "nothing panics", the target checks that the server answers each request of a connection once and in
//! order, that zxids in replies never go back, that every digest is as foretold, that all that a client was told is
//! durable, and that recovery from the disk gives the same tree.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ringkeeper::database::DatabaseOptions;
use ringkeeper::id::{ConnectionId, SessionId, Zxid};
use ringkeeper::jute::Jute;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::connect::ConnectRequest;
use ringkeeper::proto::request::RequestHeader;
use ringkeeper::recovery::{RecoveryOptions, recover};
use ringkeeper::replica::{Output, Replica, ReplicaOptions};
use ringkeeper::time::{MonoUs, Now, WallMs};

use super::disk::{Disk, Files};
use super::requests::{OPS, encode_body};
use super::script::Script;
use super::witness::{Witness, check_folder, framed};

/// Connections alive at the same time.
const CONNECTIONS_MAX: usize = 4;

struct Connection {
    conn: ConnectionId,
    xid: i32,
    witness: Witness,
}

/// A server, its disk and its clients.
pub struct World {
    replica: Replica,
    disk: Disk,
    now: Now,
    output: Output,
    connections: BTreeMap<usize, Connection>,
    next_connection: u64,
    /// The newest transaction of which any client was told.
    told: Zxid,
    /// Sessions to take up again, and their passwords.
    sessions: Vec<(SessionId, [u8; 16])>,
    stopped: bool,
    /// Whether the server began with files that no server writes.
    is_odd: bool,
}

/// The input is a script of commands.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let world = World::on(script.byte(), Files::new()).expect("an empty folder is a database");
    world.play(&mut script);
}

impl World {
    /// A server on a folder with these files, or `None` if the server refuses them.
    pub fn on(choices: u8, files: Files) -> Option<World> {
        let mut options = ReplicaOptions {
            tick_ms: 1000,
            session_timeout_ms_min: 2000,
            session_timeout_ms_max: 20_000,
            skip_acl: choices & 1 != 0,
            enforce_quota: choices & 2 != 0,
            extended_types: choices & 4 != 0,
            container_check_interval_ms: 3000,
            container_never_used_ms_max: if choices & 8 != 0 { 5000 } else { 0 },
            frame_bytes_max: 8 << 10,
            txn_extra_bytes_max: 8 << 10,
            connection_output_bytes_max: 1 << 20,
            large_request_bytes: (choices & 16 != 0).then_some(200),
            ..ReplicaOptions::default()
        };
        options.authentication.super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into());
        options.txnlog.block_bytes = 512;
        options.txnlog.segment_bytes = 64 << 10;
        options.txnlog.group_bytes_max = 32 << 10;
        options.txnlog.txn_bytes_max = 16 << 10;
        options.txnlog.snap_count = 8;
        options.snapshot.nodes_max = 4;
        let recovery = RecoveryOptions {
            database: DatabaseOptions {
                extended_types: options.extended_types,
                ..DatabaseOptions::default()
            },
            ..RecoveryOptions::default()
        };
        let is_odd = !files.is_empty();
        let mut disk = Disk::default();
        disk.files = files;
        let folder = disk.after_crash();
        let recovered = recover(&folder, &recovery, &mut |_| {}).ok()?;
        disk.take_over(&folder);
        let now = Now { wall: WallMs(1_795_163_301_145), mono: MonoUs(5_000_000) };
        let mut world = World {
            replica: Replica::new(options, recovered, now, 7),
            disk,
            now,
            output: Output::default(),
            connections: BTreeMap::new(),
            next_connection: 1,
            told: Zxid::ZERO,
            sessions: Vec::new(),
            stopped: false,
            is_odd,
        };
        world.settle();
        Some(world)
    }

    /// Carries out a script of commands, and ends the server.
    pub fn play(mut self, script: &mut Script<'_>) {
        while !script.is_empty() && !self.stopped {
            self.command(script);
            self.turn();
        }
        self.end();
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let command = script.byte();
        let slot = usize::from(command >> 6) % CONNECTIONS_MAX;
        match command % 16 {
            0..=6 => self.request(slot, script),
            7 => self.wild_request(slot, script),
            8 => self.raw_frame(slot, script),
            9 => self.close(slot),
            10 => {
                for _ in 0..=script.below(8) {
                    self.perform();
                }
            }
            11 => self.settle(),
            12 => self.wait(u64::from(script.byte()) * 50),
            13 => self.disk.full = script.one_in(4),
            14 => self.close_session(slot),
            _ => {
                if script.one_in(4) {
                    self.replica.request_snapshot();
                } else {
                    self.crash();
                }
            }
        }
    }

    /// The connection in this slot. If there is none, opens it and sends a connect request.
    fn connection(&mut self, slot: usize, script: &mut Script<'_>) -> &mut Connection {
        if !self.connections.contains_key(&slot) {
            let conn = ConnectionId(self.next_connection);
            self.next_connection += 1;
            let port = 40_000 + u16::try_from(slot).expect("slots are few");
            self.replica.handle_open(self.now, conn, SocketAddr::from(([127, 0, 0, 1], port)));
            let (session, password) = match script.byte() {
                byte if byte < 192 => (SessionId::NONE, [0; 16]),
                byte => {
                    let known = self.sessions.get(usize::from(byte - 192)).copied();
                    known.unwrap_or((SessionId(i64::from(byte)), [byte; 16]))
                }
            };
            let request = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid(i64::from(script.byte() / 64)),
                timeout_ms: i32::from(script.byte()) * 100,
                session_id: session,
                password: Some(&password),
                read_only: [None, Some(false), Some(true)][script.below(3)],
            };
            self.replica.handle_frames(self.now, conn, &framed(&request.to_bytes()));
            let witness = Witness { introduced: true, password, ..Witness::default() };
            let connection = Connection { conn, xid: 0, witness };
            self.connections.insert(slot, connection);
        }
        self.connections.get_mut(&slot).expect("it was opened above")
    }

    /// Sends a well-formed request of any kind.
    fn request(&mut self, slot: usize, script: &mut Script<'_>) {
        let now = self.now;
        let op = OPS[script.below(OPS.len())];
        let connection = self.connection(slot, script);
        let xid = match op {
            OpCode::Ping => -2,
            OpCode::Auth => -4,
            OpCode::SetWatches | OpCode::SetWatches2 => -8,
            _ => {
                connection.xid += 1;
                connection.xid
            }
        };
        let mut payload = RequestHeader { xid, op: op.number() }.to_bytes();
        encode_body(op, script, &mut payload);
        match op {
            // The server answers `auth` on arrival, before requests that were sent earlier.
            OpCode::Auth => {}
            // The operation is unknown, or not allowed to a client, so the server may close the connection.
            OpCode::DeleteContainer | OpCode::Sasl => connection.witness.wild = true,
            _ => connection.witness.expected.push_back((xid, op)),
        }
        let conn = connection.conn;
        self.replica.handle_frames(now, conn, &framed(&payload));
    }

    /// Sends a frame whose header is right and whose body is anything.
    fn wild_request(&mut self, slot: usize, script: &mut Script<'_>) {
        let now = self.now;
        let op = i32::from(script.byte());
        let op = match op {
            250.. => op - 262,
            128.. => op - 28,
            _ => op,
        };
        let connection = self.connection(slot, script);
        connection.witness.wild = true;
        let mut payload = RequestHeader { xid: script.int(), op }.to_bytes();
        payload.extend_from_slice(script.bytes());
        let conn = connection.conn;
        self.replica.handle_frames(now, conn, &framed(&payload));
    }

    /// Sends frames of anything, perhaps in place of the connect request.
    fn raw_frame(&mut self, slot: usize, script: &mut Script<'_>) {
        let now = self.now;
        let conn = match self.connections.get_mut(&slot) {
            Some(connection) => {
                connection.witness.wild = true;
                connection.conn
            }
            None => {
                let conn = ConnectionId(self.next_connection);
                self.next_connection += 1;
                self.replica.handle_open(now, conn, SocketAddr::from(([10, 0, 0, 1], 7)));
                let witness = Witness { wild: true, ..Witness::default() };
                let connection = Connection { conn, xid: 0, witness };
                self.connections.insert(slot, connection);
                conn
            }
        };
        let mut frames = Vec::new();
        for _ in 0..=script.below(3) {
            frames.extend_from_slice(&framed(script.bytes()));
        }
        self.replica.handle_frames(now, conn, &frames);
    }

    fn close(&mut self, slot: usize) {
        if let Some(connection) = self.connections.remove(&slot) {
            self.remember(&connection);
            self.replica.handle_close(self.now, connection.conn);
        }
    }

    fn close_session(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(&slot) else { return };
        connection.xid += 1;
        let xid = connection.xid;
        connection.witness.expected.push_back((xid, OpCode::CloseSession));
        let conn = connection.conn;
        let payload = RequestHeader { xid, op: OpCode::CloseSession.number() }.to_bytes();
        self.replica.handle_frames(self.now, conn, &framed(&payload));
    }

    fn remember(&mut self, connection: &Connection) {
        if connection.witness.session != SessionId::NONE && self.sessions.len() < 60 {
            self.sessions.push((connection.witness.session, connection.witness.password));
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.now.wall.0 += i64::try_from(ms).expect("waits are short");
        self.replica.handle_timeout(self.now);
    }

    /// Lets the disk do one thing.
    fn perform(&mut self) -> bool {
        if let Some(completion) = self.disk.perform() {
            self.replica.handle_completion(self.now, completion);
        }
        self.turn();
        self.disk.pending() > 0
    }

    fn settle(&mut self) {
        self.turn();
        while !self.stopped && self.perform() {}
    }

    /// Takes the output of the replica.
    fn turn(&mut self) {
        self.replica.take_output(&mut self.output);
        if let Some(reason) = self.output.fatal.take() {
            // Only a disk without room may stop a server here.
            assert!(self.disk.full, "stopped: {reason}");
            self.stopped = true;
        }
        self.disk.submit(self.output.ops.drain(..));
        let sends: Vec<_> = self.output.sends.drain(..).collect();
        for send in sends {
            let found = self.connections.iter().find(|(_, known)| known.conn == send.conn);
            if let Some(slot) = found.map(|(slot, _)| *slot) {
                let connection = self.connections.get_mut(&slot).expect("it was found");
                let received = connection.witness.receive(&send.bytes);
                self.told = self.told.max(received.told);
                if send.close {
                    let connection = self.connections.remove(&slot).expect("it was found");
                    self.remember(&connection);
                }
            }
            self.replica.handle_written(self.now, send.conn, send.reported_bytes());
            self.output.recycle(send.bytes);
        }
        assert_eq!(self.replica.database().digest_mismatches(), 0, "a digest was not as foretold");
    }

    /// Checks that what a crash would leave now holds all that any client was told.
    fn crash(&self) {
        check_folder(&self.replica, &self.disk, self.told, self.is_odd);
    }

    /// Brings everything to an end, and checks that each request has its answer and that the files hold all changes.
    fn end(mut self) {
        if self.stopped {
            return self.crash();
        }
        self.disk.full = false;
        self.settle();
        // The server looks at a full disk again after a while, and writes a few nodes of a tree in each turn.
        for turn in 0..100_000 {
            let goes_on = self.replica.next_timeout().is_some_and(|at| at <= self.now.mono);
            if turn > 4 && !goes_on {
                break;
            }
            self.wait(0);
            self.settle();
        }
        for connection in self.connections.values() {
            let waiting = !connection.witness.wild && connection.witness.connected;
            assert!(
                !waiting || connection.witness.expected.is_empty(),
                "{} requests without an answer, the first {:?}",
                connection.witness.expected.len(),
                connection.witness.expected.front()
            );
        }
        self.replica.shutdown(self.now);
        self.settle();
        assert!(self.replica.is_quiet(), "something is still in flight");
        self.crash();
    }
}
