//! Kinds of values: how each is read from text and from TOML, and which values are allowed.
//!
//! Reading follows the Java method that ZooKeeper reads the key with, in what is *accepted*: a base
//! prefix where it calls `Integer.getInteger`, none where it calls `Integer.parseInt`. ZooKeeper
//! often silently replaces a value that it cannot parse with the default; here that is an error.
//!
//! ```text
//! kind         text of a zoo.cfg, read as Java reads it                   TOML
//! Bool         true, false, in either case                                boolean
//! YesNo        yes, no, as they stand here                                boolean, "yes", "no"
//! Int          Integer.parseInt or getInteger, by its form                integer
//! IntOrAuto    auto, or decimal digits                                    "auto", integer
//! Float        Double.parseDouble, without infinities and NaN             float, integer
//! List         words between commas, each trimmed                         string, array of strings
//! Interval     digits (hours), or digits and ms, s, m, h, d               string, integer (hours)
//! all others   the text                                                   string
//! ```
//! In TOML a number in quotes is an error: its author should see that quotes make it a string.

use std::fmt::Write as _;

use super::server_line::{GroupLine, ServerLine};

/// A value as in its source.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Text of a properties file or a `-D` word, trimmed.
    Text(String),
    /// A TOML integer.
    Int(i64),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Bool(bool),
    /// A TOML string, trimmed. Unlike [`Raw::Text`] it is never a number, whatever its content.
    Str(String),
    /// A TOML array of strings.
    List(Vec<String>),
    /// A TOML value of a type that no key has; its name.
    Other(&'static str),
}

/// A value that its kind allows.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// [`Kind::Bool`] and [`Kind::YesNo`].
    Bool(bool),
    /// [`Kind::Int`] and [`Kind::IntOrAuto`].
    Int(i64),
    /// [`Kind::IntOrAuto`]: decided by the machine.
    Auto,
    /// [`Kind::Float`].
    Float(f64),
    /// All kinds of text.
    Text(String),
    /// [`Kind::List`].
    List(Vec<String>),
}

/// How Java reads a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `Integer.parseInt`, `Long.parseLong`: decimal.
    Decimal,
    /// `Integer.getInteger`, `Long.getLong`: decimal, `0x` or `#` and hexadecimal, `0` and octal.
    Based,
}

/// What happens to a number below the smallest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// It is an error.
    Refuse,
    /// ZooKeeper uses this number instead and warns; so do we.
    Take(i64),
}

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// true, false.
    Bool,
    /// yes, no.
    YesNo,
    /// A whole number.
    Int {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
        /// How it may be written.
        form: Form,
        /// What happens below `min`.
        below: Below,
    },
    /// A whole number, or `auto`.
    IntOrAuto {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number.
    Float {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// Any text.
    Text,
    /// The path of a file or folder.
    Path,
    /// One of some words, in either case.
    Choice(&'static [&'static str]),
    /// Words separated by commas.
    List,
    /// Hours, or a number with one of the suffixes ms, s, m, h, d.
    Interval,
    /// The value of a `server.N` line.
    Server,
    /// The value of a `group.N` line.
    Group,
}

impl Kind {
    /// Reads a value.
    ///
    /// # Errors
    /// The whole clause for a [`super::ConfigError`]: what is wrong, if that is known, and what is allowed.
    pub fn read(self, raw: &Raw) -> Result<Value, String> {
        self.accept(raw).ok_or_else(|| match (self, raw) {
            (Kind::Server, Raw::Text(t) | Raw::Str(t)) => {
                ServerLine::parse(t).err().unwrap_or_else(|| self.allowed())
            }
            (_, Raw::Str(_)) if !self.is_textual() => {
                format!("a string; allowed: {}, without quotes", self.allowed())
            }
            (_, Raw::Other(name)) => format!("{name}; allowed: {}", self.allowed()),
            _ => format!("allowed: {}", self.allowed()),
        })
    }

    /// The value, if it is allowed: its form first, then its range.
    fn accept(self, raw: &Raw) -> Option<Value> {
        match self {
            Kind::Bool => match raw {
                Raw::Bool(b) => Some(Value::Bool(*b)),
                Raw::Text(t) if t.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
                Raw::Text(t) if t.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
                _ => None,
            },
            Kind::YesNo => match raw {
                Raw::Bool(b) => Some(Value::Bool(*b)),
                Raw::Text(t) | Raw::Str(t) if t == "yes" => Some(Value::Bool(true)),
                Raw::Text(t) | Raw::Str(t) if t == "no" => Some(Value::Bool(false)),
                _ => None,
            },
            Kind::Int { min, max, form, below } => {
                let number = match raw {
                    Raw::Int(i) => *i,
                    Raw::Text(t) => match form {
                        Form::Decimal => decimal(t)?,
                        Form::Based => based(t)?,
                    },
                    _ => return None,
                };
                // `Reading::correct` replaces it later, with a note.
                let low_is_fine = matches!(below, Below::Take(_));
                ((low_is_fine || number >= min) && number <= max).then_some(Value::Int(number))
            }
            Kind::IntOrAuto { min, max } => match raw {
                Raw::Text(t) | Raw::Str(t) if t == "auto" => Some(Value::Auto),
                Raw::Int(i) => (min..=max).contains(i).then_some(Value::Int(*i)),
                Raw::Text(t) => decimal(t).filter(|i| (min..=max).contains(i)).map(Value::Int),
                _ => None,
            },
            Kind::Float { min, max } => {
                let number = match raw {
                    Raw::Float(f) => *f,
                    // A whole number that f64 cannot hold exactly is outside every range anyway.
                    Raw::Int(i) => f64::from(i32::try_from(*i).ok()?),
                    Raw::Text(t) => java_double(t)?,
                    _ => return None,
                };
                (min..=max).contains(&number).then_some(Value::Float(number))
            }
            Kind::List => match raw {
                Raw::Text(t) | Raw::Str(t) => {
                    Some(Value::List(t.split(',').map(|w| w.trim().to_owned()).collect()))
                }
                // A comma inside a word could not be written in a zoo.cfg.
                Raw::List(words) if words.iter().all(|w| !w.contains(',')) => {
                    Some(Value::List(words.iter().map(|w| w.trim().to_owned()).collect()))
                }
                _ => None,
            },
            Kind::Interval => match raw {
                Raw::Int(hours) => {
                    interval_ms(&hours.to_string()).map(|_| Value::Text(hours.to_string()))
                }
                Raw::Text(t) | Raw::Str(t) => interval_ms(t).map(|_| Value::Text(t.clone())),
                _ => None,
            },
            Kind::Text | Kind::Path | Kind::Choice(_) | Kind::Server | Kind::Group => {
                let (Raw::Text(text) | Raw::Str(text)) = raw else { return None };
                let fits = match self {
                    Kind::Path => !text.is_empty() && !text.contains('\0'),
                    Kind::Choice(words) => words.iter().any(|w| w.eq_ignore_ascii_case(text)),
                    Kind::Server => ServerLine::parse(text).is_ok(),
                    Kind::Group => GroupLine::parse(text).is_ok(),
                    _ => true,
                };
                fits.then(|| Value::Text(text.clone()))
            }
        }
    }

    /// Whether a TOML string is the natural form.
    fn is_textual(self) -> bool {
        match self {
            Kind::Bool | Kind::Int { .. } | Kind::Float { .. } => false,
            Kind::YesNo
            | Kind::IntOrAuto { .. }
            | Kind::Text
            | Kind::Path
            | Kind::Choice(_)
            | Kind::List
            | Kind::Interval
            | Kind::Server
            | Kind::Group => true,
        }
    }

    /// What is allowed, as a noun phrase.
    pub fn allowed(self) -> String {
        match self {
            Kind::Bool => "true or false".to_owned(),
            Kind::YesNo => "yes or no".to_owned(),
            Kind::Int { min: i64::MIN, .. } => "a whole number".to_owned(),
            Kind::Int { min, max, below: Below::Refuse, .. } if min <= i64::from(i32::MIN) => {
                format!("a whole number up to {max}")
            }
            Kind::Int { min, max, below: Below::Refuse, .. } => {
                format!("a whole number from {min} to {max}")
            }
            Kind::Int { min, max, below: Below::Take(other), .. } => {
                format!("a whole number from {min} to {max} (a smaller one counts as {other})")
            }
            Kind::IntOrAuto { min, max } => {
                format!("auto, or a whole number from {min} to {max}")
            }
            Kind::Float { min, max } => format!("a number from {min} to {max}"),
            Kind::Text => "any text".to_owned(),
            Kind::Path => "a path".to_owned(),
            Kind::Choice(words) => {
                let mut text = String::new();
                for (i, word) in words.iter().enumerate() {
                    let glue = match i {
                        0 => "",
                        _ if i + 1 == words.len() => " or ",
                        _ => ", ",
                    };
                    let word = if word.is_empty() { "nothing" } else { word };
                    // Writing into a String cannot fail.
                    let _ = write!(text, "{glue}{word}");
                }
                text
            }
            Kind::List => "words separated by commas".to_owned(),
            Kind::Interval => {
                "a whole number of hours, or a number followed by ms, s, m, h or d".to_owned()
            }
            Kind::Server => "host:quorumPort:electionPort[:role][;[host:]clientPort]".to_owned(),
            Kind::Group => "server ids separated by colons".to_owned(),
        }
    }
}

impl Value {
    /// The value as a properties file writes it.
    pub fn to_text(&self, kind: Kind) -> String {
        match self {
            Value::Bool(b) if kind == Kind::YesNo => if *b { "yes" } else { "no" }.to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Auto => "auto".to_owned(),
            Value::Float(f) => f.to_string(),
            Value::Text(t) => t.clone(),
            Value::List(words) => words.join(","),
        }
    }
}

/// `Long.parseLong`: an optional sign and decimal digits.
fn decimal(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// `Long.decode`: an optional sign, then `0x`, `0X` or `#` and hexadecimal digits, `0` and octal
/// digits, or decimal digits.
pub(super) fn based(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    // In Java, too, a sign stands before the base, as in -0x10.
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = match hex.or_else(|| digits.strip_prefix('#')) {
        Some(rest) => (rest, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    // A second sign would be read by from_str_radix.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    // Wider than the result, so that the smallest long can be negated.
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// `Double.parseDouble` without hexadecimal floats, infinities and NaN.
fn java_double(text: &str) -> Option<f64> {
    // `1.5f` and `2d` are numbers in Java.
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    if !text.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.parse().ok().filter(|f: &f64| f.is_finite())
}

/// The milliseconds of an interval: a bare number is hours; 0 or less means never, `Some(None)`.
pub(super) fn interval_ms(text: &str) -> Option<Option<u64>> {
    let (number, unit_ms) =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)]
            .into_iter()
            .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|n| (n, unit)))
            .unwrap_or((text, 3_600_000));
    // ZooKeeper: Time.parseTimeInterval, since 3.10, calls Integer.parseInt for the number, and also takes suffixes
    // in capitals.
    let number = i32::try_from(decimal(number.trim())?).ok()?;
    Some(u64::try_from(number).ok().filter(|&n| n > 0).map(|n| n * unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> Raw {
        Raw::Text(t.to_owned())
    }

    const INT: Kind = Kind::Int { min: 1, max: 10, form: Form::Based, below: Below::Refuse };

    #[test]
    fn booleans_are_read_in_either_case_and_nothing_else_is() {
        assert_eq!(Kind::Bool.read(&text("TRUE")), Ok(Value::Bool(true)));
        assert_eq!(Kind::Bool.read(&text("False")), Ok(Value::Bool(false)));
        for wrong in ["", "yes", "1", "true "] {
            assert!(Kind::Bool.read(&text(wrong)).is_err(), "{wrong:?}");
        }
        assert!(Kind::Bool.read(&Raw::Str("true".into())).unwrap_err().contains("without quotes"));
        assert_eq!(Kind::YesNo.read(&text("yes")), Ok(Value::Bool(true)));
        assert_eq!(Kind::YesNo.read(&Raw::Bool(false)), Ok(Value::Bool(false)));
        for wrong in ["YES", "true", ""] {
            assert!(Kind::YesNo.read(&text(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_java_reads_them() {
        for (input, expected) in [
            ("10", Some(10)),
            ("+10", Some(10)),
            ("-10", Some(-10)),
            ("0x1F", Some(31)),
            ("-0X1f", Some(-31)),
            ("#1f", Some(31)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("08", None),
            ("0x", None),
            ("", None),
            ("+", None),
            ("--1", None),
            ("0x-1", None),
            ("1e3", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("é", None),
        ] {
            assert_eq!(based(input), expected, "{input:?}");
        }
        assert_eq!(decimal("010"), Some(10));
        assert_eq!(decimal("0x10"), None);
        assert_eq!(java_double("0.5f"), Some(0.5));
        assert_eq!(java_double("1."), Some(1.0));
        assert_eq!(java_double("NaN"), None);
        assert_eq!(java_double("inf"), None);
        assert_eq!(java_double(""), None);
    }

    #[test]
    fn ranges_hold_at_both_ends() {
        assert_eq!(INT.read(&text("1")), Ok(Value::Int(1)));
        assert_eq!(INT.read(&Raw::Int(10)), Ok(Value::Int(10)));
        assert_eq!(INT.read(&text("0")).unwrap_err(), "allowed: a whole number from 1 to 10");
        assert!(INT.read(&Raw::Int(11)).is_err());
        assert!(INT.read(&Raw::Str("5".into())).unwrap_err().contains("without quotes"));
        assert!(INT.read(&Raw::Other("a date")).unwrap_err().starts_with("a date; allowed"));
        let low = Kind::Int { min: 2, max: 9, form: Form::Decimal, below: Below::Take(2) };
        assert_eq!(low.read(&text("-7")), Ok(Value::Int(-7)));
        assert!(low.read(&text("10")).is_err());
    }

    #[test]
    fn intervals_have_units() {
        assert_eq!(interval_ms("24"), Some(Some(86_400_000)));
        assert_eq!(interval_ms("0"), Some(None));
        assert_eq!(interval_ms("-1"), Some(None));
        assert_eq!(interval_ms("5m"), Some(Some(300_000)));
        assert_eq!(interval_ms("250ms"), Some(Some(250)));
        assert_eq!(interval_ms("2 d"), Some(Some(172_800_000)));
        for wrong in ["", "h", "1w", "1.5h", "99999999999"] {
            assert_eq!(interval_ms(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn lists_come_from_text_and_from_arrays() {
        let both = Value::List(vec!["stat".into(), "ruok".into()]);
        assert_eq!(Kind::List.read(&text("stat, ruok")), Ok(both.clone()));
        let array = Raw::List(vec!["stat".into(), "ruok".into()]);
        assert_eq!(Kind::List.read(&array), Ok(both));
        assert!(Kind::List.read(&Raw::List(vec!["a,b".into()])).is_err());
    }

    #[test]
    fn choices_name_what_is_allowed() {
        let kind = Kind::Choice(&["", "gz", "snappy"]);
        assert!(kind.read(&text("GZ")).is_ok());
        assert_eq!(kind.read(&text("lz4")).unwrap_err(), "allowed: nothing, gz or snappy");
    }
}
