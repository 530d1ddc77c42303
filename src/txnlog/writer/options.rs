//! How the log is written, and when a snapshot is due.

use crate::io::BUFFER_ALIGNMENT;
use crate::limits;

/// How the log is written.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// The disk's logical block: groups end on its multiples. A power of two, 512 to 4096.
    pub block_bytes: usize,
    /// Size of a segment, at most (`preAllocSize`); raised if it could not hold the largest group.
    pub segment_bytes: u64,
    /// Size of a segment, at least, with the same exception. In between, a segment has the size of the
    /// log between two snapshots.
    pub segment_bytes_min: u64,
    /// Capacity of each of the two group buffers.
    pub group_bytes_max: usize,
    /// Longest transaction that is accepted.
    pub txn_bytes_max: usize,
    /// Whether a write is durable before it counts (`forceSync`).
    pub sync: bool,
    /// `snapCount`: a snapshot is due after half of it, and a random part of the other half.
    pub snap_count: u64,
    /// `snapSizeLimitInKb` in bytes, used like `snap_count`; 0 for none.
    pub snap_bytes: u64,
    /// A snapshot that is due by `snap_count` waits until the log after the last snapshot has this
    /// share of that snapshot's bytes, in per cent: writing a large tree again and again would cost the
    /// disk many times what the log costs, and a log shorter than the snapshot is read in less time.
    // ZooKeeper: SyncRequestProcessor.shouldSnapshot has no such rule.
    pub snapshot_share_percent: u64,
    /// A snapshot smaller than this does not wait: the zeroes of a new segment cost as much.
    pub snapshot_bytes_cheap: u64,
    /// `txnLogSizeLimitInKb` in bytes: a file that has grown beyond it gets no more groups.
    pub log_bytes_max: Option<u64>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            block_bytes: BUFFER_ALIGNMENT,
            segment_bytes: 64 << 20,
            segment_bytes_min: 16 << 20,
            group_bytes_max: limits::LOG_GROUP_BYTES,
            txn_bytes_max: limits::FRAME_BYTES_MAX as usize + limits::TXN_EXTRA_BYTES_MAX as usize,
            sync: true,
            snap_count: 100_000,
            snap_bytes: 4 << 30,
            snapshot_share_percent: 50,
            snapshot_bytes_cheap: 16 << 20,
            log_bytes_max: None,
        }
    }
}

impl WriterOptions {
    /// Bytes of log required before another snapshot, if the last one has `snapshot_bytes`.
    pub(super) fn log_bytes_worth(&self, snapshot_bytes: u64) -> u64 {
        if snapshot_bytes < self.snapshot_bytes_cheap {
            return 0;
        }
        snapshot_bytes / 100 * self.snapshot_share_percent
    }
}

/// When a snapshot is due (`SyncRequestProcessor.shouldSnapshot`).
pub(super) struct SnapshotRule {
    /// Transactions logged since the last snapshot began.
    pub txns: u64,
    /// Their bytes.
    pub bytes: u64,
    /// A snapshot is due after more transactions than this.
    txns_max: u64,
    /// Below this number of bytes `txns_max` does not count.
    pub bytes_min: u64,
    /// A snapshot is due after more bytes than this, whatever the rest says; `None`: however many there are.
    bytes_max: Option<u64>,
}

impl SnapshotRule {
    pub fn new(options: &WriterOptions, snapshot_bytes: u64, random: u64) -> SnapshotRule {
        // ZooKeeper: half of the limit and a random part of the other half, so that not all
        // servers of an ensemble take a snapshot at once.
        let limit = |whole: u64, random: u64| {
            let half = whole / 2;
            half + random.checked_rem(half).unwrap_or(0)
        };
        SnapshotRule {
            txns: 0,
            bytes: 0,
            txns_max: limit(options.snap_count, random),
            bytes_min: options.log_bytes_worth(snapshot_bytes),
            bytes_max: (options.snap_bytes > 0).then(|| limit(options.snap_bytes, random >> 16)),
        }
    }

    pub fn is_due(&self) -> bool {
        (self.txns > self.txns_max && self.bytes >= self.bytes_min)
            || self.bytes_max.is_some_and(|max| self.bytes > max)
    }
}
