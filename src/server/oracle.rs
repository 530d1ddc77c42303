//! The outside witness of two servers (`oraclePath`): a file that begins with 1 if this server may go on without
//! the other (`QuorumOracleMaj.askOracle`).

use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::host::Entrance;
use crate::runtime::Reactor;

/// Reads the file again and again, as long as the host exists.
///
/// The file is tiny and local; to read it costs less than to hand it to another thread.
pub fn watch(path: PathBuf, every: Duration, entrance: &Rc<Entrance>) {
    let reactor = entrance.reactor();
    look(Witness { path, every, entrance: Rc::downgrade(entrance), failing: false }, &reactor);
}

struct Witness {
    path: PathBuf,
    every: Duration,
    entrance: Weak<Entrance>,
    failing: bool,
}

fn look(mut witness: Witness, reactor: &Reactor) {
    let Some(entrance) = witness.entrance.upgrade() else { return };
    entrance.set_oracle(witness.ask());
    let then = reactor.clone();
    reactor.after(witness.every, move || look(witness, &then)).detach();
}

impl Witness {
    fn ask(&mut self) -> bool {
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                self.failing = false;
                bytes.first() == Some(&b'1')
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
