//! What an operator may see of a member.

use super::*;
use crate::zab::learner::SyncMode;

/// What a member says about itself (`mntr`, the admin server, metrics).
#[derive(Clone, Debug)]
pub struct PeerFacts {
    /// What it is.
    pub standing: Standing,
    /// Who leads, as far as it knows; also while it still connects.
    pub leader: Option<ServerId>,
    /// The server that it learns from; for an observer perhaps a follower.
    pub master: Option<ServerId>,
    /// The epochs, as they are on the disk or on their way there.
    pub epochs: Epochs,
    /// `election`, `discovery`, `synchronization` or `broadcast` (`QuorumPeer.ZabState`).
    pub zab_state: &'static str,
    /// How the leader's history was taken over, on a learner.
    pub sync_mode: Option<SyncMode>,
    /// How long the last election took, in ms.
    pub election_ms: Option<u64>,
    /// How long it took to join or to become the leader, once that is done, in ms.
    pub join_ms: Option<u64>,
    /// Since when it leads, follows or observes.
    pub joined_at: Option<MonoUs>,
    /// What it has counted since the process began.
    pub counts: PeerCounts,
    /// What it knows as a leader.
    pub leading: Option<LeadingFacts>,
    /// Observers that learn from it although it does not lead.
    pub synced_observers: u64,
    /// How many servers vote.
    pub voters: usize,
    /// Whether a reconfiguration is proposed and not committed.
    pub is_reconfiguring: bool,
    /// Attempts to join or lead that failed, one after the other.
    pub failures: u32,
}

impl Member {
    /// What it says about itself.
    pub fn facts(&self) -> PeerFacts {
        let (leader, master, zab_state, sync_mode) = match &self.role {
            Role::Looking => (None, None, "election", None),
            Role::Waiting { leader } => (Some(*leader), None, "election", None),
            Role::Leading(leader) => {
                let state = if leader.is_active() {
                    "broadcast"
                } else if leader.epoch().is_some() {
                    "synchronization"
                } else {
                    "discovery"
                };
                (Some(self.me()), None, state, None)
            }
            Role::Learning(learner) => {
                let target = learner.target();
                let (leader, master) = (Some(target.leader), Some(target.master));
                (leader, master, learner.zab_state(), learner.sync_mode())
            }
        };
        PeerFacts {
            standing: self.standing,
            leader,
            master,
            epochs: self.leader().map_or(self.lasting.epochs, Leader::epochs),
            zab_state,
            sync_mode,
            election_ms: self.election_ms,
            join_ms: self.tally.join_ms,
            joined_at: self.joined_at,
            counts: self.tally.counts,
            leading: None,
            synced_observers: 0,
            voters: self.config().voters().count(),
            is_reconfiguring: self.is_reconfiguring(),
            failures: self.failures,
        }
    }
}
