//! Ensembles with Kerberos between servers that live through a change: the rolling switch under load, a key distribution
//! centre that is away for a while, and TLS on the same links. The servers of ours have session cores.
//!
//! One ensemble runs at a time, because Java machines fill the cores.

use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_history::longest_gap;
use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::{Config, Ensemble, PeerType, Program};

use super::certificates::{self, Authority, Form};
use super::ground::{self, LIMIT, LONG_MS, turn};
use super::kdc::Kdc;
use super::load::{Load, Pace};
use super::servers::{SWITCHES, figure, log, members};
use super::{ringkeeper, site};

const CORES: &str = "ringkeeper.cores=3";

/// An ensemble of these programs, of which ours have session cores.
fn ensemble(programs: [Program; 3], config: Config) -> Ensemble {
    let ours = programs.clone().map(|program| matches!(program, Program::Ringkeeper(_)));
    let members = programs.map(|program| (program, PeerType::Participant));
    let mut ensemble = Ensemble::prepare(&members, config);
    for id in ensemble.ids().filter(|id| ours[id - 1]) {
        ensemble.reconfigure(id, |config| config.line(CORES));
    }
    ensemble
}

fn write_at(ensemble: &Ensemble, id: usize, path: &str) {
    let mut session = Session::open(ensemble.address(id), LONG_MS).unwrap();
    session.create(path, Some(b"x"), OPEN_ACL, 0).unwrap();
    session.close().unwrap();
}

fn wait_until(ensemble: &Ensemble, what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "{what}\n{}", ensemble.tails(40));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn logins_by_kerberos_are_switched_on_server_by_server_under_load() {
    let _turn = turn();
    let (config, _folder) = members(&site().kdc, ground::config());
    let mut ensemble = ensemble([ringkeeper(), ringkeeper(), Program::ZooKeeper39], config);
    ensemble.start_all();
    let load = Load::start(&ensemble.addresses(), Pace::GENTLE);
    let begun = Instant::now();
    for line in SWITCHES {
        ensemble.reconfigure_all(|config| config.line(line));
        let leader = ensemble.leader();
        let mut order: Vec<usize> = ensemble.ids().filter(|id| *id != leader).collect();
        order.push(leader);
        for id in order {
            ensemble.server_mut(id).terminate(LIMIT);
            ensemble.restart(id);
            load.wait_acknowledged(Instant::now());
        }
        println!("{line}: {:.1?} since the beginning", begun.elapsed());
    }
    for id in [1, 2] {
        assert!(figure(&ensemble, id, "zk_quorum_logins_made") >= 1, "server {id}");
        assert_eq!(figure(&ensemble, id, "zk_quorum_logins_refused"), 0, "{}", log(&ensemble, id));
    }
    let longest = longest_gap(&load.recorder().acknowledgements());
    println!("longest time without an acknowledged write: {} ms", longest.as_millis());
    println!("{:?}", load.finish());
}

#[test]
fn links_outlive_the_key_distribution_centre_and_new_ones_come_when_it_is_back() {
    let _turn = turn();
    let mut kdc = Kdc::start("AWAY.TEST", &["zkquorum/127.0.0.1"]);
    kdc.keytab("zkquorum/127.0.0.1", "quorum");
    let (config, _folder) = members(&kdc, ground::config());
    let config = SWITCHES.iter().fold(config, |config, line| config.line(line));
    let mut ensemble = ensemble([ringkeeper(), ringkeeper(), ringkeeper()], config);
    ensemble.start_all();
    let leader = ensemble.leader();
    let made = |ensemble: &Ensemble| figure(ensemble, leader, "zk_quorum_logins_accepted");
    let before = made(&ensemble);
    kdc.stop();
    for round in 0..3 {
        for id in ensemble.ids() {
            write_at(&ensemble, id, &format!("/away-{round}-{id}"));
        }
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!((ensemble.leader(), made(&ensemble)), (leader, before), "no link began anew");
    // A process that has just started has no ticket, and says so.
    let outside = ensemble.followers()[0];
    ensemble.kill(outside);
    ensemble.spawn(outside);
    let words = [
        "WARN",
        "cannot log in at another server: SASL",
        "Cannot contact any KDC for realm 'AWAY.TEST'",
    ];
    let says = |line: &str| words.iter().all(|part| line.contains(part));
    wait_until(&ensemble, words[1], || log(&ensemble, outside).lines().any(says));
    assert_eq!(ensemble.mode(outside), None, "it follows nobody");
    write_at(&ensemble, leader, "/without-it");
    kdc.start_again();
    let begun = Instant::now();
    ensemble.wait_serving(outside);
    println!("the server is back {:.1?} after the centre", begun.elapsed());
    write_at(&ensemble, outside, "/with-it");
}

#[test]
fn servers_log_in_by_kerberos_within_tls_also_at_those_of_zookeeper() {
    let _turn = turn();
    let (config, _folder) = members(&site().kdc, ground::config());
    let config = SWITCHES.iter().fold(config, |config, line| config.line(line));
    let programs = [ringkeeper(), ringkeeper(), Program::ZooKeeper39];
    let mut ensemble = ensemble(programs, config.line("sslQuorum=true"));
    let authority = Authority::new("one");
    for id in ensemble.ids() {
        let form = if id == 3 { Form::Pkcs12 } else { Form::Pem };
        let key = authority.issue("127.0.0.1", certificates::NOW, form);
        let stores = [("keyStore", key), ("trustStore", authority.trusted(form))];
        for (store, file) in stores {
            let line = format!("ssl.quorum.{store}.location={}", file.display());
            let password = format!("ssl.quorum.{store}.password={}", certificates::PASSWORD);
            ensemble.reconfigure(id, |config| match form {
                Form::Pem => config.line(&line),
                Form::Pkcs12 => config.line(&line).line(&password),
            });
        }
    }
    // Of two servers that know nothing, the one with the larger id leads.
    for id in [3, 1] {
        ensemble.spawn(id);
    }
    ensemble.wait_leader_among(&[3], LIMIT);
    ensemble.start_all();
    for id in ensemble.ids() {
        write_at(&ensemble, id, &format!("/java-leads-{id}"));
    }
    ensemble.kill(3);
    let leader = ensemble.wait_leader_among(&[1, 2], LIMIT);
    ensemble.restart(3);
    for id in ensemble.ids() {
        ensemble.wait_serving(id);
        write_at(&ensemble, id, &format!("/java-follows-{id}"));
    }
    assert!(figure(&ensemble, leader, "zk_quorum_logins_accepted") >= 2);
    for id in [1, 2] {
        assert_eq!(figure(&ensemble, id, "zk_quorum_logins_refused"), 0, "{}", log(&ensemble, id));
        let log = log(&ensemble, id);
        assert!(log.contains("the certificate of this server is CN=127.0.0.1"), "{log}");
    }
    let said = "Successfully completed the authentication using SASL";
    assert!(log(&ensemble, 3).contains(said));
}
