//! The last committed transactions, in memory (`ZKDatabase.committedLog`).
//!
//! From it, a leader brings learners that lag a little up to date, without touching the disk. Every member keeps it,
//! because every member may lead next.

use std::collections::VecDeque;
use std::collections::vec_deque;

use crate::id::Zxid;
use crate::limits;
use crate::proto::txn::Txn;

use super::Mark;

/// The last committed transactions.
///
/// Invariant: `txns` are all transactions after `before` up to `last`, in order and without a gap.
#[derive(Clone, Debug)]
pub struct CommittedLog {
    /// The transactions, oldest first.
    txns: VecDeque<Txn>,
    /// The number of their bytes.
    bytes: usize,
    /// The end of the history before the first of them.
    before: Zxid,
    /// The mark of the history there, as far as it is known.
    before_mark: Option<Mark>,
    /// The end of the history.
    last: Zxid,
    /// The bound on the number of transactions.
    txns_max: usize,
}

impl CommittedLog {
    /// The end of a history: `recent` are its last transactions up to `last`, without a gap. Transactions that do not
    /// reach to `last` are of no use.
    pub fn new(last: Zxid, recent: VecDeque<Txn>, txns_max: usize) -> CommittedLog {
        let mut log = CommittedLog {
            txns: VecDeque::new(),
            bytes: 0,
            before: last,
            before_mark: None,
            last,
            txns_max,
        };
        if recent.back().is_some_and(|txn| txn.zxid() == last) {
            // Within an epoch no zxid is left out, and an epoch begins where the last one ended.
            let first = recent.front().expect("there is a last one").zxid();
            (log.before, log.last) = (Zxid(first.0 - 1), Zxid(first.0 - 1));
            recent.into_iter().for_each(|txn| log.push(txn));
        }
        log
    }

    /// The same for a history whose tree has this digest at the end. The digest is all that is known of it if no
    /// transaction is here.
    pub fn with_digest(mut self, digest: Option<i64>) -> CommittedLog {
        if self.txns.is_empty() {
            self.before_mark = of_tree(self.before, digest);
        }
        self
    }

    /// Adds the next committed transaction.
    ///
    /// # Panics
    /// If it is not later than all others.
    pub fn push(&mut self, txn: Txn) {
        assert!(txn.zxid() > self.last, "{} is committed after {}", txn.zxid(), self.last);
        self.last = txn.zxid();
        self.bytes += txn.bytes().len();
        self.txns.push_back(txn);
        while self.txns.len() > self.txns_max || self.bytes > limits::COMMITTED_LOG_BYTES_MAX {
            let txn = self.txns.pop_front().expect("it is longer than the limit");
            self.bytes -= txn.bytes().len();
            self.before = txn.zxid();
            self.before_mark = Some(Mark::of(&txn));
        }
        self.check();
    }

    fn check(&self) {
        assert!(self.before <= self.last, "it ends where it begins, or later");
        assert_eq!(
            self.txns.is_empty(),
            self.bytes == 0,
            "{} transactions of {} bytes are here",
            self.txns.len(),
            self.bytes
        );
        if let (Some(first), Some(last)) = (self.txns.front(), self.txns.back()) {
            assert!(first.zxid() > self.before, "{} follows {}", first.zxid(), self.before);
            assert_eq!(last.zxid(), self.last, "the last one is here");
        }
        assert!(
            self.before_mark.is_none_or(|mark| mark.zxid == self.before),
            "what is known of the beginning is known of {}",
            self.before
        );
    }

    /// Forgets everything after `zxid`, which was never committed (TRUNC).
    pub fn truncate(&mut self, zxid: Zxid) {
        while let Some(txn) = self.txns.pop_back_if(|txn| txn.zxid() > zxid) {
            self.bytes -= txn.bytes().len();
        }
        match self.txns.back() {
            Some(txn) => self.last = txn.zxid(),
            None => {
                self.last = self.last.min(zxid);
                if self.before != self.last {
                    self.before = self.last;
                    self.before_mark = None;
                }
            }
        }
        self.check();
    }

    /// Another history replaces this one. It ends at `zxid` (SNAP), where the tree has this digest.
    pub fn reset(&mut self, zxid: Zxid, digest: Option<i64>) {
        self.txns.clear();
        self.bytes = 0;
        (self.before, self.last) = (zxid, zxid);
        self.before_mark = of_tree(zxid, digest);
        self.check();
    }

    /// The mark of the history at this zxid, which must be committed, as far as it is known.
    ///
    /// No transaction has the first zxid of an epoch. The tree there is the tree after the last transaction before it.
    pub fn mark(&self, zxid: Zxid) -> Option<Mark> {
        match self.txns.binary_search_by_key(&zxid, Txn::zxid) {
            Ok(at) => Some(Mark::of(&self.txns[at])),
            Err(place) if zxid.counter() == 0 && zxid > self.before => {
                let last = place.checked_sub(1).map(|at| Mark::of(&self.txns[at]));
                of_tree(zxid, last.or(self.before_mark)?.digest)
            }
            Err(_) => self.before_mark.filter(|mark| mark.zxid == zxid),
        }
    }

    /// All marks that are known, newest first.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.txns.iter().rev().map(Mark::of).chain(self.before_mark)
    }

    /// The end of the history, whether its last transaction is here or not.
    pub fn last(&self) -> Zxid {
        self.last
    }

    /// The end of the history before the first transaction that is here.
    pub fn before(&self) -> Zxid {
        self.before
    }

    /// The oldest transaction that is here.
    pub fn first(&self) -> Option<Zxid> {
        self.txns.front().map(Txn::zxid)
    }

    /// The number of transactions.
    pub fn len(&self) -> usize {
        self.txns.len()
    }

    /// Whether no transaction is here.
    pub fn is_empty(&self) -> bool {
        self.txns.is_empty()
    }

    /// All transactions, oldest first.
    pub fn iter(&self) -> vec_deque::Iter<'_, Txn> {
        self.txns.iter()
    }

    /// The transactions after `zxid`, oldest first.
    pub fn after(&self, zxid: Zxid) -> vec_deque::Iter<'_, Txn> {
        self.txns.range(self.txns.partition_point(|txn| txn.zxid() <= zxid)..)
    }
}

/// The mark of a point of which only the tree is at hand.
fn of_tree(zxid: Zxid, digest: Option<i64>) -> Option<Mark> {
    digest.map(|digest| Mark { zxid, txn: None, digest: Some(digest) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;
    use crate::proto::OpCode;
    use crate::proto::txn::{SetDataTxn, TxnBody, TxnHeader};

    #[test]
    fn long_transactions_are_bounded_by_their_bytes_and_what_is_left_still_has_no_gap() {
        let long = |zxid| {
            let (client_id, op) = (SessionId(0), OpCode::SetData);
            let header = TxnHeader { client_id, cxid: 0, zxid: Zxid(zxid), time: 0, op };
            let data = vec![b'x'; 1 << 20];
            let body = SetDataTxn { path: Some("/a"), data: Some(&data), version: 1 };
            Txn::new(header, &TxnBody::SetData(body), None)
        };
        let mut log = CommittedLog::new(Zxid(0), VecDeque::new(), 500);
        (1..=300).for_each(|zxid| log.push(long(zxid)));
        let held = |log: &CommittedLog| log.iter().map(|txn| txn.bytes().len()).sum::<usize>();
        assert_eq!(log.bytes, held(&log));
        assert!(held(&log) <= limits::COMMITTED_LOG_BYTES_MAX, "{}", held(&log));
        assert_eq!((log.len(), log.before(), log.last()), (127, Zxid(173), Zxid(300)));
        assert_eq!(log.first(), Some(Zxid(174)));

        log.truncate(Zxid(200));
        assert_eq!((log.bytes, log.len()), (held(&log), 27));
        log.reset(Zxid(400), None);
        assert_eq!(log.bytes, 0);
    }
}
