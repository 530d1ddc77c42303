//! What an operator may see of a member.

use super::*;
use crate::peer::facts::{PeerPhase, PeerState};
use crate::zab::learner::SyncMode;

impl Member {
    /// What it is, also while it only tries to be that.
    pub fn state(&self) -> PeerState {
        match &self.role {
            Role::Looking | Role::Waiting { .. } => PeerState::Looking,
            Role::Leading(_) => PeerState::Leading,
            Role::Learning(learner) => match learner.target().kind {
                LearnerKind::Follower => PeerState::Following,
                LearnerKind::Observer => PeerState::Observing,
            },
        }
    }

    /// What it last told the replica to be.
    pub fn standing(&self) -> Standing {
        self.standing
    }

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
            leading: None,
            synced_observers: 0,
            counts: self.lasting.counts,
        }
    }
}
