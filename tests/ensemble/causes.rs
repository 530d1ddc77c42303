//! What the log says of the causes, for an operator who looks at one server.

use std::fs;

use ringkeeper_testkit::{Config, Program, Server, free_port};

#[test]
fn who_finds_no_leader_says_which_members_it_does_not_reach_and_why() {
    let (own, other) = (free_port(), free_port());
    let config = Config::new()
        .line("initLimit=5")
        .line("syncLimit=2")
        .line(&format!("server.1=127.0.0.1:{own}:{}", free_port()))
        .line(&format!("server.2=127.0.0.1:{other}:{}", free_port()))
        .line("server.3=no-such-host.invalid:2888:3888");
    let mut server =
        Server::prepare(Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into()), config);
    fs::write(server.data_dir().join("myid"), "1\n").expect("a folder for tests");
    server.spawn();
    server.wait_for_log("no leader for ");
    let log = fs::read_to_string(server.log_file()).expect("its log");
    let line = log.lines().find(|line| line.contains("no leader for ")).expect("it was waited for");
    assert!(
        line.contains("WARN") && line.contains("1 of 3 voters are heard, 2 are needed"),
        "{line}"
    );
    assert!(line.contains("2 (127.0.0.1:"), "{line}");
    assert!(line.contains("Connection refused"), "{line}");
    assert!(line.contains("3 (no-such-host.invalid cannot be resolved: "), "{line}");
    server.kill();
}
