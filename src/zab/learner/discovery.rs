//! The leader's epoch, and the leader's choice of how to bring this server up to date
//! (`Learner.registerWithLeader`, the beginning of `Learner.syncWithLeader`).

use super::*;
use crate::limits::EPOCH_VOTED_LEAD_MAX;
use crate::zab::EpochAck;
use crate::zab::leader::is_far;

impl Learner {
    /// LEADERINFO: this server accepts the epoch on its disk. Then ACKEPOCH says so, and how far the log reaches.
    pub(super) fn on_leader_info(&mut self, packet: &Packet) -> Result<(), Left> {
        assert_eq!(self.stage, LearnerStage::LeaderInfo, "this server has said who it is");
        assert!(self.link.is_some(), "a packet comes over a link");
        assert!(self.vouched.is_empty(), "nothing was vouched for before the epoch is known");
        if packet.kind != packet::LEADERINFO {
            // ZooKeeper: Learner accepts NEWLEADER here, from leaders before 3.4.
            let name = name(packet.kind);
            return Err(Left::new(format!("{name} is its first packet, not LEADERINFO")));
        }
        let epoch = packet.zxid.epoch();
        let accepted = self.lasting.epochs.accepted;
        // A leader that knows marks counts no server that has accepted a later epoch. To follow it breaks no promise,
        // because this server has no part in its decisions.
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
        // The votes for the leader have its last epoch; it may have accepted a few later ones. But votes are not
        // trusted, either: a server with data has been away for no more than so many epochs.
        // ZooKeeper: Learner.registerWithLeader writes any epoch to the disk.
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
        // The disk forgets the origin before ACKEPOCH, and so before anything comes from this leader. If the leader
        // does not know the origin of its history, that may be another history. And an origin that this server has
        // drawn for an empty history must not stand beside another history's data.
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
            // A new leader may need this server for its quorum, and counts only servers that say what they have. If
            // the log turns out to need a cut that is not possible, this server asks for the tree when it connects
            // again; it need not be counted then.
            self.lasting.wants_tree = false;
            if self.lasting.journal.accepted() != Zxid::NONE {
                ack = EpochAck::Counts(self.lasting.epochs.current);
            }
        }
        assert!(epoch <= self.lasting.epochs.accepted, "an epoch that is followed is accepted");
        self.stage = LearnerStage::Choice;
        // A learner that does not say what it has gets the whole tree, also from ZooKeeper's leaders, because they
        // send no TRUNC to a zxid of another epoch (LearnerHandler.queueCommittedProposals).
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
                // Everything in the log is in the leader's history, too.
                self.commit_up_to(last);
                self.stage = LearnerStage::NewLeader;
            }
            packet::TRUNC => return self.on_trunc(packet.zxid),
            packet::SNAP => {
                // 1. A leader of epoch 2 sends a tree as of 9:1.
                // 2. This server leads epoch 3 with that tree.
                // 3. Its first proposal, 3:1, is earlier than its history: its process ends.
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
        // ZooKeeper: Learner believes that its log has everything up to the cut. It may not, if the leader's history
        // took another way before that point (in an epoch that this server has not followed); then a transaction would
        // be missing for good. So this server cuts where its log is still the leader's, and asks again from there.
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

    /// Commits the pending transactions up to `zxid`, which are the leader's history.
    fn commit_up_to(&mut self, zxid: Zxid) {
        while let Some(next) = self.lasting.journal.pending().front().map(Txn::zxid)
            && next <= zxid
        {
            let txn =
                self.lasting.journal.commit(next).expect("it is the front of what is pending");
            self.lasting.ready.commit(txn);
        }
    }

    /// The tree is whole, and has this digest if it is sure. `rest` are the bytes after it.
    pub fn snapshot_received(&mut self, digest: Option<i64>, rest: &[u8]) {
        // The leader was left while the replica read the rest of the tree.
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
        // The bytes that came since the last piece was handed over follow `rest`.
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
            // The replica has given the tree up by itself.
            self.stage = LearnerStage::NewLeader;
            self.leave(format!("its tree cannot be read: {reason}"));
        }
    }
}
