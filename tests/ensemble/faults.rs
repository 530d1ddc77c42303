//! Servers are killed or stopped (SIGSTOP) under load: no acknowledged write is lost, and writes soon continue.

use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_testkit::{Ensemble, PeerType, Program};

use crate::ground::{LIMIT, Random, config, everything, number_from, ours, turn};
use crate::load::{Load, Pace};
use crate::same;

/// Rounds in an ordinary run; `RINGKEEPER_FAULT_ROUNDS=100` makes a long one.
const ROUNDS: usize = 15;
const ROUNDS_OF_COMPARISON: usize = 4;
const BETWEEN_KILLS: Duration = Duration::from_millis(1500);
const BEFORE_FAULT_MS: usize = 400;

/// The server that a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Leader,
    Follower,
    All,
}

/// The measurements of a round of faults.
#[derive(Debug, Default)]
struct Times {
    leader: Vec<Duration>,
    follower: Vec<Duration>,
    all: Vec<Duration>,
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_of_members() {
    let _turn = turn();
    let rounds = number_from("RINGKEEPER_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let mut random = Random::seeded();
    let mut ensemble = Ensemble::start(&[ours(), ours(), ours()], config());
    let load = Load::start(&ensemble.addresses(), Pace::FORGETFUL);
    let mut times = Times::default();
    for round in 0..rounds {
        let victim = [Victim::Leader, Victim::Follower, Victim::All][round % 3];
        kill_round(&mut ensemble, &load, victim, &mut random, &mut times);
    }
    let summary = load.finish();
    same::trees(&mut ensemble, "after all rounds");
    println!("{rounds} rounds, {summary:?}");
    println!("until the next acknowledged write, ms: {}", times.text());
}

/// Only reported, not asserted: the time depends on the machine and its other load.
#[test]
fn a_killed_leader_is_replaced() {
    let _turn = turn();
    let mut medians = Vec::new();
    for program in [ours(), Program::ZooKeeper39] {
        let mut random = Random::seeded();
        let mut times = Times::default();
        let mut ensemble =
            Ensemble::start(&[program.clone(), program.clone(), program.clone()], config());
        let load = Load::start(&ensemble.addresses(), Pace::GENTLE);
        for _ in 0..if everything() { ROUNDS } else { ROUNDS_OF_COMPARISON } {
            // Kills the leader only now and then, not every leader in turn.
            thread::sleep(BETWEEN_KILLS);
            kill_round(&mut ensemble, &load, Victim::Leader, &mut random, &mut times);
        }
        load.finish();
        println!("{}: leader killed, ms until a write: {}", program.name(), times.text());
        times.leader.sort_unstable();
        medians.push(times.leader[times.leader.len() / 2]);
    }
    println!(
        "killed leader to next write, medians: {} ms with {}, {} ms with Apache ZooKeeper 3.9.4: {:.2} of its time",
        medians[0].as_millis(),
        ours().name(),
        medians[1].as_millis(),
        medians[0].as_secs_f64() / medians[1].as_secs_f64()
    );
}

fn kill_round(
    ensemble: &mut Ensemble,
    load: &Load,
    victim: Victim,
    random: &mut Random,
    times: &mut Times,
) {
    thread::sleep(Duration::from_millis(random.below(BEFORE_FAULT_MS) as u64));
    let leader = ensemble.leader();
    let others: Vec<usize> = ensemble.ids().filter(|id| *id != leader).collect();
    match victim {
        Victim::Leader => {
            ensemble.kill(leader);
            let moment = Instant::now();
            times.leader.push(load.wait_acknowledged(moment));
        }
        Victim::Follower => {
            let follower = others[random.below(others.len())];
            ensemble.kill(follower);
            let moment = Instant::now();
            times.follower.push(load.wait_acknowledged(moment));
        }
        Victim::All => {
            ensemble.kill_all();
            let moment = Instant::now();
            ensemble.start_all();
            times.all.push(load.wait_acknowledged(moment));
        }
    }
    ensemble.start_all();
    load.wait_acknowledged(Instant::now());
    one_leader(ensemble);
}

#[test]
fn nothing_acknowledged_is_lost_when_servers_hang() {
    let _turn = turn();
    let voter = PeerType::Participant;
    let members = [(ours(), voter), (ours(), voter), (ours(), voter), (ours(), PeerType::Observer)];
    let mut ensemble = Ensemble::prepare(&members, config());
    ensemble.start_all();
    let load = Load::start(&ensemble.addresses(), Pace::FORGETFUL);
    let leader = ensemble.leader();
    let follower = ensemble.followers()[0];
    for (role, id) in [("observer", 4), ("follower", follower), ("leader", leader)] {
        let moment = Instant::now();
        ensemble.pause(id);
        let took = load.wait_acknowledged(moment);
        // Long enough for the other servers to give this one up.
        let others: Vec<usize> = ensemble.ids().filter(|other| *other != id).collect();
        ensemble.wait_leader_among(&others, LIMIT);
        thread::sleep(Duration::from_millis(1500));
        load.wait_acknowledged(Instant::now());
        ensemble.resume(id);
        ensemble.start_all();
        wait_quorum(&mut ensemble, &load);
        println!("{role} stopped: {} ms until the next write", took.as_millis());
    }
    let summary = load.finish();
    same::trees(&mut ensemble, "after all of it");
    println!("{summary:?}");
}

/// Waits until every server serves again and writes are acknowledged.
pub fn wait_quorum(ensemble: &mut Ensemble, load: &Load) {
    for id in ensemble.ids() {
        ensemble.wait_serving(id);
    }
    load.wait_acknowledged(Instant::now());
    one_leader(ensemble);
}

/// Waits until exactly one server says that it leads: a deposed leader may say so for a moment, until it notices.
pub fn one_leader(ensemble: &mut Ensemble) {
    use ringkeeper_testkit::Mode;
    let begun = Instant::now();
    loop {
        let leaders: Vec<usize> =
            ensemble.ids().filter(|id| ensemble.mode(*id) == Some(Mode::Leader)).collect();
        if leaders.len() == 1 {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "leaders {leaders:?}\n{}", ensemble.tails(40));
        thread::sleep(Duration::from_millis(20));
    }
}

impl Times {
    fn text(&self) -> String {
        let list = |times: &[Duration]| {
            let all: Vec<String> = times.iter().map(|time| time.as_millis().to_string()).collect();
            all.join(" ")
        };
        format!(
            "leader [{}], follower [{}], all [{}]",
            list(&self.leader),
            list(&self.follower),
            list(&self.all)
        )
    }
}
