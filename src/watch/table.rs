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

mod firing;

use std::collections::VecDeque;
use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::id::ConnectionId;
use crate::limits;
use crate::tree::{PathHash, PathIndex};
use crate::watch::turn::{Account, Turn};

/// How long a watch lives and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchMode {
    /// Fires once.
    Standard,
    /// Fires until removed.
    Persistent,
    /// Fires until removed, for the whole subtree; kept among the data watches only.
    PersistentRecursive,
}

impl WatchMode {
    const ALL_BITS: u8 = 7;

    /// The mode with this number in an `addWatch` request.
    pub const fn from_i32(number: i32) -> Option<WatchMode> {
        match number {
            0 => Some(WatchMode::Persistent),
            1 => Some(WatchMode::PersistentRecursive),
            _ => None,
        }
    }

    const fn bit(self) -> u8 {
        match self {
            WatchMode::Standard => 1,
            WatchMode::Persistent => 2,
            WatchMode::PersistentRecursive => 4,
        }
    }
}

/// Which of ZooKeeper's two tables a watch is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchKind {
    /// Set by exists and getData.
    Data,
    /// Set by getChildren.
    Child,
}

/// What `checkWatches` and `removeWatches` ask for (`Watcher.WatcherType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatcherType {
    /// Standard child watches.
    Children,
    /// Standard data watches.
    Data,
    /// Every kind and mode.
    Any,
    /// Persistent watches.
    Persistent,
    /// Persistent recursive watches.
    PersistentRecursive,
}

impl WatcherType {
    /// The type with this number on the wire.
    pub const fn from_i32(number: i32) -> Option<WatcherType> {
        Some(match number {
            1 => WatcherType::Children,
            2 => WatcherType::Data,
            3 => WatcherType::Any,
            4 => WatcherType::Persistent,
            5 => WatcherType::PersistentRecursive,
            _ => return None,
        })
    }

    /// Mode bits per table: data, child.
    const fn bits(self) -> [u8; 2] {
        match self {
            WatcherType::Children => [0, WatchMode::Standard.bit()],
            WatcherType::Data => [WatchMode::Standard.bit(), 0],
            WatcherType::Any => [WatchMode::ALL_BITS; 2],
            WatcherType::Persistent => [WatchMode::Persistent.bit(); 2],
            WatcherType::PersistentRecursive => [WatchMode::PersistentRecursive.bit(), 0],
        }
    }
}

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

/// A watch was refused because there are too many.
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
fn levels(path: &str) -> usize {
    if path == "/" { 0 } else { path.bytes().filter(|byte| *byte == b'/').count() }
}

/// Bytes of a watch in the table and its index, rounded up.
const WATCH_BYTES: u64 = 64;

/// Bytes of a path in the table and its index without its name, rounded up.
const PATH_BYTES: u64 = 96;

/// Bytes that a watch counts against its connection, as if no other connection watched its path: so all connections
/// together never take more than what they count.
const fn share_bytes(name_bytes: u64) -> u64 {
    WATCH_BYTES + PATH_BYTES + name_bytes
}

/// The figures of `wchs`: data watches only, as ZooKeeper counts them.
// ZooKeeper: its count of connections keeps those whose last standard watch has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WatchCounts {
    /// Connections that have a data watch.
    pub connections: usize,
    /// Paths that have a data watch.
    pub paths: usize,
    /// Data watches.
    pub watches: usize,
}

/// Marks the end of a list.
const NONE: u32 = u32::MAX;

/// One watch of a connection on a path, in one table. All its modes share it.
#[derive(Clone, Copy, Debug)]
struct Watch {
    path: u32,
    connection: u32,
    path_next: u32,
    path_previous: u32,
    connection_next: u32,
    connection_previous: u32,
    /// Mode bits. 0 only in free slots.
    modes: u8,
    kind: WatchKind,
}

const _: () = assert!(size_of::<Watch>() == 28);

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    count: u32,
}

/// Sending events to a list longer than this takes enough time to be counted.
const LIST_LONG: u32 = 100;

const EMPTY: List = List { first: NONE, last: NONE, count: 0 };

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

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    first: u32,
    /// Data and child watches.
    counts: [u32; 2],
    /// Bytes of its watches, each with the name of its path.
    bytes: u64,
    /// The last firing that has taken it as a receiver.
    mark: u64,
    account: Account,
    /// The connection is gone, and some of its watches are still in the lists.
    is_gone: bool,
}

/// A slab of reusable slots.
#[derive(Debug)]
struct Slots<T> {
    things: Vec<T>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    const fn new() -> Self {
        Slots { things: Vec::new(), free: Vec::new() }
    }

    fn insert(&mut self, thing: T) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.things[slot as usize] = thing;
                slot
            }
            None => {
                let slot = u32::try_from(self.things.len()).expect("fewer than 2^32 watches");
                assert!(slot != NONE, "fewer than 2^32 watches");
                self.things.push(thing);
                slot
            }
        }
    }

    #[inline]
    fn get(&self, slot: u32) -> &T {
        &self.things[slot as usize]
    }

    #[inline]
    fn get_mut(&mut self, slot: u32) -> &mut T {
        &mut self.things[slot as usize]
    }
}

/// Every watch of this server.
#[derive(Debug)]
pub struct WatchTable {
    paths: Slots<WatchedPath>,
    path_index: PathIndex,
    watches: Slots<Watch>,
    watch_index: PathIndex,
    connections: Slots<Connection>,
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
    firings: u64,
    turn: Turn,
    /// Connections that a turn has no more for; each once.
    given_up: Vec<ConnectionId>,
    bounds: WatchBounds,
    /// Bytes of all watches, and of each path once.
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

    /// Adds a standard watch, as a read with its watch flag does; false if it already exists.
    ///
    /// # Errors
    /// There are too many; nothing is added.
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

    /// Whether there is room for one more of each kind. An existing watch needs none.
    fn make_room(
        &mut self,
        path: &str,
        connection: ConnectionId,
        kinds: &[WatchKind],
    ) -> Result<(), WatchesFull> {
        let room = self.find_room(path, connection, kinds);
        self.refused_last = room.err();
        room
    }

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

    fn room_for(
        &self,
        path: &str,
        connection: ConnectionId,
        more: usize,
    ) -> Result<(), WatchesFull> {
        let (more, name_bytes) = (more as u64, path.len() as u64);
        let WatchBounds { per_connection_max, bytes_max } = self.bounds;
        // Counted as if the path were new: the sum is then at most one name too large.
        if self.held_bytes + more * WATCH_BYTES + PATH_BYTES + name_bytes > bytes_max {
            return Err(WatchesFull::Memory);
        }
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
        if is_new && mode == WatchMode::PersistentRecursive {
            self.add_recursive(slot);
        }
        is_new
    }

    /// A data watch has become recursive: it goes behind the others that are.
    fn add_recursive(&mut self, slot: u32) {
        let path = self.watches.get(slot).path;
        let before = self.recursive.get(&path).copied();
        let after = before.map_or(NONE, |others| others.last);
        self.take_out(slot);
        self.put_after(slot, after);
        let count = before.map_or(0, |others| others.count) + 1;
        self.recursive.insert(path, Recursive { count, last: slot });
        if count == 1 {
            let hash = self.recursive_hash(path);
            self.recursive_index.insert(hash, path);
        }
    }

    /// A recursive watch is none any more, or goes: it leaves the others, and is in its path's list no more.
    fn remove_recursive(&mut self, slot: u32) {
        let Watch { path, path_previous, .. } = *self.watches.get(slot);
        let others = self.recursive.get_mut(&path).expect("it has recursive watches");
        others.count -= 1;
        if others.last == slot {
            others.last = path_previous;
        }
        assert!(
            (others.count == 0) == (others.last == NONE),
            "the recursive watches of a path come first in its list"
        );
        if others.count == 0 {
            self.recursive.remove(&path);
            let hash = self.recursive_hash(path);
            self.recursive_index.remove(hash, path);
        }
        self.take_out(slot);
    }

    /// Takes a watch out of its path's list.
    fn take_out(&mut self, slot: u32) {
        let watch = *self.watches.get(slot);
        if watch.path_next != NONE {
            self.watches.get_mut(watch.path_next).path_previous = watch.path_previous;
        }
        if watch.path_previous != NONE {
            self.watches.get_mut(watch.path_previous).path_next = watch.path_next;
        }
        let list = &mut self.paths.get_mut(watch.path).lists[watch.kind as usize];
        if watch.path_previous == NONE {
            list.first = watch.path_next;
        }
        if watch.path_next == NONE {
            list.last = watch.path_previous;
        }
        list.count -= 1;
    }

    /// Puts a watch into its path's list, behind another one; [`NONE`]: at its beginning.
    fn put_after(&mut self, slot: u32, after: u32) {
        let Watch { path, kind, .. } = *self.watches.get(slot);
        let next = match after {
            NONE => self.paths.get(path).lists[kind as usize].first,
            after => self.watches.get(after).path_next,
        };
        let watch = self.watches.get_mut(slot);
        (watch.path_previous, watch.path_next) = (after, next);
        if next != NONE {
            self.watches.get_mut(next).path_previous = slot;
        }
        if after != NONE {
            self.watches.get_mut(after).path_next = slot;
        }
        let list = &mut self.paths.get_mut(path).lists[kind as usize];
        if after == NONE {
            list.first = slot;
        }
        if next == NONE {
            list.last = slot;
        }
        list.count += 1;
    }

    fn recursive_hash(&self, path: u32) -> PathHash {
        let name = self.paths.get(path).name.as_deref().expect("a used slot has a name");
        let whole = self.recursive_index.hash_beginnings(name).last();
        whole.expect("every path begins with itself").1
    }

    /// Creates a watch without modes, which the caller then sets.
    fn link(&mut self, path: u32, connection: u32, kind: WatchKind) -> u32 {
        let table = kind as usize;
        let name_bytes = self.name_bytes(path);
        let owner = self.connections.get(connection);
        let slot = self.watches.insert(Watch {
            path,
            connection,
            path_next: NONE,
            path_previous: NONE,
            connection_next: owner.first,
            connection_previous: NONE,
            modes: 0,
            kind,
        });
        if owner.first != NONE {
            self.watches.get_mut(owner.first).connection_previous = slot;
        }
        self.put_after(slot, self.paths.get(path).lists[table].last);
        let count = self.paths.get(path).lists[table].count;
        let first_of_path = count == 1;
        self.longest = self.longest.max(count);
        let owner = self.connections.get_mut(connection);
        owner.first = slot;
        owner.counts[table] += 1;
        owner.bytes += share_bytes(name_bytes);
        self.held_bytes += WATCH_BYTES;
        let first_of_connection = owner.counts[table] == 1;
        self.counts[table] += 1;
        if kind == WatchKind::Data {
            self.data_paths += usize::from(first_of_path);
            self.data_connections += usize::from(first_of_connection);
        }
        let hash = self.watch_hash(path, connection, kind);
        self.watch_index.insert(hash, slot);
        slot
    }

    /// Removes a watch, and its path and its connection if it was their last one.
    fn unlink(&mut self, slot: u32) {
        let watch = *self.watches.get(slot);
        let table = watch.kind as usize;
        let name_bytes = self.name_bytes(watch.path);
        self.watch_index.remove(self.watch_hash(watch.path, watch.connection, watch.kind), slot);
        match watch.modes & WatchMode::PersistentRecursive.bit() {
            0 => self.take_out(slot),
            _ => self.remove_recursive(slot),
        }
        if watch.connection_next != NONE {
            self.watches.get_mut(watch.connection_next).connection_previous =
                watch.connection_previous;
        }
        if watch.connection_previous != NONE {
            self.watches.get_mut(watch.connection_previous).connection_next = watch.connection_next;
        }
        let watched = self.paths.get(watch.path);
        let last_of_path = watched.lists[table].count == 0;
        let path_is_free = watched.lists.iter().all(|list| list.count == 0);
        let owner = self.connections.get_mut(watch.connection);
        if watch.connection_previous == NONE {
            owner.first = watch.connection_next;
        }
        owner.counts[table] -= 1;
        owner.bytes -= share_bytes(name_bytes);
        self.held_bytes -= WATCH_BYTES;
        let last_of_connection = owner.counts[table] == 0;
        // A connection that is gone waits in a queue, and is freed in its turn.
        let connection_is_free = owner.first == NONE && !owner.is_gone;
        self.counts[table] -= 1;
        if watch.kind == WatchKind::Data {
            self.data_paths -= usize::from(last_of_path);
            self.data_connections -= usize::from(last_of_connection);
        }
        self.watches.get_mut(slot).modes = 0;
        self.watches.free.push(slot);
        if path_is_free {
            let name = self.paths.get_mut(watch.path).name.take().expect("a used slot has a name");
            self.path_index.remove(self.path_index.hash(&name), watch.path);
            self.held_bytes -= PATH_BYTES + name_bytes;
            self.paths.free.push(watch.path);
        }
        if connection_is_free {
            let id = self.connections.get(watch.connection).id;
            self.connection_ids.remove(&id);
            self.connections.free.push(watch.connection);
        }
    }

    /// Removes the watches that `wanted` names; false if there were none.
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
                self.remove_recursive(slot);
                self.put_after(slot, self.paths.get(path).lists[kind as usize].last);
            }
        }
        removed
    }

    /// A connection is gone: its watches no longer fire. They still count until [`WatchTable::remove_gone`] has
    /// removed them.
    pub fn remove_connection(&mut self, connection: ConnectionId) {
        if let Some(slot) = self.connection_ids.remove(&connection) {
            self.connections.get_mut(slot).is_gone = true;
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
            let Some(&slot) = self.gone.front() else { return };
            match self.connections.get(slot).first {
                NONE => {
                    self.gone.pop_front();
                    self.connections.free.push(slot);
                }
                watch => self.unlink(watch),
            }
        }
    }

    /// Bytes of a path's name.
    fn name_bytes(&self, path: u32) -> u64 {
        self.paths.get(path).name.as_ref().map_or(0, |name| name.len() as u64)
    }

    fn find_path(&self, path: &str) -> Option<u32> {
        self.path_index.find(self.path_index.hash(path), |slot| {
            self.paths.get(slot).name.as_deref() == Some(path)
        })
    }

    fn watch_hash(&self, path: u32, connection: u32, kind: WatchKind) -> PathHash {
        let mut key = [0; 9];
        key[..4].copy_from_slice(&path.to_le_bytes());
        key[4..8].copy_from_slice(&connection.to_le_bytes());
        key[8] = kind as u8;
        self.watch_index.hash_bytes(&key)
    }

    fn find_watch(&self, path: u32, connection: u32, kind: WatchKind) -> Option<u32> {
        self.watch_index.find(self.watch_hash(path, connection, kind), |slot| {
            let watch = self.watches.get(slot);
            watch.path == path && watch.connection == connection && watch.kind == kind
        })
    }

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

    /// Number of watches in both tables (`zk_watch_count`).
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Whether there is no watch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For `wchs`.
    pub fn counts(&self) -> WatchCounts {
        WatchCounts {
            connections: self.data_connections,
            paths: self.data_paths,
            watches: self.counts[WatchKind::Data as usize],
        }
    }

    /// For `wchc`: each connection with data watches, and their paths, in no particular order.
    pub fn for_each_connection(
        &self,
        visit: &mut dyn FnMut(ConnectionId, &mut dyn Iterator<Item = &str>),
    ) {
        for connection in &self.connections.things {
            // A free slot's counts are 0: it became free with its last watch.
            if connection.counts[WatchKind::Data as usize] == 0 || connection.is_gone {
                continue;
            }
            let mut next = connection.first;
            let mut paths = std::iter::from_fn(|| {
                while next != NONE {
                    let watch = self.watches.get(next);
                    next = watch.connection_next;
                    if watch.kind == WatchKind::Data {
                        return self.paths.get(watch.path).name.as_deref();
                    }
                }
                None
            });
            visit(connection.id, &mut paths);
        }
    }

    /// For `wchp`: each path with data watches, and their connections, in no particular order.
    pub fn for_each_path(
        &self,
        visit: &mut dyn FnMut(&str, &mut dyn Iterator<Item = ConnectionId>),
    ) {
        for watched in &self.paths.things {
            let Some(name) = watched.name.as_deref() else { continue };
            let list = watched.lists[WatchKind::Data as usize];
            if list.count == 0 {
                continue;
            }
            let mut next = list.first;
            let connections = std::iter::from_fn(|| {
                if next == NONE {
                    return None;
                }
                let watch = self.watches.get(next);
                next = watch.path_next;
                Some(self.connections.get(watch.connection))
            });
            let mut present = connections.filter(|owner| !owner.is_gone).map(|owner| owner.id);
            visit(name, &mut present);
        }
    }

    /// Why the last requested watch was refused, for the log. `None`: it was accepted.
    pub fn refused_last(&self) -> Option<WatchesFull> {
        self.refused_last
    }

    /// Bytes that count against [`WatchBounds::bytes_max`] (`zk_watch_bytes`).
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Bytes that the table takes, the names of paths not counted.
    pub fn bytes(&self) -> usize {
        self.paths.things.capacity() * size_of::<WatchedPath>()
            + self.watches.things.capacity() * size_of::<Watch>()
            + self.connections.things.capacity() * size_of::<Connection>()
            + self.path_index.bytes()
            + self.recursive_index.bytes()
            + self.recursive.allocation_size()
            + self.watch_index.bytes()
    }
}

#[cfg(test)]
mod tests;
