//! A plan about time, written by hand: each wait lets exactly one thing happen, so that both servers do it at the
//! same place in the order.

use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, OPEN_ACL};

use crate::draft::Draft;
use crate::plan::{Connect, Plan, Request, Step};
use crate::profile::Profile;

const WATCHER: usize = 0;
const WORKER: usize = 1;
const SHORT_LIVED: usize = 2;

/// The expiry of a session, of used and never used containers, and of TTL nodes, with a recursive watch on
/// everything.
///
/// # Panics
/// If there is no profile `timers`.
pub fn timers() -> Plan {
    let profile = Profile::named("timers").expect("the profile of this plan");
    let short = Connect::New { timeout_ms: 800, read_only: Some(false) };
    let steps = vec![
        request(WORKER, OpCode::Create, Body::create("/p", Some(b""), OPEN_ACL, 0), "/p"),
        request(WATCHER, OpCode::AddWatch, Body::new().text("/").int(1), "/ recursive"),
        // A session that falls silent: its connection is closed, its nodes vanish, it cannot be resumed.
        Step::Connect(SHORT_LIVED, short),
        ephemeral("/p/e", 1),
        ephemeral("/p/s-", 3),
        request(SHORT_LIVED, OpCode::GetEphemerals, Body::path("/"), "/"),
        Step::Wait(3_000),
        Step::Connect(SHORT_LIVED, Connect::Resume),
        read("/p"),
        // Once more after the connection is gone.
        Step::Connect(SHORT_LIVED, short),
        ephemeral("/p/f", 1),
        Step::Drop(SHORT_LIVED),
        Step::Wait(3_000),
        Step::Connect(SHORT_LIVED, Connect::Resume),
        read("/p"),
        // A session that comes back in time keeps its nodes.
        Step::Connect(SHORT_LIVED, Connect::New { timeout_ms: 60_000, read_only: None }),
        ephemeral("/p/g", 1),
        Step::Drop(SHORT_LIVED),
        Step::Wait(1_000),
        Step::Connect(SHORT_LIVED, Connect::Resume),
        request(SHORT_LIVED, OpCode::GetEphemerals, Body::path("/p"), "/p"),
        // A container goes when its last child has gone.
        container("/k"),
        request(WORKER, OpCode::Create, Body::create("/k/x", None, OPEN_ACL, 0), "/k/x"),
        Step::Wait(600),
        request(WORKER, OpCode::Delete, Body::path_version("/k/x", -1), "/k/x"),
        Step::Wait(1_000),
        read("/k"),
        // A container that never had a child, after its time.
        container("/n"),
        Step::Wait(300),
        read("/n"),
        Step::Wait(2_500),
        read("/n"),
        // A TTL node without children; a change starts its time anew.
        ttl("/t", 1_500),
        Step::Wait(800),
        request(WORKER, OpCode::SetData, Body::set_data("/t", Some(b"2"), -1), "/t"),
        Step::Wait(1_000),
        read("/t"),
        Step::Wait(2_000),
        read("/t"),
        // A TTL node with a child stays.
        ttl("/u", 500),
        request(WORKER, OpCode::Create, Body::create("/u/c", None, OPEN_ACL, 0), "/u/c"),
        Step::Wait(1_500),
        read("/u"),
        request(WORKER, OpCode::Delete, Body::path_version("/u/c", -1), "/u/c"),
        Step::Wait(1_500),
        read("/u"),
        Step::PingAll,
    ];
    Plan::scripted(profile, steps)
}

fn request(slot: usize, op: OpCode, body: Body, words: &str) -> Step {
    let draft = Draft::new(op.name()).body(body, words);
    Step::Request(slot, Request::new(op.number(), draft).closing(op == OpCode::CloseSession))
}

fn ephemeral(path: &str, flags: i32) -> Step {
    request(SHORT_LIVED, OpCode::Create2, Body::create(path, Some(b"e"), OPEN_ACL, flags), path)
}

fn container(path: &str) -> Step {
    request(WORKER, OpCode::CreateContainer, Body::create(path, None, OPEN_ACL, 4), path)
}

fn ttl(path: &str, ttl_ms: i64) -> Step {
    request(WORKER, OpCode::CreateTtl, Body::create_ttl(path, None, OPEN_ACL, 5, ttl_ms), path)
}

fn read(path: &str) -> Step {
    request(WORKER, OpCode::GetChildren2, Body::path_watch(path, false), path)
}
