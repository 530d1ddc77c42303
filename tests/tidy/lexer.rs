//! Reads Rust as far as the rules of `tidy.rs` need it: which bytes are code, which are comment, which are neither,
//! and which code is for tests only.

/// A source, split into code and comments. Both parts have the length of the source. In each, the bytes of the other
/// part and the inside of strings are blank.
pub struct Parts {
    pub code: String,
    pub comments: String,
}

impl Parts {
    pub fn of(text: &str) -> Self {
        let mut code = String::with_capacity(text.len());
        let mut comments = String::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let (kind, length) = token(&text[at..], text[..at].chars().next_back());
            let piece = &text[at..at + length];
            match kind {
                Kind::Code => code.push_str(piece),
                Kind::Comment | Kind::Literal => push_blank(&mut code, piece),
            }
            match kind {
                Kind::Comment => comments.push_str(piece),
                Kind::Code | Kind::Literal => push_blank(&mut comments, piece),
            }
            at += length;
        }
        Parts { code, comments }
    }
}

#[derive(PartialEq, Eq, Debug)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// The kind of the token at the beginning of the text, and its length in bytes.
fn token(text: &str, before: Option<char>) -> (Kind, usize) {
    let until = |end: &str, from: usize| {
        text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return (Kind::Comment, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (Kind::Comment, block_comment(text));
    }
    if text.starts_with('"') {
        return (Kind::Literal, quoted(text));
    }
    if !before.is_some_and(is_word) {
        // r"…", r#"…"#, br#"…"#: such a string has no escapes.
        let raw = text.strip_prefix("br").or_else(|| text.strip_prefix('r'));
        if let Some(rest) = raw {
            let hashes = rest.chars().take_while(|letter| *letter == '#').count();
            if rest[hashes..].starts_with('"') {
                let open = text.len() - rest.len() + hashes + 1;
                return (Kind::Literal, until(&format!("\"{}", "#".repeat(hashes)), open));
            }
        }
    }
    if let Some(rest) = text.strip_prefix('\'') {
        // 'x' and '\n' are characters; 'a without a quote behind it is a lifetime.
        if text.starts_with("'\\") {
            return (Kind::Literal, until("'", 3));
        }
        let letter = rest.chars().next().map_or(0, char::len_utf8);
        if letter > 0 && rest[letter..].starts_with('\'') {
            return (Kind::Literal, letter + 2);
        }
    }
    (Kind::Code, text.chars().next().map_or(0, char::len_utf8))
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The same code with every item behind `#[cfg(test)]` blank.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let Some(open) = code[at..].find(['{', ';']).map(|offset| at + offset) else { continue };
        let mut depth = 0;
        let mut end = open + 1;
        for (offset, letter) in code[open..].char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = open + offset + 1;
                break;
            }
        }
        let mut nothing = String::new();
        push_blank(&mut nothing, &code[at..end]);
        out.replace_range(at..end, &nothing);
    }
    out
}

/// Appends as many blanks as the text has bytes, and keeps its line ends.
fn push_blank(out: &mut String, text: &str) {
    out.extend(text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
}

/// The places where the word stands by itself, and not as a part of a longer one.
pub fn find_words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back().is_some_and(is_word);
        let after = text[at + word.len()..].chars().next().is_some_and(is_word);
        let open_ended = !word.ends_with(is_word);
        let begins_as_word = word.starts_with(is_word);
        !(before && begins_as_word) && (open_ended || !after)
    })
}

pub fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

mod planted {
    use super::*;

    #[test]
    fn the_lexer_knows_strings_characters_lifetimes_and_comments() {
        let text = r###"a("//", '"', '\'', b'x', br#"}"#) // "c" 'd'
            let l: &'static str = "\"/*"; /* "x" */ b"###;
        let parts = Parts::of(text);
        assert_eq!(
            parts.code.split_whitespace().collect::<String>(),
            "a(,,,b,)letl:&'staticstr=;b"
        );
        assert_eq!(
            parts.comments.split_whitespace().collect::<Vec<_>>().join(" "),
            "// \"c\" 'd' /* \"x\" */"
        );
        assert_eq!(parts.code.len(), text.len());
    }
}
