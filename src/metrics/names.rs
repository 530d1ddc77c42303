//! ZooKeeper's metrics, in the order of `mntr`, with the source of each value.

use hdrhistogram::Histogram;

use crate::metrics::CertificateDays;
use crate::metrics::process::FileDescriptors;
use crate::proto::OpCode;
use crate::replica::{Latency, Stats};

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(u64),
    /// A number that may be negative: sizes of responses are -1 when there was none.
    Signed(i64),
    /// A mean or a probability.
    Real(f64),
}

/// TLS handshakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandshakeFigures {
    /// Connections whose handshake is not over.
    pub outstanding: u64,
    /// Connections refused because there were too many of those.
    pub exceeded: u64,
    /// Handshakes that failed.
    pub failed: u64,
}

/// Present values, which no reset changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauges {
    /// Nodes of the tree.
    pub znodes: u64,
    /// Watches of all kinds.
    pub watches: u64,
    /// Ephemeral nodes.
    pub ephemerals: u64,
    /// Bytes of all paths and data.
    pub data_bytes: u64,
    /// Sessions of the ensemble.
    pub sessions_global: u64,
    /// Local sessions of this server.
    pub sessions_local: u64,
    /// Client connections.
    pub connections: u64,
    /// The probability that a connecting client is refused at random.
    pub drop_probability: f64,
    /// Requests without a reply yet.
    pub requests_outstanding: u64,
    /// Time since the replica started, in ms.
    pub uptime_ms: u64,
    /// Of the process.
    pub file_descriptors: FileDescriptors,
    /// Connections that were refused because there were too many.
    pub connections_refused: u64,
    /// TLS handshakes of clients.
    pub handshakes: HandshakeFigures,
    /// TLS handshakes with other servers, whose number is bounded otherwise.
    pub link_handshakes: HandshakeFigures,
    /// How long the certificates of this server are valid.
    pub certificate_days: CertificateDays,
    /// Digests of the tree that differed from the one in the transaction.
    pub digest_mismatches: u64,
    /// Whether writes are refused because the disk is full.
    pub disk_is_full: bool,
    /// Records that the audit log could not write.
    pub audit_dropped: u64,
}

/// Calls `sink` with every metric that has a meaning here.
pub fn each(stats: &Stats, gauges: &Gauges, sink: &mut dyn FnMut(&str, Value)) {
    each_gauge(stats, gauges, sink);
    each_counter(stats, gauges, sink);
    each_summary(stats, sink);
}

fn each_gauge(stats: &Stats, gauges: &Gauges, sink: &mut dyn FnMut(&str, Value)) {
    let mut integer = |name: &str, value: u64| sink(name, Value::Integer(value));
    integer("ephemerals_count", gauges.ephemerals);
    integer("num_alive_connections", gauges.connections);
    integer("outstanding_requests", gauges.requests_outstanding);
    integer("znode_count", gauges.znodes);
    integer("global_sessions", gauges.sessions_global);
    integer("local_sessions", gauges.sessions_local);
    integer("packets_sent", stats.packets_sent);
    integer("packets_received", stats.packets_received);
    integer("watch_count", gauges.watches);
    integer("auth_failed_count", stats.auth_failed);
    integer("approximate_data_size", gauges.data_bytes);
    integer("uptime", gauges.uptime_ms);
    integer("outstanding_tls_handshake", gauges.handshakes.outstanding);
    integer("min_latency", stats.latency_ms.min);
    integer("max_latency", stats.latency_ms.max);
    if let Some(open) = gauges.file_descriptors.open {
        integer("open_file_descriptor_count", open);
    }
    if let Some(max) = gauges.file_descriptors.max {
        integer("max_file_descriptor_count", max);
    }
    sink("avg_latency", Value::Real(rounded(stats.latency_ms.average())));
    sink("connection_drop_probability", Value::Real(gauges.drop_probability));
    for (name, bytes) in [
        ("last_client_response_size", stats.response_bytes_last),
        ("max_client_response_size", stats.response_bytes_max),
        ("min_client_response_size", stats.response_bytes_min),
    ] {
        // ZooKeeper: BufferStats starts at -1. No reply is empty, so 0 is "none" here.
        let value = if bytes == 0 { -1 } else { i64::try_from(bytes).unwrap_or(i64::MAX) };
        sink(name, Value::Signed(value));
    }
}

fn each_counter(stats: &Stats, gauges: &Gauges, sink: &mut dyn FnMut(&str, Value)) {
    let ops = |ops: &[OpCode]| -> u64 {
        let counted = |op: &OpCode| OpCode::ALL.iter().position(|known| known == op);
        ops.iter().filter_map(counted).map(|index| stats.requests[index]).sum()
    };
    for (name, value) in [
        ("bytes_received_count", stats.bytes_received),
        ("response_bytes", stats.bytes_sent),
        ("watch_bytes", stats.watch_bytes),
        ("connection_request_count", ops(&[OpCode::CreateSession]) + stats.sessions_reopened),
        ("connection_revalidate_count", stats.sessions_reopened),
        ("connection_rejected", stats.connections_rejected + gauges.connections_refused),
        ("tls_handshake_exceeded", gauges.handshakes.exceeded),
        ("unsuccessful_handshake", gauges.handshakes.failed),
        ("ensemble_auth_success", stats.ensemble_auth.success),
        ("ensemble_auth_fail", stats.ensemble_auth.fail),
        ("ensemble_auth_skip", stats.ensemble_auth.skip),
        ("stale_sessions_expired", stats.sessions_expired),
        ("large_requests_rejected", stats.large_requests_rejected),
        ("digest_mismatches_count", gauges.digest_mismatches),
        ("snapshot_error_count", stats.snapshot_errors),
        ("sync_processor_request_queued", stats.txns_applied),
        ("op_count_add_watch", ops(&[OpCode::AddWatch])),
        ("op_count_check", ops(&[OpCode::Check])),
        ("op_count_check_watches", ops(&[OpCode::CheckWatches])),
        ("op_count_close_session", ops(&[OpCode::CloseSession])),
        (
            "op_count_create",
            ops(&[OpCode::Create, OpCode::Create2, OpCode::CreateContainer, OpCode::CreateTtl]),
        ),
        ("op_count_create_session", ops(&[OpCode::CreateSession])),
        ("op_count_delete", ops(&[OpCode::Delete, OpCode::DeleteContainer])),
        ("op_count_exists", ops(&[OpCode::Exists])),
        ("op_count_get_acl", ops(&[OpCode::GetAcl])),
        ("op_count_get_all_children_number", ops(&[OpCode::GetAllChildrenNumber])),
        ("op_count_get_children", ops(&[OpCode::GetChildren, OpCode::GetChildren2])),
        ("op_count_get_data", ops(&[OpCode::GetData])),
        ("op_count_get_ephemerals", ops(&[OpCode::GetEphemerals])),
        ("op_count_multi", ops(&[OpCode::Multi])),
        ("op_count_multi_read", ops(&[OpCode::MultiRead])),
        ("op_count_ping", ops(&[OpCode::Ping])),
        ("op_count_reconfig", ops(&[OpCode::Reconfig])),
        ("op_count_remove_watches", ops(&[OpCode::RemoveWatches])),
        ("op_count_set_acl", ops(&[OpCode::SetAcl])),
        ("op_count_set_data", ops(&[OpCode::SetData])),
        ("op_count_set_watches", ops(&[OpCode::SetWatches, OpCode::SetWatches2])),
        ("op_count_sync", ops(&[OpCode::Sync])),
        ("op_count_who_am_i", ops(&[OpCode::WhoAmI])),
        ("op_count_total", stats.requests.iter().sum()),
    ] {
        sink(name, Value::Integer(value));
    }
}

fn each_summary(stats: &Stats, sink: &mut dyn FnMut(&str, Value)) {
    distribution("readlatency", &stats.read_latency_us, sink);
    distribution("updatelatency", &stats.update_latency_us, sink);
    summary("fsynctime", &summary_of(&stats.commit_latency_us), 1000, sink);
    summary("snapshottime", &stats.snapshot_ms, 1, sink);
}

/// Mean, minimum, maximum, count and sum (`AvgMinMaxCounter`) of values, each divided by
/// `per_unit`.
pub(super) fn summary(
    name: &str,
    values: &Latency,
    per_unit: u64,
    sink: &mut dyn FnMut(&str, Value),
) {
    let unit = real(per_unit);
    sink(&format!("avg_{name}"), Value::Real(rounded(values.average() / unit)));
    sink(&format!("min_{name}"), Value::Integer(values.min / per_unit));
    sink(&format!("max_{name}"), Value::Integer(values.max / per_unit));
    sink(&format!("cnt_{name}"), Value::Integer(values.count));
    sink(&format!("sum_{name}"), Value::Integer(values.sum / per_unit));
}

/// A summary and its percentiles (`AvgMinMaxPercentileCounter`), of µs shown as ms.
fn distribution(name: &str, us: &Histogram<u64>, sink: &mut dyn FnMut(&str, Value)) {
    let values = summary_of(us);
    summary(name, &values, 1000, sink);
    for (label, percent) in [("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("p999", 99.9)] {
        // A bucket's upper bound may be above every recorded value.
        let value = us.value_at_percentile(percent).min(values.max);
        sink(&format!("{label}_{name}"), Value::Integer(value / 1000));
    }
}

/// Minimum, maximum and mean of a histogram: those of its buckets, accurate to 1 %.
fn summary_of(values: &Histogram<u64>) -> Latency {
    let count = values.len();
    if count == 0 {
        return Latency::default();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of durations, positive; beyond the type it stays at its end"
    )]
    let sum = (values.mean() * real(count)) as u64;
    Latency { count, sum, min: values.min(), max: values.max(), last: 0 }
}

/// A mean as `AvgMinMaxCounter.getAvg` rounds it: four decimals.
pub(crate) fn rounded(mean: f64) -> f64 {
    (mean * 10_000.0).round() / 10_000.0
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn real(value: u64) -> f64 {
    value as f64
}

/// Why a standalone server lacks some metrics that members of an ensemble show.
pub const ENSEMBLES_ALONE: &str = "the ensemble: a standalone server has none of these";

/// The metrics of ZooKeeper that are not shown, by a prefix or the whole of their names after
/// `avg_`, `p50_` and the like, and why. A tool that asks for one finds no line instead of a wrong
/// value.
pub const WITHOUT_MEANING: &[(&str, &[&str])] = &[
    (
        "stages of ZooKeeper's request pipeline that do not exist here",
        &[
            "commit_process_time",
            "concurrent_request_processing_in_commit_processor",
            "commit_commit_proc_req_queued",
            "read_commit_proc_req_queued",
            "write_commit_proc_req_queued",
            "read_commit_proc_issued",
            "write_commit_proc_issued",
            "read_commitproc_time_ms",
            "write_commitproc_time_ms",
            "request_commit_queued",
            "local_write_committed_time_ms",
            "server_write_committed_time_ms",
            "pending_session_queue_size",
            "reads_after_write_in_session_queue",
            "reads_issued_from_session_queue",
            "requests_in_session_queue",
            "session_queues_drained",
            "time_waiting_empty_pool_in_commit_processor_read_ms",
            "write_batch_time_in_commit_processor",
            "requests_not_forwarded_to_commit_processor",
            "prep_processor_queue_size",
            "prep_processor_queue_time_ms",
            "prep_processor_request_queued",
            "sync_processor_queue_size",
            "sync_processor_queue_time_ms",
            "sync_processor_queue_flush_time_ms",
            "sync_process_time",
            "sync_processor_queue_and_flush_time_ms",
            "outstanding_changes_queued",
            "outstanding_changes_removed",
            "proposal_process_time",
            "read_final_proc_time_ms",
            "write_final_proc_time_ms",
            "close_session_prep_time",
            "prep_process_time",
            "propagation_latency",
        ],
    ),
    (
        "request throttling, which has not been built",
        &[
            "request_throttle_queue_time_ms",
            "request_throttle_wait_count",
            "stale_replies",
            "stale_requests",
            "stale_requests_dropped",
            "throttled_ops",
            "connection_token_deficit",
        ],
    ),
    (
        "caches and cleaners that the tree does not need",
        &[
            "add_dead_watcher_stall_time",
            "dead_watchers_queued",
            "dead_watchers_cleared",
            "dead_watchers_cleaner_latency",
            "response_packet_cache_hits",
            "response_packet_cache_misses",
            "response_packet_get_children_cache_hits",
            "response_packet_get_children_cache_misses",
        ],
    ),
    (
        "the Java machine, Netty and the web server",
        &["jvm_pause_time_ms", "netty_queued_buffer_capacity", "insecure_admin_count"],
    ),
    (
        "connections without a certificate, which are not counted apart from the others",
        &["non_mtls_remote_conn_count", "non_mtls_local_conn_count"],
    ),
    (
        ENSEMBLES_ALONE,
        &[
            "commit_count",
            "diff_count",
            "election_time",
            "follower_sync_time",
            "leader_unavailable_time",
            "learner_commit_received_count",
            "learner_proposal_received_count",
            "looking_count",
            "observer_sync_time",
            "proposal_count",
            "snap_count",
            "unavailable_time",
        ],
    ),
    (
        "figures of an ensemble that are not kept",
        &[
            "ack_latency",
            "commit_propagation_latency",
            "inflight_diff_count",
            "inflight_snap_count",
            "learner_handler_qp_size",
            "learner_handler_qp_time_ms",
            "learner_request_processor_queue_size",
            "om_commit_process_time_ms",
            "om_proposal_process_time_ms",
            "proposal_ack_creation_latency",
            "proposal_latency",
            "quit_leading_due_to_disloyal_voter",
            "quorum_ack_latency",
            "revalidate_count",
            "skip_learner_request_to_next_processor_count",
            "cnxn_closed_without_zk_server_running",
        ],
    ),
    (
        "snapshots and restores over HTTP, which have not been built",
        &[
            "restore_error_count",
            "restore_rate_limited_count",
            "restore_time",
            "snapshot_rate_limited_count",
        ],
    ),
    (
        "figures that are not kept",
        &[
            "connection_drop_count",
            "read_per_namespace",
            "write_per_namespace",
            "sessionless_connections_expired",
            "socket_closing_time",
            "unrecoverable_error_count",
            "ttl_node_created_count",
            "ttl_node_deleted_count",
            "dbinittime",
            "startup_snap_load_time",
            "startup_txns_load_time",
            "startup_txns_loaded",
            "node_changed_watch_count",
            "node_children_watch_count",
            "node_created_watch_count",
            "node_deleted_watch_count",
            "sync_processor_batch_size",
        ],
    ),
];
