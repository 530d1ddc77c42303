//! Between the leader's choice and UPTODATE: the history, NEWLEADER, and what is broadcast
//! meanwhile (`Learner.syncWithLeader`).

use super::*;
use crate::limits::PENDING_BYTES_MAX;
use crate::zab::MajorChange;
use crate::zab::journal::memory_of;
use crate::zab::{self, CommitError, Epochs};

impl Learner {
    pub(super) fn on_history(
        &mut self,
        packet: &Packet,
        lasting: &mut Lasting,
    ) -> Result<(), Left> {
        match packet.kind {
            packet::PROPOSAL if self.target.kind == LearnerKind::Follower => {
                self.on_proposal(packet, lasting)
            }
            packet::PROPOSAL => {
                let txn = packet.txn()?;
                let last = self.uncommitted.back().map_or(lasting.journal.accepted(), Txn::zxid);
                if !self.is_in_tree(txn.zxid()) {
                    self.continuous(last, txn.zxid(), lasting)?;
                    self.uncommitted_bytes += memory_of(&txn);
                    self.uncommitted.push_back(txn);
                    within_memory(self.uncommitted_bytes)?;
                }
                Ok(())
            }
            packet::COMMIT | packet::COMMITANDACTIVATE => self.on_commit(packet, lasting),
            packet::INFORM | packet::INFORMANDACTIVATE => self.on_inform(packet, lasting),
            packet::NEWLEADER => self.on_new_leader(packet, lasting),
            packet::UPTODATE => self.on_up_to_date(lasting),
            // ZooKeeper: Learner reads these over. An answer to a PING would be taken for the ACK
            // of NEWLEADER.
            packet::PING | packet::SYNC | packet::REVALIDATE => Ok(()),
            other => Err(Left::new(format!("{} came in the middle of its history", name(other)))),
        }
    }

    /// A follower logs a proposal.
    pub(super) fn on_proposal(
        &mut self,
        packet: &Packet,
        lasting: &mut Lasting,
    ) -> Result<(), Left> {
        let txn = packet.txn()?;
        let zxid = txn.zxid();
        if self.is_in_tree(zxid) {
            return Ok(());
        }
        self.continuous(lasting.journal.accepted(), zxid, lasting)?;
        if let Some(config) = config_of(&txn)? {
            lasting.see_config(config);
        }
        lasting.counts.proposals_received += 1;
        lasting.journal.accept(txn.clone());
        lasting.ready.append(txn);
        // Before that, the ACK of NEWLEADER vouches for it.
        if self.stage != Stage::NewLeader {
            self.say(&Saying::Ack(zxid), lasting);
        }
        within_memory(lasting.journal.pending_bytes())
    }

    /// COMMIT of the oldest proposal.
    pub(super) fn on_commit(&mut self, packet: &Packet, lasting: &mut Lasting) -> Result<(), Left> {
        let zxid = packet.zxid;
        // An observer gets no proposals but with its history; they are logged when they are
        // committed, because an old leader also sends it some that never will be.
        if self.uncommitted.front().is_some_and(|txn| txn.zxid() == zxid) {
            let txn = self.pop_uncommitted().expect("there is a front");
            lasting.journal.accept(txn.clone());
            lasting.ready.append(txn);
        }
        let designated = match packet.kind {
            packet::COMMITANDACTIVATE => Some(packet.designated_leader()?.0),
            _ => None,
        };
        let txn = match lasting.commit(zxid, designated) {
            Ok(txn) => txn,
            // The tree was taken after the commit was queued.
            Err(CommitError::Again) if self.is_in_tree(zxid) => return Ok(()),
            Err(error) => return Err(Left::new(format!("it commits {zxid}, but {error}"))),
        };
        lasting.counts.commits_received += 1;
        if let Some(designated) = designated {
            return self.on_activate(txn, designated, lasting);
        }
        lasting.ready.commit(txn);
        Ok(())
    }

    /// An observer logs and applies what was committed.
    pub(super) fn on_inform(&mut self, packet: &Packet, lasting: &mut Lasting) -> Result<(), Left> {
        let (designated, txn) = if packet.kind == packet::INFORMANDACTIVATE {
            let (designated, data) = packet.designated_leader()?;
            let inner = Packet { data: Some(data), ..packet.clone() };
            (Some(designated), inner.txn()?)
        } else {
            (None, packet.txn()?)
        };
        let zxid = txn.zxid();
        if self.is_in_tree(zxid) {
            return Ok(());
        }
        // What an old leader proposed to an observer is committed with this.
        while self.uncommitted.front().is_some_and(|txn| txn.zxid() <= zxid) {
            self.pop_uncommitted();
        }
        self.continuous(lasting.journal.accepted(), zxid, lasting)?;
        lasting.journal.accept(txn.clone());
        lasting.ready.append(txn.clone());
        let committed = lasting.journal.commit(zxid).map(|_| ());
        committed.map_err(|error| Left::new(format!("it informs of {zxid}, but {error}")))?;
        lasting.counts.commits_received += 1;
        if let Some(designated) = designated {
            return self.on_activate(txn, designated, lasting);
        }
        lasting.ready.commit(txn);
        Ok(())
    }

    /// The oldest of an observer's proposals is committed.
    fn pop_uncommitted(&mut self) -> Option<Txn> {
        let txn = self.uncommitted.pop_front()?;
        self.uncommitted_bytes -= memory_of(&txn);
        Some(txn)
    }

    /// A committed reconfiguration.
    fn on_activate(
        &mut self,
        txn: Txn,
        designated: ServerId,
        lasting: &mut Lasting,
    ) -> Result<(), Left> {
        let zxid = txn.zxid();
        let config = config_of(&txn)?;
        lasting.ready.commit(txn);
        let Some(config) = config else {
            return Err(Left::new(format!("{zxid} is activated, but is no reconfiguration")));
        };
        let change = lasting.activate_config(config, self.target.leader, Some(designated));
        left_for(change)
    }

    /// NEWLEADER: what came so far is our history, and goes to the disk; then the epoch; only then
    /// the leader is told.
    ///
    /// ```text
    /// ZOOKEEPER-3911, 4646: 1. history applied, not yet on disk  2. ACK  3. crash: committed
    ///                       transactions are gone
    /// ZOOKEEPER-4643, 4785: 1. currentEpoch on disk  2. crash before the history is: the server now
    ///                       wins elections with a log that lacks what that epoch began with
    /// ZOOKEEPER-4394:       the COMMIT of a proposal that came before NEWLEADER, but not with it,
    ///                       found no proposal
    /// ```
    /// All of them are orders of the fields of one `Ready`: append → epochs → send_after_sync.
    fn on_new_leader(&mut self, packet: &Packet, lasting: &mut Lasting) -> Result<(), Left> {
        if self.stage == Stage::UpToDate {
            return Err(Left::new("it sent NEWLEADER twice".to_owned()));
        }
        if packet.zxid.epoch() != self.epoch {
            let (said, before) = (packet.zxid.epoch(), self.epoch);
            return Err(Left::new(format!("its epoch was {before}, and is {said} in NEWLEADER")));
        }
        match packet.data.as_deref() {
            // ZooKeeper: leaders without a configuration send nothing or a single byte.
            None | Some([] | [_]) => {}
            Some(text) => match Config::from_bytes(text) {
                Ok(config) => {
                    let config = Rc::new(config);
                    // What is active does not undo what was sent with the history and is proposed:
                    //
                    // 1. A leader of 1, 2 and 3 proposes that 4 and 5 vote as well. Server 1 comes
                    //    anew, and gets this proposal, and behind it NEWLEADER.
                    // 2. It acknowledges the proposal, which is committed with that; then 1 and 2 lose
                    //    the others.
                    // 3. Had server 1 forgotten the proposal, it and 2 were a quorum, and 3, 4 and 5
                    //    another one.
                    let proposed = lasting.journal.proposed_config().map(Rc::new);
                    let is_later = |proposed: &Rc<Config>| proposed.version > config.version;
                    let seen = proposed.filter(is_later).unwrap_or_else(|| config.clone());
                    lasting.see_config(seen);
                    self.new_config = Some(config);
                }
                // ZooKeeper: Learner prints the exception and goes on.
                Err(error) => {
                    tracing::warn!(%error, "the leader's configuration is not understood")
                }
            },
        }
        // A later epoch that was accepted stays so.
        let accepted = lasting.epochs.accepted.max(self.epoch);
        let epochs = Epochs { accepted, current: self.epoch, origin: self.origin };
        if (lasting.epochs.current, lasting.epochs.origin) != (epochs.current, epochs.origin) {
            lasting.epochs = epochs;
            lasting.ready.epochs(epochs);
        }
        self.stage = Stage::UpToDate;
        self.say(&Saying::Ack(packet.zxid), lasting);
        // The leader takes the first ACK for that of NEWLEADER, and waits for one for each proposal
        // that was not committed when it was sent.
        if self.target.kind == LearnerKind::Follower {
            let pending: Vec<Zxid> = lasting.journal.pending().iter().map(Txn::zxid).collect();
            for zxid in pending {
                self.say(&Saying::Ack(zxid), lasting);
            }
        }
        self.flush_vouched(lasting);
        Ok(())
    }

    fn on_up_to_date(&mut self, lasting: &mut Lasting) -> Result<(), Left> {
        if self.stage != Stage::UpToDate {
            return Err(Left::new("UPTODATE came before NEWLEADER".to_owned()));
        }
        if let Some(config) = self.new_config.take() {
            left_for(lasting.activate_config(config, self.target.leader, None))?;
        }
        // It may have come in the role of a configuration that only a vote has said, and that this leader has not.
        if lasting.is_observer != (self.target.kind == LearnerKind::Observer) {
            return left_for(Some(MajorChange { leader: None }));
        }
        self.stage = Stage::Broadcast;
        self.uncommitted.clear();
        self.uncommitted_bytes = 0;
        self.say(&Saying::Ack(Zxid::new(self.epoch, 0)), lasting);
        let standing = self.standing().expect("it was just taken up");
        lasting.ready.standing(standing);
        Ok(())
    }

    /// Whether a transaction is in the tree that was received. A leader queues what is broadcast
    /// before it takes the tree, so that the first ones may be in it.
    fn is_in_tree(&self, zxid: Zxid) -> bool {
        zxid <= self.in_tree
    }

    /// Nothing may be missing between two proposals (`Learner.enforceContinuousProposal`). A new
    /// epoch begins anew with 1; the leader proposes in its own.
    // ZooKeeper: it passes over whatever is missing at the beginning of an epoch, with a warning.
    fn continuous(&self, last: Zxid, zxid: Zxid, lasting: &Lasting) -> Result<(), Left> {
        let is_first = |zxid: Zxid| {
            zxid.counter() == 1 || zxid.counter() == lasting.options.initial_counter.wrapping_add(1)
        };
        let is_next = last.next() == Some(zxid) || (zxid.epoch() > last.epoch() && is_first(zxid));
        let is_of_epoch = match self.stage {
            Stage::Broadcast => zxid.epoch() == self.epoch,
            _ => zxid.epoch() <= self.epoch,
        };
        if is_next && is_of_epoch {
            return Ok(());
        }
        Err(Left::new(format!(
            "it sent {zxid} after {last} in epoch {}: something is missing, or comes twice",
            self.epoch
        )))
    }
}

/// Whether so much may wait for its COMMIT. The leader has not said what becomes of it, and may never do so.
// ZooKeeper: a learner keeps whatever it is sent.
fn within_memory(pending_bytes: u64) -> Result<(), Left> {
    if pending_bytes <= PENDING_BYTES_MAX {
        return Ok(());
    }
    Err(Left::new(format!("it has proposed {pending_bytes} bytes and does not commit them")))
}

/// What a reconfiguration makes of the ensemble.
fn config_of(txn: &Txn) -> Result<Option<Rc<Config>>, Left> {
    zab::config_of(txn).map(|config| config.map(Rc::new)).map_err(|error| {
        Left::new(format!("the reconfiguration {} makes no sense: {error}", txn.zxid()))
    })
}

fn left_for(change: Option<MajorChange>) -> Result<(), Left> {
    let Some(change) = change else { return Ok(()) };
    let reason = "a reconfiguration changed its leader or this server's role".to_owned();
    Err(Left { next: change.leader, ..Left::new(reason) })
}
