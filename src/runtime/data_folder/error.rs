//! Why a data folder cannot be used.

use std::io;
use std::path::PathBuf;

use crate::io::lacks_room;
use crate::runtime::way_out_for_user;

/// Why a folder cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It does not exist and may not be created.
    #[error(
        "{} does not exist, and zookeeper.datadir.autocreate=false forbids creating it",
        folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// Something else has its name, or the name of a folder above it.
    #[error(
        "{} is a file, and dataDir and dataLogDir name folders: name another one, or move the file \
         away",
        path.display()
    )]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// Another server holds it.
    #[error(
        "{} is in use by another ringkeeper server{}: two servers on one folder would destroy it. \
         Stop that one, or give this one a dataDir of its own{}",
        folder.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
        match pid {
            Some(_) => "",
            None => " (`lslocks` names the process that holds .ringkeeper.lock)",
        }
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The other's process id, if it could be read.
        pid: Option<u32>,
    },
    /// Something else than a lock file has the lock's name.
    #[error(
        "{} is {found}, and the lock of a server is a file of its own: a user with write access \
         to the folder has put it there. Move it away",
        path.display()
    )]
    NotALock {
        /// What has the lock's name.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A link to nothing in the place of a folder.
    #[error(
        "{} is a link to {}, which does not exist: mount it or create it, or correct the path",
        path.display(),
        target.display()
    )]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// The system returned an error.
    #[error("{what} {}: {error}{}", path.display(), way_out_for_user(error))]
    Io {
        /// The operation.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl FolderError {
    /// Whether a write failed for lack of room.
    pub fn lacks_room(&self) -> bool {
        matches!(self, FolderError::Io { error, .. } if lacks_room(error))
    }
}
