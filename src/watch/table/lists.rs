//! Links a watch into its lists and its index, and takes it out of them.
//!
//! ```text
//! path's list        first ⇄ … recursive … ⇄ … others … ⇄ last        one for data, one for child watches
//!                            last of the recursive ─┘ kept in `recursive`
//! connection's list  first, the newest ⇄ … ⇄ the oldest
//! ```
//! A firing below a recursive watch reads only the beginning of its path's list, so the order above is what makes its
//! cost that of the recursive watches alone. The rule that is easy to break: what counts watches, and their bytes,
//! changes in [`WatchTable::link`] and [`WatchTable::unlink`] and nowhere else.

use super::{
    NONE, PATH_BYTES, Recursive, WATCH_BYTES, Watch, WatchKind, WatchMode, WatchTable, share_bytes,
};
use crate::tree::PathHash;

impl WatchTable {
    /// A data watch has become recursive: it goes behind the others that are. The mode is already set.
    pub(super) fn add_recursive(&mut self, slot: u32) {
        let Watch { path, kind, modes, .. } = *self.watches.get(slot);
        assert!(kind == WatchKind::Data, "recursive watches are data watches");
        assert!(modes & WatchMode::PersistentRecursive.bit() != 0);
        // Behind the last recursive one, or first in the list if there was none.
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

    /// A recursive watch is none any more, or goes: it leaves the others, and is in its path's list no more. Its mode
    /// may already be cleared.
    pub(super) fn remove_recursive(&mut self, slot: u32) {
        let Watch { path, path_previous, .. } = *self.watches.get(slot);
        // Its place in the list is still that of a recursive watch: its neighbours tell what becomes of `last`.
        let others = self.recursive.get_mut(&path).expect("it has recursive watches");
        others.count -= 1;
        // The one before it is recursive too, or there is none.
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

    /// Takes a watch out of its path's list. Its own links stay as they were: the caller puts it elsewhere, or frees
    /// it.
    fn take_out(&mut self, slot: u32) {
        let watch = *self.watches.get(slot);
        assert!(watch.modes != 0, "a slot in use has a mode");
        if watch.path_next != NONE {
            let next = self.watches.get_mut(watch.path_next);
            assert!(next.path_previous == slot, "neighbours know each other");
            next.path_previous = watch.path_previous;
        }
        if watch.path_previous != NONE {
            let previous = self.watches.get_mut(watch.path_previous);
            assert!(previous.path_next == slot, "neighbours know each other");
            previous.path_next = watch.path_next;
        }
        let list = &mut self.paths.get_mut(watch.path).lists[watch.kind as usize];
        assert!(list.count > 0, "the watch is in the list");
        if watch.path_previous == NONE {
            assert!(list.first == slot, "what follows no other is the first");
            list.first = watch.path_next;
        }
        if watch.path_next == NONE {
            assert!(list.last == slot, "what no other follows is the last");
            list.last = watch.path_previous;
        }
        list.count -= 1;
    }

    /// Puts a watch into its path's list, behind another one; [`NONE`]: at its beginning.
    pub(super) fn put_after(&mut self, slot: u32, after: u32) {
        let Watch { path, kind, .. } = *self.watches.get(slot);
        // The one that is to follow it.
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
        assert!(list.first != NONE, "a list with a watch has a first");
        assert!(list.last != NONE, "a list with a watch has a last");
    }

    /// The hash of the whole path in the index of prefixes, where the hash of a path continues that of its beginning.
    fn recursive_hash(&self, path: u32) -> PathHash {
        let name = self.paths.get(path).name.as_deref().expect("a used slot has a name");
        let whole = self.recursive_index.hash_beginnings(name).last();
        whole.expect("every path begins with itself").1
    }

    /// Creates a watch without modes, which the caller then sets. It comes last in its path's list and first in its
    /// connection's, and counts from now on.
    ///
    /// # Panics
    /// If the connection is gone.
    pub(super) fn link(&mut self, path: u32, connection: u32, kind: WatchKind) -> u32 {
        let table = kind as usize;
        let name_bytes = self.name_bytes(path);
        let owner = self.connections.get(connection);
        assert!(!owner.is_gone, "a connection that is gone sets no watch");
        let slot = self.watches.insert(Watch {
            path,
            connection,
            path_next: NONE,
            path_previous: NONE,
            // Newest first: one change is enough, wherever the others are.
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
        // It never shrinks: `may_tell_many` may be wrong in one direction only.
        self.longest = self.longest.max(count);
        // The counts of its connection, then those of all. Paths and connections are counted for data watches only
        // (`wchs`).
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

    /// Removes a watch, and its path and its connection if it was their last one. It is the reverse of
    /// [`WatchTable::link`].
    pub(super) fn unlink(&mut self, slot: u32) {
        let watch = *self.watches.get(slot);
        let table = watch.kind as usize;
        let name_bytes = self.name_bytes(watch.path);
        // Out of the index first: its key has the slots of path and connection, which may be freed below.
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
        // What is read here is the state without this watch.
        let watched = self.paths.get(watch.path);
        let last_of_path = watched.lists[table].count == 0;
        let path_is_free = watched.lists.iter().all(|list| list.count == 0);
        let owner = self.connections.get_mut(watch.connection);
        if watch.connection_previous == NONE {
            owner.first = watch.connection_next;
        }
        assert!(owner.counts[table] > 0, "the watch is one of its connection's");
        owner.counts[table] -= 1;
        assert!(owner.bytes >= share_bytes(name_bytes), "what is counted in is counted out");
        owner.bytes -= share_bytes(name_bytes);
        assert!(owner.first != NONE || owner.bytes == 0, "no watch, no bytes");
        self.held_bytes -= WATCH_BYTES;
        let last_of_connection = owner.counts[table] == 0;
        // A connection that is gone waits in a queue, and is freed in its turn.
        let connection_is_free = owner.first == NONE && !owner.is_gone;
        assert!(self.counts[table] > 0, "what is counted in is counted out");
        self.counts[table] -= 1;
        if watch.kind == WatchKind::Data {
            self.data_paths -= usize::from(last_of_path);
            self.data_connections -= usize::from(last_of_connection);
        }
        self.watches.get_mut(slot).modes = 0;
        self.watches.release(slot);
        // The name is taken, so that a free slot has none and no listing finds it.
        if path_is_free {
            let name = self.paths.get_mut(watch.path).name.take().expect("a used slot has a name");
            self.path_index.remove(self.path_index.hash(&name), watch.path);
            self.held_bytes -= PATH_BYTES + name_bytes;
            self.paths.release(watch.path);
        }
        if connection_is_free {
            let id = self.connections.get(watch.connection).id;
            self.connection_ids.remove(&id);
            self.connections.release(watch.connection);
        }
        assert!(!self.is_empty() || self.held_bytes == 0, "no watch, no bytes");
    }
}
