//! How many watches there may be, and whether there is room for one more.
//!
//! ZooKeeper has no such bounds. Two of them are on one connection, so that one client does not use up what is for
//! all; the third is on all, and the fourth on the depth of recursive watches. The memory is charged by rounded
//! sizes, not measured, so that equal requests get equal answers on every machine.

use super::{WatchKind, WatchTable};
use crate::id::ConnectionId;
use crate::limits;

/// Limits on the number of watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchBounds {
    /// Data and child watches of one connection.
    pub per_connection_max: u32,
    /// Bytes of all watches, paths included. One connection may have [`limits::WATCH_MEMORY_SHARE`] of them.
    pub bytes_max: u64,
}

impl WatchBounds {
    /// The defaults.
    pub const DEFAULT: WatchBounds = WatchBounds {
        per_connection_max: limits::WATCHES_PER_CONNECTION_MAX,
        bytes_max: limits::WATCH_MEMORY_MIN,
    };
}

impl Default for WatchBounds {
    fn default() -> Self {
        WatchBounds::DEFAULT
    }
}

/// Why a watch was refused. Its text is for the log; the client gets `QuotaExceeded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchesFull {
    /// The connection has as many as it may.
    #[error(
        "its connection has as many watches as one may have (ringkeeper.watchesPerConnectionMax)"
    )]
    Connection,
    /// The connection's watches take their whole share of the memory.
    #[error(
        "the watches of its connection take a whole share of the memory for watches (ringkeeper.watchMemoryMax)"
    )]
    Share,
    /// All together take all of the memory.
    #[error(
        "the watches of all connections take all of the memory for watches (ringkeeper.watchMemoryMax)"
    )]
    Memory,
    /// It is recursive, and would be looked for with each change of a node far below it.
    #[error("a recursive watch lies on at most {} levels", limits::RECURSIVE_WATCH_LEVELS_MAX)]
    Deep,
}

/// On how many levels a path lies: 0 for the root.
pub(super) fn levels(path: &str) -> usize {
    if path == "/" { 0 } else { path.bytes().filter(|byte| *byte == b'/').count() }
}

/// Bytes of a watch in the table and its index, rounded up.
pub(super) const WATCH_BYTES: u64 = 64;

/// Bytes of a path in the table and its index without its name, rounded up.
pub(super) const PATH_BYTES: u64 = 96;

/// Bytes that a watch counts against its connection, as if no other connection watched its path: so all connections
/// together never take more than what they count.
pub(super) const fn share_bytes(name_bytes: u64) -> u64 {
    WATCH_BYTES + PATH_BYTES + name_bytes
}

impl WatchTable {
    /// Whether there is room for one more of each kind. An existing watch needs none.
    ///
    /// # Errors
    /// The bound, which [`WatchTable::refused_last`] then repeats for the log.
    pub(super) fn make_room(
        &mut self,
        path: &str,
        connection: ConnectionId,
        kinds: &[WatchKind],
    ) -> Result<(), WatchesFull> {
        let room = self.find_room(path, connection, kinds);
        self.refused_last = room.err();
        room
    }

    /// [`WatchTable::make_room`] without its note. The existing watches are looked up only if there is no room for
    /// all: the usual case costs no lookup.
    fn find_room(
        &self,
        path: &str,
        connection: ConnectionId,
        kinds: &[WatchKind],
    ) -> Result<(), WatchesFull> {
        let full = match self.room_for(path, connection, kinds.len()) {
            Ok(()) => return Ok(()),
            Err(full) => full,
        };
        let missing = kinds.iter().filter(|kind| self.find(path, connection, **kind).is_none());
        match missing.count() {
            0 => Ok(()),
            more if more < kinds.len() => self.room_for(path, connection, more),
            _ => Err(full),
        }
    }

    /// Whether there is room for so many more watches of a connection on a path, none of which exists.
    ///
    /// # Errors
    /// The first bound that they would exceed: of all, then of the connection.
    fn room_for(
        &self,
        path: &str,
        connection: ConnectionId,
        more: usize,
    ) -> Result<(), WatchesFull> {
        let (more, name_bytes) = (more as u64, path.len() as u64);
        let WatchBounds { per_connection_max, bytes_max } = self.bounds;
        assert!(self.held_bytes <= bytes_max, "watches keep to their bound");
        assert!(self.held_bytes >= self.len() as u64 * WATCH_BYTES, "each watch is counted");
        // Counted as if the path were new: the sum is then at most one name too large.
        if self.held_bytes + more * WATCH_BYTES + PATH_BYTES + name_bytes > bytes_max {
            return Err(WatchesFull::Memory);
        }
        // Its first watches: no other counts against them.
        let Some(&slot) = self.connection_ids.get(&connection) else { return Ok(()) };
        let owner = self.connections.get(slot);
        let count: u64 = owner.counts.iter().copied().map(u64::from).sum();
        if count + more > u64::from(per_connection_max) {
            return Err(WatchesFull::Connection);
        }
        if owner.bytes + more * share_bytes(name_bytes) > bytes_max / limits::WATCH_MEMORY_SHARE {
            return Err(WatchesFull::Share);
        }
        Ok(())
    }
}
