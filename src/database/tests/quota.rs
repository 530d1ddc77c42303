//! Quotas: limits, figures, and the writes that they forbid.

use super::*;
use crate::acl::AclId;
use crate::database::DatabaseBuilder;

const LIMITS: &str = "/zookeeper/quota/a/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/a/zookeeper_stats";

/// Whether a hard limit forbids these additional bytes and nodes at `path`.
fn violated(database: &Database, path: &str, bytes_delta: i64, count_delta: i64) -> bool {
    database.quota_excess(path, bytes_delta, count_delta).is_some_and(|(_, excess)| excess.is_hard)
}

/// A database in which `/a` has a quota, set the way the command-line client sets it.
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

/// The database of a server that starts from a snapshot of this one.
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

/// The naive way to enforce quotas, which reads the nodes of a quota each time.
mod naive {
    use std::collections::BTreeMap;

    use super::*;
    use crate::database::apply::data_bytes;
    use crate::database::tests::model::Model;

    const PATHS: [&str; 11] = [
        "/a",
        "/a/b",
        "/a/b/c",
        "/d",
        "/zookeeper/quota/a",
        LIMITS,
        STATS,
        "/zookeeper/quota/a/b",
        "/zookeeper/quota/a/b/zookeeper_limits",
        "/zookeeper/quota/a/b/zookeeper_stats",
        "/zookeeper/quota/zookeeper",
    ];

    type Nodes = BTreeMap<String, Vec<u8>>;

    fn numbers(text: &[u8]) -> BTreeMap<String, i64> {
        let text = String::from_utf8_lossy(text);
        let pair = |pair: &str| {
            let mut parts = pair.split('=');
            let (key, value) = (parts.next()?, parts.next()?);
            let value = if value.is_empty() { -1 } else { value.parse().ok()? };
            Some((key.to_owned(), value))
        };
        text.split([',', ';']).filter_map(pair).collect()
    }

    fn text(numbers: &BTreeMap<String, i64>) -> Vec<u8> {
        let number = |key| numbers.get(key).copied().unwrap_or(-1);
        let mut text = format!("count={},bytes={}", number("count"), number("bytes"));
        for (at, (key, value)) in
            numbers.iter().filter(|(key, _)| *key != "count" && *key != "bytes").enumerate()
        {
            text += &format!("{};{key}={value}", if at == 0 { "=" } else { "" });
        }
        text.into_bytes()
    }

    /// The deeper one of the two nodes above `path` that have a quota.
    fn deepest(nodes: &Nodes, path: &str) -> Option<&'static str> {
        let is_in = |top: &str| path == top || path.starts_with(&format!("{top}/"));
        ["/a/b", "/a"].into_iter().find(|top| {
            is_in(top) && nodes.contains_key(&format!("/zookeeper/quota{top}/zookeeper_limits"))
        })
    }

    fn add(nodes: &mut Nodes, path: &str, count: i64, bytes: i64) {
        let Some(top) = deepest(nodes, path) else { return };
        let Some(data) = nodes.get_mut(&format!("/zookeeper/quota{top}/zookeeper_stats")) else {
            return;
        };
        let mut figures = numbers(data);
        *figures.entry("count".into()).or_insert(-1) += count;
        *figures.entry("bytes".into()).or_insert(-1) += bytes;
        *data = text(&figures);
    }

    fn recount(nodes: &mut Nodes, limited: &str) {
        let below = format!("{limited}/");
        let counted = nodes
            .iter()
            .filter(|(path, _)| *path == limited || path.starts_with(&below))
            .fold((0, 0), |(count, bytes), (_, data)| (count + 1, bytes + data_bytes(Some(data))));
        let figures = BTreeMap::from([("count".into(), counted.0), ("bytes".into(), counted.1)]);
        nodes.insert(format!("/zookeeper/quota{limited}/zookeeper_stats"), text(&figures));
    }

    fn is_violated(nodes: &Nodes, path: &str, bytes: i64, count: i64) -> bool {
        let Some(top) = deepest(nodes, path) else { return false };
        let read =
            |name| nodes.get(&format!("/zookeeper/quota{top}/{name}")).map(|data| numbers(data));
        let (Some(limits), Some(now)) = (read("zookeeper_limits"), read("zookeeper_stats")) else {
            return false;
        };
        let number = |of: &BTreeMap<String, i64>, key| of.get(key).copied().unwrap_or(-1);
        let beyond = |hard, key, delta: i64| {
            let limit = number(&limits, hard);
            delta != 0 && limit > -1 && number(&now, key) + delta > limit
        };
        beyond("countHardLimit", "count", count) || beyond("byteHardLimit", "bytes", bytes)
    }

    fn drawn_text(draw: u8) -> String {
        match draw % 6 {
            0 => "nonsense".into(),
            1 => "count=3,bytes=20".into(),
            2 => format!("count=-1,bytes=-1=;byteHardLimit={};countHardLimit=4", draw % 50),
            3 => (0..200).map(|n| format!("k{n}={draw},")).collect(),
            4 => "count=,bytes=x;mine=7".into(),
            _ => "x".repeat(usize::from(draw)),
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

        #[test]
        fn figures_that_are_kept_are_those_that_a_look_at_the_nodes_gives(
            draws in proptest::collection::vec(proptest::prelude::any::<(u8, u8, u8)>(), 1..150),
        ) {
            let mut run = Run::new();
            let mut nodes: Nodes =
                Model::of(&run.database).nodes.into_keys().map(|path| (path, Vec::new())).collect();
            for (what, wherever, with) in draws {
                let path = PATHS[usize::from(wherever) % PATHS.len()];
                let (parent, name) = path.rsplit_once('/').unwrap();
                let data = drawn_text(with);
                let has_children = nodes.keys().any(|other| other.starts_with(&format!("{path}/")));
                let limited = parent.strip_prefix("/zookeeper/quota");
                if !nodes.contains_key(path) {
                    if !parent.is_empty() && !nodes.contains_key(parent) {
                        continue;
                    }
                    run.create(path, &data);
                    nodes.insert(path.to_owned(), data.clone().into_bytes());
                    if let (Some(limited), "zookeeper_stats") = (limited, name) {
                        recount(&mut nodes, limited);
                    }
                    add(&mut nodes, path, 1, data_bytes(Some(data.as_bytes())));
                } else if what % 3 == 0 && !has_children {
                    run.delete(path);
                    let bytes = data_bytes(nodes.remove(path).as_deref());
                    add(&mut nodes, path, -1, -bytes);
                } else {
                    let before = nodes.insert(path.to_owned(), data.clone().into_bytes()).unwrap();
                    run.set(path, &data, 1);
                    let bytes = data_bytes(Some(data.as_bytes())) - data_bytes(Some(&before));
                    add(&mut nodes, path, 0, bytes);
                }
                for (path, data) in &nodes {
                    let found = run.database.node(path).unwrap().data().unwrap();
                    proptest::prop_assert_eq!(found, &data[..], "{}", path);
                }
                for path in PATHS {
                    let (bytes, count) = (i64::from(with % 30), i64::from(what % 3));
                    proptest::prop_assert_eq!(
                        violated(&run.database, path, bytes, count),
                        is_violated(&nodes, path, bytes, count)
                    );
                }
                if with % 16 == 0 {
                    run.database = restarted(&run);
                    for top in ["/a", "/a/b"] {
                        let beside = |name| format!("/zookeeper/quota{top}/{name}");
                        if nodes.contains_key(&beside("zookeeper_limits"))
                            && nodes.contains_key(&beside("zookeeper_stats"))
                        {
                            recount(&mut nodes, top);
                        }
                    }
                }
            }
        }
    }
}
