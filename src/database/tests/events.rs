//! The events that fire, their order, and the connections that get them.

use super::*;
use crate::acl::{Identity, Schemes};
use crate::id::ConnectionId;
use crate::proto::data::perms;
use crate::proto::event::EventType::{
    self, NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted,
};
use crate::watch::WatchKind::{Child, Data};
use crate::watch::WatchMode;

const ONE: ConnectionId = ConnectionId(1);
const TWO: ConnectionId = ConnectionId(2);

fn fired(run: &Run) -> Vec<(EventType, &str, Vec<u64>)> {
    run.fired
        .iter()
        .map(|fired| {
            assert_eq!(fired.zxid, run.database.last_processed());
            let watchers = fired.watchers.iter().map(|watcher| watcher.0).collect();
            (fired.event, &*fired.path, watchers)
        })
        .collect()
}

#[test]
fn a_create_fires_for_the_node_and_then_for_its_parent() {
    let mut run = Run::new();
    run.database.watches_mut().add("/", ONE, Child).unwrap();
    run.database.watches_mut().add("/a", TWO, Data).unwrap();
    run.create("/a", "");
    let expected = [(NodeCreated, "/a", vec![2]), (NodeChildrenChanged, "/", vec![1])];
    assert_eq!(fired(&run), expected);
    run.create("/b", "");
    assert_eq!(fired(&run), [], "standard watches fire once");
}

#[test]
fn a_delete_tells_each_watcher_of_the_node_once() {
    let mut run = Run::new();
    run.create("/a", "");
    run.database.watches_mut().add("/a", ONE, Data).unwrap();
    run.database.watches_mut().add("/a", ONE, Child).unwrap();
    run.database.watches_mut().add("/a", TWO, Child).unwrap();
    run.database.watches_mut().add("/", TWO, Child).unwrap();
    run.delete("/a");
    let expected = [(NodeDeleted, "/a", vec![1, 2]), (NodeChildrenChanged, "/", vec![2])];
    assert_eq!(fired(&run), expected);
    assert!(run.database.watches().is_empty());
}

#[test]
fn data_watches_see_data_and_child_watches_do_not() {
    let mut run = Run::new();
    run.create("/a", "");
    run.database.watches_mut().add("/a", ONE, Child).unwrap();
    run.database.watches_mut().add("/a", TWO, Data).unwrap();
    run.set("/a", "x", 1);
    assert_eq!(fired(&run), [(NodeDataChanged, "/a", vec![2])]);
    run.set_acl("/a", &[(31, "world", "anyone")], 1);
    assert_eq!(fired(&run), [], "an ACL is no event");
    run.create("/a/b", "");
    assert_eq!(fired(&run), [(NodeChildrenChanged, "/a", vec![1])]);
}

#[test]
fn persistent_watches_see_all_and_stay() {
    let mut run = Run::new();
    run.database.watches_mut().add_mode("/a", ONE, WatchMode::Persistent).unwrap();
    for _ in 0..2 {
        run.create("/a", "");
        assert_eq!(fired(&run), [(NodeCreated, "/a", vec![1])]);
        run.set("/a", "x", 1);
        assert_eq!(fired(&run), [(NodeDataChanged, "/a", vec![1])]);
        run.create("/a/b", "");
        assert_eq!(fired(&run), [(NodeChildrenChanged, "/a", vec![1])]);
        run.delete("/a/b");
        assert_eq!(fired(&run), [(NodeChildrenChanged, "/a", vec![1])]);
        run.delete("/a");
        assert_eq!(fired(&run), [(NodeDeleted, "/a", vec![1])]);
    }
}

#[test]
fn recursive_watches_see_the_subtree_and_never_changed_children() {
    let mut run = Run::new();
    run.create("/a", "");
    run.database.watches_mut().add_mode("/a", ONE, WatchMode::PersistentRecursive).unwrap();
    run.database.watches_mut().add_mode("/", ONE, WatchMode::PersistentRecursive).unwrap();
    run.database.watches_mut().add_mode("/a/b", TWO, WatchMode::PersistentRecursive).unwrap();
    run.create("/a/b", "");
    assert_eq!(fired(&run), [(NodeCreated, "/a/b", vec![2, 1])], "one event each");
    run.set("/a/b", "x", 1);
    assert_eq!(fired(&run), [(NodeDataChanged, "/a/b", vec![2, 1])]);
    run.create("/ab", "");
    assert_eq!(fired(&run), [(NodeCreated, "/ab", vec![1])]);
    run.delete("/a/b");
    assert_eq!(fired(&run), [(NodeDeleted, "/a/b", vec![2, 1])]);
}

#[test]
fn the_events_of_a_multi_come_in_the_order_of_its_parts() {
    let mut run = Run::new();
    run.create("/a", "");
    run.database.watches_mut().add_mode("/a", ONE, WatchMode::Persistent).unwrap();
    run.database.watches_mut().add_mode("/", TWO, WatchMode::PersistentRecursive).unwrap();
    let acl = open_acl();
    run.multi(&[
        (OpCode::SetData, set_body("/a", None, 1)),
        (OpCode::Create, create_body("/a/b", None, acl.as_vector(), false)),
        (OpCode::Delete, delete_body("/a/b")),
        (OpCode::Delete, delete_body("/a")),
    ]);
    let expected = [
        (NodeDataChanged, "/a", vec![1, 2]),
        (NodeCreated, "/a/b", vec![2]),
        (NodeChildrenChanged, "/a", vec![1]),
        (NodeDeleted, "/a/b", vec![2]),
        (NodeChildrenChanged, "/a", vec![1]),
        (NodeDeleted, "/a", vec![1, 2]),
    ];
    assert_eq!(fired(&run), expected);
}

#[test]
fn a_closed_session_fires_in_the_order_of_its_list() {
    let mut run = Run::new();
    for path in ["/a", "/b", "/c"] {
        run.create_ephemeral(path);
    }
    run.database.watches_mut().add_mode("/", ONE, WatchMode::PersistentRecursive).unwrap();
    run.database.watches_mut().add("/", TWO, Child).unwrap();
    run.close_session(Some(&["/b", "/c", "/a"]));
    let expected = [
        (NodeDeleted, "/b", vec![1]),
        (NodeChildrenChanged, "/", vec![2]),
        (NodeDeleted, "/c", vec![1]),
        (NodeDeleted, "/a", vec![1]),
    ];
    assert_eq!(fired(&run), expected);
}

#[test]
fn an_event_carries_the_acl_that_decides_who_may_see_it() {
    let mut run = Run::new();
    run.create("/p", "");
    run.set_acl("/p", &[(perms::READ, "digest", "reader:x")], 1);
    run.create("/p/a", "");
    run.set_acl("/p/a", &[(perms::READ, "digest", "other:x")], 1);
    run.database.watches_mut().add_mode("/p/a", ONE, WatchMode::Persistent).unwrap();
    run.database.watches_mut().add("/p", ONE, Child).unwrap();
    run.delete("/p/a");
    let reader = [Identity::new("digest", "reader:x")];
    let other = [Identity::new("digest", "other:x")];
    let may =
        |fired: &Fired, who: &[Identity]| fired.acl.permits(perms::READ, who, &Schemes::USUAL);
    let [deleted, changed] = &run.fired[..] else { panic!("two events") };
    assert_eq!((deleted.event, changed.event), (NodeDeleted, NodeChildrenChanged));
    assert!(may(deleted, &other) && !may(deleted, &reader), "the ACL that the node had");
    assert!(may(changed, &reader) && !may(changed, &other), "the parent's");
}

#[test]
fn replay_fires_nothing_and_uses_up_no_watch() {
    let mut run = Run::new();
    run.database.watches_mut().add("/a", ONE, Data).unwrap();
    let acl = open_acl();
    let body = create_body("/a", None, acl.as_vector(), false);
    run.database.apply_in_replay(&Txn::new(header(1, OpCode::Create), &body, None));
    assert_eq!(run.database.watches().len(), 1);
}
