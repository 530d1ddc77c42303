//! Whether the disk has room for writes: figures of our own. ZooKeeper stops where it has none.

use super::names::{Gauges, Value};
use crate::replica::Stats;

/// Calls `sink` with every metric of it.
pub fn each(stats: &Stats, gauges: &Gauges, sink: &mut dyn FnMut(&str, Value)) {
    let values = [u64::from(gauges.disk_is_full), stats.writes_refused_disk_full];
    for (name, value) in OWN.iter().zip(values) {
        sink(name, Value::Integer(value));
    }
}

/// Their names: 1 while writes are refused for want of room, else 0; and the requests that were, since the
/// start or since `srst`.
pub const OWN: &[&str] = &["disk_full", "writes_refused_disk_full"];
