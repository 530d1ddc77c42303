//! What client connections hold of the process's memory: figures of our own, for ZooKeeper has no bound
//! on it.

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
}

/// Calls `sink` with every metric of it.
pub fn each(held: &Held, sink: &mut dyn FnMut(&str, Value)) {
    for (name, value) in
        OWN.iter().zip([held.bytes, held.bytes_max, held.closed, held.closed_bytes])
    {
        sink(name, Value::Integer(value));
    }
}

/// Their names.
pub const OWN: &[&str] = &[
    "connection_memory_bytes",
    "connection_memory_bytes_max",
    "connections_closed_for_memory",
    "connections_closed_for_memory_bytes",
];
