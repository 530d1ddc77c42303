//! An observer without a log (`syncEnabled=false`): what it has and its disk has not, and how it begins to
//! keep a log.
//!
//! It acknowledges nothing, so it may forget. But what stands on its disk must stay true, for it may
//! become a voter, at once or after a restart:
//!
//! ```text
//! 1. an observer without a log follows a leader of epoch 7, and writes currentEpoch 7
//! 2. it starts again as a voter: from an old snapshot, at 3:1
//! 3. (epoch 7, 3:1) beats every voter that followed only epoch 6: what those have is lost
//! ```
//! So `currentEpoch` waits until a tree on the disk holds what it vouches for. And from the moment at which
//! this server is no observer any more, everything else waits for a snapshot of what it holds.
// ZooKeeper: ObserverZooKeeperServer decides once, and a voter made of such an observer by a
// reconfiguration goes on with a log that lacks everything before; its currentEpoch is always written.

use std::collections::VecDeque;

use super::service::Service;
use crate::id::Zxid;
use crate::proto::txn::Txn;
use crate::zab::Epochs;

/// What is not logged.
#[derive(Debug)]
pub(super) struct Unlogged {
    /// The newest transaction that went to no log.
    last: Zxid,
    /// What the disk holds, without a hole.
    proved: Zxid,
    /// Those that are not applied yet.
    pending: VecDeque<Txn>,
    /// Epochs whose history is not on the disk, and where that ended.
    epochs: Option<(Epochs, Zxid)>,
}

impl Unlogged {
    /// Nothing yet, over a disk that holds everything up to `last`.
    pub fn new(last: Zxid) -> Unlogged {
        Unlogged { last, proved: last, pending: VecDeque::new(), epochs: None }
    }

    /// Takes transactions instead of the log. The last of them.
    pub fn put(&mut self, txns: &mut Vec<Txn>) -> Option<Zxid> {
        self.pending.extend(txns.drain(..));
        let last = self.pending.back()?.zxid();
        self.last = self.last.max(last);
        Some(last)
    }

    /// Transactions up to there are applied: the database has them.
    pub fn on_applied(&mut self, zxid: Zxid) {
        while self.pending.front().is_some_and(|txn| txn.zxid() <= zxid) {
            self.pending.pop_front();
        }
    }

    /// Nothing after `zxid` stays.
    pub fn on_cut(&mut self, zxid: Zxid) {
        self.pending.retain(|txn| txn.zxid() <= zxid);
        self.last = self.last.min(zxid);
        self.proved = self.proved.min(zxid);
    }

    /// The tree of a leader takes the place of everything, and is on the disk before what follows.
    pub fn on_tree(&mut self, zxid: Zxid) {
        *self = Unlogged::new(zxid);
    }

    /// A new leader's history is all here. True: the disk holds it, or will with what is planned.
    pub fn may_vouch(&mut self, epochs: Epochs) -> bool {
        let may = self.last <= self.proved;
        self.epochs = (!may).then_some((epochs, self.last));
        may
    }

    /// A snapshot of the server's own is on the disk. The epochs that it proves.
    pub fn on_snapshot(&mut self, zxid: Zxid) -> Option<Epochs> {
        self.proved = self.proved.max(zxid);
        self.epochs.take_if(|(_, end)| *end <= zxid).map(|(epochs, _)| epochs)
    }
}

impl Service {
    /// It is no observer any more. Whatever it vouches for from now on waits for a snapshot of what it
    /// holds, and everything behind that is logged.
    pub(super) fn begin_log(&mut self) {
        let Some(Unlogged { pending, epochs, .. }) = self.ensemble.unlogged.take() else { return };
        let zxid = self.database.last_processed();
        // Who has nothing has nothing to vouch for, and gets the leader's tree.
        if zxid != Zxid::NONE {
            tracing::info!(
                %zxid,
                "this server may vote now: from here on it keeps a log, behind a snapshot of what it has"
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
