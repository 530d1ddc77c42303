//! Java's properties syntax, read as `java.util.Properties.load(InputStream)` reads it and written
//! so that it reads back equal.
//!
//! It knows no keys. The rules that are easy to break: bytes are ISO-8859-1 and not UTF-8; a
//! continuation line loses its leading blanks; a `#` begins a comment only at the beginning of a
//! logical line; the separator is the first *unescaped* `=`, `:`, blank, tab or form feed.
//!
//! ```text
//! key=value     key: value     key value     key          the last has an empty value
//! a\=b=c        the key is a=b
//! path=one\     a line that ends in a backslash goes on
//!     two       the value is onetwo
//! k=\u00e9      é; as the byte E9 too, but not as UTF-8
//! ```

use std::fmt::Write as _;

/// One item of a properties file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A comment, without its `#` or `!`.
    Comment {
        /// Line of the file, from 1.
        line: u32,
        /// The rest of the line.
        text: String,
    },
    /// A key and its value, both unescaped; the value is not trimmed.
    Pair {
        /// Line on which the logical line begins, from 1.
        line: u32,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Whether it has a byte above 127: Java reads such a byte as ISO-8859-1, which is rarely
        /// what the author meant.
        beyond_ascii: bool,
    },
    /// A logical line that Java refuses (a `\u` without four hexadecimal digits).
    Malformed {
        /// Line on which the logical line begins, from 1.
        line: u32,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Reads a whole file. Never fails as a whole: a line that cannot be read becomes
/// [`Item::Malformed`].
pub fn read(bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut reader = LineReader { bytes, at: 0, line: 1 };
    while let Some(logical) = reader.next() {
        items.push(match logical {
            Logical::Comment { line, text } => Item::Comment { line, text: latin1(text) },
            Logical::Line { line, bytes } => split(line, &bytes),
        });
    }
    items
}

/// A logical line: a comment, or text whose continuation lines have been joined.
enum Logical<'a> {
    /// The bytes behind its `#` or `!`, up to the end of its line: a comment has no continuation.
    Comment { line: u32, text: &'a [u8] },
    /// Escapes and all, without line breaks and the blanks that begin its lines.
    Line { line: u32, bytes: Vec<u8> },
}

/// Takes logical lines out of a file (`java.util.Properties.LineReader`).
struct LineReader<'a> {
    /// The whole file.
    bytes: &'a [u8],
    /// The next byte.
    at: usize,
    line: u32,
}

impl<'a> LineReader<'a> {
    /// Takes one byte and counts lines; `\r\n` counts once, at the `\n`.
    fn take(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        if byte == b'\n' || (byte == b'\r' && self.bytes.get(self.at) != Some(&b'\n')) {
            self.line = self.line.saturating_add(1);
        }
        Some(byte)
    }

    /// The next logical line, or `None` at the end of the file. Blank lines are none.
    ///
    /// A line goes on in the next one if an odd number of backslashes ends it. The flags say where the reader is:
    /// `skip_blanks` at the beginning of a line, `continued` at that of a continuation, which may be empty, and
    /// `escaped` behind a backslash that is not itself escaped.
    fn next(&mut self) -> Option<Logical<'a>> {
        let mut text = Vec::new();
        let mut first_line = self.line;
        let mut skip_blanks = true;
        let mut continued = false;
        let mut escaped = false;
        loop {
            let line = self.line;
            let Some(byte) = self.take() else {
                // A backslash at the very end of the file joins nothing and is dropped; alone it is
                // an empty key, as for Java.
                if !escaped && text.is_empty() {
                    return None;
                }
                if escaped {
                    text.pop();
                }
                return Some(Logical::Line { line: first_line, bytes: text });
            };
            if skip_blanks {
                if matches!(byte, b' ' | b'\t' | 0x0c) {
                    continue;
                }
                if !continued && matches!(byte, b'\r' | b'\n') {
                    continue;
                }
                skip_blanks = false;
                continued = false;
            }
            if text.is_empty() {
                first_line = line;
                if matches!(byte, b'#' | b'!') {
                    return Some(self.comment(line));
                }
            }
            if !matches!(byte, b'\r' | b'\n') {
                text.push(byte);
                escaped = byte == b'\\' && !escaped;
                continue;
            }
            if text.is_empty() {
                skip_blanks = true;
            } else if escaped {
                text.pop();
                skip_blanks = true;
                continued = true;
                escaped = false;
                if self.at == self.bytes.len() {
                    return Some(Logical::Line { line: first_line, bytes: text });
                }
                if byte == b'\r' && self.bytes.get(self.at) == Some(&b'\n') {
                    self.take();
                }
            } else {
                return Some(Logical::Line { line: first_line, bytes: text });
            }
        }
    }

    /// The comment that begins here. The line break stays for the next call.
    fn comment(&mut self, line: u32) -> Logical<'a> {
        let start = self.at;
        let rest = &self.bytes[start..];
        let length = rest.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(rest.len());
        self.at += length;
        Logical::Comment { line, text: &rest[..length] }
    }
}

/// Splits a logical line at its separator and unescapes both sides. The separator is blanks with at most one `=` or
/// `:` among them, so a line without any is a key with an empty value.
fn split(line: u32, bytes: &[u8]) -> Item {
    let is_blank = |b: u8| matches!(b, b' ' | b'\t' | 0x0c);
    let mut key_end = 0;
    let mut escaped = false;
    while let Some(&byte) = bytes.get(key_end) {
        if !escaped && (matches!(byte, b'=' | b':') || is_blank(byte)) {
            break;
        }
        escaped = byte == b'\\' && !escaped;
        key_end += 1;
    }
    let mut value_start = key_end;
    let mut separated = false;
    while let Some(&byte) = bytes.get(value_start) {
        if !is_blank(byte) {
            if separated || !matches!(byte, b'=' | b':') {
                break;
            }
            separated = true;
        }
        value_start += 1;
    }
    match (unescape(&bytes[..key_end]), unescape(&bytes[value_start..])) {
        (Ok(key), Ok(value)) => Item::Pair { line, key, value, beyond_ascii: !bytes.is_ascii() },
        (Err(problem), _) | (_, Err(problem)) => Item::Malformed { line, problem },
    }
}

/// Resolves `\t \n \r \f`, `\uhhhh` (UTF-16 code units) and `\c` for any other `c`. Half a surrogate pair becomes a
/// replacement character.
///
/// # Errors
/// What is wrong: `\u` without four hexadecimal digits, which Java refuses too.
fn unescape(bytes: &[u8]) -> Result<String, &'static str> {
    let mut units: Vec<u16> = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'\\' {
            units.push(u16::from(byte));
            continue;
        }
        let Some(&escape) = bytes.get(at) else {
            break;
        };
        at += 1;
        units.push(match escape {
            b't' => u16::from(b'\t'),
            b'n' => u16::from(b'\n'),
            b'r' => u16::from(b'\r'),
            b'f' => 0x0c,
            b'u' => {
                let digits = bytes.get(at..at + 4).and_then(|d| std::str::from_utf8(d).ok());
                let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                at += 4;
                digits
                    .and_then(|d| u16::from_str_radix(d, 16).ok())
                    .ok_or("\\u must be followed by four hexadecimal digits")?
            }
            other => u16::from(other),
        });
    }
    Ok(String::from_utf16_lossy(&units))
}

/// The text of bytes as Java reads them: each is one character.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// Removes the characters that Java's `String.trim` removes: every character up to U+0020 at both
/// ends.
pub fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// Writes `key=value` so that [`read`] returns the same pair, in ASCII only.
pub fn write_pair(out: &mut String, key: &str, value: &str) {
    for c in key.chars() {
        escape(out, c, matches!(c, ' ' | '=' | ':' | '#' | '!'));
    }
    out.push('=');
    // Blanks before a value would be taken for a part of the separator.
    let mut leading = true;
    for c in value.chars() {
        leading &= c == ' ';
        escape(out, c, leading);
    }
    out.push('\n');
}

/// Writes a comment; a line break inside it begins another comment line.
pub fn write_comment(out: &mut String, text: &str) {
    for line in text.split(['\n', '\r']) {
        out.push('#');
        for c in line.chars() {
            // A comment is never unescaped, so a character outside Latin-1 is written as an escape
            // that a person can still read.
            match u8::try_from(u32::from(c)) {
                Ok(0x20..=0x7e) => out.push(c),
                Ok(b'\t') => out.push(c),
                _ => escape(out, c, false),
            }
        }
        out.push('\n');
    }
}

/// Writes a character so that it is read back: escaped if it must be, or if `always` says so.
fn escape(out: &mut String, c: char, always: bool) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\u{c}' => out.push_str("\\f"),
        ' '..='~' => {
            if always {
                out.push('\\');
            }
            out.push(c);
        }
        _ => {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{unit:04X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(u32, String, String)> {
        pairs_of(text.as_bytes())
    }

    fn pairs_of(bytes: &[u8]) -> Vec<(u32, String, String)> {
        read(bytes)
            .into_iter()
            .filter_map(|item| match item {
                Item::Pair { line, key, value, .. } => Some((line, key, value)),
                Item::Comment { .. } | Item::Malformed { .. } => None,
            })
            .collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?} gives {all:?}");
        let (_, key, value) = all.remove(0);
        (key, value)
    }

    #[test]
    fn every_separator_splits_once() {
        for text in ["a=b", "a:b", "a b", "a = b", "a : b", "a\t\x0cb", "  a=b", "a   =   b"] {
            assert_eq!(one(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(one("a = = b"), ("a".into(), "= b".into()));
        assert_eq!(one("a=b=c:d"), ("a".into(), "b=c:d".into()));
        assert_eq!(one("a"), ("a".into(), String::new()));
        assert_eq!(one("=b"), (String::new(), "b".into()));
        assert_eq!(one("a=b  "), ("a".into(), "b  ".into()));
    }

    #[test]
    fn an_escaped_separator_belongs_to_the_key() {
        assert_eq!(one(r"a\=b\:c\ d=e"), ("a=b:c d".into(), "e".into()));
        assert_eq!(one(r"a\\=b"), (r"a\".into(), "b".into()));
    }

    #[test]
    fn comments_and_blank_lines_are_no_pairs_and_lines_are_counted() {
        let text = "# one\n\n  ! two\r\nkey=1\r\r\nother=2\n\n#x";
        assert_eq!(
            pairs(text),
            vec![(4, "key".into(), "1".into()), (6, "other".into(), "2".into())]
        );
        let comments: Vec<_> = read(text.as_bytes())
            .into_iter()
            .filter_map(|item| match item {
                Item::Comment { line, text } => Some((line, text)),
                Item::Pair { .. } | Item::Malformed { .. } => None,
            })
            .collect();
        assert_eq!(comments, vec![(1, " one".into()), (3, " two".into()), (8, "x".into())]);
    }

    #[test]
    fn a_continuation_drops_the_break_and_the_next_lines_leading_blanks() {
        assert_eq!(one("a=b,\\\n    c,\\\r\n\td"), ("a".into(), "b,c,d".into()));
        assert_eq!(one("a=b\\\n# no comment"), ("a".into(), "b# no comment".into()));
        assert_eq!(pairs("a=b\\\n\nc=d").len(), 2, "a blank continuation line ends the value");
        assert_eq!(one("a=b\\\\\n"), ("a".into(), "b\\".into()));
        assert_eq!(one("a=b\\"), ("a".into(), "b".into()));
        assert_eq!(pairs("x=1\\\n  2\ny=3")[1], (3, "y".into(), "3".into()));
    }

    #[test]
    fn a_lone_backslash_leaves_the_logical_line_new() {
        assert_eq!(pairs("\\\n#comment\na=b"), vec![(3, "a".into(), "b".into())]);
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(one(r"a=\t\n\r\f\q\\"), ("a".into(), "\t\n\r\u{c}q\\".into()));
        assert_eq!(one(r"a=\u0041\u00e9\u20AC"), ("a".into(), "Aé€".into()));
        assert_eq!(one(r"a=\uD83D\uDE00"), ("a".into(), "😀".into()));
    }

    #[test]
    fn a_bad_unicode_escape_is_named_with_its_line() {
        for text in ["\na=\\u12", "\na=\\u12G4", "\na=\\u", "\na\\u=1", "\na=\\u+123"] {
            let items = read(text.as_bytes());
            assert!(matches!(items[..], [Item::Malformed { line: 2, .. }]), "{text:?}: {items:?}");
        }
    }

    #[test]
    fn bytes_are_latin_1() {
        assert_eq!(pairs_of(b"a=\xe9"), vec![(1, "a".into(), "é".into())]);
        assert_eq!(pairs_of("a=é".as_bytes()), vec![(1, "a".into(), "Ã©".into())]);
        assert!(matches!(read(b"a=\xe9")[..], [Item::Pair { beyond_ascii: true, .. }]));
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let samples = [
            "",
            " ",
            "a b",
            "  lead",
            "tail  ",
            "x=y:z",
            "#!",
            "\\",
            "é€😀",
            "\t\n\r\u{c}",
            "\u{1}",
        ];
        for key in samples.iter().filter(|k| !k.is_empty()) {
            for value in samples {
                let mut out = String::new();
                write_pair(&mut out, key, value);
                assert!(out.is_ascii());
                assert_eq!(one(&out), ((*key).to_owned(), value.to_owned()), "{out:?}");
            }
        }
    }

    #[test]
    fn trimming_is_java_s() {
        assert_eq!(java_trim(" \t\u{1}a\u{a0}\u{0}"), "a\u{a0}");
    }
}
