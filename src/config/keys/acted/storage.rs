//! Rows of the keys about folders, log, snapshots and what is written into them.
//!
//! The defaults are ZooKeeper's, so that a file that relies on them means the same on both servers.
//!
//! ```text
//! a snapshot is due   after snapCount / 2 transactions and a random part of the other half,
//!                     or after as much of snapSizeLimitInKb in bytes of log
//! a log file ends     at preAllocSize, or at txnLogSizeLimitInKb
//! both are removed    by a purge each autopurge.purgeInterval, but for autopurge.snapRetainCount snapshots and
//!                     the logs that these need
//! ```
//! The random part keeps the servers of an ensemble from taking their snapshots at the same time.

use super::super::row::*;
use super::super::{Acted, Fate, Key, Place, Set, Theme, fine, prop_int_or, prop_long};
use crate::config::value::{Below, Form, Kind, interval_ms};

pub(in crate::config::keys) static KEYS: &[Key] = &[
    // ZooKeeper: QuorumPeerConfig.parseProperties. Here: server::beginnings. Required in a file, as there ("dataDir
    // is not set"); a server without a file takes ./ringkeeper-data.
    file(
        Theme::Storage,
        "dataDir",
        Kind::Path,
        "",
        together!(|c| c.storage.data_dir.display().to_string()),
    )
    .about("folder of the snapshots and of myid; required in a file"),
    // ZooKeeper: QuorumPeerConfig.parseProperties. Here: server::beginnings. Both may be one folder; a device
    // of its own makes the log faster.
    file(
        Theme::Storage,
        "dataLogDir",
        Kind::Path,
        "",
        together!(|c| c.storage.data_log_dir.display().to_string()),
    )
    .about("folder of the transaction log; dataDir if not set"),
    // ZooKeeper: FileTxnSnapLog. Here: server::beginnings.
    prop(
        Theme::Storage,
        "datadir.autocreate",
        Kind::Bool,
        "true",
        plain!(Bool, storage.datadir_autocreate),
    )
    .about("create missing folders"),
    // ZooKeeper: FileTxnSnapLog. Here: server::beginnings and RecoveryOptions.
    prop(Theme::Storage, "db.autocreate", Kind::Bool, "true", plain!(Bool, storage.db_autocreate))
        .about(
            "begin a new database in an empty folder; if false, only if a file named initialize \
             is there",
        ),
    // ZooKeeper: ZooKeeperServer.getSnapCount, and SyncRequestProcessor, which draws the random share. Here:
    // txnlog::WriterOptions.
    // ZooKeeper: below 2 it takes 2, because half of it is the bound of a random number.
    prop(Theme::Storage, "snapCount", prop_int_or(2, 2), "100000", number!(storage.snap_count))
        .about(
            "take a snapshot after half as many transactions plus a random share of the other half",
        )
        .unit("transactions"),
    // ZooKeeper: ZooKeeperServer.getSnapSizeInBytes. Here: txnlog::WriterOptions.
    // ZooKeeper: 0 and less switch the limit off, whence the range. The upper end leaves room for the factor 1024.
    prop(
        Theme::Storage,
        "snapSizeLimitInKb",
        prop_long(i64::MIN / 1024),
        "4194304",
        optional!(storage.snap_size_limit_bytes, 0, 1024),
    )
    .about(
        "take a snapshot after half as many bytes of log plus a random share of the other half; 0 \
         or less: no such limit",
    )
    .unit("KiB"),
    // ZooKeeper: FileTxnLog. Here: txnlog::WriterOptions.
    prop(
        Theme::Storage,
        "txnLogSizeLimitInKb",
        prop_long(i64::MIN / 1024),
        "-1",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| {
                c.storage.txn_log_size_limit_bytes =
                    (v > 0).then(|| narrow(v.saturating_mul(1024)));
            }),
            get: |c| {
                c.storage
                    .txn_log_size_limit_bytes
                    .map_or("-1".to_owned(), |v| (v / 1024).to_string())
            },
            about: "close a log file of this size; 0 or less: no such limit",
            verdict: fine,
        }),
    )
    .unit("KiB"),
    // ZooKeeper: FilePadding, whose files grow. Ours do not: every block of a file is written before its use.
    // Read with Long.parseLong, not Long.getLong: it is decimal.
    prop(
        Theme::Storage,
        "preAllocSize",
        Kind::Int { min: 0, max: i64::MAX / 1024, form: Form::Decimal, below: Below::Take(0) },
        "65536",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| c.storage.pre_alloc_bytes = narrow(v.saturating_mul(1024))),
            get: |c| (c.storage.pre_alloc_bytes / 1024).to_string(),
            about: "largest size of a log file, which is prepared ahead of the writes; when it \
             is full, a new file begins. In ZooKeeper one file grows in steps of this \
             size; ZooKeeper also reads many small files",
            verdict: fine,
        }),
    )
    .unit("KiB"),
    // ZooKeeper: FileTxnLog compares with the word "no". Here: txnlog::WriterOptions.
    prop(Theme::Storage, "forceSync", Kind::YesNo, "yes", yes_no!(storage.force_sync))
        .about("make a write durable before it is acknowledged")
        .verdict(force_sync),
    // ZooKeeper: FileTxnLog looks under both names. Here: ReplicaOptions.
    Key::new(
        Theme::Storage,
        Place::PropertyOrBare,
        "fsync.warningthresholdms",
        prop_long(0),
        number!(storage.fsync_warning_threshold_ms),
    )
    .about("warn of log writes slower than this")
    .default("1000")
    .unit("ms"),
    // ZooKeeper: FileTxnSnapLog. Here: RecoveryOptions.
    prop(
        Theme::Storage,
        "snapshot.trust.empty",
        Kind::Bool,
        "false",
        plain!(Bool, storage.snapshot_trust_empty),
    )
    .about(
        "accept a folder with logs and no snapshot; meant for the first start on a folder of a \
         ZooKeeper older than 3.5",
    )
    .verdict(trust_empty),
    // ZooKeeper: ZooKeeperServer. Here: DatabaseOptions, ReplicaOptions and the writing of snapshots.
    prop(
        Theme::Storage,
        "digest.enabled",
        Kind::Bool,
        "true",
        plain!(Bool, storage.digest_enabled),
    )
    .about("keep, log and check digests of the tree"),
    // ZooKeeper: ZooKeeperServer. Here: the writing of snapshots.
    prop(
        Theme::Storage,
        "serializeLastProcessedZxid.enabled",
        Kind::Bool,
        "true",
        plain!(Bool, storage.serialize_last_processed_zxid),
    )
    .about("end a snapshot with the last processed zxid, as 3.9 does"),
    // ZooKeeper: ZooKeeperServer. Here: processor::PrepOptions.
    prop(
        Theme::Storage,
        "closeSessionTxn.enabled",
        Kind::Bool,
        "true",
        plain!(Bool, storage.close_session_txn),
    )
    .about(
        "list the deleted paths in closeSession transactions, as 3.6 and \
             later do",
    ),
    // ZooKeeper: QuorumPeerConfig.parseProperties, DatadirCleanupManager. Here: server::purge.
    // ZooKeeper: PurgeTxnLog refuses fewer than three, so a smaller number counts as 3.
    file(
        Theme::Storage,
        "autopurge.snapRetainCount",
        Kind::Int { min: 3, max: i32::MAX as i64, form: Form::Decimal, below: Below::Take(3) },
        "3",
        number!(storage.snap_retain_count),
    )
    .about("snapshots that a purge keeps, with the logs they need")
    .unit("snapshots"),
    // ZooKeeper: QuorumPeerConfig.parseProperties, DatadirCleanupManager. Here: server::purge. Shown in hours if it
    // is a whole number of them, otherwise in s or ms.
    file(
        Theme::Storage,
        "autopurge.purgeInterval",
        Kind::Interval,
        "0",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| c.storage.purge_interval_ms = interval_ms(v).flatten()),
            get: |c| match c.storage.purge_interval_ms {
                None => "0".to_owned(),
                Some(ms) if ms % 3_600_000 == 0 => (ms / 3_600_000).to_string(),
                Some(ms) if ms % 1000 == 0 => format!("{}s", ms / 1000),
                Some(ms) => format!("{ms}ms"),
            },
            about: "time between two purges; 0 or less: never",
            verdict: fine,
        }),
    ),
];
