//! Whether the disk has room for writes: metrics of our own, because ZooKeeper stops when the disk is
//! full.

use super::names::{Gauges, Value};
use crate::replica::Stats;

/// Calls `sink` with every such metric.
pub fn each(stats: &Stats, gauges: &Gauges, sink: &mut dyn FnMut(&str, Value)) {
    let values = [u64::from(gauges.disk_is_full), stats.writes_refused_disk_full];
    for (name, value) in OWN.iter().zip(values) {
        sink(name, Value::Integer(value));
    }
}

/// Their names: 1 while writes are refused because the disk is full, otherwise 0; and the refused
/// requests, since the start or since `srst`.
pub const OWN: &[&str] = &["disk_full", "writes_refused_disk_full"];
