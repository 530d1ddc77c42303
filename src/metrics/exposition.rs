//! The metrics as text for Prometheus, under ZooKeeper's own names (`PrometheusMetricsProvider`).
//!
//! ```text
//! # HELP readlatency readlatency
//! # TYPE readlatency summary
//! readlatency{quantile="0.5",} 0.021
//! readlatency_count 1234
//! readlatency_sum 33.0
//! ```
//! What `mntr` shows as `avg_`, `min_`, `max_`, `cnt_` and `sum_` is one summary here, as there. ZooKeeper computes
//! quantiles over the last minute, and Ringkeeper since the start or the last reset.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::names::{Value, rounded};
use crate::replica::Stats;

/// The format of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names of values that may fall; those of all others only rise, until a reset.
// ZooKeeper: what it registers as a gauge is one here, although packets_received and auth_failed_count only rise.
const GAUGES: &[&str] = &[
    "approximate_data_size",
    "auth_failed_count",
    "avg_latency",
    "client_tls_certificate_days_left",
    "config_version",
    "connection_drop_probability",
    "connection_memory_bytes",
    "connection_memory_bytes_max",
    "current_epoch",
    "disk_full",
    "ephemerals_count",
    "global_sessions",
    "last_client_response_size",
    "last_proposal_size",
    "leader_uptime",
    "learners",
    "local_sessions",
    "max_client_response_size",
    "max_file_descriptor_count",
    "max_latency",
    "max_proposal_size",
    "min_client_response_size",
    "min_latency",
    "min_proposal_size",
    "num_alive_connections",
    "open_file_descriptor_count",
    "outstanding_requests",
    "outstanding_tls_handshake",
    "packets_received",
    "packets_sent",
    "pending_syncs",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
    "proposals_outstanding",
    "quorum_size",
    "quorum_tls_certificate_days_left",
    "quorum_tls_handshakes_outstanding",
    "reconfig_acknowledged",
    "reconfig_elapsed_ms",
    "reconfig_in_progress",
    "reconfig_version",
    "reconfig_voters",
    "synced_followers",
    "synced_non_voting_followers",
    "synced_observers",
    "syncs_running_diff",
    "syncs_running_snap",
    "uptime",
    "watch_count",
    "watch_memory_bytes",
    "watch_memory_bytes_max",
    "znode_count",
];

/// What `mntr` puts before the name of a summary.
const PARTS: [&str; 9] = ["avg_", "min_", "max_", "cnt_", "sum_", "p50_", "p95_", "p99_", "p999_"];

/// A quantile of a summary, in the unit of its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// The name of the summary.
    pub name: &'static str,
    /// Between 0 and 1, as a label.
    pub of: &'static str,
    /// The value.
    pub value: f64,
}

/// The quantiles of what is kept as a histogram, in ms.
pub fn quantiles(stats: &Stats) -> Vec<Quantile> {
    let histograms = [
        ("readlatency", &stats.read_latency_us),
        ("updatelatency", &stats.update_latency_us),
        ("fsynctime", &stats.commit_latency_us),
    ];
    let quantiles = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99), ("0.999", 0.999)];
    let mut found = Vec::new();
    for (name, histogram) in histograms.into_iter().filter(|(_, it)| !it.is_empty()) {
        for (of, quantile) in quantiles {
            // A bucket's upper bound may be above every recorded value.
            let us = histogram.value_at_quantile(quantile).min(histogram.max());
            #[expect(clippy::cast_precision_loss, reason = "a duration in µs")]
            found.push(Quantile { name, of, value: us as f64 / 1000.0 });
        }
    }
    found
}

/// The text of these values, whose names are those of `mntr` without `zk_`; only of the metrics in `wanted`, unless
/// that is empty.
pub fn exposition(values: &[(String, Value)], quantiles: &[Quantile], wanted: &[String]) -> String {
    // A part of a summary has its count beside it. `max_latency` and the like have none, and stand for themselves.
    let counts: BTreeMap<&str, ()> =
        values.iter().filter_map(|(name, _)| Some((name.strip_prefix("cnt_")?, ()))).collect();
    let summary_of = |name: &str| {
        let of = PARTS.iter().find_map(|part| name.strip_prefix(part))?;
        counts.contains_key(of).then(|| of.to_owned())
    };
    let is_wanted = |name: &str| {
        wanted.is_empty()
            || wanted.iter().any(|it| {
                it.strip_prefix(name).is_some_and(|rest| ["", "_count", "_sum"].contains(&rest))
            })
    };
    let mut out = String::new();
    for (name, value) in values {
        match summary_of(name) {
            None if is_wanted(name) => {
                let kind = if GAUGES.contains(&name.as_str()) { "gauge" } else { "counter" };
                head(&mut out, name, kind);
                line(&mut out, name, *value);
            }
            // A summary stands where its count does.
            Some(of) if name.starts_with("cnt_") && is_wanted(&of) => {
                head(&mut out, &of, "summary");
                for Quantile { of: quantile, value, .. } in
                    quantiles.iter().filter(|it| it.name == of)
                {
                    let label = format!("{of}{{quantile=\"{quantile}\",}}");
                    line(&mut out, &label, Value::Real(rounded(*value)));
                }
                line(&mut out, &format!("{of}_count"), *value);
                let sum = format!("sum_{of}");
                if let Some((_, sum)) = values.iter().find(|(name, _)| *name == sum) {
                    line(&mut out, &format!("{of}_sum"), *sum);
                }
            }
            None | Some(_) => {}
        }
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str) {
    writeln!(out, "# HELP {name} {name}\n# TYPE {name} {kind}").expect("a string takes everything");
}

fn line(out: &mut String, name: &str, value: Value) {
    // Java writes each value as a double: `5.0`.
    match value {
        Value::Integer(value) => writeln!(out, "{name} {value}.0"),
        Value::Signed(value) => writeln!(out, "{name} {value}.0"),
        Value::Real(value) => writeln!(out, "{name} {value:?}"),
    }
    .expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{MonoUs, WallMs};

    fn named(name: &str, value: u64) -> (String, Value) {
        (name.to_owned(), Value::Integer(value))
    }

    #[test]
    fn parts_of_a_summary_are_one_metric_and_other_names_with_such_a_beginning_are_not() {
        let values = [
            named("max_latency", 5),
            named("connection_rejected", 7),
            ("avg_fsynctime".to_owned(), Value::Real(2.5)),
            named("min_fsynctime", 1),
            named("max_fsynctime", 4),
            named("cnt_fsynctime", 2),
            named("sum_fsynctime", 5),
            ("connection_drop_probability".to_owned(), Value::Real(0.0)),
        ];
        let quantiles = [Quantile { name: "fsynctime", of: "0.5", value: 1.25 }];
        assert_eq!(
            exposition(&values, &quantiles, &[]),
            "# HELP max_latency max_latency\n# TYPE max_latency gauge\nmax_latency 5.0\n\
             # HELP connection_rejected connection_rejected\n# TYPE connection_rejected counter\n\
             connection_rejected 7.0\n\
             # HELP fsynctime fsynctime\n# TYPE fsynctime summary\n\
             fsynctime{quantile=\"0.5\",} 1.25\nfsynctime_count 2.0\nfsynctime_sum 5.0\n\
             # HELP connection_drop_probability connection_drop_probability\n\
             # TYPE connection_drop_probability gauge\nconnection_drop_probability 0.0\n"
        );
        let only = exposition(&values, &quantiles, &["fsynctime_count".to_owned()]);
        assert!(only.contains("fsynctime_sum 5.0") && !only.contains("max_latency"), "{only}");
        assert_eq!(exposition(&values, &quantiles, &["fsync".to_owned()]), "");
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded_and_a_histogram_without_values_has_none() {
        let mut stats = Stats::new(WallMs(0), MonoUs(0));
        assert_eq!(quantiles(&stats), []);
        for us in 1..=1000 {
            stats.read_latency_us.record(us).unwrap();
        }
        let found = quantiles(&stats);
        let values: Vec<_> = found.iter().map(|it| (it.name, it.of, rounded(it.value))).collect();
        assert_eq!(values.len(), 4, "{values:?}");
        assert!((0.49..0.52).contains(&found[0].value), "{values:?}");
        assert!((0.98..=1.0).contains(&found[2].value), "{values:?}");
    }
}
