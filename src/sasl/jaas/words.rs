//! The words of a JAAS file: what the JDK's `StreamTokenizer` makes of it with the settings of `ConfigFile`.

use std::iter::Peekable;
use std::str::Chars;

use zeroize::Zeroizing;

use crate::limits::JAAS_WORD_BYTES_MAX;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Letters and digits, or a quoted text without its quotes. It may be a password.
    Text(Zeroizing<String>),
    /// One of `{ } ; =`.
    Sign(char),
    /// There is nothing more.
    End,
}

/// The words of a text, in their order.
pub(super) struct Words<'t> {
    letters: Peekable<Chars<'t>>,
    line: u32,
}

impl<'t> Words<'t> {
    pub fn of(text: &'t str) -> Words<'t> {
        // Editors of another system begin a file with this mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Words { letters: text.chars().peekable(), line: 1 }
    }

    /// The next word, with the line in which it begins. An error says what is wrong with it, without its letters.
    pub fn take(&mut self) -> (u32, Result<Word, String>) {
        if let Err(line) = self.skip() {
            return (line, Err("a comment without an end".to_owned()));
        }
        (self.line, self.word())
    }

    fn word(&mut self) -> Result<Word, String> {
        let word = self.any_word()?;
        match word {
            Word::Text(_) | Word::Sign('=') => self.refuse_slash().map(|()| word),
            Word::Sign(_) | Word::End => Ok(word),
        }
    }

    fn any_word(&mut self) -> Result<Word, String> {
        match self.letters.peek().copied() {
            None => Ok(Word::End),
            Some('"') => self.quoted().map(Word::Text),
            Some(letter) if is_letter(letter) => self.bare().map(Word::Text),
            Some(sign @ ('{' | '}' | ';' | '=')) => {
                self.advance();
                Ok(Word::Sign(sign))
            }
            Some('\'') => {
                Err("a text in single quotes: put it in \"quotes\" of two strokes".to_owned())
            }
            Some('0'..='9' | '.' | '-') => {
                Err("a word begins with a digit, a point or a minus: put it in \"quotes\""
                    .to_owned())
            }
            // The sign may be one of a password, and is not shown.
            Some(_) => Err("a sign that needs \"quotes\" stands outside of them".to_owned()),
        }
    }

    /// Refuses one slash directly behind a word or a `=`: whoever writes it means a path or a password. The JDK takes
    /// it for the beginning of a comment, and the word for the whole.
    fn refuse_slash(&self) -> Result<(), String> {
        let mut ahead = self.letters.clone();
        if ahead.next() == Some('/') && !matches!(ahead.next(), Some('/' | '*')) {
            return Err(
                "a slash stands outside of \"quotes\", where it begins a comment: put the whole word in \"quotes\""
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Skips white space and comments. The error is the line of a comment that does not end.
    fn skip(&mut self) -> Result<(), u32> {
        loop {
            match self.letters.peek() {
                Some('/') => {
                    let line = self.line;
                    self.advance();
                    if self.letters.peek() == Some(&'*') {
                        self.advance();
                        self.skip_block().ok_or(line)?;
                    } else {
                        // The JDK takes one slash for the beginning of a comment, too.
                        while self.letters.peek().is_some_and(|letter| !is_line_end(*letter)) {
                            self.advance();
                        }
                    }
                }
                Some(letter) if *letter <= ' ' => {
                    self.advance();
                }
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Skips the rest of a comment up to its end. `None`: it has none.
    fn skip_block(&mut self) -> Option<()> {
        loop {
            let letter = self.advance()?;
            if letter == '*' && self.letters.peek() == Some(&'/') {
                self.advance();
                return Some(());
            }
        }
    }

    fn bare(&mut self) -> Result<Zeroizing<String>, String> {
        let mut word = empty();
        while let Some(&letter) = self.letters.peek() {
            if !is_letter(letter) && !matches!(letter, '0'..='9' | '.' | '-') {
                break;
            }
            add(&mut word, letter)?;
            self.advance();
        }
        Ok(word)
    }

    fn quoted(&mut self) -> Result<Zeroizing<String>, String> {
        self.advance();
        let mut text = empty();
        loop {
            // The JDK ends the text at the end of its line, and goes on without a word.
            let open = || "a quote without an end in this line".to_owned();
            match self.letters.peek().copied().filter(|letter| !is_line_end(*letter)) {
                None => return Err(open()),
                Some('"') => {
                    self.advance();
                    return Ok(text);
                }
                Some('\\') => {
                    self.advance();
                    let letter = self.escaped().ok_or_else(open)?;
                    add(&mut text, letter)?;
                }
                Some(letter) => {
                    self.advance();
                    add(&mut text, letter)?;
                }
            }
        }
    }

    /// The letter that an escape stands for, whose backslash is taken already.
    fn escaped(&mut self) -> Option<char> {
        let letter = self.letters.peek().copied().filter(|letter| !is_line_end(*letter))?;
        self.advance();
        Some(match letter {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                // Three octal digits, or two if three were more than a byte.
                let more = if letter <= '3' { 2 } else { 1 };
                let mut value = letter.to_digit(8)?;
                for _ in 0..more {
                    let Some(digit) = self.letters.peek().and_then(|next| next.to_digit(8)) else {
                        break;
                    };
                    self.advance();
                    value = value * 8 + digit;
                }
                char::from_u32(value)?
            }
            other => other,
        })
    }

    fn advance(&mut self) -> Option<char> {
        let letter = self.letters.next()?;
        // A carriage return and a line feed are one end of a line.
        let is_end = letter == '\n' || (letter == '\r' && self.letters.peek() != Some(&'\n'));
        self.line += u32::from(is_end);
        Some(letter)
    }
}

fn is_line_end(letter: char) -> bool {
    matches!(letter, '\n' | '\r')
}

/// What may begin a word. The JDK's table has the letters of ASCII and everything from 160 on.
fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, '$' | '_' | '*') || letter >= '\u{a0}'
}

/// A text with room for the longest word: if it grew, pieces of a password would stay behind in memory.
fn empty() -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(JAAS_WORD_BYTES_MAX + char::MAX_LEN_UTF8))
}

fn add(text: &mut String, letter: char) -> Result<(), String> {
    if letter == char::REPLACEMENT_CHARACTER {
        // The JDK goes on with it, and nobody could log in with such a password.
        return Err("a word has a byte that is not UTF-8: save the file in UTF-8".to_owned());
    }
    if text.len() >= JAAS_WORD_BYTES_MAX {
        return Err(format!("a word of more than {JAAS_WORD_BYTES_MAX} bytes"));
    }
    text.push(letter);
    Ok(())
}
