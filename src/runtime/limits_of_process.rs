//! What the process needs from the system before it starts: io_uring, descriptors, locked memory.
//!
//! Checked before any executor exists: glommio panics or prints jokes where this says what is
//! wrong and how to allow it.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Why the server cannot run here. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `io_uring_setup` is forbidden or missing.
    #[error("{0}")]
    IoUring(String),
    /// Too little memory may be locked for the rings.
    #[error(
        "only {allowed_kib} KiB of memory may be locked (RLIMIT_MEMLOCK); the rings need at least \
         {needed_kib} KiB. Raise it: `ulimit -l {needed_kib}` in the shell that starts the server, \
         `LimitMEMLOCK=` in its systemd unit, or `--ulimit memlock=` for a container"
    )]
    LockedMemory {
        /// What the limit is.
        allowed_kib: u64,
        /// What it has to be.
        needed_kib: u64,
    },
}

/// glommio refuses to start an executor below this limit.
const LOCKED_KIB_MIN: u64 = 512;

/// Checks that this process may use io_uring, by making a ring.
///
/// # Errors
/// A message for an operator: what forbids it, and how to allow it.
pub fn check_io_uring() -> Result<(), StartError> {
    match io_uring::IoUring::new(8) {
        Ok(ring) => {
            // Came with the same version as polls that stay armed.
            if !ring.params().is_feature_resource_tagging() {
                return Err(StartError::IoUring(
                    "this kernel's io_uring is too old: Linux 5.13 or newer is needed".into(),
                ));
            }
        }
        Err(error) => return Err(StartError::IoUring(io_uring_advice(&error, sysctl()))),
    }
    let locked = getrlimit(Resource::Memlock);
    match locked.current {
        Some(bytes) if bytes < LOCKED_KIB_MIN * 1024 => {
            Err(StartError::LockedMemory { allowed_kib: bytes / 1024, needed_kib: LOCKED_KIB_MIN })
        }
        _ => Ok(()),
    }
}

fn sysctl() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

/// What to tell an operator when making a ring failed. `disabled` is the value of the sysctl
/// `kernel.io_uring_disabled`, if it could be read.
fn io_uring_advice(error: &io::Error, disabled: Option<u32>) -> String {
    const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();
    const EACCES: i32 = rustix::io::Errno::ACCESS.raw_os_error();
    const ENOSYS: i32 = rustix::io::Errno::NOSYS.raw_os_error();
    const ENOMEM: i32 = rustix::io::Errno::NOMEM.raw_os_error();
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
        (Some(ENOMEM), _) => format!(
            "the kernel has no memory to lock for io_uring ({error}): raise RLIMIT_MEMLOCK \
             (`ulimit -l`, `LimitMEMLOCK=` in systemd)"
        ),
        _ => format!("io_uring does not work here: {error}"),
    }
}

/// Raises the soft limit of open descriptors to the hard one, as ZooKeeper's JVM does; returns
/// what it is then. A connection costs one.
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
        let eperm = io::Error::from_raw_os_error(1);
        assert!(io_uring_advice(&eperm, Some(2)).contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(io_uring_advice(&eperm, Some(0)).contains("seccomp"));
        assert!(io_uring_advice(&eperm, None).contains("seccomp"));
        let enosys = io::Error::from_raw_os_error(38);
        assert!(io_uring_advice(&enosys, None).contains("seccomp"));
        let enomem = io::Error::from_raw_os_error(12);
        assert!(io_uring_advice(&enomem, None).contains("RLIMIT_MEMLOCK"));
    }

    #[test]
    fn this_machine_passes_and_more_files_may_be_open_than_by_default() {
        check_io_uring().unwrap();
        assert!(raise_open_files() >= 1024);
    }
}
