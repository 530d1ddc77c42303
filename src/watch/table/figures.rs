//! What operators ask of the table: counts, lists, bytes.
//!
//! The counts are kept as watches come and go; only `wchc` and `wchp` walk the table. Watches of connections that are
//! gone still count, until they are removed, but are not listed.

use super::{Connection, NONE, Watch, WatchKind, WatchTable, WatchedPath, WatchesFull};
use crate::id::ConnectionId;

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

impl WatchTable {
    /// Number of watches in both tables (`zk_watch_count`).
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Whether there is no watch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For `wchs` (`WatchManager.getWatchesSummary`).
    pub fn counts(&self) -> WatchCounts {
        let watches = self.counts[WatchKind::Data as usize];
        assert!(self.data_paths <= watches, "each of these paths has a watch");
        assert!(self.data_connections <= watches, "each of these connections has a watch");
        WatchCounts { connections: self.data_connections, paths: self.data_paths, watches }
    }

    /// For `wchc` (`WatchManager.getWatches`): each connection with data watches, and their paths, in no particular
    /// order.
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

    /// For `wchp` (`WatchManager.getWatchesByPath`): each path with data watches, and their connections, in no
    /// particular order.
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
            // A path whose watchers are all gone is visited without any.
            let mut present = connections.filter(|owner| !owner.is_gone).map(|owner| owner.id);
            visit(name, &mut present);
        }
    }

    /// Why the last requested watch was refused, for the log. `None`: it was accepted.
    pub fn refused_last(&self) -> Option<WatchesFull> {
        self.refused_last
    }

    /// Bytes that count against `WatchBounds::bytes_max` (`zk_watch_bytes`).
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Bytes that the table takes, without the names of paths and the map of connections: what is allocated, while
    /// `held_bytes` is what is charged.
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
