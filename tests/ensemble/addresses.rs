//! Servers with several addresses, some of which are unreachable (ZooKeeper's QuorumPeerMainMultiAddressTest).

use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::error::ErrorCode;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, OPEN_ACL, Roaming, Session};
use ringkeeper_testkit::{Ensemble, Link, Network, PeerType, free_port};

use crate::ground::{LIMIT, LONG_MS, config, ours, turn};

const PATIENCE: Duration = Duration::from_secs(5);

/// Longer than two attempts to listen, after which a server without a listener gives up.
const TWO_ATTEMPTS: Duration = Duration::from_secs(3);

/// RFC 2606 guarantees that no such name exists.
const NO_HOST: &str = "invalid.hostname.unreachable.invalid";

/// The address of a server, and a second one.
fn with_another(line: &str, host: &str) -> String {
    let (addresses, client) = line.split_once(';').expect("a client port");
    let addresses = addresses.strip_suffix(":participant").unwrap_or(addresses);
    format!("{addresses}|{host}:{}:{};{client}", free_port(), free_port())
}

/// Gives each server changed lines of all servers.
fn relined(ensemble: &mut Ensemble, line: impl Fn(&str) -> String) {
    let lines: Vec<String> = ensemble
        .ids()
        .map(|id| format!("server.{id}={}", line(&ensemble.server_line(id))))
        .collect();
    ensemble.reconfigure_all(|config| lines.iter().fold(config, |config, line| config.line(line)));
}

/// A write at each server can be read at every server.
fn must_work(ensemble: &Ensemble) {
    must_work_after(ensemble, "the start");
}

fn must_work_after(ensemble: &Ensemble, what: &str) {
    let path = |id: usize| format!("/after {what} by {id}");
    for id in ensemble.ids() {
        let mut session =
            Roaming::open(&[ensemble.address(id)], LONG_MS, PATIENCE, LIMIT).expect("a session");
        session.create(&path(id), Some(b"x"), OPEN_ACL, 0, LIMIT).expect("create");
        session.close(LIMIT).expect("closeSession");
    }
    for id in ensemble.ids() {
        let mut session =
            Roaming::open(&[ensemble.address(id)], LONG_MS, PATIENCE, LIMIT).expect("a session");
        session.call(OpCode::Sync, &Body::path("/"), LIMIT).expect("sync");
        for by in ensemble.ids() {
            session.read(&path(by), LIMIT).expect("what was written there");
        }
    }
}

/// The line of a server without its last address.
fn without_last(line: &str) -> String {
    let (addresses, client) = line.split_once(';').expect("a client port");
    let (addresses, _) = addresses.rsplit_once('|').expect("more than one address");
    format!("{addresses};{client}")
}

/// Changes the ensemble: some members get new lines, or all members are listed anew.
fn reconfig(ensemble: &Ensemble, lines: &[String], anew: bool) {
    let text = lines.join(",");
    let (joining, members) = if anew { (None, Some(&text)) } else { (Some(&text), None) };
    let text = |text: Option<&String>| Body::new().buffer(text.map(String::as_bytes));
    let body = text(joining).append(&text(None)).append(&text(members)).long(-1);
    let begun = Instant::now();
    loop {
        // A leader whose own addresses change may be stopping, and its successor may not lead yet.
        let outcome = Session::open(ensemble.address(1), LONG_MS)
            .map_err(|error| error.to_string())
            .and_then(|mut session| {
                session.call(OpCode::Reconfig, &body).map_err(|error| format!("{error:?}"))
            });
        match outcome {
            Ok(_) => return,
            Err(error) => assert!(begun.elapsed() < LIMIT, "{lines:?}: {error}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn must_serve(ensemble: &mut Ensemble) {
    for id in ensemble.ids() {
        assert!(ensemble.mode(id).is_some(), "server {id} gave up:\n{}", ensemble.tails(20));
    }
}

#[test]
fn an_ensemble_forms_though_each_server_has_an_address_that_nobody_knows() {
    let _turn = turn();
    for own in ["127.0.0.1", "[0:0:0:0:0:0:0:1]"] {
        for other in [NO_HOST, own] {
            let config = config()
                .flag("-Dzookeeper.multiAddress.enabled=true")
                .flag("-Dzookeeper.electionPortBindRetry=1");
            let members = vec![(ours(), PeerType::Participant); 3];
            let mut ensemble = Ensemble::prepare(&members, config);
            relined(&mut ensemble, |line| with_another(&line.replacen("127.0.0.1", own, 1), other));
            let began = Instant::now();
            ensemble.start_all();
            println!("{own} and {other}: {} ms until all serve", began.elapsed().as_millis());
            must_work(&ensemble);
            if other == NO_HOST {
                thread::sleep(TWO_ATTEMPTS);
                must_serve(&mut ensemble);
            }
            // A restarted server reaches the others, and the others reach it.
            let leader = ensemble.leader();
            ensemble.restart(leader);
            assert!(began.elapsed() < LIMIT, "{own} and {other}: {:?}", began.elapsed());
        }
    }
}

#[test]
fn an_ensemble_forms_though_the_first_address_of_each_server_swallows_everything() {
    let _turn = turn();
    let network = Network::new(4);
    network.namespace(network.clients()).run(|| {
        // An address of the network without a host, from which no packet comes back.
        let silent = network.address(3);
        network.set_around(3, Link::CUT);
        let config = config()
            .line("quorumListenOnAllIPs=true")
            .flag("-Dzookeeper.multiAddress.enabled=true")
            .flag("-Dzookeeper.multiAddress.reachabilityCheckEnabled=false");
        let members = vec![(ours(), PeerType::Participant); 3];
        let mut ensemble = Ensemble::prepare_in(&network, &members, config);
        relined(&mut ensemble, |line| {
            let (host, rest) = line.split_once(':').expect("a host");
            let ports: Vec<&str> = rest.split([':', ';']).collect();
            let (_, client) = line.split_once(';').expect("a client port");
            let (quorum, election) = (ports[0], ports[1]);
            format!("{silent}:{quorum}:{election}|{host}:{quorum}:{election};{client}")
        });
        let began = Instant::now();
        ensemble.start_all();
        println!("{} ms until all serve", began.elapsed().as_millis());
        must_work(&ensemble);
        assert!(began.elapsed() < LIMIT - Duration::from_secs(30), "{:?}", began.elapsed());
    });
}

#[test]
fn a_second_address_is_a_bad_argument_unless_it_is_allowed() {
    let _turn = turn();
    for (allowed, expected) in [("false", Some(ErrorCode::BadArguments)), ("true", None)] {
        let config = config()
            .line("reconfigEnabled=true")
            .flag("-Dzookeeper.skipACL=yes")
            .flag(&format!("-Dzookeeper.multiAddress.enabled={allowed}"));
        let ensemble = Ensemble::start(&[ours(), ours(), ours()], config);
        let line = format!("server.1={}", with_another(&ensemble.server_line(1), "127.0.0.1"));
        let mut session = Session::open(ensemble.address(1), LONG_MS).expect("a session");
        let text = |text: Option<&str>| Body::new().buffer(text.map(str::as_bytes));
        let body = text(Some(&line)).append(&text(None)).append(&text(None)).long(-1);
        match (session.call(OpCode::Reconfig, &body), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) if error.is(expected) => {}
            (other, _) => panic!("multiAddress.enabled={allowed}: {other:?}"),
        }
    }
}

#[test]
fn servers_get_and_lose_addresses_while_they_serve() {
    let _turn = turn();
    for own in ["127.0.0.1", "[0:0:0:0:0:0:0:1]"] {
        let config = config()
            .line("reconfigEnabled=true")
            .flag("-Dzookeeper.skipACL=yes")
            .flag("-Dzookeeper.multiAddress.enabled=true");
        let mut ensemble = Ensemble::prepare(&vec![(ours(), PeerType::Participant); 3], config);
        let mut lines: Vec<String> = ensemble
            .ids()
            .map(|id| {
                let line = ensemble.server_line(id).replacen("127.0.0.1", own, 1);
                format!("server.{id}={}", with_another(&with_another(&line, own), own))
            })
            .collect();
        ensemble
            .reconfigure_all(|config| lines.iter().fold(config, |config, line| config.line(line)));
        ensemble.start_all();
        must_work(&ensemble);

        lines[0] = with_another(&lines[0], own);
        reconfig(&ensemble, &lines, false);
        must_work_after(&ensemble, "one more");

        lines[0] = without_last(&lines[0]);
        lines[1] = without_last(&without_last(&lines[1]));
        lines[2] = without_last(&lines[2]);
        reconfig(&ensemble, &lines, false);
        must_work_after(&ensemble, "fewer");

        lines[1] = with_another(&lines[1], own);
        lines[2] = with_another(&without_last(&lines[2]), own);
        reconfig(&ensemble, &lines, true);
        must_work_after(&ensemble, "others");
        let leader = ensemble.leader();
        ensemble.restart(leader);
        must_work_after(&ensemble, "a restart");
    }
}

/// A server that waits to be added runs on a host that the members do not know. If it has the smallest id, the members
/// only see its connection attempt, and connect to it themselves.
#[test]
fn a_server_joins_from_a_host_that_is_not_in_the_configuration() {
    let _turn = turn();
    for joining in [4, 1] {
        let network = Network::new(4);
        network.namespace(network.clients()).run(|| {
            let config = config().line("reconfigEnabled=true").flag("-Dzookeeper.skipACL=yes");
            let members = vec![(ours(), PeerType::Participant); 4];
            let mut ensemble = Ensemble::prepare_in(&network, &members, config);
            let others: Vec<usize> = ensemble.ids().filter(|id| *id != joining).collect();
            for id in &others {
                ensemble
                    .reconfigure(*id, |config| config.without_line(&format!("server.{joining}")));
                ensemble.spawn(*id);
            }
            others.iter().for_each(|id| ensemble.wait_serving(*id));
            ensemble.spawn(joining);
            ensemble.wait_serving(joining);
            let line = format!("server.{joining}={}", ensemble.server_line(joining));
            let text = |text: Option<&str>| Body::new().buffer(text.map(str::as_bytes));
            let body = text(Some(&line)).append(&text(None)).append(&text(None)).long(-1);
            let begun = Instant::now();
            let mut session =
                Session::open(ensemble.address(others[0]), LONG_MS).expect("a session");
            session.call(OpCode::Reconfig, &body).expect("a reconfiguration");
            println!("server {joining} was added within {} ms", begun.elapsed().as_millis());
            must_work_after(&ensemble, "it has joined");
            // Its vote counts: with it, and without one of the others, there is a quorum.
            ensemble.kill(others[1]);
            ensemble.restart(joining);
            ensemble.wait_leader_among(&[joining, others[0], others[2]], LIMIT);
        });
    }
}
