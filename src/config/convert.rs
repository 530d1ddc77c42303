//! Converts a `zoo.cfg` into TOML and back, with comments that say what each key does.
//!
//! It works on the content of the file, not on the values in force: unknown and refused keys are
//! carried over, and so are the file's own comments. Comments that this module writes begin with
//! `#:` and are skipped when they are read, so that a round trip does not accumulate them.
//!
//! ```text
//! bytes ─▶ Document ─▶ one Piece for each entry: its comments, its typed value ─▶ text of the other form
//! ```
//! The typed value matters: TOML has numbers, booleans and arrays where a `zoo.cfg` has only text. A value that its
//! key does not allow is an error, because nobody could say what it means in the other form.
//!
//! ```text
//! zoo.cfg                      TOML
//! # our nodes                  # our nodes
//! tickTime=2000                #: unit of all session times (ms)
//! ringkeeper.pin=false         tickTime = 2000
//!
//!                              [ringkeeper]
//!                              #: bind each executor to a core, …
//!                              pin = false
//! ```

use super::document::{
    Comment, Document, Entry, Format, without_own_prefix, write_toml_key, write_toml_string,
};
use super::keys::{Fate, Key, OWN_PREFIX, Place};
use super::origin::{ConfigError, Level, Note, Origin, Problem};
use super::properties::{write_comment, write_pair};
use super::read::{FILE_BYTES_MAX, Resolved, refusal, resolve_in_file, too_large};
use super::value::{Kind, Raw, Value};

/// A converted file.
#[derive(Debug, Clone)]
pub struct Converted {
    /// Its text.
    pub text: String,
    /// Entries that could only be carried over as comments.
    pub notes: Vec<Note>,
}

/// One entry being converted: its comments, and its value as far as it is understood.
struct Piece {
    /// The file's own comments above the entry, without their `#`.
    comments: Vec<String>,
    /// What the key does, as the comment that this module writes.
    about: Option<String>,
    /// The canonical key.
    key: String,
    /// What becomes of the value.
    value: Carried,
    /// Where the entry was, for notes.
    origin: Origin,
}

/// The value of an entry being converted.
enum Carried {
    /// A known key's, as its kind reads it.
    Typed(Kind, Value),
    /// An unknown key's, as it was written.
    Untyped(Raw),
    /// An entry without effect in the file, which would have an effect in the other form.
    Inert(String),
}

/// Converts a file. `name` is for messages. `from` and `to` may be the same: then comments and spellings
/// change.
///
/// # Errors
/// All errors of the file: it is too long, not in its syntax, or has a value that its key does not allow and that is
/// in force.
pub fn convert(
    bytes: &[u8],
    name: &str,
    from: Format,
    to: Format,
) -> Result<Converted, Vec<ConfigError>> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(vec![too_large(name)]);
    }
    let document = Document::read(bytes, name, from);
    let mut errors = document.errors;
    let mut notes = Vec::new();
    let mut comments = document.comments.into_iter().peekable();
    let mut pieces: Vec<Piece> = Vec::new();
    // Which entries count is decided by the keys alone, before any value is read.
    let superseded = superseded(&document.entries, from);
    for (entry, superseded) in document.entries.into_iter().zip(superseded) {
        let mut own_comments = Vec::new();
        while let Some(comment) = comments.next_if(|c| c.line < entry.line) {
            own_comments.extend(kept(comment));
        }
        let (key, text) = (entry.key.clone(), untyped_text(&entry.raw));
        let origin = Origin::File { name: name.into(), line: entry.line };
        match piece(entry, own_comments.clone(), name, from, &mut notes) {
            Ok(piece) => pieces.push(piece),
            // The value of a key that occurs again later does not matter.
            Err(_) if superseded => {
                let value = Carried::Inert(text);
                pieces.push(Piece { comments: own_comments, about: None, key, value, origin });
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    replace_doubles(&mut pieces, &mut notes);
    let rest: Vec<String> = comments.filter_map(kept).collect();
    // Comments below the last entry belong to none, and stay at the end.
    let text = match to {
        Format::ZooCfg => to_properties(&pieces, &rest),
        Format::Toml => to_toml(&pieces, &rest),
    };
    Ok(Converted { text, notes })
}

/// A TOML file without the keys that `drops` names, and with other keys added. Comments stay; the
/// order of keys and the spelling of values may change.
///
/// # Errors
/// It cannot be read.
pub(super) fn rewritten_toml(
    bytes: &[u8],
    name: &str,
    drops: &dyn Fn(&str) -> bool,
    added: &[(&str, &str)],
) -> Result<String, Vec<ConfigError>> {
    let document = Document::read(bytes, name, Format::Toml);
    let mut errors = document.errors;
    let mut comments = document.comments.into_iter().peekable();
    let mut pieces: Vec<Piece> = Vec::new();
    // Comments of an entry that is dropped stay, and move to the next entry.
    let mut above = Vec::new();
    for entry in document.entries {
        while let Some(comment) = comments.next_if(|c| c.line < entry.line) {
            above.extend(kept(comment));
        }
        if drops(&entry.key) {
            continue;
        }
        match piece(entry, std::mem::take(&mut above), name, Format::Toml, &mut Vec::new()) {
            Ok(piece) => pieces.push(piece),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    // Our own keys form a table, which ends the part for other keys: what is added comes before it.
    let own = pieces.iter().position(|piece| without_own_prefix(&piece.key).is_some());
    for &(key, value) in added {
        let value = Carried::Untyped(Raw::Str(value.to_owned()));
        let (comments, origin) = (std::mem::take(&mut above), Origin::file(name));
        let piece = Piece { comments, about: None, key: key.to_owned(), value, origin };
        pieces.insert(own.unwrap_or(pieces.len()), piece);
    }
    let rest: Vec<String> = comments.filter_map(kept).collect();
    Ok(to_toml(&pieces, &rest))
}

/// The entries that have no effect because their key occurs again later.
fn superseded(entries: &[Entry], from: Format) -> Vec<bool> {
    // Two spellings of one key, such as that with our prefix, are the same key.
    let canonical = |entry: &Entry| match resolve_in_file(&entry.key, from) {
        Resolved::Key(_, canonical) => canonical,
        Resolved::Nothing(_) => entry.key.clone(),
    };
    let mut seen = std::collections::HashSet::new();
    let mut superseded: Vec<bool> =
        entries.iter().rev().map(|entry| !seen.insert(canonical(entry))).collect();
    superseded.reverse();
    superseded
}

/// The text of a comment, unless an earlier conversion wrote it.
fn kept(comment: Comment) -> Option<String> {
    (!comment.text.starts_with(':')).then_some(comment.text)
}

/// Makes the piece of an entry.
///
/// # Errors
/// The value is not allowed, or of a type that no key has.
fn piece(
    entry: Entry,
    comments: Vec<String>,
    name: &str,
    from: Format,
    notes: &mut Vec<Note>,
) -> Result<Piece, ConfigError> {
    let Entry { line, key: written, raw } = entry;
    let origin = Origin::File { name: name.into(), line };
    let error = |text| ConfigError {
        origin: origin.clone(),
        problem: Problem::Value,
        key: written.clone(),
        value: None,
        text,
    };
    match resolve_in_file(&written, from) {
        Resolved::Key(row, canonical) => {
            let value = row.kind.read(&raw).map_err(|text| {
                let (shown, text) = refusal(row, &raw, text);
                ConfigError { value: shown, ..error(text) }
            })?;
            let (about, value) = (Some(about(row)), Carried::Typed(row.kind, value));
            Ok(Piece { comments, about, key: canonical, value, origin })
        }
        Resolved::Nothing(why) => {
            if let Raw::Other(type_name) = raw {
                return Err(error(format!("{type_name}: it cannot be carried over")));
            }
            // A key that only a -D word sets has no effect in a zoo.cfg, but has one in TOML; and a
            // key named like our table would collide with it.
            let bare = super::keys::find(&written).is_some_and(|row| row.place == Place::Bare);
            if bare || written == OWN_PREFIX.trim_end_matches('.') {
                let text = format!("carried over as a comment: {why}");
                let (noted, key) = (origin.clone(), written.clone());
                notes.push(Note { level: Level::Warn, origin: noted, key, text });
                let value = Carried::Inert(untyped_text(&raw));
                return Ok(Piece { comments, about: None, key: written, value, origin });
            }
            let value = Carried::Untyped(raw);
            Ok(Piece { comments, about: Some(why), key: written, value, origin })
        }
    }
}

/// Keeps the last of equal keys, which is the one in force, and the others as comments.
fn replace_doubles(pieces: &mut [Piece], notes: &mut Vec<Note>) {
    let mut seen = std::collections::HashSet::new();
    for piece in pieces.iter_mut().rev() {
        if matches!(piece.value, Carried::Inert(_)) || seen.insert(piece.key.clone()) {
            continue;
        }
        let text = match &piece.value {
            Carried::Typed(kind, value) => value.to_text(*kind),
            Carried::Untyped(raw) => untyped_text(raw),
            Carried::Inert(text) => text.clone(),
        };
        notes.push(Note {
            level: Level::Warn,
            origin: piece.origin.clone(),
            key: piece.key.clone(),
            text: "set again further down, where it counts; carried over as a comment".to_owned(),
        });
        piece.value = Carried::Inert(text);
    }
}

/// What a key does, for the comment above it.
fn about(row: &Key) -> String {
    let (word, text) = row.fate_text();
    let unit = if row.unit.is_empty() { String::new() } else { format!(" ({})", row.unit) };
    match row.fate {
        Fate::Acted(_) => format!("{text}{unit}"),
        Fate::Meaningless(_) | Fate::Unbuilt(_) | Fate::Refused { .. } => format!("{word}: {text}"),
    }
}

/// A value as a properties file would have it; empty for a type that it cannot have.
fn untyped_text(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) | Raw::Str(text) => text.clone(),
        Raw::Int(number) => number.to_string(),
        Raw::Float(number) => number.to_string(),
        Raw::Bool(boolean) => boolean.to_string(),
        Raw::List(words) => words.join(","),
        Raw::Other(_) => String::new(),
    }
}

/// Writes a `zoo.cfg`: each entry below its comments. Keys that ZooKeeper reads only as `-D` words get our prefix.
fn to_properties(pieces: &[Piece], rest: &[String]) -> String {
    let mut out = String::new();
    write_comment(
        &mut out,
        ": Written by ringkeeper config convert; lines that begin so are its own.",
    );
    for piece in pieces {
        for comment in &piece.comments {
            write_comment(&mut out, comment);
        }
        if let Some(about) = &piece.about {
            write_comment(&mut out, &format!(": {about}"));
        }
        // In a zoo.cfg of ZooKeeper it would do nothing; with our prefix it does what it did in TOML.
        let bare = super::keys::find(&piece.key).is_some_and(|row| row.place == Place::Bare);
        match &piece.value {
            Carried::Typed(kind, value) if bare => {
                write_pair(&mut out, &format!("{OWN_PREFIX}{}", piece.key), &value.to_text(*kind));
            }
            Carried::Typed(kind, value) => write_pair(&mut out, &piece.key, &value.to_text(*kind)),
            Carried::Untyped(raw) => write_pair(&mut out, &piece.key, &untyped_text(raw)),
            Carried::Inert(text) => write_comment(&mut out, &format!(" {}={text}", piece.key)),
        }
    }
    for comment in rest {
        write_comment(&mut out, comment);
    }
    out
}

/// Writes TOML: first all keys of ZooKeeper, then the table with ours.
fn to_toml(pieces: &[Piece], rest: &[String]) -> String {
    let mut out = String::new();
    toml_comment(
        &mut out,
        ": Written by ringkeeper config convert; lines that begin so are its own.",
    );
    // What is only a comment may stand anywhere, and stays with the keys around it.
    let (own, others): (Vec<&Piece>, Vec<&Piece>) = pieces.iter().partition(|piece| {
        without_own_prefix(&piece.key).is_some() && !matches!(piece.value, Carried::Inert(_))
    });
    for piece in others {
        toml_piece(&mut out, piece, &piece.key);
    }
    // Comments after the last key stay outside the table, which has to come last.
    for comment in rest {
        toml_comment(&mut out, comment);
    }
    if !own.is_empty() {
        out.push_str("\n[ringkeeper]\n");
    }
    for piece in own {
        toml_piece(&mut out, piece, without_own_prefix(&piece.key).unwrap_or(&piece.key));
    }
    out
}

/// Writes an entry with its comments; `key` is its name within the present table.
fn toml_piece(out: &mut String, piece: &Piece, key: &str) {
    for comment in &piece.comments {
        toml_comment(out, comment);
    }
    if let Some(about) = &piece.about {
        toml_comment(out, &format!(": {about}"));
    }
    if let Carried::Inert(text) = &piece.value {
        toml_comment(out, &format!(" {key}={text}"));
        return;
    }
    write_toml_key(out, key);
    out.push_str(" = ");
    match &piece.value {
        Carried::Typed(kind, value) => toml_value(out, *kind, value),
        Carried::Untyped(raw) => match raw {
            Raw::Int(_) | Raw::Bool(_) => out.push_str(&untyped_text(raw)),
            Raw::Float(number) => out.push_str(&toml_float(*number)),
            Raw::List(words) => toml_list(out, words),
            Raw::Text(text) | Raw::Str(text) => write_toml_string(out, text),
            Raw::Other(_) => write_toml_string(out, ""),
        },
        Carried::Inert(_) => {}
    }
    out.push('\n');
}

/// Writes a typed value as the TOML type that its kind has.
fn toml_value(out: &mut String, kind: Kind, value: &Value) {
    match value {
        Value::Bool(boolean) => out.push_str(&boolean.to_string()),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&toml_float(*number)),
        Value::Auto => write_toml_string(out, "auto"),
        Value::List(words) => toml_list(out, words),
        // A bare number of hours is also a number in TOML.
        Value::Text(text) if kind == Kind::Interval && text.parse::<i32>().is_ok() => {
            out.push_str(text.trim_start_matches('+').trim_start_matches('0'));
            if text.trim_start_matches(['+', '0']).is_empty() {
                out.push('0');
            }
        }
        Value::Text(text) => write_toml_string(out, text),
    }
}

/// A float that TOML reads as a float.
fn toml_float(number: f64) -> String {
    // Rust writes it as NaN, which TOML does not know.
    if number.is_nan() {
        return "nan".to_owned();
    }
    let text = number.to_string();
    if text.contains('.') || !number.is_finite() { text } else { format!("{text}.0") }
}

/// Writes an array of strings on one line.
fn toml_list(out: &mut String, words: &[String]) {
    out.push('[');
    for (i, word) in words.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_toml_string(out, word);
    }
    out.push(']');
}

/// Writes a comment; a line break inside it begins another comment line.
fn toml_comment(out: &mut String, text: &str) {
    for line in text.split(['\n', '\r']) {
        out.push('#');
        // TOML allows no control character except the tab in a comment.
        out.extend(line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }));
        out.push('\n');
    }
}
