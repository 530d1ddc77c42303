//! The origin of a value, and messages about it.
//!
//! Every message about the configuration begins with an [`Origin`], so that the reader finds the
//! line to change without searching.

use std::fmt;
use std::sync::Arc;

/// Where a value came from. Ordered by file and line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Origin {
    /// The value was not set.
    #[default]
    Default,
    /// A line of a file.
    File {
        /// The file's name as it was given.
        name: Arc<str>,
        /// The line, from 1; 0 for the whole file.
        line: u32,
    },
    /// A `-D` word of an environment variable or of the command line.
    Flag {
        /// The variable, `SERVER_JVMFLAGS` or `JVMFLAGS`, or `the command line`.
        variable: Arc<str>,
    },
}

impl Origin {
    /// The file as a whole.
    pub fn file(name: &str) -> Self {
        Origin::File { name: name.into(), line: 0 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { name, line: 0 } => f.write_str(name),
            Origin::File { name, line } => write!(f, "{name}:{line}"),
            Origin::Flag { variable } => f.write_str(variable),
        }
    }
}

/// Why the server cannot start with this configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Problem {
    /// The file is not in the syntax of its form.
    Syntax,
    /// A value is not what its key allows.
    Value,
    /// Two values contradict each other.
    Conflict,
    /// A required value is missing.
    Missing,
    /// The key asks for something that does not exist here and must not be ignored silently.
    Refused,
}

/// One error of a configuration: where, which key, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {}{text}", key_and_value(.key, .value))]
pub struct ConfigError {
    /// The origin of the value.
    pub origin: Origin,
    /// The kind of error.
    pub problem: Problem,
    /// The key as it was written; empty if the error is not about a single key.
    pub key: String,
    /// The value as it was written; `None` if there is none or it is a secret.
    pub value: Option<String>,
    /// What is wrong and which values are allowed, as a clause.
    pub text: String,
}

/// Values longer than this are cut in messages, so that one bad line cannot fill the log.
const VALUE_SHOWN_CHARS_MAX: usize = 120;

fn key_and_value(key: &str, value: &Option<String>) -> String {
    match value {
        _ if key.is_empty() => String::new(),
        None => format!("{}: ", printable(key)),
        Some(value) => format!("{} = {}: ", printable(key), printable(value)),
    }
}

/// The text on one line, without control characters, and not too long.
pub(crate) fn printable(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(VALUE_SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(VALUE_SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// How much a [`Note`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth a line at start-up: the key has no meaning here.
    Info,
    /// Something is probably not as the operator intended.
    Warn,
}

/// One start-up line about the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub level: Level,
    /// The origin of the value.
    pub origin: Origin,
    /// The key as it was written; empty if the note is not about a single key.
    pub key: String,
    /// The note, as a clause.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.text)
        } else {
            write!(f, "{}: {}: {}", self.origin, printable(&self.key), self.text)
        }
    }
}
