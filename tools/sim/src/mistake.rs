//! An operator's mistake with the folders of a quorum, and servers that stay broken.
//!
//! The mistake: the operator empties the folders of a quorum, and puts a file `initialize` into each, while the
//! other servers keep their data. From then on there are two histories, and either may win; the simulation does not
//! decide which one is newer. The check: all servers that serve have one state at one zxid, so that one ensemble
//! never serves two histories, nor a history made of parts of both.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::id::{ServerId, Zxid};
use ringkeeper::quorum::Config;
use ringkeeper::zab::PeerState;

use super::faults::Fault;
use super::plan::{MS, SECOND};
use super::server::State;
use super::wild::Broken;
use super::world::{Event, Phase, World};

/// What servers have served since the mistake.
#[derive(Debug, Default)]
pub struct Served {
    states: BTreeMap<Zxid, (i64, ServerId)>,
    /// Servers that have not noticed the mistake yet, and their lives. Until they do, they serve the old history,
    /// which ends there.
    unaware: BTreeMap<usize, u64>,
}

impl Served {
    /// Notes that a server serves a tree of this digest.
    ///
    /// # Errors
    /// Another server served another tree at this zxid.
    pub fn state(&mut self, server: ServerId, zxid: Zxid, digest: i64) -> Result<(), String> {
        let (known, first) = *self.states.entry(zxid).or_insert((digest, server));
        if known == digest {
            return Ok(());
        }
        Err(format!(
            "TWO HISTORIES: server {server} serves a tree with digest {digest:x} at {zxid}, server \
             {first} served {known:x}"
        ))
    }
}

impl World {
    // ---- a quorum that begins anew

    /// The operator empties the folders of a quorum.
    pub(super) fn mistake(&mut self) {
        let voters = self.plan.voters;
        if self.phase != Phase::Chaos {
            return;
        }
        let now = self.now;
        self.trace.event(now, &[26], || "the operator empties a quorum's folders".to_owned());
        let count = voters / 2 + 1 + self.rng.index(voters - voters / 2 - 1).min(1);
        let mut chosen: Vec<usize> = (0..voters).collect();
        while chosen.len() > count {
            let at = self.rng.index(chosen.len());
            chosen.remove(at);
        }
        let mut unaware = BTreeMap::new();
        for index in 0..self.servers.len() {
            let is_chosen = chosen.contains(&index);
            if self.servers[index].is_running() {
                if !is_chosen && self.rng.one_in(3) {
                    unaware.insert(index, self.servers[index].life);
                    continue;
                }
                self.crash(index, false);
                let late = if is_chosen { SECOND } else { 15 * SECOND };
                let at = now + 100 * MS + self.rng.waiting(late);
                self.schedule(at, Event::Start(index));
            }
            let server = &mut self.servers[index];
            server.began_anew = false;
            if is_chosen {
                server.disk.set_aside();
                server.disk.put(ringkeeper::io::Place::DataDir, "initialize", b"");
                server.flips.clear();
                if matches!(server.state, State::Refused(_)) {
                    server.state = State::Down { machine: false };
                    self.schedule(now + 100 * MS, Event::Start(index));
                }
            }
        }
        // From here on, the clients have new sessions, and what they saw before belongs to another history.
        for index in 0..self.clients.len() {
            let mut acts = Vec::new();
            self.clients[index].abandon(now, &mut acts);
            self.client_acts(index, acts);
        }
        self.forget_history();
        self.served = Some(Served { unaware, ..Served::default() });
    }

    /// After a mistake, notes what a server serves, whatever its history. Returns `false` if there was no mistake.
    pub(super) fn observe_after_mistake(&mut self, index: usize) -> bool {
        let is_looking = self.facts(index).is_some_and(|facts| facts.state == PeerState::Looking);
        let Some(served) = &mut self.served else { return false };
        let server = &self.servers[index];
        let Some(replica) = &server.replica else { return true };
        drop(replica.database().take_recorded());
        let last = replica.last_processed();
        let serves = matches!(replica.mode(), "leader" | "follower" | "observer");
        // A server that does not serve yet may still be told by the leader of the old history to serve. Only a
        // server that looks for another leader has left the old one.
        if is_looking || served.unaware.get(&index).is_some_and(|life| *life != server.life) {
            served.unaware.remove(&index);
        }
        if serves
            && last.0 > 0
            && !served.unaware.contains_key(&index)
            && let Err(what) = served.state(server.id, last, replica.database().digest())
        {
            self.fail(what);
        }
        true
    }

    /// After a mistake: whether a leader with a quorum serves. The other servers may be kept out.
    pub(super) fn a_quorum_serves(&self) -> bool {
        let config = self.newest_config();
        let is = |index: usize, mode: &str| {
            self.servers[index].replica.as_ref().is_some_and(|replica| replica.mode() == mode)
        };
        let all = || 0..self.servers.len();
        all().filter(|leader| is(*leader, "leader")).any(|leader| {
            let id = self.servers[leader].id;
            let follows = |index: &usize| {
                is(*index, "follower")
                    && self.facts(*index).is_some_and(|facts| facts.leader == Some(id))
            };
            let mut serving: BTreeSet<ServerId> =
                all().filter(follows).map(|index| self.servers[index].id).collect();
            serving.insert(id);
            config.has_quorum(&serving)
        })
    }

    /// After a mistake: whether all servers that serve have one state.
    pub(super) fn those_who_serve_agree(&self) -> bool {
        let states = self.servers.iter().filter_map(|server| {
            let replica = server.replica.as_ref()?;
            let serves = matches!(replica.mode(), "leader" | "follower" | "observer");
            serves.then(|| (replica.last_processed(), replica.database().digest()))
        });
        let mut states: Vec<(Zxid, i64)> = states.collect();
        states.dedup();
        states.len() == 1
    }

    // ---- servers that stay broken

    /// Breaks as many voters as the ensemble may lose, until [`World::repair`].
    pub(super) fn break_some(&mut self) {
        if self.plan.wild.witness {
            self.break_the_other();
            return self.block_broken();
        }
        let config = self.newest_config();
        // A server that begins anew has no vote yet, so it is one of those that may be missing.
        let mut working: Vec<usize> =
            (0..self.plan.voters).filter(|index| !self.servers[*index].began_anew).collect();
        loop {
            let at = self.rng.index(working.len());
            let mut rest = working.clone();
            let index = rest.remove(at);
            if !is_quorum(&config, self, &rest) {
                break;
            }
            working = rest;
            let how = *self.rng.pick(&[
                Broken::Down,
                Broken::Mute,
                Broken::Deaf,
                Broken::Cut,
                Broken::Slow,
            ]);
            let now = self.now;
            self.trace.event(now, &[27, index as u64], || format!("s{}: stays {how:?}", index + 1));
            self.servers[index].broken = Some(how);
            if how == Broken::Down && self.servers[index].is_running() {
                self.crash(index, false);
            }
            if how == Broken::Slow {
                self.servers[index].disk.speed.slowed = 500;
            }
        }
        self.block_broken();
    }

    /// Blocks the ways of servers that stay broken.
    pub(super) fn block_broken(&mut self) {
        let now = self.now;
        for index in 0..self.servers.len() {
            let Some(how) = self.servers[index].broken else { continue };
            for other in (0..self.servers.len()).filter(|other| *other != index) {
                if matches!(how, Broken::Mute | Broken::Cut) {
                    self.network.set_blocked(now, index, other, true);
                }
                if matches!(how, Broken::Deaf | Broken::Cut) {
                    self.network.set_blocked(now, other, index, true);
                }
            }
        }
    }

    /// Repairs the servers that were still broken.
    pub(super) fn repair(&mut self) {
        let now = self.now;
        for index in 0..self.servers.len() {
            if self.servers[index].broken.take().is_none() {
                continue;
            }
            self.fault(Fault::DiskHeals(index));
            self.let_in_one(index);
            if matches!(self.servers[index].state, State::Down { .. }) {
                self.schedule(now + 50 * MS, Event::Start(index));
            }
        }
        self.network.free_all(now);
    }
}

fn is_quorum(config: &Config, world: &World, working: &[usize]) -> bool {
    config.has_quorum(&working.iter().map(|index| world.servers[*index].id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_trees_that_are_served_at_one_zxid_are_found() {
        let mut served = Served::default();
        assert_eq!(served.state(ServerId(1), Zxid(5), 7), Ok(()));
        assert_eq!(served.state(ServerId(2), Zxid(5), 7), Ok(()));
        assert!(served.state(ServerId(5), Zxid(5), 8).unwrap_err().contains("TWO HISTORIES"));
    }
}
