//! How often, and for how long, the server stood still: figures of our own, for ZooKeeper has none
//! that mean the same. What a stall is, `server::stalls` decides.

use super::names::{Value, summary};
use crate::replica::Latency;

/// Counted since the start, or since `srst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// Their lengths, in ms.
    pub ms: Latency,
    /// Those in which the system did not let the server run for most of the time; the others were
    /// its own work.
    pub held_off: u64,
}

impl Stalls {
    /// One more.
    pub fn record(&mut self, ms: u64, held_off: bool) {
        self.ms.record(ms);
        self.held_off += u64::from(held_off);
    }
}

/// Calls `sink` with every metric of stalls.
pub fn each(stalls: &Stalls, sink: &mut dyn FnMut(&str, Value)) {
    summary("stall_time_ms", &stalls.ms, 1, sink);
    sink("stalls_held_off", Value::Integer(stalls.held_off));
}

/// Their names, without what a summary puts in front.
pub const OWN: &[&str] = &["stall_time_ms", "stalls_held_off"];
