//! Watches: which connection watches which path.

mod table;
mod turn;

pub use table::{
    WatchBounds, WatchCounts, WatchKind, WatchMode, WatchTable, WatcherType, WatchesFull,
};
