//! The log: lines of text or JSON on standard error, written by a thread of their own.
//!
//! A thread that serves requests must never wait for whoever reads standard error, so it hands its
//! line to a bounded queue; when the queue is full the line is dropped and counted, and the count
//! is written as soon as there is room. A kind of line that a client can provoke at will goes
//! through a [`Limiter`] as well, because even dropped lines cost their formatting.
//!
//! Every line carries who speaks: server id, role and epoch, kept in one [`Speaker`].

use std::fmt::{self, Write as _};
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::id::{Epoch, ServerId};
use crate::time::MonoUs;

/// Lines that wait to be written. Some 200 bytes each: below a megabyte.
const LINES_WAITING_MAX: usize = 4096;

/// How long the end of the process waits for the last lines.
const FLUSH_MS_MAX: u64 = 500;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time LEVEL [server=1 role=standalone] module: message key=value`.
    #[default]
    Text,
    /// One JSON object a line, flat: `time`, `level`, `server`, `role`, `epoch`, `module`,
    /// `message` and the event's own keys.
    Json,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A level (`info`), or levels by module (`info,ringkeeper::net=debug`).
    pub filter: String,
    /// How lines look.
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
        /// What was given.
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

/// What a server is doing, as the lines of its log say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Reading its files.
    Starting = 0,
    /// Alone by configuration.
    Standalone = 1,
    /// In search of a leader.
    Looking = 2,
    /// Leading.
    Leading = 3,
    /// Following.
    Following = 4,
    /// Observing.
    Observing = 5,
}

impl Role {
    const NAMES: [&'static str; 6] =
        ["starting", "standalone", "looking", "leading", "following", "observing"];
}

/// Who speaks in the log. One for the process; changed as the role changes.
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

    /// Sets what it does, and in which epoch. The two may be seen apart by a line in between.
    pub fn set_role(&self, role: Role, epoch: Epoch) {
        self.role.store(role as u8, Ordering::Relaxed);
        self.epoch.store(epoch.0, Ordering::Relaxed);
    }

    fn role_name(&self) -> &'static str {
        Role::NAMES[usize::from(self.role.load(Ordering::Relaxed))]
    }
}

/// Sets up the log of the process. Lines are written while the result lives, and a panic is the
/// last of them.
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
    let lost = Arc::clone(&queue.lost);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&receiver, &lost, &mut io::stderr()))?;
    let lines = Lines { format: options.format, speaker: Arc::clone(&speaker) };
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

/// Makes a panic a line of the log, after the lines that led to it.
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

/// The log of the process; dropping it writes what still waits.
#[derive(Debug)]
pub struct Log {
    queue: Queue,
    speaker: Arc<Speaker>,
}

impl Log {
    /// Who speaks.
    pub fn speaker(&self) -> &Arc<Speaker> {
        &self.speaker
    }

    /// Waits until all lines so far are written, half a second at most.
    pub fn flush(&self) {
        self.queue.flush();
    }

    /// Does what [`Log::flush`] does, for who has not got the log.
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
    /// Everything before it has been written once this is answered.
    Flush(SyncSender<()>),
}

/// The way to the writing thread. Never blocks.
#[derive(Clone, Debug)]
struct Queue {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Queue {
    fn new(lines_max: usize) -> (Queue, Receiver<Message>) {
        let (sender, receiver) = sync_channel(lines_max);
        (Queue { sender, lost: Arc::default() }, receiver)
    }

    fn flush(&self) {
        let (answer, answered) = sync_channel(1);
        // Several times a little: the queue may be full at the moment, and must not be waited for
        // without end.
        for _ in 0..FLUSH_MS_MAX / 10 {
            match self.sender.try_send(Message::Flush(answer.clone())) {
                Ok(()) => {
                    // The thread may be gone or its reader stalled: then there is nobody to tell.
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
        if self.0.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until every sender is gone. What cannot be written is dropped: there is no other
/// place to complain.
fn write_lines(receiver: &Receiver<Message>, lost: &AtomicU64, out: &mut dyn io::Write) {
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Line(line) => drop(out.write_all(&line)),
            Message::Flush(answer) => drop(answer.try_send(())),
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lines => {
                let line = format!("WARN log: standard error is slow lines_lost={lines}\n");
                drop(out.write_all(line.as_bytes()));
            }
        }
    }
}

/// Renders events.
struct Lines {
    format: LogFormat,
    speaker: Arc<Speaker>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::with_capacity(32);
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let level = event.metadata().level().as_str();
        let target = event.metadata().target();
        let module = target.strip_prefix("ringkeeper::").unwrap_or(target);
        let server = self.speaker.server.load(Ordering::Relaxed);
        let role = self.speaker.role_name();
        let epoch = self.speaker.epoch.load(Ordering::Relaxed);
        match self.format {
            LogFormat::Text => {
                write!(
                    out,
                    "{time} {level:5} [server={server} role={role} epoch={epoch}] {module}: "
                )?;
                let mut fields = TextFields::default();
                event.record(&mut fields);
                writeln!(out, "{}{}", fields.message, fields.rest)
            }
            LogFormat::Json => {
                let mut fields = JsonFields(serde_json::Map::new());
                event.record(&mut fields);
                let mut line = serde_json::json!({
                    "time": time, "level": level, "server": server, "role": role, "epoch": epoch,
                    "module": module,
                });
                let object = line.as_object_mut().expect("it was made an object above");
                object.append(&mut fields.0);
                writeln!(out, "{line}")
            }
        }
    }
}

/// Message and `key=value` pairs. What a client chose may hold line ends: they are escaped, so that
/// nobody can write a line of their own.
#[derive(Default)]
struct TextFields {
    message: String,
    rest: String,
}

impl TextFields {
    fn push(&mut self, field: &Field, value: &str) {
        let plain = |c: char| !c.is_control();
        if field.name() == "message" {
            for c in value.chars() {
                if plain(c) {
                    self.message.push(c);
                } else {
                    self.message.extend(c.escape_default());
                }
            }
            return;
        }
        let quoted = value.is_empty()
            || value.chars().any(|c| c.is_whitespace() || c == '"' || c == '=' || !plain(c));
        // Writing to a string cannot fail.
        let _ = if quoted {
            write!(self.rest, " {}={value:?}", field.name())
        } else {
            write!(self.rest, " {}={value}", field.name())
        };
    }
}

impl Visit for TextFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, &format!("{value:?}"));
    }
}

struct JsonFields(serde_json::Map<String, serde_json::Value>);

impl JsonFields {
    fn push(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for JsonFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}"));
    }
}

/// Lets a bounded number of lines of one kind through in a second.
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
    /// Lets this many lines through in each second, at least one.
    pub const fn new(lines_per_second_max: u32) -> Limiter {
        assert!(lines_per_second_max > 0);
        Limiter { lines_per_second_max, second: 0, lines: 0, suppressed: 0 }
    }

    /// Whether a line may be written now; if so, how many were suppressed since the last one, to be
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
        let (queue, receiver) = Queue::new(100);
        let speaker = Arc::new(Speaker::default());
        speaker.set_server(ServerId(3));
        speaker.set_role(Role::Leading, Epoch(7));
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Lines { format, speaker })
            .with_writer(queue.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, events);
        let mut written = Vec::new();
        let lost = Arc::clone(&queue.lost);
        drop(queue);
        write_lines(&receiver, &lost, &mut written);
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
        let lost = Arc::clone(&queue.lost);
        drop(queue);
        let mut written = Vec::new();
        write_lines(&receiver, &lost, &mut written);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, "1\nWARN log: standard error is slow lines_lost=2\n2\n");
    }

    #[test]
    fn a_flush_waits_for_what_was_said_before() {
        let (queue, receiver) = Queue::new(10);
        let lost = Arc::clone(&queue.lost);
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
        let thread = std::thread::spawn(move || write_lines(&receiver, &lost, &mut out));
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
