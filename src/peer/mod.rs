//! Agreement: which transactions are accepted, durable and committed, in which order.
//!
//! A peer decides and never acts. What it wants done stands in a [`Ready`], whose fields are the
//! order of durability. A server on its own is the smallest ensemble: its own disk is the
//! quorum, so that a transaction is committed as soon as it is durable.
//!
//! ```text
//! synced ≤ submitted ≤ accepted        committed ≤ synced (the quorum is this server's disk)
//! ```

mod standalone;

pub use standalone::Standalone;

use crate::id::Zxid;
use crate::proto::txn::Txn;

/// What a peer wants done. The caller owns it, so that its vectors are used again and again.
///
/// `append` goes to the log in this order, and [`Peer::handle_synced`] says when it is durable.
/// `commit` waits for nothing: its transactions are applied at once, in this order.
#[derive(Debug, Default)]
pub struct Ready {
    /// To be appended to the transaction log.
    pub append: Vec<Txn>,
    /// To be applied to the database, in zxid order.
    pub commit: Vec<Txn>,
}

impl Ready {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.append.is_empty() && self.commit.is_empty()
    }
}

/// A server's part in the agreement.
#[derive(Debug)]
pub enum Peer {
    /// A server on its own.
    Standalone(Standalone),
}

impl Peer {
    /// A server on its own, whose log and snapshot reach to `last`.
    pub fn standalone(last: Zxid) -> Peer {
        Peer::Standalone(Standalone::new(last))
    }

    /// The zxid that a transaction gets after `last`. `None`: no more may be proposed in this
    /// epoch.
    pub fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        match self {
            Peer::Standalone(standalone) => standalone.zxid_after(last),
        }
    }

    /// Proposes a transaction, the next in order.
    pub fn propose(&mut self, txn: Txn) {
        match self {
            Peer::Standalone(standalone) => standalone.propose(txn),
        }
    }

    /// The log has no room for what comes after `zxid`: it is as if it had not been proposed.
    /// Only for transactions that were not written, and only where no other server saw them.
    pub fn take_back(&mut self, zxid: Zxid) {
        match self {
            Peer::Standalone(standalone) => standalone.take_back(zxid),
        }
    }

    /// Everything up to `zxid` is durable in this server's log.
    pub fn handle_synced(&mut self, zxid: Zxid) {
        match self {
            Peer::Standalone(standalone) => standalone.handle_synced(zxid),
        }
    }

    /// Appends what is to be done to `ready`.
    pub fn take_ready(&mut self, ready: &mut Ready) {
        match self {
            Peer::Standalone(standalone) => standalone.take_ready(ready),
        }
    }

    /// The newest transaction proposed.
    pub fn accepted(&self) -> Zxid {
        match self {
            Peer::Standalone(standalone) => standalone.accepted(),
        }
    }

    /// The newest transaction handed out for commit.
    pub fn committed(&self) -> Zxid {
        match self {
            Peer::Standalone(standalone) => standalone.committed(),
        }
    }

    /// ZooKeeper's word for the role (`mntr`, `stat`).
    pub fn mode(&self) -> &'static str {
        match self {
            Peer::Standalone(_) => "standalone",
        }
    }
}
