//! The packets of a leader that broadcasts: proposals, commits, and its answers (`Follower.processPacket`,
//! `Observer.processPacket`). Proposals and commits also come with the history, before UPTODATE.

use super::*;
use crate::limits::PENDING_BYTES_MAX;
use crate::zab::journal::memory_of;
use crate::zab::{self, CommitError, MajorChange};

impl Learner {
    pub(super) fn on_broadcast(&mut self, packet: &Packet) -> Result<(), Left> {
        assert_eq!(self.stage, LearnerStage::Broadcast, "UPTODATE came before");
        assert!(self.uncommitted.is_empty(), "proposals of the history went with UPTODATE");
        let is_follower = self.target.kind == LearnerKind::Follower;
        match packet.kind {
            packet::PROPOSAL if is_follower => self.on_proposal(packet),
            packet::COMMIT | packet::COMMITANDACTIVATE if is_follower => self.on_commit(packet),
            packet::INFORM | packet::INFORMANDACTIVATE if !is_follower => self.on_inform(packet),
            packet::PING => {
                self.lasting.ready.inbound(Inbound::Ping { zxid: packet.zxid });
                Ok(())
            }
            packet::REVALIDATE => {
                let (session, valid) = packet.session_and_validity()?;
                let tenure = packet.tenure(true).filter(|_| self.knows_marks);
                if !valid && tenure.is_some() {
                    self.lasting.ready.inbound(Inbound::LeftOut { session });
                    return Ok(());
                }
                let observers = self.lasting.observers.as_mut();
                if observers.is_none_or(|observers| observers.revalidated(session, valid, tenure)) {
                    self.lasting.ready.inbound(Inbound::Revalidated { session, valid, tenure });
                }
                Ok(())
            }
            packet::SYNC if packet.is_fence() => {
                if let Some(observers) = &mut self.lasting.observers {
                    observers.fence_done();
                }
                Ok(())
            }
            packet::SYNC => {
                let observers = self.lasting.observers.as_mut();
                if observers.is_none_or(|observers| observers.sync_done()) {
                    self.lasting.ready.inbound(Inbound::SyncDone);
                }
                Ok(())
            }
            other => {
                // ZooKeeper: followers and observers log packets that they do not expect here.
                tracing::warn!(packet = name(other), zxid = %packet.zxid, "not expected: ignored");
                Ok(())
            }
        }
    }

    /// A follower logs a proposal.
    pub(super) fn on_proposal(&mut self, packet: &Packet) -> Result<(), Left> {
        assert_eq!(self.target.kind, LearnerKind::Follower, "an observer logs no proposal");
        let txn = packet.txn()?;
        let zxid = txn.zxid();
        if self.ignore_repeated(zxid) {
            return Ok(());
        }
        self.continuous(self.lasting.journal.accepted(), zxid)?;
        if let Some(config) = config_of(&txn)? {
            self.lasting.see_config(config);
        }
        self.lasting.counts.proposals_received += 1;
        self.lasting.journal.accept(txn.clone());
        self.lasting.ready.append(txn);
        assert!(zxid.epoch() <= self.epoch, "a leader proposes in its own epoch");
        assert_eq!(self.lasting.journal.accepted(), zxid, "what is appended is accepted");
        assert!(self.lasting.journal.committed() < zxid, "what is proposed is not committed");
        // Before NEWLEADER, the ACK of NEWLEADER vouches for the proposal.
        if self.stage != LearnerStage::NewLeader {
            self.say(&Saying::Ack(zxid));
        }
        within_memory(self.lasting.journal.pending_bytes())
    }

    /// COMMIT of the oldest proposal.
    pub(super) fn on_commit(&mut self, packet: &Packet) -> Result<(), Left> {
        let zxid = packet.zxid;
        // An observer gets proposals only with its history. It logs them when they are committed, because an old leader
        // also sends proposals that never will be.
        if self.uncommitted.front().is_some_and(|txn| txn.zxid() == zxid) {
            let txn = self.pop_uncommitted().expect("there is a front");
            self.lasting.journal.accept(txn.clone());
            self.lasting.ready.append(txn);
        }
        let designated = match packet.kind {
            packet::COMMITANDACTIVATE => Some(packet.designated_leader()?.0),
            _ => None,
        };
        let txn = match self.lasting.commit(zxid, designated) {
            Ok(txn) => txn,
            // The leader took the tree after it had queued the commit.
            Err(CommitError::Again) if self.ignore_repeated(zxid) => return Ok(()),
            Err(error) => return Err(Left::new(format!("it commits {zxid}, but {error}"))),
        };
        assert_eq!(txn.zxid(), zxid, "the oldest proposal is the one that is committed");
        assert!(zxid <= self.lasting.journal.accepted(), "what is committed was accepted");
        self.lasting.counts.commits_received += 1;
        if let Some(designated) = designated {
            return self.on_activate(txn, designated);
        }
        self.lasting.ready.commit(txn);
        Ok(())
    }

    /// An observer logs and applies a committed transaction.
    pub(super) fn on_inform(&mut self, packet: &Packet) -> Result<(), Left> {
        let (designated, txn) = if packet.kind == packet::INFORMANDACTIVATE {
            let (designated, data) = packet.designated_leader()?;
            let inner = Packet { data: Some(data), ..packet.clone() };
            (Some(designated), inner.txn()?)
        } else {
            (None, packet.txn()?)
        };
        let zxid = txn.zxid();
        if self.ignore_repeated(zxid) {
            return Ok(());
        }
        // The proposals that an old leader has sent to an observer are committed with this one.
        while self.uncommitted.front().is_some_and(|txn| txn.zxid() <= zxid) {
            self.pop_uncommitted();
        }
        self.continuous(self.lasting.journal.accepted(), zxid)?;
        self.lasting.journal.accept(txn.clone());
        self.lasting.ready.append(txn.clone());
        let committed = self.lasting.journal.commit(zxid).map(|_| ());
        committed.map_err(|error| Left::new(format!("it informs of {zxid}, but {error}")))?;
        let journal = &self.lasting.journal;
        assert_eq!((journal.accepted(), journal.committed()), (zxid, zxid), "it is both at once");
        assert!(journal.pending().is_empty(), "nothing is pending behind what is committed");
        self.lasting.counts.commits_received += 1;
        if let Some(designated) = designated {
            return self.on_activate(txn, designated);
        }
        self.lasting.ready.commit(txn);
        Ok(())
    }

    /// Takes the oldest of an observer's proposals, which is committed.
    pub(super) fn pop_uncommitted(&mut self) -> Option<Txn> {
        let txn = self.uncommitted.pop_front()?;
        self.uncommitted_bytes -= memory_of(&txn);
        assert!(self.uncommitted_bytes == 0 || !self.uncommitted.is_empty(), "their sum");
        Some(txn)
    }

    /// A reconfiguration was committed.
    fn on_activate(&mut self, txn: Txn, designated: ServerId) -> Result<(), Left> {
        let zxid = txn.zxid();
        let config = config_of(&txn)?;
        self.lasting.ready.commit(txn);
        let Some(config) = config else {
            return Err(Left::new(format!("{zxid} is activated, but is no reconfiguration")));
        };
        let change = self.lasting.activate_config(config, self.target.leader, Some(designated));
        left_for(change)
    }

    /// Whether a transaction is ignored because it is in the tree that was received. A leader queues broadcasts before
    /// it takes the tree, so that the tree may have the first of them.
    pub(super) fn ignore_repeated(&self, zxid: Zxid) -> bool {
        zxid <= self.in_tree
    }

    /// Checks that no transaction is missing between two proposals (`Learner.enforceContinuousProposal`). An epoch
    /// begins with 1; a leader proposes in its own epoch.
    // ZooKeeper: it only warns of transactions that are missing at the beginning of an epoch.
    pub(super) fn continuous(&self, last: Zxid, zxid: Zxid) -> Result<(), Left> {
        let is_first = |zxid: Zxid| {
            zxid.counter() == 1
                || zxid.counter() == self.lasting.options.initial_counter.wrapping_add(1)
        };
        let is_next = last.next() == Some(zxid) || (zxid.epoch() > last.epoch() && is_first(zxid));
        let is_of_epoch = match self.stage {
            LearnerStage::Broadcast => zxid.epoch() == self.epoch,
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

/// Checks that no more than the limit waits for its COMMIT, which the leader may never send.
// ZooKeeper: a learner keeps all proposals.
pub(super) fn within_memory(pending_bytes: u64) -> Result<(), Left> {
    if pending_bytes <= PENDING_BYTES_MAX {
        return Ok(());
    }
    Err(Left::new(format!("it has proposed {pending_bytes} bytes and does not commit them")))
}

/// The configuration that a transaction makes active, if it is a reconfiguration.
fn config_of(txn: &Txn) -> Result<Option<Rc<Config>>, Left> {
    zab::config_of(txn).map(|config| config.map(Rc::new)).map_err(|error| {
        Left::new(format!("the reconfiguration {} makes no sense: {error}", txn.zxid()))
    })
}

pub(super) fn left_for(change: Option<MajorChange>) -> Result<(), Left> {
    let Some(change) = change else { return Ok(()) };
    let reason = "a reconfiguration changed its leader or this server's role".to_owned();
    Err(Left { next: change.leader, ..Left::new(reason) })
}
