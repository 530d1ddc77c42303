//! A standalone server: what is durable is committed.
//!
//! ```text
//! pending   ┌── to be committed ──┬── being written ──┬── to be appended ──┐
//!       committed              synced             submitted            accepted
//! ```
//! It has no epoch, no votes and no messages. It hands transactions out to be appended in the order of their
//! proposal, and hands them out for commit in the same order when [`Standalone::handle_synced`] has reported them.

use std::collections::VecDeque;

use crate::id::Zxid;
use crate::proto::txn::Txn;

use super::Ready;

/// The peer of a standalone server.
///
/// Invariant: `committed ≤ synced ≤ submitted ≤ accepted`, and `pending` holds the transactions after `committed` up to
/// `accepted`, of which those after `submitted` are still to be appended.
#[derive(Debug)]
pub struct Standalone {
    /// The newest proposal.
    accepted: Zxid,
    /// The newest transaction that was handed over to be appended.
    submitted: Zxid,
    /// The newest transaction that is durable.
    synced: Zxid,
    /// The newest transaction that was handed over for commit.
    committed: Zxid,
    /// The transactions that are not committed, oldest first.
    pending: VecDeque<Txn>,
    /// How many of `pending` were handed over to be appended: always the first ones.
    submitted_count: usize,
}

impl Standalone {
    /// A server whose log and database end at `last`.
    pub(super) fn new(last: Zxid) -> Standalone {
        Standalone {
            accepted: last,
            submitted: last,
            synced: last,
            committed: last,
            pending: VecDeque::new(),
            submitted_count: 0,
        }
    }

    /// The zxid of the transaction after `last`; `None` only after 2^63 - 1.
    // ZooKeeper: a standalone server counts on beyond the end of the epoch (`hzxid` is just a long); the next epoch
    // then begins with counter 0. An ensemble must not, and elects a new leader.
    pub(super) fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        last.0.checked_add(1).map(Zxid)
    }

    /// Accepts the next transaction; [`Standalone::take_ready`] hands it out.
    ///
    /// # Panics
    /// If its zxid is not above that of the last one.
    pub(super) fn propose(&mut self, txn: Txn) {
        assert!(txn.zxid() > self.accepted, "zxids rise: {} after {}", txn.zxid(), self.accepted);
        self.accepted = txn.zxid();
        self.pending.push_back(txn);
        assert!(self.pending.len() > self.submitted_count, "it is still to be appended");
    }

    /// Everything up to `zxid` is durable.
    ///
    /// # Panics
    /// If `zxid` falls, or was not handed out to be appended.
    pub(super) fn handle_synced(&mut self, zxid: Zxid) {
        assert!(zxid >= self.synced, "durability is never lost: {zxid} after {}", self.synced);
        assert!(zxid <= self.submitted, "{zxid} was never submitted, only {}", self.submitted);
        self.synced = zxid;
    }

    /// Forgets the proposals after `zxid`, because the log has no room for them. Their zxids are given again.
    ///
    /// # Panics
    /// If one of them is durable.
    // ZooKeeper: it has no such step; its log fails, and its server with it.
    pub(super) fn take_back(&mut self, zxid: Zxid) {
        while self.pending.back().is_some_and(|txn| txn.zxid() > zxid) {
            self.pending.pop_back();
        }
        self.submitted_count = self.submitted_count.min(self.pending.len());
        self.accepted = self.accepted.min(zxid);
        self.submitted = self.submitted.min(zxid);
        assert!(self.synced <= self.submitted, "what is durable cannot be taken back");
        assert!(self.submitted <= self.accepted, "what was submitted was accepted");
        assert!(self.submitted_count <= self.pending.len(), "what was taken back is not pending");
    }

    /// Adds to `ready` what is to be appended, and what is to be committed.
    pub(super) fn take_ready(&mut self, ready: &mut Ready) {
        for txn in self.pending.iter().skip(self.submitted_count) {
            ready.append.push(txn.clone());
        }
        self.submitted_count = self.pending.len();
        self.submitted = self.accepted;
        // Committed only by what the disk has reported, even if a later transaction is appended in the same step.
        while self.pending.front().is_some_and(|txn| txn.zxid() <= self.synced) {
            let txn = self.pending.pop_front().expect("there is a front");
            assert!(self.submitted_count > 0, "what is durable was submitted");
            assert!(txn.zxid() > self.committed, "commits are in order");
            self.submitted_count -= 1;
            self.committed = txn.zxid();
            ready.commit.push(txn);
        }
        assert!(self.committed <= self.synced, "what is committed is durable");
        assert!(self.synced <= self.submitted, "what is durable was submitted");
        assert_eq!(self.submitted_count, self.pending.len(), "all was submitted");
    }

    /// The newest proposal.
    pub(super) fn accepted(&self) -> Zxid {
        self.accepted
    }

    /// The newest transaction handed out for commit.
    pub(super) fn committed(&self) -> Zxid {
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;
    use crate::proto::OpCode;
    use crate::proto::txn::{TxnBody, TxnHeader};

    fn txn(zxid: i64) -> Txn {
        let header = TxnHeader {
            client_id: SessionId(1),
            cxid: 0,
            zxid: Zxid(zxid),
            time: 0,
            op: OpCode::Error,
        };
        Txn::new(header, &TxnBody::Error { err: -101 }, None)
    }

    fn zxids(txns: &[Txn]) -> Vec<i64> {
        txns.iter().map(|txn| txn.zxid().0).collect()
    }

    #[test]
    fn nothing_is_committed_before_it_is_durable() {
        let mut peer = Standalone::new(Zxid(4));
        peer.propose(txn(5));
        peer.propose(txn(6));
        let mut ready = Ready::default();
        peer.take_ready(&mut ready);
        assert_eq!((zxids(&ready.append), zxids(&ready.commit)), (vec![5, 6], vec![]));
        peer.propose(txn(7));
        peer.handle_synced(Zxid(5));
        let mut ready = Ready::default();
        peer.take_ready(&mut ready);
        assert_eq!((zxids(&ready.append), zxids(&ready.commit)), (vec![7], vec![5]));
        peer.handle_synced(Zxid(7));
        let mut ready = Ready::default();
        peer.take_ready(&mut ready);
        assert_eq!((zxids(&ready.append), zxids(&ready.commit)), (vec![], vec![6, 7]));
        assert_eq!((peer.accepted(), peer.committed()), (Zxid(7), Zxid(7)));
    }

    #[test]
    fn what_is_taken_back_is_never_committed_and_its_zxids_are_given_again() {
        let mut peer = Standalone::new(Zxid(4));
        for zxid in 5..9 {
            peer.propose(txn(zxid));
        }
        peer.take_ready(&mut Ready::default());
        peer.propose(txn(9));
        peer.take_back(Zxid(6));
        peer.propose(txn(7));
        let mut ready = Ready::default();
        peer.take_ready(&mut ready);
        assert_eq!((zxids(&ready.append), zxids(&ready.commit)), (vec![7], vec![]));
        peer.handle_synced(Zxid(7));
        let mut ready = Ready::default();
        peer.take_ready(&mut ready);
        assert_eq!(zxids(&ready.commit), [5, 6, 7]);
    }

    #[test]
    fn the_counter_of_a_server_on_its_own_runs_on_into_the_epoch() {
        let peer = Standalone::new(Zxid(0xffff_ffff));
        assert_eq!(peer.zxid_after(Zxid(0xffff_ffff)), Some(Zxid(0x1_0000_0000)));
        assert_eq!(peer.zxid_after(Zxid(i64::MAX)), None);
    }
}
