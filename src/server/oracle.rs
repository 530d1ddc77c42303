//! The outside witness of two servers (`oraclePath`): a file that begins with 1 where this server may
//! go on without the other (`QuorumOracleMaj.askOracle`).

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::host::Host;

/// Reads the file again and again, for ever.
///
/// The file is tiny and local; reading it costs less than handing it to another thread.
pub async fn watch(path: PathBuf, every: Duration, host: Rc<Host>) {
    let mut failing = false;
    loop {
        let says_yes = match std::fs::read(&path) {
            Ok(bytes) => {
                failing = false;
                bytes.first() == Some(&b'1')
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!("{} (oraclePath) cannot be read: {error}", path.display());
                }
                false
            }
        };
        host.set_oracle(says_yes);
        glommio::timer::sleep(every).await;
    }
}
