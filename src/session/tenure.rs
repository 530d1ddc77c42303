//! The time from which a server owns a session.

use crate::id::Zxid;

/// The point from which a server owns a session, as counted by the leader that granted it.
///
/// Of two connections of one session the later one has the greater tenure, whichever leaders
/// granted them: a leader's zxids never go back, and a later leader's are greater. So a connection
/// that was parked while there was no leader takes no session from a later connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenure {
    /// The newest transaction that the leader had proposed then. The session's requests on earlier
    /// connections are not after it.
    pub since: Zxid,
    /// Distinguishes requests to the leader between two transactions: it only grows.
    pub turn: u64,
}
