//! placeholder
use crate::id::ConnectionId;
use crate::proto::event::EventType;
use std::rc::Rc;

/// How long a watch lives and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchMode {
    /// Fires once.
    Standard,
    /// Fires until removed.
    Persistent,
    /// Fires until removed, for the whole subtree; lives among the data watches only.
    PersistentRecursive,
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
    /// Every kind.
    Any,
    /// Persistent.
    Persistent,
    /// Persistent recursive.
    PersistentRecursive,
}

impl WatcherType {
    /// The type with this number on the wire, 1 to 5.
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
}

/// The figures of `wchs`: data watches only, as ZooKeeper counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WatchCounts {
    /// Connections that have a data watch.
    pub connections: usize,
    /// Paths that have a data watch.
    pub paths: usize,
    /// Data watches.
    pub watches: usize,
}

/// Every watch of this server.
#[derive(Debug, Default)]
pub struct WatchTable {}

impl WatchTable {
    /// Without watches.
    pub fn new() -> WatchTable {
        todo!()
    }
    /// Adds a standard watch of one kind (exists, getData: Data; getChildren: Child); false if it was there.
    pub fn add(&mut self, path: &str, connection: ConnectionId, kind: WatchKind) -> bool {
        todo!()
    }
    /// Adds as `addWatch` does: persistent ones to both tables, recursive ones to the data table.
    pub fn add_mode(&mut self, path: &str, connection: ConnectionId, mode: WatchMode) -> bool {
        todo!()
    }
    /// Removes; true if there was one.
    pub fn remove(&mut self, path: &str, connection: ConnectionId, wanted: WatcherType) -> bool {
        todo!()
    }
    /// Whether there is one.
    pub fn contains(&self, path: &str, connection: ConnectionId, wanted: WatcherType) -> bool {
        todo!()
    }
    /// The connection is gone.
    pub fn remove_connection(&mut self, connection: ConnectionId) {
        todo!()
    }
    /// Number of watches in both tables (`zk_watch_count`).
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// For `wchs`.
    pub fn counts(&self) -> WatchCounts {
        todo!()
    }
    /// For `wchc`: data watches by connection.
    pub fn for_each_connection(
        &self,
        _visit: &mut dyn FnMut(ConnectionId, &mut dyn Iterator<Item = &str>),
    ) {
        todo!()
    }
    /// For `wchp`: data watches by path.
    pub fn for_each_path(
        &self,
        _visit: &mut dyn FnMut(&str, &mut dyn Iterator<Item = ConnectionId>),
    ) {
        todo!()
    }
    /// Fires; used by the database.
    pub fn trigger(
        &mut self,
        path: &str,
        event: EventType,
        kind: WatchKind,
    ) -> Option<(Rc<str>, Vec<ConnectionId>)> {
        todo!()
    }
}
