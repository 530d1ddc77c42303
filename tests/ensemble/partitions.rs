//! Network partitions under load: each server runs in a network namespace of its own, and the test controls the links.
//! No acknowledged write is lost, there is one history of writes, and after the partition all servers hold the same
//! data.

use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_testkit::{Ensemble, Link, Network, PeerType, Program};

use crate::faults::wait_quorum;
use crate::ground::{LIMIT, config, everything, ours, turn};
use crate::load::{Load, Pace};
use crate::same;

const SERVERS: usize = 3;
/// Longer than `syncLimit`, so that the leader gives up a server that is cut off.
const CUT_FOR: Duration = Duration::from_secs(6);
const FLAPS: u32 = 12;
const FLAP: Duration = Duration::from_millis(350);
const LOSS_PER_MILLE: u32 = 50;
const DELAY: Duration = Duration::from_millis(50);

/// A change to the network. Its hosts are those of the leader and of two followers.
struct Story {
    name: &'static str,
    breaks: fn(&Network, leader: usize, others: &[usize]),
}

const STORIES: &[Story] = &[
    Story {
        name: "the leader is cut off",
        breaks: |network, leader, _| {
            network.set_around(leader, Link::CUT);
            thread::sleep(CUT_FOR);
        },
    },
    Story {
        name: "a follower is cut off",
        breaks: |network, _, others| {
            network.set_around(others[0], Link::CUT);
            thread::sleep(CUT_FOR);
        },
    },
    Story {
        name: "the leader hears nobody",
        breaks: |network, leader, others| {
            others.iter().for_each(|other| network.set(*other, leader, Link::CUT));
            thread::sleep(CUT_FOR);
        },
    },
    Story {
        name: "nobody hears the leader",
        breaks: |network, leader, others| {
            others.iter().for_each(|other| network.set(leader, *other, Link::CUT));
            thread::sleep(CUT_FOR);
        },
    },
    Story {
        name: "the link between the leader and a follower flaps",
        breaks: |network, leader, others| {
            for flap in 0..FLAPS {
                let link = if flap % 2 == 0 { Link::CUT } else { Link::GOOD };
                network.set_both(leader, others[0], link);
                thread::sleep(FLAP);
            }
        },
    },
    Story {
        name: "50 ms and 5 % loss between all servers",
        breaks: |network, _, _| {
            network.set_all(Link::bad(DELAY, LOSS_PER_MILLE));
            thread::sleep(CUT_FOR);
        },
    },
];

#[test]
fn nothing_acknowledged_is_lost_when_the_network_breaks() {
    let _turn = turn();
    let mut programs = vec![ours()];
    if everything() && ours() != Program::ZooKeeper39 {
        programs.push(Program::ZooKeeper39);
    }
    for program in programs {
        let network = Network::new(SERVERS);
        network.namespace(network.clients()).run(|| tell_all(&network, &program));
    }
}

fn tell_all(network: &Network, program: &Program) {
    let members = vec![(program.clone(), PeerType::Participant); SERVERS];
    // Each host is a namespace of its own, so a server that listens on all addresses is reachable only there.
    let config = config().line("quorumListenOnAllIPs=true");
    let mut ensemble = Ensemble::prepare_in(network, &members, config);
    ensemble.start_all();
    let load = Load::start(&ensemble.addresses(), Pace::GENTLE);
    for story in STORIES {
        let leader = ensemble.leader();
        let others: Vec<usize> =
            ensemble.ids().filter(|id| *id != leader).map(|id| id - 1).collect();
        load.wait_acknowledged(Instant::now());
        let before = load.recorder().acknowledgements().len();
        let begun = Instant::now();
        (story.breaks)(network, leader - 1, &others);
        let broken_for = begun.elapsed();
        network.heal();
        let healed = Instant::now();
        let took = load.wait_acknowledged(healed);
        wait_quorum(&mut ensemble, &load);
        let acknowledged = load.recorder().acknowledgements();
        let since = &acknowledged[before - 1..];
        let during = since.iter().filter(|moment| **moment < healed).count();
        println!(
            "{}: {}: {during} writes in {:.1} s, at most {} ms without one; {} ms from healing to a write, {} ms to all servers",
            program.name(),
            story.name,
            broken_for.as_secs_f64(),
            ringkeeper_history::longest_gap(since).as_millis(),
            took.as_millis(),
            healed.elapsed().as_millis()
        );
        assert!(healed.elapsed() < LIMIT, "{}: it took too long to heal", story.name);
    }
    let summary = load.finish();
    same::trees(&mut ensemble, "after all of it");
    println!("{}: {summary:?}", program.name());
}
