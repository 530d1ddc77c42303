//! The data folders: created on the first start, locked by one server at a time, and probed for the features of
//! their file system.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, FlockOperation, StatxFlags, access, flock, statx};

use super::file_folder::is_servers;
use super::{FileFolder, Folders, way_out_for_user};
use crate::io::{BUFFER_ALIGNMENT, Place, lacks_room};
use crate::recovery::{FileInfo, Folder as _};

/// The folder inside `dataDir` and `dataLogDir` that holds ZooKeeper's files since 3.0.
const VERSION_FOLDER: &str = "version-2";

/// The file whose lock shows that a server runs on this folder. ZooKeeper ignores it.
const LOCK_FILE: &str = ".ringkeeper.lock";

/// How long a start waits for the lock of a server that has ended: its ring holds the lock until the last write
/// in flight is done.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

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

/// The folders of a running server. The locks are held until this is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct DataFolder {
    /// The paths.
    pub folders: Folders,
    locks: Vec<File>,
}

/// The features of the transaction log's file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogDevice {
    /// Whether files can be opened with O_DIRECT, with an alignment that our buffers have.
    pub direct: bool,
    /// Multiple that offsets and lengths of writes must have: 512 to 4096.
    pub block_bytes: usize,
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
        let probed = probe(&path);
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

/// The lock file is above `version-2`, in a folder that may belong to another user.
fn lockable(folder: &Path) -> Result<(), FolderError> {
    let path = folder.join(LOCK_FILE);
    match path.symlink_metadata() {
        Ok(found) => {
            is_a_lock(&path, &found)?;
            return allowed(&path, Access::READ_OK | Access::WRITE_OK);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(FolderError::Io { what: "cannot look for", path, error }),
    }
    let named = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    allowed(named, Access::WRITE_OK | Access::EXEC_OK)
}

/// The lock is a file with one name: a user who can create entries in the folder could make it point elsewhere.
fn is_a_lock(path: &Path, found: &Metadata) -> Result<(), FolderError> {
    let found = match (found.is_symlink(), found.is_file()) {
        (true, _) => "a link",
        (false, false) => "no file",
        (false, true) if found.nlink() > 1 => "one of the names of a file",
        (false, true) => return Ok(()),
    };
    Err(FolderError::NotALock { path: path.into(), found })
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

/// The server that holds this folder, if there is one: its process id, 0 if it cannot be read. Waits for a
/// server that has just ended, as a start does. Changes nothing.
pub fn holder(folder: &Path) -> Option<u32> {
    let mut file = File::open(folder.join(LOCK_FILE)).ok()?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        let Err(rustix::io::Errno::WOULDBLOCK) =
            flock(&file, FlockOperation::NonBlockingLockShared)
        else {
            return None;
        };
        let mut text = String::new();
        // Without the number the message has less information, but is not wrong.
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
        let pid = text.trim().parse().unwrap_or(0);
        if is_a_server(pid) || Instant::now() >= until {
            return Some(pid);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
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

fn lock(folder: &Path, patience: Duration) -> Result<File, FolderError> {
    let path = folder.join(LOCK_FILE);
    let io = |what| {
        let path = path.clone();
        move |error| FolderError::Io { what, path, error }
    };
    let mut file = match OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // A user who may open the file may hold the lock, and keep a server from starting.
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
    {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(FolderError::NotALock { path, found: "a link" });
        }
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            return Err(FolderError::NotALock { path, found: "no file" });
        }
        Err(error) => return Err(io("cannot open")(error)),
    };
    let found = file.metadata().map_err(io("cannot open"))?;
    is_a_lock(&path, &found)?;
    if found.mode() & 0o077 != 0 {
        // For a file of an earlier version; another user's file stays as it is.
        let _ = file.set_permissions(Permissions::from_mode(0o600));
    }
    let until = Instant::now() + patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(io("cannot lock")(error.into())),
        }
        let mut text = String::new();
        // Without the number the message has less information, but is not wrong.
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
        let pid = text.trim().parse().ok();
        let holder = pid.filter(|pid| is_a_server(*pid));
        if holder.is_some() || Instant::now() >= until {
            return Err(FolderError::Locked { folder: folder.into(), pid: holder });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(io("cannot write"))?;
    Ok(file)
}

/// Whether another process of this program has that process id. The id may come from another container, in which
/// the server may have ended: in this container it may be this very process, often 1, or any other. And a killed
/// server keeps its id until its parent has waited for it.
fn is_a_server(pid: u32) -> bool {
    let own = std::process::id();
    pid != own && program(pid).is_some_and(|name| Some(name) == program(own))
}

/// The name of the program that a process runs; `None`: it has ended, or never existed.
fn program(pid: u32) -> Option<String> {
    // PID (NAME) STATE …; a name may hold anything.
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, state) = text.split_once('(')?.1.rsplit_once(')')?;
    let has_ended = matches!(state.trim_start().chars().next(), None | Some('Z' | 'X'));
    (!has_ended).then(|| name.to_owned())
}

fn probe(path: &Path) -> io::Result<LogDevice> {
    let buffered = LogDevice { direct: false, block_bytes: BUFFER_ALIGNMENT };
    let open = |flags| {
        let flags = flags | libc::O_NOFOLLOW;
        OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)
    };
    let file = match open(libc::O_DIRECT) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            open(0)?;
            return Ok(buffered);
        }
        Err(error) => return Err(error),
    };
    // A file system may accept the flag and refuse the write, as some network file systems do.
    let block = crate::io::AlignedBuf::zeroed(BUFFER_ALIGNMENT);
    if std::os::unix::fs::FileExt::write_all_at(&file, &block, 0).is_err() {
        return Ok(buffered);
    }
    let block_bytes = match statx(CWD, path, AtFlags::empty(), StatxFlags::DIOALIGN) {
        Ok(found) if found.stx_dio_offset_align > 0 => found.stx_dio_offset_align as usize,
        // Kernels before 6.1 do not report it; 4096 suits every disk.
        _ => BUFFER_ALIGNMENT,
    };
    match block_bytes {
        512..=BUFFER_ALIGNMENT if block_bytes.is_power_of_two() => {
            Ok(LogDevice { direct: true, block_bytes })
        }
        _ => Ok(buffered),
    }
}

#[cfg(test)]
mod tests;
