//! One learner, as its leader or observer master sees it (`LearnerHandler`).

use std::net::SocketAddr;

use super::outbox::Outbox;
use super::reign::Pings;
use crate::id::{Epoch, ServerId, Zxid};
use crate::limits::LEARNER_EARLY_BYTES_MAX;
use crate::link::LinkId;
use crate::time::MonoUs;
use crate::zab::Marks;
use crate::zab::packets::PacketReader;

/// The progress of a learner. Each stage is named after what it waits for.
///
/// Invariant: a learner goes through the stages in this order, and may leave some out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HandlerStage {
    /// FOLLOWERINFO or OBSERVERINFO.
    Info,
    /// The epoch, until it is decided and durable here.
    Epoch,
    /// ACKEPOCH.
    AckEpoch,
    /// A quorum that has accepted the epoch.
    EpochQuorum {
        /// The learner's last zxid.
        last: Zxid,
    },
    /// The transactions from the log's files.
    LogRead {
        /// The id of the [`LogRead`](crate::zab::LogRead).
        id: u64,
        /// The learner's last zxid.
        last: Zxid,
    },
    /// The database, until it is held for a snapshot.
    Snapshot,
    /// The end of the tree, of which pieces are being sent.
    SnapshotEnd,
    /// The ACK of NEWLEADER.
    NewLeaderAck,
    /// The leader, until it serves.
    Activation,
    /// Nothing: the learner is up to date.
    Broadcast,
}

impl HandlerStage {
    /// Whether the learner may send a packet now.
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

    /// Whether the learner has acknowledged the history.
    pub(super) fn has_history(self) -> bool {
        matches!(self, HandlerStage::Activation | HandlerStage::Broadcast)
    }
}

/// The kinds of synchronisations, of each of which only so many may run at once (`LearnerSyncThrottler`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncKind {
    Snapshot,
    Diff,
}

/// The time that a learner takes for an acknowledgement (`LearnerHandler.SyncLimitCheck`).
///
/// Invariant: `newest` is later than `oldest`, and there is none without it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AckClock {
    /// The proposal whose acknowledgement is missing for longest, as far as is known, and when it was sent.
    oldest: Option<(Zxid, MonoUs)>,
    /// The newest proposal, and when it was sent. It becomes the oldest one when that is acknowledged.
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

    /// How long the oldest acknowledgement has been missing, in ms.
    pub(super) fn waiting_ms(&self, now: MonoUs) -> u64 {
        self.oldest.map_or(0, |(_, since)| now.since_us(since) / 1000)
    }

    /// Does not count a time in which this process was suspended.
    pub(super) fn shift(&mut self, ms: u64) {
        for (_, since) in self.oldest.iter_mut().chain(&mut self.newest) {
            *since = since.plus_ms(ms);
        }
    }
}

/// One learner.
#[derive(Debug)]
pub(super) struct Handler {
    /// The connection.
    pub(super) link: LinkId,
    /// The address of the other side.
    pub(super) remote: SocketAddr,
    /// The members that have this address; `None`: addresses are not checked.
    pub(super) may_be: Option<Vec<ServerId>>,
    /// The time of the connection. The oldest stranger makes room for others.
    pub(super) since: MonoUs,
    /// The bytes that came and were not handled yet.
    pub(super) reader: PacketReader,
    /// The bytes that leave, or wait.
    pub(super) outbox: Outbox,
    /// The progress of the learner.
    pub(super) stage: HandlerStage,
    /// The id that the learner has given.
    ///
    /// Invariant: means nothing in [`HandlerStage::Info`].
    pub(super) server: ServerId,
    /// Whether the learner has come as an observer.
    pub(super) is_observer: bool,
    /// Whether a configuration names the learner. Any host may come as a server that none names.
    pub(super) is_member: bool,
    /// The beginning of the present measurement of how fast the learner takes the tree, and the bytes that it had taken
    /// by then.
    ///
    /// Invariant: set from [`HandlerStage::SnapshotEnd`] on.
    pub(super) tree_since: Option<(MonoUs, u64)>,
    /// Whether the learner follows without being counted: it has accepted a later epoch than this leader's, and so has
    /// promised another leader to have no part in this epoch's decisions.
    pub(super) is_guest: bool,
    /// The marks of the learner's history, until it is brought up to date. `None`: the learner is Apache ZooKeeper, and
    /// its zxids have to be believed.
    pub(super) marks: Option<Marks>,
    /// Whether the learner is a Ringkeeper, which sends marks.
    pub(super) knows_marks: bool,
    /// The epoch that the learner was told.
    pub(super) epoch: Epoch,
    /// Whether the learner speaks the protocol from before servers agreed on epochs (3.3).
    pub(super) is_old: bool,
    /// The zxid of the learner's first packet: the epoch that it has accepted, or, from an old server, the end of its
    /// log.
    pub(super) info_zxid: Zxid,
    /// The place among the synchronisations that run at once.
    ///
    /// Invariant: set from the choice of a history until the ACK of NEWLEADER.
    pub(super) sync_kind: Option<SyncKind>,
    /// When the learner was last heard, or, in a stage in which it has to be silent, when it was last sent something.
    pub(super) heard_at: MonoUs,
    /// The last tick of the leader in which the learner counts as in sync.
    pub(super) tick_deadline: u64,
    /// The time that the learner takes for an acknowledgement.
    pub(super) ack_clock: AckClock,
    /// The number of the learner's syncs that wait for a commit, or for the leader.
    pub(super) syncs_pending: usize,
    /// The pings since UPTODATE.
    pub(super) pings: Pings,
    /// The newest transaction that the learner has acknowledged, for operators.
    pub(super) acked: Zxid,
    /// The end of the history at the time when the learner began to get it. Its ACK of NEWLEADER vouches for it.
    pub(super) history_end: Zxid,
    /// The number of packets received, for operators.
    pub(super) packets_received: u64,
    /// The number of requests among them, for operators.
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
            // A host that has not said which server it is may not send much.
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

    /// The learner has come to its next stage.
    pub(super) fn enter(&mut self, stage: HandlerStage) {
        assert!(stage > self.stage, "a learner never goes back: {stage:?} after {:?}", self.stage);
        let has_history = stage > HandlerStage::Snapshot;
        assert!(!has_history || self.outbox.is_live(), "a learner with a history gets broadcasts");
        self.stage = stage;
    }

    /// Whether a packet of the learner may be handled now.
    pub(super) fn listens(&self) -> bool {
        self.stage.listens()
    }

    /// Whether the learner has said which server it is.
    pub(super) fn is_known(&self) -> bool {
        self.stage != HandlerStage::Info
    }

    /// Whether the learner sends more than a few bytes while it has to wait.
    pub(super) fn talks_too_early(&self) -> bool {
        !self.stage.listens() && self.reader.buffered() > LEARNER_EARLY_BYTES_MAX
    }

    /// Whether the learner was heard lately.
    pub(super) fn is_in_sync(&self, tick: u64) -> bool {
        self.is_known() && tick <= self.tick_deadline
    }

    /// Whether the learner is a follower that gets proposals.
    pub(super) fn is_forwarding_follower(&self) -> bool {
        !self.is_observer && self.outbox.is_live()
    }

    /// Whether the learner's acknowledgements count under the configurations in which it votes.
    pub(super) fn counts(&self) -> bool {
        // The acknowledgements of an observer do not count, even if the configuration calls it a voter.
        self.is_known() && !self.is_observer && !self.is_guest
    }

    /// The learner's name in the log.
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
