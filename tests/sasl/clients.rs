//! kazoo and the Java client, which log in and are refused.

use std::fs;
use std::process::{Command, Stdio};

use ringkeeper_testkit::Environment;

use super::{ringkeeper, sources, start};

fn run(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn kazoo_logs_in_and_is_refused_as_it_should_be() {
    for wiring in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        let guarded = start(ringkeeper(), &[wiring]);
        let python = Environment::found().kazoo_suite().join("bin/python");
        let script = sources().join("kazoo_logins.py");
        let (succeeds, output) =
            run(Command::new(python).arg("-u").arg(script).arg(guarded.server.address()));
        println!("{output}");
        assert!(succeeds, "{output}");
        assert_eq!(output.lines().filter(|line| line.starts_with("ok ")).count(), 6, "{output}");
    }
}

#[test]
fn the_java_client_logs_in_and_is_refused_as_it_should_be() {
    let guarded = start(ringkeeper(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let zkcli = |user: &str, password: &str, words: &[&str]| {
        let file = folder.path().join("client.conf");
        let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
        let section =
            format!("Client {{ {module} required username=\"{user}\" password=\"{password}\"; }};");
        fs::write(&file, section).unwrap();
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dzookeeper.fips-mode=false"])
            .arg(format!("-Djava.security.auth.login.config={}", file.display()))
            .args(["-cp", &Environment::found().class_path_3_9()])
            .args(["org.apache.zookeeper.ZooKeeperMain", "-server", &guarded.server.address()])
            .args(words);
        run(&mut command)
    };
    let (succeeds, output) = zkcli("bob", "bobsecret", &["whoami"]);
    assert!(succeeds && output.contains("SaslAuthenticated"), "{output}");
    assert!(output.contains("sasl: bob"), "{output}");
    let (succeeds, output) = zkcli("bob", "bobsecret", &["create", "/j", "d", "sasl:bob:cdrwa"]);
    assert!(succeeds && output.contains("Created /j"), "{output}");
    let (_, output) = zkcli("carl@REALM", "carlsecret", &["get", "/j"]);
    assert!(output.contains("Insufficient permission"), "{output}");
    let (_, output) = zkcli("bob", "wrong", &["get", "/j"]);
    assert!(output.contains("AuthFailed") && !output.contains("SaslAuthenticated"), "{output}");
}
