//! Watches: which connection watches which path.

mod mode;
mod table;
mod turn;

pub use mode::{WatchKind, WatchMode, WatcherType};
pub use table::{WatchBounds, WatchCounts, WatchTable, WatchesFull};
