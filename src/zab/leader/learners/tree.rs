//! The whole tree, serialised once for all learners that wait for it.

use super::*;

impl Learners {
    pub fn wants_snapshot(&self) -> bool {
        !self.sends_snapshot() && self.at_stage(HandlerStage::Snapshot).next().is_some()
    }

    pub fn sends_snapshot(&self) -> bool {
        self.at_stage(HandlerStage::SnapshotEnd).next().is_some()
    }

    /// The database is held as of `zxid`, and has this digest if that is sure. All learners that wait get SNAP, and
    /// after the tree the transactions that were committed since.
    pub fn snapshot_begins(
        &mut self,
        now: MonoUs,
        (zxid, digest): (Zxid, Option<i64>),
        history: &History<'_>,
        tail: &impl Tail,
    ) {
        let waiting: Vec<LinkId> = self.at_stage(HandlerStage::Snapshot).map(|h| h.link).collect();
        if zxid < history.log.before() {
            // Memory does not reach back to this tree; the next one will be newer.
            return;
        }
        assert!(!self.sends_snapshot(), "one tree is sent at a time");
        for link in waiting {
            if self.refuse_tail(link, tail) {
                continue;
            }
            self.shut(link);
            let mut since = BytesMut::new();
            for txn in history.log.after(zxid) {
                put_txn(&mut since, packet::PROPOSAL, txn);
                put_bare(&mut since, packet::COMMIT, txn.zxid());
            }
            if !since.is_empty() {
                self.put(link, |out| out.extend_from_slice(&since));
            }
            self.go_live(link, tail);
            let handler = self.handlers.get_mut(&link).expect("it was just found");
            let mut op = BytesMut::new();
            match digest.filter(|_| handler.knows_marks) {
                Some(digest) => put_snap(&mut op, zxid, digest),
                None => put_bare(&mut op, packet::SNAP, zxid),
            }
            handler.outbox.put_ahead(op.freeze());
            assert_eq!(handler.sync_kind, Some(SyncKind::Snapshot), "it was admitted");
            handler.enter(HandlerStage::SnapshotEnd);
            handler.heard_at = now;
            handler.tree_since = Some((now, handler.outbox.passed_on()));
            self.syncs.0 += 1;
        }
        self.stalled = None;
    }

    /// Whether a learner that gets the tree has room for more of it, and none is too far behind.
    pub fn wants_snapshot_piece(&self) -> bool {
        let unsent =
            || self.at_stage(HandlerStage::SnapshotEnd).map(|handler| handler.outbox.unsent());
        let (Some(least), Some(most)) = (unsent().min(), unsent().max()) else { return false };
        least < LEARNER_WINDOW_BYTES && most < self.spread_bytes_max()
    }

    /// How far apart learners that get the tree may be, in bytes.
    pub(super) fn spread_bytes_max(&self) -> u64 {
        LEARNER_SPREAD_BYTES_MAX.min(self.backlog_bytes_max / 2)
    }

    pub fn snapshot_piece(&mut self, bytes: &Bytes) {
        for handler in self.handlers.values_mut() {
            if handler.stage == HandlerStage::SnapshotEnd {
                handler.outbox.put_ahead(bytes.clone());
            }
        }
    }

    pub fn snapshot_ends(&mut self, now: MonoUs) {
        for handler in self.handlers.values_mut() {
            if handler.stage == HandlerStage::SnapshotEnd {
                handler.outbox.open(VecDeque::new());
                handler.enter(HandlerStage::NewLeaderAck);
                handler.heard_at = now;
            }
        }
        assert!(!self.sends_snapshot(), "all of it is on its way");
        self.stalled = None;
    }
}
