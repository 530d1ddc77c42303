//! Watches: which connection watches which path.

mod table;

pub use table::{
    WatchBounds, WatchCounts, WatchKind, WatchMode, WatchTable, WatcherType, WatchesFull,
};
