//! The memory that connections and watches hold: metrics of our own, because ZooKeeper does not bound it.

use super::names::Value;

/// The present figures, and those since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of unread replies and events, and of unanswered requests.
    pub bytes: u64,
    /// The bound (`ringkeeper.connectionMemoryMax`).
    pub bytes_max: u64,
    /// Connections closed because of the bound.
    pub closed: u64,
    /// Bytes that they held.
    pub closed_bytes: u64,
    /// Bytes of all watches.
    pub watches: u64,
    /// The bound (`ringkeeper.watchMemoryMax`).
    pub watches_max: u64,
    /// Watches that were refused because there were too many.
    pub watches_refused: u64,
}

/// Calls `sink` with every such metric.
pub fn each(held: &Held, sink: &mut dyn FnMut(&str, Value)) {
    let values = [
        held.bytes,
        held.bytes_max,
        held.closed,
        held.closed_bytes,
        held.watches,
        held.watches_max,
        held.watches_refused,
    ];
    for (name, value) in OWN.iter().zip(values) {
        sink(name, Value::Integer(value));
    }
}

/// Their names.
pub const OWN: &[&str] = &[
    "connection_memory_bytes",
    "connection_memory_bytes_max",
    "connections_closed_for_memory",
    "connections_closed_for_memory_bytes",
    "watch_memory_bytes",
    "watch_memory_bytes_max",
    "watches_refused",
];
