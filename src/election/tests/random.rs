//! Whole networks of servers, which elect one leader with the best history, whatever the delays and faults.

use std::rc::Rc;

use super::network::{History, Network, config_of, options};
use crate::election::ElectionOptions;
use crate::id::{Epoch, ServerId, Zxid};
use crate::proto::quorum::ServerState;
use crate::quorum::Config;

fn history(epoch: i64, counter: u32) -> History {
    History { zxid: Zxid::new(Epoch(epoch), counter), epoch: Epoch(epoch) }
}

fn started(seed: u64, servers: i64) -> Network {
    let mut network = Network::new(seed);
    for id in 1..=servers {
        network.start(options(id), &config_of(servers), history(1, 7));
    }
    network
}

#[test]
fn servers_that_start_together_elect_the_largest_of_equals() {
    for seed in 0..50 {
        let mut network = started(seed, 3);
        let took = network.run_until(2000, |n| n.agreed().is_some());
        assert!(took.is_some_and(|ms| ms < 50), "seed={seed} {took:?} {:?}", network.leaders());
        assert_eq!(network.agreed(), Some(ServerId(3)), "seed={seed}");
        assert!(network.opened < 20, "seed={seed} {}", network.opened);
        let supporters = &network.server(3).elected.as_ref().unwrap().supporters;
        assert!(supporters.len() >= 2 && supporters.contains(&ServerId(3)), "{supporters:?}");
    }
}

#[test]
fn when_the_leaders_process_dies_the_others_need_a_few_round_trips_only() {
    for seed in 0..50 {
        for servers in [3, 5] {
            let mut network = started(seed, servers);
            network.run_until(2000, |n| n.agreed().is_some()).unwrap();
            network.run(2000);
            network.kill(servers);
            let rest: Vec<ServerId> = network.servers.keys().copied().collect();
            for id in rest {
                network.look(id);
            }
            let took = network.run_until(2000, |n| n.agreed().is_some());
            assert!(took.is_some_and(|ms| ms <= 8), "seed={seed} {took:?}");
            assert_eq!(network.agreed(), Some(ServerId(servers - 1)), "seed={seed}");
        }
    }
}

#[test]
fn a_machine_that_is_gone_costs_the_final_wait_and_no_more() {
    for seed in 0..20 {
        let mut network = started(seed, 3);
        network.run_until(2000, |n| n.agreed().is_some()).unwrap();
        network.run(100);
        // The network neither closes nor refuses connections to the machine that is gone.
        network.cut = vec![(1, 3), (2, 3)];
        network.look(ServerId(1));
        network.look(ServerId(2));
        let both = |n: &Network| {
            let leaders = n.leaders();
            leaders[0] == Some(2) && leaders[1] == Some(2)
        };
        let took = network.run_until(2000, both);
        assert!(took.is_some_and(|ms| (195..=215).contains(&ms)), "seed={seed} {took:?}");
    }
}

#[test]
fn the_newest_history_wins_and_the_epoch_counts_first() {
    for seed in 0..20 {
        let mut network = Network::new(seed);
        for (id, history) in [(1, history(2, 5)), (2, history(2, 9)), (3, history(1, 99))] {
            network.start(options(id), &config_of(3), history);
        }
        network.run_until(2000, |n| n.agreed().is_some()).unwrap();
        assert_eq!(network.agreed(), Some(ServerId(2)), "seed={seed}");
    }
}

#[test]
fn a_server_that_comes_late_joins_the_leader_even_if_its_history_is_newer() {
    for seed in 0..20 {
        let mut network = Network::new(seed);
        for id in [1, 2] {
            network.start(options(id), &config_of(3), history(1, 7));
        }
        network.run_until(2000, |n| n.agreed().is_some()).unwrap();
        network.run(50);
        network.start(options(3), &config_of(3), history(1, 8));
        let took = network.run_until(2000, |n| n.agreed().is_some());
        assert!(took.is_some_and(|ms| ms < 50), "seed={seed} {took:?}");
        assert_eq!(network.agreed(), Some(ServerId(2)), "seed={seed}");
    }
}

#[test]
fn a_minority_elects_nobody_and_makes_no_storm() {
    let mut network = Network::new(1);
    for id in [1, 2] {
        network.start(options(id), &config_of(5), history(1, 7));
    }
    network.run(60_000);
    assert_eq!(network.leaders(), [None, None]);
    // Three servers are away. Two servers look for them, with one attempt a second for each.
    assert!(network.opened < 6 * 65, "{}", network.opened);
    network.start(options(4), &config_of(5), history(1, 7));
    let took = network.run_until(5000, |n| n.agreed().is_some());
    assert!(took.is_some_and(|ms| ms < 1300), "{took:?}");
    assert_eq!(network.agreed(), Some(ServerId(4)));
}

#[test]
fn a_healed_partition_is_noticed_soon_though_no_connection_was_closed() {
    for seed in 0..10 {
        let mut network = started(seed, 3);
        network.run_until(2000, |n| n.agreed().is_some()).unwrap();
        network.cut = vec![(1, 2), (1, 3)];
        network.look(ServerId(1));
        network.run(120_000);
        assert_eq!(network.leaders()[0], None);
        network.cut.clear();
        let took = network.run_until(60_000, |n| n.agreed().is_some());
        assert!(took.is_some_and(|ms| ms < 5000), "seed={seed} {took:?}");
        assert_eq!(network.agreed(), Some(ServerId(3)), "seed={seed}");
    }
}

#[test]
fn observers_learn_whom_the_others_have_elected() {
    for seed in 0..20 {
        let config = format!("{}server.9=s9:2888:3888:observer", config_of(3));
        let mut network = Network::new(seed);
        for id in [9, 1, 2, 3] {
            network.start(options(id), &config, history(1, if id == 9 { 99 } else { 7 }));
        }
        let took = network.run_until(3000, |n| n.agreed().is_some());
        assert!(took.is_some_and(|ms| ms < 300), "seed={seed} {took:?} {:?}", network.leaders());
        assert_eq!(network.agreed(), Some(ServerId(3)), "seed={seed}");
        // A server that is in no configuration learns the leader too.
        let with_ten = format!("{}server.10=s10:2888:3888", config_of(3));
        network.start(options(10), &with_ten, history(0, 0));
        let took = network.run_until(3000, |n| n.agreed().is_some());
        assert!(took.is_some_and(|ms| ms < 1000), "seed={seed} {took:?} {:?}", network.leaders());
    }
}

#[test]
fn servers_of_a_change_that_was_only_proposed_let_a_member_lead() {
    for seed in 0..20 {
        let options = |me: i64| ElectionOptions { reconfig: true, ..options(me) };
        let mut network = Network::new(seed);
        // Servers 3 and 4 were to become members. An operator has configured them by hand, so they take themselves
        // for members. Server 3 has the reconfiguration in its log, and server 4 has nothing.
        network.start(options(3), &config_of(3), history(1, 9));
        network.start(options(4), &config_of(4), history(0, 0));
        network.look(ServerId(3));
        network.look(ServerId(4));
        // Of the members, only server 1 knows the proposed change.
        let config =
            |servers: i64, version: i64| format!("{}version={version}", config_of(servers));
        network.start(options(1), &config(2, 4), history(1, 9));
        let parsed = |text: String| Rc::new(Config::parse(&text).unwrap());
        let election = &mut network.server(1).election;
        election.set_config(parsed(config(2, 4)), parsed(config(4, 7)));
        network.look(ServerId(1));
        network.run(2000);
        assert_eq!(network.leaders(), [None, None, None], "seed={seed}");
        network.start(options(2), &config(2, 4), history(1, 7));
        let took = network.run_until(5000, |n| n.agreed().is_some());
        assert!(took.is_some(), "seed={seed} {:?}", network.leaders());
        assert_eq!(network.agreed(), Some(ServerId(1)), "seed={seed}");
    }
}

/// Servers start and die, partitions come and go, and connections are lost at random. Then the faults end, and
/// within the time of a few repetitions one leader is there. At most a minority has a better history than that
/// leader.
#[test]
fn after_any_disorder_there_is_one_leader() {
    for seed in 0..200 {
        let mut network = Network::new(seed);
        let servers = 3 + 2 * i64::try_from(network.seed.below(2)).unwrap();
        network.delay_us = [200, 2000, 60_000][usize::try_from(network.seed.below(3)).unwrap()];
        network.lossy = [None, Some(3), Some(10)][usize::try_from(network.seed.below(3)).unwrap()];
        let histories: Vec<History> = (0..=servers)
            .map(|_| {
                let epoch = 1 + i64::try_from(network.seed.below(2)).unwrap();
                history(epoch, u32::try_from(network.seed.below(4)).unwrap())
            })
            .collect();
        let history_of = |id: i64| histories[usize::try_from(id).unwrap()];
        for _ in 0..30 {
            let id = 1 + i64::try_from(network.seed.below(servers.unsigned_abs())).unwrap();
            match (network.seed.below(6), network.servers.contains_key(&ServerId(id))) {
                (0, true) => network.kill(id),
                (_, false) => network.start(options(id), &config_of(servers), history_of(id)),
                (1, true) => {
                    let other = 1 + (id % servers);
                    network.cut.push((id.min(other), id.max(other)));
                }
                (2, true) => network.cut.clear(),
                (3, true) => network.look(ServerId(id)),
                _ => {}
            }
            let pause = network.seed.below(400);
            network.run(pause);
        }
        // The faults end. A server that follows one that does not lead looks again, as a learner does.
        (network.cut, network.lossy) = (Vec::new(), None);
        for id in 1..=servers {
            if !network.servers.contains_key(&ServerId(id)) {
                network.start(options(id), &config_of(servers), history_of(id));
            }
        }
        let mut left_ms: u64 = 60_000;
        while network.agreed().is_none() && left_ms > 0 {
            network.run_until(1000, |n| n.agreed().is_some());
            left_ms -= 1000;
            let leads = |network: &Network, id: ServerId| {
                let own = network.servers[&id].elected.as_ref();
                own.is_some_and(|elected| elected.leader == id)
            };
            let followers = |network: &Network, leader: ServerId| {
                let all = network.servers.values();
                all.filter(|s| s.elected.as_ref().is_some_and(|e| e.leader == leader)).count()
            };
            let lost: Vec<ServerId> = network
                .servers
                .iter()
                .filter_map(|(id, server)| {
                    let leader = server.elected.as_ref()?.leader;
                    let is_lost = if leader == *id {
                        followers(&network, leader) * 2 <= usize::try_from(servers).unwrap()
                    } else {
                        !leads(&network, leader)
                    };
                    is_lost.then_some(*id)
                })
                .collect();
            for id in lost {
                network.look(id);
            }
        }
        assert!(network.agreed().is_some(), "seed={seed} {:?}", network.leaders());
        let leader = network.agreed().unwrap();
        // A majority has no better history than the leader, or the leader could not have been elected.
        let rank = |id: i64| (history_of(id).epoch, history_of(id).zxid, id);
        let worse = (1..=servers).filter(|id| rank(*id) <= rank(leader.0)).count();
        assert!(worse * 2 > usize::try_from(servers).unwrap(), "seed={seed} leader={leader}");
        assert_eq!(network.server(leader.0).election.state(), ServerState::Leading);
    }
}
