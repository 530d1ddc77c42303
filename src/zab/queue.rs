//! Effects in the order of their durability, if one [`Ready`] cannot hold them all.
//!
//! The rule that is easy to break: within a `Ready` the fields have an order of their own, whatever the order in which
//! they were filled. So an effect that would come too early in the last `Ready` begins another one.

use std::collections::VecDeque;

use super::Epochs;
use super::ready::{ConfigChange, Inbound, Ready, Standing};
use super::vouch::Vouch;
use crate::id::Zxid;
use crate::link::LinkOp;
use crate::proto::txn::Txn;

/// The effects that were not taken yet, oldest first.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    /// The `Ready`s, oldest first.
    queue: VecDeque<Ready>,
    /// Whether the last one is complete, so that the next effect begins another.
    sealed: bool,
    /// An empty one, for its vectors.
    spare: Option<Ready>,
}

impl ReadyQueue {
    /// Adds an operation that waits for nothing.
    pub fn send(&mut self, op: LinkOp) {
        self.last().send.push(op);
    }

    /// Cuts everything after `zxid` off. Nothing is added to the same `Ready` afterwards, so that its token says that
    /// the cut was made.
    pub fn truncate(&mut self, zxid: Zxid) {
        let cut = self.cut();
        assert!(!cut.cuts(), "one cut at a time");
        cut.truncate = Some(zxid);
        self.sealed = true;
    }

    /// Replaces the database with the one that was received. The `Ready` is sealed as with a truncate.
    pub fn restore(&mut self, zxid: Zxid) {
        let cut = self.cut();
        assert!(!cut.cuts(), "one cut at a time");
        cut.restore = Some(zxid);
        self.sealed = true;
    }

    /// Appends a transaction to the log. It may always join earlier ones: effects that wait for the earlier ones then
    /// wait a little longer.
    pub fn append(&mut self, txn: Txn) {
        let last = self.last();
        assert!(!last.cuts(), "what is appended comes after the cut");
        let before = last.append.last().map(Txn::zxid);
        assert!(
            before.is_none_or(|before| before < txn.zxid()),
            "{} is appended again",
            txn.zxid()
        );
        last.append.push(txn);
    }

    /// Writes the epochs, after everything appended so far. A second pair begins another `Ready`, so that a packet that
    /// depends on the first pair does not wait for the second.
    pub fn epochs(&mut self, epochs: Epochs) {
        if self.last().epochs.is_some() {
            self.begin();
        }
        let last = self.last();
        assert!(last.epochs.is_none(), "a promise is not replaced by the next one");
        last.epochs = Some(epochs);
    }

    /// Sends a packet when everything so far is durable.
    pub fn send_after_sync(&mut self, vouch: Vouch) {
        self.last().send_after_sync.push(vouch);
    }

    /// Applies a transaction to the database.
    pub fn commit(&mut self, txn: Txn) {
        let last = self.last();
        if !last.standing.is_empty() || !last.config.is_empty() || !last.inbound.is_empty() {
            self.begin();
        }
        let last = self.last();
        assert!(last.standing.is_empty(), "what is committed comes before a standing");
        let before = last.commit.last().map(Txn::zxid);
        assert!(
            before.is_none_or(|before| before < txn.zxid()),
            "{} is committed again",
            txn.zxid()
        );
        last.commit.push(txn);
    }

    /// Changes the server's standing.
    pub fn standing(&mut self, standing: Standing) {
        let last = self.last();
        if !last.config.is_empty() || !last.inbound.is_empty() {
            self.begin();
        }
        self.last().standing.push(standing);
    }

    /// Changes the configuration.
    pub fn config(&mut self, change: ConfigChange) {
        if !self.last().inbound.is_empty() {
            self.begin();
        }
        self.last().config.push(change);
    }

    /// Passes a word of another server on to the replica.
    pub fn inbound(&mut self, inbound: Inbound) {
        self.last().inbound.push(inbound);
    }

    /// The last `Ready`, for a caller that fills several fields. It is not sealed.
    pub fn last(&mut self) -> &mut Ready {
        if self.queue.is_empty() || self.sealed {
            self.begin();
        }
        self.queue.back_mut().expect("there is one: it was just begun if there was none")
    }

    /// Begins another `Ready`.
    pub fn begin(&mut self) {
        assert!(self.spare.as_ref().is_none_or(Ready::is_empty), "a spare one was emptied");
        self.sealed = false;
        self.queue.push_back(self.spare.take().unwrap_or_default());
    }

    /// Exchanges the oldest `Ready` with `ready`, which is empty.
    pub fn take(&mut self, ready: &mut Ready) {
        assert!(ready.is_empty(), "what was taken is carried out before more is");
        if let Some(mut oldest) = self.queue.pop_front() {
            std::mem::swap(&mut oldest, ready);
            self.spare = Some(oldest);
        }
        if self.queue.is_empty() {
            self.sealed = false;
        }
    }

    /// Drops everything that concerns the log or depends on it.
    pub fn forget_log(&mut self) {
        for ready in &mut self.queue {
            let ready_before = std::mem::take(ready);
            *ready = Ready {
                send: ready_before.send,
                standing: ready_before.standing,
                config: ready_before.config,
                ..Ready::default()
            };
        }
    }

    /// The number of `Ready`s.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.queue.iter().all(Ready::is_empty)
    }

    /// A `Ready` for a truncate or restore: one without effects that must come before.
    fn cut(&mut self) -> &mut Ready {
        let last = self.last();
        let is_free = last.truncate.is_none()
            && last.restore.is_none()
            && last.append.is_empty()
            && last.epochs.is_none()
            && last.send_after_sync.is_empty()
            && last.durable.is_none()
            && last.commit.is_empty()
            && last.standing.is_empty()
            && last.config.is_empty()
            && last.inbound.is_empty();
        if !is_free {
            self.begin();
        }
        self.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, SessionId};
    use crate::proto::OpCode;
    use crate::proto::txn::{TxnBody, TxnHeader};

    fn txn(zxid: i64) -> Txn {
        let zxid = Zxid(zxid);
        let header =
            TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time: 0, op: OpCode::Error };
        Txn::new(header, &TxnBody::Error { err: -101 }, None)
    }

    fn take(queue: &mut ReadyQueue) -> Ready {
        let mut ready = Ready::default();
        queue.take(&mut ready);
        ready
    }

    #[test]
    fn a_cut_of_the_log_waits_for_what_came_before_and_holds_up_what_comes_after() {
        let mut queue = ReadyQueue::default();
        queue.append(txn(5));
        queue.truncate(Zxid(3));
        queue.append(txn(4));
        queue.commit(txn(4));
        let (first, cut, last) = (take(&mut queue), take(&mut queue), take(&mut queue));
        assert_eq!((first.append.len(), first.truncate), (1, None));
        assert_eq!((cut.truncate, cut.append.len()), (Some(Zxid(3)), 0));
        assert_eq!((last.append.len(), last.commit.len()), (1, 1));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_promise_waits_for_its_own_epochs_and_not_for_later_ones() {
        let mut queue = ReadyQueue::default();
        let vouch = || Vouch::new(crate::link::LinkId::opened(1), vec![1].into());
        queue.epochs(Epochs::new(Epoch(2), Epoch(1)));
        queue.send_after_sync(vouch());
        queue.epochs(Epochs::new(Epoch(2), Epoch(2)));
        queue.send_after_sync(vouch());
        let (first, second) = (take(&mut queue), take(&mut queue));
        assert_eq!(first.epochs.map(|e| e.current), Some(Epoch(1)));
        assert_eq!((first.send_after_sync.len(), second.send_after_sync.len()), (1, 1));
        assert_eq!(second.epochs.map(|e| e.current), Some(Epoch(2)));
    }

    #[test]
    fn a_commit_is_never_applied_before_a_standing_that_came_first() {
        let mut queue = ReadyQueue::default();
        queue.commit(txn(1));
        queue.standing(Standing::Looking);
        queue.commit(txn(2));
        let (first, second) = (take(&mut queue), take(&mut queue));
        assert_eq!((first.commit.len(), first.standing.len()), (1, 1));
        assert_eq!((second.commit.len(), second.standing.len()), (1, 0));
    }
}
