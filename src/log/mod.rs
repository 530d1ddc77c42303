//! The log: lines of text or JSON on standard error, written by a separate thread.
//!
//! A thread that serves requests must never wait for the reader of standard error, so it puts its line into a
//! bounded queue; when the queue is full the line is dropped and counted, and the count is written as soon as
//! there is room. Of each kind of line (each place in the code that writes one) only a bounded number is
//! rendered, because even dropped lines cost their formatting; omitted lines are counted, and the next line of
//! the kind has the count. A kind that a client can provoke with each request also goes through a [`Limiter`] of
//! its own, with a lower rate. Values are cut: of a path of a megabyte the log has 256 bytes.
//!
//! Every line has the server's id, role and epoch, kept in one [`Speaker`].
//!
//! This is the one module below the edge that acts: the core may write lines, and no decision depends on them.

mod kinds;
mod limiter;
mod lines;
mod queue;
mod speaker;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, OnceLock};

pub use limiter::Limiter;
use lines::Lines;
use queue::{Queue, write_lines};
pub use speaker::{LoggedState, Speaker};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Whether a letter of a text from outside may stand in a line as it is: it ends no line, moves nothing on a terminal,
/// and does not turn the direction in which the text around it is read.
pub fn is_harmless(letter: char) -> bool {
    let ends_a_line = matches!(letter, '\u{2028}' | '\u{2029}');
    let turns_text = matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !letter.is_control() && !ends_a_line && !turns_text
}

/// Lines that wait to be written.
const LINES_WAITING_MAX: usize = 4096;

/// The format of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time LEVEL [server=1 role=standalone] module: message key=value`.
    #[default]
    Text,
    /// One JSON object a line, flat: `time`, `level`, `server`, `role`, `epoch`, `module`,
    /// `message` and the event's own keys.
    Json,
}

/// Options of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A level (`info`), or levels by module (`info,ringkeeper::net=debug`).
    pub filter: String,
    /// The format of lines.
    pub format: LogFormat,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The levels do not parse.
    #[error(
        "log levels {filter:?}: {reason}; allowed: a level (error, warn, info, debug, trace, off) or module=level, separated by commas"
    )]
    Filter {
        /// The given levels.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The writing thread cannot be started.
    #[error("the thread that writes the log cannot be started: {0}")]
    Thread(#[from] io::Error),
    /// It was set up before.
    #[error("the log is set up already")]
    Twice,
}

/// Sets up the log of the process. Lines are written while the result lives; a panic is the last one.
///
/// # Errors
/// The levels do not parse, or the log is set up already.
pub fn start(options: &LogOptions) -> Result<Log, LogError> {
    let filter = EnvFilter::builder().parse(&options.filter).map_err(|error| LogError::Filter {
        filter: options.filter.clone(),
        reason: error.to_string(),
    })?;
    let speaker = Arc::new(Speaker::default());
    let (queue, receiver) = Queue::new(LINES_WAITING_MAX);
    let waiting = Arc::clone(&queue.waiting);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&receiver, &waiting, &mut io::stderr()))?;
    let lines = Lines::new(options.format, Arc::clone(&speaker));
    let layer = tracing_subscriber::fmt::layer().event_format(lines).with_writer(queue.clone());
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()
        .map_err(|_| LogError::Twice)?;
    let log = Log { queue, speaker };
    log_panics(&log);
    Ok(log)
}

/// Logs a panic, after the lines that led to it.
fn log_panics(log: &Log) {
    static QUEUE: OnceLock<Queue> = OnceLock::new();
    if QUEUE.set(log.queue.clone()).is_err() {
        return;
    }
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            place,
            reason = info.payload_as_str().unwrap_or_default(),
            "broken invariant"
        );
        if let Some(queue) = QUEUE.get() {
            queue.flush();
        }
        default(info);
    }));
}

/// The log of the process; dropping it writes the waiting lines.
#[derive(Debug)]
pub struct Log {
    queue: Queue,
    speaker: Arc<Speaker>,
}

impl Log {
    /// The speaker of the process.
    pub fn speaker(&self) -> &Arc<Speaker> {
        &self.speaker
    }

    /// Waits until all lines so far are written, at most half a second.
    pub fn flush(&self) {
        self.queue.flush();
    }

    /// A function that does the same as [`Log::flush`], for callers without the log.
    pub fn flusher(&self) -> impl Fn() + Send + Sync + use<> {
        let queue = self.queue.clone();
        move || queue.flush()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.flush();
    }
}
