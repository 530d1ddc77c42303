//! The input and the result of an election: its options, votes, and outcomes. Plain values, without behaviour.

use super::*;

/// The options of an election. Names in brackets are ZooKeeper's keys.
#[derive(Clone, Debug)]
pub struct ElectionOptions {
    /// The id of this server (`myid`).
    pub me: ServerId,
    /// Whether this server observes if the configuration does not name it (`peerType=observer`).
    pub is_observer: bool,
    /// The shortest and the longest time between two repetitions of a vote, in ms
    /// (`fastleader.minNotificationInterval`, `fastleader.maxNotificationInterval`).
    pub interval_ms: (u64, u64),
    /// How long a server waits for a better vote after a quorum agrees, in ms (`FastLeaderElection.finalizeWait`).
    pub finalize_wait_ms: u64,
    /// The longest time that an attempt to connect may take, in ms (`cnxTimeout`).
    pub connect_ms: u64,
    /// How long a server that has connected may take to send its id, in ms (`quorumCnxnTimeoutMs`).
    pub handshake_ms: u64,
    /// Whether the handshake carries all addresses of this server, not only the first (`multiAddress.enabled`).
    pub multi_address: bool,
    /// Whether a newer configuration in a notification counts (`reconfigEnabled`).
    pub reconfig: bool,
    /// Whether an outside witness decides between two voters (`oraclePath`).
    pub has_oracle: bool,
}

impl ElectionOptions {
    /// The options of a peer that concern elections; `finalizeWait` is 200 ms, as in ZooKeeper.
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

/// A candidate with its history (`Vote`). The order of votes is not the order of the fields:
/// `round::Electorate::is_better` compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The candidate; `i64::MIN` in the vote for no server.
    pub leader: ServerId,
    /// The last transaction in the candidate's log.
    pub zxid: Zxid,
    /// The candidate's `currentEpoch`; after it has begun to lead, its new epoch ([`Election::set_vote_epoch`]).
    pub peer_epoch: Epoch,
}

/// A leader that a search has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elected {
    /// The leader; this server itself if it is to lead.
    ///
    /// Invariant: the leader of `vote`.
    pub leader: ServerId,
    /// The vote on which the quorum agreed.
    pub vote: Vote,
    /// The round in which the quorum agreed.
    pub round: i64,
    /// The servers whose votes made the quorum, as far as this server has heard.
    ///
    /// Invariant: not empty.
    pub supporters: BTreeSet<ServerId>,
}

/// An outcome of a search, or of a vote that came after it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The search has found a leader.
    Elected(Elected),
    /// Another server has a newer configuration. The owner makes it the active one ([`Election::set_config`]) and
    /// starts the search again ([`Election::look`]).
    NewerConfig(Rc<Config>),
    /// The elected server now votes for another one. A server that has not reached it yet should look for a leader
    /// again instead of waiting.
    Deserted(ServerId),
}
