//! The two epochs that a member of an ensemble keeps on disk.

use crate::id::Epoch;

/// What a server has promised and whom it has followed.
///
/// Invariant: `current ≤ accepted`.
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
