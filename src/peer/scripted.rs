//! A peer for tests of the code that carries out a peer's decisions: the test gives it the decisions, and it records
//! the calls.

use std::collections::VecDeque;

use super::Ready;
use crate::id::{Epoch, Zxid};
use crate::link::LinkId;
use crate::proto::txn::Txn;
use crate::zab::Standing;

/// A member of an ensemble that decides nothing itself.
#[derive(Debug, Default)]
pub struct Scripted {
    /// What it wants done, in order; each is handed out as one `Ready`.
    pub readys: VecDeque<Ready>,
    /// What it was told, in words.
    pub told: Vec<String>,
    /// What was proposed.
    pub proposed: Vec<Txn>,
    /// What is accepted and not known to be committed.
    pub pending: Vec<Txn>,
    /// The epoch in which it gives zxids; `None`: it is no leader.
    pub leads: Option<Epoch>,
    /// The newest transaction that it handed out for commit.
    pub committed: Zxid,
    /// The newest transaction of all.
    pub accepted: Zxid,
    /// It has no vote.
    pub only_observes: bool,
    /// A leader has kept it out for its data.
    pub is_of_other_history: bool,
    /// A learner waits for the tree.
    pub wants_snapshot: bool,
    /// A learner gets the tree.
    pub sends_snapshot: bool,
    /// The leader keeps no tenures: it is Apache ZooKeeper.
    pub forgets_tenures: bool,
    /// The last zxid of its epoch, if that is soon.
    pub last_zxid: Option<Zxid>,
    /// The number of a question whether it still leads; `None`: no other server can.
    pub lead_question: Option<u64>,
    /// Links over which an acknowledgement of the oldest proposal has still to come.
    pub awaited: Vec<LinkId>,
    /// The bytes of the tree that it was given.
    pub pieces: Vec<u8>,
}

impl Scripted {
    /// Writes down a call.
    pub(super) fn tell(&mut self, what: String) {
        self.told.push(what);
    }

    /// What it was told since the last look.
    pub fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// Hands out the next decision of the test. Returns whether there are more.
    pub(super) fn take_ready(&mut self, ready: &mut Ready) -> bool {
        assert!(ready.is_empty(), "a Ready is carried out before the next is taken");
        if let Some(next) = self.readys.pop_front() {
            *ready = next;
            if let Some(zxid) = ready.truncate.or(ready.restore) {
                (self.accepted, self.committed) = (zxid, zxid);
            }
            if let Some(txn) = ready.append.last() {
                self.accepted = txn.zxid();
            }
            if let Some(txn) = ready.commit.last() {
                self.committed = txn.zxid();
                self.accepted = self.accepted.max(self.committed);
            }
            for standing in &ready.standing {
                if let Standing::Leading { epoch } = standing {
                    let first = Zxid::new(*epoch, 0);
                    (self.accepted, self.committed) = (first, first);
                }
            }
        }
        !self.readys.is_empty()
    }

    /// The zxid after `last`, as a leader of the epoch [`Scripted::leads`] gives it.
    pub(super) fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        let leads = self.leads.is_some_and(|epoch| last.epoch() == epoch);
        let is_used_up = self.last_zxid.is_some_and(|end| last >= end);
        if leads && !is_used_up { last.next() } else { None }
    }
}
