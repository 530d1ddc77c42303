//! The facts about a member and its ensemble, for operators: plain values, made on demand. No decision depends on them.

use std::rc::Rc;

use super::leader::LeaderFacts;
use crate::id::{Epoch, ServerId};
use crate::quorum::Config;

/// A member as its operator sees it.
#[derive(Clone, Debug)]
pub struct PeerFacts {
    /// This server.
    pub me: ServerId,
    /// Its state.
    pub state: PeerState,
    /// Its progress in that state.
    pub phase: PeerPhase,
    /// How it got its leader's history, if it did.
    pub sync_mode: Option<&'static str>,
    /// The leader, if it follows, observes or leads.
    pub leader: Option<ServerId>,
    /// The server from which it learns as an observer: the leader or a follower.
    pub learner_master: Option<ServerId>,
    /// The leader's epoch, or the last epoch that was current.
    pub epoch: Epoch,
    /// The active configuration.
    pub config: Rc<Config>,
    /// The last configuration that was proposed or seen; the active one if no change is on its way.
    pub last_seen: Rc<Config>,
    /// The facts about it as a leader.
    pub leading: Option<LeaderFacts>,
    /// The number of observers that learn from it while it follows.
    pub synced_observers: u64,
    /// Its counters since the process began.
    pub counts: PeerCounts,
}

/// ZooKeeper's `QuorumPeer.ServerState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It has no leader.
    Looking,
    /// It leads.
    Leading,
    /// It follows.
    Following,
    /// It learns without a vote.
    Observing,
}

/// ZooKeeper's `QuorumPeer.ZabState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerPhase {
    /// No leader is elected.
    Election,
    /// The servers agree on the epoch.
    Discovery,
    /// The learners get the leader's history.
    Synchronization,
    /// It serves.
    Broadcast,
}

/// Durations in ms: their number, their sum and their range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Their number.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The shortest; 0 if there is none.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

impl Durations {
    /// Adds a duration.
    pub fn add(&mut self, ms: u64) {
        self.min = if self.count == 0 { ms } else { self.min.min(ms) };
        self.max = self.max.max(ms);
        self.count += 1;
        self.sum = self.sum.saturating_add(ms);
        assert!(self.min <= ms && ms <= self.max, "{ms} ms are between the ends");
    }
}

/// How logins between servers have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginCounts {
    /// With success.
    pub passed: u64,
    /// With a refusal, by either side.
    pub failed: u64,
}

/// The counters of a member, by ZooKeeper's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounts {
    /// How often it began to look for a leader (`looking_count`).
    pub lookings: u64,
    /// From the beginning of an election to its end (`election_time`).
    pub elections_ms: Durations,
    /// From the loss of a leader to serving again (`unavailable_time`).
    pub unavailable_ms: Durations,
    /// The same where this server then leads (`leader_unavailable_time`).
    pub leader_unavailable_ms: Durations,
    /// From the beginning of a follower's connection to its being up to date
    /// (`follower_sync_time`).
    pub follower_sync_ms: Durations,
    /// The same of an observer (`observer_sync_time`).
    pub observer_sync_ms: Durations,
    /// Learners that got the whole tree (`snap_count`).
    pub snaps_sent: u64,
    /// Learners that got a difference (`diff_count`).
    pub diffs_sent: u64,
    /// Proposals made as a leader (`proposal_count`).
    pub proposals: u64,
    /// Commits as a leader (`commit_count`).
    pub commits: u64,
    /// Proposals received as a learner (`learner_proposal_received_count`).
    pub proposals_received: u64,
    /// Commits received as a learner (`learner_commit_received_count`).
    pub commits_received: u64,
    /// How often followers came back to this server, as a leader, with less than they had acknowledged: their disks
    /// lose synced data.
    pub acknowledged_lost: u64,
    /// Logins of other servers on links that this server has accepted.
    pub logins_accepted: LoginCounts,
    /// Its own logins on links that it has opened.
    pub logins_opened: LoginCounts,
}
