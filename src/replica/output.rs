//! What a replica wants the edge to do after a turn.

use std::fmt;

use super::audit::AuditRecords;
use super::sasl::LoginOp;
use crate::id::{ConnectionId, Zxid};
use crate::io;
use crate::link::{LinkLogin, LinkOp};
use crate::recovery::{Recovered, RecoveryError};
use crate::zab::{ConfigChange, LogRead};

/// Everything that a turn produced. Each list is in the order in which it must be carried out; bytes for
/// clients and operations of the disk do not wait for each other.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes for clients, at most one entry per connection.
    pub sends: Vec<Outgoing>,
    /// Operations of the disk, in the order of their submission.
    pub ops: Vec<io::Op>,
    /// Operations on the links to other servers, in this order.
    pub links: Vec<LinkOp>,
    /// Reads of the log's files, answered with `Replica::handle_log_read`.
    pub log_reads: Vec<LogRead>,
    /// To be done at once, and answered with `Replica::handle_reloaded`.
    ///
    /// Invariant: no operation of the disk is in flight then.
    pub reload: Option<Reload>,
    /// The files of the configuration to be written, in this order.
    pub configs: Vec<ConfigChange>,
    /// What the edge is to do for logins, in this order.
    pub logins: Vec<LoginOp>,
    /// The same for logins between servers.
    pub link_logins: Vec<LinkLogin>,
    /// What the audit log is to tell of this turn.
    pub audit: AuditRecords,
    /// Why the process must stop. If set, nothing else of the output may be carried out.
    pub fatal: Option<Fatal>,
    /// Empty buffers that the edge gave back, for the next turn.
    spare: Vec<Vec<u8>>,
}

/// Removes everything after a zxid from the log's files, together with the snapshots that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The last transaction that stays.
    pub truncate: Zxid,
    /// Whether the database in memory is beyond the cut too, and must be read from the disk again.
    pub database: bool,
}

/// The result of a [`Reload`].
#[derive(Debug)]
pub enum Reloaded {
    /// The files are cut. Holds the database as it is at the cut, if it was asked for.
    Cut(Option<Box<Recovered>>),
    /// The folder does not hold the state at the cut; nothing was changed.
    NotHeld,
}

impl Reloaded {
    /// Carries a [`Reload`] out: cuts the files, and reads what is left.
    ///
    /// # Errors
    /// The sentence that says why the server must stop.
    pub fn carry_out(
        reload: Reload,
        cut: impl FnOnce() -> Result<(), RecoveryError>,
        recover: impl FnOnce() -> Result<Recovered, String>,
    ) -> Result<Reloaded, String> {
        match cut() {
            Ok(()) if reload.database => Ok(Reloaded::Cut(Some(Box::new(recover()?)))),
            Ok(()) => Ok(Reloaded::Cut(None)),
            Err(RecoveryError::NothingBefore { .. } | RecoveryError::NotInHistory { .. }) => {
                Ok(Reloaded::NotHeld)
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Bytes for one connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The connection.
    pub conn: ConnectionId,
    /// Whole frames. Empty if the entry only closes the connection or only reports requests.
    pub bytes: Vec<u8>,
    /// How many requests were finished since the last entry: so many more may be read. They are the oldest of
    /// those that the edge handed to the replica and that no entry has counted yet; a request that was finished before
    /// an older one is counted together with it.
    pub answered: u32,
    /// Whether to close the connection after these bytes. The replica has forgotten the
    /// connection then, and ignores a `handle_close` for it.
    pub close: bool,
    /// Whether the replica has counted these bytes as unread, so that the edge calls `Replica::handle_written` when
    /// all of them are out. The replica sets it; the edge must not conclude it from their length, because the answer to
    /// a four-letter word is long and not counted.
    pub is_reported: bool,
}

impl Outgoing {
    /// With how many bytes the edge calls `Replica::handle_written` when all of them are out. 0: it does not.
    pub fn reported_bytes(&self) -> usize {
        if self.is_reported { self.bytes.len() } else { 0 }
    }
}

/// Most buffers that are kept for later turns; more are dropped.
pub(super) const SPARE_BUFFERS_MAX: usize = 512;
/// A buffer larger than this is dropped rather than kept, so that one huge reply does not keep its memory for ever.
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// Why the process must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// A sentence for the operator.
    pub reason: String,
    /// Whether the cause is a full disk: with more room, a new start continues from what the disk holds.
    pub lacks_room: bool,
}

impl fmt::Display for Fatal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

impl Output {
    /// Gives a buffer back, after its bytes were written, for a later turn.
    pub fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX
            && bytes.capacity() > 0
            && bytes.capacity() <= SPARE_BYTES_MAX
        {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// The buffers that the edge gave back.
    pub(super) fn spare_mut(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.spare
    }

    /// Whether the edge has nothing to do.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.ops.is_empty()
            && self.links.is_empty()
            && self.log_reads.is_empty()
            && self.reload.is_none()
            && self.configs.is_empty()
            && self.logins.is_empty()
            && self.link_logins.is_empty()
            && self.audit.is_empty()
            && self.fatal.is_none()
    }
}
