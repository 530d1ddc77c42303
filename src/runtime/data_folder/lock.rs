//! The lock of a data folder: one server at a time.
//!
//! The lock is on a file, and the file names the process that holds it. A process id may be stale, so the id decides
//! only how long a start waits; the lock decides whether the server starts.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Access, FlockOperation, flock};

use super::{FolderError, allowed};

/// The file whose lock shows that a server runs on this folder. ZooKeeper ignores it.
pub(super) const LOCK_FILE: &str = ".ringkeeper.lock";

/// How long a start waits for the lock of a server that has ended: its ring holds the lock until the last write
/// in flight is done.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Takes the lock, and writes the id of this process into its file. Waits while the holder is a process that has ended.
pub(super) fn lock(folder: &Path, patience: Duration) -> Result<File, FolderError> {
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

/// The lock file is above `version-2`, in a folder that may belong to another user.
pub(super) fn lockable(folder: &Path) -> Result<(), FolderError> {
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
