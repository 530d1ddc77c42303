//! Tests the testkit's servers with Apache ZooKeeper, which exists without ringkeeper.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ringkeeper_testkit::{Config, Program, Server};

#[test]
fn a_folder_passes_from_3_9_to_3_8_and_survives_kill_and_pause() {
    let mut server = Server::zookeeper_3_9(Config::new().line("maxClientCnxns=7"));
    assert!(server.four_letter("srvr").starts_with("Zookeeper version: 3.9.4"));
    assert!(server.four_letter("conf").contains("maxClientCnxns=7"));
    server.pause();
    server.resume();
    assert_eq!(server.four_letter("ruok"), "imok");
    server.kill();
    assert!(!server.is_running());
    server.restart_as(Program::ZooKeeper38);
    assert!(server.four_letter("srvr").starts_with("Zookeeper version: 3.8.0"));
    assert!(server.data_dir().join("version-2").is_dir());
    let (status, _) = server.terminate(Duration::from_secs(20));
    assert_eq!(status.code(), Some(143), "Java's exit code for SIGTERM");
}

#[test]
fn a_server_that_refuses_to_start_hands_over_its_status_and_words() {
    let mut server = Server::prepare(Program::ZooKeeper39, Config::new().line("tickTime=soon"));
    let (status, words) = server.run_to_exit(Duration::from_secs(60));
    assert_eq!(status.code(), Some(2));
    assert!(words.contains("soon"), "{words}");
}

#[test]
fn ringkeeper_gets_its_configuration_file_and_only_the_properties_among_the_flags() {
    let script = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(
        script.path(),
        "#!/bin/sh\necho \"$1 $(basename \"$2\") [$SERVER_JVMFLAGS]\"; exit 3\n",
    )
    .expect("a script");
    let made = Command::new("chmod").arg("+x").arg(script.path()).status().expect("chmod");
    assert!(made.success());
    let script = script.into_temp_path();
    let config = Config::new().flag("-Xmx1g").flag("-Dzookeeper.snapCount=10").flag("-Da=b");
    let mut server = Server::prepare(Program::Ringkeeper(PathBuf::from(&script)), config);
    let (status, words) = server.run_to_exit(Duration::from_secs(10));
    assert_eq!(status.code(), Some(3));
    assert!(words.contains("server zoo.cfg [-Dzookeeper.snapCount=10 -Da=b]"), "{words}");
}
