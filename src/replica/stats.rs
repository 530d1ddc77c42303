//! What a replica counts about itself, for the four-letter words and the metrics.

use std::net::SocketAddr;

use hdrhistogram::Histogram;

use crate::acl::{AuthFailed, EnsembleName};
use crate::id::{ConnectionId, SessionId, Zxid};
use crate::proto::OpCode;
use crate::time::{MonoUs, WallMs};

/// Counters, which only grow, and a few last values. [`Stats::reset`] (`srst`) clears what ZooKeeper clears.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Frames from clients, connect requests included (`packets_received`).
    pub packets_received: u64,
    /// Frames to clients, events included (`packets_sent`).
    pub packets_sent: u64,
    /// Requests by opcode, indexed as [`OpCode::ALL`].
    pub requests: [u64; OpCode::ALL.len()],
    /// From the arrival of a request to its reply, in ms (`min_latency` … `max_latency`).
    pub latency_ms: Latency,
    /// The same for reads, in µs.
    pub read_latency_us: Histogram<u64>,
    /// The same for writes, in µs.
    pub update_latency_us: Histogram<u64>,
    /// From the submission of a group of transactions to its being durable, in µs.
    pub commit_latency_us: Histogram<u64>,
    /// Size of the last reply of a client, in bytes (`last_client_response_size`).
    pub response_bytes_last: u64,
    /// Smallest reply (`min_client_response_size`).
    pub response_bytes_min: u64,
    /// Largest reply (`max_client_response_size`).
    pub response_bytes_max: u64,
    /// Sum of the bytes of replies and events (`response_bytes`).
    pub bytes_sent: u64,
    /// Bytes of frames from clients (`bytes_received_count`).
    pub bytes_received: u64,
    /// Bytes of events (`watch_bytes`).
    pub watch_bytes: u64,
    /// Events sent, by type 1 to 4: created, deleted, changed, children.
    pub events_fired: [u64; 4],
    /// Transactions applied.
    pub txns_applied: u64,
    /// Bytes of durable groups of the log, their padding included.
    pub log_bytes: u64,
    /// Groups written to the log (`sync_processor_batch_size`'s count).
    pub groups_synced: u64,
    /// Groups that took longer than `fsync.warningthresholdms`.
    pub log_writes_slow: u64,
    /// Connections opened (`connection_request_count`).
    pub connections_opened: u64,
    /// Sessions that were reopened (`connection_revalidate_count`).
    pub sessions_reopened: u64,
    /// Sessions that expired (`stale_sessions_expired`).
    pub sessions_expired: u64,
    /// Connections refused or closed for what they sent (`connection_rejected`).
    pub connections_rejected: u64,
    /// Connections closed because their client did not read.
    pub connections_slow: u64,
    /// Requests that could not be decoded.
    pub requests_malformed: u64,
    /// Watches refused because there were too many.
    pub watches_refused: u64,
    /// Failed `auth` packets (`auth_failed_count`).
    pub auth_failed: u64,
    /// Clients that named the ensemble for which they look.
    pub ensemble_auth: EnsembleAuth,
    /// Large requests refused (`large_requests_rejected`).
    pub large_requests_rejected: u64,
    /// Requests answered with −112 or −118.
    pub session_errors: u64,
    /// Writes refused because the disk is full.
    pub writes_refused_disk_full: u64,
    /// Containers and TTL nodes removed (`container_...`, `ttl_node_deleted_count`).
    pub containers_reaped: u64,
    /// Snapshots written.
    pub snapshots_written: u64,
    /// Durations of snapshots, from the beginning to the name, in ms (`snapshottime`).
    pub snapshot_ms: Latency,
    /// Snapshots given up, e.g. for a full disk (`snapshot_error_count`).
    pub snapshot_errors: u64,
    /// When the replica started.
    pub started: WallMs,
    /// The same by the clock for durations.
    pub started_mono: MonoUs,
}

/// Number, sum and extremes of latencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many latencies there are.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The smallest; 0 when there is none.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// The newest.
    pub last: u64,
}

impl Latency {
    /// Adds a latency.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.sum += value;
        self.count += 1;
        self.last = value;
    }

    /// The mean; 0 when there is none.
    pub fn average(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }
}

/// The low seven bits of an opcode's number, which differ for all opcodes.
const fn low_bits(op: OpCode) -> usize {
    (op.number() & 0x7f).unsigned_abs() as usize
}

const _: () = assert!(OpCode::ALL.len() <= 128, "seven bits tell the opcodes apart");

/// The place of an opcode in [`OpCode::ALL`], by its low bits.
const PLACES: [u8; 128] = {
    let mut places = [0; 128];
    let mut index: u8 = 0;
    while (index as usize) < OpCode::ALL.len() {
        places[low_bits(OpCode::ALL[index as usize])] = index;
        index += 1;
    }
    places
};

/// Latencies over an hour are cut to it: a bound for the memory of a histogram.
const LATENCY_US_MAX: u64 = 3_600_000_000;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("the bounds are in order")
}

/// What became of `auth` packets of the scheme `ensemble`.
// ZooKeeper: EnsembleAuthenticationProvider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnsembleAuth {
    /// The name was one of this ensemble's (`ensemble_auth_success`).
    pub success: u64,
    /// It was another one, and the connection was closed (`ensemble_auth_fail`).
    pub fail: u64,
    /// There was no name, or none to compare it with (`ensemble_auth_skip`).
    pub skip: u64,
}

impl EnsembleAuth {
    pub(super) fn count(&mut self, compared: Result<EnsembleName, AuthFailed>) {
        match compared {
            Ok(EnsembleName::Ours) => self.success += 1,
            Ok(EnsembleName::NotCompared) => self.skip += 1,
            Err(AuthFailed::WrongEnsemble) => self.fail += 1,
            // Without the scheme there is nobody who counts.
            Err(AuthFailed::Refused | AuthFailed::TooMuch) => {}
        }
    }
}

impl Stats {
    /// The counters of a replica that starts now: all are zero.
    pub fn new(wall: WallMs, mono: MonoUs) -> Stats {
        Stats {
            packets_received: 0,
            packets_sent: 0,
            requests: [0; OpCode::ALL.len()],
            latency_ms: Latency::default(),
            read_latency_us: histogram(),
            update_latency_us: histogram(),
            commit_latency_us: histogram(),
            response_bytes_last: 0,
            response_bytes_min: 0,
            response_bytes_max: 0,
            bytes_sent: 0,
            bytes_received: 0,
            watch_bytes: 0,
            events_fired: [0; 4],
            txns_applied: 0,
            log_bytes: 0,
            groups_synced: 0,
            connections_opened: 0,
            sessions_reopened: 0,
            sessions_expired: 0,
            log_writes_slow: 0,
            connections_rejected: 0,
            connections_slow: 0,
            requests_malformed: 0,
            watches_refused: 0,
            auth_failed: 0,
            ensemble_auth: EnsembleAuth::default(),
            large_requests_rejected: 0,
            session_errors: 0,
            writes_refused_disk_full: 0,
            containers_reaped: 0,
            snapshots_written: 0,
            snapshot_ms: Latency::default(),
            snapshot_errors: 0,
            started: wall,
            started_mono: mono,
        }
    }

    #[inline]
    pub(super) fn count_request(&mut self, op: OpCode) {
        self.requests[usize::from(PLACES[low_bits(op)])] += 1;
    }

    /// Counts reads that were answered in the turn in which they arrived: by the replica's clock no time passed.
    pub(super) fn record_prompt_reads(&mut self, count: u64) {
        assert!(count > 0, "the caller has counted a read");
        self.read_latency_us.record_n(0, count).expect("0 is within the bounds");
        self.latency_ms.record(0);
        self.latency_ms.count += count - 1;
    }

    pub(super) fn record_read(&mut self, us: u64) {
        self.read_latency_us.saturating_record(us);
    }

    pub(super) fn record_group(&mut self, us: u64) {
        self.commit_latency_us.saturating_record(us);
        self.groups_synced += 1;
    }

    pub(super) fn record_update(&mut self, us: u64) {
        self.update_latency_us.saturating_record(us);
    }

    /// Clears what `srst` clears: everything but failed authentications and the start.
    // ZooKeeper: ServerStats.reset and ServerMetrics.resetAll.
    pub fn reset(&mut self) {
        let auth_failed = self.auth_failed;
        *self = Stats::new(self.started, self.started_mono);
        self.auth_failed = auth_failed;
    }

    #[inline]
    pub(super) fn record_response(&mut self, bytes: u64) {
        if self.response_bytes_min == 0 || bytes < self.response_bytes_min {
            self.response_bytes_min = bytes;
        }
        self.response_bytes_last = bytes;
        self.response_bytes_max = self.response_bytes_max.max(bytes);
        self.bytes_sent += bytes;
    }
}

/// What the four-letter words `cons` and `stat` say about one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// The server's number for the connection.
    pub conn: ConnectionId,
    /// The client's address.
    pub remote: SocketAddr,
    /// The connection's session. `None`: there is none yet.
    pub session: Option<SessionId>,
    /// The session's timeout.
    pub timeout_ms: i32,
    /// When the connection was opened.
    pub established: WallMs,
    /// Requests not yet answered.
    pub queued: usize,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Short name of the last operation (`PING`, `GETD` …; `NA` before the first).
    pub last_op: &'static str,
    /// The last request's xid.
    pub last_cxid: i32,
    /// The zxid in the last reply.
    pub last_zxid: Zxid,
    /// When the last reply was made.
    pub last_response: WallMs,
    /// Latencies in ms.
    pub latency_ms: Latency,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_opcode_is_counted_in_its_own_place() {
        for (index, &op) in OpCode::ALL.iter().enumerate() {
            assert_eq!(usize::from(PLACES[low_bits(op)]), index, "{op:?}");
        }
    }
}
