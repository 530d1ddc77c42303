//! Watches: which clients get which events, in which order.

use super::harness::*;
use crate::error::ErrorCode;
use crate::id::Zxid;
use crate::limits::WATCHES_REMOVED_PER_TURN;
use crate::proto::OpCode;
use crate::proto::data::perms;
use crate::proto::request::{MultiOp, PathVersion, Paths, RequestBody, SetWatchesRequest};
use crate::replica::ReplicaOptions;

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

fn events(replies: &[Reply]) -> Vec<(i32, String)> {
    replies.iter().filter(|reply| reply.xid == -1).map(Reply::event).collect()
}

fn expect(list: &[(i32, &str)]) -> Vec<(i32, String)> {
    list.iter().map(|(event, path)| (*event, (*path).to_owned())).collect()
}

#[test]
fn an_event_comes_before_the_reply_to_the_write_that_fired_it() {
    let mut h = Harness::new();
    let client = h.connect();
    h.call(client.conn, 1, OpCode::Exists, &watch("/a", true));
    h.call(client.conn, 2, OpCode::GetChildren, &watch("/", true));
    h.send(client.conn, 3, OpCode::Create, &create("/a", b"", 0));
    h.settle();
    let replies = h.replies(client.conn);
    assert_eq!(events(&replies), expect(&[(CREATED, "/a"), (CHILDREN, "/")]));
    assert!(replies[..2].iter().all(|event| (event.xid, event.zxid, event.err) == (-1, 2, 0)));
    assert_eq!(replies[2].xid, 3);
    h.send(client.conn, 4, OpCode::SetData, &set_data("/a", b"", -1));
    h.settle();
    assert_eq!(h.replies(client.conn).len(), 1, "a standard watch fires once");
}

#[test]
fn a_missing_node_can_be_watched_by_exists_alone() {
    let mut h = Harness::new();
    let client = h.connect();
    for op in [OpCode::GetData, OpCode::GetChildren, OpCode::GetChildren2] {
        h.call(client.conn, 1, op, &watch("/a", true));
    }
    assert!(h.replica.database().watches().is_empty());
    h.call(client.conn, 1, OpCode::Exists, &watch("/a", true));
    assert_eq!(h.replica.database().watches().len(), 1);
}

#[test]
fn a_delete_is_told_once_to_who_watches_both_ways() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/a", 0);
    h.create(&client, "/a/b", 0);
    h.call(client.conn, 1, OpCode::GetData, &watch("/a/b", true));
    h.call(client.conn, 1, OpCode::GetChildren, &watch("/a/b", true));
    h.call(client.conn, 1, OpCode::GetChildren, &watch("/a", true));
    h.send(client.conn, 2, OpCode::Delete, &delete("/a/b", -1));
    h.settle();
    let replies = h.replies(client.conn);
    assert_eq!(events(&replies), expect(&[(DELETED, "/a/b"), (CHILDREN, "/a")]));
}

#[test]
fn persistent_watches_stay_and_recursive_ones_see_the_subtree() {
    let mut h = Harness::new();
    let client = h.connect();
    let reply = h.call(client.conn, 1, OpCode::AddWatch, &kind("/a", 0));
    assert_eq!((reply.err, reply.body.len()), (0, 4), "the body is an int");
    let other = h.connect();
    h.call(other.conn, 1, OpCode::AddWatch, &kind("/a", 1));
    let writer = h.connect();
    h.create(&writer, "/a", 0);
    h.create(&writer, "/a/b", 0);
    h.call(writer.conn, 1, OpCode::SetData, &set_data("/a/b", b"", -1));
    h.call(writer.conn, 1, OpCode::SetData, &set_data("/a", b"", -1));
    h.call(writer.conn, 1, OpCode::Delete, &delete("/a/b", -1));
    let seen = events(&h.replies(client.conn));
    let persistent = [(CREATED, "/a"), (CHILDREN, "/a"), (CHANGED, "/a"), (CHILDREN, "/a")];
    assert_eq!(seen, expect(&persistent));
    let seen = events(&h.replies(other.conn));
    let recursive =
        [(CREATED, "/a"), (CREATED, "/a/b"), (CHANGED, "/a/b"), (CHANGED, "/a"), (DELETED, "/a/b")];
    assert_eq!(seen, expect(&recursive));
}

#[test]
fn watches_are_checked_and_removed_by_type() {
    let mut h = Harness::new();
    let client = h.connect();
    h.call(client.conn, 1, OpCode::Exists, &watch("/a", true));
    let none = ErrorCode::NoWatcher.code();
    let mut ask = |op, wanted| h.call(client.conn, 1, op, &kind("/a", wanted)).err;
    assert_eq!(ask(OpCode::CheckWatches, 1), none);
    assert_eq!(ask(OpCode::CheckWatches, 2), 0);
    assert_eq!(ask(OpCode::CheckWatches, 3), 0);
    assert_eq!(ask(OpCode::CheckWatches, 9), ErrorCode::MarshallingError.code());
    assert_eq!(ask(OpCode::RemoveWatches, 4), none);
    assert_eq!(ask(OpCode::RemoveWatches, 3), 0);
    assert_eq!(ask(OpCode::RemoveWatches, 3), none);
}

#[test]
fn who_may_not_read_a_node_is_told_nothing_of_it() {
    let mut h = Harness::new();
    let (watcher, writer) = (h.connect(), h.connect());
    h.call(watcher.conn, 1, OpCode::AddWatch, &kind("/", 1));
    let hidden = world(perms::ALL & !perms::READ);
    h.call(writer.conn, 1, OpCode::Create, &create_with("/hidden", &hidden));
    h.call(writer.conn, 1, OpCode::SetData, &set_data("/hidden", b"", -1));
    h.call(writer.conn, 1, OpCode::Delete, &delete("/hidden", -1));
    h.create(&writer, "/open", 0);
    assert_eq!(events(&h.replies(watcher.conn)), expect(&[(CREATED, "/open")]));
}

#[test]
fn set_watches_tells_what_was_missed_before_its_reply() {
    let mut h = Harness::new();
    let client = h.connect();
    for path in ["/same", "/changed", "/parent", "/parent-same", "/created"] {
        h.create(&client, path, 0);
    }
    let since = Zxid(h.last_zxid());
    h.call(client.conn, 1, OpCode::SetData, &set_data("/changed", b"", -1));
    h.create(&client, "/parent/x", 0);
    let list = |paths: &[&str]| {
        let mut built = crate::jute::VectorBuf::<Option<&str>>::default();
        for path in paths {
            built.push(&Some(*path));
        }
        built
    };
    let data = list(&["/changed", "/same", "/gone"]);
    let exist = list(&["/created", "/still-missing"]);
    let child = list(&["/parent", "/parent-same", "/gone"]);
    let (persistent, recursive) = (list(&["/p"]), list(&["/r"]));
    let request = SetWatchesRequest {
        relative_zxid: since,
        data: data.as_vector(),
        exist: exist.as_vector(),
        child: child.as_vector(),
        persistent: persistent.as_vector(),
        persistent_recursive: recursive.as_vector(),
    };
    h.send(client.conn, -8, OpCode::SetWatches2, &RequestBody::SetWatches(request));
    let replies = h.replies(client.conn);
    let missed = [
        (CHANGED, "/changed"),
        (DELETED, "/gone"),
        (CREATED, "/created"),
        (CHILDREN, "/parent"),
        (DELETED, "/gone"),
    ];
    assert_eq!(events(&replies), expect(&missed));
    assert!(replies[..5].iter().all(|event| event.zxid == -1));
    let last = replies.last().unwrap();
    assert_eq!((last.xid, last.err, last.body.len()), (-8, 0, 0));
    // These are left: /same, /still-missing, /parent-same, two on /p, and /r.
    assert_eq!(h.replica.database().watches().len(), 6);
    let null = SetWatchesRequest { data: Paths::NULL, ..request };
    h.send(client.conn, -8, OpCode::SetWatches, &RequestBody::SetWatches(null));
    assert_eq!(h.errors(client.conn), [(-8, ErrorCode::MarshallingError.code())]);
}

#[test]
fn the_watches_of_a_connection_that_ends_are_taken_out_in_portions() {
    const WATCHES: usize = 2 * WATCHES_REMOVED_PER_TURN + 10;
    let mut h = Harness::new();
    let client = h.connect();
    for number in 0..WATCHES {
        h.send(client.conn, 1, OpCode::Exists, &watch(&format!("/{number}"), true));
    }
    h.settle();
    let left = |h: &Harness| h.replica.database().watches().len();
    assert_eq!(left(&h), WATCHES);
    h.replica.handle_close(h.now, client.conn);
    for _ in 0..3 {
        assert!(h.replica.next_timeout().is_some_and(|at| at <= h.now.mono), "a turn follows");
        let before = left(&h);
        h.turn();
        assert!(before - left(&h) <= WATCHES_REMOVED_PER_TURN, "{before}, {}", left(&h));
    }
    assert_eq!(left(&h), 0);
    assert!(h.replica.next_timeout().is_none_or(|at| at > h.now.mono), "nothing is left");
}

#[test]
fn a_turn_makes_no_more_events_than_it_may_and_whom_the_next_would_reach_is_closed() {
    let mut h = Harness::with(ReplicaOptions { turn_events_max: 10, ..ReplicaOptions::default() });
    let writer = h.connect();
    h.create(&writer, "/a", 0);
    let watchers: Vec<_> = (0..3).map(|_| h.connect()).collect();
    for watcher in &watchers {
        h.call(watcher.conn, 1, OpCode::AddWatch, &kind("/", 1));
    }
    let sets = |count: usize| {
        let part = match set_data("/a", b"", -1) {
            RequestBody::SetData(request) => MultiOp::SetData(request),
            _ => unreachable!("it is one"),
        };
        RequestBody::Multi(vec![part; count])
    };
    // Each of the two turns makes as many events as one turn may.
    for _ in 0..2 {
        h.call(writer.conn, 1, OpCode::Multi, &sets(3));
        watchers.iter().for_each(|watcher| assert_eq!(h.replies(watcher.conn).len(), 3));
    }
    h.call(writer.conn, 1, OpCode::Multi, &sets(4));
    let open: Vec<_> = watchers.iter().filter(|watcher| !h.is_closed(watcher.conn)).collect();
    assert_eq!(open.len(), 1, "the tenth event was the last");
    assert_eq!(h.replies(open[0].conn).len(), 4);
    assert!(!h.is_closed(writer.conn));
}

#[test]
fn the_events_of_a_multi_come_in_its_order_with_its_zxid() {
    let mut h = Harness::new();
    let (watcher, writer) = (h.connect(), h.connect());
    h.create(&writer, "/a", 0);
    h.call(watcher.conn, 1, OpCode::AddWatch, &kind("/", 1));
    let parts = vec![
        MultiOp::Delete(PathVersion { path: Some("/a"), version: -1 }),
        match create("/a", b"", 0) {
            RequestBody::Create(request) => MultiOp::Create(OpCode::Create, request),
            _ => unreachable!("a create"),
        },
    ];
    h.call(writer.conn, 2, OpCode::Multi, &RequestBody::Multi(parts));
    let replies = h.replies(watcher.conn);
    assert_eq!(events(&replies), expect(&[(DELETED, "/a"), (CREATED, "/a")]));
    assert!(replies.iter().all(|event| event.zxid == h.last_zxid()));
}

#[test]
fn the_end_of_a_session_fires_for_its_nodes() {
    let mut h = Harness::new();
    let (watcher, owner) = (h.connect(), h.connect());
    h.create(&owner, "/e", 1);
    h.call(watcher.conn, 1, OpCode::GetData, &watch("/e", true));
    h.send(owner.conn, 9, OpCode::CloseSession, &RequestBody::Empty);
    h.settle();
    assert_eq!(events(&h.replies(watcher.conn)), expect(&[(DELETED, "/e")]));
}

#[test]
fn one_frame_goes_to_every_watcher() {
    let mut h = Harness::new();
    let watchers: Vec<_> = (0..50).map(|_| h.connect()).collect();
    for watcher in &watchers {
        h.call(watcher.conn, 1, OpCode::Exists, &watch("/a", true));
    }
    let writer = h.connect();
    h.create(&writer, "/a", 0);
    for watcher in &watchers {
        assert_eq!(events(&h.replies(watcher.conn)), expect(&[(CREATED, "/a")]));
    }
    assert_eq!(h.replica.stats().events_fired, [50, 0, 0, 0]);
}
