//! One learner as its leader sees it (`LearnerHandler`).

use std::net::SocketAddr;

use super::outbox::Outbox;
use super::reign::Pings;
use crate::id::{Epoch, ServerId, Zxid};
use crate::limits::LEARNER_EARLY_BYTES_MAX;
use crate::link::LinkId;
use crate::time::MonoUs;
use crate::zab::Marks;
use crate::zab::packets::PacketReader;

/// How far a learner has come. Each stage waits for what its name says.
///
/// Invariant: a learner goes through the stages in this order, and may leave some out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HandlerStage {
    /// For FOLLOWERINFO or OBSERVERINFO.
    Info,
    /// For the epoch to be known and durable here.
    Epoch,
    /// For ACKEPOCH.
    AckEpoch,
    /// For a quorum to have accepted the epoch.
    EpochQuorum {
        /// The learner's last zxid.
        last: Zxid,
    },
    /// For the log's files to be read.
    LogRead {
        /// The name of the wish.
        id: u64,
        /// The learner's last zxid.
        last: Zxid,
    },
    /// For the database to be held.
    Snapshot,
    /// For the whole tree to be sent.
    SnapshotEnd,
    /// For ACK of NEWLEADER.
    NewLeaderAck,
    /// For the leader to become active.
    Activation,
    /// For whatever happens.
    Broadcast,
}

impl HandlerStage {
    /// Whether the learner may say something now.
    fn listens(self) -> bool {
        match self {
            HandlerStage::Info
            | HandlerStage::AckEpoch
            | HandlerStage::NewLeaderAck
            | HandlerStage::Broadcast => true,
            HandlerStage::Epoch
            | HandlerStage::EpochQuorum { .. }
            | HandlerStage::LogRead { .. }
            | HandlerStage::Snapshot
            | HandlerStage::SnapshotEnd
            | HandlerStage::Activation => false,
        }
    }

    /// Whether it has acknowledged the history.
    pub(super) fn has_history(self) -> bool {
        matches!(self, HandlerStage::Activation | HandlerStage::Broadcast)
    }
}

/// What counts against the number of synchronisations at once (`LearnerSyncThrottler`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncKind {
    Snapshot,
    Diff,
}

/// When a learner acknowledges too late (`LearnerHandler.SyncLimitCheck`): the oldest proposal
/// whose acknowledgement is missing, and the newest one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AckClock {
    oldest: Option<(Zxid, MonoUs)>,
    newest: Option<(Zxid, MonoUs)>,
}

impl AckClock {
    pub(super) fn handle_proposal(&mut self, now: MonoUs, zxid: Zxid) {
        assert!(self.newest.is_none() || self.oldest.is_some(), "the first one is the oldest");
        assert!(self.newest.or(self.oldest).is_none_or(|(at, _)| at < zxid), "zxids rise: {zxid}");
        match self.oldest {
            None => self.oldest = Some((zxid, now)),
            Some(_) => self.newest = Some((zxid, now)),
        }
    }

    pub(super) fn handle_ack(&mut self, zxid: Zxid) {
        if self.oldest.is_some_and(|(oldest, _)| oldest <= zxid) {
            self.oldest = self.newest.take().filter(|(newest, _)| *newest > zxid);
        }
        assert!(self.oldest.is_none_or(|(oldest, _)| oldest > zxid), "{zxid} is acknowledged");
    }

    /// How long the oldest one has been waiting, in ms.
    pub(super) fn waiting_ms(&self, now: MonoUs) -> u64 {
        self.oldest.map_or(0, |(_, since)| now.since_us(since) / 1000)
    }

    /// The clock stood still for so long.
    pub(super) fn shift(&mut self, ms: u64) {
        for (_, since) in self.oldest.iter_mut().chain(&mut self.newest) {
            *since = since.plus_ms(ms);
        }
    }
}

/// One learner.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) link: LinkId,
    pub(super) remote: SocketAddr,
    /// Which members' address that is; `None`: addresses are not looked at.
    pub(super) may_be: Option<Vec<ServerId>>,
    pub(super) since: MonoUs,
    pub(super) reader: PacketReader,
    pub(super) outbox: Outbox,
    pub(super) stage: HandlerStage,
    /// Who it says it is; not before it said so.
    pub(super) server: ServerId,
    pub(super) is_observer: bool,
    /// Whether a configuration names it. Anybody may come as a server that none names.
    pub(super) is_member: bool,
    /// Since when it is measured how fast it takes the tree, and what it had taken of everything then.
    pub(super) tree_since: Option<(MonoUs, u64)>,
    /// It follows, but its word counts for nothing: it has accepted a later epoch than this leader's,
    /// and so has promised another leader to have no part in what is agreed on here.
    pub(super) is_guest: bool,
    /// Points of its history, until it is brought up to date; `None`: it is Apache ZooKeeper, and
    /// what its zxids say has to be believed.
    pub(super) marks: Option<Marks>,
    /// It is a Ringkeeper that sends marks.
    pub(super) knows_marks: bool,
    /// The epoch that it was told.
    pub(super) epoch: Epoch,
    /// It speaks the protocol from before epochs were agreed on (3.3).
    pub(super) is_old: bool,
    /// The zxid of its first packet: the epoch that it had accepted, or, from an old server, the
    /// last of its log.
    pub(super) info_zxid: Zxid,
    pub(super) sync_kind: Option<SyncKind>,
    /// When something last came from it, or went to it in a stage in which it has to be silent.
    pub(super) heard_at: MonoUs,
    /// Up to this tick it counts as synchronised.
    pub(super) tick_deadline: u64,
    pub(super) ack_clock: AckClock,
    pub(super) syncs_pending: usize,
    pub(super) pings: Pings,
    /// The newest transaction that it has acknowledged.
    pub(super) acked: Zxid,
    /// Where the history ended when it began to be brought up to date.
    pub(super) history_end: Zxid,
    pub(super) packets_received: u64,
    pub(super) requests: u64,
}

impl Handler {
    pub(super) fn new(
        link: LinkId,
        remote: SocketAddr,
        may_be: Option<Vec<ServerId>>,
        now: MonoUs,
        tick_deadline: u64,
    ) -> Handler {
        Handler {
            link,
            remote,
            may_be,
            since: now,
            // Nobody who has not said who he is may send much.
            reader: PacketReader::new(LEARNER_EARLY_BYTES_MAX),
            outbox: Outbox::default(),
            stage: HandlerStage::Info,
            server: ServerId(0),
            is_observer: false,
            is_member: false,
            tree_since: None,
            is_guest: false,
            marks: None,
            knows_marks: false,
            epoch: Epoch(0),
            is_old: false,
            info_zxid: Zxid::ZERO,
            sync_kind: None,
            heard_at: now,
            tick_deadline,
            ack_clock: AckClock::default(),
            syncs_pending: 0,
            pings: Pings::default(),
            acked: Zxid::NONE,
            history_end: Zxid::NONE,
            packets_received: 0,
            requests: 0,
        }
    }

    /// It has come further.
    pub(super) fn enter(&mut self, stage: HandlerStage) {
        assert!(stage > self.stage, "a learner never goes back: {stage:?} after {:?}", self.stage);
        let has_history = stage > HandlerStage::Snapshot;
        assert!(!has_history || self.outbox.is_live(), "nothing is broadcast without a history");
        self.stage = stage;
    }

    /// Whether a packet of it may be taken now.
    pub(super) fn listens(&self) -> bool {
        self.stage.listens()
    }

    /// Whether it has said who it is.
    pub(super) fn is_known(&self) -> bool {
        self.stage != HandlerStage::Info
    }

    /// Whether it waits in silence, and yet says more than a few bytes.
    pub(super) fn talks_too_early(&self) -> bool {
        !self.stage.listens() && self.reader.buffered() > LEARNER_EARLY_BYTES_MAX
    }

    /// Whether something moves between us.
    pub(super) fn is_in_sync(&self, tick: u64) -> bool {
        self.is_known() && tick <= self.tick_deadline
    }

    /// A follower that gets what is proposed.
    pub(super) fn is_forwarding_follower(&self) -> bool {
        !self.is_observer && self.outbox.is_live()
    }

    /// Whether its acknowledgements count where it votes.
    pub(super) fn counts(&self) -> bool {
        // An observer is not asked what it has, even if the configuration calls it a voter.
        self.is_known() && !self.is_observer && !self.is_guest
    }

    /// Its name in a line for operators.
    pub(super) fn name(&self) -> String {
        let kind = match (self.is_observer, self.is_guest) {
            (true, _) => "observer",
            (false, false) => "follower",
            (false, true) => "follower without a vote",
        };
        match self.is_known() {
            true => format!("{kind} {} at {}", self.server, self.remote),
            false => format!("a learner at {}", self.remote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_from_the_oldest_proposal_without_an_acknowledgement() {
        let mut clock = AckClock::default();
        let at = |ms: u64| MonoUs(ms * 1000);
        assert_eq!(clock.waiting_ms(at(50)), 0);
        clock.handle_proposal(at(100), Zxid(1));
        clock.handle_proposal(at(110), Zxid(2));
        clock.handle_proposal(at(120), Zxid(3));
        assert_eq!(clock.waiting_ms(at(150)), 50);
        clock.handle_ack(Zxid(1));
        assert_eq!(clock.waiting_ms(at(150)), 30);
        clock.handle_ack(Zxid(2));
        assert_eq!(clock.waiting_ms(at(150)), 30);
        clock.shift(10);
        assert_eq!(clock.waiting_ms(at(150)), 20);
        clock.handle_ack(Zxid(3));
        assert_eq!(clock.waiting_ms(at(1000)), 0);
        clock.handle_proposal(at(2000), Zxid(4));
        clock.handle_proposal(at(2010), Zxid(5));
        clock.handle_ack(Zxid(5));
        assert_eq!(clock.waiting_ms(at(9000)), 0);
    }
}
