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

mod kinds;
mod lines;

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lines::Lines;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::id::{Epoch, ServerId};
use crate::limits;
use crate::time::MonoUs;

/// Lines that wait to be written.
const LINES_WAITING_MAX: usize = 4096;

/// How long the end of the process waits for the last lines.
const FLUSH_MS_MAX: u64 = 500;

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
    server: AtomicI64,
    role: AtomicU8,
    epoch: AtomicI64,
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

    fn role_name(&self) -> &'static str {
        LoggedState::NAMES[usize::from(self.role.load(Ordering::Relaxed))]
    }
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

enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it has been written.
    Flush(SyncSender<()>),
}

/// The queue to the writing thread. Never blocks.
#[derive(Clone, Debug)]
struct Queue {
    sender: SyncSender<Message>,
    waiting: Arc<Waiting>,
}

/// Counters that both ends of the queue share.
#[derive(Debug, Default)]
struct Waiting {
    /// Bytes of lines that wait: at most [`limits::LOG_LINES_WAITING_BYTES_MAX`], and a line of each thread more.
    bytes: AtomicUsize,
    /// Lines that were dropped for lack of room.
    lost: AtomicU64,
}

impl Queue {
    fn new(lines_max: usize) -> (Queue, Receiver<Message>) {
        let (sender, receiver) = sync_channel(lines_max);
        (Queue { sender, waiting: Arc::default() }, receiver)
    }

    fn flush(&self) {
        let (answer, answered) = sync_channel(1);
        // Several short waits: the queue may be full at the moment, and the wait must be bounded.
        for _ in 0..FLUSH_MS_MAX / 10 {
            match self.sender.try_send(Message::Flush(answer.clone())) {
                Ok(()) => {
                    // The thread may be gone or its reader stalled: then there is nothing more to do.
                    let _ = answered.recv_timeout(Duration::from_millis(FLUSH_MS_MAX));
                    return;
                }
                Err(TrySendError::Full(_)) => std::thread::sleep(Duration::from_millis(10)),
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = QueueWriter<'a>;

    fn make_writer(&'a self) -> QueueWriter<'a> {
        QueueWriter(self)
    }
}

struct QueueWriter<'a>(&'a Queue);

impl io::Write for QueueWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let waiting = &self.0.waiting;
        let has_room = waiting.bytes.load(Ordering::Relaxed) < limits::LOG_LINES_WAITING_BYTES_MAX;
        // Counted before the line can be written, so that the count never falls below 0.
        waiting.bytes.fetch_add(line.len(), Ordering::Relaxed);
        if !has_room || self.0.sender.try_send(Message::Line(line.to_vec())).is_err() {
            waiting.bytes.fetch_sub(line.len(), Ordering::Relaxed);
            waiting.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until every sender is gone. A line that cannot be written is dropped: there is no other place to
/// report the failure.
fn write_lines(receiver: &Receiver<Message>, waiting: &Waiting, out: &mut dyn io::Write) {
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Line(line) => {
                drop(out.write_all(&line));
                waiting.bytes.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Message::Flush(answer) => drop(answer.try_send(())),
        }
        match waiting.lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lines => {
                let line = format!("WARN log: standard error is slow lines_lost={lines}\n");
                drop(out.write_all(line.as_bytes()));
            }
        }
    }
}

/// Admits a bounded number of lines of one kind per second.
///
/// One for each kind of line that a client can provoke (a malformed frame, a refused connection);
/// it belongs to the thread that writes them.
#[derive(Clone, Debug)]
pub struct Limiter {
    lines_per_second_max: u32,
    second: u64,
    lines: u32,
    suppressed: u64,
}

impl Limiter {
    /// Admits this many lines per second, at least one.
    pub const fn new(lines_per_second_max: u32) -> Limiter {
        assert!(lines_per_second_max > 0);
        Limiter { lines_per_second_max, second: 0, lines: 0, suppressed: 0 }
    }

    /// Whether a line may be written now; if so, returns how many were suppressed since the last one, to be
    /// written with it.
    pub fn admit(&mut self, now: MonoUs) -> Option<u64> {
        let second = now.0 / 1_000_000;
        if second != self.second {
            self.second = second;
            self.lines = 0;
        }
        if self.lines == self.lines_per_second_max {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Mutex;

    use super::*;

    /// The lines that `events` writes in this format.
    fn lines_of(format: LogFormat, events: impl FnOnce()) -> String {
        let (queue, receiver) = Queue::new(10_000);
        let speaker = Arc::new(Speaker::default());
        speaker.set_server(ServerId(3));
        speaker.set_role(LoggedState::Leading, Epoch(7));
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Lines::new(format, speaker))
            .with_writer(queue.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, events);
        let mut written = Vec::new();
        let waiting = Arc::clone(&queue.waiting);
        drop(queue);
        write_lines(&receiver, &waiting, &mut written);
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_text_line_says_who_speaks_and_quotes_what_needs_it() {
        let line = lines_of(LogFormat::Text, || {
            tracing::warn!(target: "ringkeeper::net", peer = "10.0.0.1:5", reason = "too long", n = 4, "closed");
        });
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() >= 20, "{time}");
        assert_eq!(
            rest,
            "WARN  [server=3 role=leading epoch=7] net: closed peer=10.0.0.1:5 reason=\"too long\" n=4\n"
        );
    }

    #[test]
    fn nobody_can_smuggle_a_line_into_the_log() {
        let line = lines_of(LogFormat::Text, || {
            tracing::info!(path = "/a\n2026 ERROR forged", "seen \u{1b}[31m {}", "x\ny");
        });
        assert_eq!(line.lines().count(), 1);
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let line = lines_of(LogFormat::Json, || {
            tracing::info!(bytes = 12, ok = true, path = "/a\"b", "read");
        });
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["bytes"], 12);
        assert_eq!(object["ok"], true);
        assert_eq!(object["path"], "/a\"b");
        assert_eq!(object["message"], "read");
        assert_eq!(object["server"], 3);
        assert_eq!(object["role"], "leading");
        assert_eq!(object["level"], "INFO");
    }

    #[test]
    fn a_full_queue_drops_lines_and_says_how_many() {
        let (queue, receiver) = Queue::new(2);
        for line in [b"1\n", b"2\n", b"3\n", b"4\n"] {
            queue.make_writer().write_all(line).unwrap();
        }
        let waiting = Arc::clone(&queue.waiting);
        drop(queue);
        let mut written = Vec::new();
        write_lines(&receiver, &waiting, &mut written);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, "1\nWARN log: standard error is slow lines_lost=2\n2\n");
    }

    #[test]
    fn lines_that_wait_are_bounded_in_bytes() {
        let (queue, receiver) = Queue::new(100_000);
        let line = vec![b'x'; 16 << 10];
        for _ in 0..1000 {
            queue.make_writer().write_all(&line).unwrap();
        }
        let waiting = Arc::clone(&queue.waiting);
        let bytes = waiting.bytes.load(Ordering::Relaxed);
        assert!((4 << 20..(4 << 20) + line.len()).contains(&bytes), "{bytes}");
        let lost = usize::try_from(waiting.lost.load(Ordering::Relaxed)).unwrap();
        assert_eq!(lost, 1000 - bytes / line.len());
        drop(queue);
        write_lines(&receiver, &waiting, &mut Vec::new());
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn no_value_makes_a_line_long_and_none_is_cut_within_a_character() {
        let long = "é".repeat(500_000);
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = lines_of(format, || {
                tracing::warn!(path = long, other = ?[&long; 3], reason = long, "said of {long}");
            });
            assert!(line.len() < 2 * 4096 + 2 * 256 + 300, "{}", line.len());
            assert!(line.contains(&format!("{}…", "é".repeat(128))), "{line}");
            assert!(line.contains(&format!("{}…", "é".repeat(2048 - 4))), "{line}");
        }
    }

    #[test]
    fn a_kind_of_line_that_comes_without_end_is_left_out_and_counted() {
        let flood = 100_000;
        let text = lines_of(LogFormat::Text, || {
            for n in 0..=flood {
                if n == flood {
                    tracing::info!("another kind");
                    std::thread::sleep(Duration::from_millis(200));
                }
                tracing::info!(n, "the same again");
            }
        });
        let lines: Vec<&str> =
            text.lines().filter(|line| line.contains("the same again")).collect();
        assert!(text.contains("another kind"), "of other kinds nothing is left out");
        let said = lines.len() as u64;
        assert!(said >= limits::LOG_LINES_OF_A_KIND_BURST && said < flood / 10, "{said}");
        let unsaid = |line: &&str| -> Option<u64> { line.split_once("left_out=")?.1.parse().ok() };
        assert_eq!(said + lines.iter().filter_map(unsaid).sum::<u64>(), flood + 1);
    }

    #[test]
    fn a_flush_waits_for_what_was_said_before() {
        let (queue, receiver) = Queue::new(10);
        let waiting = Arc::clone(&queue.waiting);
        let written = Arc::new(Mutex::new(Vec::new()));
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Shared(Arc::clone(&written));
        let thread = std::thread::spawn(move || write_lines(&receiver, &waiting, &mut out));
        queue.make_writer().write_all(b"last words\n").unwrap();
        queue.flush();
        assert_eq!(*written.lock().unwrap(), b"last words\n");
        drop(queue);
        thread.join().unwrap();
    }

    #[test]
    fn a_limiter_counts_what_it_holds_back() {
        let mut limiter = Limiter::new(2);
        let at = |ms: u64| MonoUs(ms * 1000);
        assert_eq!(limiter.admit(at(5_000)), Some(0));
        assert_eq!(limiter.admit(at(5_001)), Some(0));
        assert_eq!(limiter.admit(at(5_002)), None);
        assert_eq!(limiter.admit(at(5_999)), None);
        assert_eq!(limiter.admit(at(6_000)), Some(2));
        assert_eq!(limiter.admit(at(6_001)), Some(0));
        assert_eq!(limiter.admit(at(6_002)), None);
    }

    #[test]
    fn wrong_levels_are_named() {
        let options = LogOptions { filter: "info,net=loud".to_owned(), ..LogOptions::default() };
        let error = start(&options).unwrap_err().to_string();
        assert!(error.contains("net=loud") && error.contains("allowed"), "{error}");
    }
}
