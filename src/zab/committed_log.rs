//! The last committed transactions, in memory (`ZKDatabase.committedLog`).
//!
//! A leader brings learners that lag a little up to date from it without touching the disk. Every
//! member keeps it, because it may lead next.

use std::collections::VecDeque;
use std::collections::vec_deque;

use crate::id::Zxid;
use crate::proto::txn::Txn;

/// The last committed transactions.
///
/// Invariant: `txns` are all those after `before` up to `last`, in order and without a gap.
#[derive(Clone, Debug)]
pub struct CommittedLog {
    txns: VecDeque<Txn>,
    /// The last one that is not here any more. The history before it is ours too.
    before: Zxid,
    last: Zxid,
    txns_max: usize,
}

impl CommittedLog {
    /// The end of a history: `recent` are its last transactions up to `last`, without a gap.
    pub fn new(last: Zxid, recent: VecDeque<Txn>, txns_max: usize) -> CommittedLog {
        // What stands before the first is not known: nobody is told that it is there.
        let before = recent.front().map_or(last, |txn| Zxid(txn.zxid().0 - 1));
        let mut log = CommittedLog { txns: VecDeque::new(), before, last: before, txns_max };
        for txn in recent {
            log.push(txn);
        }
        assert!(log.txns.is_empty() || log.last == last, "the last ones reach to the end");
        log
    }

    /// The next transaction was committed.
    ///
    /// # Panics
    /// If it is not later than all others.
    pub fn push(&mut self, txn: Txn) {
        assert!(txn.zxid() > self.last, "{} is committed after {}", txn.zxid(), self.last);
        self.last = txn.zxid();
        self.txns.push_back(txn);
        while self.txns.len() > self.txns_max {
            let txn = self.txns.pop_front().expect("it is longer than the limit");
            self.before = txn.zxid();
        }
    }

    /// Nothing after `zxid` was ever committed (TRUNC).
    pub fn truncate(&mut self, zxid: Zxid) {
        while self.txns.back().is_some_and(|txn| txn.zxid() > zxid) {
            self.txns.pop_back();
        }
        match self.txns.back() {
            Some(txn) => self.last = txn.zxid(),
            None => (self.before, self.last) = (zxid, zxid),
        }
        // The history may end in the first zxid of an epoch, which no transaction has.
        self.last = self.last.max(zxid.min(self.last));
    }

    /// The history is another, which ends at `zxid` (SNAP).
    pub fn reset(&mut self, zxid: Zxid) {
        self.txns.clear();
        (self.before, self.last) = (zxid, zxid);
    }

    /// The zxid of the last one, whether it is here or not.
    pub fn last(&self) -> Zxid {
        self.last
    }

    /// The last one that was here and is not any more. The first that is here follows it directly.
    pub fn before(&self) -> Zxid {
        self.before
    }

    /// The oldest that is here.
    pub fn first(&self) -> Option<Zxid> {
        self.txns.front().map(Txn::zxid)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.txns.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.txns.is_empty()
    }

    /// Oldest first.
    pub fn iter(&self) -> vec_deque::Iter<'_, Txn> {
        self.txns.iter()
    }

    /// Those after `zxid`, oldest first.
    pub fn after(&self, zxid: Zxid) -> vec_deque::Iter<'_, Txn> {
        self.txns.range(self.txns.partition_point(|txn| txn.zxid() <= zxid)..)
    }
}
