//! The `zookeeper-client` crate: the program in `tools/client-crate-test`.

use std::env;
use std::process::Command;

use crate::harness;

#[test]
fn the_zookeeper_client_crate_works_with_everything_it_knows() {
    let server = harness::server();
    // Through cargo, which has it built already where the whole workspace is tested.
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "client-crate-test", "--"]).arg(server.address());
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = harness::run(command, "");
    println!("{output}");
    assert_eq!(output.lines().filter(|line| line.starts_with("ok ")).count(), 9, "{output}");
}
