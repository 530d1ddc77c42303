//! The two epochs that a member of an ensemble keeps on disk, and what it says of them in ACKEPOCH.

use crate::id::Epoch;

/// What a server has promised and whom it has followed.
///
/// Invariant: `0 ≤ current ≤ accepted`. A server that never had a leader's history has `current` 0, whose
/// history is empty; whether it may vote is another question, which its last zxid answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// `acceptedEpoch`: no leader of an earlier epoch is followed.
    pub accepted: Epoch,
    /// `currentEpoch`: the epoch of the leader whose history this server has taken over.
    pub current: Epoch,
}

impl Epochs {
    /// Name of the file that holds [`Epochs::accepted`].
    pub const ACCEPTED_FILE: &'static str = "acceptedEpoch";
    /// Name of the file that holds [`Epochs::current`].
    pub const CURRENT_FILE: &'static str = "currentEpoch";
}

/// What a learner answers to a leader's epoch (ACKEPOCH).
// ZooKeeper: Learner.registerWithLeader writes one number, and -1 for both "do not count me" and the
// currentEpoch of a server that had no data. Who had a tree and that number was never counted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochAck {
    /// It promises to follow no earlier leader, for the first time, and this is the epoch of its
    /// history: it counts for the quorum.
    Counts(Epoch),
    /// It promised so before, perhaps to another leader, or has no history that could be compared.
    DoesNotCount,
}
