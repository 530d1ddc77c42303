//! The outside witness of two servers (`oraclePath`): a file that begins with 1 if this server may go on without the
//! other (`QuorumOracleMaj.askOracle`).
//!
//! Some program outside the ensemble writes the file. Each tick the answer goes to the replica, which decides whether
//! it counts. A file that cannot be read says no, because two servers that both go on alone would have two histories.

use std::io::Read as _;
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::host::Entrance;
use crate::runtime::{Reactor, open_regular};

/// Reads the file at once, and then again after each `every`, as long as the host exists.
///
/// The file is tiny and local; to read it costs less than to hand it to another thread.
pub fn watch(path: PathBuf, every: Duration, entrance: &Rc<Entrance>) {
    let reactor = entrance.reactor();
    look(Witness { path, every, entrance: Rc::downgrade(entrance), failing: false }, &reactor);
}

/// The state of the readings.
struct Witness {
    /// The file.
    path: PathBuf,
    /// The time between two readings: a tick.
    every: Duration,
    /// The way to the replica; gone when the host has ended.
    entrance: Weak<Entrance>,
    /// Whether the last reading has failed, so that the log says it only once.
    failing: bool,
}

/// Reads the file, passes the answer on, and sets a timer for the next time.
fn look(mut witness: Witness, reactor: &Reactor) {
    let Some(entrance) = witness.entrance.upgrade() else { return };
    entrance.set_oracle(witness.ask());
    let then = reactor.clone();
    reactor.after(witness.every, move || look(witness, &then)).detach();
}

impl Witness {
    /// The answer of the file.
    fn ask(&mut self) -> bool {
        let mut first = Vec::new();
        match open_regular(&self.path).and_then(|file| file.take(1).read_to_end(&mut first)) {
            Ok(_) => {
                self.failing = false;
                first == b"1"
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!("{} (oraclePath) cannot be read: {error}", self.path.display());
                }
                false
            }
        }
    }
}
