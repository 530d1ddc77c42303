//! Clients repeat requests whose answer is a number, but for which a server might have to walk over its tree; and they
//! store texts, such as quotas, that a server might have to read again for every write.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use ringkeeper::proto::OpCode;
use ringkeeper::proto::request::{MultiOp, PathRequest, RequestBody};
use ringkeeper_testkit::Config;

use crate::harness::{Bounds, alone, ensemble};
use crate::raw::{self, Client};

/// Nodes made by one multi.
const NODES_AT_ONCE: usize = 1000;

/// How many children the node has.
pub fn fill(client: &mut Client, parent: &str, count: usize, flags: i32) {
    let acl = raw::open_acl();
    let paths: Vec<String> = (0..count).map(|n| format!("{parent}/n{n}")).collect();
    for paths in paths.chunks(NODES_AT_ONCE) {
        let creates = paths.iter().map(|path| raw::create(path, b"", &acl, flags));
        let parts = creates.map(|create| match create {
            RequestBody::Create(request) => MultiOp::Create(OpCode::Create, request),
            _ => unreachable!("it is a create"),
        });
        let parts = parts.collect();
        client.call(OpCode::Multi, &RequestBody::Multi(parts)).ok();
    }
}

fn descendants(at: SocketAddr) -> String {
    const NODES: u32 = 200_000;
    let mut client = Client::connect_with(at, 30_000);
    if client.create("/wide", b"", 0).header.err == 0 {
        fill(&mut client, "/wide", NODES as usize, 0);
    }
    let wide = RequestBody::Path(PathRequest { path: Some("/wide") });
    for _ in 0..20 {
        let asked: Vec<u8> =
            (0..100).flat_map(|_| client.frame(OpCode::GetAllChildrenNumber, &wide)).collect();
        client.socket.write_all(&asked).unwrap();
        for _ in 0..100 {
            let reply = client.receive().expect("a reply").ok();
            assert_eq!(reply.body, NODES.to_be_bytes());
        }
    }
    "their number, 2000 times".to_owned()
}

#[test]
fn the_number_of_descendants_is_known() {
    let (name, bounds) = ("the number of 200 000 descendants", Bounds::memory(160 << 20));
    alone(name, Config::new(), bounds, descendants);
    ensemble(name, &Config::new(), bounds, descendants);
}

fn junk_of_a_quota(at: SocketAddr) -> String {
    let mut client = Client::connect_with(at, 30_000);
    let number = client.create("/junk-", b"", 2).ok();
    let parent = String::from_utf8(number.body[4..].to_vec()).unwrap();
    let mut junk = String::new();
    while junk.len() < 1_000_000 {
        junk += &format!("k{}=1,", junk.len());
    }
    client.create(&format!("/zookeeper/quota{parent}"), b"", 0).ok();
    for name in ["zookeeper_limits", "zookeeper_stats"] {
        client.create(&format!("/zookeeper/quota{parent}/{name}"), b"", 0).ok();
        client.set(&format!("/zookeeper/quota{parent}/{name}"), junk.as_bytes()).ok();
    }
    fill(&mut client, &parent, 10_000, 0);
    "10 000 creates".to_owned()
}

#[test]
fn junk_in_the_nodes_of_a_quota_costs_no_create_anything() {
    let name = "1 MB of junk in the figures of a quota";
    let config = Config::new().line("enforceQuota=true");
    let bounds = Bounds::memory(64 << 20);
    let mut server = alone(name, config.clone(), bounds, junk_of_a_quota);
    let begun = std::time::Instant::now();
    server.restart();
    Client::connect(server.socket_addr());
    assert!(begun.elapsed() < raw::PATIENCE, "replay goes on");
    ensemble(name, &config, bounds, junk_of_a_quota);
}

#[test]
fn the_words_that_everybody_may_use_count_nobody() {
    // Making all of them takes a while, without an answer in between.
    let config = Config::new().line("maxClientCnxns=0").line("maxSessionTimeout=60000");
    alone("200 times srvr beside 3000 sessions", config, Bounds::memory(160 << 20), |at| {
        let clients: Vec<Client> = (0..3000).map(|_| Client::connect_with(at, 60_000)).collect();
        for _ in 0..200 {
            let mut socket = raw::dial(at);
            socket.write_all(b"srvr").unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            let line = answer.lines().find_map(|line| line.strip_prefix("Connections: "));
            let count: usize = line.expect("their number").parse().unwrap();
            // The bystander's connection, the one that asks, and some that asked before and have just closed.
            let expected = clients.len() + 2..clients.len() + 100;
            assert!(expected.contains(&count), "{answer}");
        }
        "the number of connections".to_owned()
    });
}
