//! Why recovery refuses a folder. Each error is a sentence that says what is wrong, where, and what to do.

use std::io;

use crate::database::LoadError;
use crate::id::Zxid;
use crate::io::way_out;

/// What to do in an ensemble with files that cannot be used. The epoch files stay: without them the folder would be a
/// new server's, which has a vote (`db.autocreate`) although this server has forgotten what it acknowledged.
pub(super) const MOVE_ASIDE: &str = "while the other servers have a quorum, move log.* and snapshot.* of this \
    server's version-2 folders (in dataDir and dataLogDir) aside, leave acceptedEpoch and currentEpoch \
    where they are, and start it: it gets everything from the leader, and does not vote before";

/// Why the folder cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The system returned an error.
    #[error("cannot {what} {file}: {error}{}", way_out(error))]
    Io {
        /// The operation.
        what: &'static str,
        /// The whole path of the file.
        file: String,
        /// The system's error.
        error: io::Error,
    },
    /// A log has lost records that it once had.
    #[error(
        "{file} is damaged at offset {offset}{}: {reason}. Acknowledged transactions would be \
         lost, so the server does not start. In an ensemble: {MOVE_ASIDE}. Standalone: restore the folder from a \
         backup; or, if everything from there on may be lost, cut the file with `truncate -s {offset}` and \
         remove every later log",
        last_zxid(*zxid)
    )]
    Damaged {
        /// The whole path of the log.
        file: String,
        /// The offset of the first damaged byte, as far as the reader can tell.
        offset: u64,
        /// The last zxid that can be read before it.
        zxid: Option<Zxid>,
        /// What the reader found.
        reason: String,
    },
    /// Transactions are missing between two that are present.
    #[error(
        "transactions {after} to {before}, both excluded, are missing before offset {offset} of \
         {file}. In an ensemble: {MOVE_ASIDE}. Standalone: restore the missing log file; or, if those \
         transactions may be lost, start the server once with -Dringkeeper.allowLogGaps=true on its command \
         line"
    )]
    Gap {
        /// The last zxid before the gap.
        after: Zxid,
        /// The first zxid after it.
        before: Zxid,
        /// The whole path of the log that holds `before`.
        file: String,
        /// The offset of `before`.
        offset: u64,
    },
    /// A zxid is lower than one before it.
    #[error(
        "{file} has zxid {zxid} at offset {offset}, after {last} in the logs before it: they overlap, \
         and zxids never go back. Two servers may have written to this folder, or a \
         log was copied into it. If one of the files came from elsewhere, move it out of the folder. In an \
         ensemble: {MOVE_ASIDE}. Standalone: restore the folder from a backup"
    )]
    Backwards {
        /// The whole path of the log.
        file: String,
        /// The offset of the zxid.
        offset: u64,
        /// The zxid.
        zxid: Zxid,
        /// The one before it.
        last: Zxid,
    },
    /// A log is named after a later transaction than its first: the server's next log might get the same name.
    #[error(
        "{file} begins with zxid {zxid} at offset {offset}, lower than its name says: it was renamed, or comes \
         from elsewhere. Move it out of the folder, or give it the name log.{:x} if no other file has it",
        zxid.0
    )]
    Misnamed {
        /// The whole path of the log.
        file: String,
        /// The offset of its first zxid.
        offset: u64,
        /// Its first zxid.
        zxid: Zxid,
    },
    /// There are logs and no snapshot.
    #[error(
        "No snapshot found, but there are log entries (the first log is {file}). Something is \
         broken: restore the snapshots; or, after an upgrade from a ZooKeeper before 3.5 that \
         never wrote one, start the server once with -Dzookeeper.snapshot.trust.empty=true on its command \
         line"
    )]
    NoSnapshot {
        /// The whole path of the first log.
        file: String,
    },
    /// No snapshot can be read.
    #[error(
        "none of the snapshots in {folder} can be used ({reasons}). Restore them from a backup, or \
         in an ensemble: {MOVE_ASIDE}"
    )]
    NoUsableSnapshot {
        /// The folder.
        folder: String,
        /// The snapshots, each with its reason.
        reasons: String,
    },
    /// A snapshot cannot be read, and the log does not reach the state that the snapshot held.
    #[error(
        "{file} cannot be used: {reason}. The log ends at {last}, before it: what this server has \
         acknowledged would be lost, so it does not start. In an ensemble: {MOVE_ASIDE}. Standalone: restore the \
         file from a backup; or, if its content may be lost, move the file aside"
    )]
    LostTree {
        /// The whole path of the snapshot.
        file: String,
        /// What is wrong with it.
        reason: String,
        /// The last zxid that can be reached without it.
        last: Zxid,
    },
    /// Snapshot and log together make a tree that no server makes.
    #[error(
        "{folder} holds a tree that no server makes, up to zxid {zxid}: {error}. A file was changed, or \
         does not belong to this history. In an ensemble: {MOVE_ASIDE}. Standalone: restore the folder from \
         a backup"
    )]
    NoTree {
        /// The folder of the logs.
        folder: String,
        /// The last transaction.
        zxid: Zxid,
        /// What is wrong.
        error: LoadError,
    },
    /// Logs or snapshots are in the wrong folder.
    #[error("{file}: {what}. Check if dataLogDir and dataDir are configured correctly")]
    Misplaced {
        /// The whole path of one of the files.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A cut would leave no snapshot to begin with.
    #[error(
        "the log cannot be cut after {zxid}: there is no snapshot of that state or of an earlier one. What to do: \
         {MOVE_ASIDE}"
    )]
    NothingBefore {
        /// The last zxid that should stay.
        zxid: Zxid,
    },
    /// A cut at a transaction that is not in the log.
    #[error(
        "the log cannot be cut after {zxid}: the last transaction up to it that this server has \
         is {last}. What to do: {MOVE_ASIDE}"
    )]
    NotInHistory {
        /// The last zxid that should stay.
        zxid: Zxid,
        /// The last zxid up to it that is present.
        last: Zxid,
    },
    /// The epoch files contradict the log, or each other.
    #[error("{file}: {reason}")]
    Epoch {
        /// The whole path of the file.
        file: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl RecoveryError {
    /// Whether a write failed for lack of room.
    pub fn lacks_room(&self) -> bool {
        matches!(self, RecoveryError::Io { error, .. } if crate::io::lacks_room(error))
    }
}

fn last_zxid(zxid: Option<Zxid>) -> String {
    zxid.map_or(String::new(), |zxid| format!(", after zxid {zxid}"))
}
