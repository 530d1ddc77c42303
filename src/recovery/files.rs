//! The files of a data folder by their names: which belong where, which must be durable, which an earlier run left
//! unfinished. Nothing here reads a file.

use super::RecoveryError;
use super::folder::{FileInfo, Folder};
use crate::id::Zxid;
use crate::io::{Place, is_segment_temporary};
use crate::snapshot::SNAPSHOT_TEMPORARY;
use crate::txnlog::plan;

/// The regular files of both folders, those included that are neither logs nor snapshots.
pub(super) struct Files {
    /// The files of the folder of snapshots, in any order.
    pub snapshots: Vec<FileInfo>,
    /// The files of the folder of logs, in any order. Invariant: the same as `snapshots` if both share a folder.
    pub logs: Vec<FileInfo>,
}

impl Files {
    /// The zxids in the names of all snapshots.
    pub fn snapshot_zxids(&self) -> Vec<Zxid> {
        let names = self.snapshots.iter().map(|file| file.name.as_str());
        names.filter_map(plan::snapshot_zxid).collect()
    }

    /// The snapshot that ZooKeeper writes for a member that waits for its data.
    pub fn snapshot_of_no_data(&self) -> Option<&str> {
        let mut names = self.snapshots.iter().map(|file| file.name.as_str());
        names.find(|name| plan::is_of_no_data(name))
    }

    /// A note on files whose names only resemble those of logs and snapshots, if there are any.
    pub fn foreign_note(&self, logs_apart: bool) -> Option<String> {
        const NAMED_MAX: usize = 5;
        let logs = logs_apart.then_some(&self.logs).into_iter().flatten();
        let names = self.snapshots.iter().chain(logs).map(|file| file.name.as_str());
        let foreign: Vec<&str> = names.filter(|name| plan::is_foreign(name)).collect();
        let shown = foreign[..foreign.len().min(NAMED_MAX)].join(", ");
        let more = if foreign.len() > NAMED_MAX { ", …" } else { "" };
        (!foreign.is_empty()).then(|| {
            format!(
                "{shown}{more}: ignored, because no server gives a file such a name. ZooKeeper may \
                 read it: move it out of the folder before ZooKeeper runs on the folder"
            )
        })
    }

    /// Lists both folders.
    ///
    /// # Errors
    /// The system's, or logs and snapshots are in the wrong folders.
    pub fn list(folder: &dyn Folder) -> Result<Files, RecoveryError> {
        let list = |place| {
            folder.list(place).map_err(|error| RecoveryError::Io {
                what: "list",
                file: folder.describe(place, ""),
                error,
            })
        };
        let files = Files { snapshots: list(Place::Snapshots)?, logs: list(Place::Logs)? };
        // ZooKeeper: FileTxnSnapLog.checkLogDir, checkSnapDir. A wrong dataLogDir would otherwise look like a lost
        // log.
        if folder.logs_apart() {
            let misplaced = |files: &[FileInfo], kind: fn(&str) -> Option<Zxid>, place, what| {
                let found = files.iter().find(|file| kind(&file.name).is_some());
                found.map_or(Ok(()), |file| {
                    let file = folder.describe(place, &file.name);
                    Err(RecoveryError::Misplaced { file, what })
                })
            };
            let what = "the log directory has snapshot files";
            misplaced(&files.logs, plan::snapshot_zxid, Place::Logs, what)?;
            let what = "the snapshot directory has log files";
            misplaced(&files.snapshots, plan::log_zxid, Place::Snapshots, what)?;
        }
        Ok(files)
    }
}

/// Makes the files that were read durable, and their names, because this server will vouch for their content. A killed
/// server leaves writes that were never acknowledged in the memory of the system or of the disk, and new names that a
/// power cut may undo:
///
/// ```text
/// 1. a server renames prepared-segment-2 to log.5, and is killed before it has synced the folder
/// 2. the next server reads log.5, and votes or answers with its content
/// 3. a power cut: the file is prepared-segment-2 again, and recovery removes it, so its transactions are lost
/// ```
///
/// The snapshot is synced as well: ZooKeeper does not sync all of its snapshots, and an operator may have copied the
/// file. The folder of the snapshots also holds the epoch files, which are read after this.
pub(super) fn sync_read(
    folder: &dyn Folder,
    snapshot: Option<&str>,
    logs: &[(Zxid, &str)],
) -> Result<(), RecoveryError> {
    let snapshot = snapshot.map(|name| (Place::Snapshots, name));
    let logs = logs.iter().map(|(_, name)| (Place::Logs, *name));
    for (place, name) in snapshot.into_iter().chain(logs) {
        folder.sync(place, name).map_err(|error| {
            let file = folder.describe(place, name);
            RecoveryError::Io { what: "sync", file, error }
        })?;
    }
    let apart = folder.logs_apart().then_some(Place::Logs);
    for place in [Some(Place::Snapshots), apart].into_iter().flatten() {
        folder.sync_names(place).map_err(|error| {
            let file = folder.describe(place, "");
            RecoveryError::Io { what: "sync the folder", file, error }
        })?;
    }
    Ok(())
}

/// Removes the files that an earlier run prepared or did not finish: `prepared-segment-N` and the unfinished
/// snapshot. Each removal makes a line in `news`.
///
/// # Errors
/// The system's.
pub(super) fn remove_temporaries(
    folder: &dyn Folder,
    files: &Files,
    news: &mut Vec<String>,
) -> Result<(), RecoveryError> {
    let unfinished = files.snapshots.iter().filter(|file| file.name == SNAPSHOT_TEMPORARY);
    let prepared = files.logs.iter().filter(|file| is_segment_temporary(&file.name));
    for (place, file) in unfinished
        .map(|file| (Place::Snapshots, file))
        .chain(prepared.map(|file| (Place::Logs, file)))
    {
        folder.remove(place, &file.name).map_err(|error| RecoveryError::Io {
            what: "remove",
            file: folder.describe(place, &file.name),
            error,
        })?;
        news.push(format!("removed {}, which an earlier run left unfinished", file.name));
    }
    Ok(())
}
