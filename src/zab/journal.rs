//! The transactions that this server has accepted, and how many of them are committed. The journal outlives leaders.

use std::collections::VecDeque;

use crate::id::Zxid;
use crate::proto::txn::Txn;
use crate::quorum::Config;

use super::{CommittedLog, Mark, Marks, Origin, config_of};

/// The memory that a pending transaction takes, in bytes: its own, and its place in the queues.
pub(super) fn memory_of(txn: &Txn) -> u64 {
    const KEPT_IN: u64 = 2 * size_of::<Txn>() as u64;
    txn.bytes().len() as u64 + KEPT_IN
}

/// The end of the log: its last committed transactions, and all later ones.
///
/// ```text
///   `recent` (the last committed ones) │ `pending` (accepted, not known to be committed)
///                         `committed` ─┘                                   `accepted` ─┘
/// ```
/// Invariant: zxids rise; `pending` holds exactly the transactions after `committed` up to `accepted`. `synced` is
/// anywhere up to `accepted`: a transaction may be committed before it is durable here.
#[derive(Debug)]
pub struct Journal {
    /// The end of the log, written or on its way there. The next transaction has to be later.
    accepted: Zxid,
    /// The end of what was handed out for commit.
    ///
    /// Invariant: the end of `recent`.
    committed: Zxid,
    /// The end of what is known to be durable. A server without room for more stands for election with no later end.
    synced: Zxid,
    /// The transactions whose commit is not known, oldest first.
    pending: VecDeque<Txn>,
    /// The memory that `pending` takes, in bytes. A learner leaves a leader that lets it grow without bound.
    pending_bytes: u64,
    /// The last committed transactions, for learners of this server.
    recent: CommittedLog,
    /// Whether the log is being cut or replaced. Until that is done, reports of durability concern the former log.
    is_cutting: bool,
}

/// The reason why a transaction cannot be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The transaction was committed before.
    #[error("it is committed already")]
    Again,
    /// Another transaction comes first, or this one was never proposed.
    #[error("the next proposal is {}", .0.map_or("not there".to_owned(), |zxid| zxid.to_string()))]
    NotNext(Option<Zxid>),
}

impl Journal {
    /// The journal of a log and a database that both end at `last`, and are durable.
    pub fn new(last: Zxid, recent: CommittedLog) -> Journal {
        Journal {
            accepted: last,
            committed: last,
            synced: last,
            pending: VecDeque::new(),
            pending_bytes: 0,
            recent,
            is_cutting: false,
        }
    }

    /// Accepts the next transaction, which goes to the log.
    pub fn accept(&mut self, txn: Txn) {
        assert!(txn.zxid() > self.accepted, "zxids rise: {} after {}", txn.zxid(), self.accepted);
        self.accepted = txn.zxid();
        self.pending_bytes += memory_of(&txn);
        self.pending.push_back(txn);
        self.check();
    }

    /// Commits the oldest pending transaction, which must have this zxid.
    ///
    /// # Errors
    /// It has another zxid, or there is none.
    pub fn commit(&mut self, zxid: Zxid) -> Result<Txn, CommitError> {
        if zxid <= self.committed {
            return Err(CommitError::Again);
        }
        match self.pending.front() {
            Some(txn) if txn.zxid() == zxid => {}
            front => return Err(CommitError::NotNext(front.map(Txn::zxid))),
        }
        let txn = self.pending.pop_front().expect("there is a front");
        assert!(self.pending_bytes >= memory_of(&txn), "what goes was counted as it came");
        self.pending_bytes -= memory_of(&txn);
        self.committed = zxid;
        self.recent.push(txn.clone());
        assert_eq!(self.recent.last(), zxid, "what is committed is in memory");
        self.check();
        Ok(txn)
    }

    /// Cuts off everything after `zxid`.
    pub fn truncate(&mut self, zxid: Zxid) {
        assert!(zxid < self.accepted, "there is something to cut off");
        self.pending.retain(|txn| txn.zxid() <= zxid);
        self.pending_bytes = self.pending.iter().map(memory_of).sum();
        self.accepted = zxid;
        self.committed = self.committed.min(zxid);
        self.synced = self.synced.min(zxid);
        self.is_cutting = true;
        self.recent.truncate(zxid);
        self.check();
    }

    /// Checks the drawing of [`Journal`].
    fn check(&self) {
        assert!(self.committed <= self.accepted, "what is committed was accepted");
        assert!(self.synced <= self.accepted, "what is durable was accepted");
        assert_eq!(
            self.pending.is_empty(),
            self.pending_bytes == 0,
            "{} transactions of {} bytes are pending",
            self.pending.len(),
            self.pending_bytes
        );
        if let (Some(first), Some(last)) = (self.pending.front(), self.pending.back()) {
            assert!(first.zxid() > self.committed, "{} is committed", first.zxid());
            assert!(last.zxid() <= self.accepted, "{} was accepted", last.zxid());
        }
    }

    /// A tree as of `zxid`, of this digest if it is sure, replaces the log and the database.
    pub fn restore(&mut self, zxid: Zxid, digest: Option<i64>) {
        self.pending.clear();
        self.pending_bytes = 0;
        self.accepted = zxid;
        self.committed = zxid;
        self.synced = zxid;
        self.is_cutting = true;
        self.recent.reset(zxid, digest);
        self.check();
    }

    /// The log ends at `zxid`, earlier than was believed.
    pub fn reset(&mut self, zxid: Zxid) {
        self.restore(zxid, None);
        self.is_cutting = false;
    }

    /// The truncate or restore at `zxid` is durable: reports of durability concern the new log from now on.
    pub fn handle_cut(&mut self, zxid: Zxid) {
        self.is_cutting = false;
        self.synced = zxid.min(self.accepted);
        self.check();
    }

    /// Everything up to `zxid` is durable.
    pub fn handle_synced(&mut self, zxid: Zxid) {
        if !self.is_cutting {
            self.synced = self.synced.max(zxid.min(self.accepted));
        }
        assert!(self.synced <= self.accepted, "what is durable was accepted");
    }

    /// The newest transaction of the log at or before `zxid`; `None`: memory does not reach back so far.
    pub fn newest_up_to(&self, zxid: Zxid) -> Option<Zxid> {
        let pending = self.pending.iter().rev().map(Txn::zxid).find(|at| *at <= zxid);
        let newest = pending.or_else(|| {
            if zxid >= self.committed {
                return Some(self.committed);
            }
            self.recent.iter().rev().map(Txn::zxid).find(|at| *at <= zxid)
        });
        assert!(newest.is_none_or(|newest| newest <= zxid), "it is asked for what is up to {zxid}");
        newest
    }

    /// The marks of this history, which has this origin.
    pub fn marks(&self, origin: Option<Origin>) -> Marks {
        let pending = self.pending.iter().rev().map(Mark::of);
        let recent = self.recent.marks();
        let later = pending.chain(recent).filter(|mark| mark.zxid > Zxid::ZERO || origin.is_none());
        Marks::choose(later.chain(origin.map(Origin::mark)))
    }

    /// The last committed transactions.
    pub fn recent(&self) -> &CommittedLog {
        &self.recent
    }

    /// Transactions that are accepted and not known to be committed, oldest first.
    pub fn pending(&self) -> &VecDeque<Txn> {
        &self.pending
    }

    /// The memory that the pending transactions take, in bytes.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// The configuration of the newest pending reconfiguration.
    pub fn proposed_config(&self) -> Option<Config> {
        // No server accepts a reconfiguration whose text is not a configuration.
        self.pending.iter().rev().find_map(|txn| config_of(txn).ok().flatten())
    }

    /// The newest transaction of the log, written or on its way there.
    pub fn accepted(&self) -> Zxid {
        self.accepted
    }

    /// The newest transaction handed out for commit.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// The end of what is known to be durable.
    pub fn synced(&self) -> Zxid {
        self.synced
    }
}
