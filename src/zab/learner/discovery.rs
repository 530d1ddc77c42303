//! The leader's epoch, and its choice of how to bring this server up to date
//! (`Learner.registerWithLeader`, the beginning of `Learner.syncWithLeader`).

use super::*;
use crate::limits::EPOCH_VOTED_LEAD_MAX;
use crate::zab::EpochAck;
use crate::zab::leader::is_far;

impl Learner {
    /// LEADERINFO: the epoch is accepted on disk, then ACKEPOCH says so and how far our log goes.
    pub(super) fn on_leader_info(&mut self, packet: &Packet) -> Result<(), Left> {
        assert_eq!(self.stage, LearnerStage::LeaderInfo, "this server has said who it is");
        assert!(self.link.is_some(), "a packet comes over a link");
        assert!(self.vouched.is_empty(), "nothing was vouched for before the epoch is known");
        if packet.kind != packet::LEADERINFO {
            // ZooKeeper: Learner goes on with a NEWLEADER here, from leaders before 3.4.
            let name = name(packet.kind);
            return Err(Left::new(format!("{name} is its first packet, not LEADERINFO")));
        }
        let epoch = packet.zxid.epoch();
        let accepted = self.lasting.epochs.accepted;
        // A leader that knows marks counts nobody who has accepted a later epoch: to follow it then
        // breaks no promise, for nothing is agreed on with this server's word.
        // ZooKeeper: Learner leaves such a leader again and again.
        if epoch < accepted && self.lasting.epochs.current > epoch {
            let followed = self.lasting.epochs.current;
            let reason = kept_out::learner_of_later_epoch(self.target.leader, epoch, followed);
            return Err(Left::kept_out(kept_out::Reason::LaterEpoch(accepted), reason));
        }
        if epoch < accepted && !packet.knows_marks() {
            let reason = kept_out::learner_of_later_promise(self.target.leader, epoch, accepted);
            return Err(Left::kept_out(kept_out::Reason::LaterEpoch(accepted), reason));
        }
        // The leader's last epoch is in the votes for it, and it may have accepted some later ones. But a vote is
        // a word as well: where this server has data, it has been away for no more than so many epochs.
        // ZooKeeper: Learner.registerWithLeader writes down whatever it is told.
        let has_data = self.lasting.journal.accepted() > Zxid::ZERO
            || self.lasting.epochs.current > Epoch::ZERO;
        let believed =
            if has_data { accepted.0.saturating_add(EPOCH_VOTED_LEAD_MAX) } else { i64::MAX };
        let known = accepted.max(Epoch(self.target.voted.0.min(believed)));
        if is_far(epoch, known) {
            let reason = kept_out::learner_of_far_epoch(self.target.leader, epoch, known);
            return Err(Left::kept_out(kept_out::Reason::FarEpoch, reason));
        }
        self.epoch = epoch;
        self.knows_marks = packet.knows_marks();
        self.origin = packet.origin();
        // Before anything comes from this leader, for that is what ACKEPOCH waits for: what a leader gives
        // whose history is of unknown origin may be another history. A number that was drawn for nothing
        // would stand beside another history's data.
        let is_other = self.origin.is_none() || self.lasting.journal.accepted() <= Zxid::ZERO;
        if self.lasting.epochs.origin.is_some()
            && self.lasting.epochs.origin != self.origin
            && is_other
        {
            self.lasting.epochs.origin = None;
            self.lasting.ready.epochs(self.lasting.epochs);
        }
        let mut ack = EpochAck::DoesNotCount;
        if epoch > accepted {
            self.lasting.epochs.accepted = epoch;
            self.lasting.ready.epochs(self.lasting.epochs);
            // A new leader may need this server for its quorum, which counts only whom it can compare
            // itself with. Should its log have to be cut where it cannot be, it asks for the tree when
            // it comes again, and need not be counted then.
            self.lasting.wants_tree = false;
            if self.lasting.journal.accepted() != Zxid::NONE {
                ack = EpochAck::Counts(self.lasting.epochs.current);
            }
        }
        assert!(epoch <= self.lasting.epochs.accepted, "an epoch that is followed is accepted");
        self.stage = LearnerStage::Choice;
        // Who does not say what it has gets everything, from ZooKeeper's leaders as well: they send
        // no TRUNC to a zxid of another epoch (LearnerHandler.queueCommittedProposals).
        let last =
            if self.lasting.wants_tree { Zxid::NONE } else { self.lasting.journal.accepted() };
        let marks = packet.knows_marks().then(|| self.lasting.marks());
        self.say(&Saying::AckEpoch { last, ack, marks });
        self.flush_vouched();
        assert!(self.vouched.is_empty(), "ACKEPOCH waits for the disk, or is dropped");
        Ok(())
    }

    /// DIFF, TRUNC or SNAP.
    pub(super) fn on_choice(&mut self, packet: &Packet) -> Result<(), Left> {
        assert_eq!(self.stage, LearnerStage::Choice, "ACKEPOCH was said before");
        assert_eq!(self.sync_mode, None, "a leader chooses once");
        assert!(self.tree.is_empty(), "no tree came before SNAP");
        let last = self.lasting.journal.accepted();
        match packet.kind {
            packet::DIFF | packet::TRUNC if self.lasting.wants_tree => {
                let name = name(packet.kind);
                return Err(Left::new(format!("{name} came where the whole tree was asked for")));
            }
            packet::DIFF => {
                tracing::info!(from = %last, to = %packet.zxid, "getting what is missing");
                self.sync_mode = Some(SyncMode::Diff);
                // All that we said we had is the leader's history, too.
                self.commit_up_to(last);
                self.stage = LearnerStage::NewLeader;
            }
            packet::TRUNC => return self.on_trunc(packet.zxid),
            packet::SNAP => {
                // 1. A leader of epoch 2 sends a tree as of 9:1. 2. The next leader, of epoch 3, has it for its
                //    history. 3. What it proposes is earlier than what it has: its process ends.
                if packet.zxid < Zxid::ZERO || packet.zxid.epoch() > self.epoch {
                    return Err(Left::new(format!("it offers its tree as of {}", packet.zxid)));
                }
                if packet.zxid < last {
                    tracing::warn!(
                        from = %last,
                        to = %packet.zxid,
                        "getting the whole tree, which ends before what this server has: what the \
                         leader does not have is replaced"
                    );
                } else {
                    tracing::info!(from = %last, to = %packet.zxid, "getting the whole tree");
                }
                self.sync_mode = Some(SyncMode::Snap);
                self.stage = LearnerStage::Snapshot { zxid: packet.zxid };
                let (zxid, digest) = (packet.zxid, packet.tree_digest());
                self.lasting.ready.inbound(Inbound::SnapshotBegins { zxid, digest });
            }
            other => {
                if let Some(leaders) = packet.other_history() {
                    let own = self.lasting.marks().at(leaders.zxid);
                    let reason = kept_out::learner_of_other_history(own, leaders);
                    return Err(Left::kept_out(kept_out::Reason::OtherHistory, reason));
                }
                let name = name(other);
                let reason = format!("{name} came where DIFF, TRUNC or SNAP was expected");
                return Err(Left::new(reason));
            }
        }
        Ok(())
    }

    fn on_trunc(&mut self, zxid: Zxid) -> Result<(), Left> {
        let last = self.lasting.journal.accepted();
        if zxid > last || zxid < Zxid::ZERO {
            let reason = format!("it says to cut the log at {zxid}, the last is {last}");
            return Err(Left::new(reason));
        }
        self.sync_mode = Some(SyncMode::Trunc);
        // ZooKeeper: Learner believes that its log holds everything up to where it is cut. It may
        // not when the leader's history went another way before that point (its own last epoch was
        // not ours): then a transaction would be missing for good. So we cut where our log still
        // is the leader's, and ask again from there.
        let ours = self.lasting.journal.newest_up_to(zxid).unwrap_or(zxid);
        tracing::warn!(from = %last, to = %ours, "cutting the log, the leader does not have its end");
        assert!(ours <= zxid, "{ours} is what the log has up to {zxid}");
        if ours < last {
            self.commit_up_to(ours);
            self.lasting.journal.truncate(ours);
            self.lasting.ready.truncate(ours);
            assert_eq!(self.lasting.journal.accepted(), ours, "the log ends where it is cut");
        } else {
            self.commit_up_to(last);
        }
        if ours == zxid {
            self.stage = LearnerStage::NewLeader;
            Ok(())
        } else {
            let reason =
                format!("its log holds {zxid} and ours does not: asking again from {ours}");
            Err(Left::new(reason))
        }
    }

    /// What was pending up to `zxid` is the leader's history.
    fn commit_up_to(&mut self, zxid: Zxid) {
        while let Some(next) = self.lasting.journal.pending().front().map(Txn::zxid)
            && next <= zxid
        {
            let txn =
                self.lasting.journal.commit(next).expect("it is the front of what is pending");
            self.lasting.ready.commit(txn);
        }
    }

    /// The tree is whole, and has this digest if it is sure; `rest` is what came behind it.
    pub fn snapshot_received(&mut self, digest: Option<i64>, rest: &[u8]) {
        let LearnerStage::Snapshot { zxid } = self.stage else { return };
        if self.failure.is_some() {
            return;
        }
        self.lasting.wants_tree = false;
        self.lasting.journal.restore(zxid, digest);
        self.lasting.ready.restore(zxid);
        let journal = &self.lasting.journal;
        assert_eq!((journal.accepted(), journal.committed()), (zxid, zxid), "the tree is all");
        self.in_tree = zxid;
        self.stage = LearnerStage::NewLeader;
        // What came since the last piece was handed over stands behind `rest`.
        let later = self.tree.split();
        self.on_bytes(rest);
        if self.failure.is_none() {
            self.on_bytes(&later);
        }
        self.flush_vouched();
    }

    /// The tree cannot be read.
    pub fn snapshot_refused(&mut self, reason: &str) {
        if let LearnerStage::Snapshot { .. } = self.stage {
            // The replica has given the tree up itself.
            self.stage = LearnerStage::NewLeader;
            self.leave(format!("its tree cannot be read: {reason}"));
        }
    }
}
