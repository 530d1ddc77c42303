//! Reports a configuration file that takes long to read.
//!
//! The files are read before the log and the server's phases exist. Without this report, the process would wait
//! silently for a file system that does not answer, or for a pipe without a writer.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long reading a file may take before there is a line about it. Each further line follows after twice the time.
/// Configurations have some kilobytes.
const LINE_AFTER: Duration = Duration::from_secs(2);

/// While this value exists, lines on standard error report that reading the file takes long.
pub(super) struct Awaited {
    read: Option<Sender<()>>,
    watch: Option<JoinHandle<()>>,
}

impl Awaited {
    /// Begins to watch the reading of `path`.
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
                     answer, or it is a pipe without a writer. A signal ends this process at once",
                    path.display(),
                    waited.as_secs()
                );
                line_after = waited;
            }
        };
        // Without the thread there are no such lines; the start of the server soon reports the lack of threads.
        let watch = thread::Builder::new().name("rk-awaited".into()).spawn(watch).ok();
        Awaited { read: Some(read), watch }
    }
}

impl Drop for Awaited {
    /// Waits for the end of the thread, because the server may need the last threads that the system allows.
    fn drop(&mut self) {
        self.read = None;
        if let Some(watch) = self.watch.take() {
            _ = watch.join();
        }
    }
}
