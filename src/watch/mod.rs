//! Watches: which connection watches which path.
//!
//! Reads set watches (`processor::read`); `Database::apply` fires them; `replica::commit` writes the events before
//! any reply that shows the change. This module knows neither events nor buffers: it answers which connections hear
//! of a change of a path.
//!
//! A watch belongs to a connection, not to a session: when a connection ends, its watches end, and the client sets
//! them again with setWatches. Watches are not replicated and not on disk.

// What a watch covers; all watches; what they may cost in a turn.
mod mode;
mod table;
mod turn;

pub use mode::{WatchKind, WatchMode, WatcherType};
pub use table::{WatchBounds, WatchCounts, WatchTable, WatchesFull};
