//! How often, and for how long, the server stalled: metrics of our own, because ZooKeeper has none with
//! this meaning. `server::stalls` decides what a stall is.

use super::names::{Value, summary};
use crate::replica::Latency;

/// Counted since the start, or since `srst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// Their lengths, in ms.
    pub ms: Latency,
    /// Those in which the system did not let the server run, for the largest part of the time.
    pub held_off: u64,
    /// Those in which it waited in the kernel, for memory, a disk or a lock. All others were its own work.
    pub waiting: u64,
}

impl Stalls {
    /// Counts a stall in which the server was held off, or waited.
    pub fn record(&mut self, ms: u64, held_off: bool, waiting: bool) {
        assert!(!(held_off && waiting), "a stall has one largest part");
        self.ms.record(ms);
        self.held_off += u64::from(held_off);
        self.waiting += u64::from(waiting);
    }
}

/// Calls `sink` with every metric of stalls.
pub fn each(stalls: &Stalls, sink: &mut dyn FnMut(&str, Value)) {
    summary("stall_time_ms", &stalls.ms, 1, sink);
    sink("stalls_held_off", Value::Integer(stalls.held_off));
    sink("stalls_waiting", Value::Integer(stalls.waiting));
}

/// Their names, without the prefixes of a summary.
pub const OWN: &[&str] = &["stall_time_ms", "stalls_held_off", "stalls_waiting"];
