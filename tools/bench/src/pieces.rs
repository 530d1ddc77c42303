//! How long ringkeeper's core does one thing without looking at anything else. All clients wait meanwhile, and a
//! leader's packets to its followers wait too.
//!
//! Each piece is a request, or the end of a session, that is as large as the limits allow. The figure is the longest
//! call of the replica on the way from the request to its answer, in processor time of the thread.

use std::time::Duration;

use ringkeeper::id::{ConnectionId, Zxid};
use ringkeeper::jute::VectorBuf;
use ringkeeper::limits;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::request::{
    CreateRequest, MultiOp, PathVersion, RequestBody, SetDataRequest, SetWatchesRequest,
};

use crate::in_process::{Core, Request, body, open_acl, read};

/// The parent of all nodes of a piece.
const TOP: &str = "/p";
/// Nodes that one multi makes.
const NODES_AT_ONCE: usize = 2000;
/// Children of the node whose children are listed.
const CHILDREN: usize = 100_000;
/// Watches of the connection that ends.
const WATCHES: usize = 100_000;
/// Watches that are set again in one request.
const WATCHES_AGAIN: usize = 30_000;
/// Connections with a recursive watch on the root each, as many as one address may have by default.
const WATCHERS: usize = 60;

/// One long piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Its name in results.
    pub name: &'static str,
    measure: fn(&mut Core) -> Duration,
}

impl Piece {
    /// Runs the piece in a replica of its own, and returns the longest call.
    pub fn longest(&self) -> Duration {
        let mut core = Core::new();
        let one = core.connect();
        core.request(one, &create(TOP));
        (self.measure)(&mut core)
    }
}

/// All pieces.
pub const PIECES: [Piece; 9] = [
    Piece { name: "multi of 10 000 checks", measure: checks },
    Piece { name: "multi of 10 000 creates", measure: creates },
    Piece { name: "multi of 10 000 setData", measure: |core| sets(core, 0) },
    Piece { name: "multi of 10 000 setData, 60 watchers", measure: |core| sets(core, WATCHERS) },
    Piece { name: "closeSession of 20 000 ephemerals", measure: close_session },
    Piece { name: "getEphemerals of 20 000", measure: get_ephemerals },
    Piece { name: "getChildren of 100 000", measure: children },
    Piece { name: "setWatches of 30 000", measure: set_watches },
    Piece { name: "the end of 100 000 watches", measure: watches_end },
];

fn create(path: &str) -> Request {
    let acl = open_acl();
    let request =
        CreateRequest { path: Some(path), data: Some(&[]), acl: acl.as_vector(), flags: 0 };
    body(OpCode::Create, &RequestBody::Create(request))
}

fn multi(parts: Vec<MultiOp<'_>>) -> Request {
    body(OpCode::Multi, &RequestBody::Multi(parts))
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{TOP}/n{n:07}")).collect()
}

fn make(paths: &[String], flags: i32) -> Request {
    let acl = open_acl();
    let acl = acl.as_vector();
    let requests =
        paths.iter().map(|path| CreateRequest { path: Some(path), data: Some(&[]), acl, flags });
    multi(requests.map(|request| MultiOp::Create(OpCode::Create, request)).collect())
}

fn fill(core: &mut Core, conn: ConnectionId, count: usize, flags: i32) -> Vec<String> {
    let paths = paths(count);
    for some in paths.chunks(NODES_AT_ONCE) {
        core.request(conn, &make(some, flags));
    }
    paths
}

fn checks(core: &mut Core) -> Duration {
    let conn = core.connect();
    let check = MultiOp::Check(PathVersion { path: Some(TOP), version: -1 });
    core.request(conn, &multi(vec![check; limits::MULTI_OPERATIONS_MAX]))
}

fn creates(core: &mut Core) -> Duration {
    let conn = core.connect();
    core.request(conn, &make(&paths(limits::MULTI_OPERATIONS_MAX), 0))
}

fn sets(core: &mut Core, watchers: usize) -> Duration {
    let conn = core.connect();
    let paths = fill(core, conn, limits::MULTI_OPERATIONS_MAX, 0);
    for _ in 0..watchers {
        let watcher = core.connect();
        core.request(watcher, &add_watch("/"));
    }
    let requests =
        paths.iter().map(|path| SetDataRequest { path: Some(path), data: Some(&[]), version: -1 });
    core.request(conn, &multi(requests.map(MultiOp::SetData).collect()))
}

fn add_watch(path: &str) -> Request {
    const PERSISTENT_RECURSIVE: i32 = 1;
    let request =
        ringkeeper::proto::request::PathKind { path: Some(path), kind: PERSISTENT_RECURSIVE };
    body(OpCode::AddWatch, &RequestBody::PathKind(request))
}

fn close_session(core: &mut Core) -> Duration {
    let conn = core.connect();
    fill(core, conn, limits::EPHEMERALS_PER_SESSION_MAX, 1);
    core.request(conn, &(OpCode::CloseSession, Vec::new()))
}

fn get_ephemerals(core: &mut Core) -> Duration {
    let conn = core.connect();
    fill(core, conn, limits::EPHEMERALS_PER_SESSION_MAX, 1);
    let all = ringkeeper::proto::request::PathRequest { path: Some("/") };
    core.request(conn, &body(OpCode::GetEphemerals, &RequestBody::Path(all)))
}

fn children(core: &mut Core) -> Duration {
    let conn = core.connect();
    fill(core, conn, CHILDREN, 0);
    core.request(conn, &read(OpCode::GetChildren, TOP, false))
}

fn set_watches(core: &mut Core) -> Duration {
    let conn = core.connect();
    let paths = paths(WATCHES_AGAIN);
    let mut exist = VectorBuf::<Option<&str>>::default();
    paths.iter().for_each(|path| exist.push(&Some(path.as_str())));
    let none = VectorBuf::<Option<&str>>::default();
    let request = SetWatchesRequest {
        relative_zxid: Zxid(i64::MAX),
        data: none.as_vector(),
        exist: exist.as_vector(),
        child: none.as_vector(),
        persistent: none.as_vector(),
        persistent_recursive: none.as_vector(),
    };
    core.request(conn, &body(OpCode::SetWatches, &RequestBody::SetWatches(request)))
}

fn watches_end(core: &mut Core) -> Duration {
    let conn = core.connect();
    for path in paths(WATCHES) {
        core.request(conn, &read(OpCode::Exists, &path, true));
    }
    core.disconnect(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_carried_out() {
        for piece in &PIECES {
            assert!(piece.longest() > Duration::ZERO, "{}", piece.name);
        }
    }
}
