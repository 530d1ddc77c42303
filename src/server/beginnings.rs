//! Warns about folders that a start would create, and about a database that would begin empty: the path may be wrong,
//! or a disk not mounted. `config check` prints these sentences, and the start logs those about missing folders;
//! nothing here creates a folder.
// ZooKeeper: FileTxnSnapLog creates the folders silently, unless zookeeper.datadir.autocreate=false.
// ZooKeeper: FileTxnSnapLog creates the folders silently, unless zookeeper.datadir.autocreate=false.

use std::path::Path;

use crate::config::Config;
use crate::io::Place;
use crate::recovery::Folder as _;
use crate::runtime::{FileFolder, Folders};
use crate::txnlog::plan;

/// A sentence on each configured folder that is missing and that a server would create; none if a server creates no
/// folder. The code that opens the folders reports other errors.
pub fn missing_folders(config: &Config) -> Vec<String> {
    let storage = &config.storage;
    if !storage.datadir_autocreate {
        return Vec::new();
    }
    let mut found = Vec::new();
    // The data folder first: if that is missing, a missing log is no surprise.
    if is_missing(&storage.data_dir) {
        found.push(format!(
            "dataDir {} is not there: a server makes it, and {}. If the data is elsewhere, correct \
             dataDir; if it is on a disk that is not mounted, mount it first",
            storage.data_dir.display(),
            beginning(config)
        ));
    }
    // A log that begins anew beside old snapshots is worse than an empty folder, because the server starts with old
    // data.
    if storage.data_log_dir != storage.data_dir && is_missing(&storage.data_log_dir) {
        found.push(format!(
            "dataLogDir {} is not there: a server makes it, and begins with a log without transactions, \
             so what is in a log elsewhere is lost to it. If the log is elsewhere, correct dataLogDir; if \
             it is on a disk that is not mounted, mount it first",
            storage.data_log_dir.display()
        ));
    }
    found
}

/// A sentence on a data folder that exists and holds neither a snapshot nor a log.
pub fn empty_folder(config: &Config) -> Option<String> {
    let storage = &config.storage;
    // Where ZooKeeper keeps its files, too: FileTxnSnapLog.version.
    let in_folder = |folder: &Path| folder.join("version-2");
    let folders = Folders {
        data: storage.data_dir.clone(),
        snapshots: in_folder(&storage.data_dir),
        logs: in_folder(&storage.data_log_dir),
    };
    let folder = FileFolder::new(&folders);
    // The check of the files reports a folder that cannot be listed.
    let names = |place| folder.list(place).ok();
    let (snapshots, logs) = (names(Place::Snapshots)?, names(Place::Logs)?);
    let has_data = snapshots.iter().any(|file| plan::snapshot_zxid(&file.name).is_some())
        || logs.iter().any(|file| plan::log_zxid(&file.name).is_some());
    // A missing folder gets a sentence of its own.
    let is_empty = !is_missing(&storage.data_dir) && !has_data;
    is_empty.then(|| {
        format!(
            "dataDir {} holds no data: a server {}",
            storage.data_dir.display(),
            beginning(config)
        )
    })
}

/// What a server begins with that finds no data, as the end of a sentence.
fn beginning(config: &Config) -> &'static str {
    match config.storage.db_autocreate {
        true => "begins with a NEW, EMPTY database",
        false => {
            "has no data (zookeeper.db.autocreate=false): a file named initialize in dataLogDir, or in \
             dataDir where that is not set, says that a new database may begin, and a member without that \
             file gets the data from its leader"
        }
    }
}

/// Whether there is certainly no such folder. An error is not reported here.
fn is_missing(folder: &Path) -> bool {
    matches!(folder.try_exists(), Ok(false))
}
