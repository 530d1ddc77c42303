//! How far the writes have come on their way through this server.
//!
//! ```text
//!                 ┌─ logged ─→ synced        here: taken by the log's writer, then durable
//!   proposed ─────┤
//!                 └─ committed ─→ applied    a quorum has it, then this server's tree has it
//!
//!   synced ≤ logged ≤ proposed
//!   applied ≤ committed ≤ proposed
//! ```
//! While a cut is planned, log and tree may still be ahead of what this server has agreed to.
//!
//! A position is the zxid of the last transaction that has come so far. The two lines know nothing of each other: a
//! quorum may hold a transaction that this server has not logged, and this server may have logged one that never gets a
//! quorum.
//!
//! Each position has one owner. [`Positions`] only reads them, to state the relations between owners in one place.

use super::service::Service;
use crate::id::Zxid;

/// See the module's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positions {
    /// The last transaction that this server has proposed, or accepted from its leader. Owned by the peer, in its
    /// journal.
    pub proposed: Zxid,
    /// The last transaction that the log's writer has taken. Owned by `txnlog::Writer`.
    pub logged: Zxid,
    /// The last transaction that is durable here; what may be acknowledged. Owned by `txnlog::Writer`.
    pub synced: Zxid,
    /// The last transaction that a quorum has, as far as this server knows. Owned by the peer.
    pub committed: Zxid,
    /// The last transaction of the tree; what a client may see. Owned by the database.
    pub applied: Zxid,
    /// A truncation or a restoration is planned, and the log does not follow the other positions.
    pub has_cut: bool,
}

impl Service {
    /// Where everything is.
    pub fn positions(&self) -> Positions {
        Positions {
            proposed: self.ensemble.peer.accepted(),
            logged: self.pipeline.txnlog.appended(),
            synced: self.pipeline.txnlog.synced(),
            committed: self.ensemble.peer.committed(),
            applied: self.database.last_processed(),
            has_cut: self.pipeline.steps.has_cut(),
        }
    }
}

impl Positions {
    /// Checks the relations of the module's drawing, at the end of a turn.
    ///
    /// # Panics
    /// If one does not hold: this server would acknowledge what is not durable, or show what is not committed.
    pub fn assert_order(&self) {
        let Positions { proposed, logged, synced, committed, applied, has_cut } = *self;
        assert!(synced <= logged, "the log is durable up to {synced}, and ends at {logged}");
        assert!(committed <= proposed, "{committed} is committed, and only {proposed} proposed");
        if has_cut {
            return;
        }
        // A leader's tree stands at the beginning of its epoch before there is a transaction of it, and stays there if
        // there never is one.
        let is_transaction = applied.counter() != 0;
        assert!(
            !is_transaction || applied <= committed,
            "{applied} is applied, and only {committed} committed"
        );
        assert!(logged <= proposed, "{logged} is logged, and only {proposed} proposed");
    }
}
