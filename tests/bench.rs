//! Each kind of workload of `ringkeeper-bench`, run for a moment against Ringkeeper and Apache ZooKeeper: no request
//! fails, every request is counted, and the workload removes its nodes.

use std::net::SocketAddr;
use std::path::Path;

use ringkeeper_bench::definition::{Definition, Load, Work};
use ringkeeper_bench::engine::{self, Target};
use ringkeeper_bench::result::Measured;
use ringkeeper_rawclient::Session;
use ringkeeper_testkit::{Config, Program, Server};

/// A workload that comes with the program, made small.
fn small(name: &str) -> Definition {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/definitions/{}.toml"), name);
    let mut definition = Definition::read(Path::new(&path)).expect("it ships");
    (definition.warm_up_s, definition.seconds, definition.slice_ms) = (0.0, 1.0, 200);
    match &mut definition.work {
        Work::Mix(mix) => {
            mix.sessions = mix.sessions.min(10);
            mix.znodes = mix.znodes.min(200);
            mix.children = mix.children.min(20);
        }
        Work::Lock(lock) => lock.sessions = 5,
        Work::Discovery(discovery) => {
            (discovery.services, discovery.instances, discovery.clients) = (3, 2, 2);
        }
        Work::FanOut(fan_out) => (fan_out.watchers, fan_out.writes_per_second) = (20, 10.0),
        Work::ConnectStorm(storm) => storm.sessions = 50,
        Work::Churn(churn) => churn.sessions = 5,
    }
    definition
}

fn run(server: SocketAddr, definition: &Definition) -> Measured {
    let mut target = Target::new(vec![server]);
    target.threads = 2;
    let measured = engine::run(&target, definition, None, &mut |_| {});
    measured.unwrap_or_else(|why| panic!("{}: {why}", definition.name))
}

#[test]
fn a_server_that_takes_too_few_connections_is_named_at_once_with_the_likely_reason() {
    let binary = env!("CARGO_BIN_EXE_ringkeeper");
    let server = Server::ringkeeper(binary, Config::new().line("maxClientCnxns=5"));
    let begun = std::time::Instant::now();
    let target = Target::new(vec![server.socket_addr()]);
    let failed = engine::run(&target, &small("writes-100x16"), None, &mut |_| {});
    let text = failed.expect_err("it needs ten").to_string();
    assert!(text.contains("needs 10 sessions; 5 were taken"), "{text}");
    assert!(text.contains("maxClientCnxns"), "{text}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

fn every_kind_of_work_is_done_without_an_error(program: Program) {
    let server = Server::start(program, Config::new().line("maxClientCnxns=0"));
    let address = server.socket_addr();
    let names = [
        "everything",
        "keeper-bench",
        "zipfian-90",
        "open-2000",
        "reads-watched",
        "lock-contended",
        "lock-free",
        "discovery",
        "fan-out",
        "connect-storm",
        "ephemeral-churn",
    ];
    for name in names {
        let definition = small(name);
        let measured = run(address, &definition);
        assert!(measured.errors.is_empty(), "{name}: {:?}", measured.errors);
        assert_eq!(measured.sessions_lost, 0, "{name}");
        assert!(measured.all.count > 0, "{name}: {measured:?}");
        assert_eq!(measured.timeline.len(), 5, "{name}");
        if let Work::Mix(mix) = &definition.work
            && let Load::Open { per_second } = mix.load
        {
            // The load lasts one second, so the count equals the rate.
            assert_eq!(measured.all.count.to_string(), per_second.to_string(), "{name}");
        }
    }
    let all = run(address, &small("everything"));
    let operations: Vec<&str> = all.operations.keys().map(String::as_str).collect();
    let expected = [
        "children",
        "create",
        "create_ephemeral",
        "delete",
        "exists",
        "get",
        "multi",
        "multi_read",
        "set",
        "sync",
    ];
    assert_eq!(operations, expected);
    let mut session = Session::open(address, 10_000).expect("the server accepts a session");
    let (children, _) = session.children("/", false).expect("everybody may read the root");
    assert_eq!(children, ["zookeeper"], "nodes are left behind");
}

#[test]
fn ringkeeper_serves_every_workload_without_an_error() {
    let binary = env!("CARGO_BIN_EXE_ringkeeper").into();
    every_kind_of_work_is_done_without_an_error(Program::Ringkeeper(binary));
}

#[test]
fn zookeeper_serves_every_workload_without_an_error() {
    every_kind_of_work_is_done_without_an_error(Program::ZooKeeper39);
}
