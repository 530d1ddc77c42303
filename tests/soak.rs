//! Full load for a long time, with one executor and with session cores: the server answers every request and keeps
//! every session, and its memory does not grow from round to round.
//!
//! An ordinary test run has some seconds of each kind of load. `RINGKEEPER_SOAK_SECONDS=1800` makes it half an hour of
//! each, and `RINGKEEPER_SOAK_CORES=3` chooses one number of executors; use `--release` for that.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::env;
use std::path::Path;

use ringkeeper_bench::definition::{Definition, Work};
use ringkeeper_bench::engine::{self, Target};
use ringkeeper_testkit::{Config, Server};

/// Loads that together give a server every kind of work, and that remove their nodes.
const KINDS: [&str; 5] =
    ["writes-100x16", "reads-100x16", "everything", "ephemeral-churn", "discovery"];

/// Numbers of executors: one for everything, and more than most machines that run tests have processors.
const CORES: [u32; 3] = [1, 3, 8];

/// How long each kind of load lasts in an ordinary test run.
const SECONDS: u32 = 3;

/// A kind of load is repeated in rounds of at most this length. Each leaves the tree as it was, so
/// that the memory after one round can be compared with that after another.
const ROUND_SECONDS: u32 = 60;

/// How much the memory of a server may grow from the second round of a load to the last one: the buffers of the log,
/// the arenas of the allocator and the histograms of latencies reach their sizes slowly.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

fn number_from(variable: &str) -> Option<u32> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: expected a number")))
}

/// Resident memory of a process, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

fn definition(name: &str, seconds: u32) -> Definition {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/definitions/{}.toml"), name);
    let mut definition = Definition::read(Path::new(&path)).unwrap();
    (definition.warm_up_s, definition.seconds) = (0.0, f64::from(seconds));
    if let Work::Discovery(discovery) = &mut definition.work {
        (discovery.services, discovery.instances, discovery.clients) = (10, 5, 5);
    }
    definition
}

#[test]
fn a_server_under_full_load_answers_everything_and_does_not_grow() {
    let seconds = number_from("RINGKEEPER_SOAK_SECONDS").unwrap_or(SECONDS);
    let only = number_from("RINGKEEPER_SOAK_CORES");
    for cores in CORES.into_iter().filter(|cores| only.is_none_or(|only| only == *cores)) {
        let config = Config::new()
            .line(&format!("ringkeeper.cores={cores}"))
            .line("maxClientCnxns=0")
            .line("maxSessionTimeout=120000");
        let server = Server::ringkeeper(env!("CARGO_BIN_EXE_ringkeeper"), config);
        for kind in KINDS {
            soak(&server, kind, cores, seconds);
        }
        let mntr = server.four_letter("mntr");
        assert!(mntr.contains("zk_server_state\tstandalone"), "{mntr}");
    }
}

/// Loads the server with one kind of work in rounds.
fn soak(server: &Server, kind: &str, cores: u32, seconds: u32) {
    let mut target = Target::new(vec![server.socket_addr()]);
    target.threads = 2;
    let rounds = seconds.div_ceil(ROUND_SECONDS);
    let mut resident = Vec::new();
    for round in 0..rounds {
        let definition = definition(kind, seconds.min(ROUND_SECONDS));
        let measured = engine::run(&target, &definition, None, &mut |_| {})
            .unwrap_or_else(|why| panic!("{kind}, {cores} cores: {why}\n{}", server.log_tail(60)));
        assert!(
            measured.errors.is_empty(),
            "{kind}, {cores} cores, round {round}: {:?}\n{}",
            measured.errors,
            server.log_tail(60)
        );
        assert_eq!(measured.sessions_lost, 0, "{kind}, {cores} cores, round {round}");
        assert!(measured.all.count > 0, "{kind}, {cores} cores, round {round}: nothing was done");
        resident.push(resident_kib(server.pid()));
        println!(
            "{kind}, {cores} cores, round {}/{rounds}: {:.0}/s, p99 {:.2} ms, {} MiB resident",
            round + 1,
            measured.all.per_second,
            measured.all.percentiles.p99_us / 1000.0,
            resident.last().unwrap() / 1024
        );
    }
    if let [_, second, .., last] = resident[..] {
        assert!(
            last <= second + GROWTH_KIB_MAX,
            "{kind}, {cores} cores: the server grows from round to round: {resident:?} KiB"
        );
    }
}
