//! The facts about a member, for operators.

use super::{Member, MemberRole};
use crate::zab::leader::LeaderFacts;
use crate::zab::learner::{LearnerKind, SyncMode};
use crate::zab::{Leader, PeerCounts, PeerFacts, PeerPhase, PeerState, Standing};

impl Member {
    /// Its state, also while it is only trying to reach it.
    pub fn state(&self) -> PeerState {
        match &self.role {
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => PeerState::Looking,
            MemberRole::Leading(_) => PeerState::Leading,
            MemberRole::Learning(learner) => match learner.target().kind {
                LearnerKind::Follower => PeerState::Following,
                LearnerKind::Observer => PeerState::Observing,
            },
        }
    }

    /// The standing that the replica was told last.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The facts about this server and its ensemble.
    pub fn facts(&self) -> PeerFacts {
        let (state, leader, learner_master, phase) = match &self.role {
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => {
                (PeerState::Looking, None, None, PeerPhase::Election)
            }
            MemberRole::Leading(leader) => {
                let phase = if leader.is_active() {
                    PeerPhase::Broadcast
                } else if leader.epoch().is_some() {
                    PeerPhase::Synchronization
                } else {
                    PeerPhase::Discovery
                };
                (PeerState::Leading, Some(self.me()), None, phase)
            }
            MemberRole::Learning(learner) => {
                let target = learner.target();
                let (state, master) = match target.kind {
                    LearnerKind::Follower => (PeerState::Following, None),
                    LearnerKind::Observer => (PeerState::Observing, Some(target.master)),
                };
                (state, Some(target.leader), master, learner.phase())
            }
        };
        let sync_mode = match &self.role {
            MemberRole::Learning(learner) => learner.sync_mode().map(|mode| match mode {
                SyncMode::Diff => "DIFF",
                SyncMode::Trunc => "TRUNC",
                SyncMode::Snap => "SNAP",
            }),
            MemberRole::Looking(_) | MemberRole::Waiting { .. } | MemberRole::Leading(_) => None,
        };
        PeerFacts {
            me: self.me(),
            state,
            phase,
            sync_mode,
            leader,
            learner_master,
            epoch: self.role.lasting().epochs.current,
            config: self.config().clone(),
            last_seen: self.last_seen_config().clone(),
            leading: self.leader().map(Leader::facts),
            synced_observers: self.role.lasting().observers.as_ref().map_or(0, |observers| {
                u64::try_from(observers.synced_observers()).unwrap_or(u64::MAX)
            }),
            counts: self.counts(),
        }
    }

    /// Its counters, including those of its present lead.
    fn counts(&self) -> PeerCounts {
        let mut counts = self.role.lasting().counts;
        if let Some(leader) = self.leader() {
            add_reign(&mut counts, &leader.facts());
        }
        counts
    }

    /// Resets the sizes of proposals (`srst`).
    pub fn reset_stats(&mut self) {
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.reset_stats();
        }
    }
}

/// Adds the counters of one reign.
pub(super) fn add_reign(counts: &mut PeerCounts, reign: &LeaderFacts) {
    counts.proposals += reign.proposals;
    counts.commits += reign.proposals.saturating_sub(reign.proposals_outstanding as u64);
    let (snaps, diffs) = reign.syncs;
    counts.snaps_sent += snaps;
    counts.diffs_sent += diffs;
    counts.acknowledged_lost += reign.acknowledged_lost;
}
