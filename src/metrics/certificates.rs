//! How long the certificates of this server are valid: metrics of our own, because ZooKeeper counts no days.

use super::names::{Gauges, Value};

/// Whole days until a certificate of this server expires, negative once it has; `None` where no store is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateDays {
    /// Of the one that clients see.
    pub clients: Option<i64>,
    /// Of the one that other servers see.
    pub servers: Option<i64>,
}

/// Calls `sink` with every such metric.
pub fn each(gauges: &Gauges, sink: &mut dyn FnMut(&str, Value)) {
    let CertificateDays { clients, servers } = gauges.certificate_days;
    for (name, days) in OWN.iter().zip([clients, servers]) {
        if let Some(days) = days {
            sink(name, Value::Signed(days));
        }
    }
}

/// Their names.
pub const OWN: &[&str] = &["client_tls_certificate_days_left", "quorum_tls_certificate_days_left"];
