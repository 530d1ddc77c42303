//! The ensemble: its members, their roles, and the version of its configuration. `text` reads and writes it,
//! `verifier` has the rule for a quorum, and `reconfig` derives the next one.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ServerId, Zxid};
use crate::link::Endpoint;

/// A member's role (`QuorumPeer.LearnerType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PeerType {
    /// It votes, in elections and on proposals, and can lead.
    #[default]
    Participant,
    /// It learns what is committed, and does not vote.
    Observer,
}

/// One address of a member: a host with the port of the leader and that of elections (`QuorumPeer.QuorumServer`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAddress {
    /// Name or address, an IPv6 address without brackets; at most [`HOST_BYTES_MAX`](crate::limits::HOST_BYTES_MAX)
    /// bytes.
    pub host: String,
    /// The port on which a leader waits for learners.
    pub quorum_port: u16,
    /// The port of elections.
    ///
    /// Invariant: not `quorum_port`.
    pub election_port: u16,
}

/// A member of the ensemble, as its `server.N` line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its addresses.
    ///
    /// Invariant: from 1 to [`MEMBER_ADDRESSES_MAX`](crate::limits::MEMBER_ADDRESSES_MAX), no two of which have the
    /// same text.
    pub addresses: Vec<MemberAddress>,
    /// Its role.
    pub role: PeerType,
    /// The host and port for its clients, if its line has one; host `None`: every address of the machine.
    pub client: Option<(Option<String>, u16)>,
}

impl Member {
    /// The addresses on which it waits for learners when it leads.
    pub fn quorum_endpoints(&self) -> Vec<Endpoint> {
        assert!(!self.addresses.is_empty(), "a member has an address");
        let endpoint = |a: &MemberAddress| Endpoint { host: a.host.clone(), port: a.quorum_port };
        self.addresses.iter().map(endpoint).collect()
    }

    /// The addresses on which it waits for the votes of others.
    pub fn election_endpoints(&self) -> Vec<Endpoint> {
        assert!(!self.addresses.is_empty(), "a member has an address");
        let endpoint = |a: &MemberAddress| Endpoint { host: a.host.clone(), port: a.election_port };
        self.addresses.iter().map(endpoint).collect()
    }
}

/// The ensemble as of one version of its configuration (`QuorumMaj`, `QuorumHierarchical`).
///
/// Invariant: when [`Config::parse`] made it, it has a voter; if it is hierarchical, every voter has a group and a
/// weight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// All members, observers included.
    pub members: BTreeMap<ServerId, Member>,
    /// The groups of a hierarchical quorum by number; empty if a majority of the voters decides. A server is in at
    /// most one.
    pub groups: BTreeMap<i64, BTreeSet<ServerId>>,
    /// The weights in a hierarchical quorum, none of them negative. Reading a configuration gives 1 to each voter
    /// whose weight it does not name; a server without an entry weighs nothing.
    pub weights: BTreeMap<ServerId, i64>,
    /// The zxid of the reconfiguration that made it. Before the first one: 0, or the first zxid of an epoch, which
    /// the leader of that epoch gave to it.
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

    /// Whether the server votes in this configuration. A server that is not a member does not.
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.members.get(&id).is_some_and(|member| member.role == PeerType::Participant)
    }

    /// The voting members, by id.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.members.iter().filter(|(_, m)| m.role == PeerType::Participant).map(|(id, _)| *id)
    }

    /// Whether the server is a member without a vote.
    pub fn is_observer(&self, id: ServerId) -> bool {
        self.members.get(&id).is_some_and(|member| member.role == PeerType::Observer)
    }
}
