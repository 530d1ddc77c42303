//! The access to the machine: executors, the log's ring, the disk worker, clocks, signals.
//!
//! The only module with `unsafe`; each use has a note on why it is sound.

mod bulk_file;
mod clock;
mod crossing_queue;
#[cfg(test)]
mod crossing_queue_tests;
mod data_folder;
mod disk_worker;
mod doorbell;
mod file_folder;
mod gssapi;
mod limits_of_process;
mod listener;
mod log_ahead;
mod log_ring;
mod log_thread;
mod memory;
mod reactor;
mod read_ahead;
mod reading;
mod regular_file;
mod ring;
mod signals;
mod sleep_flag;
mod time_slice;
mod unforeseeable;
mod user;

/// The atomics of [`SleepFlag`](sleep_flag::SleepFlag) and of the queues between threads; tests replace them
/// by ones that try every interleaving.
mod atomics {
    pub use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
}

pub use clock::{Clock, ThreadUse};
pub use crossing_queue::{Receiver, Sender, crossing_queue};
pub use data_folder::{
    DataFolder, FolderError, LogDevice, check_files, check_folder, deny_access_to_new_files, holder,
};
pub use disk_worker::{DiskWorker, Folders, OpenedSegment, WorkDone, replace, sync_folder};
pub use doorbell::Doorbell;
pub use file_folder::FileFolder;
pub use gssapi::{
    Accepted, AcceptorContext, AcceptorKeys, GSSAPI_IS_BUILT, GssError, InitiatorContext,
    InitiatorKeys, default_realm,
};
pub use limits_of_process::{
    CLIENTS_MIN, Needs, StartError, limit_warnings, locked_memory_advice, obstacles,
    raise_open_files,
};
pub use listener::{Process, listener_on};
pub use log_ring::{LogRing, WRITES_IN_FLIGHT_MAX};
pub use memory::{MemoryOfProcess, memory_of_process};
pub use reactor::{Inbox, Reactor, Readiness, Registration, SocketOwner, Timer};
pub use reading::Reading;
pub use regular_file::open_regular;
pub use ring::RingError;
pub use signals::{StopFlag, ignore_hangups_as_before, watch_signals};
pub use time_slice::{Slices, set_slices};
pub use unforeseeable::unforeseeable_bytes;
pub use user::way_out_for_user;

use crate::io::{IoFailure, IoFailureKind, lacks_room};

/// The failure of one disk operation as a [`crate::io`] type: the operation, then the error.
fn failure(what: &str, error: &std::io::Error) -> IoFailure {
    let kind = match lacks_room(error) {
        true => IoFailureKind::Full,
        false => IoFailureKind::Other,
    };
    IoFailure { kind, text: format!("{what}: {error}") }
}

/// Bytes that this process may still write to the file system of a folder; 0 if unknown.
pub fn free_bytes(folder: &std::path::Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Accepts the next connection of a non-blocking listening socket; `None`: there is none.
///
/// # Errors
/// As `accept4(2)`.
pub fn accept(
    listener: &std::net::TcpListener,
) -> std::io::Result<Option<(std::os::fd::OwnedFd, std::net::SocketAddr)>> {
    use rustix::io::Errno;
    use rustix::net::{SocketFlags, acceptfrom_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        match acceptfrom_with(listener, flags) {
            Ok((socket, remote)) => {
                // A connection without an address is already gone: dropping the socket closes it.
                let remote = remote.map(std::net::SocketAddr::try_from);
                if let Some(Ok(remote)) = remote {
                    return Ok(Some((socket, remote)));
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The whole processors that a quota of the control group (`cpu.max`) leaves this process, if those are fewer
/// than it may run on.
pub fn quota_of_processors() -> Option<u32> {
    let usable = std::thread::available_parallelism().ok()?.get();
    (usable < allowed_processors().len()).then(|| u32::try_from(usable).unwrap_or(u32::MAX))
}

/// The processors that this process may run on.
pub fn allowed_processors() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(_) => vec![0],
    }
}
