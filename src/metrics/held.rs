//! What clients hold of the process's memory, in their connections and as watches: figures of our own, for
//! ZooKeeper has no bound on it.

use super::names::Value;

/// As it is now, and what was done about it since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of replies and events that nobody has read, and of requests that are not answered.
    pub bytes: u64,
    /// What that may be (`ringkeeper.connectionMemoryMax`).
    pub bytes_max: u64,
    /// Connections closed because it was too much.
    pub closed: u64,
    /// What they held, in bytes.
    pub closed_bytes: u64,
    /// Bytes of all watches.
    pub watches: u64,
    /// What that may be (`ringkeeper.watchMemoryMax`).
    pub watches_max: u64,
    /// Watches that were refused, for there were too many.
    pub watches_refused: u64,
}

/// Calls `sink` with every metric of it.
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
