//! What a member keeps through all its roles.

use std::rc::Rc;

use super::leader::{MasterView, ObserverMaster};
use super::{CommitError, CommittedLog, Epochs, Journal, Marks};
use crate::id::{ServerId, Zxid};
use crate::proto::txn::Txn;
use crate::quorum::{Config, PeerType};
use crate::time::MonoUs;

use super::PeerCounts;
use super::queue::ReadyQueue;
use super::ready::ConfigChange;
use crate::link::LinkIds;
use crate::quorum::PeerOptions;

/// What a member has and wants whether it looks, leads or learns.
#[derive(Debug)]
pub struct Lasting {
    /// How it behaves.
    pub options: Rc<PeerOptions>,
    /// Names for the links that it opens.
    pub ids: LinkIds,
    /// Its log.
    pub journal: Journal,
    /// Its epochs, as they are or will be on the disk.
    pub epochs: Epochs,
    /// The active configuration.
    pub config: Rc<Config>,
    /// The newest configuration that was proposed or seen; the active one if none is on its way.
    pub last_seen: Rc<Config>,
    /// Set while `config` came in a vote, and no leader with a quorum has confirmed it.
    pub unvouched: Option<Unvouched>,
    /// Whether it takes part as an observer (`QuorumPeer.learnerType`).
    pub is_observer: bool,
    /// Its log ends with what no leader has, and cannot be cut: it needs the leader's whole tree.
    pub wants_tree: bool,
    /// What it wants done.
    pub ready: ReadyQueue,
    /// What it has counted.
    pub counts: PeerCounts,
    /// Those who learn from it while it follows.
    pub observers: Option<Box<ObserverMaster>>,
}

/// What a server goes back to if nobody confirms a configuration that it has taken from a vote.
#[derive(Clone, Debug)]
pub struct Unvouched {
    /// The active configuration before, as the disk has it.
    pub config: Rc<Config>,
    /// The last one proposed then.
    pub last_seen: Rc<Config>,
    /// When the first vote with a newer one came.
    pub since: MonoUs,
}

/// A new configuration means more than new addresses: the current leader is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MajorChange {
    /// Who leads from now on, without an election; `None`: there is one.
    pub leader: Option<ServerId>,
}

impl Lasting {
    /// Of a server with this history. `last_seen`: the active configuration if none is on its way.
    pub fn new(
        options: PeerOptions,
        ids: LinkIds,
        config: Rc<Config>,
        last_seen: Rc<Config>,
        epochs: Epochs,
        recent: CommittedLog,
    ) -> Lasting {
        let role = config.members.get(&options.me).map(|member| member.role);
        let is_observer = role.map_or(options.is_observer, |role| role == PeerType::Observer);
        Lasting {
            options: Rc::new(options),
            ids,
            journal: Journal::new(recent.last(), recent),
            epochs,
            config,
            last_seen,
            unvouched: None,
            is_observer,
            wants_tree: false,
            ready: ReadyQueue::default(),
            counts: PeerCounts::default(),
            observers: None,
        }
    }

    /// The oldest pending transaction is committed, which must be this one. Its observers hear of
    /// it. `designated`: it is a reconfiguration that says who leads.
    ///
    /// # Errors
    /// Another one is the oldest.
    pub fn commit(&mut self, zxid: Zxid, designated: Option<ServerId>) -> Result<Txn, CommitError> {
        let txn = self.journal.commit(zxid)?;
        assert_eq!(txn.zxid(), zxid, "the oldest transaction is the one that is committed");
        assert_eq!(self.journal.committed(), zxid, "observers see the same history");
        if let Some(observers) = &mut self.observers {
            observers.committed(&txn, designated);
        }
        Ok(txn)
    }

    /// Those who learn from it, and what they may see.
    pub fn observers(&mut self) -> Option<(&mut ObserverMaster, MasterView<'_>)> {
        let observers = self.observers.as_deref_mut()?;
        let view = MasterView {
            log: self.journal.recent(),
            committed: self.journal.committed(),
            origin: self.epochs.origin,
            config: &self.config,
        };
        Some((observers, view))
    }

    /// Points of its history, for a leader that compares them with its own.
    pub fn marks(&self) -> Marks {
        // What a leader that got no further drew as the origin of nothing is nothing to others.
        let has_data = self.journal.accepted() > Zxid::ZERO;
        self.journal.marks(self.epochs.origin.filter(|_| has_data))
    }

    /// A configuration was proposed, or told by a leader (`setLastSeenQuorumVerifier`).
    pub fn see_config(&mut self, config: Rc<Config>) {
        if !self.options.reconfig {
            return;
        }
        if config.version < self.config.version {
            // What a vote said is not what the leader has.
            self.give_up_config();
        }
        // Of two first configurations ([`Config::is_behind`]) the later one stays, and nothing is proposed.
        let is_earlier = config.version < self.config.version;
        let config = if is_earlier { self.config.clone() } else { config };
        assert!(config.version >= self.config.version, "what is active is not undone");
        if config.version == self.last_seen.version {
            return;
        }
        if config.version < self.last_seen.version {
            // ZooKeeper: QuorumPeer logs an error and takes it over all the same: what was seen
            // before was never committed, or the leader would know it.
            tracing::warn!(
                told = config.version,
                known = self.last_seen.version,
                "an older configuration replaces the one that was proposed last"
            );
        }
        self.last_seen = config.clone();
        if let Some(unvouched) = &mut self.unvouched {
            unvouched.last_seen = config.clone();
            if unvouched.config.version == config.version {
                // The history comes to where the disk is already.
                return;
            }
        }
        self.ready.config(ConfigChange::Proposed(config));
    }

    /// A vote says that another configuration is active. It counts for the search, so that those who missed
    /// the change can elect somebody together with one who has not, and is written down when a leader has a
    /// quorum of it. Anybody may have said it:
    ///
    /// 1. A server looks for a leader, and hears a vote with a configuration of other servers, and a high version.
    /// 2. It is on the disk: after any number of restarts it asks those servers, and refuses the real leader.
    // ZooKeeper: FastLeaderElection calls QuorumPeer.processReconfig, which writes it.
    pub fn try_config(&mut self, now: MonoUs, config: Rc<Config>) {
        if !self.options.reconfig || config.version <= self.config.version {
            return;
        }
        let (was, last_seen) = (self.config.clone(), self.last_seen.clone());
        self.unvouched.get_or_insert(Unvouched { config: was, last_seen, since: now });
        tracing::info!(
            "configuration {:x} is tried: a vote says that it is active",
            config.version
        );
        self.config = config.clone();
        if config.version > self.last_seen.version {
            self.last_seen = config;
        }
        assert!(self.last_seen.version >= self.config.version, "what is tried was seen");
        self.update_role();
    }

    /// A leader with a quorum has the configuration: it is written down.
    pub fn confirm_config(&mut self) {
        if self.unvouched.take().is_some() {
            tracing::info!("configuration {:x} is active", self.config.version);
            self.ready.config(ConfigChange::Active(self.config.clone()));
        }
    }

    /// Nobody has confirmed it: back to what the disk has.
    pub fn give_up_config(&mut self) {
        // The active configuration is that of the disk.
        let Some(Unvouched { config, last_seen, .. }) = self.unvouched.take() else { return };
        assert!(
            config.version < self.config.version,
            "a vote is believed when it says a later one"
        );
        tracing::warn!(
            tried = format_args!("{:x}", self.config.version),
            version = format_args!("{:x}", config.version),
            "no leader has confirmed the configuration that a vote said: back to the one before"
        );
        (self.config, self.last_seen) = (config, last_seen);
        self.update_role();
    }

    /// A configuration has become active (`QuorumPeer.processReconfig`). `leader` is who leads now,
    /// `designated` who shall lead from now on, if that was said.
    pub fn activate_config(
        &mut self,
        config: Rc<Config>,
        leader: ServerId,
        designated: Option<ServerId>,
    ) -> Option<MajorChange> {
        if !self.options.reconfig || config.version <= self.config.version {
            return None;
        }
        self.unvouched = None;
        let before = std::mem::replace(&mut self.config, config.clone());
        if config.version > self.last_seen.version {
            self.last_seen = config.clone();
        }
        assert!(before.version < config.version, "versions of what is active rise");
        assert!(self.last_seen.version >= config.version, "what is active was seen");
        tracing::info!("configuration {:x} is active", config.version);
        self.ready.config(ConfigChange::Active(config.clone()));
        if before.members == config.members
            && before.groups == config.groups
            && before.weights == config.weights
        {
            return None;
        }
        let is_new_role = self.update_role();
        let is_new_leader = match designated {
            Some(designated) => designated != leader,
            None => {
                let voter = |config: &Config| {
                    let member = config.members.get(&leader)?;
                    (member.role == PeerType::Participant).then(|| member.addresses.clone())
                };
                let known = voter(&before);
                known.is_none() || known != voter(&config)
            }
        };
        (is_new_role || is_new_leader).then_some(MajorChange { leader: designated })
    }

    /// Takes the role that the configuration says. A server that is not in it follows without a
    /// vote (`QuorumPeer.updateLearnerType`).
    pub fn update_role(&mut self) -> bool {
        let role = self.config.members.get(&self.options.me).map(|member| member.role);
        let is_observer = role == Some(PeerType::Observer);
        let changed = is_observer != self.is_observer;
        if changed {
            let role = match role {
                Some(PeerType::Observer) => "an observer",
                Some(PeerType::Participant) => "a voting participant",
                None => "a participant without a vote",
            };
            tracing::info!("this server becomes {role}");
        }
        self.is_observer = is_observer;
        changed
    }
}
