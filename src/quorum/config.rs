//! The ensemble: its members, their roles, and the rule for a quorum.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ServerId, Zxid};
use crate::link::Endpoint;

/// A member's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PeerType {
    /// Votes.
    #[default]
    Participant,
    /// Does not vote.
    Observer,
}

/// One address of a member: a host with the port of the leader and that of elections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Port on which a leader waits for learners.
    pub quorum_port: u16,
    /// Port of elections.
    pub election_port: u16,
}

/// A member of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its addresses; at least one.
    pub addresses: Vec<MemberAddress>,
    /// Its role.
    pub role: PeerType,
    /// The address for its clients, if its line has one; host `None`: every address.
    pub client: Option<(Option<String>, u16)>,
}

impl Member {
    /// The addresses on which it waits for learners when it leads.
    pub fn quorum_endpoints(&self) -> Vec<Endpoint> {
        assert!(!self.addresses.is_empty(), "a member has an address");
        let endpoint = |a: &MemberAddress| Endpoint { host: a.host.clone(), port: a.quorum_port };
        self.addresses.iter().map(endpoint).collect()
    }

    /// Its addresses for elections.
    pub fn election_endpoints(&self) -> Vec<Endpoint> {
        assert!(!self.addresses.is_empty(), "a member has an address");
        let endpoint = |a: &MemberAddress| Endpoint { host: a.host.clone(), port: a.election_port };
        self.addresses.iter().map(endpoint).collect()
    }
}

/// The ensemble as of one version of its configuration (`QuorumMaj`, `QuorumHierarchical`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// All members, observers included.
    pub members: BTreeMap<ServerId, Member>,
    /// Groups of a hierarchical quorum; empty: a majority decides.
    pub groups: BTreeMap<i64, BTreeSet<ServerId>>,
    /// Weights in a hierarchical quorum; 1 where there is none.
    pub weights: BTreeMap<ServerId, i64>,
    /// The zxid of the reconfiguration that made it; 0 before the first.
    pub version: i64,
}

impl Config {
    /// Whether a server whose configuration has that version knows of a reconfiguration of which this server does not.
    ///
    /// A first configuration has the first zxid of its leader's epoch as its version, although no reconfiguration made
    /// it. Of two first versions the higher one proves nothing: each time that a leader is lost before anything is
    /// written, the next leader gives the same members a higher version.
    // ZooKeeper: LearnerHandler refuses every server with a higher version. Such a server stays out until all the
    // others have stopped.
    pub fn is_behind(&self, version: i64) -> bool {
        let is_first = |version: i64| version > 0 && Zxid(version).counter() == 0;
        version > self.version && !(is_first(version) && is_first(self.version))
    }

    /// Whether the server votes.
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.members.get(&id).is_some_and(|member| member.role == PeerType::Participant)
    }

    /// The voting members.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.members.iter().filter(|(_, m)| m.role == PeerType::Participant).map(|(id, _)| *id)
    }

    /// Whether the server is a member without a vote.
    pub fn is_observer(&self, id: ServerId) -> bool {
        self.members.get(&id).is_some_and(|member| member.role == PeerType::Observer)
    }
}
