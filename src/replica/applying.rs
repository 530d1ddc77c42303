//! Committed transactions that wait to be applied, and the rest of a `Ready` behind them.
//!
//! A turn applies only so many transactions, so that clients who read meanwhile do not wait for all of them. The rule
//! that is easy to break: whatever follows a transaction in its `Ready`, or in a later one, waits until it is applied.

use std::collections::VecDeque;

use super::Replica;
use super::service::Service;
use crate::limits;
use crate::planted::{self, PlantedBug};
use crate::proto::txn::Txn;
use crate::time::{MonoUs, Now};
use crate::zab::{ConfigChange, Inbound, Ready};

/// The rest of `Ready`s whose transactions are more than a turn applies: those transactions, and what follows them.
/// What these `Ready`s want of the disk and of other servers is done already, so that other servers hear of this one
/// meanwhile. None of them changes this server's standing, or cuts the log: before such a `Ready`, everything is
/// applied at once.
#[derive(Default)]
pub(super) struct Applying {
    /// The `Ready`s, oldest first.
    ///
    /// Invariant: none is empty between two events.
    readies: VecDeque<Ready>,
    /// Bytes of the transactions in `readies`, for the bound on them.
    ///
    /// Invariant: the sum of [`Applying::bytes_of`].
    bytes: usize,
    /// Since when `readies` has not been empty at the end of an event: how long this server has been behind.
    since: Option<MonoUs>,
    /// A `Ready` is being carried out: a call from within waits behind it.
    ///
    /// Invariant: not set between two events.
    is_busy: bool,
    /// One of `readies` changes this server's standing: all are carried out at once.
    ///
    /// Invariant: not set between two events.
    is_urgent: bool,
}

impl Applying {
    /// Bytes that a transaction takes besides its encoding. A guess.
    const TXN_BYTES: usize = 100;

    /// Whether everything that is committed is applied.
    pub fn is_empty(&self) -> bool {
        self.readies.is_empty()
    }

    /// Whether so much waits that no more should be read from a leader.
    pub fn is_too_much(&self) -> bool {
        self.bytes > limits::APPLYING_BYTES_MAX
    }

    /// Since when this server has been behind what is committed. `None`: it is not, or not for long.
    pub fn behind_since(&self, now: MonoUs) -> Option<MonoUs> {
        self.since.filter(|since| now.since_us(*since) > limits::APPLYING_MS_MAX * 1000)
    }

    /// Bytes that a transaction takes while it waits.
    fn bytes_of(txn: &Txn) -> usize {
        Self::TXN_BYTES + txn.bytes().len()
    }
}

impl Service {
    /// Doubts the tree if a committed transaction does not fit it: then the tree is not the leader's, or the sender is
    /// no leader. Every server with this history passes over the transaction, and so does a start that finds it in the
    /// log. A server that stopped here would meet it again under the next leader, and stop again.
    // ZooKeeper: DataTree.processTxn takes the error for the transaction's result and goes on.
    fn doubt_misfit(&mut self, txn: &Txn) {
        if self.database.is_fuzzy() || self.database.fits(txn) {
            return;
        }
        let zxid = txn.zxid();
        tracing::error!(
            %zxid, op = ?txn.header().op,
            "passing over a committed transaction that does not fit the tree of this server: the tree is not its \
             leader's, or a server has led that is no member of this ensemble"
        );
        self.database.set_tolerant(true);
    }
}

impl Replica {
    /// Begins with the part of a `Ready` that waits for no disk, behind what was committed before it.
    pub(super) fn begin_in_memory(&mut self, now: Now, mut ready: Ready) {
        if planted::is(self.service.options.planted, PlantedBug::CommitOutOfOrder)
            && self.service.ensemble.is_learning()
            && ready.commit.len() > 1
        {
            ready.commit.swap(0, 1);
        }
        if !self.service.ensemble.applying.is_empty() {
            // The leader takes a learner that does not answer for dead.
            let is_ping = |inbound: &mut Inbound| matches!(inbound, Inbound::Ping { .. });
            for ping in ready.inbound.extract_if(.., is_ping).collect::<Vec<_>>() {
                self.on_inbound(now, ping);
            }
        }
        let applying = &mut self.service.ensemble.applying;
        applying.is_urgent |= !ready.standing.is_empty();
        applying.bytes += ready.commit.iter().map(Applying::bytes_of).sum::<usize>();
        applying.readies.push_back(ready);
        self.apply_more(now, false);
    }

    /// Applies committed transactions: as many as a turn applies, or all.
    pub(super) fn apply_more(&mut self, now: Now, is_all: bool) {
        if std::mem::replace(&mut self.service.ensemble.applying.is_busy, true) {
            return;
        }
        while let Some(mut ready) = self.service.ensemble.applying.readies.pop_front() {
            let is_all = is_all || self.service.ensemble.applying.is_urgent;
            self.follow_in_memory(now, &mut ready, is_all);
            if !ready.is_empty() {
                self.service.ensemble.applying.readies.push_front(ready);
                break;
            }
            self.service.ensemble.ready = ready;
        }
        let applying = &mut self.service.ensemble.applying;
        assert!(applying.is_busy, "a call from within applies nothing and ends nothing");
        applying.is_busy = false;
        applying.is_urgent = false;
        assert!(!applying.is_empty() || applying.bytes == 0, "without a `Ready` no bytes wait");
        applying.since = if applying.is_empty() { None } else { applying.since.or(Some(now.mono)) };
    }

    /// Carries out the part of a `Ready` that waits for no disk: all of it, or as many of its transactions as a turn
    /// applies. Whatever follows them waits for the last of them.
    fn follow_in_memory(&mut self, now: Now, ready: &mut Ready, is_all: bool) {
        let mut applied = 0;
        for txn in &ready.commit {
            let units = self.service.units_of_applying(txn);
            if !is_all && !self.service.work.may_apply(units) {
                break;
            }
            // A transaction that this server has proposed was checked against this tree.
            if !self.service.ensemble.proposes() {
                self.service.doubt_misfit(txn);
            }
            self.on_committed(now, txn, units);
            let (waiting, bytes) = (self.service.ensemble.applying.bytes, Applying::bytes_of(txn));
            assert!(waiting >= bytes, "the bytes of a transaction that waits are counted");
            self.service.ensemble.applying.bytes -= bytes;
            applied += 1;
        }
        ready.commit.drain(..applied);
        if !ready.commit.is_empty() {
            return;
        }
        self.answer_questions(now);
        if let Some(unlogged) = &mut self.service.ensemble.unlogged {
            unlogged.on_applied(self.service.database.last_processed());
        }
        for standing in ready.standing.drain(..) {
            self.on_standing(now, standing);
        }
        let is_new = ready.config.iter().any(|change| matches!(change, ConfigChange::Active(_)));
        if is_new && self.service.options.reconfig {
            // ZooKeeper: QuorumPeer.processReconfig. The first version has no transaction, and a
            // learner may hear of a configuration before its transaction.
            self.service.show_config(now);
        }
        self.service.ensemble.configs.append(&mut ready.config);
        for inbound in ready.inbound.drain(..) {
            self.on_inbound(now, inbound);
        }
        assert!(ready.is_empty(), "a `Ready` is empty once it is carried out");
    }
}
