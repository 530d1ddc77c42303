//! Synchronisation: learners get the history, and the leader serves when a quorum has it
//! (`waitForNewLeaderAck`, `startZkServer`).

use bytes::{BufMut, BytesMut};
use tracing::{debug, error, info, warn};

use super::discovery::Refusal;
use super::handler::HandlerStage;
use super::learners::{Tail, TailFor};
use super::phase::{LeaderPhase, list};
use super::{Leader, history};
use crate::id::Zxid;
use crate::link::LinkId;
use crate::proto::quorum::packet;
use crate::zab::packets::{Packet, put_bare, put_data, put_txn};
use crate::zab::{Standing, kept_out};

/// The packets that follow the history from a leader.
#[derive(Debug)]
pub(super) struct LeaderTail {
    /// The proposals that are not committed, for followers.
    outstanding: BytesMut,
    /// The zxid of NEWLEADER.
    new_leader: Zxid,
    /// The configuration in NEWLEADER.
    config: String,
    /// Whether that configuration is active while another one is proposed.
    is_beside_proposed: bool,
}

impl Tail for LeaderTail {
    fn write(&self, of: TailFor, out: &mut BytesMut) {
        if !of.is_observer {
            out.put_slice(&self.outstanding);
        }
        if of.is_old {
            put_bare(out, packet::NEWLEADER, self.new_leader);
        } else {
            put_data(out, packet::NEWLEADER, self.new_leader, self.config.as_bytes());
        }
    }

    /// A follower of Apache ZooKeeper takes the configuration in NEWLEADER for active, and forgets any other.
    /// Whichever of the two configurations stood there, such a follower could forget one that it has helped to commit,
    /// or take one for active that nobody has committed. So it is sent away, and comes again in a second. If the
    /// quorum needs it, this leader steps down, and the proposed configuration becomes active with the next leader's
    /// epoch.
    // ZooKeeper: LearnerHandler sends the last configuration that was proposed.
    fn refusal(&self, of: TailFor) -> Option<&'static str> {
        let knows_one = !of.knows_marks && !of.is_observer && !of.is_old;
        (knows_one && self.is_beside_proposed)
            .then_some("a reconfiguration is under way, it gets the history when that is done")
    }
}

impl Leader {
    pub(super) fn begin_sync(&mut self, link: LinkId, last: Zxid) {
        if !self.learners.take_over(self.now, link) {
            return;
        }
        let handler = self.learners.handlers.get(&link);
        if let Some(server) = handler.filter(|it| !it.is_observer).map(|it| it.server) {
            let vouched = self.acks.begin(server, link);
            if last < vouched {
                self.acknowledged_lost += 1;
                error!("{}", kept_out::leader_of_forgetful_disk(server, vouched, last));
            }
        }
        let end = self.lasting.journal.recent().last();
        let handler =
            self.learners.handlers.get_mut(&link).expect("it has the place of its server");
        assert_eq!(handler.history_end, Zxid::NONE, "a learner is brought up to date once");
        handler.heard_at = self.now;
        handler.history_end = end;
        let tail = self.tail();
        let history = history(
            &self.lasting.options,
            self.lasting.journal.recent(),
            self.committed,
            self.lasting.epochs.origin,
        );
        self.learners.begin_sync(link, last, &history, &tail);
    }

    /// The packets that follow a learner's history now.
    pub(super) fn tail(&self) -> LeaderTail {
        let mut outstanding = BytesMut::new();
        for txn in self.lasting.journal.pending() {
            put_txn(&mut outstanding, packet::PROPOSAL, txn);
        }
        // A learner takes this configuration for active. One that was proposed in an earlier epoch becomes active with
        // this epoch; one that this leader has proposed becomes active with its own commit.
        let is_leading = matches!(self.phase, LeaderPhase::Broadcast);
        let config = if is_leading { &self.lasting.config } else { &self.lasting.last_seen };
        LeaderTail {
            outstanding,
            new_leader: Zxid::new(self.epoch.expect("it was decided"), 0),
            config: config.to_text(),
            is_beside_proposed: is_leading && self.is_reconfiguring(),
        }
    }

    pub(super) fn on_new_leader_ack(
        &mut self,
        link: LinkId,
        packet: &Packet,
    ) -> Result<(), Refusal> {
        if packet.kind != packet::ACK {
            return Err(format!("ACK was due, and a packet of type {} came", packet.kind));
        }
        let has_told =
            matches!(self.phase, LeaderPhase::Synchronization { .. } | LeaderPhase::Broadcast);
        assert!(has_told, "NEWLEADER was sent");
        let counts = self.voucher(link);
        let new_leader = Zxid::new(self.epoch.expect("it was decided"), 0);
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        assert!(handler.sync_kind.is_some(), "it has got a history");
        handler.enter(HandlerStage::Activation);
        handler.sync_kind = None;
        debug!("{} has the history", handler.name());
        if packet.zxid == new_leader && handler.history_end.counter() != 0 {
            self.acks.vouch(handler.server, link, handler.history_end);
        }
        if let LeaderPhase::Synchronization { acks, .. } = &mut self.phase {
            if packet.zxid == new_leader {
                if let Some(server) = counts {
                    acks.add(server);
                }
            } else {
                warn!("{} acknowledged {}, not {new_leader}", handler.name(), packet.zxid);
            }
            self.maybe_activate();
        } else {
            self.send_up_to_date(link);
        }
        Ok(())
    }

    pub(super) fn maybe_activate(&mut self) {
        // No learner has got the history yet, or a quorum has it.
        let LeaderPhase::Synchronization { acks, .. } = &self.phase else { return };
        // ZooKeeper: the leader's own acknowledgement waits only for its epoch file. Here it also waits for everything
        // that this server has appended before.
        if !acks.has_all_quorums_with(self.oracle()) || !self.has_own_history() {
            return;
        }
        let epoch = self.epoch.expect("it was decided");
        info!("servers {} have the history: leading epoch {epoch}", list(acks.acks()));
        let acked = acks.acks().clone();
        assert!(acked.contains(&self.lasting.options.me), "a leader has its own history");
        assert!(self.proposals.is_empty(), "nothing is proposed before a quorum has the history");
        assert_eq!(self.committed, self.proposed, "all of the history is committed with this");
        self.phase = LeaderPhase::Broadcast;
        self.proposed = Zxid::new(epoch, 0);
        self.committed = self.proposed;
        self.tick = 0;
        let mut serves = true;
        if self.lasting.options.reconfig {
            let config = self.lasting.last_seen.clone();
            let leader = self.designate(&config, |server| acked.contains(&server), self.proposed);
            self.activate_config(config, leader);
            serves = leader == self.lasting.options.me;
        }
        if serves {
            self.out.standing.push(Standing::Leading { epoch });
        }
        for link in self.links_at(|stage| stage == HandlerStage::Activation) {
            self.send_up_to_date(link);
            self.advance(link);
        }
    }

    /// Whether this server's own history is durable, and its epoch with it.
    fn has_own_history(&self) -> bool {
        match &self.phase {
            LeaderPhase::Synchronization { acks, .. } => {
                acks.acks().contains(&self.lasting.options.me)
            }
            LeaderPhase::Discovery { .. }
            | LeaderPhase::Accepting { .. }
            | LeaderPhase::EpochAcks { .. }
            | LeaderPhase::Broadcast => false,
        }
    }

    fn send_up_to_date(&mut self, link: LinkId) {
        assert!(self.is_active(), "no learner is up to date before a quorum has the history");
        self.learners.put(link, |out| put_bare(out, packet::UPTODATE, Zxid::NONE));
        let handler = self.learners.handlers.get_mut(&link).expect("it waits for this");
        assert_eq!(handler.stage, HandlerStage::Activation, "it has the history");
        handler.enter(HandlerStage::Broadcast);
        handler.heard_at = self.now;
        info!("{} is up to date", handler.name());
        self.learners.kept_out.forget(handler.server);
    }
}
