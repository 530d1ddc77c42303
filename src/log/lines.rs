//! Formats events as lines of text or JSON, of bounded length.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::kinds::Kinds;
use super::{LogFormat, Speaker, is_harmless};
use crate::limits::{LOG_SENTENCE_BYTES_MAX, LOG_VALUE_BYTES_MAX};

/// The key of the number of omitted lines of a kind.
const UNSAID: &str = "left_out";

/// Fields that hold a sentence of our own, which says what to do.
const SENTENCES: [&str; 5] = ["message", "reason", "error", "failure", "why"];

/// The text of a value, cut if it is too long. The part after the cut is not even formatted.
fn shortened(field: &Field, value: fmt::Arguments<'_>) -> String {
    let is_sentence = SENTENCES.contains(&field.name());
    let bytes_max = if is_sentence { LOG_SENTENCE_BYTES_MAX } else { LOG_VALUE_BYTES_MAX };
    let mut cut = Cut { text: String::new(), bytes_max };
    if cut.write_fmt(value).is_err() {
        cut.text.push('…');
    }
    cut.text
}

/// Accepts text up to a bound, and then fails.
struct Cut {
    text: String,
    bytes_max: usize,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.bytes_max - self.text.len();
        let fits = more.floor_char_boundary(room);
        self.text.push_str(&more[..fits]);
        if fits < more.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Renders events.
pub(super) struct Lines {
    format: LogFormat,
    speaker: Arc<Speaker>,
    kinds: Kinds,
}

impl Lines {
    pub fn new(format: LogFormat, speaker: Arc<Speaker>) -> Self {
        Lines { format, speaker, kinds: Kinds::new() }
    }
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
        // Nothing is rendered for it: the layer then passes on an empty text, which is not written.
        let Some(unsaid) = self.kinds.admit(event.metadata()) else { return Ok(()) };
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
                write!(out, "{}{}", fields.message, fields.rest)?;
                match unsaid {
                    0 => writeln!(out),
                    more => writeln!(out, " {UNSAID}={more}"),
                }
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
                if unsaid > 0 {
                    object.insert(UNSAID.to_owned(), unsaid.into());
                }
                writeln!(out, "{line}")
            }
        }
    }
}

/// Message and `key=value` pairs. Text from a client may contain line ends, or turn what follows it around: such
/// letters are escaped, so that a client cannot forge a line.
#[derive(Default)]
struct TextFields {
    message: String,
    rest: String,
}

impl TextFields {
    fn push(&mut self, field: &Field, value: &str) {
        let plain = is_harmless;
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
        self.push(field, &shortened(field, format_args!("{value}")));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, &shortened(field, format_args!("{value:?}")));
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
        self.push(field, shortened(field, format_args!("{value}")));
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
        self.push(field, shortened(field, format_args!("{value:?}")));
    }
}
