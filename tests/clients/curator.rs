//! Apache Curator 5.9: a Java program in `curator/` that runs every recipe with assertions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ringkeeper_testkit::{Config, Environment};

use crate::harness::{self, ON_ONE_CORE, ON_SEVERAL_CORES};

#[test]
fn curators_locks_and_semaphores_exclude_and_let_in() {
    run_group("locks", 9, ON_SEVERAL_CORES);
}

#[test]
fn curators_leader_latch_and_selector_elect_one_leader_at_a_time() {
    run_group("leaders", 4, ON_ONE_CORE);
}

#[test]
fn curators_caches_and_watches_see_every_change_in_order() {
    run_group("caches", 11, ON_SEVERAL_CORES);
}

#[test]
fn curators_barriers_and_counters_agree_between_clients() {
    run_group("counters", 7, ON_ONE_CORE);
}

#[test]
fn curator_creates_reads_and_changes_nodes_of_every_kind() {
    run_group("nodes", 12, ON_ONE_CORE);
}

#[test]
fn curators_queues_hand_over_each_item_once_and_in_order() {
    run_group("queues", 6, ON_SEVERAL_CORES);
}

#[test]
fn curators_sessions_survive_a_broken_network_and_expire_after_a_long_one() {
    run_group("sessions", 7, ON_SEVERAL_CORES);
}

/// Runs the recipes of one group on a server with this wiring, and checks that as many ran as there should be.
fn run_group(group: &str, recipes: usize, wiring: &str) {
    let environment = Environment::found();
    let class_path =
        format!("{}:{}", classes(&environment).display(), environment.class_path_3_9());
    let server = harness::server_with(Config::new().line(wiring));
    let mut command = Command::new("java");
    command
        .args([
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &class_path,
            "Main",
        ])
        .args([&server.address(), group]);
    let output = harness::run(command, "");
    println!("{output}");
    assert_eq!(
        output.lines().filter(|line| line.starts_with("ok ")).count(),
        recipes,
        "recipes that ran"
    );
}

/// The folder of the compiled program. The first test of this process compiles it.
fn classes(environment: &Environment) -> &'static Path {
    static CLASSES: OnceLock<PathBuf> = OnceLock::new();
    CLASSES.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("curator");
        let _ = fs::remove_dir_all(&target);
        let sources =
            fs::read_dir(harness::sources().join("curator")).expect("the program's folder");
        let mut command = Command::new("javac");
        command.args(["-cp", &environment.class_path_3_9(), "-d"]).arg(&target);
        command.args(sources.map(|entry| entry.expect("an entry of a folder").path()));
        harness::run(command, "");
        target
    })
}
