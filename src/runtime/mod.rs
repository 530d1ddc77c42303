//! Where decisions meet the machine: executors, the log's ring, the disk worker, clocks, signals.
//!
//! The only module with `unsafe`, each with what makes it sound.

mod bulk_file;
mod clock;
mod data_folder;
mod disk_worker;
mod doorbell;
mod event;
mod file_folder;
mod limits_of_process;
mod log_ahead;
mod log_ring;
mod read_ahead;
mod signals;

pub use clock::{Clock, ThreadUse, thread_cpu_time};
pub use data_folder::{DataFolder, FolderError, LogDevice};
pub use disk_worker::{DiskWorker, Folders, OpenedSegment, WorkDone, replace, sync_folder};
pub use doorbell::{Doorbell, Listener as DoorbellListener};
pub use event::Event;
pub use file_folder::FileFolder;
pub use limits_of_process::{StartError, check_io_uring, raise_open_files};
pub use log_ring::{LogRing, WRITES_IN_FLIGHT_MAX};
pub use signals::{StopFlag, watch_signals};

use crate::io::{IoFailure, IoFailureKind};

/// The failure of one disk operation in the words of [`crate::io`]: what was done, then why not.
fn failure(what: &str, error: &std::io::Error) -> IoFailure {
    use std::io::ErrorKind;
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            IoFailureKind::Full
        }
        _ => IoFailureKind::Other,
    };
    IoFailure { kind, text: format!("{what}: {error}") }
}

/// Makes a listening socket one of the current executor's.
pub fn adopt_listener(listener: std::net::TcpListener) -> glommio::net::TcpListener {
    use std::os::fd::{FromRawFd, IntoRawFd};
    // SAFETY: the descriptor is open and given up by its owner in the same expression; the new
    // owner closes it when dropped.
    unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) }
}

/// Makes a connection one of the current executor's.
pub fn adopt_stream(stream: std::net::TcpStream) -> glommio::net::TcpStream {
    use std::os::fd::{FromRawFd, IntoRawFd};
    // SAFETY: the descriptor is open and given up by its owner in the same expression; the new
    // owner closes it when dropped.
    unsafe { glommio::net::TcpStream::from_raw_fd(stream.into_raw_fd()) }
}

/// Another descriptor of a connection, which belongs to no executor.
///
/// # Errors
/// The system's: no descriptors are left.
pub fn std_stream(stream: &glommio::net::TcpStream) -> std::io::Result<std::net::TcpStream> {
    use std::os::fd::{AsRawFd, BorrowedFd};
    // SAFETY: the stream keeps its descriptor open while it is borrowed.
    let borrowed = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    Ok(borrowed.try_clone_to_owned()?.into())
}

/// The processors that this process may run on.
pub fn allowed_processors() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(_) => vec![0],
    }
}
