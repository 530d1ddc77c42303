//! What an operator may see of a member.

use super::*;
use crate::peer::facts::{PeerPhase, PeerState};
use crate::zab::learner::SyncMode;

impl Member {
    /// What it knows about itself and its ensemble.
    pub fn facts(&self) -> PeerFacts {
        let (state, leader, learner_master, phase) = match &self.role {
            Role::Looking | Role::Waiting { .. } => {
                (PeerState::Looking, None, None, PeerPhase::Election)
            }
            Role::Leading(leader) => {
                let phase = if leader.is_active() {
                    PeerPhase::Broadcast
                } else if leader.epoch().is_some() {
                    PeerPhase::Synchronization
                } else {
                    PeerPhase::Discovery
                };
                (PeerState::Leading, Some(self.me()), None, phase)
            }
            Role::Learning(learner) => {
                let target = learner.target();
                let (state, master) = match target.kind {
                    LearnerKind::Follower => (PeerState::Following, None),
                    LearnerKind::Observer => (PeerState::Observing, Some(target.master)),
                };
                (state, Some(target.leader), master, learner.phase())
            }
        };
        let sync_mode = match &self.role {
            Role::Learning(learner) => learner.sync_mode().map(|mode| match mode {
                SyncMode::Diff => "DIFF",
                SyncMode::Trunc => "TRUNC",
                SyncMode::Snap => "SNAP",
            }),
            Role::Looking | Role::Waiting { .. } | Role::Leading(_) => None,
        };
        PeerFacts {
            me: self.me(),
            state,
            phase,
            sync_mode,
            leader,
            learner_master,
            epoch: self.leader().map_or(self.lasting.epochs, Leader::epochs).current,
            config: self.config().clone(),
            last_seen: self.last_seen_config().clone(),
            leading: self.leader().map(leading),
            synced_observers: 0,
            counts: self.counts(),
        }
    }

    fn counts(&self) -> PeerCounts {
        let mut counts = self.lasting.counts;
        if let Some(leader) = self.leader() {
            add_reign(&mut counts, leader);
        }
        counts
    }
}

/// What a leader has counted, which goes with it.
pub(super) fn add_reign(counts: &mut PeerCounts, leader: &Leader) {
    let facts = leader.facts();
    counts.snaps_sent += facts.syncs.0;
    counts.diffs_sent += facts.syncs.1;
    counts.proposals += facts.proposals;
    let outstanding = u64::try_from(facts.proposals_outstanding).unwrap_or(u64::MAX);
    counts.commits += facts.proposals.saturating_sub(outstanding);
}

fn leading(leader: &Leader) -> LeadingFacts {
    let facts = leader.facts();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    LeadingFacts {
        since: facts.since,
        learners: count(facts.learners.len()),
        synced_followers: count(facts.synced_followers),
        synced_non_voting_followers: count(facts.synced_non_voting_followers),
        synced_observers: count(facts.synced_observers),
        pending_syncs: count(facts.pending_syncs),
        proposals_outstanding: count(facts.proposals_outstanding),
        reconfig: facts.reconfig.map(|progress| ReconfigFacts {
            version: progress.version,
            since: progress.since,
            acknowledged: count(progress.acknowledged.len()),
            voters: count(progress.acknowledged.len() + progress.missing.len()),
        }),
    }
}
