//! SASL between servers (`quorum.auth.*`, DIGEST-MD5) on ensembles of real processes: Ringkeeper alone and with Apache
//! ZooKeeper 3.9.4 in every role, the rolling switch under load, and what is refused.
//!
//! One ensemble runs at a time, because Java machines fill the cores.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "ensemble/ground.rs"]
#[allow(dead_code, reason = "it is shared with the tests of ensembles")]
mod ground;
#[path = "ensemble/load.rs"]
#[allow(dead_code, reason = "it is shared with the tests of ensembles")]
mod load;
#[path = "quorum_sasl/refused.rs"]
mod refused;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_history::longest_gap;
use ringkeeper_rawclient::{OPEN_ACL, Roaming};
use ringkeeper_testkit::{Config, Ensemble, Mode, PeerType, Program};
use tempfile::TempDir;

use ground::{LIMIT, LONG_MS, ours, turn};
use load::{Load, Pace};

const ENABLE: &str = "quorum.auth.enableSasl=true";
const LEARNERS: &str = "quorum.auth.learnerRequireSasl=true";
const SERVERS: &str = "quorum.auth.serverRequireSasl=true";
const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule required";

/// JAAS files for servers that know each other, and for some that do not.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Files {
        Files { folder: tempfile::tempdir().unwrap() }
    }

    /// A file of a server that logs in as `zk`, with two more sections that nobody can log in with.
    fn file(&self) -> PathBuf {
        let path = self.folder.path().join("jaas.conf");
        let learner = |section: &str, name: &str, password: &str| {
            format!(
                "{section} {{\n {MODULE}\n username=\"{name}\"\n password=\"{password}\"; }};\n"
            )
        };
        let text = [
            format!("QuorumServer {{\n {MODULE}\n user_zk=\"swordfish\"\n user_other=\"b\"; }};\n"),
            learner("QuorumLearner", "zk", "swordfish"),
            learner("WrongPassword", "zk", "wrong"),
            learner("UnknownUser", "nobody", "swordfish"),
        ];
        fs::write(&path, text.concat()).unwrap();
        path
    }

    /// The options of a member that can take part in logins. Java needs fips-mode=false for DIGEST-MD5.
    fn config(&self) -> Config {
        ground::config()
            .flag(&format!("-Djava.security.auth.login.config={}", self.file().display()))
            .flag("-Dzookeeper.fips-mode=false")
    }

    /// The same, where everything is demanded.
    fn guarded(&self) -> Config {
        self.config().line(ENABLE).line(LEARNERS).line(SERVERS)
    }
}

/// Writes a node and reads it at each server.
fn write_and_read(ensemble: &mut Ensemble, path: &str) {
    let mut writer =
        Roaming::open(&ensemble.addresses(), LONG_MS, Duration::from_secs(5), LIMIT).unwrap();
    writer.create(path, Some(b"x"), OPEN_ACL, 0, LIMIT).unwrap();
    writer.close(LIMIT).unwrap();
    for id in ensemble.ids() {
        let address = [ensemble.address(id)];
        let mut reader = Roaming::open(&address, LONG_MS, Duration::from_secs(5), LIMIT).unwrap();
        let begun = Instant::now();
        while reader.read(path, LIMIT).is_err() {
            assert!(begun.elapsed() < LIMIT, "server {id} does not have {path}");
        }
        reader.close(LIMIT).unwrap();
    }
}

/// A figure of `mntr`.
fn figure(ensemble: &Ensemble, id: usize, name: &str) -> u64 {
    ensemble.mntr(id, name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// The log of a server so far.
fn log(ensemble: &Ensemble, id: usize) -> String {
    fs::read_to_string(ensemble.server(id).log_file()).unwrap()
}

fn no_secret_in_the_logs(ensemble: &Ensemble) {
    for id in ensemble.ids() {
        let log = log(ensemble, id);
        for secret in ["swordfish", "rspauth=", "response=", "nonce="] {
            assert!(!log.contains(secret), "{secret} is in the log of server {id}");
        }
    }
}

#[test]
fn servers_log_in_at_each_other_and_an_observer_at_its_follower() {
    let _turn = turn();
    let files = Files::new();
    let mut members = vec![(ours(), PeerType::Participant); 3];
    members.push((ours(), PeerType::Observer));
    let mut ensemble = Ensemble::prepare(&members, files.guarded());
    // Server 1 follows, since the largest id leads first; it alone serves observers.
    let port = {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        held.local_addr().unwrap().port()
    };
    for id in [1, 4] {
        ensemble.reconfigure(id, |config| config.line(&format!("observerMasterPort={port}")));
    }
    ensemble.start_all();
    write_and_read(&mut ensemble, "/one");
    let leader = ensemble.leader();
    assert_eq!(leader, 3);
    assert!(figure(&ensemble, leader, "zk_quorum_logins_accepted") >= 2);
    assert!(figure(&ensemble, 4, "zk_quorum_logins_made") >= 1);
    assert_eq!(ensemble.mode(4), Some(Mode::Observer));
    assert!(log(&ensemble, 1).contains("port=observerMaster"), "{}", ensemble.tails(30));
    ensemble.kill(leader);
    let next = ensemble.wait_leader_among(&[1, 2], LIMIT);
    ensemble.restart(leader);
    assert_ne!(next, leader);
    for id in ensemble.ids() {
        ensemble.wait_serving(id);
    }
    write_and_read(&mut ensemble, "/two");
    for id in ensemble.ids() {
        assert_eq!(figure(&ensemble, id, "zk_quorum_logins_refused"), 0, "{}", log(&ensemble, id));
    }
    no_secret_in_the_logs(&ensemble);
}

#[test]
fn servers_of_both_kinds_log_in_at_each_other_in_every_role() {
    let _turn = turn();
    let files = Files::new();
    let java = Program::ZooKeeper39;
    let (voter, observer) = (PeerType::Participant, PeerType::Observer);
    let members = [
        (ours(), voter),
        (ours(), voter),
        (java.clone(), voter),
        (java, observer),
        (ours(), observer),
    ];
    let mut ensemble = Ensemble::prepare(&members, files.guarded());
    // It takes longer to start than the others, which would elect one of themselves.
    ensemble.spawn(3);
    while !ensemble.takes_part(3) {
        thread::sleep(Duration::from_millis(20));
    }
    ensemble.start_all();
    assert_eq!(ensemble.leader(), 3, "the server of Apache ZooKeeper leads first");
    write_and_read(&mut ensemble, "/java-leads");
    ensemble.kill(3);
    let leader = ensemble.wait_leader_among(&[1, 2], LIMIT);
    for id in [1, 2, 4, 5] {
        ensemble.wait_serving(id);
    }
    ensemble.restart(3);
    assert_eq!(ensemble.mode(3), Some(Mode::Follower));
    write_and_read(&mut ensemble, "/java-follows");
    assert!(figure(&ensemble, leader, "zk_quorum_logins_accepted") >= 2);
    for id in [1, 2, 5] {
        assert_eq!(figure(&ensemble, id, "zk_quorum_logins_refused"), 0, "{}", log(&ensemble, id));
    }
    let said = "Successfully completed the authentication using SASL";
    assert!(log(&ensemble, 3).contains(said));
    no_secret_in_the_logs(&ensemble);
}

#[test]
fn logins_are_switched_on_and_off_server_by_server_under_load() {
    let _turn = turn();
    let files = Files::new();
    let programs = [ours(), ours(), Program::ZooKeeper39];
    let mut ensemble = Ensemble::start(&programs, files.config());
    let load = Load::start(&ensemble.addresses(), Pace::GENTLE);
    let begun = Instant::now();
    let off = |line: &str| line.split_once('=').unwrap().0.to_owned();
    let steps: [(&str, bool); 6] = [
        (ENABLE, true),
        (LEARNERS, true),
        (SERVERS, true),
        (SERVERS, false),
        (LEARNERS, false),
        (ENABLE, false),
    ];
    for (line, on) in steps {
        ensemble.reconfigure_all(|config| match on {
            true => config.line(line),
            false => config.without_line(&off(line)),
        });
        let leader = ensemble.leader();
        let mut order: Vec<usize> = ensemble.ids().filter(|id| *id != leader).collect();
        order.push(leader);
        for id in order {
            ensemble.server_mut(id).terminate(LIMIT);
            ensemble.restart(id);
            load.wait_acknowledged(Instant::now());
        }
        println!("{line} {on}: {:.1?} since the beginning", begun.elapsed());
        if (line, on) == (SERVERS, true) {
            for id in [1, 2] {
                assert!(figure(&ensemble, id, "zk_quorum_logins_made") >= 1, "server {id}");
            }
        }
    }
    let longest = longest_gap(&load.recorder().acknowledgements());
    println!("longest time without an acknowledged write: {} ms", longest.as_millis());
    println!("{:?}", load.finish());
    no_secret_in_the_logs(&ensemble);
}
