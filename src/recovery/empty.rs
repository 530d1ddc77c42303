//! What recovery does with a folder without data: it begins a new database, or waits for a leader
//! (`FileTxnSnapLog.restore`, the part after "no snapshot found").
//!
//! The rule that is easy to break: a server that has lost its data must not vote, because its empty history would
//! count as that of a server that has acknowledged nothing. So any trace of an earlier life, an epoch or a snapshot
//! that says "no data", makes the zxid -1.

use super::files::Files;
use super::folder::Folder;
use super::{RecoveryError, RecoveryOptions, epochs, snapshots};
use crate::database::Database;
use crate::id::Zxid;
use crate::io::Place;

/// The file with which an operator says that an ensemble is new (`zkServer-initialize.sh`).
const INITIALIZE_FILE: &str = "initialize";

/// Decides what a folder without data is, and returns the zxid of the server: 0 if a new database begins, -1 if the
/// folder may have lost its data. `initialize` says whether the operator has declared the ensemble new.
///
/// A new database gets its `snapshot.0` at once, which is durable when this returns.
///
/// # Errors
/// The system's, or an epoch file that holds no epoch.
pub(super) fn begin(
    folder: &dyn Folder,
    files: &Files,
    options: &RecoveryOptions,
    initialize: bool,
    database: &mut Database,
    notes: &mut Vec<String>,
    news: &mut Vec<String>,
) -> Result<Zxid, RecoveryError> {
    let lost = if options.ensemble { epochs::claimed(folder)? } else { None };
    let had_none = options.ensemble.then(|| files.snapshot_of_no_data()).flatten();
    if initialize || (options.autocreate && lost.is_none() && had_none.is_none()) {
        // The operator knows that the data is lost. A currentEpoch that stays would let the empty history beat
        // others.
        if lost.is_some() {
            epochs::forget_current(folder)?;
        }
        snapshots::save_empty(folder, database)?;
        news.push("the data folder is empty: a new database begins".to_owned());
        return Ok(Zxid::ZERO);
    }
    // ZooKeeper: ZOOKEEPER-2325, 261; such a server votes for no one until it has synced with a leader.
    database.set_last_processed(Zxid::NONE);
    notes.push(match (lost, had_none) {
        // ZooKeeper: begins at zxid 0, and its currentEpoch then beats servers that have the data.
        (Some((file, epoch)), _) => format!(
            "the data folder is empty, but {file} says that this server has taken part in epoch \
             {epoch}: zxid -1, and no vote until a leader has sent the data. To begin an \
             ensemble anew, put a file named initialize above the version-2 folder of each of its \
             servers"
        ),
        // ZooKeeper: ignores the file, and begins at zxid 0 if db.autocreate allows it.
        (None, Some(name)) => format!(
            "the data folder is empty, and {} says that this server has waited for its data before: \
             zxid -1, and no vote until a leader has sent the data. To begin an ensemble anew, \
             remove that file",
            folder.describe(Place::Snapshots, name)
        ),
        (None, None) => "the data folder is empty, and may have lost its data: zxid -1".to_owned(),
    });
    Ok(Zxid::NONE)
}

/// Whether the operator says that the ensemble is new.
///
/// # Errors
/// The system's.
pub(super) fn has_initialize(folder: &dyn Folder) -> Result<bool, RecoveryError> {
    folder.has_initialize().map_err(|error| RecoveryError::Io {
        what: "look for",
        file: folder.describe(Place::DataDir, INITIALIZE_FILE),
        error,
    })
}

/// Removes the operator's file: it must not make a folder that loses its data later look new.
///
/// # Errors
/// The system's.
pub(super) fn remove_initialize(folder: &dyn Folder) -> Result<(), RecoveryError> {
    folder.remove_initialize().map_err(|error| RecoveryError::Io {
        what: "remove",
        file: folder.describe(Place::DataDir, INITIALIZE_FILE),
        error,
    })
}
