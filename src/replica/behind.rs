//! Whether this server keeps up with what other servers send.

use super::Replica;
use crate::limits;
use crate::peer::link::LinkId;

impl Replica {
    /// Whether nothing more should be read from this link for now: so many of the requests that it has brought
    /// wait for their turn, the log is behind, or far more is committed than applied.
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        // On a full disk nothing goes on, and a learner that is not heard is taken for dead.
        (self.ensemble.deferred.has_enough_of(link) && !self.is_disk_full())
            || self.peer.has_enough_of(link)
            || self.is_behind()
            || (self.ensemble.is_learning() && self.ensemble.applying.is_too_much())
    }

    /// Whether so much waits for the log that nothing more should be read from other servers. Their
    /// sockets hold it, and in the end the leader's.
    pub fn is_behind(&self) -> bool {
        if self.backlog.len() > limits::BACKLOG_TXNS_MAX {
            return true;
        }
        let mut bytes = 0;
        self.backlog.iter().any(|txn| {
            bytes += txn.bytes().len();
            bytes > limits::BACKLOG_BYTES_MAX
        })
    }
}
