//! A replica with its clients, and a disk that performs an operation only when a test says so.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use crate::database::DatabaseOptions;
use crate::id::{ConnectionId, ServerId, SessionId, Zxid};
use crate::io::{Completion, Done, IoFailure, IoFailureKind, Op, Place, SegmentId};
use crate::jute::{Decoder, Jute, VectorBuf};
use crate::link::LinkOp;
use crate::peer::{Peer, Scripted};
use crate::proto::connect::{ConnectRequest, ConnectResponse};
use crate::proto::data::perms;
use crate::proto::request::{
    CreateRequest, PathKind, PathRequest, PathVersion, PathWatch, RequestBody, RequestHeader,
    SetDataRequest,
};
use crate::proto::response::ReplyHeader;
use crate::proto::{AclEntry, AclVector, Id, OpCode};
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::recovery::{MemoryFolder, Recovered, RecoveryOptions, discard_after, recover, truncate};
use crate::replica::ensemble::ReplicaRole;
use crate::replica::service::Service;
use crate::replica::{
    AuditRecords, Fatal, LoginOp, Output, Reload, Reloaded, Replica, ReplicaOptions,
};
use crate::time::{MonoUs, Now, WallMs};
use crate::watch::WatchBounds;
use crate::zab::Ready;

/// A frame from the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn decode<'a, T: Jute<'a>>(&'a self) -> T {
        T::from_bytes(&self.body).unwrap()
    }

    /// Type and path of an event.
    pub fn event(&self) -> (i32, String) {
        assert_eq!(self.xid, -1, "{self:?} is no event");
        let mut input = Decoder::new(&self.body);
        let event_type = input.i32().unwrap();
        assert_eq!(input.i32().unwrap(), 3, "the state is SyncConnected");
        let path: Option<&str> = Jute::decode(&mut input).unwrap();
        (event_type, path.unwrap().to_owned())
    }
}

pub struct Harness {
    pub replica: Replica,
    kind: Kind,
    options: ReplicaOptions,
    disk: Disk,
    pub now: Now,
    output: Output,
    /// Operations not yet done.
    pub ops: VecDeque<Op>,
    /// Bytes of each connection, not yet read.
    received: HashMap<ConnectionId, Vec<u8>>,
    pub closed: Vec<ConnectionId>,
    pub answered: HashMap<ConnectionId, u32>,
    pub fatal: Option<Fatal>,
    /// If set, the disk has no room to prepare a segment.
    pub disk_full: bool,
    /// If set, the disk has no room to replace a small file.
    pub files_full: bool,
    /// What the replica asked of its links to other servers.
    pub links: Vec<LinkOp>,
    /// What the audit log was told.
    pub audit: AuditRecords,
    /// If set, turns follow until no client stands in line.
    pub serves_all: bool,
    /// If set, clients take their output at once.
    pub reads: bool,
    unread: Vec<(ConnectionId, usize)>,
    next_connection: u64,
}

impl Harness {
    pub fn new() -> Harness {
        Harness::with(ReplicaOptions::default())
    }

    pub fn with(options: ReplicaOptions) -> Harness {
        Harness::build(options, Kind::Alone, false)
    }

    /// A member of an ensemble, with id 1, whose peer does what the test says.
    pub fn scripted(options: ReplicaOptions) -> Harness {
        Harness::build(options, Kind::Scripted, false)
    }

    /// The same on a full disk.
    pub fn scripted_without_room(options: ReplicaOptions) -> Harness {
        Harness::build(options, Kind::Scripted, true)
    }

    /// A member of an ensemble.
    pub fn member(options: ReplicaOptions, peer: PeerOptions, config: Config) -> Harness {
        Harness::build(options, Kind::Member(Box::new((peer, config))), false)
    }

    fn build(mut options: ReplicaOptions, kind: Kind, disk_full: bool) -> Harness {
        options.txnlog.segment_bytes = 4 << 20;
        let now = Now { wall: WallMs(1_700_000_000_000), mono: MonoUs(5_000_000) };
        let disk = Disk { ensemble: !matches!(kind, Kind::Alone), ..Disk::default() };
        let recovered = disk.recover(&options);
        let mut harness = Harness {
            replica: start(&kind, &options, recovered, now, 7),
            kind,
            options,
            disk,
            now,
            output: Output::default(),
            ops: VecDeque::new(),
            received: HashMap::new(),
            closed: Vec::new(),
            answered: HashMap::new(),
            fatal: None,
            disk_full,
            files_full: false,
            links: Vec::new(),
            audit: AuditRecords::default(),
            serves_all: true,
            reads: true,
            unread: Vec::new(),
            next_connection: 1,
        };
        harness.settle();
        harness
    }

    /// Takes what the replica wants, without any operation of the disk.
    pub fn turn(&mut self) {
        self.replica.take_output(&mut self.output);
        self.ops.extend(self.output.ops.drain(..));
        let sends: Vec<_> = self.output.sends.drain(..).collect();
        let mut again = false;
        for send in sends {
            self.received.entry(send.conn).or_default().extend_from_slice(&send.bytes);
            *self.answered.entry(send.conn).or_default() += send.answered;
            if send.close {
                self.closed.push(send.conn);
            }
            let reported = send.reported_bytes();
            self.output.recycle(send.bytes);
            if reported > 0 && self.reads {
                self.replica.handle_written(self.now, send.conn, reported);
                again = true;
            } else if reported > 0 {
                self.unread.push((send.conn, reported));
            }
        }
        self.links.append(&mut self.output.links);
        self.audit.records.append(&mut self.output.audit.records);
        self.audit.dropped += self.output.audit.dropped;
        self.output.audit = AuditRecords::default();
        self.fatal = self.fatal.take().or(self.output.fatal.take());
        if let Some(reload) = self.output.reload.take() {
            assert!(self.ops.is_empty(), "no op is in flight");
            let reloaded = self.disk.reload(&self.options, reload);
            self.replica.handle_reloaded(self.now, Ok(reloaded));
            again = true;
        }
        if again || self.goes_on() {
            self.turn();
        }
    }

    /// Whether a client stands in line and the next turn serves it.
    fn goes_on(&self) -> bool {
        let service = &self.replica.service;
        let next = service.next_in_line().or(service.next_deferred());
        self.serves_all && (next.is_some() || service.ensemble.is_applying())
    }

    /// Lets the clients take all output that was handed out.
    pub fn read_all(&mut self) {
        for (conn, bytes) in std::mem::take(&mut self.unread) {
            self.replica.handle_written(self.now, conn, bytes);
        }
        self.turn();
    }

    /// Lets a client take the oldest piece of output that was handed out to it.
    pub fn read_oldest(&mut self, conn: ConnectionId) {
        let oldest = self.unread.iter().position(|(to, _)| *to == conn).unwrap();
        let (conn, bytes) = self.unread.remove(oldest);
        self.replica.handle_written(self.now, conn, bytes);
        self.turn();
    }

    /// How many pieces of output a client has not taken.
    pub fn unread_pieces(&self, conn: ConnectionId) -> usize {
        self.unread.iter().filter(|(to, _)| *to == conn).count()
    }

    /// The peer of a scripted member.
    pub fn peer(&mut self) -> &mut Scripted {
        match &mut self.replica.service.ensemble.peer {
            Peer::Scripted(scripted) => scripted,
            Peer::Standalone(_) | Peer::Member(_) => panic!("the peer is not scripted"),
        }
    }

    /// Lets the peer want `ready` done, and runs a turn.
    pub fn decide(&mut self, ready: Ready) {
        self.peer().readys.push_back(ready);
        self.turn();
    }

    /// The content of the file with this name on the disk.
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.disk.folder.get(Place::Snapshots, name)
    }

    /// Removes a file, as a purge does.
    pub fn remove_file(&self, place: Place, name: &str) {
        use crate::recovery::Folder as _;
        self.disk.folder.remove(place, name).unwrap();
    }

    /// Does one operation of the disk. Returns whether there was one.
    pub fn do_op(&mut self) -> bool {
        let Some(op) = self.ops.pop_front() else { return false };
        let token = op.token();
        let result = match op {
            Op::SegmentPrepare { .. } if self.disk_full => {
                let text = "prepare: no space left on device".to_owned();
                Err(IoFailure { kind: IoFailureKind::Full, text })
            }
            Op::FileReplace { .. } if self.files_full => {
                let text = "replace: no space left on device".to_owned();
                Err(IoFailure { kind: IoFailureKind::Full, text })
            }
            op => Ok(self.disk.perform(op)),
        };
        self.replica.handle_completion(self.now, Completion { token, result });
        self.turn();
        true
    }

    /// Ends the server, loses the operations that the disk has not done, and starts the server again.
    pub fn crash(&mut self) {
        self.ops.clear();
        self.received.clear();
        self.disk.crash();
        let recovered = self.disk.recover(&self.options);
        self.replica = start(&self.kind, &self.options, recovered, self.now, 8);
        self.settle();
    }

    /// Does everything until nothing is left to do.
    pub fn settle(&mut self) {
        self.turn();
        while self.do_op() {}
        assert_eq!(self.replica.database().digest_mismatches(), 0, "the digests differ");
    }

    pub fn open(&mut self) -> ConnectionId {
        let conn = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let remote: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        self.replica.handle_open(self.now, conn, remote);
        conn
    }

    pub fn close(&mut self, conn: ConnectionId) {
        self.replica.handle_close(self.now, conn);
        self.turn();
    }

    pub fn send_frame(&mut self, conn: ConnectionId, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(payload);
        self.replica.handle_frames(self.now, conn, &frame);
        self.turn();
    }

    /// Sends a request without waiting for the disk.
    pub fn send(&mut self, conn: ConnectionId, xid: i32, op: OpCode, body: &RequestBody<'_>) {
        let mut payload = RequestHeader { xid, op: op.number() }.to_bytes();
        body.encode(op, &mut payload);
        self.send_frame(conn, &payload);
    }

    /// The same, in one turn with what is sent next.
    pub fn send_with_next(
        &mut self,
        conn: ConnectionId,
        xid: i32,
        op: OpCode,
        body: &RequestBody<'_>,
    ) {
        let mut payload = RequestHeader { xid, op: op.number() }.to_bytes();
        body.encode(op, &mut payload);
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(&payload);
        self.replica.handle_frames(self.now, conn, &frame);
    }

    pub fn send_connect(&mut self, conn: ConnectionId, request: ConnectRequest<'_>) {
        self.send_frame(conn, &request.to_bytes());
    }

    /// A connection with a new session.
    pub fn connect(&mut self) -> Client {
        let conn = self.open();
        self.send_connect(conn, new_session());
        self.settle();
        let response = self.connect_response(conn);
        assert_ne!(response.timeout_ms, 0, "the session was refused");
        Client { conn, session: response.session_id, password: response.password }
    }

    pub fn connect_response(&mut self, conn: ConnectionId) -> ConnectResponse {
        let frames = self.take_frames(conn);
        assert_eq!(frames.len(), 1, "one frame answers a connect request");
        ConnectResponse::from_bytes(&frames[0]).unwrap()
    }

    /// Sends a request, lets the disk work, and takes the one reply.
    pub fn call(
        &mut self,
        conn: ConnectionId,
        xid: i32,
        op: OpCode,
        body: &RequestBody<'_>,
    ) -> Reply {
        self.send(conn, xid, op, body);
        self.settle();
        let mut replies = self.replies(conn);
        let reply = replies.pop().expect("there is a reply");
        assert!(replies.is_empty(), "more than a reply: {replies:?}");
        reply
    }

    pub fn take_frames(&mut self, conn: ConnectionId) -> Vec<Vec<u8>> {
        let bytes = self.received.remove(&conn).unwrap_or_default();
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            frames.push(rest[4..4 + length].to_vec());
            rest = &rest[4 + length..];
        }
        frames
    }

    pub fn has_received(&self, conn: ConnectionId) -> bool {
        self.received.get(&conn).is_some_and(|bytes| !bytes.is_empty())
    }

    /// The replies and events that came since the last look.
    pub fn replies(&mut self, conn: ConnectionId) -> Vec<Reply> {
        self.take_frames(conn)
            .iter()
            .map(|frame| {
                let mut input = Decoder::new(frame);
                let header = ReplyHeader::decode(&mut input).unwrap();
                let body = input.rest().to_vec();
                Reply { xid: header.xid, zxid: header.zxid.0, err: header.err, body }
            })
            .collect()
    }

    pub fn errors(&mut self, conn: ConnectionId) -> Vec<(i32, i32)> {
        self.replies(conn).iter().map(|reply| (reply.xid, reply.err)).collect()
    }

    pub fn advance_ms(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.now.wall = WallMs(self.now.wall.0 + i64::try_from(ms).unwrap());
        self.replica.handle_timeout(self.now);
        self.settle();
    }

    pub fn is_closed(&self, conn: ConnectionId) -> bool {
        self.closed.contains(&conn)
    }

    pub fn last_zxid(&self) -> i64 {
        self.replica.last_processed().0
    }

    /// Takes what the edge is to do for logins.
    pub fn take_logins(&mut self) -> Vec<LoginOp> {
        std::mem::take(&mut self.output.logins)
    }

    /// Creates a node whose ACL allows everybody everything.
    pub fn create(&mut self, client: &Client, path: &str, flags: i32) -> Reply {
        self.call(client.conn, 1, OpCode::Create, &create(path, b"", flags))
    }
}

/// What kind of server a harness runs.
enum Kind {
    Alone,
    Scripted,
    Member(Box<(PeerOptions, Config)>),
}

fn start(
    kind: &Kind,
    options: &ReplicaOptions,
    recovered: Recovered,
    now: Now,
    seed: u64,
) -> Replica {
    match kind {
        Kind::Alone => return Replica::new(options.clone(), recovered, now, seed),
        Kind::Scripted => (),
        Kind::Member(member) => {
            let (peer, config) = (member.0.clone(), member.1.clone());
            return Replica::member(options.clone(), peer, config, recovered, now, seed);
        }
    }
    let epochs = recovered.epochs.unwrap();
    let last = recovered.zxid;
    let scripted = Scripted { committed: last, accepted: last, ..Scripted::default() };
    let peer = Peer::Scripted(Box::new(scripted));
    let me = ServerId(1);
    let options = options.clone();
    let part = (peer, ReplicaRole::Looking, me);
    let mut service = Service::new(options, part, recovered, now, seed);
    service.pipeline.steps.start_epochs(epochs);
    Replica::over(service)
}

/// Files in memory. Files that have their final names stand in a folder that recovery reads.
#[derive(Default)]
struct Disk {
    /// Whether the disk belongs to a member of an ensemble.
    ensemble: bool,
    folder: MemoryFolder,
    /// Open segments: the final name, if given, and the content.
    segments: HashMap<SegmentId, (Option<String>, Vec<u8>)>,
    snapshot: Vec<u8>,
}

impl Disk {
    fn perform(&mut self, op: Op) -> Done {
        match op {
            Op::LogWrite { segment, offset, buf, bytes, .. } => {
                let (_, content) = self.segments.get_mut(&segment).unwrap();
                let start = usize::try_from(offset).unwrap();
                let end = start + bytes as usize;
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(&buf[..bytes as usize]);
                return Done::Buffer(buf);
            }
            Op::SegmentPrepare { segment, header, .. } => {
                self.segments.insert(segment, (None, header.to_vec()));
            }
            Op::SegmentName { segment, name, .. } => {
                assert!(self.folder.get(Place::Logs, &name).is_none(), "{name} exists already");
                self.folder.put(Place::Logs, &name, Vec::new());
                self.segments.get_mut(&segment).unwrap().0 = Some(name);
            }
            Op::SegmentClose { segment, .. } => {
                if let Some((Some(name), content)) = self.segments.remove(&segment) {
                    self.folder.put(Place::Logs, &name, content);
                }
            }
            Op::SnapshotCreate { .. } | Op::SnapshotAbandon { .. } => self.snapshot.clear(),
            Op::SnapshotWrite { mut bytes, .. } => {
                self.snapshot.append(&mut bytes);
                return Done::Bytes(bytes);
            }
            Op::SnapshotCommit { name, .. } => {
                self.folder.put(Place::Snapshots, &name, std::mem::take(&mut self.snapshot));
            }
            Op::FileReplace { place, name, content, .. } => {
                self.folder.put(place, &name, content);
            }
            Op::Remove { .. } => {}
        }
        Done::Plain
    }

    /// What the edge does when the log is to be cut.
    fn reload(&self, options: &ReplicaOptions, reload: Reload) -> Reloaded {
        assert!(self.segments.is_empty(), "every file of the log is closed");
        let cut = || {
            let cut = if reload.database { truncate } else { discard_after };
            cut(&self.folder, reload.truncate).map(drop)
        };
        Reloaded::carry_out(reload, cut, || Ok(self.recover(options))).unwrap()
    }

    fn crash(&mut self) {
        for (name, content) in self.segments.drain().map(|(_, segment)| segment) {
            if let Some(name) = name {
                self.folder.put(Place::Logs, &name, content);
            }
        }
        self.snapshot.clear();
    }

    fn recover(&self, options: &ReplicaOptions) -> Recovered {
        let database = DatabaseOptions {
            extended_types: options.extended_types,
            emulate_353_ttl: options.emulate_353_ttl,
            digest_enabled: options.digest,
            hash_seed: 1,
            watches: WatchBounds::default(),
            record: false,
            planted: None,
        };
        let ensemble = self.ensemble;
        let recent_txns_max = if ensemble { 500 } else { 0 };
        let recovery =
            RecoveryOptions { database, ensemble, recent_txns_max, ..RecoveryOptions::default() };
        recover(&self.folder, &recovery, &mut |_| {}).unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub conn: ConnectionId,
    pub session: SessionId,
    pub password: [u8; 16],
}

pub fn new_session() -> ConnectRequest<'static> {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 10_000,
        session_id: SessionId::NONE,
        password: Some(&[0; 16]),
        read_only: Some(false),
    }
}

/// `world:anyone` with these permissions, as the bytes of a vector.
pub fn world(bits: i32) -> Vec<u8> {
    acl(&[(bits, "world", "anyone")])
}

pub fn acl(entries: &[(i32, &str, &str)]) -> Vec<u8> {
    let mut built = VectorBuf::<AclEntry<'static>>::default();
    for &(perms, scheme, id) in entries {
        built.push(&AclEntry { perms, id: Id { scheme: Some(scheme), id: Some(id) } });
    }
    built.as_vector::<AclEntry<'_>>().to_bytes()
}

/// The ACL that nearly all tests use.
pub fn open_acl() -> AclVector<'static> {
    thread_local! {
        static OPEN: &'static [u8] = Box::leak(world(perms::ALL).into_boxed_slice());
    }
    AclVector::from_bytes(OPEN.with(|bytes| *bytes)).unwrap()
}

pub fn create<'a>(path: &'a str, data: &'a [u8], flags: i32) -> RequestBody<'a> {
    RequestBody::Create(CreateRequest {
        path: Some(path),
        data: Some(data),
        acl: open_acl(),
        flags,
    })
}

pub fn create_with<'a>(path: &'a str, acl: &'a [u8]) -> RequestBody<'a> {
    let acl = AclVector::from_bytes(acl).unwrap();
    RequestBody::Create(CreateRequest { path: Some(path), data: None, acl, flags: 0 })
}

pub fn set_data<'a>(path: &'a str, data: &'a [u8], version: i32) -> RequestBody<'a> {
    RequestBody::SetData(SetDataRequest { path: Some(path), data: Some(data), version })
}

pub fn delete(path: &str, version: i32) -> RequestBody<'_> {
    RequestBody::PathVersion(PathVersion { path: Some(path), version })
}

pub fn watch(path: &str, watch: bool) -> RequestBody<'_> {
    RequestBody::PathWatch(PathWatch { path: Some(path), watch })
}

pub fn path(path: &str) -> RequestBody<'_> {
    RequestBody::Path(PathRequest { path: Some(path) })
}

pub fn kind(path: &str, kind: i32) -> RequestBody<'_> {
    RequestBody::PathKind(PathKind { path: Some(path), kind })
}
