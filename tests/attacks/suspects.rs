//! A request that ends its leader's process must not end the next leader too. No such request is known, so the test
//! kills the leader while it has a request that it has not proposed.

use ringkeeper::proto::OpCode;
use ringkeeper_testkit::{Config, Ensemble};

use crate::harness::program;
use crate::raw::{Client, create, open_acl};

#[test]
fn what_a_lost_leader_was_not_seen_to_propose_is_not_passed_on() {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let through = ensemble.followers()[0];
    let mut author = Client::connect_with(ensemble.address(through), 30_000);
    let mut other = Client::connect_with(ensemble.address(through), 30_000);
    other.create("/other", b"", 0).ok();
    ensemble.pause(leader);
    let acl = open_acl();
    author.send(OpCode::Create, &create("/killer", b"", &acl, 0));
    while ensemble.mntr(through, "zk_outstanding_requests").as_deref() != Some("1") {}
    ensemble.kill(leader);
    assert!(author.receive().is_err(), "its connection is closed");
    // A client that had no request under way notices nothing.
    other.set("/other", b"x").ok();
    assert_ne!(other.get("/killer").header.err, 0, "nobody has carried it out");
    assert_ne!(ensemble.leader(), leader);
    println!("| a leader is lost with one request that it has not proposed | closed | | |");
}
