//! The `zookeeper-client` crate: the program in `tools/client-crate-test`.

use std::env;
use std::process::Command;

use ringkeeper_testkit::Config;

use crate::harness;

#[test]
fn the_zookeeper_client_crate_works_with_a_server_on_one_core() {
    run_program(harness::ON_ONE_CORE);
}

#[test]
fn the_zookeeper_client_crate_works_with_a_server_on_several_cores() {
    run_program(harness::ON_SEVERAL_CORES);
}

fn run_program(wiring: &str) {
    let server = harness::server_with(Config::new().line(wiring));
    // The test runs the program through cargo, which has already built it if the whole workspace is tested.
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "client-crate-test", "--"]).arg(server.address());
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = harness::run(command, "");
    println!("{output}");
    assert_eq!(output.lines().filter(|line| line.starts_with("ok ")).count(), 9, "{output}");
}
