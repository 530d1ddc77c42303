//! TLS between servers: ensembles of real processes, of Ringkeeper alone and mixed with Apache ZooKeeper; the switch
//! of a running ensemble to TLS and back; and servers that must be kept out.
//!
//! `RINGKEEPER_ENSEMBLE=all` mixes with ZooKeeper 3.8 as well.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "quorum_tls/certificates.rs"]
mod certificates;
#[path = "ensemble/ground.rs"]
#[allow(dead_code, reason = "the tests of ensembles use all of it")]
mod ground;
#[path = "ensemble/load.rs"]
#[allow(dead_code, reason = "the tests of ensembles use all of it")]
mod load;
#[path = "ensemble/same.rs"]
#[allow(dead_code, reason = "the tests of ensembles use all of it")]
mod same;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use certificates::{Authority, Form};
use ground::{LIMIT, LONG_MS, config, everything, ours, turn};
use load::{Load, Pace};
use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::{Config, Ensemble, Mode, PeerType, Program};

const VOTER: PeerType = PeerType::Participant;
const OBSERVER: PeerType = PeerType::Observer;

/// The lines of a server whose certificate names this host.
fn stores(config: Config, authority: &Authority, host: &str, form: Form) -> Config {
    let (key, trust) = (authority.issue(host, certificates::NOW, form), authority.trusted(form));
    let at = |store: &str, file: &std::path::Path| {
        format!("ssl.quorum.{store}.location={}", file.display())
    };
    let config = config.line(&at("keyStore", &key)).line(&at("trustStore", &trust));
    match form {
        Form::Pem => config,
        Form::Pkcs12 => {
            let password =
                |store: &str| format!("ssl.quorum.{store}.password={}", certificates::PASSWORD);
            config.line(&password("keyStore")).line(&password("trustStore"))
        }
    }
}

fn is_java(program: &Program) -> bool {
    !matches!(program, Program::Ringkeeper(_))
}

/// An ensemble that uses TLS alone. The servers of Java have PKCS#12 files, the others PEM.
fn secured(members: &[(Program, PeerType)], authority: &Authority) -> Ensemble {
    let mut ensemble = Ensemble::prepare(members, config().line("sslQuorum=true"));
    for id in ensemble.ids() {
        let form = if is_java(&members[id - 1].0) { Form::Pkcs12 } else { Form::Pem };
        ensemble.reconfigure(id, |config| stores(config, authority, "127.0.0.1", form));
    }
    ensemble
}

/// Starts these, of which the first one has the highest id, so that it leads; and then the others.
fn start_with_leader(ensemble: &mut Ensemble, quorum: &[usize]) {
    ensemble.spawn(quorum[0]);
    let begun = Instant::now();
    while !ensemble.takes_part(quorum[0]) {
        assert!(begun.elapsed() < LIMIT, "server {} does not answer", quorum[0]);
        thread::sleep(Duration::from_millis(20));
    }
    quorum[1..].iter().for_each(|id| ensemble.spawn(*id));
    assert_eq!(ensemble.wait_leader_among(quorum, LIMIT), quorum[0]);
    ensemble.start_all();
}

fn write_on_each(ensemble: &Ensemble) {
    for id in ensemble.ids() {
        let mut session = Session::open(ensemble.address(id), LONG_MS).unwrap();
        session.create(&format!("/by{id}"), Some(&[7; 100_000]), OPEN_ACL, 0).unwrap();
        session.close().unwrap();
    }
}

fn log_of(ensemble: &Ensemble, id: usize) -> String {
    fs::read_to_string(ensemble.server(id).log_file()).unwrap()
}

/// Waits until the log of one of these servers has a line with all of these words.
fn wait_for_line(ensemble: &Ensemble, ids: &[usize], words: &[&str]) {
    let begun = Instant::now();
    loop {
        for id in ids {
            let says = |line: &str| words.iter().all(|word| line.contains(word));
            if log_of(ensemble, *id).lines().any(says) {
                return;
            }
        }
        let tails = || ensemble.tails(40);
        assert!(begun.elapsed() < LIMIT, "no line with {words:?}\n{}", tails());
        thread::sleep(Duration::from_millis(50));
    }
}

/// `host:port` of a server: 0 for the quorum port, 1 for the election port.
fn port_of(ensemble: &Ensemble, id: usize, which: usize) -> (String, u16) {
    let line = ensemble.server_line(id);
    let parts: Vec<&str> = line.split(':').collect();
    (parts[0].to_owned(), parts[1 + which].parse().unwrap())
}

#[test]
fn three_of_ours_speak_tls_and_take_new_certificates_while_they_run() {
    let _turn = turn();
    let authority = Authority::new("one");
    let members = vec![(ours(), VOTER); 3];
    let mut ensemble = secured(&members, &authority);
    ensemble.reconfigure_all(|config| config.line("sslQuorumReloadCertFiles=true"));
    ensemble.start_all();
    let leader = ensemble.leader();
    write_on_each(&ensemble);
    same::check(&mut ensemble, "over TLS");
    for id in ensemble.ids() {
        wait_for_line(
            &ensemble,
            &[id],
            &["INFO", "the certificate of this server is CN=127.0.0.1"],
        );
        let figure = |name: &str| ensemble.mntr(id, name);
        let failed = figure("quorum_tls_handshakes_failed");
        assert_eq!(failed.as_deref(), Some("0"), "{}", ensemble.tails(60));
        assert_eq!(figure("quorum_tls_handshakes_outstanding").as_deref(), Some("0"));
    }
    // What is no TLS gets no answer, and the log says from where it came.
    let follower = ensemble.followers()[0];
    for (id, which, name) in [(leader, 0, "quorum port"), (follower, 1, "election port")] {
        let mut stranger = TcpStream::connect(port_of(&ensemble, id, which)).unwrap();
        stranger.write_all(&[0; 40]).unwrap();
        assert_eq!(stranger.read(&mut [0; 10]).unwrap_or(0), 0);
        wait_for_line(&ensemble, &[id], &["WARN", name, "127.0.0.1", "it speaks without TLS"]);
    }
    // A broken file changes nothing; a new one is for new links, and those that exist live on.
    let key = authority.path("127.0.0.1", certificates::NOW, Form::Pem);
    let closed =
        |ensemble: &Ensemble| log_of(ensemble, leader).matches("connection closed").count();
    let before = closed(&ensemble);
    fs::write(&key, "nothing").unwrap();
    wait_for_line(&ensemble, &[leader], &["ERROR", "those before stay in force"]);
    authority.issue("127.0.0.1", certificates::NOW, Form::Pem);
    let say = "the certificate of this server is";
    wait_until(|| log_of(&ensemble, leader).matches(say).count() == 2);
    assert_eq!((closed(&ensemble), ensemble.leader()), (before, leader));
    ensemble.restart(follower);
    same::check(&mut ensemble, "with new certificates");
}

fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn servers_of_java_and_ours_speak_tls_in_every_role() {
    let _turn = turn();
    let versions = [Program::ZooKeeper39, Program::ZooKeeper38];
    for java in &versions[..if everything() { 2 } else { 1 }] {
        speak_in_every_role(java.clone());
    }
}

fn speak_in_every_role(java: Program) {
    for (members, quorum) in [
        // Java leads: a follower and an observer of ours.
        (vec![(ours(), VOTER), (ours(), VOTER), (java.clone(), VOTER), (ours(), OBSERVER)], [3, 2]),
        // Ringkeeper leads: a follower and an observer of Java.
        (vec![(java.clone(), VOTER), (ours(), VOTER), (ours(), VOTER), (java, OBSERVER)], [3, 1]),
    ] {
        let authority = Authority::new("one");
        let mut ensemble = secured(&members, &authority);
        start_with_leader(&mut ensemble, &quorum);
        assert_eq!(ensemble.mode(4), Some(Mode::Observer));
        write_on_each(&ensemble);
        same::check(&mut ensemble, "mixed, over TLS");
        // The other program leads as well.
        let (leader, next) = (3, 2);
        ensemble.kill(leader);
        ensemble.wait_leader_among(&[1, next], LIMIT);
        ensemble.restart(leader);
        same::check(&mut ensemble, "mixed, over TLS, after the loss of its leader");
    }
}

/// The steps of ZooKeeper's manual: each begins when all servers have taken the one before.
#[test]
fn an_ensemble_is_switched_to_tls_and_back_while_clients_write() {
    let _turn = turn();
    let authority = Authority::new("one");
    let members = [(ours(), VOTER), (Program::ZooKeeper39, VOTER), (ours(), VOTER)];
    let mut ensemble = Ensemble::prepare(&members, config());
    ensemble.start_all();
    let load = Load::start(&ensemble.addresses(), Pace::GENTLE);
    let form = |id: usize| if is_java(&members[id - 1].0) { Form::Pkcs12 } else { Form::Pem };
    let steps = [
        ("both", "portUnification=true"),
        ("TLS", "sslQuorum=true"),
        ("TLS alone", "portUnification=false"),
        ("both again", "portUnification=true"),
        ("no TLS", "sslQuorum=false"),
        ("nothing but plain", "portUnification=false"),
    ];
    for (name, line) in steps {
        let begun = Instant::now();
        for id in ensemble.ids() {
            let change =
                |config: Config| stores(config, &authority, "127.0.0.1", form(id)).line(line);
            ensemble.reconfigure(id, change);
            ensemble.restart(id);
            load.wait_acknowledged(Instant::now());
        }
        println!("{name}: {:.1?}", begun.elapsed());
    }
    let summary = load.finish();
    println!("{summary:?}");
    same::trees(&mut ensemble, "after the switch");
}

#[test]
fn servers_that_do_not_prove_who_they_are_are_kept_out_and_the_log_says_why() {
    let _turn = turn();
    let (authority, others) = (Authority::new("one"), Authority::new("two"));
    let members = vec![(ours(), VOTER); 3];
    let mut ensemble = secured(&members, &authority);
    let good = ensemble.server(3).config().clone();
    for id in [1, 2] {
        ensemble.spawn(id);
    }
    ensemble.wait_leader_among(&[1, 2], LIMIT);
    let key = |file: std::path::PathBuf| format!("ssl.quorum.keyStore.location={}", file.display());
    let pem = Form::Pem;
    let cases = [
        ("wrong authority", key(others.issue("127.0.0.1", certificates::NOW, pem)), "trustStore"),
        ("expired", key(authority.issue("127.0.0.1", certificates::PAST, pem)), "has expired"),
        (
            "too early",
            key(authority.issue("127.0.0.1", certificates::FUTURE, pem)),
            "not valid yet",
        ),
        ("wrong name", key(authority.issue("zk9.invalid", certificates::NOW, pem)), "zk9.invalid"),
        ("no TLS", "sslQuorum=false".to_owned(), "it speaks without TLS"),
    ];
    for (what, line, reason) in cases {
        println!("{what}");
        ensemble.reconfigure(3, |_| good.clone().line(&line));
        ensemble.spawn(3);
        wait_for_line(
            &ensemble,
            &[1, 2],
            &["WARN", "connection from 127.0.0.1", "refused", reason],
        );
        assert_eq!(ensemble.mode(3), None, "{what}: it takes no part");
        ensemble.kill(3);
    }
    let failed = |id| ensemble.mntr(id, "quorum_tls_handshakes_failed").unwrap();
    assert!([1, 2].iter().any(|id| failed(*id) != "0"));
    ensemble.reconfigure(3, |_| good.clone());
    ensemble.restart(3);
    same::check(&mut ensemble, "with all three");
}

#[test]
fn a_server_whose_certificate_is_revoked_is_kept_out_when_the_others_have_the_list() {
    let _turn = turn();
    let authority = Authority::new("one");
    let mut ensemble = secured(&vec![(ours(), VOTER); 3], &authority);
    let lists = authority.revoke(&[]);
    let line = format!("ringkeeper.ssl.quorum.crl.location={}", lists.display());
    let key = authority.issue_numbered(7, "127.0.0.1");
    let key = format!("ssl.quorum.keyStore.location={}", key.display());
    for id in [1, 2] {
        ensemble.reconfigure(id, |config| config.line(&line).line("ssl.quorum.crl=true"));
    }
    ensemble.reconfigure(3, |config| config.line(&key));
    ensemble.start_all();
    let days = ensemble.mntr(1, "quorum_tls_certificate_days_left").unwrap();
    assert!(days.parse::<i64>().unwrap() > 20_000, "{days}");
    assert_eq!(ensemble.mntr(1, "client_tls_certificate_days_left"), None);
    // The list is read at once, though sslQuorumReloadCertFiles is not set.
    ensemble.kill(3);
    authority.revoke(&[7]);
    for id in [1, 2] {
        ensemble.server(id).reload_certificates();
        let say = "the certificate of this server is";
        wait_until(|| log_of(&ensemble, id).matches(say).count() == 2);
    }
    ensemble.wait_leader_among(&[1, 2], LIMIT);
    ensemble.spawn(3);
    let words = ["WARN", "connection from 127.0.0.1", "refused", "it is revoked"];
    wait_for_line(&ensemble, &[1, 2], &words);
    // Who dials it refuses it as well.
    let words = ["WARN", "connection to the server at", "failed", "it is revoked"];
    wait_for_line(&ensemble, &[1, 2], &words);
    assert_eq!(ensemble.mode(3), None, "it takes no part");
    assert!(!log_of(&ensemble, 3).contains("evoked"), "{}", log_of(&ensemble, 3));
    authority.revoke(&[8]);
    for id in [1, 2] {
        ensemble.server(id).reload_certificates();
    }
    ensemble.wait_serving(3);
}

#[test]
fn an_observer_learns_from_a_follower_over_tls_and_one_without_tls_is_refused() {
    let _turn = turn();
    let authority = Authority::new("one");
    let mut members = vec![(ours(), VOTER); 3];
    members.extend([(ours(), OBSERVER), (ours(), OBSERVER)]);
    let mut ensemble = secured(&members, &authority);
    // Server 1 follows, since it comes last; it alone serves observers.
    let port = {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        held.local_addr().unwrap().port()
    };
    for id in [1, 4, 5] {
        ensemble.reconfigure(id, |config| config.line(&format!("observerMasterPort={port}")));
    }
    // The last one understands TLS, and speaks without it itself.
    ensemble.reconfigure(5, |config| config.line("sslQuorum=false").line("portUnification=true"));
    // With all three at once, the first two may have elected one of themselves before the third is there.
    for id in [2, 3] {
        ensemble.spawn(id);
    }
    assert_eq!(ensemble.wait_leader_among(&[2, 3], LIMIT), 3);
    ensemble.spawn(1);
    ensemble.wait_serving(1);
    ensemble.spawn(4);
    ensemble.wait_serving(4);
    assert_eq!(ensemble.mode(4), Some(Mode::Observer));
    assert_eq!(ensemble.mntr(4, "observer_master_id").as_deref(), Some("1"));
    let mut session = Session::open(ensemble.address(3), LONG_MS).unwrap();
    session.create("/seen", Some(&[7; 100_000]), OPEN_ACL, 0).unwrap();
    session.close().unwrap();
    let mut session = Session::open(ensemble.address(4), LONG_MS).unwrap();
    let begun = Instant::now();
    while session.get_data("/seen", false).is_err() {
        assert!(begun.elapsed() < LIMIT, "the observer does not learn");
        thread::sleep(Duration::from_millis(20));
    }
    session.close().unwrap();
    assert_eq!(ensemble.mntr(1, "synced_observers").as_deref(), Some("1"));
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stranger.write_all(&[0; 40]).unwrap();
    assert_eq!(stranger.read(&mut [0; 10]).unwrap_or(0), 0);
    wait_for_line(&ensemble, &[1], &["WARN", "observerMasterPort", "it speaks without TLS"]);
    ensemble.spawn(5);
    let words = ["WARN", "to the election port", "refused", "it speaks without TLS"];
    wait_for_line(&ensemble, &[2, 3], &words);
    assert_eq!(ensemble.mode(5), None, "it takes no part");
}

#[test]
fn a_store_that_cannot_be_used_ends_the_start_and_config_check_says_so() {
    let authority = Authority::new("one");
    let mut ensemble = secured(&vec![(ours(), VOTER); 3], &authority);
    let file = authority.path("127.0.0.1", certificates::NOW, Form::Pem);
    fs::write(&file, "no certificate").unwrap();
    let (status, log) = ensemble.server_mut(1).run_to_exit(LIMIT);
    let says = format!("ssl.quorum.keyStore.location: {}: ", file.display());
    assert!(!status.success() && log.contains(&says), "{log}");
    let zoo_cfg = ensemble.server(1).folder().join("zoo.cfg");
    let mut check = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    let output = check.args(["config", "check"]).arg(zoo_cfg).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains(&says), "{said}");
}
