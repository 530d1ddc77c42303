//! Whether the log keeps up with what other servers send.

use super::Replica;
use crate::limits;

impl Replica {
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
