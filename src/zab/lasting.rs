//! The state of a member that outlives its roles.

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

/// The state of a member while it looks for a leader, leads or learns. Each role owns it in turn.
#[derive(Debug)]
pub struct Lasting {
    /// How this server behaves.
    pub options: Rc<PeerOptions>,
    /// The source of the ids of links that this server opens.
    pub ids: LinkIds,
    /// The end of the log.
    pub journal: Journal,
    /// The epochs, as they are or will be on the disk.
    ///
    /// Invariant: those of the last `Ready` that had any, unless the role ended before they were durable.
    pub epochs: Epochs,
    /// The active configuration. Roles and quorums follow from it.
    pub config: Rc<Config>,
    /// The newest configuration that was proposed or seen. A leader needs a quorum of it, too, while it is newer than
    /// the active one.
    ///
    /// Invariant: not older than `config`; the same if no change is on its way.
    pub last_seen: Rc<Config>,
    /// The way back, while `config` is known only from a vote and no leader with a quorum has confirmed it.
    ///
    /// Invariant: its configuration is older than `config`.
    pub unvouched: Option<Unvouched>,
    /// Whether this server takes part as an observer (`QuorumPeer.learnerType`).
    pub is_observer: bool,
    /// Whether this server needs the leader's whole tree, because the end of its log is not the leader's and cannot be
    /// cut off.
    pub wants_tree: bool,
    /// The effects that were not taken yet.
    pub ready: ReadyQueue,
    /// The counters for operators.
    pub counts: PeerCounts,
    /// The observers that learn from this server.
    ///
    /// Invariant: only while this server follows a leader and is up to date.
    pub observers: Option<Box<ObserverMaster>>,
}

/// The configurations to which a server goes back if no leader confirms the one that it has taken from a vote.
#[derive(Clone, Debug)]
pub struct Unvouched {
    /// The active configuration on the disk.
    pub config: Rc<Config>,
    /// The configuration that was proposed last.
    pub last_seen: Rc<Config>,
    /// When the first vote with a newer configuration came.
    pub since: MonoUs,
}

/// A new configuration changes more than addresses: this server has to leave its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MajorChange {
    /// The next leader, without an election; `None`: there is an election.
    pub leader: Option<ServerId>,
}

impl Lasting {
    /// The state of a server with this history. `last_seen` is the active configuration if no change is on its way.
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

    /// Commits the oldest pending transaction, which must have this zxid, and informs the observers. `designated`: it
    /// is a reconfiguration that names the leader.
    ///
    /// # Errors
    /// The oldest transaction has another zxid.
    pub fn commit(&mut self, zxid: Zxid, designated: Option<ServerId>) -> Result<Txn, CommitError> {
        let txn = self.journal.commit(zxid)?;
        assert_eq!(txn.zxid(), zxid, "the oldest transaction is the one that is committed");
        assert_eq!(self.journal.committed(), zxid, "observers see the same history");
        if let Some(observers) = &mut self.observers {
            observers.committed(&txn, designated);
        }
        Ok(txn)
    }

    /// The observers that learn from this server, and the state that they may see.
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

    /// The marks of this server's history, for a leader that compares them with its own.
    pub fn marks(&self) -> Marks {
        // The origin that this server drew for an empty history, as a leader that got no further, means nothing to
        // others.
        let has_data = self.journal.accepted() > Zxid::ZERO;
        self.journal.marks(self.epochs.origin.filter(|_| has_data))
    }

    /// A configuration was proposed, or a leader has sent it (`setLastSeenQuorumVerifier`).
    pub fn see_config(&mut self, config: Rc<Config>) {
        if !self.options.reconfig {
            return;
        }
        if config.version < self.config.version {
            // The leader does not have the configuration that came with a vote.
            self.give_up_config();
        }
        // Of two first configurations ([`Config::is_behind`]), the later one stays; no change is proposed.
        let is_earlier = config.version < self.config.version;
        let config = if is_earlier { self.config.clone() } else { config };
        assert!(config.version >= self.config.version, "what is active is not undone");
        if config.version == self.last_seen.version {
            return;
        }
        if config.version < self.last_seen.version {
            // ZooKeeper: QuorumPeer logs an error and takes the configuration all the same. The one that was seen
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
                // The disk has this configuration already.
                return;
            }
        }
        self.ready.config(ConfigChange::Proposed(config));
    }

    /// A vote says that another configuration is active. The search for a leader uses it, so that servers that have
    /// missed the change can elect a leader together with a server that has not. It is written to the disk only when a
    /// leader has a quorum of it, because any host may have sent it:
    ///
    /// 1. A server that looks for a leader gets a vote with a configuration of other servers and a high version.
    /// 2. If that configuration went to the disk, the server would, after any number of restarts, ask those servers and
    ///    refuse the real leader.
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

    /// A leader with a quorum has confirmed the configuration, which goes to the disk.
    pub fn confirm_config(&mut self) {
        if self.unvouched.take().is_some() {
            tracing::info!("configuration {:x} is active", self.config.version);
            self.ready.config(ConfigChange::Active(self.config.clone()));
        }
    }

    /// No leader has confirmed the configuration: goes back to those on the disk.
    pub fn give_up_config(&mut self) {
        // The active configuration is the one on the disk.
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

    /// A configuration has become active (`QuorumPeer.processReconfig`). `leader` leads now, and `designated` from now
    /// on, if the reconfiguration has named a leader.
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

    /// Takes the role that the configuration gives this server; whether the role has changed. A server that the
    /// configuration does not name follows without a vote (`QuorumPeer.updateLearnerType`).
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
