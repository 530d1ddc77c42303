//! What an election begins with, and what comes out of it.

use super::*;

/// Options of an election.
#[derive(Clone, Debug)]
pub struct ElectionOptions {
    /// This server.
    pub me: ServerId,
    /// If the configuration does not name this server, it observes (`peerType=observer`).
    pub is_observer: bool,
    /// Shortest and longest time until a vote is repeated, in ms.
    pub interval_ms: (u64, u64),
    /// How long a quorum waits for a better vote, in ms (`finalizeWait`).
    pub finalize_wait_ms: u64,
    /// How long connecting may take, in ms (`cnxTimeout`).
    pub connect_ms: u64,
    /// How long a connecting server may take to send its id, in ms (`quorumCnxnTimeoutMs`).
    pub handshake_ms: u64,
    /// Send all addresses in the handshake (`multiAddress.enabled`).
    pub multi_address: bool,
    /// A newer configuration in a notification counts (`reconfigEnabled`).
    pub reconfig: bool,
    /// An outside witness decides between two servers (`oraclePath`).
    pub has_oracle: bool,
}

impl ElectionOptions {
    /// The options of a peer that concern elections.
    pub fn new(options: &PeerOptions) -> ElectionOptions {
        ElectionOptions {
            me: options.me,
            is_observer: options.is_observer,
            interval_ms: options.notification_interval_ms,
            finalize_wait_ms: 200,
            connect_ms: options.election_connect_ms,
            handshake_ms: options.election_handshake_ms,
            multi_address: options.multi_address,
            reconfig: options.reconfig,
            has_oracle: options.has_oracle,
        }
    }
}

/// The server that a server votes for, with its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The candidate; `i64::MIN` from a server that does not vote and knows no leader.
    pub leader: ServerId,
    /// The last transaction in its log.
    pub zxid: Zxid,
    /// Its `currentEpoch`.
    pub peer_epoch: Epoch,
}

/// The result of an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elected {
    /// The leader; this server itself if it is to lead.
    pub leader: ServerId,
    /// The vote on which the quorum agreed.
    pub vote: Vote,
    /// The round.
    pub round: i64,
    /// The servers that voted for it, as far as this server knows.
    pub supporters: BTreeSet<ServerId>,
}

/// An outcome of an election.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A leader.
    Elected(Elected),
    /// Another server knows a newer configuration: make it the active one ([`Election::set_config`]), and
    /// start the election again ([`Election::look`]).
    NewerConfig(Rc<Config>),
    /// The elected server now votes for another one: a server that has not reached it yet should look for a
    /// leader again instead of waiting.
    Deserted(ServerId),
}
