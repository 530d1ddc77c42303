//! Transactions on their way to the log: those that the log's writer has not taken yet.

use std::collections::VecDeque;

use crate::id::Zxid;
use crate::limits;
use crate::proto::txn::Txn;

/// The transactions that wait for the log's writer, and the cut among them, if one is planned.
///
/// ```text
///   writer's end │ txns: before a cut … │ cut │ … behind it   end
///      appended ┘                                           end ┘
/// ```
/// A cut is a truncation or a restoration of the log. Transactions before the cut go to the log as if there were no
/// cut; those behind it wait until the cut is done.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// The transactions, oldest first: [`Backlog::next`] offers them to the log.
    ///
    /// Invariant: their zxids rise, before a cut and behind it.
    txns: VecDeque<Txn>,
    /// The bytes of `txns`, for the bounds on the backlog.
    ///
    /// Invariant: the sum of their lengths.
    bytes: usize,
    /// How many transactions lie before the planned cut, so that none behind it goes to the log too early. `None`: no
    /// cut is planned.
    ///
    /// Invariant: at most `txns.len()`.
    before_cut: Option<usize>,
    /// Where the log ends once it has taken all of `txns` and the cut is done. The next transaction comes behind it.
    ///
    /// Invariant: the last transaction's zxid, if one lies behind the cut or no cut is planned.
    end: Zxid,
}

impl Backlog {
    /// Where the log ends after everything that is planned.
    pub fn end(&self) -> Zxid {
        self.end
    }

    /// Says that the log ends at `zxid`: it begins there, was or will be cut there, or lost what was behind that.
    pub fn set_end(&mut self, zxid: Zxid) {
        self.end = zxid;
    }

    /// Adds a transaction behind all others.
    pub fn push(&mut self, txn: Txn) {
        assert!(txn.zxid() > self.end, "zxids rise: {} comes after {}", txn.zxid(), self.end);
        self.end = txn.zxid();
        self.bytes += txn.bytes().len();
        self.txns.push_back(txn);
    }

    /// Plans a cut behind all transactions so far.
    pub fn plan_cut(&mut self) {
        assert!(self.before_cut.is_none(), "another cut waits until this one is done");
        self.before_cut = Some(self.txns.len());
    }

    /// The cut is done: the transactions behind it may go to the log.
    pub fn end_cut(&mut self) {
        assert!(self.before_cut == Some(0), "the log has taken what lies before its cut");
        self.before_cut = None;
    }

    /// The next transaction for the log; `None`: there is none, or a cut comes first.
    pub fn next(&self) -> Option<&Txn> {
        self.txns.front().filter(|_| self.before_cut != Some(0))
    }

    /// The log has taken the next transaction.
    pub fn on_taken(&mut self) {
        assert!(self.before_cut != Some(0), "the log takes nothing before the cut is done");
        let txn = self.txns.pop_front().expect("the log took what was offered");
        assert!(
            self.bytes >= txn.bytes().len(),
            "the bytes of a transaction that waits are counted"
        );
        self.bytes -= txn.bytes().len();
        if let Some(before) = &mut self.before_cut {
            *before -= 1;
            assert!(*before <= self.txns.len(), "what lies before a cut waits");
        }
        assert!(self.bytes == 0 || !self.txns.is_empty(), "no transaction, no bytes");
    }

    /// Drops all transactions: none of them goes to the log, which ends at `end`.
    pub fn take_back(&mut self, end: Zxid) {
        assert!(self.before_cut.is_none(), "a server on its own, which plans no cut, takes back");
        assert!(end <= self.end, "{end} is taken back to, and the log was to end at {}", self.end);
        self.txns.clear();
        self.bytes = 0;
        self.end = end;
    }

    /// Number of transactions that wait.
    pub fn len(&self) -> usize {
        self.txns.len()
    }

    /// Whether so much waits that nothing more should be read from other servers: the sockets hold it then, in the end
    /// the leader's.
    pub fn is_behind(&self) -> bool {
        self.txns.len() > limits::BACKLOG_TXNS_MAX || self.bytes > limits::BACKLOG_BYTES_MAX
    }

    /// Whether so much waits that this server has to leave its leader.
    pub fn is_too_much(&self) -> bool {
        self.bytes > limits::LOG_BACKLOG_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::tests::durability::txn;

    fn taken(backlog: &mut Backlog) -> Vec<i64> {
        let mut zxids = Vec::new();
        while let Some(txn) = backlog.next() {
            zxids.push(txn.zxid().0);
            backlog.on_taken();
        }
        zxids
    }

    #[test]
    fn what_lies_before_a_cut_goes_to_the_log_and_what_lies_behind_it_waits() {
        let mut backlog = Backlog::default();
        (1..=3).for_each(|zxid| backlog.push(txn(Zxid(zxid))));
        backlog.plan_cut();
        backlog.set_end(Zxid(2));
        backlog.push(txn(Zxid(5)));
        assert_eq!((backlog.end(), backlog.len()), (Zxid(5), 4));
        assert_eq!(taken(&mut backlog), [1, 2, 3]);
        backlog.end_cut();
        assert_eq!(taken(&mut backlog), [5]);
        assert_eq!((backlog.len(), backlog.bytes), (0, 0));
    }

    fn panics(act: impl FnOnce()) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err()
    }

    #[test]
    fn a_transaction_that_does_not_rise_is_not_taken() {
        let mut backlog = Backlog::default();
        backlog.push(txn(Zxid(2)));
        assert!(panics(|| backlog.push(txn(Zxid(2)))));
    }

    #[test]
    fn a_cut_is_not_done_before_the_log_has_what_lies_before_it() {
        let mut backlog = Backlog::default();
        backlog.push(txn(Zxid(1)));
        backlog.plan_cut();
        assert!(panics(|| backlog.end_cut()));
    }
}
