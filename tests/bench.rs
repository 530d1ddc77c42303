//! Each kind of workload of `ringkeeper-bench`, run for a moment against Ringkeeper and Apache ZooKeeper: no request
//! fails, every request is counted, and the workload removes its nodes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ringkeeper_bench::compare::Plan;
use ringkeeper_bench::definition::{Definition, Load, Work};
use ringkeeper_bench::engine::{self, Target};
use ringkeeper_bench::output::Output;
use ringkeeper_bench::peers::{Launch, Peer};
use ringkeeper_bench::progress::Narrator;
use ringkeeper_bench::result::{Line, Measured};
use ringkeeper_bench::tls::{self, Extent};
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

/// Both programs, without and with TLS.
fn with_and_without_tls() -> (Vec<Launch>, tls::table::Columns) {
    let find = |peer| Launch::find(peer, Path::new(env!("CARGO_BIN_EXE_ringkeeper")), "512m");
    let pair = [Peer::Ringkeeper, Peer::ZooKeeper39].map(|peer| find(peer).expect("the programs"));
    let [ours, theirs] = pair.map(|launch| launch.line("ringkeeper.pin=false"));
    tls::launches(ours, theirs).expect("certificates")
}

#[test]
fn every_kind_of_work_is_done_over_tls_by_both_programs() {
    for launch in with_and_without_tls().0.iter().filter(|launch| launch.keys().is_some()) {
        let mut running = launch.start(1, &std::env::temp_dir()).expect("it starts");
        let target = launch.target(&mut running).expect("it serves");
        for name in ["everything", "reads-100x16", "lock-contended", "fan-out", "ephemeral-churn"] {
            let (who, mut definition) = (&launch.name, small(name));
            if name == "reads-100x16" {
                let Work::Mix(mix) = &mut definition.work else { panic!("a mix") };
                // Answers of several records, and frames that are longer than a read.
                mix.value_bytes = 100_000;
            }
            let measured = engine::run(&target, &definition, None, &mut |_| {}).expect(name);
            assert!(measured.errors.is_empty(), "{who}: {name}: {:?}", measured.errors);
            assert_eq!(measured.sessions_lost, 0, "{who}: {name}");
            assert!(measured.all.count > 0, "{who}: {name}: {measured:?}");
        }
    }
}

#[test]
fn the_cost_of_tls_is_measured_for_both_programs_and_every_cell_of_the_tables_is_filled() {
    let (launches, columns) = with_and_without_tls();
    let mut workloads = Vec::new();
    for name in tls::WORKLOADS {
        let mut definition = small(name);
        definition.seconds = 0.2;
        workloads.push((definition, vec![1]));
    }
    let (warm_up, folder) = (Duration::from_millis(200), std::env::temp_dir());
    let plan = Plan { launches, workloads, rounds: 1, threads: 1, warm_up, folder };
    let extent = Extent { connection_seconds: 2.0, sessions: 40 };
    let mut output = Output::create(None).expect("no file");
    let mut narrator = Narrator::default();
    tls::run(&plan, extent, &mut output, &mut narrator).expect("it runs");
    narrator.conclude().expect("no row is missing");
    for line in output.lines() {
        if let Line::Row(row) = line {
            assert!(row.measured.errors.is_empty(), "{row:?}");
        }
    }
    let text = tls::table::tables(output.lines(), &columns);
    println!("{text}");
    let unknown = text.lines().filter(|line| line.contains(" – |")).collect::<Vec<_>>();
    // Only connections with TLS can take up a TLS session; and so few sessions may cost nothing, which has no ratio.
    let may_be = |line: &&str| line.contains("taken up") || line.contains("memory");
    assert!(unknown.iter().all(may_be), "{unknown:#?}");
    assert!(
        text.contains("| plain: ringkeeper | zookeeper 3.9.4, Netty | ratio | TLS: "),
        "{text}"
    );
}
