//! The facts about a leader, for operators: plain values, made on demand.

use std::net::SocketAddr;

use super::Leader;
use super::handler::{Handler, HandlerStage, SyncKind};
use super::learners::Learners;
use crate::id::{ServerId, Zxid};
use crate::time::MonoUs;

/// A leader as its operator sees it (`mntr`, `/commands/leader`, `/commands/observers`).
#[derive(Clone, Debug)]
pub struct LeaderFacts {
    /// When it was elected.
    pub since: MonoUs,
    /// Whether it serves.
    pub is_active: bool,
    /// The connected learners.
    pub learners: Vec<LearnerFacts>,
    /// Voters that have its history.
    pub synced_followers: usize,
    /// Followers without a vote in the active configuration that have it.
    pub synced_non_voting_followers: usize,
    /// Observers that have it.
    pub synced_observers: usize,
    /// Syncs that wait for a commit.
    pub pending_syncs: usize,
    /// Proposals that no quorum has acknowledged yet.
    pub proposals_outstanding: usize,
    /// The newest one, committed or not.
    pub proposed: Zxid,
    /// The newest one committed.
    pub committed: Zxid,
    /// Sizes of proposals.
    pub sizes: ProposalSizes,
    /// The number of proposals that it has made.
    pub proposals: u64,
    /// How often a follower came back with less than it had acknowledged.
    pub acknowledged_lost: u64,
    /// The numbers of learners that got the whole tree, and that got a difference.
    pub syncs: (u64, u64),
    /// The same at this moment.
    pub syncs_running: (usize, usize),
    /// The reconfiguration that is proposed and not committed.
    pub reconfig: Option<ReconfigProgress>,
}

/// A learner as its leader's operator sees it (`LearnerHandler.getLearnerHandlerInfo`).
#[derive(Clone, Debug)]
pub struct LearnerFacts {
    /// Its id; `None`: it has not given one yet.
    pub server: Option<ServerId>,
    /// The address of the other side.
    pub remote: SocketAddr,
    /// When it connected.
    pub since: MonoUs,
    /// Whether it observes.
    pub is_observer: bool,
    /// What it waits for.
    pub stage: &'static str,
    /// Whether it has the history and was heard lately.
    pub is_synced: bool,
    /// The newest transaction that it has acknowledged.
    pub acked: Zxid,
    /// Bytes that wait for it, here or in the network.
    pub queued_bytes: u64,
    /// Bytes that were handed to the network for it.
    pub sent_bytes: u64,
    /// Packets that came from it.
    pub packets_received: u64,
    /// Requests among them.
    pub requests: u64,
}

/// Sizes of proposals in bytes (`BufferStats`); -1: there was no proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalSizes {
    /// The last one.
    pub last: i64,
    /// The shortest.
    pub min: i64,
    /// The longest.
    pub max: i64,
    /// The number of proposals.
    pub count: u64,
}

impl Default for ProposalSizes {
    fn default() -> Self {
        ProposalSizes { last: -1, min: -1, max: -1, count: 0 }
    }
}

impl ProposalSizes {
    pub(super) fn add(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.last = bytes;
        self.min = if self.min == -1 { bytes } else { self.min.min(bytes) };
        self.max = self.max.max(bytes);
        self.count += 1;
        assert!((self.min..=self.max).contains(&self.last), "the last one is between its limits");
    }
}

/// The progress of a reconfiguration.
#[derive(Clone, Debug)]
pub struct ReconfigProgress {
    /// The version of the new configuration.
    pub version: i64,
    /// The time of its proposal.
    pub since: MonoUs,
    /// Voters of the new configuration that have it in their logs.
    pub acknowledged: Vec<ServerId>,
    /// Voters of the new configuration that do not.
    pub missing: Vec<ServerId>,
}

impl Leader {
    /// The facts about this leader.
    pub fn facts(&self) -> LeaderFacts {
        let handlers = || self.learners.handlers.values();
        // ZooKeeper: forwardingFollowers and observingLearners, the learners that get broadcasts.
        let live = || handlers().filter(|handler| handler.outbox.is_live());
        let followers = || live().filter(|handler| !handler.is_observer);
        let voters =
            followers().filter(|h| h.counts() && self.lasting.config.is_voter(h.server)).count();
        assert!(voters <= followers().count(), "a voter that is counted follows");
        LeaderFacts {
            since: self.since,
            is_active: self.is_active(),
            learners: self.learners.facts(self.tick),
            synced_followers: voters,
            synced_non_voting_followers: followers().count() - voters,
            synced_observers: live().filter(|handler| handler.is_observer).count(),
            pending_syncs: self.syncs.len(),
            proposals_outstanding: self.proposals.len(),
            proposed: self.proposed,
            committed: self.committed,
            sizes: self.sizes,
            proposals: self.sizes.count,
            acknowledged_lost: self.acknowledged_lost,
            syncs: self.learners.syncs,
            syncs_running: (
                self.learners.syncs_running(SyncKind::Snapshot),
                self.learners.syncs_running(SyncKind::Diff),
            ),
            reconfig: self.reconfig_progress(),
        }
    }

    fn reconfig_progress(&self) -> Option<ReconfigProgress> {
        let proposal = self.proposals.iter().find(|proposal| proposal.reconfig.is_some())?;
        let config = proposal.reconfig.as_ref()?;
        let has = |server: &ServerId| self.acks.of(*server) >= proposal.zxid;
        let (acknowledged, missing) = config.voters().partition(has);
        let (version, since) = (config.version, proposal.since);
        Some(ReconfigProgress { version, since, acknowledged, missing })
    }

    /// Forgets the sizes of proposals so far (`srst`).
    pub fn reset_stats(&mut self) {
        self.sizes = ProposalSizes { count: self.sizes.count, ..ProposalSizes::default() };
    }
}

impl Learners {
    /// The facts about each learner.
    pub(super) fn facts(&self, tick: u64) -> Vec<LearnerFacts> {
        let facts = |handler: &Handler| LearnerFacts {
            server: handler.is_known().then_some(handler.server),
            remote: handler.remote,
            since: handler.since,
            is_observer: handler.is_observer,
            stage: stage_name(handler.stage),
            is_synced: handler.stage.has_history() && handler.is_in_sync(tick),
            acked: handler.acked,
            queued_bytes: handler.outbox.queued(),
            sent_bytes: handler.outbox.handed(),
            packets_received: handler.packets_received,
            requests: handler.requests,
        };
        self.handlers.values().map(facts).collect()
    }
}

fn stage_name(stage: HandlerStage) -> &'static str {
    match stage {
        HandlerStage::Info => "connected",
        HandlerStage::Epoch => "waits for the epoch",
        HandlerStage::AckEpoch => "asked to accept the epoch",
        HandlerStage::EpochQuorum { .. } => "waits for a quorum to accept the epoch",
        HandlerStage::LogRead { .. } => "waits for the log to be read",
        HandlerStage::Snapshot => "waits for the tree",
        HandlerStage::SnapshotEnd => "gets the tree",
        HandlerStage::NewLeaderAck => "gets the history",
        HandlerStage::Activation => "has the history",
        HandlerStage::Broadcast => "synchronised",
    }
}
