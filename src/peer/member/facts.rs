//! The facts about a member, for `mntr` and other views of operators. They are computed when they are asked for, from
//! the present role; only counters outlive it. Nothing here changes what the member does, except that
//! [`Member::reset_stats`] resets figures.

use super::{Member, MemberRole};
use crate::zab::leader::LeaderFacts;
use crate::zab::learner::{LearnerKind, SyncMode};
use crate::zab::{Leader, PeerCounts, PeerFacts, PeerPhase, PeerState, Standing};

impl Member {
    /// The state that it has or tries to reach (`QuorumPeer.getPeerState`): a server that joins a leader is already
    /// FOLLOWING or OBSERVING.
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

    /// The standing that the replica was told last: a role counts only when it is in effect.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The facts about this server and its ensemble.
    pub fn facts(&self) -> PeerFacts {
        // The state here follows from the role alone; that of `Member::mode` follows from the standing.
        let (state, leader, learner_master, phase) = match &self.role {
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => {
                (PeerState::Looking, None, None, PeerPhase::Election)
            }
            // The phases of a leader follow each other, and each is recognised by what it has achieved.
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
        // Only a learner was brought up to date by somebody.
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

    /// Its counters since the start, including those of its present lead, which are added to the lasting ones only
    /// when the lead ends.
    fn counts(&self) -> PeerCounts {
        let mut counts = self.role.lasting().counts;
        if let Some(gate) = &self.gate {
            counts.logins_accepted = gate.accepted_counts;
            counts.logins_opened = gate.opened_counts;
        }
        if let Some(leader) = self.leader() {
            // The reign under way is added to a copy: it is added to the lasting counters once, when it ends.
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

/// Adds the counters of one reign. Proposals that are not committed when the reign ends never count as its commits.
pub(super) fn add_reign(counts: &mut PeerCounts, reign: &LeaderFacts) {
    counts.proposals += reign.proposals;
    counts.commits += reign.proposals.saturating_sub(reign.proposals_outstanding as u64);
    let (snaps, diffs) = reign.syncs;
    counts.snaps_sent += snaps;
    counts.diffs_sent += diffs;
    counts.acknowledged_lost += reign.acknowledged_lost;
}
