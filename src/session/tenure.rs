//! Since when a server owns a session.

use crate::id::Zxid;

/// Since when a server owns a session, as the leader that let it counts.
///
/// Of two connections of one session the later one has the greater tenure, whatever leaders gave
/// them: a leader's zxids never go back, and a later leader's are greater. So a connection that was
/// kept while there was no leader takes no session from a later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenure {
    /// The newest transaction that the leader had proposed then. What the session asked for on
    /// earlier connections is not after it.
    pub since: Zxid,
    /// Tells apart what the leader was asked for between two transactions: it only grows.
    pub turn: u64,
}
