//! ACKEPOCH: the learners accept the epoch, and say how far their histories reach (`waitForEpochAck`).

use super::discovery::{Refusal, text};
use super::handler::HandlerStage;
use super::phase::{LeaderPhase, init_end};
use super::{Leader, history};
use crate::id::Zxid;
use crate::link::LinkId;
use crate::proto::quorum::packet;
use crate::quorum::AckTracker;
use crate::zab::EpochAck;
use crate::zab::packets::Packet;

impl Leader {
    pub(super) fn on_ack_epoch(&mut self, link: LinkId, packet: &Packet) -> Result<(), Refusal> {
        if packet.kind != packet::ACKEPOCH {
            return Err(format!("ACKEPOCH was due, and a packet of type {} came", packet.kind));
        }
        let ack = packet.epoch_ack().map_err(text)?;
        let epoch = self.epoch.expect("it was decided");
        let history = history(
            &self.lasting.options,
            self.lasting.journal.recent(),
            self.committed,
            self.lasting.epochs.origin,
        );
        if self.learners.compare_history(self.now, link, epoch, packet, &history)? {
            self.on_epoch_accepted(link, ack, packet.zxid)?;
        }
        Ok(())
    }

    pub(super) fn on_epoch_accepted(
        &mut self,
        link: LinkId,
        ack: EpochAck,
        last: Zxid,
    ) -> Result<(), Refusal> {
        let stage = self.learners.handlers[&link].stage;
        assert!(
            matches!(stage, HandlerStage::AckEpoch | HandlerStage::Epoch),
            "it was asked to accept the epoch: {stage:?}"
        );
        assert!(self.epoch.is_some(), "only what is decided can be accepted");
        let voter = self.voucher(link);
        let may_be_cut = self.may_be_cut(link);
        if let LeaderPhase::EpochAcks { electing, .. } = &mut self.phase
            && let EpochAck::Counts(current) = ack
        {
            let (epoch, end) = self.summary;
            if (current, last) > (epoch, end) && !may_be_cut {
                return Err(format!(
                    "it is ahead of this leader: it followed epoch {current} up to {last}, and \
                     this server epoch {epoch} up to {end}"
                ));
            }
            if last != Zxid::NONE {
                electing.extend(voter);
            }
        }
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        handler.enter(HandlerStage::EpochQuorum { last });
        if matches!(self.phase, LeaderPhase::EpochAcks { .. }) {
            self.maybe_finish_epoch();
        } else {
            self.begin_sync(link, last);
        }
        Ok(())
    }

    /// Whether no transaction that this learner has beyond the end of this leader's history was ever committed,
    /// although servers that only the proposed configuration needs have still to accept the epoch.
    ///
    /// 1. Servers 3 and 4 vote; it is proposed that 1, 2 and 3 vote. 1 and 2 log the proposal, 3 (the leader) and 4 do
    ///    not, and all servers stop. The proposed configuration is in the files of 3.
    /// 2. Server 3 is elected with the vote of 4. It needs 1 or 2 to serve, but both are ahead of it and have no vote.
    ///
    /// No server can have committed the change or anything after it, because the histories of a quorum of the present
    /// voters end before the change.
    // ZooKeeper: Leader.waitForEpochAck refuses such learners for ever.
    fn may_be_cut(&self, link: LinkId) -> bool {
        // Once a quorum has accepted the epoch, any learner is cut to this leader's history.
        let LeaderPhase::EpochAcks { electing, .. } = &self.phase else { return false };
        let handler = &self.learners.handlers[&link];
        assert!(handler.is_known(), "it has said who it is");
        Zxid(self.lasting.last_seen.version) > self.summary.1
            && !self.lasting.config.is_voter(handler.server)
            && electing.contains(&self.lasting.options.me)
            && self.lasting.config.has_quorum_with(electing, self.oracle())
    }

    pub(super) fn maybe_finish_epoch(&mut self) {
        // No learner was asked yet, or a quorum has accepted.
        let LeaderPhase::EpochAcks { electing, .. } = &self.phase else { return };
        let epoch = self.epoch.expect("only what is decided can be accepted");
        if !electing.contains(&self.lasting.options.me) || !self.has_quorums(electing) {
            return;
        }
        // Not what was accepted last: a later epoch of an earlier role may become durable meanwhile, and this server
        // does not have its history.
        assert!(epoch <= self.lasting.epochs.accepted, "the epoch of a leader was accepted");
        self.lasting.epochs.current = epoch;
        let token = self.want_epochs();
        self.phase = LeaderPhase::Synchronization {
            acks: AckTracker::of_both(&self.lasting.config, &self.lasting.last_seen),
            token,
            until: init_end(&self.lasting.options, self.now),
        };
        let waiting: Vec<(LinkId, Zxid)> = self
            .learners
            .handlers
            .values()
            .filter_map(|handler| match handler.stage {
                HandlerStage::EpochQuorum { last } => Some((handler.link, last)),
                _ => None,
            })
            .collect();
        for (link, last) in waiting {
            self.begin_sync(link, last);
            self.advance(link);
        }
    }
}
