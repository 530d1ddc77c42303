//! What a member of an ensemble keeps on disk beside its data: two epochs, and where its history began;
//! and what it says of them in ACKEPOCH.

use super::Mark;
use crate::id::{Epoch, SessionId, Zxid};

/// The number of a history: a leader that begins with nothing draws one, and whoever gets that history
/// from it, or from another one of ours, keeps it.
///
/// Zxids of a history that begins anew are those of the one before it, and once both are long, no point
/// of them is in both memories. This tells them apart all the same. Of a history that began with Apache
/// ZooKeeper there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(pub i64);

impl Origin {
    /// As a point of the history, which every server of it has.
    pub fn mark(self) -> Mark {
        Mark { zxid: Zxid::ZERO, txn: Some((SessionId(self.0), 0)), digest: None }
    }

    /// What a point at zxid 0 says of where a history began.
    pub fn of_mark(mark: &Mark) -> Option<Origin> {
        let (number, _) = mark.txn.filter(|_| mark.zxid == Zxid::ZERO)?;
        Some(Origin(number.0))
    }
}

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
    /// `historyOrigin`: where that history began; `None`: not known.
    pub origin: Option<Origin>,
}

impl Epochs {
    /// Name of the file that holds [`Epochs::accepted`].
    pub const ACCEPTED_FILE: &'static str = "acceptedEpoch";
    /// Name of the file that holds [`Epochs::current`].
    pub const CURRENT_FILE: &'static str = "currentEpoch";
    /// Name of the file that holds [`Epochs::origin`]: a number, or `none`.
    // ZooKeeper reads no file of this name.
    pub const ORIGIN_FILE: &'static str = "historyOrigin";

    /// What that file says where it is not known.
    pub const NO_ORIGIN: &'static str = "none";

    /// The epochs of a history of which it is not known where it began.
    pub const fn new(accepted: Epoch, current: Epoch) -> Epochs {
        Epochs { accepted, current, origin: None }
    }
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
