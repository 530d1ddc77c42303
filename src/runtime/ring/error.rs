//! What can go wrong with a ring: one variant per step, each with what to do about it.

use std::io;

use super::Operation;

/// The step of a ring's life that failed. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The kernel makes no ring.
    #[error("the kernel makes no io_uring ring: {0}{advice}", advice = way_out(.0))]
    Setup(io::Error),
    /// The kernel does not say which operations it has.
    #[error("io_uring does not say which operations it has: {0}{advice}", advice = way_out(.0))]
    Probe(io::Error),
    /// The kernel lacks an operation.
    #[error(
        "this kernel's io_uring is too old: it lacks {operation}. Linux 5.13 or newer is needed",
        operation = .0.name()
    )]
    Lacks(Operation),
    /// The bell cannot be registered.
    #[error("io_uring does not accept the eventfd that wakes its thread: {0}{advice}", advice = way_out(.0))]
    Bell(io::Error),
    /// The table of files cannot be registered.
    #[error("io_uring does not accept a table of files: {0}{advice}", advice = way_out(.0))]
    Files(io::Error),
    /// The ring cannot be started.
    #[error("the io_uring ring cannot be started: {0}{advice}", advice = way_out(.0))]
    Start(io::Error),
    /// The kernel takes no entries any more.
    #[error("io_uring takes no more operations: {0}{advice}", advice = way_out(.0))]
    Submit(io::Error),
    /// The thread cannot wait for completions any more.
    #[error("waiting for io_uring failed: {0}{advice}", advice = way_out(.0))]
    Wait(io::Error),
}

impl RingError {
    /// Whether too little memory may be locked, which may change.
    pub fn lacks_memory(&self) -> bool {
        self.system().is_some_and(|error| error.raw_os_error() == Some(libc::ENOMEM))
    }

    /// The system's error, if the step failed with one.
    pub fn system(&self) -> Option<&io::Error> {
        match self {
            RingError::Setup(error)
            | RingError::Probe(error)
            | RingError::Bell(error)
            | RingError::Files(error)
            | RingError::Start(error)
            | RingError::Submit(error)
            | RingError::Wait(error) => Some(error),
            RingError::Lacks(_) => None,
        }
    }
}

/// What an operator can do about the system's error: a sentence to append, or nothing.
fn way_out(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            ". Raise the limit on locked memory (`ulimit -l`, `LimitMEMLOCK=` in a systemd unit), or end other \
             processes of this user that use io_uring"
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            ". Raise the limit on open files (`ulimit -Hn`, `LimitNOFILE=` in a systemd unit)"
        }
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => {
            ". `ringkeeper config check` says what forbids io_uring on this machine"
        }
        Some(libc::EINVAL) => ". Linux 5.13 or newer is needed",
        _ => ". Look into the kernel's log for the reason, and start the server again",
    }
}

impl From<RingError> for io::Error {
    fn from(error: RingError) -> io::Error {
        io::Error::other(error)
    }
}
