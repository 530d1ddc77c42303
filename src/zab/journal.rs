//! What this server has accepted, and how much of it is committed; it outlives leaders.

use std::collections::VecDeque;

use crate::id::Zxid;
use crate::proto::txn::Txn;
use crate::quorum::Config;

use super::{CommittedLog, Mark, Marks, Origin, config_of};

/// The memory that a transaction takes while it is kept, in bytes: its own, and what keeps it.
pub(super) fn memory_of(txn: &Txn) -> u64 {
    const KEPT_IN: u64 = 2 * size_of::<Txn>() as u64;
    txn.bytes().len() as u64 + KEPT_IN
}

/// The transactions of the log from the point where they may still be lost.
///
/// ```text
///   recent (committed, the last of them) │ pending (accepted, not known committed)
///                              committed ┘                         accepted ┘
/// synced ≤ accepted, and goes its own way
/// ```
/// Invariant: zxids rise; `pending` holds exactly what lies after `committed` up to `accepted`.
#[derive(Debug)]
pub struct Journal {
    accepted: Zxid,
    committed: Zxid,
    synced: Zxid,
    pending: VecDeque<Txn>,
    /// The memory that they take.
    pending_bytes: u64,
    recent: CommittedLog,
    /// The log is being cut or replaced: what is heard of its durability is about the former one.
    is_cutting: bool,
}

/// Why a transaction cannot be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It was committed before.
    #[error("it is committed already")]
    Again,
    /// Another one comes first, or it was never proposed.
    #[error("the next proposal is {}", .0.map_or("not there".to_owned(), |zxid| zxid.to_string()))]
    NotNext(Option<Zxid>),
}

impl Journal {
    /// A journal over a log and a database that both reach to `last`, and all of it durable.
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

    /// A transaction goes to the log, the next in order.
    pub fn accept(&mut self, txn: Txn) {
        assert!(txn.zxid() > self.accepted, "zxids rise: {} after {}", txn.zxid(), self.accepted);
        self.accepted = txn.zxid();
        self.pending_bytes += memory_of(&txn);
        self.pending.push_back(txn);
        self.check();
    }

    /// The oldest pending transaction is committed; it must be this one.
    ///
    /// # Errors
    /// It is not.
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

    /// Nothing after `zxid` stays.
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

    /// What the drawing of [`Journal`] says.
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

    /// All of it is replaced by a tree as of `zxid`, of this digest if it is sure.
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

    /// The log turned out to end at `zxid`, earlier than was believed.
    pub fn reset(&mut self, zxid: Zxid) {
        self.restore(zxid, None);
        self.is_cutting = false;
    }

    /// The truncate or restore up to `zxid` is done: what is heard from now on is about the new log.
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

    /// The newest transaction of the log at or before `zxid`, as far as memory reaches; `None`: not
    /// known.
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

    /// Points of its history, which began there.
    pub fn marks(&self, origin: Option<Origin>) -> Marks {
        let pending = self.pending.iter().rev().map(Mark::of);
        let recent = self.recent.marks();
        let later = pending.chain(recent).filter(|mark| mark.zxid > Zxid::ZERO || origin.is_none());
        Marks::choose(later.chain(origin.map(Origin::mark)))
    }

    /// The last committed ones.
    pub fn recent(&self) -> &CommittedLog {
        &self.recent
    }

    /// Transactions that are accepted and not known to be committed, oldest first.
    pub fn pending(&self) -> &VecDeque<Txn> {
        &self.pending
    }

    /// The memory that they take.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Where the newest reconfiguration leads that is accepted and not known to be committed.
    pub fn proposed_config(&self) -> Option<Config> {
        // Nobody accepts one that makes no sense.
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

    /// Up to where the log is known to be durable.
    pub fn synced(&self) -> Zxid {
        self.synced
    }
}
