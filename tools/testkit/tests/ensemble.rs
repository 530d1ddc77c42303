//! Tests the testkit's ensembles with Apache ZooKeeper, which exists without ringkeeper.

use std::time::Duration;

use ringkeeper_testkit::{Config, Ensemble, Mode, PeerType, Program};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn an_ensemble_of_two_versions_with_an_observer_replaces_its_leader() {
    let members = [
        (Program::ZooKeeper38, PeerType::Participant),
        (Program::ZooKeeper39, PeerType::Participant),
        (Program::ZooKeeper39, PeerType::Participant),
        (Program::ZooKeeper38, PeerType::Observer),
    ];
    let mut ensemble = Ensemble::prepare(&members, Config::new());
    ensemble.start_all();
    assert_eq!(ensemble.mode(4), Some(Mode::Observer));
    let leader = ensemble.leader();
    assert_eq!(ensemble.followers().len(), 2);
    assert!(ensemble.mntr(leader, "peer_state").is_some_and(|state| state.contains("leading")));
    assert!(ensemble.mntr(leader, "zk_no_such_line").is_none());
    ensemble.kill(leader);
    let next = ensemble.wait_leader(LIMIT);
    assert_ne!(next, leader);
    ensemble.restart_as(leader, Program::ZooKeeper38);
    assert_eq!(ensemble.mode(leader), Some(Mode::Follower));
    assert!(ensemble.server(leader).four_letter("srvr").starts_with("Zookeeper version: 3.8.0"));
}
