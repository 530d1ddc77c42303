//! The figure of ZooKeeper's paper, with latencies: the leader is killed, a follower is killed, and
//! all servers are restarted one after the other.

use std::path::Path;
use std::time::{Duration, Instant};

use ringkeeper_testkit::Ensemble;

use super::{Scene, Stage};
use crate::definition::Definition;
use crate::peers::Launch;
use crate::result::FailureTimeline;
use crate::turn::Watcher;

const LEADER_KILLED_S: f64 = 5.0;
const LEADER_BACK_S: f64 = 12.0;
const FOLLOWER_KILLED_S: f64 = 20.0;
const FOLLOWER_BACK_S: f64 = 25.0;
const ROLLING_S: f64 = 32.0;
/// The least time, in seconds, that an operator waits between two servers of a rolling restart.
const BETWEEN_SERVERS_S: f64 = 2.0;
/// The length of the scenario in seconds, with some rest at the end. The later servers of a slow program begin late.
const SECONDS: f64 = 55.0;
const LEADER_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Plays the scenario on an ensemble of fresh servers.
///
/// # Errors
/// The servers do not start, or the load cannot be prepared.
pub fn members(
    launch: &Launch,
    servers: usize,
    load: &Definition,
    folder: &Path,
    watcher: Watcher<'_>,
) -> Result<FailureTimeline, String> {
    let mut running = launch.start(servers, folder)?;
    let mut target = running.target()?;
    target.clean_up = false;
    let ensemble = running.ensemble()?;
    let mut load = load.clone();
    load.seconds = load.seconds.max(SECONDS);
    let scene = Scene { title: "members are killed and restarted", launch, servers };
    let (timeline, _) =
        scene.play(&target, &load, watcher, |stage| kill_and_restart(ensemble, stage))?;
    Ok(timeline)
}

fn kill_and_restart(ensemble: &mut Ensemble, stage: &mut Stage) {
    stage.wait_until(LEADER_KILLED_S);
    let leader = ensemble.leader();
    stage.event("leader killed");
    ensemble.kill(leader);
    let others: Vec<usize> = ensemble.ids().filter(|id| *id != leader).collect();
    let next = ensemble.wait_leader_among(&others, LEADER_WITHIN);
    stage.event(format!("server {next} leads"));

    stage.wait_until(LEADER_BACK_S);
    come_back(ensemble, leader, stage);

    stage.wait_until(FOLLOWER_KILLED_S);
    let leader = ensemble.leader();
    let follower = ensemble.ids().find(|id| *id != leader).expect("an ensemble has followers");
    stage.event("follower killed");
    ensemble.kill(follower);
    stage.wait_until(FOLLOWER_BACK_S);
    come_back(ensemble, follower, stage);

    stage.wait_until(ROLLING_S);
    stage.event("rolling restart");
    let leader = ensemble.leader();
    // The leader comes last, as operators do it, which saves an election.
    let followers = ensemble.ids().filter(|id| *id != leader);
    for id in followers.chain([leader]).collect::<Vec<_>>() {
        stage.event(format!("server {id} stops"));
        let begun = Instant::now();
        ensemble.server_mut(id).terminate(STOP_WITHIN);
        ensemble.restart(id);
        stage.event(format!("server {id} is back"));
        let next = stage.now_s() - begun.elapsed().as_secs_f64() + BETWEEN_SERVERS_S;
        stage.wait_until(next.max(stage.now_s() + BETWEEN_SERVERS_S / 2.0));
    }
    stage.event("rolling restart over");
}

fn come_back(ensemble: &mut Ensemble, id: usize, stage: &mut Stage) {
    stage.event("it starts");
    ensemble.restart(id);
    stage.event("it is back");
}
