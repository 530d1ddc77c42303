//! A configuration file as a list of entries with their lines: the common form of `zoo.cfg` and
//! TOML.
//!
//! It does not know the meaning of keys. TOML's nested tables become dotted keys, so that
//! `autopurge.purgeInterval = 1`, `"autopurge.purgeInterval" = 1` and `[autopurge] purgeInterval = 1` are
//! one key; a dotted key below a quoted one cannot be written in TOML without quotes (`jute.maxbuffer`
//! and `jute.maxbuffer.extrasize`). TOML is read into a tree with spans instead of a struct through
//! serde: serde stops at the first error and forgets the lines.

use toml::de::{DeTable, DeValue};

use super::keys::OWN_PREFIX;
use super::origin::{ConfigError, Origin, Problem};
use super::properties::{self, Item, java_trim};
use super::value::Raw;

/// The two forms of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Java properties.
    ZooCfg,
    /// TOML.
    Toml,
}

impl Format {
    /// The form of a file of this name: TOML if it ends in `.toml`.
    pub fn of_name(name: &str) -> Self {
        let toml =
            name.len() >= 5 && name.as_bytes()[name.len() - 5..].eq_ignore_ascii_case(b".toml");
        if toml { Format::Toml } else { Format::ZooCfg }
    }
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Line, from 1.
    pub line: u32,
    /// The key as written, trimmed; nested TOML keys are joined by dots.
    pub key: String,
    /// The value.
    pub raw: Raw,
}

/// A comment on its own line, without its `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Line, from 1.
    pub line: u32,
    /// The text.
    pub text: String,
}

/// A parsed file, without interpretation of its keys.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Entries in the order of the file.
    pub entries: Vec<Entry>,
    /// Comments in the order of the file.
    pub comments: Vec<Comment>,
    /// Lines in which Java reads a byte above 127 as ISO-8859-1.
    pub latin1_lines: Vec<u32>,
    /// Errors of the file.
    pub errors: Vec<ConfigError>,
}

/// Longest key: no real name is so long, and no real TOML table so deep.
const KEY_BYTES_MAX: usize = 4096;

impl Document {
    /// Reads a file of either form.
    pub fn read(bytes: &[u8], name: &str, format: Format) -> Self {
        if is_utf16(bytes) {
            let mut document = Document::default();
            let text = "it is UTF-16, as some editors save text, and Java finds no key in that \
                        either: save it as UTF-8 without a byte order mark (`iconv -f UTF-16 -t \
                        UTF-8`)";
            document.error(name, 0, text.to_owned());
            return document;
        }
        match format {
            Format::ZooCfg => Self::read_properties(bytes, name),
            Format::Toml => Self::read_toml(bytes, name),
        }
    }

    /// Reads Java properties. Keys and values are trimmed, as `QuorumPeerConfig.parseProperties` does.
    fn read_properties(bytes: &[u8], name: &str) -> Self {
        let mut document = Document::default();
        // Java takes the mark for the beginning of the first key, which is then unknown. That is harmless
        // before a comment, but not before a setting.
        if let Some(rest) = bytes.strip_prefix(BYTE_ORDER_MARK)
            && let Some(Item::Pair { line: 1, key, .. }) = properties::read(rest).first()
        {
            let key = super::origin::printable(key);
            document.error(
                name,
                1,
                format!(
                    "there is a byte order mark before {key}, and ZooKeeper ignores such a line: \
                     save the file as UTF-8 without a byte order mark"
                ),
            );
        }
        for item in properties::read(bytes) {
            match item {
                Item::Comment { line, text } => document.comments.push(Comment { line, text }),
                Item::Malformed { line, problem } => {
                    document.error(name, line, problem.to_owned());
                }
                Item::Pair { line, key, value, beyond_ascii } => {
                    if beyond_ascii {
                        document.latin1_lines.push(line);
                    }
                    let raw = Raw::Text(java_trim(&value).to_owned());
                    document.entries.push(Entry { line, key: java_trim(&key).to_owned(), raw });
                }
            }
        }
        document
    }

    /// Reads TOML, past as many errors as the parser can recover from.
    fn read_toml(bytes: &[u8], name: &str) -> Self {
        let mut document = Document::default();
        // The parser takes text; the line of the first bad byte is what helps to find it.
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let lines = LineIndex::new(&bytes[..error.valid_up_to()]);
                document.error(name, lines.last(), "not UTF-8, as TOML must be".to_owned());
                return document;
            }
        };
        let lines = LineIndex::new(bytes);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map_or(0, |span| lines.line_of(span.start));
            document.error(name, line, error.message().to_owned());
        }
        let mut spans = Vec::new();
        document.flatten(table.get_ref(), "", &lines, name, &mut spans);
        // The parser's table need not have the order of the file, which decides which comments belong to a key.
        document.entries.sort_by_key(|entry| entry.line);
        document.comments = toml_comments(text, &lines, &spans);
        document
    }

    /// Adds the entries of a table, with the names of the tables around it in front, and the spans of their values,
    /// which may contain lines that look like comments.
    fn flatten(
        &mut self,
        table: &DeTable<'_>,
        prefix: &str,
        lines: &LineIndex,
        name: &str,
        spans: &mut Vec<std::ops::Range<usize>>,
    ) {
        for (key, value) in table {
            let line = lines.line_of(key.span().start);
            let full = format!("{prefix}{}", java_trim(key.get_ref()));
            // Each level repeats the name of those around it, so a deep table could make much of little.
            if full.len() > KEY_BYTES_MAX {
                self.error(name, line, format!("a key of more than {KEY_BYTES_MAX} bytes"));
                continue;
            }
            if let DeValue::Table(inner) = value.get_ref() {
                self.flatten(inner, &format!("{full}."), lines, name, spans);
                continue;
            }
            spans.push(value.span());
            self.entries.push(Entry { line, key: full, raw: raw_of(value.get_ref()) });
        }
    }

    /// Adds a syntax error; line 0 stands for the whole file.
    fn error(&mut self, name: &str, line: u32, text: String) {
        self.errors.push(ConfigError {
            origin: Origin::File { name: name.into(), line },
            problem: Problem::Syntax,
            key: String::new(),
            value: None,
            text,
        });
    }
}

/// The character U+FEFF in UTF-8, which some editors put in front of a text.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether a text has two bytes per character: it begins with such a byte order mark, or with ASCII
/// characters that have a zero byte each.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [a, 0, b, 0, ..] | [0, a, 0, b, ..] => *a != 0 && *b != 0,
        _ => false,
    }
}

/// A TOML value as its source has it. What no key takes is kept by the name of its type, for the message.
fn raw_of(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Str(java_trim(text).to_owned()),
        // TOML allows hexadecimal, octal and binary integers; the parser has removed prefix and underscores.
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Raw::Other("an integer beyond 64 bits"), Raw::Int),
        DeValue::Float(float) => {
            float.as_str().parse().map_or(Raw::Other("no finite number"), Raw::Float)
        }
        DeValue::Boolean(boolean) => Raw::Bool(*boolean),
        DeValue::Array(items) => {
            let words = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            });
            words
                .collect::<Option<Vec<_>>>()
                .map_or(Raw::Other("an array of other than strings"), Raw::List)
        }
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// Comment lines of a TOML text: lines that begin with `#` outside every value.
fn toml_comments(text: &str, lines: &LineIndex, spans: &[std::ops::Range<usize>]) -> Vec<Comment> {
    let mut comments = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset + (line.len() - line.trim_start().len());
        // A comment behind a value is lost: it belongs to no line of its own.
        let comment = line.trim_start().strip_prefix('#');
        // A multi-line string may have a line that begins with `#`.
        let in_value = || spans.iter().any(|span| span.start < start && start < span.end);
        if let Some(comment) = comment.filter(|_| !in_value()) {
            let text = comment.trim_end_matches(['\n', '\r']).to_owned();
            comments.push(Comment { line: lines.line_of(offset), text });
        }
        offset += line.len();
    }
    comments
}

/// Offsets at which lines begin.
struct LineIndex {
    /// Of the second line and all later ones, rising.
    starts: Vec<usize>,
}

impl LineIndex {
    /// The index of a text.
    fn new(bytes: &[u8]) -> Self {
        let breaks = bytes.iter().enumerate().filter(|&(_, &b)| b == b'\n');
        LineIndex { starts: breaks.map(|(at, _)| at + 1).collect() }
    }

    /// The line of an offset, from 1.
    fn line_of(&self, offset: usize) -> u32 {
        // As many as there are breaks before the offset. The first line begins with none.
        let before = self.starts.partition_point(|&start| start <= offset);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }

    /// The last line, from 1.
    fn last(&self) -> u32 {
        u32::try_from(self.starts.len() + 1).unwrap_or(u32::MAX)
    }
}

/// Writes a TOML key: bare where TOML allows it, quoted where it has dots or other characters.
pub fn write_toml_key(out: &mut String, key: &str) {
    // A dot in a bare key would make a table.
    let bare =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare {
        out.push_str(key);
    } else {
        write_toml_string(out, key);
    }
}

/// Writes a basic TOML string: in quotes on one line, with every control character escaped.
pub fn write_toml_string(out: &mut String, text: &str) {
    use std::fmt::Write as _;

    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The key of our own table for a canonical own key, or the key itself.
pub fn without_own_prefix(key: &str) -> Option<&str> {
    key.strip_prefix(OWN_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Document {
        Document::read(text.as_bytes(), "t.toml", Format::Toml)
    }

    #[test]
    fn nested_dotted_and_quoted_keys_are_the_same() {
        for text in [
            "[autopurge]\npurgeInterval = 1",
            "\nautopurge.purgeInterval = 1",
            "\n\"autopurge.purgeInterval\" = 1",
            "\nautopurge = { purgeInterval = 1 }",
        ] {
            let document = toml(text);
            assert!(document.errors.is_empty(), "{:?}", document.errors);
            let entry = Entry { line: 2, key: "autopurge.purgeInterval".into(), raw: Raw::Int(1) };
            assert_eq!(document.entries, vec![entry], "{text}");
        }
    }

    #[test]
    fn every_type_has_its_raw_form() {
        let document = toml(
            "a = 0x10\nb = 1.5\nc = true\nd = ' x '\ne = ['p', 'q']\nf = [1]\ng = 1979-05-27\n\
             h = 99999999999999999999\ni = nan",
        );
        let raws: Vec<_> = document.entries.into_iter().map(|e| e.raw).collect();
        assert_eq!(
            raws[..8],
            [
                Raw::Int(16),
                Raw::Float(1.5),
                Raw::Bool(true),
                Raw::Str("x".into()),
                Raw::List(vec!["p".into(), "q".into()]),
                Raw::Other("an array of other than strings"),
                Raw::Other("a date"),
                Raw::Other("an integer beyond 64 bits"),
            ]
        );
        assert_eq!(raws.len(), 9);
    }

    #[test]
    fn syntax_errors_are_all_reported_with_their_lines() {
        let document = toml("a = \nb = 1\nc = = 2\n");
        let lines: Vec<_> = document.errors.iter().map(|e| e.origin.to_string()).collect();
        assert!(lines.contains(&"t.toml:1".to_owned()), "{lines:?}");
        assert!(lines.contains(&"t.toml:3".to_owned()), "{lines:?}");
        let document = Document::read(b"a = 1\nb = '\xff'", "t.toml", Format::Toml);
        assert_eq!(document.errors[0].to_string(), "t.toml:2: not UTF-8, as TOML must be");
    }

    #[test]
    fn comments_are_found_outside_values_only() {
        let document = toml("# one\na = '''\n# not this\n'''\n  # two\n");
        let texts: Vec<_> = document.comments.iter().map(|c| (c.line, c.text.as_str())).collect();
        assert_eq!(texts, vec![(1, " one"), (5, " two")]);
    }

    #[test]
    fn the_form_follows_the_name() {
        assert_eq!(Format::of_name("x/zoo.cfg"), Format::ZooCfg);
        assert_eq!(Format::of_name("x.TOML"), Format::Toml);
        assert_eq!(Format::of_name("toml"), Format::ZooCfg);
        assert_eq!(Format::of_name("é.tom"), Format::ZooCfg);
    }

    #[test]
    fn toml_strings_read_back_equal() {
        for text in ["", "plain", "\"q\" \\ \n\t\r\u{1}\u{7f}é😀", "a.b"] {
            let mut out = String::new();
            write_toml_key(&mut out, if text.is_empty() { "k" } else { text });
            out.push_str(" = ");
            write_toml_string(&mut out, &format!("x{text}x"));
            let document = toml(&out);
            assert!(document.errors.is_empty(), "{out}: {:?}", document.errors);
            assert_eq!(document.entries[0].raw, Raw::Str(format!("x{text}x")));
        }
    }
}
