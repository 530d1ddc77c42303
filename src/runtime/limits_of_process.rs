//! Checks, before the start, the limits of the process: io_uring, locked memory, descriptors, threads,
//! the size of files.
//!
//! Checked before any executor exists: where glommio would panic, this names the limit, its value, the
//! needed value, and how to raise it.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::ring::{self, RingError};

/// The needs of a server with some number of executors and configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Threads with a ring of their own.
    pub executors: u32,
    /// Descriptors, not counting clients.
    pub own_files: u64,
    /// Size of the largest file that is prepared in advance.
    pub file_bytes: u64,
}

/// Why the server cannot run here. The text says what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// `io_uring_setup` is forbidden or missing.
    #[error("{0}")]
    IoUring(String),
    /// Other processes of the user have locked all allowed memory.
    #[error("{0}")]
    NoLockedMemory(String),
    /// Too little memory may be locked for the rings.
    #[error(
        "only {allowed_kib} KiB of memory may be locked (RLIMIT_MEMLOCK), and the rings of \
         {executors} executor{} need {needed_kib} KiB. Raise it: `ulimit -l {needed_kib}` in the \
         shell that starts the server, `LimitMEMLOCK={needed_kib}K` in its systemd unit, or \
         `--ulimit memlock={}` for a container{}",
        if *executors == 1 { "" } else { "s" },
        needed_kib * 1024,
        if *executors == 1 { "" } else { "; fewer executors (ringkeeper.cores) need less" }
    )]
    LockedMemory {
        /// The limit.
        allowed_kib: u64,
        /// The needed value.
        needed_kib: u64,
        /// The number of executors.
        executors: u32,
    },
    /// Too few descriptors.
    #[error(
        "only {allowed} files may be open (RLIMIT_NOFILE, the hard limit), and the server needs \
         {needed}, and one more for each client beyond {CLIENTS_MIN}. Raise it: `ulimit -Hn 65536` \
         in the shell that starts the server, `LimitNOFILE=65536` in its systemd unit, or `--ulimit \
         nofile=65536` for a container"
    )]
    OpenFiles {
        /// The limit.
        allowed: u64,
        /// The needed value.
        needed: u64,
    },
    /// Files may not become large enough.
    #[error(
        "files may have at most {allowed_kib} KiB (RLIMIT_FSIZE), and a file of the transaction log \
         has {needed_kib} KiB from its beginning (preAllocSize); snapshots have as many as the data. \
         Raise it: `ulimit -f unlimited` in the shell that starts the server, \
         `LimitFSIZE=infinity` in its systemd unit"
    )]
    FileSize {
        /// The limit.
        allowed_kib: u64,
        /// The needed value.
        needed_kib: u64,
    },
    /// Too few threads may be started.
    #[error(
        "only {started} of the {needed} threads that the server needs could be started ({error}): \
         {limit}. Raise it: `ulimit -u 4096` in the shell that starts the server, which counts every \
         thread of the user, `TasksMax=` and `LimitNPROC=` in its systemd unit, or `--pids-limit` for \
         a container"
    )]
    Threads {
        /// Threads that could be started.
        started: u32,
        /// Threads needed.
        needed: u32,
        /// The system's error.
        error: String,
        /// The limits that are in force.
        limit: String,
    },
}

/// glommio refuses to start an executor below this limit.
const LOCKED_KIB_MIN: u64 = 512;

/// Memory that an executor locks: three rings of glommio with their buffers, and the ring of the sockets.
/// Measured on Linux 6.18 without CAP_IPC_LOCK: one executor starts with 512 KiB, three do not with 1024,
/// eight do with 4096.
const LOCKED_KIB_PER_EXECUTOR: u64 = 512;

/// The least number of clients for which a server must have room.
pub const CLIENTS_MIN: u64 = 16;

/// An executor's own thread, and the one that glommio makes for it to wait in.
const THREADS_PER_EXECUTOR: u32 = 2;

/// Threads beside the executors: main, signals, the log lines, the disk worker, readers of the log, the
/// purge, resolvers of names; and workers of the kernel's rings, which also count.
const THREADS_BESIDE_EXECUTORS: u32 = 12;

/// Room above `preAllocSize` that a log file must find. A file has that size, rounded up to whole blocks; if that is
/// less than the largest group of transactions, the file has the size of the group, twice the longest frame.
const FILE_BYTES_BEYOND: u64 = 1 << 20;

/// All limits that keep a server with these needs from starting here.
pub fn obstacles(needs: &Needs) -> Vec<StartError> {
    let mut found = Vec::new();
    let Needs { executors, own_files, file_bytes } = *needs;
    let needed_kib = locked_kib(executors);
    // Checked first: too little of it also makes the ring fail, with a less helpful error.
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < needed_kib * 1024 => {
            found.push(StartError::LockedMemory {
                allowed_kib: bytes / 1024,
                needed_kib,
                executors,
            });
        }
        _ => found.extend(check_io_uring(needed_kib).err()),
    }
    let needed = own_files + CLIENTS_MIN;
    found.extend(
        getrlimit(Resource::Nofile)
            .maximum
            .filter(|allowed| *allowed < needed)
            .map(|allowed| StartError::OpenFiles { allowed, needed }),
    );
    let needed = file_bytes + FILE_BYTES_BEYOND;
    found.extend(getrlimit(Resource::Fsize).current.filter(|allowed| *allowed < needed).map(
        |allowed| StartError::FileSize { allowed_kib: allowed / 1024, needed_kib: needed / 1024 },
    ));
    found.extend(check_threads(THREADS_PER_EXECUTOR * executors + THREADS_BESIDE_EXECUTORS).err());
    found
}

/// A warning about a limit that suffices for the start but may cause failures later.
pub fn limit_warnings() -> Option<String> {
    let bytes = getrlimit(Resource::Fsize).current?;
    Some(format!(
        "files may have at most {} KiB (RLIMIT_FSIZE): a snapshot that grows beyond that cannot be \
         written; `ulimit -f unlimited` in the shell that starts the server, or \
         `LimitFSIZE=infinity` in its systemd unit",
        bytes / 1024
    ))
}

/// Checks that this process may use io_uring, by making a ring.
fn check_io_uring(needed_kib: u64) -> Result<(), StartError> {
    match ring::check() {
        Ok(()) => Ok(()),
        Err(RingError::Setup(error)) => {
            let locked = getrlimit(Resource::Memlock).current;
            let advice = io_uring_advice(&error, sysctl(), locked, needed_kib);
            Err(match error.raw_os_error() {
                Some(ENOMEM) => StartError::NoLockedMemory(advice),
                _ => StartError::IoUring(advice),
            })
        }
        Err(error) => Err(StartError::IoUring(error.to_string())),
    }
}

/// Advice for an operator if the rings of a server could lock no memory.
pub fn locked_memory_advice(needs: &Needs) -> String {
    let locked = getrlimit(Resource::Memlock).current;
    let error = io::Error::from_raw_os_error(ENOMEM);
    io_uring_advice(&error, None, locked, locked_kib(needs.executors))
}

fn locked_kib(executors: u32) -> u64 {
    match may_lock_without_limit() {
        true => LOCKED_KIB_MIN,
        false => LOCKED_KIB_PER_EXECUTOR * u64::from(executors),
    }
}

const ENOMEM: i32 = rustix::io::Errno::NOMEM.raw_os_error();

/// Whether this process has CAP_IPC_LOCK, with which the limit on locked memory does not count.
fn may_lock_without_limit() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> CAP_IPC_LOCK & 1 == 1
}

fn sysctl() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

/// Advice for an operator if making a ring failed. `disabled` is the value of the sysctl
/// `kernel.io_uring_disabled`, if it could be read; `locked` is the limit on locked memory, in bytes.
fn io_uring_advice(
    error: &io::Error,
    disabled: Option<u32>,
    locked: Option<u64>,
    needed_kib: u64,
) -> String {
    const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();
    const EACCES: i32 = rustix::io::Errno::ACCESS.raw_os_error();
    const ENOSYS: i32 = rustix::io::Errno::NOSYS.raw_os_error();
    match (error.raw_os_error(), disabled) {
        (Some(EPERM | EACCES), Some(level @ 1..)) => format!(
            "io_uring is switched off on this machine (kernel.io_uring_disabled = {level}). \
             Ringkeeper does all its input and output through io_uring and cannot run without it. \
             Allow it with `sysctl -w kernel.io_uring_disabled=0`, and in /etc/sysctl.d to keep it"
        ),
        (Some(EPERM | EACCES | ENOSYS), _) => format!(
            "this process may not use io_uring ({error}). Ringkeeper does all its input and output \
             through io_uring and cannot run without it. In a container this is the default \
             seccomp profile of Docker and containerd, which forbids io_uring_setup, \
             io_uring_enter and io_uring_register: start the container with a profile that allows \
             these three calls (`docker run --security-opt seccomp=PROFILE.json`, in Kubernetes \
             `securityContext.seccompProfile` of type Localhost), or with `seccomp=unconfined` to \
             try it. Outside of a container, the kernel was built without io_uring"
        ),
        (Some(ENOMEM), _) => {
            let allowed = match locked {
                Some(bytes) => format!("may lock {} KiB (RLIMIT_MEMLOCK)", bytes / 1024),
                None => "may lock as much as they like".to_owned(),
            };
            format!(
                "the kernel locks no memory for io_uring ({error}): all processes of this user \
                 together {allowed}, and this server needs {needed_kib} KiB of it. End some of \
                 them, or raise the limit (`ulimit -l`, `LimitMEMLOCK=` in a systemd unit, \
                 `--ulimit \
                 memlock=` for a container); if it is high enough, the machine or its control group \
                 has no memory left"
            )
        }
        _ => format!("io_uring does not work here: {error}"),
    }
}

/// Starts the threads that this process lacks to `needed` at once, and ends them: several limits apply,
/// and they also count other processes of the user.
fn check_threads(needed: u32) -> Result<(), StartError> {
    // Holds each of them until the last one was tried, so that all exist at the same time.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().expect("nobody panics with it");
    let mut threads = Vec::new();
    let mut failure = None;
    let own = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    let own = u32::try_from(own).expect("no more than the kernel has");
    for _ in own..needed {
        let gate = gate.clone();
        let thread = std::thread::Builder::new().name("rk-probe".into()).stack_size(64 << 10);
        match thread.spawn(move || drop(gate.lock())) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    drop(closed);
    let started = own + u32::try_from(threads.len()).expect("no more than were needed");
    for thread in threads {
        thread.join().expect("it does nothing");
    }
    match failure {
        None => Ok(()),
        Some(error) => Err(StartError::Threads {
            started,
            needed,
            error: error.to_string(),
            limit: limit_of_threads(),
        }),
    }
}

/// The limits on threads of this process, in words.
fn limit_of_threads() -> String {
    let mut limits = Vec::new();
    if let Some(count) = getrlimit(Resource::Nproc).current {
        limits.push(format!("this user may have {count} (RLIMIT_NPROC, `ulimit -u`)"));
    }
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned();
    let max = fs::read_to_string(format!("/sys/fs/cgroup{group}/pids.max"));
    if let Some(max) = max.ok().filter(|max| max.trim() != "max") {
        limits.push(format!("this control group may have {} (pids.max)", max.trim()));
    }
    match limits.is_empty() {
        true => "the machine allows no more (kernel.threads-max, kernel.pid_max)".to_owned(),
        false => limits.join(", and "),
    }
}

/// Raises the soft limit of open descriptors to the hard one, as ZooKeeper's JVM does; returns the new
/// value. A connection costs one.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let reached = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    reached.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_what_forbids_io_uring() {
        let advice = |code: i32, disabled| {
            io_uring_advice(&io::Error::from_raw_os_error(code), disabled, Some(64 << 10), 1536)
        };
        assert!(advice(1, Some(2)).contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(advice(1, Some(0)).contains("seccomp"));
        assert!(advice(1, None).contains("seccomp"));
        assert!(advice(38, None).contains("seccomp"));
        let memory = advice(12, None);
        assert!(memory.contains("may lock 64 KiB (RLIMIT_MEMLOCK)"), "{memory}");
        assert!(memory.contains("needs 1536 KiB"), "{memory}");
    }

    #[test]
    fn this_machine_passes_and_more_files_may_be_open_than_by_default() {
        let needs = Needs { executors: 1, own_files: 80, file_bytes: 1 << 16 };
        assert_eq!(obstacles(&needs), []);
        assert!(raise_open_files() >= 1024);
    }

    #[test]
    fn what_is_lacking_is_said_in_numbers() {
        let texts: Vec<String> = [
            StartError::LockedMemory { allowed_kib: 64, needed_kib: 1536, executors: 3 },
            StartError::OpenFiles { allowed: 64, needed: 96 },
            StartError::FileSize { allowed_kib: 100, needed_kib: 66560 },
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        for (text, parts) in texts.iter().zip([
            ["64 KiB", "`ulimit -l 1536`", "memlock=1572864"],
            ["only 64 files", "needs 96", "`ulimit -Hn 65536`"],
            ["at most 100 KiB", "66560 KiB", "`ulimit -f unlimited`"],
        ]) {
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }
}
