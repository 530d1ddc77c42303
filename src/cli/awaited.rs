//! Files of the configuration that do not come.
//!
//! They are read before there is a log, and before the server's phases: a file system that does not
//! answer, or a pipe into which nobody writes, would be waited for without a word.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a file may be read before there is a line about it; the next ones follow after twice the
/// time each. Configurations are some kilobytes.
const LINE_AFTER: Duration = Duration::from_secs(2);

/// While it lives, standard error hears of it when reading the file takes long.
pub(super) struct Awaited {
    read: Option<Sender<()>>,
    watch: Option<JoinHandle<()>>,
}

impl Awaited {
    /// Reading `path` begins.
    pub(super) fn begin(path: &Path) -> Awaited {
        let (read, ended) = mpsc::channel::<()>();
        let path = path.to_owned();
        let begun = Instant::now();
        let watch = move || {
            let mut line_after = LINE_AFTER;
            while ended.recv_timeout(line_after) == Err(RecvTimeoutError::Timeout) {
                let waited = begun.elapsed();
                eprintln!(
                    "ringkeeper: waiting for {} to be read, {} s so far: its file system does not \
                     answer, or it is a pipe into which nobody writes. A signal ends this process at \
                     once",
                    path.display(),
                    waited.as_secs()
                );
                line_after = waited;
            }
        };
        // Without a thread there are no such lines; a server that lacks threads says so soon.
        let watch = thread::Builder::new().name("rk-awaited".into()).spawn(watch).ok();
        Awaited { read: Some(read), watch }
    }
}

impl Drop for Awaited {
    /// The thread is gone afterwards: where threads are few, the server needs them itself.
    fn drop(&mut self) {
        self.read = None;
        if let Some(watch) = self.watch.take() {
            _ = watch.join();
        }
    }
}
