//! Who shall lead: the votes of a round, and the connections on which servers send them.
//!
//! An [`Election`] is both of ZooKeeper's halves in one: `FastLeaderElection` decides, and
//! `QuorumCnxManager` keeps one connection to each other server. It lives as long as the server: one
//! that has found its leader goes on answering those that look for one.
//!
//! A vote is ordered by epoch, then zxid, then server: the winner has the newest history that any of
//! a quorum has. The round keeps votes of different elections apart.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::id::{Epoch, ServerId, Zxid};
use crate::peer::PeerOptions;
use crate::peer::link::{LinkEvent, LinkId, LinkIds, LinkOp};
use crate::proto::quorum::ServerState;
use crate::quorum::Config;
use crate::time::MonoUs;

/// How an election behaves.
#[derive(Clone, Debug)]
pub struct ElectionOptions {
    /// This server.
    pub me: ServerId,
    /// This server observes although the configuration may not say so (`peerType=observer`).
    pub is_observer: bool,
    /// Shortest and longest time until a vote is repeated, in ms.
    pub interval_ms: (u64, u64),
    /// How long a quorum waits for a better vote, in ms (`finalizeWait`).
    pub finalize_wait_ms: u64,
    /// How long a connection may take to be made, in ms (`cnxTimeout`).
    pub connect_ms: u64,
    /// Say all addresses in the handshake (`multiAddress.enabled`).
    pub multi_address: bool,
    /// A newer configuration in a notification counts (`reconfigEnabled`).
    pub reconfig: bool,
    /// An outside witness decides between two servers (`oraclePath`).
    pub has_oracle: bool,
}

impl ElectionOptions {
    /// What these options of a peer say about elections.
    pub fn new(options: &PeerOptions) -> ElectionOptions {
        ElectionOptions {
            me: options.me,
            is_observer: options.is_observer,
            interval_ms: options.notification_interval_ms,
            finalize_wait_ms: 200,
            connect_ms: options.election_connect_ms,
            multi_address: options.multi_address,
            reconfig: options.reconfig,
            has_oracle: options.has_oracle,
        }
    }
}

/// Whom a server wants to lead, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Whom; `i64::MIN` from a server that does not vote and knows nobody.
    pub leader: ServerId,
    /// The last transaction in its log.
    pub zxid: Zxid,
    /// Its `currentEpoch`.
    pub peer_epoch: Epoch,
}

/// The end of a search for a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elected {
    /// The leader; this server itself if it is to lead.
    pub leader: ServerId,
    /// What the quorum agreed on.
    pub vote: Vote,
    /// The round.
    pub round: i64,
    /// Those who voted for it, as far as is known here.
    pub supporters: BTreeSet<ServerId>,
}

/// What an election has found.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A leader.
    Elected(Elected),
    /// Another server knows a newer configuration: it is to become the active one
    /// ([`Election::set_config`]), and the search begins anew ([`Election::look`]).
    NewerConfig(Rc<Config>),
}

/// Finds a leader, and tells others whom this server has found.
#[derive(Debug)]
pub struct Election {
    options: ElectionOptions,
    config: Rc<Config>,
    last_seen: Rc<Config>,
    ids: LinkIds,
}

#[expect(unused_variables, clippy::needless_pass_by_ref_mut, reason = "being built")]
impl Election {
    /// Nothing is looked for yet, and only those who connect are talked to.
    pub fn new(options: ElectionOptions, config: Rc<Config>, ids: LinkIds) -> Election {
        Election { options, last_seen: config.clone(), config, ids }
    }

    /// Looks for a leader from now on: a new round begins, with a vote for this server and its
    /// history. A server that does not vote learns whom the others have elected.
    pub fn look(&mut self, now: MonoUs, zxid: Zxid, epoch: Epoch) {}

    /// Looks no more: this server follows, leads or observes. Others who look get the vote that was
    /// agreed on.
    pub fn settle(&mut self, state: ServerState) {}

    /// The leader's new epoch goes into the vote that others get (`QuorumPeer.updateElectionVote`).
    pub fn set_vote_epoch(&mut self, epoch: Epoch) {}

    /// The configuration that is active, and the last one that was proposed or seen. While they
    /// differ, a leader needs a quorum of both.
    pub fn set_config(&mut self, active: Rc<Config>, last_seen: Rc<Config>) {
        self.config = active;
        self.last_seen = last_seen;
    }

    /// What the outside witness says (`oraclePath`).
    pub fn set_oracle(&mut self, says_yes: bool) {}

    /// Something happened on a link of the election port: one that was accepted there, or that
    /// [`Election::owns`].
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {}

    /// Whether the link is one of this election.
    pub fn owns(&self, link: LinkId) -> bool {
        false
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: MonoUs) {}

    /// When [`Election::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        None
    }

    /// What the network is to do, and what was found since the last call.
    pub fn take(&mut self, ops: &mut Vec<LinkOp>) -> Option<Outcome> {
        None
    }

    /// Servers that said that they look for a leader, since the last call, while this one did not
    /// (`Leader.reportLookingSid`).
    pub fn take_looking(&mut self) -> BTreeSet<ServerId> {
        BTreeSet::new()
    }

    /// The vote that others get.
    pub fn vote(&self) -> Vote {
        Vote { leader: ServerId(i64::MIN), zxid: Zxid(i64::MIN), peer_epoch: Epoch(i64::MIN) }
    }
}
