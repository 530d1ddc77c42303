//! The making of a ring: set up, probed, given what it refers to, restricted, and only then started.
//!
//! A ring that is not started submits nothing, so a ring that runs has all of its restrictions.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::register::Restriction;
use io_uring::{IoUring, squeue};

use super::operation::probe;
use super::{Operation, Ring, RingError, UserData};
use crate::runtime::Doorbell;

/// The number of IORING_REGISTER_FILES_UPDATE.
const REGISTER_FILES_UPDATE: u8 = 6;

/// The number of IORING_REGISTER_BUFFERS_UPDATE.
const REGISTER_BUFFERS_UPDATE: u8 = 16;

/// What a ring is made for.
#[derive(Clone, Copy, Debug)]
pub struct RingOptions {
    /// Entries of the submission queue; further ones wait in our own memory.
    pub entries: u32,
    /// Completions that the ring holds before the kernel has to keep them elsewhere. `None`: twice the entries.
    pub completions: Option<u32>,
    /// Whether completions wait until the ring's thread, the only one that uses it, asks for them; so nothing
    /// interrupts the thread while it works.
    pub defers_completions: bool,
    /// The operations that it uses.
    pub operations: &'static [Operation],
    /// Whether its tables of files and buffers change while it runs.
    pub changes_tables: bool,
}

/// A ring that is not started: it can be given a bell, files and buffers.
pub struct NewRing<D> {
    ring: IoUring,
    operations: &'static [Operation],
    changes_tables: bool,
    /// Whether the kernel waits for the start, and takes restrictions until then.
    is_disabled: bool,
    user_data: PhantomData<D>,
}

impl<D: UserData> NewRing<D> {
    /// Sets up a ring, with those features of the kernel that it has.
    ///
    /// # Errors
    /// The kernel makes no ring, or lacks one of the operations.
    pub fn set_up(options: &RingOptions) -> Result<NewRing<D>, RingError> {
        let (ring, is_disabled) = match build(options, true) {
            Ok(ring) => (ring, true),
            Err(_) => (build(options, false).map_err(RingError::Setup)?, false),
        };
        probe(&ring, options.operations)?;
        let (operations, changes_tables) = (options.operations, options.changes_tables);
        Ok(NewRing { ring, operations, changes_tables, is_disabled, user_data: PhantomData })
    }

    /// Has the kernel ring this bell with completions, from [`Ring::ring_bell`] on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn register_bell(&self, bell: &Doorbell) -> Result<(), RingError> {
        let fd = bell.as_fd().as_raw_fd();
        self.ring.submitter().register_eventfd(fd).map_err(RingError::Bell)
    }

    /// Registers a table of files; -1 stands for none. The ring keeps them open.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn register_files(&self, files: &[RawFd]) -> Result<(), RingError> {
        self.ring.submitter().register_files(files).map_err(RingError::Files)
    }

    /// Registers an empty table of buffers.
    ///
    /// # Errors
    /// The system's: a ring without the table works the same, a little slower.
    pub fn register_buffers(&self, slots: u32) -> io::Result<()> {
        self.ring.submitter().register_buffers_sparse(slots)
    }

    /// Restricts the ring to its operations, where the kernel can, and starts it.
    ///
    /// # Errors
    /// The kernel does not start it.
    pub fn start(self) -> Result<Ring<D>, RingError> {
        if self.is_disabled {
            if let Err(error) = self.restrict() {
                // It works the same without.
                tracing::debug!("an io_uring ring is not restricted to its operations: {error}");
            }
            self.ring.submitter().register_enable_rings().map_err(RingError::Start)?;
        }
        let mut ring = Ring::running(self.ring);
        ring.ring_bell(false);
        Ok(ring)
    }

    fn restrict(&self) -> io::Result<()> {
        let mut allowed: Vec<Restriction> =
            self.operations.iter().map(|operation| Restriction::sqe_op(operation.code())).collect();
        if self.changes_tables {
            allowed.push(Restriction::sqe_flags_allowed(squeue::Flags::FIXED_FILE.bits()));
            allowed.push(Restriction::register_op(REGISTER_FILES_UPDATE));
            allowed.push(Restriction::register_op(REGISTER_BUFFERS_UPDATE));
        }
        self.ring.submitter().register_restrictions(&mut allowed)
    }
}

/// Builds a ring that defers its completions (Linux 6.1), or makes them without interrupting its thread (5.19), or is
/// as any other.
fn build(options: &RingOptions, is_disabled: bool) -> io::Result<IoUring> {
    let new = || {
        let mut builder = IoUring::builder();
        if let Some(completions) = options.completions {
            builder.setup_cqsize(completions);
        }
        if is_disabled {
            builder.setup_r_disabled();
        }
        builder
    };
    let plain = new();
    if !options.defers_completions {
        return plain.build(options.entries);
    }
    let (mut deferred, mut cooperative) = (new(), new());
    deferred.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    cooperative.setup_coop_taskrun().setup_taskrun_flag();
    deferred
        .build(options.entries)
        .or_else(|_| cooperative.build(options.entries))
        .or_else(|_| plain.build(options.entries))
}
