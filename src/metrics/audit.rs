//! What the audit log could not write: a metric of our own, because ZooKeeper's writes wait for it.

use super::names::{Gauges, Value};

/// Calls `sink` with every such metric.
pub fn each(gauges: &Gauges, sink: &mut dyn FnMut(&str, Value)) {
    for (name, value) in OWN.iter().zip([gauges.audit_dropped]) {
        sink(name, Value::Integer(value));
    }
}

/// Its name: records that were not written since the start, because the disk or the reader of standard output was slow
/// or failed, a turn had too many, or this server has not heard of the outcome of a write.
pub const OWN: &[&str] = &["audit_dropped"];
