//! The replica of ringkeeper in this process, on one core: no sockets, no disk, no other thread. The measurement
//! shows what a request costs the one object through which all requests go.
//!
//! Fifty clients pipeline 32 requests each; the disk does everything at once; there are ten thousand znodes. The
//! measure is the processor time of the thread, so that a busy machine does not count.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::{ConnectionId, SessionId, Zxid};
use ringkeeper::io::{Completion, Done, Op};
use ringkeeper::jute::{Jute, VectorBuf};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::connect::ConnectRequest;
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::request::{
    CreateRequest, MultiOp, PathVersion, PathWatch, RequestBody, RequestHeader, SetDataRequest,
};
use ringkeeper::recovery::Recovered;
use ringkeeper::replica::{Output, Replica, ReplicaOptions};
use ringkeeper::time::{MonoUs, Now, WallMs};
use rustix::time::{ClockId, clock_gettime};

use crate::result::float;

const CLIENTS: u64 = 50;
const PIPELINED: u64 = 32;
/// The requests that all clients together send before the replica answers.
pub const TURN: u64 = CLIENTS * PIPELINED;
const ZNODES: u64 = 10_000;
const DATA: [u8; 100] = [7; 100];
/// The parent of all nodes.
const TOP: &str = "/bench";
/// The warm-up is one part in this many of the measured time; memory that is used for the first time costs more.
const WARM_UP_PART: u32 = 5;

/// A replica with its clients.
pub struct Core {
    replica: Replica,
    output: Output,
    now: Now,
    answered: u64,
    /// The number of requests made so far, so that no two turns make the same ones.
    made: u64,
    connections: u64,
    /// The longest call of the replica since somebody set this; `None` while no caller asks for it.
    longest: Option<Duration>,
}

/// Requests of all clients, one buffer each.
#[derive(Debug)]
pub struct Batch(Vec<(ConnectionId, Vec<u8>)>);

/// A kind of request.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name, such as `getData`.
    pub name: &'static str,
    make: Make,
}

/// The way in which requests of a kind are made.
#[derive(Debug, Clone, Copy)]
enum Make {
    /// Requests about nodes that exist and stay, made by their number.
    OnWhatIsThere(fn(u64) -> Request),
    /// Creates with these flags. The nodes are deleted off the clock, or the tree would grow with the speed.
    Creates(i32),
    /// Deletes of nodes that are made off the clock.
    Deletes,
}

/// Its operation and its body.
pub(crate) type Request = (OpCode, Vec<u8>);

/// All kinds.
pub const KINDS: [Kind; 10] = [
    Kind { name: "ping", make: Make::OnWhatIsThere(|_| (OpCode::Ping, Vec::new())) },
    Kind { name: "exists", make: Make::OnWhatIsThere(|n| read(OpCode::Exists, &path(n), false)) },
    Kind { name: "getData", make: Make::OnWhatIsThere(|n| read(OpCode::GetData, &path(n), false)) },
    Kind {
        name: "getData with a watch",
        make: Make::OnWhatIsThere(|n| read(OpCode::GetData, &path(n), true)),
    },
    Kind {
        name: "setData",
        make: Make::OnWhatIsThere(|n| body(OpCode::SetData, &RequestBody::SetData(set(&path(n))))),
    },
    Kind { name: "multi of three setData", make: Make::OnWhatIsThere(multi) },
    Kind { name: "create", make: Make::Creates(0) },
    Kind { name: "create ephemeral", make: Make::Creates(1) },
    Kind { name: "create sequential", make: Make::Creates(2) },
    Kind { name: "delete", make: Make::Deletes },
];

/// Requests of a kind that one core answers in a second, measured for `time`.
pub fn per_second(core: &mut Core, kind: &Kind, time: Duration) -> f64 {
    let mut took = Duration::ZERO;
    while took < time / WARM_UP_PART {
        took += core.turn(kind, TURN);
    }
    let (mut took, mut turns) = (Duration::ZERO, 0);
    while took < time {
        took += core.turn(kind, TURN);
        turns += 1;
    }
    float(turns * TURN) / took.as_secs_f64()
}

impl Core {
    /// A replica with clients and znodes.
    ///
    /// # Panics
    /// If the replica does not answer as it must, here and in the other methods.
    pub fn new() -> Core {
        let now = Now { wall: WallMs(1_700_000_000_000), mono: MonoUs(0) };
        let recovered = Recovered {
            database: Database::new(DatabaseOptions::default()),
            zxid: Zxid::ZERO,
            epochs: None,
            snapshot: None,
            txns: 0,
            gaps: false,
            recent: VecDeque::new(),
            notes: Vec::new(),
            news: Vec::new(),
        };
        let replica = Replica::new(ReplicaOptions::default(), recovered, now, 1);
        let output = Output::default();
        let mut core =
            Core { replica, output, now, answered: 0, made: 0, connections: 0, longest: None };
        core.settle();
        for _ in 0..CLIENTS {
            core.connect();
        }
        core.populate();
        core
    }

    /// Connects one more client, with a session.
    pub(crate) fn connect(&mut self) -> ConnectionId {
        self.connections += 1;
        let conn = ConnectionId(self.connections);
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        self.replica.handle_open(self.now, conn, client);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 30_000,
            session_id: SessionId::NONE,
            password: None,
            read_only: None,
        };
        self.replica.handle_frames(self.now, conn, &frame(&request.to_bytes()));
        self.settle();
        conn
    }

    /// Lets one client send one request, and returns the longest call of the replica until the answer.
    pub(crate) fn request(&mut self, conn: ConnectionId, request: &Request) -> Duration {
        let (op, body) = request;
        let mut payload = RequestHeader { xid: 1, op: op.number() }.to_bytes();
        payload.extend_from_slice(body);
        let framed = frame(&payload);
        let answered = self.answered;
        self.longest = Some(Duration::ZERO);
        self.call(|replica, now| replica.handle_frames(now, conn, &framed));
        self.settle();
        assert_eq!(self.answered - answered, 1, "{op:?} was answered");
        self.longest.take().expect("it was set above")
    }

    /// Ends a client's connection, and returns the longest call of the replica until nothing is left of it.
    pub(crate) fn disconnect(&mut self, conn: ConnectionId) -> Duration {
        self.longest = Some(Duration::ZERO);
        self.call(|replica, now| replica.handle_close(now, conn));
        self.settle();
        while self.replica.next_timeout().is_some_and(|at| at <= self.now.mono) {
            self.settle();
        }
        self.longest.take().expect("it was set above")
    }

    /// Calls the replica, and times the call if a caller asks for the longest one.
    fn call(&mut self, call: impl FnOnce(&mut Replica, Now)) {
        let Some(longest) = self.longest else { return call(&mut self.replica, self.now) };
        let begun = thread_time();
        call(&mut self.replica, self.now);
        self.longest = Some(longest.max(thread_time() - begun));
    }

    /// Makes `count` requests, at most [`TURN`], sends them all, and returns the processor time of this thread until
    /// all are answered. The time to make nodes before, or to remove them after it, does not count.
    pub fn turn(&mut self, kind: &Kind, count: u64) -> Duration {
        let parent = node(0);
        let new = |n: u64| format!("{parent}/c-{n}");
        let batch = match kind.make {
            Make::OnWhatIsThere(make) => self.batch(count, make),
            Make::Creates(flags) => self.batch(count, |n| create(&new(n), flags)),
            Make::Deletes => {
                let creates = self.batch(count, |n| create(&new(n), 0));
                self.send(&creates);
                self.batch(count, |n| delete(&new(n - count)))
            }
        };
        let answered = self.answered;
        let begun = thread_time();
        self.send(&batch);
        let took = thread_time() - begun;
        assert_eq!(self.answered - answered, count, "every request was answered");
        match kind.make {
            Make::OnWhatIsThere(_) => {}
            Make::Creates(_) => self.clear(&parent, count),
            Make::Deletes => self.clear(&parent, 0),
        }
        took
    }

    fn populate(&mut self) {
        let batch = self.batch(1, |_| create(TOP, 0));
        self.send(&batch);
        self.made = 0;
        while self.made < ZNODES {
            let batch = self.batch(1000, |n| create(&node(n), 0));
            self.send(&batch);
        }
        assert_eq!(self.children(TOP).len(), usize::try_from(ZNODES).expect("64 bits"));
    }

    /// A batch of `count` requests, dealt out to the clients in turn; `make` turns the number of each into a
    /// request.
    fn batch(&mut self, count: u64, make: impl Fn(u64) -> Request) -> Batch {
        let mut batch: Vec<_> = (1..=CLIENTS).map(|id| (ConnectionId(id), Vec::new())).collect();
        let clients = batch.len();
        for (n, client) in (self.made..self.made + count).zip((0..clients).cycle()) {
            let (op, body) = make(n);
            let mut payload = RequestHeader { xid: 1, op: op.number() }.to_bytes();
            payload.extend_from_slice(&body);
            batch[client].1.extend_from_slice(&frame(&payload));
        }
        batch.retain(|(_, frames)| !frames.is_empty());
        self.made += count;
        Batch(batch)
    }

    /// Sends all requests, and then runs turns until all are answered.
    fn send(&mut self, batch: &Batch) {
        for (conn, frames) in &batch.0 {
            self.replica.handle_frames(self.now, *conn, frames);
        }
        self.settle();
    }

    /// Deletes the nodes under `parent`; there must be `expected` of them.
    fn clear(&mut self, parent: &str, expected: u64) {
        let paths = self.children(parent);
        assert_eq!(paths.len(), usize::try_from(expected).expect("64 bits"), "all were made");
        let made = self.made;
        let path = |n: u64| &paths[usize::try_from(n - made).expect("64 bits")];
        let batch = self.batch(expected, |n| delete(path(n)));
        self.send(&batch);
    }

    fn children(&self, parent: &str) -> Vec<String> {
        let parent = self.replica.database().node(parent).expect("a node that was made");
        parent.children().map(|name| format!("{}/{name}", parent.path())).collect()
    }

    /// Runs turns until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let mut output = std::mem::take(&mut self.output);
            self.call(|replica, _| replica.take_output(&mut output));
            self.output = output;
            assert!(self.output.fatal.is_none(), "{:?}", self.output.fatal);
            let sends = std::mem::take(&mut self.output.sends);
            for send in sends {
                self.answered += u64::from(send.answered);
                self.replica.handle_written(self.now, send.conn, send.reported_bytes());
                self.output.recycle(send.bytes);
            }
            if self.output.ops.is_empty() && !self.replica.has_somebody_in_line() {
                return;
            }
            let ops: Vec<Op> = self.output.ops.drain(..).collect();
            for op in ops {
                let token = op.token();
                let done = match op {
                    Op::LogWrite { buf, .. } => Done::Buffer(buf),
                    Op::SnapshotWrite { mut bytes, .. } => {
                        bytes.clear();
                        Done::Bytes(bytes)
                    }
                    _ => Done::Plain,
                };
                let completion = Completion { token, result: Ok(done) };
                self.call(|replica, now| replica.handle_completion(now, completion));
            }
        }
    }
}

impl Default for Core {
    fn default() -> Core {
        Core::new()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        assert_eq!(self.replica.database().digest_mismatches(), 0);
    }
}

/// The time that this thread was on a core.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("time since the thread began")
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short request");
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(payload);
    frame
}

pub(crate) fn body(op: OpCode, body: &RequestBody<'_>) -> Request {
    let mut out = Vec::new();
    body.encode(op, &mut out);
    (op, out)
}

/// The ACL that allows everybody everything.
pub(crate) fn open_acl() -> VectorBuf<AclEntry<'static>> {
    let mut acl = VectorBuf::default();
    let id = Id { scheme: Some("world"), id: Some("anyone") };
    acl.push(&AclEntry { perms: 31, id });
    acl
}

fn create(path: &str, flags: i32) -> Request {
    let acl = open_acl();
    let acl = acl.as_vector();
    let request = CreateRequest { path: Some(path), data: Some(&DATA), acl, flags };
    body(OpCode::Create, &RequestBody::Create(request))
}

fn delete(path: &str) -> Request {
    let request = PathVersion { path: Some(path), version: -1 };
    body(OpCode::Delete, &RequestBody::PathVersion(request))
}

pub(crate) fn read(op: OpCode, path: &str, watch: bool) -> Request {
    body(op, &RequestBody::PathWatch(PathWatch { path: Some(path), watch }))
}

fn set(path: &str) -> SetDataRequest<'_> {
    SetDataRequest { path: Some(path), data: Some(&DATA), version: -1 }
}

fn multi(n: u64) -> Request {
    let paths = [path(n), path(n + 1), path(n + 2)];
    let parts = paths.iter().map(|path| MultiOp::SetData(set(path))).collect();
    body(OpCode::Multi, &RequestBody::Multi(parts))
}

fn node(n: u64) -> String {
    format!("{TOP}/node-{n:018}")
}

/// The path of one of the existing nodes; consecutive numbers lie far apart.
fn path(n: u64) -> String {
    node(n.wrapping_mul(0x9e37_79b9) % ZNODES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_request_is_answered_and_leaves_the_tree_as_it_was() {
        let mut core = Core::new();
        let before = core.children(TOP).len();
        for kind in &KINDS {
            core.turn(kind, 60);
            assert_eq!(core.children(TOP).len(), before, "{}", kind.name);
            assert!(core.children(&node(0)).is_empty(), "{}", kind.name);
        }
    }

    #[test]
    fn a_rate_is_of_the_time_that_was_asked_for() {
        let mut core = Core::new();
        let made = core.made;
        let rate = per_second(&mut core, &KINDS[0], Duration::from_millis(20));
        assert!(rate.is_finite() && rate > 0.0);
        assert!(core.made >= made + 2 * TURN, "{made} {}", core.made);
    }
}
