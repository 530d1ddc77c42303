//! All watches of a server (`WatchManager`, two of them: data and child watches).
//!
//! ```text
//! index ─→ paths:       name, [data list, child list] ──┐
//!          watches:     path, connection, modes  ←──────┤ each watch is in two lists:
//! ids   ─→ connections: list of its watches ────────────┘ its path's and its connection's
//! ```
//! A watch is 28 bytes in a slab and some 14 in an index by (path, connection, kind): adding, removing and firing a
//! watch costs the same with one watcher of a path as with ten thousand. A path is kept once for all its watches.
//! Lists keep the order in which watches were set, so that a run can be repeated.
//!
//! A connection may have a million watches. When it ends, all of them stop firing at once; they are removed from the
//! lists a bounded number at a time ([`WatchTable::remove_gone`]).

mod figures;
mod firing;
mod lists;
mod room;
mod slots;

use std::collections::VecDeque;
use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::id::ConnectionId;
use crate::limits;
use crate::tree::{PathHash, PathIndex};
use crate::watch::mode::{WatchKind, WatchMode, WatcherType};
use crate::watch::turn::{Account, Turn};

use room::{PATH_BYTES, WATCH_BYTES, levels, share_bytes};
use slots::{NONE, Slots};

pub use figures::WatchCounts;
pub use room::{WatchBounds, WatchesFull};

/// One watch of a connection on a path, in one table. All its modes share it.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// The slot of its path.
    path: u32,
    /// The slot of its connection.
    connection: u32,
    /// The next watch in the path's list of this kind; [`NONE`] at its end. Likewise the others.
    path_next: u32,
    path_previous: u32,
    /// The next watch in the connection's list, of any kind.
    connection_next: u32,
    connection_previous: u32,
    /// Mode bits. Invariant: 0 only in free slots.
    modes: u8,
    /// The table that it is in.
    kind: WatchKind,
}

const _: () = assert!(size_of::<Watch>() == 28);

/// The watches of a path in one table, linked through the watches themselves.
#[derive(Clone, Copy, Debug)]
struct List {
    /// The first watch; [`NONE`] in an empty list.
    first: u32,
    /// The last one; [`NONE`] in an empty list.
    last: u32,
    /// How many there are. Invariant: 0 exactly when `first` and `last` are [`NONE`].
    count: u32,
}

/// Sending events to a list longer than this takes enough time to be counted.
const LIST_LONG: u32 = 100;

/// A list without watches.
const EMPTY: List = List { first: NONE, last: NONE, count: 0 };

/// A path that somebody watches.
#[derive(Debug)]
struct WatchedPath {
    /// `None` in free slots.
    name: Option<Rc<str>>,
    /// Data and child watches.
    ///
    /// Invariant: of the data watches, the recursive ones come first.
    lists: [List; 2],
}

/// The recursive watches of a path.
#[derive(Clone, Copy, Debug)]
struct Recursive {
    /// How many there are; not 0.
    count: u32,
    /// The last of them in the list of the path's data watches.
    last: u32,
}

/// A connection that has watches.
///
/// Invariant: without watches, `first` is [`NONE`], and `counts` and `bytes` are 0.
#[derive(Debug)]
struct Connection {
    /// Who it is.
    id: ConnectionId,
    /// The newest of its watches.
    first: u32,
    /// Its data and child watches.
    counts: [u32; 2],
    /// Bytes of its watches, each with the name of its path: what counts against its share of the memory.
    bytes: u64,
    /// The last firing that has taken it as a receiver.
    mark: u64,
    /// What its firings have cost in the present turn.
    account: Account,
    /// Whether it has ended, and some of its watches are still in the lists. Invariant: then it is in `gone`, and has
    /// no entry in `connection_ids`.
    is_gone: bool,
}

/// Every watch of this server.
///
/// Invariant: every path that is present is watched, and every connection has a watch, unless it is gone.
#[derive(Debug)]
pub struct WatchTable {
    /// The watched paths.
    paths: Slots<WatchedPath>,
    /// Their slots by name.
    path_index: PathIndex,
    /// The watches. Invariant: each in use is in one list of its path, in that of its connection, and in `watch_index`.
    watches: Slots<Watch>,
    /// Their slots by path, connection and kind.
    watch_index: PathIndex,
    /// The connections that have watches.
    connections: Slots<Connection>,
    /// Their slots by id.
    connection_ids: HashMap<ConnectionId, u32, FixedState>,
    /// Connections that are gone and still have watches here.
    gone: VecDeque<u32>,
    /// Watches, data and child.
    counts: [usize; 2],
    /// Paths and connections that have a data watch.
    data_paths: usize,
    data_connections: usize,
    /// Paths with recursive watches, by the hashes of prefixes: a firing looks up every prefix of its path, and with
    /// the other index would hash a path once for each of its parts.
    recursive_index: PathIndex,
    /// The recursive watches of each such path. Without any, firing does not look above the path.
    recursive: HashMap<u32, Recursive, FixedState>,
    /// The largest length that the list of watches of a path has ever had.
    longest: u32,
    /// Counts firings, so that each takes a connection once. Invariant: no connection's mark is greater.
    firings: u64,
    /// What firings have cost in the present turn.
    turn: Turn,
    /// Connections that a turn has no more for; each once.
    given_up: Vec<ConnectionId>,
    /// How many watches there may be.
    bounds: WatchBounds,
    /// Bytes of all watches, and of each path once. Invariant: at most `bounds.bytes_max`; 0 without watches.
    held_bytes: u64,
    /// Why the last watch was refused, if it was.
    refused_last: Option<WatchesFull>,
}

impl Default for WatchTable {
    fn default() -> Self {
        WatchTable::new(0, WatchBounds::default())
    }
}

impl WatchTable {
    /// An empty table. The seed keeps clients from choosing paths that collide.
    pub fn new(hash_seed: u64, bounds: WatchBounds) -> WatchTable {
        WatchTable {
            paths: Slots::new(),
            path_index: PathIndex::new(hash_seed, 10),
            watches: Slots::new(),
            watch_index: PathIndex::new(hash_seed, 10),
            connections: Slots::new(),
            connection_ids: HashMap::default(),
            gone: VecDeque::new(),
            counts: [0; 2],
            data_paths: 0,
            data_connections: 0,
            recursive_index: PathIndex::new(hash_seed, 10),
            recursive: HashMap::default(),
            longest: 0,
            firings: 0,
            turn: Turn::default(),
            given_up: Vec::new(),
            bounds,
            held_bytes: 0,
            refused_last: None,
        }
    }

    /// Adds a standard watch, as a read with its watch flag does; false if it already exists: two reads of one
    /// connection make one watch.
    ///
    /// # Errors
    /// There are too many; nothing is added.
    // ZooKeeper: WatchManager.addWatch.
    pub fn add(
        &mut self,
        path: &str,
        connection: ConnectionId,
        kind: WatchKind,
    ) -> Result<bool, WatchesFull> {
        self.make_room(path, connection, &[kind])?;
        Ok(self.add_one(path, connection, kind, WatchMode::Standard))
    }

    /// Adds a watch as `addWatch` and `setWatches2` do: a persistent one to both tables, a
    /// recursive one to the data watches; a standard one to both, which no request asks for.
    ///
    /// # Errors
    /// There are too many; nothing is added.
    pub fn add_mode(
        &mut self,
        path: &str,
        connection: ConnectionId,
        mode: WatchMode,
    ) -> Result<bool, WatchesFull> {
        if mode == WatchMode::PersistentRecursive
            && levels(path) > limits::RECURSIVE_WATCH_LEVELS_MAX
        {
            self.refused_last = Some(WatchesFull::Deep);
            return Err(WatchesFull::Deep);
        }
        let kinds: &[WatchKind] = match mode {
            WatchMode::PersistentRecursive => &[WatchKind::Data],
            WatchMode::Persistent | WatchMode::Standard => &[WatchKind::Data, WatchKind::Child],
        };
        self.make_room(path, connection, kinds)?;
        let mut added = false;
        for kind in kinds {
            added |= self.add_one(path, connection, *kind, mode);
        }
        Ok(added)
    }

    /// Adds one mode of a watch to one table; false if the watch has it. There is room for it.
    fn add_one(
        &mut self,
        path: &str,
        connection: ConnectionId,
        kind: WatchKind,
        mode: WatchMode,
    ) -> bool {
        let path = match self.find_path(path) {
            Some(found) => found,
            None => {
                let hash = self.path_index.hash(path);
                let slot = self
                    .paths
                    .insert(WatchedPath { name: Some(Rc::from(path)), lists: [EMPTY; 2] });
                self.path_index.insert(hash, slot);
                self.held_bytes += PATH_BYTES + path.len() as u64;
                slot
            }
        };
        let connection = match self.connection_ids.get(&connection) {
            Some(&found) => found,
            None => {
                let slot = self.connections.insert(Connection {
                    id: connection,
                    first: NONE,
                    counts: [0; 2],
                    bytes: 0,
                    mark: 0,
                    account: Account::default(),
                    is_gone: false,
                });
                self.connection_ids.insert(connection, slot);
                slot
            }
        };
        let slot = match self.find_watch(path, connection, kind) {
            Some(found) => found,
            None => self.link(path, connection, kind),
        };
        let watch = self.watches.get_mut(slot);
        let is_new = watch.modes & mode.bit() == 0;
        watch.modes |= mode.bit();
        assert!(watch.path == path, "a watch is found under its own key");
        assert!(watch.connection == connection, "a watch is found under its own key");
        if is_new && mode == WatchMode::PersistentRecursive {
            self.add_recursive(slot);
        }
        is_new
    }

    /// Removes the watches that `wanted` names; false if there were none. Other modes of the same watch stay.
    pub fn remove(&mut self, path: &str, connection: ConnectionId, wanted: WatcherType) -> bool {
        let mut removed = false;
        for (kind, bits) in [WatchKind::Data, WatchKind::Child].into_iter().zip(wanted.bits()) {
            let Some(slot) = self.find(path, connection, kind) else { continue };
            let watch = self.watches.get_mut(slot);
            let gone = watch.modes & bits;
            if gone == 0 {
                continue;
            }
            removed = true;
            if gone == watch.modes {
                self.unlink(slot);
                continue;
            }
            watch.modes &= !gone;
            let path = watch.path;
            if gone & WatchMode::PersistentRecursive.bit() != 0 {
                // It leaves the recursive ones at the beginning of the list, and goes behind all others.
                self.remove_recursive(slot);
                self.put_after(slot, self.paths.get(path).lists[kind as usize].last);
            }
        }
        removed
    }

    /// A connection is gone: its watches no longer fire. They still count until [`WatchTable::remove_gone`] has
    /// removed them. A connection without watches may go too.
    pub fn remove_connection(&mut self, connection: ConnectionId) {
        if let Some(slot) = self.connection_ids.remove(&connection) {
            let owner = self.connections.get_mut(slot);
            assert!(!owner.is_gone, "a connection goes once");
            owner.is_gone = true;
            self.gone.push_back(slot);
        }
    }

    /// Whether watches of closed connections are still to be removed.
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Removes at most `watches_max` watches of closed connections.
    pub fn remove_gone(&mut self, watches_max: usize) {
        for _ in 0..watches_max {
            // Everything is removed.
            let Some(&slot) = self.gone.front() else { return };
            let owner = self.connections.get(slot);
            assert!(owner.is_gone, "only what is gone waits to be removed");
            match owner.first {
                NONE => {
                    assert!(owner.bytes == 0, "what is counted in is counted out");
                    self.gone.pop_front();
                    self.connections.release(slot);
                }
                watch => self.unlink(watch),
            }
        }
    }

    /// Bytes of a path's name.
    fn name_bytes(&self, path: u32) -> u64 {
        self.paths.get(path).name.as_ref().map_or(0, |name| name.len() as u64)
    }

    /// The slot of a path, if it is watched.
    fn find_path(&self, path: &str) -> Option<u32> {
        self.path_index.find(self.path_index.hash(path), |slot| {
            self.paths.get(slot).name.as_deref() == Some(path)
        })
    }

    /// The hash of the key of a watch: slot of the path, slot of the connection, table.
    fn watch_hash(&self, path: u32, connection: u32, kind: WatchKind) -> PathHash {
        let mut key = [0; 9];
        key[..4].copy_from_slice(&path.to_le_bytes());
        key[4..8].copy_from_slice(&connection.to_le_bytes());
        key[8] = kind as u8;
        self.watch_index.hash_bytes(&key)
    }

    /// The slot of the watch with this key.
    fn find_watch(&self, path: u32, connection: u32, kind: WatchKind) -> Option<u32> {
        self.watch_index.find(self.watch_hash(path, connection, kind), |slot| {
            let watch = self.watches.get(slot);
            watch.path == path && watch.connection == connection && watch.kind == kind
        })
    }

    /// The same by name and id. A connection that is gone has no watch any more.
    fn find(&self, path: &str, connection: ConnectionId, kind: WatchKind) -> Option<u32> {
        let &connection = self.connection_ids.get(&connection)?;
        self.find_watch(self.find_path(path)?, connection, kind)
    }

    /// Whether the connection has a watch that `wanted` names.
    pub fn contains(&self, path: &str, connection: ConnectionId, wanted: WatcherType) -> bool {
        // ZooKeeper: containsWatcher looks for a persistent watch among the data watches only;
        // it is always in both.
        [WatchKind::Data, WatchKind::Child].into_iter().zip(wanted.bits()).any(|(kind, bits)| {
            self.find(path, connection, kind)
                .is_some_and(|slot| self.watches.get(slot).modes & bits != 0)
        })
    }
}

#[cfg(test)]
mod tests;
