//! Watches: which connection wants to know about which path.

mod table;

pub use table::{
    WatchBounds, WatchCounts, WatchKind, WatchMode, WatchTable, WatcherType, WatchesFull,
};
