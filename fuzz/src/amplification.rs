//! Clients that try to make a server do, send and hold much more than they send: a few bytes of script build up
//! lists of names, identities, permissions, watches, ephemeral nodes, quotas and multis, and ask for them.
//!
//! [`edge`](super::edge) has the bounds. [`guide`](super::meter::guide) tells the engine what to look for besides
//! new code: each doubling of a figure, for each operation.

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Jute, VectorBuf};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::connect::ConnectRequest;
use ringkeeper::proto::data::{AclEntry, AclVector, Id};
use ringkeeper::proto::request::{
    AuthPacket, MultiOp, PathKind, PathRequest, PathVersion, PathWatch, RequestBody, RequestHeader,
    SetDataRequest, SetWatchesRequest,
};
use ringkeeper::replica::ReplicaOptions;

use super::edge::{CONNECTIONS_MAX, Edge, Slow, Sums, TURN_CPU_MAX_US};
use super::meter;
use super::requests::{OPS, encode_body};
use super::script::Script;
use super::witness::framed;

/// Bounds on the bytes and the number of all requests of a story, and on the bytes of the answers. Requests behind
/// the bounds are not sent, so that a story ends within a second or two.
const STORY_BYTES_MAX: usize = 4 << 20;
const STORY_REQUESTS_MAX: usize = 40_000;
const STORY_OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// Bytes that a story may allocate. Beside the output, they alone tell of much work without a clock.
const STORY_ALLOCATED_MAX: u64 = 1 << 30;
/// How often a story with a slow turn is repeated: a processor may have been slow for a moment.
const REPEATS: usize = 3;

/// How often a command does something, and how long its names or values are.
const COUNTS: [usize; 16] =
    [1, 1, 2, 3, 5, 10, 30, 100, 300, 1000, 2000, 3000, 5000, 10_000, 20_000, 60_000];
const LENGTHS: [usize; 16] =
    [0, 1, 2, 5, 10, 30, 60, 100, 250, 500, 1000, 4000, 16_000, 60_000, 250_000, 900_000];
const BASES: [&str; 7] =
    ["", "/a", "/b", "/a/b", "/zookeeper/quota", "/zookeeper/quota/a", "/zookeeper/quota/a/b"];

/// How many times slower than a release this build is without optimization. A guess.
const SLOWNESS: u64 = if cfg!(debug_assertions) { 30 } else { 1 };

/// The input is a script of commands.
pub fn run(data: &[u8]) {
    run_on(data, SLOWNESS);
}

/// Runs the script in a build that is `slowness` times slower than a release.
pub fn run_on(data: &[u8], slowness: u64) {
    let mut slow = play(data, slowness);
    for _ in 0..REPEATS {
        if slow.is_empty() {
            return;
        }
        let again = play(data, slowness);
        slow.retain_mut(|one| {
            let found = again.iter().find(|other| other.turn == one.turn);
            one.cpu_us = found.map_or(0, |other| other.cpu_us.min(one.cpu_us));
            found.is_some()
        });
    }
    slow.sort_unstable_by_key(|one| std::cmp::Reverse(one.cpu_us));
    slow.truncate(5);
    assert!(
        slow.is_empty(),
        "turns that took longer than they may ({TURN_CPU_MAX_US} us): {slow:?}"
    );
}

fn play(data: &[u8], slowness: u64) -> Vec<Slow> {
    let mut script = Script::new(data);
    let mut story = Story::new(script.byte(), slowness);
    while !script.is_empty() {
        story.command(&mut script);
    }
    story.edge.op = None;
    story.edge.settle(10_000);
    story.edge.end()
}

/// Options of the server that the script chooses; a story reaches small bounds sooner.
fn options(choices: u8) -> ReplicaOptions {
    let mut options = ReplicaOptions {
        tick_ms: 1000,
        session_timeout_ms_min: 2000,
        session_timeout_ms_max: 20_000,
        skip_acl: choices & 1 != 0,
        enforce_quota: choices & 2 != 0,
        extended_types: true,
        container_check_interval_ms: 3000,
        container_never_used_ms_max: 5000,
        output_pause_bytes: 256 << 10,
        connection_output_bytes_max: 2 << 20,
        multi_read_bytes_max: 1 << 20,
        ..ReplicaOptions::default()
    };
    if choices & 4 != 0 {
        options.frame_bytes_max = 64 << 10;
        options.txn_extra_bytes_max = 64 << 10;
        options.txnlog.txn_bytes_max = 128 << 10;
        options.turn_work_units = 700;
    }
    if choices & 8 != 0 {
        options.output_pause_bytes = 64 << 10;
        options.connection_output_bytes_max = 256 << 10;
        options.multi_read_bytes_max = 64 << 10;
    }
    if choices & 16 != 0 {
        let ReplicaOptions {
            output_pause_bytes,
            connection_output_bytes_max,
            multi_read_bytes_max,
            ..
        } = ReplicaOptions::default();
        options = ReplicaOptions {
            output_pause_bytes,
            connection_output_bytes_max,
            multi_read_bytes_max,
            ..options
        };
    }
    options.authentication.super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into());
    options.txnlog.block_bytes = 512;
    options.txnlog.segment_bytes = 4 << 20;
    options.txnlog.segment_bytes_min = 1 << 20;
    options.txnlog.snap_count = 20_000;
    options
}

/// What a command is about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    count: usize,
    /// The length of each name or value, in bytes.
    length: usize,
    base: &'a str,
    /// Whether each operation has another name.
    spread: bool,
    flavour: u8,
}

impl Subject<'_> {
    fn name(self, number: usize) -> String {
        let number = if self.spread { number } else { 0 };
        let digits = format!("{number:x}");
        let padding = self.length.saturating_sub(digits.len());
        format!("{}{digits}", "n".repeat(padding))
    }

    fn path(self, number: usize) -> String {
        if !self.spread && self.length == 0 {
            return if self.base.is_empty() { "/".to_owned() } else { self.base.to_owned() };
        }
        format!("{}/{}", self.base, self.name(number))
    }
}

struct Story {
    edge: Edge,
    frame_bytes_max: usize,
    bytes_left: usize,
    requests_left: usize,
    /// The encoded ACL that requests give.
    acl: Vec<u8>,
    /// The data that requests give.
    data: Vec<u8>,
    /// A path of many parts.
    deep: String,
    ratios: Option<[[u64; MEASURES.len()]; OpCode::ALL.len() + 1]>,
}

/// The figures of a command: five in 16ths for each byte that it sent, its longest turn in units of 2 ms, `untold`
/// in µs for each unit of work, and the growth of the most memory held, in 16ths for each byte of the story.
const MEASURES: [&str; 8] =
    ["output", "log", "allocated", "held", "units", "turn", "untold", "held_max"];

impl Story {
    fn new(choices: u8, slowness: u64) -> Story {
        let options = options(choices);
        Story {
            frame_bytes_max: options.frame_bytes_max as usize,
            edge: Edge::new(options, slowness),
            bytes_left: STORY_BYTES_MAX,
            requests_left: STORY_REQUESTS_MAX,
            acl: open_acl(),
            data: Vec::new(),
            deep: String::new(),
            ratios: std::env::var_os("FUZZ_RATIOS")
                .map(|_| [[0; MEASURES.len()]; OpCode::ALL.len() + 1]),
        }
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let command = script.byte();
        let slot = usize::from(command >> 6) % CONNECTIONS_MAX;
        let sizes = script.byte();
        let place = script.byte();
        let base = BASES.get(usize::from(place & 7)).copied();
        let deep = self.deep.clone();
        let subject = Subject {
            count: COUNTS[usize::from(sizes >> 4)],
            length: LENGTHS[usize::from(sizes & 15)],
            base: base.unwrap_or(&deep),
            spread: place & 8 != 0,
            flavour: place >> 4,
        };
        let before = self.edge.sums();
        self.edge.op = None;
        self.act(command % 32, slot, subject, script);
        self.edge.story_bytes = self.acl.len() + self.data.capacity() + 2 * self.deep.capacity();
        // Without this bit, the next command may come into the same turns.
        if command & 32 == 0 {
            self.edge.settle(3000);
        }
        let sums = self.edge.sums();
        if sums.output_bytes > STORY_OUTPUT_BYTES_MAX || sums.allocated > STORY_ALLOCATED_MAX {
            self.bytes_left = 0;
            self.edge.drop_unsent();
        }
        self.measure(before, sums);
    }

    fn act(&mut self, command: u8, slot: usize, subject: Subject<'_>, script: &mut Script<'_>) {
        match command {
            0 | 1 => self.create(slot, subject),
            2 => self.multi(slot, subject, false),
            3 => self.multi(slot, subject, true),
            4 => self.paths(slot, subject, OpCode::Delete),
            5 => self.paths(slot, subject, OpCode::SetData),
            6..=8 => {
                const READS: [OpCode; 12] = [
                    OpCode::GetChildren,
                    OpCode::GetChildren2,
                    OpCode::GetData,
                    OpCode::Exists,
                    OpCode::GetAcl,
                    OpCode::GetEphemerals,
                    OpCode::WhoAmI,
                    OpCode::Sync,
                    OpCode::GetAllChildrenNumber,
                    OpCode::CheckWatches,
                    OpCode::RemoveWatches,
                    OpCode::Ping,
                ];
                self.paths(slot, subject, READS[script.below(READS.len())]);
            }
            9 | 10 => self.multi_read(slot, subject),
            11 => self.paths(slot, subject, OpCode::SetAcl),
            12 => self.auth(slot, subject),
            13 => self.acl = acl(subject),
            14 | 15 => self.set_watches(slot, subject),
            16 => self.paths(slot, subject, OpCode::AddWatch),
            17 => self.quota(slot, subject),
            18 => self.wild(slot, subject, script),
            19 => self.kinds(slot, subject, script),
            20 => {
                if let Some(connection) = self.edge.connection(slot) {
                    connection.reads = subject.flavour & 1 == 0;
                }
                self.edge.read(slot, subject.count);
            }
            21 => self.edge.close(slot),
            22 => {
                self.request(slot, OpCode::CloseSession, &[], 1);
            }
            23 => self.edge.wait(50 * u64::from(script.byte())),
            24 => self.edge.wait(1000 * u64::from(subject.flavour) + 1000),
            25 => self.edge.disk_waits = subject.flavour & 1 == 0,
            26 => self.edge.request_snapshot(),
            27 => self.deepen(slot, subject),
            28 => {
                self.edge.room =
                    if subject.flavour == 0 { usize::MAX } else { subject.count * subject.length };
            }
            29 => self.data = data(subject, script),
            30 => self.introduce(slot, self.edge.session(usize::from(subject.flavour))),
            _ => self.edge.settle(usize::from(script.byte() % 16)),
        }
    }

    /// Opens the connection if it is not there.
    fn introduce(&mut self, slot: usize, session: Option<(SessionId, [u8; 16])>) {
        if self.edge.connection(slot).is_some() {
            return;
        }
        self.edge.open(slot);
        let (session_id, password) = session.unwrap_or((SessionId::NONE, [0; 16]));
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session_id,
            password: Some(&password),
            read_only: Some(false),
        };
        let connection = self.edge.connection(slot).expect("it was opened");
        connection.witness.introduced = true;
        self.edge.send(slot, framed(&request.to_bytes()), 1);
    }

    /// Sends a request. Returns `false` if the request is longer than a server reads, or the story is long enough.
    fn request(&mut self, slot: usize, op: OpCode, body: &[u8], operations: usize) -> bool {
        let bytes = 12 + body.len();
        if bytes > self.frame_bytes_max || bytes > self.bytes_left || self.requests_left == 0 {
            return false;
        }
        self.bytes_left -= bytes;
        self.requests_left -= 1;
        self.introduce(slot, None);
        let connection = self.edge.connection(slot).expect("it is open");
        let xid = match op {
            OpCode::Ping => -2,
            OpCode::Auth => -4,
            OpCode::SetWatches | OpCode::SetWatches2 => -8,
            _ => {
                connection.xid += 1;
                connection.xid
            }
        };
        match op {
            OpCode::Auth => {}
            OpCode::DeleteContainer | OpCode::Sasl => connection.witness.wild = true,
            _ => connection.witness.expected.push_back((xid, op)),
        }
        self.edge.op = Some(op);
        let mut frame = Vec::with_capacity(bytes);
        frame.extend_from_slice(&u32::try_from(bytes - 4).expect("a frame fits").to_be_bytes());
        RequestHeader { xid, op: op.number() }.encode(&mut frame);
        frame.extend_from_slice(body);
        self.edge.send(slot, frame, operations as u64);
        true
    }

    fn create(&mut self, slot: usize, subject: Subject<'_>) {
        for number in 0..subject.count.min(self.requests_left) {
            let path = subject.path(number);
            let mut body = Vec::new();
            let op = self.encode_create(subject.flavour, &path, &mut body);
            if !self.request(slot, op, &body, 1) {
                return;
            }
        }
    }

    fn encode_create(&self, flavour: u8, path: &str, body: &mut Vec<u8>) -> OpCode {
        let (op, flags) = match flavour % 8 {
            4 => (OpCode::CreateContainer, 4),
            5 => (OpCode::CreateTtl, 5),
            6 => (OpCode::Create2, 3),
            7 => (OpCode::Create2, 0),
            mode => (OpCode::Create, i32::from(mode)),
        };
        Some(path).encode(body);
        Some(&self.data[..]).encode(body);
        body.extend_from_slice(&self.acl);
        flags.encode(body);
        if op == OpCode::CreateTtl {
            1000i64.encode(body);
        }
        op
    }

    /// Sends one request about each path of the subject.
    fn paths(&mut self, slot: usize, subject: Subject<'_>, op: OpCode) {
        for number in 0..subject.count.min(self.requests_left) {
            let path = subject.path(number);
            let path = Some(path.as_str());
            let version = if subject.flavour & 8 == 0 { -1 } else { 0 };
            let watch = subject.flavour & 1 == 1;
            let kind = i32::from(subject.flavour & 7);
            let body = match op {
                OpCode::Delete => RequestBody::PathVersion(PathVersion { path, version }),
                OpCode::SetData => {
                    RequestBody::SetData(SetDataRequest { path, data: Some(&self.data), version })
                }
                OpCode::AddWatch => RequestBody::PathKind(PathKind { path, kind: kind & 1 }),
                OpCode::CheckWatches | OpCode::RemoveWatches => {
                    RequestBody::PathKind(PathKind { path, kind })
                }
                OpCode::WhoAmI | OpCode::Ping => RequestBody::Empty,
                OpCode::GetAcl
                | OpCode::Sync
                | OpCode::GetEphemerals
                | OpCode::GetAllChildrenNumber => RequestBody::Path(PathRequest { path }),
                _ => RequestBody::PathWatch(PathWatch { path, watch }),
            };
            let mut bytes = Vec::new();
            match op {
                OpCode::SetAcl => {
                    path.encode(&mut bytes);
                    bytes.extend_from_slice(&self.acl);
                    version.encode(&mut bytes);
                }
                _ => body.encode(op, &mut bytes),
            }
            if !self.request(slot, op, &bytes, 1) {
                return;
            }
        }
    }

    /// Sends one multi of as many operations as fit; its end may be missing, or wrong.
    fn multi(&mut self, slot: usize, subject: Subject<'_>, mixed: bool) {
        let mut body = Vec::new();
        let mut operations = 0;
        for number in 0..subject.count {
            let path = subject.path(number);
            let start = body.len();
            let path_version = PathVersion { path: Some(&path), version: -1 };
            match (mixed, subject.flavour % 8) {
                (false, flavour) => {
                    let mut create = Vec::new();
                    let op = self.encode_create(flavour, &path, &mut create);
                    multi_header(op, &mut body);
                    body.extend_from_slice(&create);
                }
                (true, 0) => encode_op(&MultiOp::Delete(path_version), &mut body),
                (true, 1) => encode_op(&MultiOp::Check(path_version), &mut body),
                (true, 2) => {
                    let data = Some(&self.data[..]);
                    let request = SetDataRequest { path: Some(&path), data, version: -1 };
                    encode_op(&MultiOp::SetData(request), &mut body);
                }
                (true, _) => {
                    // A node that the multi creates and deletes again.
                    let mut create = Vec::new();
                    let op = self.encode_create(0, &path, &mut create);
                    multi_header(op, &mut body);
                    body.extend_from_slice(&create);
                    encode_op(&MultiOp::Delete(path_version), &mut body);
                }
            }
            if body.len() + 40 > self.frame_bytes_max {
                body.truncate(start);
                break;
            }
            operations += 1;
        }
        match subject.flavour {
            0..8 => multi_end(&mut body),
            // The last operation fails, so the server undoes all operations before it.
            8..12 => {
                let missing = PathVersion { path: Some("/missing"), version: -1 };
                encode_op(&MultiOp::Check(missing), &mut body);
                multi_end(&mut body);
            }
            _ => {}
        }
        self.request(slot, OpCode::Multi, &body, operations + 1);
    }

    fn multi_read(&mut self, slot: usize, subject: Subject<'_>) {
        let mut body = Vec::new();
        let mut operations = 0;
        for number in 0..subject.count {
            let path = subject.path(number);
            let request = PathWatch { path: Some(&path), watch: false };
            let op = match subject.flavour % 2 {
                0 => MultiOp::GetChildren(request),
                _ => MultiOp::GetData(request),
            };
            let start = body.len();
            encode_op(&op, &mut body);
            if body.len() + 40 > self.frame_bytes_max {
                body.truncate(start);
                break;
            }
            operations += 1;
        }
        multi_end(&mut body);
        for _ in 0..COUNTS[usize::from(subject.flavour / 2)] {
            if !self.request(slot, OpCode::MultiRead, &body, operations) {
                return;
            }
        }
    }

    fn auth(&mut self, slot: usize, subject: Subject<'_>) {
        for number in 0..subject.count.min(self.requests_left) {
            let auth = match subject.flavour {
                0 => "super:secret".to_owned(),
                1 => format!("{}:", subject.name(number)),
                _ => format!("{}:p", subject.name(number)),
            };
            let scheme = Some("digest");
            let packet = AuthPacket { packet_type: 0, scheme, auth: Some(auth.as_bytes()) };
            if !self.request(slot, OpCode::Auth, &packet.to_bytes(), 1) {
                return;
            }
        }
    }

    fn set_watches(&mut self, slot: usize, subject: Subject<'_>) {
        let mut list: VectorBuf<Option<&'static str>> = VectorBuf::default();
        for number in 0..subject.count {
            if list.bytes() + subject.base.len() + subject.length + 60 > self.frame_bytes_max {
                break;
            }
            list.push(&Some(subject.path(number).as_str()));
        }
        let empty: VectorBuf<Option<&'static str>> = VectorBuf::default();
        let place = usize::from(subject.flavour % 5);
        let lists: [_; 5] = std::array::from_fn(|at| if at == place { &list } else { &empty });
        let request = SetWatchesRequest {
            relative_zxid: Zxid(if subject.flavour < 8 { 0 } else { i64::MAX }),
            data: lists[0].as_vector(),
            exist: lists[1].as_vector(),
            child: lists[2].as_vector(),
            persistent: lists[3].as_vector(),
            persistent_recursive: lists[4].as_vector(),
        };
        let mut body = Vec::new();
        request.encode(OpCode::SetWatches2, &mut body);
        self.request(slot, OpCode::SetWatches2, &body, list.len());
    }

    /// Creates limits and figures of a path with a quota, with a text of some length.
    fn quota(&mut self, slot: usize, subject: Subject<'_>) {
        let data = std::mem::take(&mut self.data);
        let junk = "9".repeat(subject.length);
        let text = match subject.flavour % 4 {
            0 => format!("count=-1,bytes=-1{}", ",x=1".repeat(subject.length / 4)),
            1 => format!("count={junk},bytes=1"),
            2 => format!("count=1,bytes=1;byteHardLimit=1;countHardLimit=1;{junk}"),
            _ => junk,
        };
        for name in ["zookeeper_limits", "zookeeper_stats"] {
            let mut path = String::from("/zookeeper/quota");
            for part in subject.base.split('/').skip(1).chain([name]) {
                path.push('/');
                path.push_str(part);
                self.data.clear();
                if part == name {
                    self.data.extend_from_slice(text.as_bytes());
                }
                let mut body = Vec::new();
                let op = self.encode_create(0, &path, &mut body);
                self.request(slot, op, &body, 1);
            }
        }
        self.data = data;
    }

    /// Sends a request whose body is a few bytes, repeated.
    fn wild(&mut self, slot: usize, subject: Subject<'_>, script: &mut Script<'_>) {
        let op = OpCode::ALL[script.below(OpCode::ALL.len())];
        let length = script.below(32);
        let pattern: Vec<u8> = (0..length).map(|_| script.byte()).collect();
        let head: Vec<u8> = (0..script.below(32)).map(|_| script.byte()).collect();
        let times = subject.length.min(self.frame_bytes_max / length.max(1));
        let body = [head, pattern.repeat(times)].concat();
        for _ in 0..subject.count.min(self.requests_left) {
            self.introduce(slot, None);
            if let Some(connection) = self.edge.connection(slot) {
                connection.witness.wild = true;
            }
            if !self.request(slot, op, &body, times) {
                return;
            }
        }
    }

    /// Sends requests of any kind about a few paths.
    fn kinds(&mut self, slot: usize, subject: Subject<'_>, script: &mut Script<'_>) {
        let op = OPS[script.below(OPS.len())];
        let mut body = Vec::new();
        encode_body(op, script, &mut body);
        for _ in 0..subject.count.min(self.requests_left) {
            if !self.request(slot, op, &body, 5) {
                return;
            }
        }
    }

    /// Creates nodes below each other.
    fn deepen(&mut self, slot: usize, subject: Subject<'_>) {
        for _ in 0..subject.count.min(3000) {
            let name = subject.name(0);
            if self.deep.len() + name.len() > 20_000 {
                return;
            }
            self.deep.push('/');
            self.deep.push_str(&name);
            let mut body = Vec::new();
            let op = self.encode_create(subject.flavour, &self.deep, &mut body);
            if !self.request(slot, op, &body, 1) {
                return;
            }
        }
    }

    /// Tells the engine the figures of a command.
    fn measure(&mut self, before: Sums, after: Sums) {
        let sent = (after.request_bytes - before.request_bytes).max(16);
        let each = |figure: u64| figure.saturating_mul(16) / sent;
        let figures: [u64; MEASURES.len()] = [
            each(after.output_bytes - before.output_bytes),
            each(after.log_bytes - before.log_bytes),
            each(after.allocated - before.allocated),
            each(after.held.saturating_sub(before.held)),
            each(after.units - before.units),
            // The figure is coarse, because the time of a turn is never the same twice.
            after.turn_cpu_us_max / 2000,
            after.untold_max / 16,
            16 * (after.held_max - before.held_max) / after.request_bytes.max(64 << 10),
        ];
        let op = self.edge.op;
        let place =
            OpCode::ALL.iter().position(|one| Some(*one) == op).unwrap_or(OpCode::ALL.len());
        for (measure, figure) in figures.into_iter().enumerate() {
            meter::guide(place * MEASURES.len() + measure, figure);
        }
        if let Some(ratios) = &mut self.ratios {
            for (most, figure) in ratios[place].iter_mut().zip(figures) {
                *most = figure.max(*most);
            }
        }
    }
}

const _: () = assert!((OpCode::ALL.len() + 1) * MEASURES.len() <= meter::GUIDE_ROWS);

impl Drop for Story {
    /// Prints the largest figures, if `FUZZ_RATIOS` is set.
    fn drop(&mut self) {
        for (place, figures) in self.ratios.iter().flatten().enumerate() {
            let op = OpCode::ALL.get(place).map_or("none".to_owned(), |op| format!("{op:?}"));
            for (name, figure) in MEASURES.iter().zip(figures).filter(|(_, figure)| **figure > 0) {
                println!("ratio {op} {name} {figure}");
            }
        }
    }
}

fn open_acl() -> Vec<u8> {
    let mut acl: VectorBuf<AclEntry<'static>> = VectorBuf::default();
    let id = Id { scheme: Some("world"), id: Some("anyone") };
    acl.push(&AclEntry { perms: 31, id });
    encoded(&acl)
}

fn encoded(acl: &VectorBuf<AclEntry<'static>>) -> Vec<u8> {
    let acl: AclVector<'_> = acl.as_vector();
    acl.to_bytes()
}

fn acl(subject: Subject<'_>) -> Vec<u8> {
    if subject.flavour == 0 {
        return open_acl();
    }
    let mut acl: VectorBuf<AclEntry<'static>> = VectorBuf::default();
    for number in 0..subject.count {
        if acl.bytes() + subject.length > 200_000 {
            break;
        }
        let perms = if subject.flavour & 8 == 0 { 31 } else { 1 };
        let name = subject.name(number);
        let (scheme, id) = match subject.flavour % 8 {
            1 => ("auth", String::new()),
            2 => ("world", "anyone".to_owned()),
            3 => ("digest", format!("{name}:x1nq8J5GOJVPY6zgzhtTtA9izLc=")),
            4 => ("ip", format!("10.{}.{}.0/24", number / 256 % 256, number % 256)),
            5 => ("ip", format!("::{number:x}/128")),
            6 => ("digest", format!("u:{name}")),
            _ => ("auth", name),
        };
        acl.push(&AclEntry { perms, id: Id { scheme: Some(scheme), id: Some(&id) } });
    }
    encoded(&acl)
}

fn data(subject: Subject<'_>, script: &mut Script<'_>) -> Vec<u8> {
    match subject.flavour % 4 {
        0 => vec![b'v'; subject.length],
        1 => b"count=1,bytes=5;byteHardLimit=5;countHardLimit=1".to_vec(),
        2 => format!("count={},bytes=5", "1".repeat(subject.length)).into_bytes(),
        _ => vec![script.byte(); subject.length],
    }
}

fn multi_header(op: OpCode, out: &mut Vec<u8>) {
    ringkeeper::proto::response::MultiHeader { op: op.number(), done: false, err: -1 }.encode(out);
}

fn multi_end(out: &mut Vec<u8>) {
    ringkeeper::proto::response::MultiHeader::END.encode(out);
}

fn encode_op(op: &MultiOp<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    ringkeeper::proto::request::encode_multi(std::slice::from_ref(op), out);
    // The caller appends the end of the whole multi.
    let mut end = Vec::new();
    multi_end(&mut end);
    assert!(out.ends_with(&end) && out.len() > start + end.len(), "a multi ends");
    out.truncate(out.len() - end.len());
}
