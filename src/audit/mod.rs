//! The audit log: writes what the replica tells of, to a file or to standard output, on a thread of its own.
//!
//! The thread that serves clients must never wait for a disk or for whoever reads standard output, so it puts the
//! records of a turn into a bounded queue. What does not fit, or cannot be written, is dropped and counted
//! (`audit_dropped` in `mntr`); the log of the server says once that it begins, and once that it is over.
//!
//! Lines that were handed to the system survive the end of the process, and not that of the machine: nothing is synced.

mod file;
mod line;
mod queue;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Access;

use crate::replica::{AuditOperation, AuditRecord, AuditRecords, AuditResult};
use crate::time::WallMs;

use file::RollingFile;
use queue::{Queue, Writer};

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// The file; `None`: standard output.
    pub file: Option<PathBuf>,
    /// Permission bits of a new file, of which the umask of the process takes some away.
    pub file_mode: u32,
    /// Bytes at which the file is put aside.
    pub file_bytes_max: u64,
    /// How many files that were put aside are kept.
    pub files_kept: u32,
    /// The user who runs this server: the user of what no client asked for.
    // ZooKeeper: ServerCnxnFactory.getUserName, the Java property user.name unless the server has logged in with SASL.
    pub server_user: String,
}

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened.
    #[error("ringkeeper.audit.file = {}: cannot be opened: {error}", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// There is no standard output.
    #[error(
        "the audit log cannot be written to standard output: {0}; ringkeeper.audit.file names a file"
    )]
    StandardOutput(io::Error),
    /// The writing thread cannot be started.
    #[error("the thread that writes the audit log cannot be started: {0}")]
    Thread(io::Error),
}

/// The audit log of the process. Clones are the same.
#[derive(Clone, Debug)]
pub struct AuditLog {
    queue: Queue,
    /// Whether the start and the end of the server were told.
    told: Arc<Told>,
}

#[derive(Debug, Default)]
struct Told {
    start: AtomicBool,
    stop: AtomicBool,
}

impl AuditLog {
    /// Opens the file, and starts the thread that writes.
    ///
    /// # Errors
    /// The file cannot be opened, there is no standard output, or the system denies the thread.
    pub fn start(options: AuditOptions) -> Result<AuditLog, AuditError> {
        let out: Box<dyn Write + Send> = match &options.file {
            // Not `io::stdout`, whose lock the command line holds as long as the process lives.
            None => Box::new(File::from(
                io::stdout().as_fd().try_clone_to_owned().map_err(AuditError::StandardOutput)?,
            )),
            Some(path) => {
                let (bytes_max, kept) = (options.file_bytes_max, options.files_kept);
                let file = RollingFile::open(path, options.file_mode, bytes_max, kept);
                let error = |error| AuditError::File { path: path.clone(), error };
                Box::new(file.map_err(error)?)
            }
        };
        AuditLog::over(out, options.server_user).map_err(AuditError::Thread)
    }

    fn over(out: Box<dyn Write + Send>, server_user: String) -> io::Result<AuditLog> {
        let (queue, receiver) = Queue::new();
        let mut writer = Writer::new(out, server_user, &queue);
        std::thread::Builder::new()
            .name("rk-audit".to_owned())
            .spawn(move || writer.write_all_of(&receiver))?;
        Ok(AuditLog { queue, told: Arc::default() })
    }

    /// Takes the records of a turn, to be written. Never waits.
    pub fn put(&self, records: &mut AuditRecords) {
        if !records.is_empty() {
            self.queue.put(std::mem::take(records));
        }
    }

    /// Records that were not written.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Waits until everything so far is written, at most half a second.
    pub fn flush(&self) {
        self.queue.flush();
    }

    /// The server listens for clients.
    // ZooKeeper: ZKAuditProvider.addZKStartStopAuditLog.
    pub fn server_started(&self) {
        if !self.told.start.swap(true, Ordering::AcqRel) {
            self.tell(AuditOperation::ServerStart, AuditResult::Success);
        }
    }

    /// The server ends because of a failure: if it has not listened for clients, its start has failed.
    // ZooKeeper: ZKAuditProvider.addServerStartFailureAuditLog.
    pub fn server_failed(&self) {
        if !self.told.start.swap(true, Ordering::AcqRel) {
            self.told.stop.store(true, Ordering::Release);
            self.tell(AuditOperation::ServerStart, AuditResult::Failure);
        }
    }

    /// The server that has listened for clients is told to stop, or ends.
    pub fn server_stops(&self) {
        let has_started = self.told.start.load(Ordering::Acquire);
        if has_started && !self.told.stop.swap(true, Ordering::AcqRel) {
            self.tell(AuditOperation::ServerStop, AuditResult::Invoked);
        }
    }

    fn tell(&self, operation: AuditOperation, result: AuditResult) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = WallMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX));
        let record = AuditRecord::of_server(at, operation, result);
        self.queue.put(AuditRecords { records: vec![record], ..AuditRecords::default() });
    }
}

/// Why no audit log could be written to this file, as far as that can be said without creating it. `None`: it could.
pub fn obstacle(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let why = if path.is_dir() {
        "is a folder".to_owned()
    } else if !folder.is_dir() {
        format!("the folder {} does not exist", folder.display())
    } else {
        // It is also read, because its last line may be torn.
        let (what, wanted, access) = if path.exists() {
            (path, "read and write it", Access::READ_OK | Access::WRITE_OK)
        } else {
            (folder, "create it", Access::WRITE_OK | Access::EXEC_OK)
        };
        let access = rustix::fs::access(what, access);
        format!("this user may not {wanted}: {}", access.err()?)
    };
    Some(format!("ringkeeper.audit.file = {}: {why}", path.display()))
}
