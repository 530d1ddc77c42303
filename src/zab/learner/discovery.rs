//! The leader's epoch, and its choice of how to bring this server up to date
//! (`Learner.registerWithLeader`, the beginning of `Learner.syncWithLeader`).

use super::*;
use crate::limits::EPOCH_VOTED_LEAD_MAX;
use crate::zab::EpochAck;
use crate::zab::leader::is_far;

impl Learner {
    /// LEADERINFO: the epoch is accepted on disk, then ACKEPOCH says so and how far our log goes.
    pub(super) fn on_leader_info(
        &mut self,
        packet: &Packet,
        lasting: &mut Lasting,
    ) -> Result<(), Left> {
        if packet.kind != packet::LEADERINFO {
            // ZooKeeper: Learner goes on with a NEWLEADER here, from leaders before 3.4.
            let name = name(packet.kind);
            return Err(Left::new(format!("{name} is its first packet, not LEADERINFO")));
        }
        let epoch = packet.zxid.epoch();
        let accepted = lasting.epochs.accepted;
        // A leader that knows marks counts nobody who has accepted a later epoch: to follow it then
        // breaks no promise, for nothing is agreed on with this server's word.
        // ZooKeeper: Learner leaves such a leader again and again.
        if epoch < accepted && lasting.epochs.current > epoch {
            let followed = lasting.epochs.current;
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
        let has_data =
            lasting.journal.accepted() > Zxid::ZERO || lasting.epochs.current > Epoch::ZERO;
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
        let is_other = self.origin.is_none() || lasting.journal.accepted() <= Zxid::ZERO;
        if lasting.epochs.origin.is_some() && lasting.epochs.origin != self.origin && is_other {
            lasting.epochs.origin = None;
            lasting.ready.epochs(lasting.epochs);
        }
        let mut ack = EpochAck::DoesNotCount;
        if epoch > accepted {
            lasting.epochs.accepted = epoch;
            lasting.ready.epochs(lasting.epochs);
            // A new leader may need this server for its quorum, which counts only whom it can compare
            // itself with. Should its log have to be cut where it cannot be, it asks for the tree when
            // it comes again, and need not be counted then.
            lasting.wants_tree = false;
            if lasting.journal.accepted() != Zxid::NONE {
                ack = EpochAck::Counts(lasting.epochs.current);
            }
        }
        self.stage = Stage::Choice;
        // Who does not say what it has gets everything, from ZooKeeper's leaders as well: they send
        // no TRUNC to a zxid of another epoch (LearnerHandler.queueCommittedProposals).
        let last = if lasting.wants_tree { Zxid::NONE } else { lasting.journal.accepted() };
        let marks = packet.knows_marks().then(|| lasting.marks());
        self.say(&Saying::AckEpoch { last, ack, marks }, lasting);
        self.flush_vouched(lasting);
        Ok(())
    }

    /// DIFF, TRUNC or SNAP.
    pub(super) fn on_choice(&mut self, packet: &Packet, lasting: &mut Lasting) -> Result<(), Left> {
        let last = lasting.journal.accepted();
        match packet.kind {
            packet::DIFF | packet::TRUNC if lasting.wants_tree => {
                let name = name(packet.kind);
                return Err(Left::new(format!("{name} came where the whole tree was asked for")));
            }
            packet::DIFF => {
                tracing::info!(from = %last, to = %packet.zxid, "getting what is missing");
                self.sync_mode = Some(SyncMode::Diff);
                // All that we said we had is the leader's history, too.
                Self::commit_up_to(last, lasting);
                self.stage = Stage::NewLeader;
            }
            packet::TRUNC => return self.on_trunc(packet.zxid, lasting),
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
                self.stage = Stage::Snapshot { zxid: packet.zxid };
                let (zxid, digest) = (packet.zxid, packet.tree_digest());
                lasting.ready.inbound(Inbound::SnapshotBegins { zxid, digest });
            }
            other => {
                if let Some(leaders) = packet.other_history() {
                    let own = lasting.marks().at(leaders.zxid);
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

    fn on_trunc(&mut self, zxid: Zxid, lasting: &mut Lasting) -> Result<(), Left> {
        let last = lasting.journal.accepted();
        if zxid > last || zxid < Zxid::ZERO {
            let reason = format!("it says to cut the log at {zxid}, the last is {last}");
            return Err(Left::new(reason));
        }
        self.sync_mode = Some(SyncMode::Trunc);
        // ZooKeeper: Learner believes that its log holds everything up to where it is cut. It may
        // not when the leader's history went another way before that point (its own last epoch was
        // not ours): then a transaction would be missing for good. So we cut where our log still
        // is the leader's, and ask again from there.
        let ours = lasting.journal.newest_up_to(zxid).unwrap_or(zxid);
        tracing::warn!(from = %last, to = %ours, "cutting the log, the leader does not have its end");
        if ours < last {
            Self::commit_up_to(ours, lasting);
            lasting.journal.truncate(ours);
            lasting.ready.truncate(ours);
        } else {
            Self::commit_up_to(last, lasting);
        }
        if ours == zxid {
            self.stage = Stage::NewLeader;
            Ok(())
        } else {
            let reason =
                format!("its log holds {zxid} and ours does not: asking again from {ours}");
            Err(Left::new(reason))
        }
    }

    /// What was pending up to `zxid` is the leader's history.
    fn commit_up_to(zxid: Zxid, lasting: &mut Lasting) {
        while let Some(next) = lasting.journal.pending().front().map(Txn::zxid)
            && next <= zxid
        {
            let txn = lasting.journal.commit(next).expect("it is the front of what is pending");
            lasting.ready.commit(txn);
        }
    }

    /// The tree is whole, and has this digest if it is sure; `rest` is what came behind it.
    pub fn snapshot_received(&mut self, digest: Option<i64>, rest: &[u8], lasting: &mut Lasting) {
        let Stage::Snapshot { zxid } = self.stage else { return };
        if self.failure.is_some() {
            return;
        }
        lasting.wants_tree = false;
        lasting.journal.restore(zxid, digest);
        lasting.ready.restore(zxid);
        self.in_tree = zxid;
        self.stage = Stage::NewLeader;
        // What came since the last piece was handed over stands behind `rest`.
        let later = self.tree.split();
        self.on_bytes(rest, lasting);
        if self.failure.is_none() {
            self.on_bytes(&later, lasting);
        }
        self.flush_vouched(lasting);
    }

    /// The tree cannot be read.
    pub fn snapshot_refused(&mut self, reason: &str, lasting: &mut Lasting) {
        if let Stage::Snapshot { .. } = self.stage {
            // The replica has given the tree up itself.
            self.stage = Stage::NewLeader;
            self.leave(format!("its tree cannot be read: {reason}"), lasting);
        }
    }
}
