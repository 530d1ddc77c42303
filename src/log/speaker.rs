//! Who speaks in the lines: the server's id, role and epoch.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use crate::id::{Epoch, ServerId};

/// The role of a server in its log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LoggedState {
    /// Reading its files.
    Starting = 0,
    /// Standalone.
    Standalone = 1,
    /// Looking for a leader.
    Looking = 2,
    /// Leading.
    Leading = 3,
    /// Following.
    Following = 4,
    /// Observing.
    Observing = 5,
}

impl LoggedState {
    const NAMES: [&'static str; 6] =
        ["starting", "standalone", "looking", "leading", "following", "observing"];
}

/// The server's id, role and epoch in log lines. One for the process; it changes with the role.
#[derive(Debug, Default)]
pub struct Speaker {
    pub(super) server: AtomicI64,
    role: AtomicU8,
    pub(super) epoch: AtomicI64,
}

impl Speaker {
    /// Sets the number of the server.
    pub fn set_server(&self, server: ServerId) {
        self.server.store(server.0, Ordering::Relaxed);
    }

    /// Sets role and epoch. A line written in between may have only one of the new values.
    pub fn set_role(&self, role: LoggedState, epoch: Epoch) {
        self.role.store(role as u8, Ordering::Relaxed);
        self.epoch.store(epoch.0, Ordering::Relaxed);
    }

    pub(super) fn role_name(&self) -> &'static str {
        LoggedState::NAMES[usize::from(self.role.load(Ordering::Relaxed))]
    }
}
