//! What a member knows about itself and its ensemble, for operators: plain values, made when asked
//! for. Nothing decides by them.

use std::rc::Rc;

use super::leader::LeaderFacts;
use crate::id::{Epoch, ServerId};
use crate::quorum::Config;

/// A member as its operator sees it.
#[derive(Clone, Debug)]
pub struct PeerFacts {
    /// This server.
    pub me: ServerId,
    /// What it is.
    pub state: PeerState,
    /// How far it has come as that.
    pub phase: PeerPhase,
    /// How it got its leader's history, as a learner that has.
    pub sync_mode: Option<&'static str>,
    /// Who leads, if it follows, observes or leads itself.
    pub leader: Option<ServerId>,
    /// Whom it learns from, as an observer: the leader or a follower.
    pub learner_master: Option<ServerId>,
    /// The leader's epoch, or the last one that was current.
    pub epoch: Epoch,
    /// The active configuration.
    pub config: Rc<Config>,
    /// The last one proposed or seen; the active one if none is on its way.
    pub last_seen: Rc<Config>,
    /// What it knows as a leader.
    pub leading: Option<LeaderFacts>,
    /// Observers that learn from it although it does not lead.
    pub synced_observers: u64,
    /// What it has counted since the process began.
    pub counts: PeerCounts,
}

/// ZooKeeper's `QuorumPeer.ServerState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Without a leader.
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
    /// Nobody is elected.
    Election,
    /// The epoch is agreed on.
    Discovery,
    /// Histories are made equal.
    Synchronization,
    /// It serves.
    Broadcast,
}

/// Durations in ms: how many, their sum and their ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many.
    pub count: u64,
    /// Together.
    pub sum: u64,
    /// The shortest; 0 without any.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

impl Durations {
    /// Takes one in.
    pub fn add(&mut self, ms: u64) {
        self.min = if self.count == 0 { ms } else { self.min.min(ms) };
        self.max = self.max.max(ms);
        self.count += 1;
        self.sum = self.sum.saturating_add(ms);
        assert!(self.min <= ms && ms <= self.max, "{ms} ms are between the ends");
    }
}

/// What a member counts, by ZooKeeper's names.
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
    /// Followers that came back with less than they had acknowledged to this server, as a leader: their
    /// disks lose what they have synced.
    pub acknowledged_lost: u64,
}
