//! TLS handshakes with other servers: metrics of our own, because ZooKeeper counts none of them.

use super::names::{Gauges, Value};

/// Calls `sink` with every such metric.
pub fn each(gauges: &Gauges, sink: &mut dyn FnMut(&str, Value)) {
    let figures = &gauges.link_handshakes;
    for (name, value) in OWN.iter().zip([figures.outstanding, figures.failed]) {
        sink(name, Value::Integer(value));
    }
}

/// Their names: connections whose handshake is not over, and handshakes that failed since the start. Both are 0 without
/// TLS between servers.
pub const OWN: &[&str] = &["quorum_tls_handshakes_outstanding", "quorum_tls_handshakes_failed"];
