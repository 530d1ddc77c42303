//! Which connections hear of a change, and what it takes to find them.
//!
//! ```text
//! simple: for each watch on the path or, if recursive, above it: tell its connection, once
//! here:   the list of the path; then, for each prefix that has recursive watches, the beginning of its list;
//!         a mark in the connection says whether this firing has it already
//! ```
//! The order of receivers is that of the path's list, then that of the recursive watches above, from the nearest path
//! up. Whether a receiver may read the node, the caller checks.

use std::rc::Rc;

use super::{LIST_LONG, NONE, WatchKind, WatchMode, WatchTable};
use crate::id::ConnectionId;
use crate::limits;
use crate::tree::PathHash;

impl WatchTable {
    /// Fires: appends to `receivers` each connection that watches `path` in the table `kind`, once, and removes the
    /// standard watches. Returns the path if it is watched, to share.
    ///
    /// Recursive watches above the path also fire. Called again with `again`, it continues the same firing: it
    /// appends no connection twice.
    // ZooKeeper: triggerWatch, with the watchers processed by the data table suppressed in the
    // child table when a node is deleted.
    pub(crate) fn fire(
        &mut self,
        path: &str,
        kind: WatchKind,
        again: bool,
        receivers: &mut Vec<ConnectionId>,
    ) -> Option<Rc<str>> {
        if !again {
            self.firings += 1;
        }
        if self.counts[kind as usize] == 0 {
            return None;
        }
        let mut name = None;
        if let Some(slot) = self.find_path(path) {
            let mut next = self.paths.get(slot).lists[kind as usize].first;
            if next != NONE {
                name.clone_from(&self.paths.get(slot).name);
            }
            while next != NONE {
                let watch = self.watches.get_mut(next);
                assert!(watch.path == slot, "a path's list has its own watches");
                assert!(watch.kind == kind, "a list has watches of one kind");
                let (at, connection) = (next, watch.connection);
                next = watch.path_next;
                // Other modes of the same watch stay.
                let used_up = watch.modes == WatchMode::Standard.bit();
                if !used_up {
                    watch.modes &= !WatchMode::Standard.bit();
                }
                if !self.take(connection, receivers) || used_up {
                    self.unlink(at);
                }
            }
        }
        if !self.recursive.is_empty() && kind == WatchKind::Data && path != "/" {
            // The nearest one comes first.
            let root = self.recursive_index.hash_beginnings("/").next();
            let above = self.recursive_index.hash_beginnings(path);
            let above = above.take(limits::RECURSIVE_WATCH_LEVELS_MAX);
            let above = root.into_iter().chain(above.filter(|(above, _)| above.len() < path.len()));
            // From the root down, because that is how the hashes are made; the receivers come from the nearest path up.
            let found: Vec<u32> =
                above.filter_map(|(above, hash)| self.find_recursive(above, hash)).collect();
            for slot in found.into_iter().rev() {
                self.take_recursive(slot, receivers);
            }
        }
        name
    }

    /// The slot of a path, if it has recursive watches.
    fn find_recursive(&self, path: &str, hash: PathHash) -> Option<u32> {
        let is_it = |slot| self.paths.get(slot).name.as_deref() == Some(path);
        self.recursive_index.find(hash, is_it)
    }

    /// Takes the receivers of the recursive watches of a path.
    fn take_recursive(&mut self, path: u32, receivers: &mut Vec<ConnectionId>) {
        let mut next = self.paths.get(path).lists[WatchKind::Data as usize].first;
        for _ in 0..self.recursive[&path].count {
            let (at, watch) = (next, *self.watches.get(next));
            next = watch.path_next;
            assert!(
                watch.modes & WatchMode::PersistentRecursive.bit() != 0,
                "the recursive watches of a path come first in its list"
            );
            if !self.take(watch.connection, receivers) {
                self.unlink(at);
            }
        }
    }

    /// Takes a connection as a receiver of the present firing, unless it is one. False: it is gone, and the caller
    /// removes the watch.
    fn take(&mut self, connection: u32, receivers: &mut Vec<ConnectionId>) -> bool {
        let owner = self.connections.get_mut(connection);
        if owner.is_gone {
            self.turn.spend(limits::WATCH_TAKEN_OUT_EVENTS);
            return false;
        }
        if !self.turn.charge(&mut owner.account, 1) {
            self.give_up(connection);
            return true;
        }
        assert!(owner.mark <= self.firings, "no firing is to come");
        if owner.mark != self.firings {
            owner.mark = self.firings;
            receivers.push(owner.id);
        }
        true
    }

    /// The turn has no more for this connection: its watches no longer fire, and its owner hears of it.
    fn give_up(&mut self, connection: u32) {
        let id = self.connections.get(connection).id;
        self.remove_connection(id);
        self.given_up.push(id);
    }

    // ---- what a turn may cost

    /// Begins a turn, in which firings and events may take so many tenths of microseconds.
    pub fn begin_turn(&mut self, per_turn: u32) {
        self.turn.begin(per_turn);
    }

    /// Charges a connection for an event that takes more than a short one does: so many tenths of microseconds. False:
    /// the connection is to be given up.
    pub fn charge(&mut self, connection: ConnectionId, units: u32) -> bool {
        match self.connection_ids.get(&connection) {
            Some(&slot) => self.turn.charge(&mut self.connections.get_mut(slot).account, units),
            // Its last watch has fired.
            None => {
                self.turn.spend(units);
                !self.turn.is_over()
            }
        }
    }

    /// What firings and events have taken in this turn, in tenths of microseconds.
    pub fn spent(&self) -> u64 {
        self.turn.spent()
    }

    /// The connections for whose firings this turn had no more: their watches are gone, and they have missed events.
    pub fn take_given_up(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.given_up)
    }

    /// Whether a change of some node may have so many receivers that its events take enough time to be counted.
    #[inline]
    pub fn may_tell_many(&self) -> bool {
        self.longest > LIST_LONG || !self.recursive.is_empty()
    }

    /// Largest number of watches that a change of a node finds: the recursive ones above it, and, if some node was
    /// watched by many, those of the node and of its parent.
    pub fn found_max(&self, path: &str) -> usize {
        let mut receivers = 0;
        if self.longest > LIST_LONG {
            let parent = path.rfind('/').map_or("", |at| &path[..at.max(1)]);
            let lists = [self.find_path(path), self.find_path(parent)].into_iter().flatten();
            let watched = lists.flat_map(|slot| self.paths.get(slot).lists);
            receivers += watched.map(|list| list.count as usize).sum::<usize>();
        }
        if !self.recursive.is_empty() {
            let root = self.recursive_index.hash_beginnings("/").next();
            let above = self.recursive_index.hash_beginnings(path);
            let above = root.into_iter().chain(above.take(limits::RECURSIVE_WATCH_LEVELS_MAX));
            let found = above.filter_map(|(above, hash)| self.find_recursive(above, hash));
            receivers += found.map(|slot| self.recursive[&slot].count as usize).sum::<usize>();
        }
        receivers
    }
}
