//! An observer without a log (`syncEnabled=false`): what it has in memory and not on its disk, and how it begins to
//! keep a log.
//!
//! The observer acknowledges nothing, so it may forget. But what its disk says must stay true, because the observer may
//! become a voter, at once or after a restart:
//!
//! ```text
//! 1. an observer without a log follows a leader of epoch 7, and writes currentEpoch 7
//! 2. it starts again as a voter: from an old snapshot, at 3:1
//! 3. (epoch 7, 3:1) beats every voter that followed only epoch 6: their transactions are lost
//! ```
//! So `currentEpoch` is written only when a tree on the disk holds the history that it vouches for. And once this
//! server is not an observer any more, everything else waits for a snapshot of its state.
// ZooKeeper: ObserverZooKeeperServer decides once, and a voter made of such an observer by a
// reconfiguration continues with a log that lacks everything before; its currentEpoch is always written.

use std::collections::VecDeque;

use super::service::Service;
use crate::id::Zxid;
use crate::proto::txn::Txn;
use crate::zab::Epochs;

/// What an observer does not log.
#[derive(Debug)]
pub(super) struct Unlogged {
    /// The newest transaction that was not logged.
    last: Zxid,
    /// The disk holds everything up to here, without a gap.
    proved: Zxid,
    /// The transactions that were not logged and are not applied yet.
    ///
    /// Invariant: their zxids rise.
    pending: VecDeque<Txn>,
    /// Epochs that must not be written yet, because their history is not on the disk; and where that history ended.
    epochs: Option<(Epochs, Zxid)>,
}

impl Unlogged {
    /// Nothing is unlogged yet: the disk holds everything up to `last`.
    pub fn new(last: Zxid) -> Unlogged {
        Unlogged { last, proved: last, pending: VecDeque::new(), epochs: None }
    }

    /// Takes transactions instead of the log. Returns the last that is not applied.
    pub fn put(&mut self, txns: &mut Vec<Txn>) -> Option<Zxid> {
        self.pending.extend(txns.drain(..));
        let last = self.pending.back()?.zxid();
        self.last = self.last.max(last);
        Some(last)
    }

    /// Transactions up to `zxid` are applied: the database has them.
    pub fn on_applied(&mut self, zxid: Zxid) {
        while self.pending.front().is_some_and(|txn| txn.zxid() <= zxid) {
            self.pending.pop_front();
        }
    }

    /// The history is cut: nothing behind `zxid` stays.
    pub fn on_cut(&mut self, zxid: Zxid) {
        self.pending.retain(|txn| txn.zxid() <= zxid);
        self.last = self.last.min(zxid);
        self.proved = self.proved.min(zxid);
    }

    /// The tree of a leader replaces everything, and is on the disk before what follows.
    pub fn on_tree(&mut self, zxid: Zxid) {
        *self = Unlogged::new(zxid);
    }

    /// This server has all of a new leader's history. True: the disk holds it, or will after the planned steps, so that
    /// `epochs` may be written.
    pub fn may_vouch(&mut self, epochs: Epochs) -> bool {
        let may = self.last <= self.proved;
        self.epochs = (!may).then_some((epochs, self.last));
        may
    }

    /// A snapshot that this server took itself is on the disk. Returns the epochs that may be written now.
    pub fn on_snapshot(&mut self, zxid: Zxid) -> Option<Epochs> {
        self.proved = self.proved.max(zxid);
        self.epochs.take_if(|(_, end)| *end <= zxid).map(|(epochs, _)| epochs)
    }
}

impl Service {
    /// This server is not an observer any more. Everything that it vouches for from now on waits for a snapshot of its
    /// state, and everything behind that is logged.
    pub(super) fn begin_log(&mut self) {
        assert!(!self.pipeline.steps.has_cut(), "a log begins with a cut, behind any other");
        // The server keeps a log already.
        let Some(Unlogged { pending, epochs, .. }) = self.ensemble.unlogged.take() else { return };
        let zxid = self.database.last_processed();
        // A server without a history has nothing to vouch for, and gets the leader's tree.
        if zxid != Zxid::NONE {
            tracing::info!(
                %zxid,
                "this server may vote now: it writes a snapshot of its state, and keeps a log from here on"
            );
            self.pipeline.steps.push_restore(zxid);
        }
        pending.into_iter().for_each(|txn| self.pipeline.steps.backlog.push(txn));
        if let Some((epochs, _)) = epochs {
            self.pipeline.steps.push_current(epochs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Epoch;
    use crate::replica::tests::durability::txn;

    fn put(unlogged: &mut Unlogged, zxid: i64) {
        unlogged.put(&mut vec![txn(Zxid(zxid))]);
    }

    #[test]
    fn an_epoch_is_written_when_a_tree_on_the_disk_proves_it() {
        let epochs = Epochs::new(Epoch(7), Epoch(7));
        let mut unlogged = Unlogged::new(Zxid(5));
        assert!(unlogged.may_vouch(epochs), "the disk is where the leader is");
        put(&mut unlogged, 6);
        assert!(!unlogged.may_vouch(epochs));
        put(&mut unlogged, 7);
        assert_eq!(unlogged.on_snapshot(Zxid(5)), None);
        assert_eq!(unlogged.on_snapshot(Zxid(6)), Some(epochs), "7 came behind it");
        assert_eq!(unlogged.on_snapshot(Zxid(7)), None, "it is told once");
        put(&mut unlogged, 8);
        assert!(!unlogged.may_vouch(epochs));
        unlogged.on_tree(Zxid(9));
        assert!(unlogged.may_vouch(epochs));
        assert!(unlogged.pending.is_empty());
    }

    #[test]
    fn what_is_not_applied_is_kept_for_the_log() {
        let mut unlogged = Unlogged::new(Zxid(0));
        assert_eq!(unlogged.put(&mut vec![txn(Zxid(1)), txn(Zxid(2))]), Some(Zxid(2)));
        unlogged.on_applied(Zxid(1));
        assert_eq!(unlogged.pending.len(), 1);
        unlogged.on_cut(Zxid(1));
        assert!(unlogged.pending.is_empty());
    }
}
