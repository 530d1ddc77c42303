//! Quotas: limits, figures, and what they forbid.

use super::*;
use crate::acl::AclId;
use crate::database::DatabaseBuilder;

const LIMITS: &str = "/zookeeper/quota/a/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/a/zookeeper_stats";

/// Whether a hard limit forbids it.
fn violated(database: &Database, path: &str, bytes_delta: i64, count_delta: i64) -> bool {
    database.quota_excess(path, bytes_delta, count_delta).is_some_and(|(_, excess)| excess.is_hard)
}

/// `/a` with a quota, set as the command-line client does it.
fn with_quota(limits: &str) -> Run {
    let mut run = Run::new();
    run.create("/a", "12345");
    run.create("/a/b", "123");
    run.create("/zookeeper/quota/a", "");
    run.create(LIMITS, limits);
    run.create(STATS, "count=0,bytes=0");
    run
}

#[test]
fn a_new_quota_counts_what_is_there_the_node_itself_included() {
    let run = with_quota("count=5,bytes=100");
    assert_eq!(run.text(STATS), "count=2,bytes=8");
}

#[test]
fn figures_follow_without_a_change_of_stat() {
    let mut run = with_quota("count=5,bytes=100");
    let stat = run.database.node(STATS).unwrap().stat_persisted();
    run.create("/a/c", "1");
    assert_eq!(run.text(STATS), "count=3,bytes=9");
    run.set("/a/c", "123", 1);
    assert_eq!(run.text(STATS), "count=3,bytes=11");
    run.delete("/a/b");
    assert_eq!(run.text(STATS), "count=2,bytes=8");
    run.create("/ab", "other");
    assert_eq!(run.text(STATS), "count=2,bytes=8");
    assert_eq!(run.database.node(STATS).unwrap().stat_persisted(), stat);
}

#[test]
fn only_hard_limits_are_violated() {
    let run = with_quota("count=1,bytes=1");
    let (path, excess) = run.database.quota_excess("/a/x", 100, 1).unwrap();
    assert_eq!((&path[..], excess.reached, excess.limit, excess.is_hard), ("/a", 3, 1, false));
    assert!(!violated(&run.database, "/a/x", 100, 1));
    let run = with_quota("count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3");
    assert!(!violated(&run.database, "/a/x", 2, 1));
    assert!(violated(&run.database, "/a/x", 3, 1));
    assert!(violated(&run.database, "/a", 0, 2));
    assert!(!violated(&run.database, "/b", 100, 100));
}

#[test]
fn a_quota_ends_with_its_limits() {
    let mut run = with_quota("count=-1,bytes=-1=;countHardLimit=2");
    assert!(violated(&run.database, "/a/x", 0, 1));
    run.delete(LIMITS);
    assert!(!violated(&run.database, "/a/x", 0, 1));
    run.create("/a/c", "1");
    assert_eq!(run.text(STATS), "count=2,bytes=8");
}

/// What a server has that starts from a snapshot of this.
fn restarted(run: &Run) -> Database {
    let mut builder = DatabaseBuilder::new(DatabaseOptions::default());
    for node in run.database.node("/").unwrap().subtree() {
        let path = if node.path() == "/" { "" } else { node.path() };
        builder.node(path, node.data(), AclId::OPEN, node.stat_persisted()).unwrap();
    }
    builder.finish(run.database.last_processed()).unwrap()
}

#[test]
fn limits_that_come_back_go_on_with_old_figures_and_a_server_that_starts_counts() {
    let mut run = with_quota("count=-1,bytes=-1=;countHardLimit=3");
    let text = |database: &Database| {
        let data = database.node(STATS).unwrap().data().unwrap_or_default();
        String::from_utf8_lossy(data).into_owned()
    };
    run.create("/a/c", "1");
    assert_eq!((run.text(STATS), text(&restarted(&run))), both("count=3,bytes=9"));
    run.delete(LIMITS);
    run.delete("/a/b");
    run.delete("/a/c");
    assert_eq!((run.text(STATS), text(&restarted(&run))), both("count=3,bytes=9"), "no quota");
    run.create(LIMITS, "count=-1,bytes=-1=;countHardLimit=3");
    assert_eq!(run.text(STATS), "count=3,bytes=9");
    assert!(violated(&run.database, "/a/x", 0, 1));
    assert_eq!(text(&restarted(&run)), "count=1,bytes=5");
    assert_eq!(run.database.digest(), restarted(&run).digest(), "figures are in no digest");
    run.delete(STATS);
    run.create(STATS, "");
    assert_eq!((run.text(STATS), text(&restarted(&run))), both("count=1,bytes=5"));
}

fn both(text: &str) -> (String, String) {
    (text.to_owned(), text.to_owned())
}

#[test]
fn the_deepest_quota_alone_counts() {
    let mut run = with_quota("count=5,bytes=100");
    run.create("/zookeeper/quota/a/b", "");
    run.create("/zookeeper/quota/a/b/zookeeper_limits", "count=1,bytes=-1");
    run.create("/zookeeper/quota/a/b/zookeeper_stats", "");
    assert_eq!(run.text("/zookeeper/quota/a/b/zookeeper_stats"), "count=1,bytes=3");
    run.create("/a/b/c", "");
    assert_eq!(run.text("/zookeeper/quota/a/b/zookeeper_stats"), "count=2,bytes=3");
    assert_eq!(run.text(STATS), "count=2,bytes=8");
}

#[test]
fn a_quota_of_the_root_and_broken_figures_are_passed_over() {
    let mut run = Run::new();
    run.create("/zookeeper/quota/zookeeper_limits", "count=1,bytes=1=;countHardLimit=1");
    run.create("/zookeeper/quota/zookeeper_stats", "nonsense");
    run.create("/a", "");
    assert!(!violated(&run.database, "/a/b", 10, 10));
    run.create("/zookeeper/quota/a", "");
    run.create(LIMITS, "nonsense");
    assert!(!violated(&run.database, "/a/b", 10, 10), "no figures at all");
    run.create(STATS, "nonsense");
    run.create("/a/b", "x");
    assert_eq!(run.text(STATS), "count=2,bytes=1");
    run.delete(LIMITS);
    run.delete("/zookeeper/quota/zookeeper_limits");
}

#[test]
fn quotas_of_a_snapshot_are_found_and_counted_anew() {
    let run = with_quota("count=-1,bytes=-1=;countHardLimit=3");
    let mut builder = DatabaseBuilder::new(DatabaseOptions::default());
    for node in run.database.node("/").unwrap().subtree() {
        let path = if node.path() == "/" { "" } else { node.path() };
        let data = if path == STATS { Some(&b"count=77,bytes=0"[..]) } else { node.data() };
        builder.node(path, data, AclId::OPEN, node.stat_persisted()).unwrap();
    }
    let database = builder.finish(Zxid(9)).unwrap();
    assert_eq!(database.node(STATS).unwrap().data(), Some(&b"count=2,bytes=8"[..]));
    assert!(!violated(&database, "/a/x", 0, 1));
    assert!(violated(&database, "/a/x", 0, 2));
}
