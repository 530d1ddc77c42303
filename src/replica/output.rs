//! What a replica wants done after a turn.

use std::fmt;

use crate::id::{ConnectionId, Zxid};
use crate::io;
use crate::link::LinkOp;
use crate::recovery::{Recovered, RecoveryError};
use crate::zab::{ConfigChange, LogRead};

/// Everything that a turn produced, in the order in which it must be carried out: bytes to
/// clients and operations of the disk do not wait for each other.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes for clients, at most one entry per connection.
    pub sends: Vec<Outgoing>,
    /// Operations of the disk, in the order of their submission.
    pub ops: Vec<io::Op>,
    /// For other servers, in this order.
    pub links: Vec<LinkOp>,
    /// Reads of the log's files, answered with `Replica::handle_log_read`.
    pub log_reads: Vec<LogRead>,
    /// To be done at once, and answered with `Replica::handle_reloaded`. No op is in flight.
    pub reload: Option<Reload>,
    /// The files of the configuration to be written, in this order.
    pub configs: Vec<ConfigChange>,
    /// The process must stop; nothing else of the output may be carried out.
    pub fatal: Option<Fatal>,
    spare: Vec<Vec<u8>>,
}

/// Everything after a zxid goes: from the log's files, and with them the snapshots that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The last transaction that stays.
    pub truncate: Zxid,
    /// Whether the database holds what goes, and must be read from the disk anew.
    pub database: bool,
}

/// What came of a [`Reload`].
#[derive(Debug)]
pub enum Reloaded {
    /// The files are cut. With the database as it is there, if it was asked for.
    Cut(Option<Box<Recovered>>),
    /// The folder does not hold the state at the cut; nothing was changed.
    NotHeld,
}

impl Reloaded {
    /// Carries a [`Reload`] out: cuts the files, and reads what is left.
    ///
    /// # Errors
    /// Why the server must stop.
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
    /// To whom.
    pub conn: ConnectionId,
    /// Whole frames. May be empty when the entry only closes or only gives credit.
    pub bytes: Vec<u8>,
    /// Requests that are finished since the last entry: so many more may be read. They are the oldest of
    /// those that were handed to the replica and not counted yet; one that was finished before an older
    /// one is counted with it.
    pub answered: u32,
    /// Whether to close the connection after these bytes. The replica has forgotten the
    /// connection then and expects no `handle_close` for it (one is ignored).
    pub close: bool,
    /// Whether the replica has counted these bytes as unread, and is to hear of them with
    /// `Replica::handle_written` when all of them are out. Whoever counts them sets it, and nobody may
    /// conclude it from their length: the answer to a four-letter word is long and not counted.
    pub is_reported: bool,
}

impl Outgoing {
    /// How many bytes the replica is to hear of, with `Replica::handle_written`, when all of them are
    /// out.
    pub fn reported_bytes(&self) -> usize {
        if self.is_reported { self.bytes.len() } else { 0 }
    }
}

/// Buffers kept for later turns, at most; more are dropped.
pub(super) const SPARE_BUFFERS_MAX: usize = 512;
/// A buffer larger than this is dropped rather than kept: one huge reply shall not pin memory.
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// Why a process must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// A sentence for the operator.
    pub reason: String,
    /// It could go on with more room on its disk, from what the disk has.
    pub lacks_room: bool,
}

impl fmt::Display for Fatal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

impl Output {
    /// Gives a buffer back after its bytes were written, for a later turn.
    pub fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX
            && bytes.capacity() > 0
            && bytes.capacity() <= SPARE_BYTES_MAX
        {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// Buffers that were given back.
    pub(super) fn spare_mut(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.spare
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.ops.is_empty()
            && self.links.is_empty()
            && self.log_reads.is_empty()
            && self.reload.is_none()
            && self.configs.is_empty()
            && self.fatal.is_none()
    }
}
