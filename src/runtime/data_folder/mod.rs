//! The data folders: created on the first start, locked by one server at a time, and probed for the features of
//! their file system.

mod error;
mod lock;
mod probe;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

pub use error::FolderError;
pub use lock::holder;
use lock::{LOCK_PATIENCE, lock, lockable};
pub use probe::LogDevice;

use super::file_folder::is_servers;
use super::{FileFolder, Folders};
use crate::io::Place;
use crate::recovery::{FileInfo, Folder as _};

/// The folder inside `dataDir` and `dataLogDir` that holds ZooKeeper's files since 3.0.
const VERSION_FOLDER: &str = "version-2";

/// The folders of a running server. The locks are held until this is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct DataFolder {
    /// The paths.
    pub folders: Folders,
    locks: Vec<File>,
}

impl DataFolder {
    /// Creates missing folders, if `create`, and locks them.
    ///
    /// # Errors
    /// For an operator to read: missing, locked by another server, or the system's error.
    pub fn open(data: &Path, logs: &Path, create: bool) -> Result<DataFolder, FolderError> {
        DataFolder::open_within(LOCK_PATIENCE, data, logs, create)
    }

    fn open_within(
        patience: Duration,
        data: &Path,
        logs: &Path,
        create: bool,
    ) -> Result<DataFolder, FolderError> {
        let mut locks = Vec::new();
        for folder in [data, logs] {
            check_folder(folder, create)?;
            let inner = folder.join(VERSION_FOLDER);
            if !is_there(&inner)? {
                create_durably(&inner).map_err(|error| FolderError::Io {
                    what: "cannot create",
                    path: inner.clone(),
                    error,
                })?;
            }
        }
        locks.push(lock(data, patience)?);
        // Two names of one folder count as one folder from here on.
        let logs = if canonical(data)? == canonical(logs)? { data } else { logs };
        if logs != data {
            locks.push(lock(logs, patience)?);
        }
        let folders = Folders {
            data: data.into(),
            snapshots: data.join(VERSION_FOLDER),
            logs: logs.join(VERSION_FOLDER),
        };
        Ok(DataFolder { folders, locks })
    }

    /// The descriptors that hold the locks.
    pub fn locks(&self) -> Vec<BorrowedFd<'_>> {
        self.locks.iter().map(AsFd::as_fd).collect()
    }

    /// Existing folders whose modes allow access that these bits would deny, with their modes.
    pub fn open_to_more_than(&self, denied: u32) -> Vec<(&Path, u32)> {
        let mut folders = vec![self.folders.snapshots.as_path(), self.folders.logs.as_path()];
        folders.dedup();
        let mode =
            |folder: &Path| std::fs::metadata(folder).map_or(0, |found| found.mode() & 0o777);
        let folders = folders.into_iter().map(|folder| (folder, mode(folder)));
        folders.filter(|(_, mode)| mode & denied & 0o044 != 0).collect()
    }

    /// Tests the features of the log's file system, with a temporary file.
    ///
    /// # Errors
    /// If no file can be created there.
    pub fn probe_log_device(&self) -> Result<LogDevice, FolderError> {
        let path = self.folders.logs.join(".ringkeeper.probe");
        let probed = probe::probe(&path);
        // If it stays, the next start overwrites it.
        let _ = std::fs::remove_file(&path);
        probed.map_err(|error| FolderError::Io { what: "cannot write to", path, error })
    }
}

/// From now on new files of this process do not get these mode bits: umask(2).
pub fn deny_access_to_new_files(denied: u32) {
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(denied));
}

/// Checks whether a server could use this folder, or create it, without changing anything. Does not check
/// whether another server holds it; see [`holder`].
///
/// # Errors
/// As for [`DataFolder::open`].
pub fn check_folder(folder: &Path, create: bool) -> Result<(), FolderError> {
    let inner = folder.join(VERSION_FOLDER);
    let mut at = inner.as_path();
    loop {
        let named = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        let parent = match std::fs::metadata(named) {
            Ok(found) if !found.is_dir() => {
                return Err(FolderError::NotAFolder { path: named.into() });
            }
            Ok(_) => {
                if at != inner && !create {
                    return Err(FolderError::Missing { folder: inner });
                }
                let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
                let wanted = if at == inner { all } else { Access::WRITE_OK | Access::EXEC_OK };
                allowed(named, wanted)?;
                return if at == inner { lockable(folder) } else { Ok(()) };
            }
            // A path below a file does not exist either; the file is found on the way up.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                if let Ok(target) = std::fs::read_link(named) {
                    return Err(FolderError::DanglingLink { path: named.into(), target });
                }
                at.parent()
            }
            Err(error) => {
                return Err(FolderError::Io { what: "cannot open", path: named.into(), error });
            }
        };
        match parent {
            Some(parent) => at = parent,
            None => return Err(FolderError::Missing { folder: inner }),
        }
    }
}

/// Whether something has this name. An error of the system does not count as "no".
fn is_there(path: &Path) -> Result<bool, FolderError> {
    path.try_exists().map_err(|error| FolderError::Io {
        what: "cannot look for",
        path: path.into(),
        error,
    })
}

fn allowed(path: &Path, wanted: Access) -> Result<(), FolderError> {
    access(path, wanted).map_err(|error| FolderError::Io {
        what: if wanted.contains(Access::WRITE_OK) { "cannot write to" } else { "cannot read" },
        path: path.into(),
        error: error.into(),
    })
}

/// Problems in the folders that would stop a server's start when it reads them: the first one for each folder.
/// Changes nothing.
pub fn check_files(data: &Path, logs: &Path) -> Vec<FolderError> {
    let folders = Folders {
        data: data.into(),
        snapshots: data.join(VERSION_FOLDER),
        logs: logs.join(VERSION_FOLDER),
    };
    let places = [Place::Snapshots, Place::Logs];
    let places = &places[..if data == logs { 1 } else { 2 }];
    let mut found = Vec::new();
    for &place in places {
        let here = folders.path(place);
        match FileFolder::new(&folders).list(place) {
            Ok(files) => {
                let read = |file: FileInfo| {
                    let path = here.join(&file.name);
                    is_servers(&file.name).then(|| allowed(&path, Access::READ_OK).err())?
                };
                found.extend(files.into_iter().find_map(read));
            }
            Err(error) => {
                found.push(FolderError::Io { what: "cannot list", path: here.into(), error });
            }
        }
    }
    found
}

/// Creates a folder and its missing parents, and makes their names durable: if a power cut removes the name of a
/// folder, everything written into it is lost.
fn create_durably(folder: &Path) -> io::Result<()> {
    let named_in = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        parent => parent.map(Path::to_owned),
    };
    let mut grown = Vec::new();
    let mut missing = folder.to_owned();
    while !missing.try_exists()? {
        let Some(parent) = named_in(&missing) else { break };
        grown.push(parent.clone());
        missing = parent;
    }
    std::fs::create_dir_all(folder)?;
    for folder in grown {
        match super::sync_folder(&folder) {
            // A user who may create a folder there may still not be allowed to open it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!(folder = %folder.display(), %error, "its names cannot be made durable");
            }
            done => done?,
        }
    }
    Ok(())
}

fn canonical(path: &Path) -> Result<PathBuf, FolderError> {
    path.canonicalize().map_err(|error| FolderError::Io {
        what: "cannot open",
        path: path.into(),
        error,
    })
}
