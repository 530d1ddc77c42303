//! The outside witness of two servers (`oraclePath`): a file that begins with 1 where this server may
//! go on without the other (`QuorumOracleMaj.askOracle`).

use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::host::Host;
use crate::runtime::Reactor;

/// Reads the file again and again, as long as there is a host.
///
/// The file is tiny and local; reading it costs less than handing it to another thread.
pub fn watch(path: PathBuf, every: Duration, host: &Rc<Host>) {
    look(Witness { path, every, host: Rc::downgrade(host), failing: false }, &host.reactor());
}

struct Witness {
    path: PathBuf,
    every: Duration,
    host: Weak<Host>,
    failing: bool,
}

fn look(mut witness: Witness, reactor: &Reactor) {
    let Some(host) = witness.host.upgrade() else { return };
    host.set_oracle(witness.ask());
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
