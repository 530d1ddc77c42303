//! Disks that report a write as durable and lose it with the power.
//!
//! No server can make anything safe on such a disk, so a disk here loses only what others hold as well: without this
//! server, a quorum has an epoch and a log that are no older than what it lost. A leader that is elected then has at
//! least that, as if nothing had been lost. Beside "no acknowledged write is lost", two things must hold: a leader
//! that has an acknowledgement of lost writes notices the loss when the server comes back to it, and says so; and no
//! leader accuses a server whose disk has lost nothing.
//!
//! Not simulated: a lost sync of an epoch file, after which a server promises the same epoch twice. No server can
//! notice that before the harm is done.

use ringkeeper::id::{Epoch, ServerId, Zxid};
use ringkeeper::recovery::recover;
use ringkeeper::zab::{PeerFacts, PeerState};

use super::server::recovery_options;
use super::world::{Phase, World};

/// A loss of a disk, and the leader that must notice it.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// The server.
    server: usize,
    /// The last zxid that it has left.
    left: Zxid,
    /// The last zxid that it had acknowledged to the leader.
    acknowledged: Zxid,
    /// The leader: its index, its life and its epoch.
    leader: (usize, u64, Epoch),
    /// Losses that the leader had noticed before.
    noticed: u64,
}

impl World {
    /// The epoch and the last zxid with which a server would vote if it started now from its disk.
    fn durable_vote(&self, index: usize) -> Option<(Epoch, Zxid)> {
        let copy = self.servers[index].disk.copy();
        let recovered = recover(&copy, &recovery_options(&self.plan, 1), &mut |_| ()).ok()?;
        Some((recovered.epochs?.current, recovered.zxid))
    }

    pub(super) fn facts(&self, index: usize) -> Option<PeerFacts> {
        let replica = self.servers[index].replica.as_ref()?;
        Some(replica.peer().as_member()?.facts())
    }

    /// When the power goes, lets a disk that lies lose some of the writes that it has reported as durable.
    pub(super) fn maybe_forget(&mut self, index: usize) {
        let wild = &self.plan.wild;
        let lies = wild.lying_disks.contains(&index) && self.phase == Phase::Chaos;
        if !lies || self.served.is_some() || !self.rng.per_mille(wild.forgets_per_mille) {
            return;
        }
        let Some(before) = self.durable_vote(index) else { return };
        let others = (0..self.plan.voters).filter(|other| *other != index);
        let holders =
            others.filter(|other| self.durable_vote(*other).is_some_and(|vote| vote >= before));
        let holders = holders.map(|other| self.servers[other].id).collect();
        if !self.newest_config().has_quorum(&holders) {
            return;
        }
        let writes = 1 + self.rng.index(8);
        self.servers[index].disk.forget(writes);
        let left = self.durable_vote(index).map_or(Zxid::NONE, |(_, zxid)| zxid);
        if left >= before.1 {
            return;
        }
        self.stats.forgotten += 1;
        let now = self.now;
        self.trace.event(now, &[28, index as u64, left.0.cast_unsigned()], || {
            format!("s{}: its disk loses what it had synced: {} to {left}", index + 1, before.1)
        });
        self.losses.extend(self.who_must_notice(index, left));
    }

    fn who_must_notice(&self, index: usize, left: Zxid) -> Option<Loss> {
        let leader = self.leader()?;
        let facts = self.facts(leader)?;
        let id = self.servers[index].id;
        let learners = facts.leading.as_ref()?.learners.iter();
        let learner =
            learners.filter(|learner| learner.server == Some(id)).max_by_key(|l| l.since)?;
        let acknowledged = learner.acked;
        let loss = Loss {
            server: index,
            left,
            acknowledged,
            leader: (leader, self.servers[leader].life, facts.epoch),
            noticed: facts.counts.acknowledged_lost,
        };
        (!learner.is_observer && acknowledged > left).then_some(loss)
    }

    /// Checks that a leader notices the loss of a server that follows it again.
    pub(super) fn check_losses(&mut self, index: usize) {
        if self.losses.is_empty() || self.losses.iter().all(|loss| loss.server != index) {
            return;
        }
        let Some(facts) = self.facts(index) else { return };
        // Only a server that follows is up to date.
        let follows =
            self.servers[index].replica.as_ref().is_some_and(|it| it.mode() == "follower");
        if facts.state != PeerState::Following || !follows {
            return;
        }
        let losses = self.losses.extract_if(.., |loss| loss.server == index);
        for loss in losses.collect::<Vec<_>>() {
            let (leader, life, epoch) = loss.leader;
            let is_same = facts.leader == Some(self.servers[leader].id)
                && facts.epoch == epoch
                && self.servers[leader].life == life;
            let Some(theirs) = self.facts(leader).filter(|it| is_same && it.epoch == epoch) else {
                continue;
            };
            if let Err(what) = loss.is_noticed(facts.me, theirs.counts.acknowledged_lost) {
                return self.fail(what);
            }
        }
    }

    /// Checks that a leader reports no more losses than there were. The caller asks before a process ends.
    pub(super) fn check_accusations(&mut self, index: usize) {
        if self.served.is_some() || self.is_deceived() {
            return;
        }
        let noticed = self.facts(index).map_or(0, |facts| facts.counts.acknowledged_lost);
        // A server whose folder was set aside comes back with nothing, which counts as a loss.
        let lost = self.stats.forgotten + self.stats.set_aside;
        if noticed > lost {
            self.fail(format!(
                "server {} says {noticed} times that a disk has lost what was acknowledged; disks and \
                 folders were lost {lost} times",
                index + 1
            ));
        }
    }
}

impl Loss {
    fn is_noticed(&self, server: ServerId, noticed: u64) -> Result<(), String> {
        if noticed > self.noticed {
            return Ok(());
        }
        Err(format!(
            "UNNOTICED: server {server} had acknowledged {} to server {}, its disk was left with {}, it \
             follows the same leader again, and the leader has said nothing",
            self.acknowledged,
            self.leader.0 + 1,
            self.left
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_the_leader_does_not_mention_is_found() {
        let leader = (0, 1, Epoch(2));
        let (left, acknowledged) = (Zxid(3), Zxid(7));
        let loss = Loss { server: 1, left, acknowledged, leader, noticed: 4 };
        assert!(loss.is_noticed(ServerId(2), 4).unwrap_err().starts_with("UNNOTICED"));
        assert_eq!(loss.is_noticed(ServerId(2), 5), Ok(()));
    }
}
