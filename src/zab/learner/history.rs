//! From the leader's choice to UPTODATE: the history, NEWLEADER, and the broadcasts meanwhile
//! (`Learner.syncWithLeader`).

use super::broadcast::{left_for, within_memory};
use super::*;
use crate::zab::journal::memory_of;
use crate::zab::{Epochs, MajorChange};

impl Learner {
    pub(super) fn on_history(&mut self, packet: &Packet) -> Result<(), Left> {
        assert!(
            matches!(self.stage, LearnerStage::NewLeader | LearnerStage::UpToDate),
            "{:?}",
            self.stage
        );
        assert!(self.sync_mode.is_some(), "the leader has chosen how to send its history");
        match packet.kind {
            packet::PROPOSAL if self.target.kind == LearnerKind::Follower => {
                self.on_proposal(packet)
            }
            packet::PROPOSAL => {
                let txn = packet.txn()?;
                let last =
                    self.uncommitted.back().map_or(self.lasting.journal.accepted(), Txn::zxid);
                if !self.ignore_repeated(txn.zxid()) {
                    self.continuous(last, txn.zxid())?;
                    self.uncommitted_bytes += memory_of(&txn);
                    self.uncommitted.push_back(txn);
                    within_memory(self.uncommitted_bytes)?;
                }
                Ok(())
            }
            packet::COMMIT | packet::COMMITANDACTIVATE => self.on_commit(packet),
            packet::INFORM | packet::INFORMANDACTIVATE => self.on_inform(packet),
            packet::NEWLEADER => self.on_new_leader(packet),
            packet::UPTODATE => self.on_up_to_date(),
            // ZooKeeper: Learner skips these. The leader would take an answer to a PING for the ACK of NEWLEADER.
            packet::PING | packet::SYNC | packet::REVALIDATE => Ok(()),
            other => Err(Left::new(format!("{} came in the middle of its history", name(other)))),
        }
    }

    /// NEWLEADER: everything that came so far is this server's history. First the history goes to the disk, then the
    /// epoch, and only then the leader is told.
    ///
    /// ```text
    /// ZOOKEEPER-3911, 4646: 1. history applied, not yet on disk  2. ACK  3. crash: committed
    ///                       transactions are gone
    /// ZOOKEEPER-4643, 4785: 1. currentEpoch on disk  2. crash before the history is: the server now
    ///                       wins elections with a log that lacks what that epoch began with
    /// ZOOKEEPER-4394:       the COMMIT of a proposal that came before NEWLEADER, but not with it,
    ///                       found no proposal
    /// ```
    /// The order of the fields of a `Ready` prevents all of them: append → epochs → send_after_sync.
    fn on_new_leader(&mut self, packet: &Packet) -> Result<(), Left> {
        if self.stage == LearnerStage::UpToDate {
            return Err(Left::new("it sent NEWLEADER twice".to_owned()));
        }
        if packet.zxid.epoch() != self.epoch {
            let (said, before) = (packet.zxid.epoch(), self.epoch);
            return Err(Left::new(format!("its epoch was {before}, and is {said} in NEWLEADER")));
        }
        match packet.data.as_deref() {
            // ZooKeeper: leaders without a configuration send nothing or a single byte.
            None | Some([] | [_]) => {}
            Some(text) => match Config::from_bytes(text) {
                Ok(config) => {
                    let config = Rc::new(config);
                    // The active configuration in NEWLEADER does not undo a proposed one that came with the history:
                    //
                    // 1. A leader of 1, 2 and 3 proposes that 4 and 5 vote as well. Server 1 connects again, and gets
                    //    this proposal and then NEWLEADER.
                    // 2. Server 1 acknowledges the proposal, which is committed with that. Then 1 and 2 lose the
                    //    others.
                    // 3. If server 1 had forgotten the proposal, 1 and 2 would be a quorum, and 3, 4 and 5 another one.
                    let proposed = self.lasting.journal.proposed_config().map(Rc::new);
                    let is_later = |proposed: &Rc<Config>| proposed.version > config.version;
                    let seen = proposed.filter(is_later).unwrap_or_else(|| config.clone());
                    self.lasting.see_config(seen);
                    self.new_config = Some(config);
                }
                // ZooKeeper: Learner prints the exception and goes on.
                Err(error) => {
                    tracing::warn!(%error, "the leader's configuration is not understood")
                }
            },
        }
        // This server may have accepted a later epoch, and keeps that promise.
        let accepted = self.lasting.epochs.accepted.max(self.epoch);
        let epochs = Epochs { accepted, current: self.epoch, origin: self.origin };
        if (self.lasting.epochs.current, self.lasting.epochs.origin)
            != (epochs.current, epochs.origin)
        {
            self.lasting.epochs = epochs;
            self.lasting.ready.epochs(epochs);
        }
        assert_eq!(self.lasting.epochs.current, self.epoch, "its history is that of this epoch");
        assert!(self.lasting.epochs.accepted >= self.epoch, "who follows an epoch has accepted it");
        self.stage = LearnerStage::UpToDate;
        self.say(&Saying::Ack(packet.zxid));
        // The leader takes the first ACK for that of NEWLEADER, and waits for another one for each proposal that was
        // not committed when it sent NEWLEADER.
        if self.target.kind == LearnerKind::Follower {
            let pending: Vec<Zxid> = self.lasting.journal.pending().iter().map(Txn::zxid).collect();
            for zxid in pending {
                self.say(&Saying::Ack(zxid));
            }
        }
        self.flush_vouched();
        assert!(self.vouched.is_empty(), "the ACK of NEWLEADER waits for the disk, or is dropped");
        Ok(())
    }

    fn on_up_to_date(&mut self) -> Result<(), Left> {
        if self.stage != LearnerStage::UpToDate {
            return Err(Left::new("UPTODATE came before NEWLEADER".to_owned()));
        }
        if let Some(config) = self.new_config.take() {
            left_for(self.lasting.activate_config(config, self.target.leader, None))?;
        }
        // This server may have connected in its role under a configuration that came with a vote, and that this leader
        // does not have.
        if self.lasting.is_observer != (self.target.kind == LearnerKind::Observer) {
            return left_for(Some(MajorChange { leader: None }));
        }
        assert!(self.new_config.is_none(), "the configuration of NEWLEADER is active");
        assert!(self.tree.is_empty(), "the tree of the leader was handed on");
        self.stage = LearnerStage::Broadcast;
        self.uncommitted.clear();
        self.uncommitted_bytes = 0;
        self.say(&Saying::Ack(Zxid::new(self.epoch, 0)));
        let standing = self.standing().expect("it was just taken up");
        self.lasting.ready.standing(standing);
        Ok(())
    }
}
