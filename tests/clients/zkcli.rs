//! zkCli.sh, ZooKeeper's own command line: the commands of `zkcli.txt` on a fresh server must answer
//! exactly `zkcli.golden`, which was recorded on Apache ZooKeeper 3.9.4. Only times are left out.
//!
//! To record it again (and explain the difference):
//! `RINGKEEPER_CLIENT_TESTS_AGAINST=zookeeper-3.9 RINGKEEPER_RECORD_GOLDEN=1 cargo test zkcli`.

use std::env;
use std::fs;
use std::process::Command;

use ringkeeper_testkit::{Environment, Program, Server};

use crate::harness;

#[test]
fn zkcli_of_3_8_gets_the_same_answers_as_from_apache_zookeeper() {
    let mut command = Command::new(Environment::found().zkcli());
    // The wrapper script writes its log to a folder that only root may write.
    command.env("ZOO_LOG_DIR", env!("CARGO_TARGET_TMPDIR"));
    check(command, true);
}

#[test]
fn zkcli_of_3_9_gets_the_same_answers_as_from_apache_zookeeper() {
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.args([&Environment::found().class_path_3_9(), "org.apache.zookeeper.ZooKeeperMain"]);
    check(command, false);
}

#[test]
fn a_single_command_of_zkcli_tells_by_its_exit_status_whether_it_went_well() {
    let server = harness::server();
    let status_of = |words: &[&str]| {
        let mut command = Command::new(Environment::found().zkcli());
        command.args(["-server", &server.address()]).args(words);
        command.output().expect("zkCli.sh").status.code()
    };
    assert_eq!(status_of(&["create", "/a", "x"]), Some(0));
    assert_eq!(status_of(&["ls", "/a"]), Some(0));
    assert_eq!(status_of(&["ls", "/b"]), Some(1));
    assert_eq!(status_of(&["delete", "/"]), Some(1));
}

fn check(mut command: Command, may_record: bool) {
    let server: Server = harness::server();
    command.args(["-server", &server.address()]);
    let script = harness::sources().join("zkcli.txt");
    let golden = harness::sources().join("zkcli.golden");
    let answers = normal(&harness::run(command, &fs::read_to_string(script).expect("the script")));
    if may_record
        && env::var_os("RINGKEEPER_RECORD_GOLDEN").is_some()
        && harness::program() == Program::ZooKeeper39
    {
        fs::write(&golden, &answers).expect("writing the golden file");
    }
    let expected = fs::read_to_string(&golden).expect("the golden file");
    for (number, (expected, actual)) in expected.lines().zip(answers.lines()).enumerate() {
        assert_eq!(actual, expected, "line {} of {}:\n{answers}", number + 1, golden.display());
    }
    assert_eq!(answers.lines().count(), expected.lines().count(), "lines:\n{answers}");
}

/// The output without everything that depends on the time, the port or the threads of the client: first the answers,
/// then the events, which another thread of the client prints.
fn normal(output: &str) -> String {
    let mut answers: Vec<String> = Vec::new();
    let mut events = String::new();
    // The last line of the banner. The connection's events come from another thread: the first one
    // perhaps before the first answer, the last one perhaps never, when the client ends before it.
    let begin = output.find("JLine support is").expect("a banner");
    assert!(output.contains("state:SyncConnected type:None"), "a connection");
    for line in output[begin..].lines().skip(1) {
        if line.starts_with("WatchedEvent") && line.contains(" type:None ") {
            continue;
        }
        if line.starts_with("WatchedEvent") {
            // 3.9 adds the zxid of the event.
            let line = line.split(" zxid:").next().expect("the first part of a split");
            events.push_str(line);
            events.push('\n');
            continue;
        }
        let skipped = ["WATCHER::", "SLF4J", "ctime = ", "mtime = ", "log4j:"];
        if line.trim().is_empty() || skipped.iter().any(|word| line.starts_with(word)) {
            continue;
        }
        answers.push(sorted_list(line));
    }
    // The identities of whoami come from a hash table too.
    let header = answers.iter().position(|line| line == "Auth scheme: User");
    if let Some(identities) = header.and_then(|header| answers.get_mut(header + 1..header + 3)) {
        identities.sort_unstable();
    }
    format!("{}\n---- events\n{events}", answers.join("\n"))
}

/// A list in brackets, sorted: the server promises no order, and Java's is that of a hash table.
fn sorted_list(line: &str) -> String {
    match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        None => line.to_owned(),
        Some(list) => {
            let mut items: Vec<&str> = list.split(", ").collect();
            items.sort_unstable();
            format!("[{}]", items.join(", "))
        }
    }
}
