//! Watches: which connection wants to know about which path.

mod table;
mod turn;

pub use table::{
    WatchBounds, WatchCounts, WatchKind, WatchMode, WatchTable, WatcherType, WatchesFull,
};
