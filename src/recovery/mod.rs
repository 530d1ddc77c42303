//! Rebuilds the state from a data folder: the newest snapshot that can be read, and the logs after it
//! (`FileTxnSnapLog.restore`, `QuorumPeer.loadDataBase`).
//!
//! Recovery waits for the disk, as nothing else in the core does: it runs before there is a replica, or while the
//! replica stands still. It opens no file itself, but calls a [`Folder`], which the edge implements with files and the
//! simulation in memory.
//!
//! A server claims nothing that its folder does not prove: with an epoch but without the history of that epoch it would
//! win elections against servers that have the history.
//!
//! Recovery repairs only what no acknowledged transaction can depend on: it cuts off a torn tail, so that ZooKeeper
//! could take over the folder as it is, and it removes files that an earlier run left unfinished. Everything else that
//! is wrong is an error, which says where the problem is and what to do. Recovery changes nothing before it has read
//! everything.
//!
//! The log continues in a new file. The rule that is easy to break: a folder has a snapshot before it has a log,
//! because a log without a snapshot is refused, as in ZooKeeper. So an empty folder gets its `snapshot.0` at once.

#[cfg(test)]
mod crash;
mod empty;
mod epochs;
mod error;
mod files;
mod folder;
mod history;
mod replay;
mod snapshots;
#[cfg(test)]
mod tests;
mod truncate;

use std::collections::VecDeque;

pub use epochs::Epochs;
pub use error::RecoveryError;
use files::Files;
pub use folder::{FileInfo, Folder, LogEntries, MemoryFolder, ReadSeek};
pub use history::{log_read_bytes_max, read_txns};
pub(crate) use snapshots::{DAMAGED_BEGINNING, look_at};
use snapshots::{Loaded, Unusable};
pub use truncate::{discard_after, truncate};

use crate::database::{Database, DatabaseOptions};
use crate::id::Zxid;
use crate::io::Place;
use crate::planted::{self, PlantedBug};
use crate::proto::txn::Txn;
use crate::txnlog::plan;

/// Options of recovery. Names in brackets are ZooKeeper's keys.
#[derive(Clone, Debug)]
pub struct RecoveryOptions {
    /// Options of the database.
    pub database: DatabaseOptions,
    /// Whether logs without any snapshot are replayed from nothing (`snapshot.trust.empty`).
    pub trust_empty: bool,
    /// Whether an empty folder is a new, empty database (`db.autocreate`).
    pub autocreate: bool,
    /// Whether the server is a member of an ensemble: then it reads, creates and checks the epoch files, and leaves
    /// sessions to the leader.
    pub ensemble: bool,
    /// Whether recovery continues where transactions are missing in the middle of the log.
    pub allow_gaps: bool,
    /// How many of the last transactions are kept for followers that lag a little; 0: none.
    pub recent_txns_max: usize,
    /// A bug that is switched on; only in a build for tests.
    pub planted: Option<PlantedBug>,
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        RecoveryOptions {
            database: DatabaseOptions::default(),
            trust_empty: false,
            autocreate: true,
            ensemble: false,
            allow_gaps: false,
            recent_txns_max: 0,
            planted: None,
        }
    }
}

/// The state that a folder holds, after the repairs.
#[derive(Debug)]
pub struct Recovered {
    /// The tree, the sessions and the ACLs.
    pub database: Database,
    /// The last transaction in it; -1 if the folder may have lost its data: then the server may not vote.
    pub zxid: Zxid,
    /// The epochs.
    ///
    /// Invariant: `None` exactly for a standalone server.
    pub epochs: Option<Epochs>,
    /// The zxid of the snapshot from which replay began; `None`: there was none.
    pub snapshot: Option<Zxid>,
    /// The number of transactions replayed after the snapshot.
    pub txns: u64,
    /// Whether transactions are missing between those that were replayed
    /// ([`RecoveryOptions::allow_gaps`]): each start finds the same gaps until there is a later snapshot.
    pub gaps: bool,
    /// The last transactions, oldest first, without a gap and each zxid once; at most
    /// [`RecoveryOptions::recent_txns_max`].
    pub recent: VecDeque<Txn>,
    /// Lines for warnings: what recovery skipped or cut, and what is lost.
    pub notes: Vec<String>,
    /// Lines about what an operator may want to know, and need not act on.
    pub news: Vec<String>,
}

/// The progress of recovery, reported now and then.
#[derive(Clone, Copy, Debug)]
pub enum RecoveryProgress<'a> {
    /// Reading a snapshot.
    Snapshot {
        /// The file.
        name: &'a str,
        /// Uncompressed bytes read so far.
        bytes: u64,
        /// Nodes read so far.
        nodes: u64,
    },
    /// Replaying a log.
    Log {
        /// The file.
        name: &'a str,
        /// Bytes read so far.
        bytes: u64,
        /// The size of the file.
        bytes_total: u64,
        /// Transactions replayed so far, from all files.
        txns: u64,
    },
}

/// Reads the folder, repairs what may be repaired, and returns the state that it holds. `progress` is called now and
/// then, and may do nothing.
///
/// # Errors
/// See [`RecoveryError`]. After an error other than [`RecoveryError::Io`], every log and every snapshot is as it was.
pub fn recover(
    folder: &dyn Folder,
    options: &RecoveryOptions,
    progress: &mut dyn FnMut(RecoveryProgress<'_>),
) -> Result<Recovered, RecoveryError> {
    // First everything is read and judged; only `empty::begin` and what follows it changes the folder.
    let files = Files::list(folder)?;
    let (mut notes, mut news) = (Vec::new(), Vec::new());
    notes.extend(files.foreign_note(folder.logs_apart()));
    let Loaded { found, name, unusable } =
        snapshots::load_snapshot(folder, &files, options, progress)?;
    notes.extend(unusable.iter().map(Unusable::note));
    let logs = plan::logs(files.logs.iter().map(|file| file.name.as_str()));

    let (database, snapshot) = match found {
        Some((database, zxid)) => (database, Some(zxid)),
        None => (Database::new(options.database), None),
    };
    // ZooKeeper: FileTxnSnapLog.restore. Without a snapshot the beginning of the log may have been purged, and
    // nothing would show it.
    if snapshot.is_none()
        && !options.trust_empty
        && let Some(name) = replay::first_with_entries(folder, &logs)?
    {
        return Err(RecoveryError::NoSnapshot { file: folder.describe(Place::Logs, name) });
    }
    let mut replay = replay::Replay::new(database, snapshot, files.snapshot_zxids(), options);
    replay.run(folder, &logs, progress)?;
    let replay::Replay { mut database, mut zxid, txns, recent, repairs, gaps, misplaced, .. } =
        replay;
    let has_gaps = !gaps.is_none();
    notes.extend(gaps.into_notes());
    notes.extend(misplaced.into_notes());
    snapshots::check_reached(folder, &unusable, zxid)?;
    database.check_ephemerals().map_err(|error| RecoveryError::NoTree {
        folder: folder.describe(Place::Logs, ""),
        zxid,
        error,
    })?;
    // From here on this server vouches for what it has read, so it must not depend on what a power cut can take away.
    if !planted::is(options.planted, PlantedBug::ReadNotSynced) {
        files::sync_read(folder, name, plan::logs_from(&logs, snapshot.unwrap_or(Zxid::ZERO)))?;
    }

    let initialize = empty::has_initialize(folder)?;
    if snapshot.is_none() && txns == 0 {
        zxid = empty::begin(
            folder,
            &files,
            options,
            initialize,
            &mut database,
            &mut notes,
            &mut news,
        )?;
    }
    // Only now: if the data that the file vouches for were not durable, the next start would find neither.
    if initialize {
        empty::remove_initialize(folder)?;
    }
    let epochs = match options.ensemble {
        true => Some(epochs::recover(folder, zxid, &mut notes, &mut news)?),
        false => None,
    };
    // Cut only after the epoch files have been judged: an error there must leave the log as it was found.
    replay::repair(folder, &repairs, &mut notes)?;
    files::remove_temporaries(folder, &files, &mut news)?;

    // In an ensemble, the leader decides which sessions have ended. ZooKeeper: ZooKeeperServer.loadData.
    if !options.ensemble {
        let orphans = database.remove_orphaned_ephemerals();
        if orphans > 0 {
            news.push(format!("removed {orphans} ephemeral nodes of sessions that have ended"));
        }
    }
    let mismatches = database.digest_mismatches();
    if mismatches > 0 {
        notes.push(format!(
            "{mismatches} digests in snapshot and log differ from those of the tree"
        ));
    }
    let gaps = has_gaps;
    Ok(Recovered { database, zxid, epochs, snapshot, txns, gaps, recent, notes, news })
}
