//! A server starts on snapshots that are well formed, but whose trees no server would write.

use std::time::{Duration, Instant};

use ringkeeper::jute::Jute;
use ringkeeper::proto::data::StatPersisted;
use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::{Config, Server};

use crate::harness::program;

const LIMIT: Duration = Duration::from_secs(60);

/// A whole snapshot of version 2: `sessions` with their timeouts in ms, and a node for each path with its owner; the
/// root, whose path is empty, first.
fn snapshot(sessions: &[(i64, i32)], nodes: &[(&str, i64)]) -> Vec<u8> {
    let mut bytes = b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
    bytes.extend(tree(sessions, nodes));
    text(&mut bytes, "/");
    let sum = adler32(&bytes);
    bytes.extend(u64::from(sum).to_be_bytes());
    text(&mut bytes, "/");
    bytes
}

/// Sessions, ACLs and nodes, as they stand in a snapshot and in what a leader sends, without the end.
pub fn tree(sessions: &[(i64, i32)], nodes: &[(&str, i64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(i32::try_from(sessions.len()).unwrap().to_be_bytes());
    for (id, timeout_ms) in sessions {
        bytes.extend(id.to_be_bytes());
        bytes.extend(timeout_ms.to_be_bytes());
    }
    // One ACL: everything for everyone, by the key 1.
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 31]);
    text(&mut bytes, "world");
    text(&mut bytes, "anyone");
    for (path, owner) in nodes {
        node(&mut bytes, path, *owner, "");
    }
    bytes
}

/// One node of a tree.
pub fn node(bytes: &mut Vec<u8>, path: &str, owner: i64, data: &str) {
    text(bytes, path);
    text(bytes, data);
    bytes.extend(1_i64.to_be_bytes());
    let stat = StatPersisted { ephemeral_owner: owner, ..StatPersisted::default() };
    bytes.extend(stat.to_bytes());
}

/// A string with its length.
pub fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// The Adler-32 checksum of RFC 1950, section 9.
fn adler32(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65521;
        (low, (high + low) % 65521)
    });
    high << 16 | low
}

/// A server whose folder holds this snapshot and nothing else.
fn with(snapshot: &[u8]) -> Server {
    let server = Server::prepare(program(), Config::new());
    let folder = server.data_dir().join("version-2");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("snapshot.0"), snapshot).unwrap();
    server
}

#[test]
fn a_tree_that_no_server_writes_is_refused_with_its_file_and_reason() {
    const SESSION: i64 = 0x77;
    let cases: [(&[(&str, i64)], &str); 4] = [
        (
            &[("", 0), ("/e", SESSION), ("/e/child", 0)],
            "\"/e\", an ephemeral node of session 0x77, has a node below it",
        ),
        (&[("", SESSION), ("/a", 0)], "\"/\" has the owner 0x77"),
        (
            &[("", 0), ("/zookeeper", 0), ("/zookeeper/config", SESSION)],
            "\"/zookeeper/config\" has the owner 0x77",
        ),
        // This owner marks a container, which a server removes when it has had no children for a while.
        (
            &[("", 0), ("/zookeeper", 0), ("/zookeeper/config", i64::MIN)],
            "\"/zookeeper/config\" has the owner 0x8000000000000000",
        ),
    ];
    for (nodes, reason) in cases {
        let mut server = with(&snapshot(&[(SESSION, 4000)], nodes));
        let (status, output) = server.run_to_exit(LIMIT);
        assert!(!status.success(), "{output}");
        assert!(
            output.contains("snapshot.0: before offset ") && output.contains(reason),
            "{output}"
        );
        assert!(!output.contains("panicked"), "{output}");
    }
}

#[test]
fn sessions_that_no_server_makes_expire_like_others() {
    let odd = [(0, 4000), (-1, -5), (i64::MIN, i32::MIN), (i64::MAX, 0), (7, 1)];
    let nodes = [("", 0), ("/a", 0), ("/m", -1), ("/x", i64::MAX), ("/y", i64::MAX - 1)];
    let mut server = with(&snapshot(&odd, &nodes));
    server.spawn();
    server.wait_serving().unwrap();
    let mut session = Session::open(server.socket_addr(), 30_000).unwrap();
    session.create("/b", None, OPEN_ACL, 1).unwrap();
    let begun = Instant::now();
    // Nodes of sessions that expire, and of one that never existed. Each read keeps the test's own session alive.
    for path in ["/m", "/x", "/y"] {
        while session.exists(path, false).unwrap().is_some() {
            assert!(begun.elapsed() < LIMIT, "{path} stays\n{}", server.log_tail(40));
        }
    }
    while server.log_tail(200).matches("expiring a session").count() < odd.len() {
        session.exists("/", false).unwrap();
        assert!(begun.elapsed() < LIMIT, "{}", server.log_tail(40));
    }
    for path in ["/a", "/b"] {
        assert!(session.exists(path, false).unwrap().is_some(), "{path}");
    }
    assert!(server.is_running());
}
