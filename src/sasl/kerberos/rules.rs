//! The rules of `security.auth_to_local`, which make a short name out of a principal's name.
//!
//! ```text
//! RULE:[2:$1@$0](zk@EXAMPLE\.COM)s/.*/zookeeper/ DEFAULT
//! ```
//! A rule is for names of so many parts, builds a text out of them, asks whether a pattern fits all of it, and
//! substitutes. The first rule that fits counts. Patterns are Java's in ZooKeeper; here they are those of the crate
//! `regex`, which have the usual syntax but no look-around and no references back, and take no time that grows
//! faster than the text.

use regex::{Captures, Regex, RegexBuilder};

use super::PrincipalName;
use crate::limits::{
    AUTH_TO_LOCAL_BYTES_MAX, AUTH_TO_LOCAL_PATTERN_BYTES_MAX, SHORT_NAME_BYTES_MAX,
};

/// The rules, in their order.
#[derive(Clone, Debug)]
pub struct Rules {
    /// As they were written: equal texts make equal rules.
    text: String,
    rules: Vec<Rule>,
    /// The realm whose names `DEFAULT` shortens.
    default_realm: String,
}

/// Why the rules cannot be read, as a clause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(String);

#[derive(Clone, Debug)]
enum Rule {
    /// Names of the default realm lose it, and their host.
    Default,
    /// `RULE:[…]`.
    Made {
        /// Parts of the name before the realm.
        parts: usize,
        /// What the text is built of.
        format: Vec<Piece>,
        /// What has to fit the whole text.
        pattern: Option<Regex>,
        substitution: Option<Substitution>,
    },
}

/// A piece of a text to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A part of the name, the realm being part 0; or a group of a pattern.
    Number(usize),
}

#[derive(Clone, Debug)]
struct Substitution {
    from: Regex,
    to: Vec<Piece>,
    /// Each match is replaced, not only the first.
    all: bool,
}

impl Rules {
    /// Reads rules. `default_realm`: the realm of the machine, empty without Kerberos.
    ///
    /// # Errors
    /// A rule is malformed, or uses what the patterns here do not have.
    // ZooKeeper: KerberosName.parseRules. A rule that names a part or a group that does not exist is an error there
    // as well, but only when a client logs in.
    pub fn parse(text: &str, default_realm: &str) -> Result<Rules, RuleError> {
        if text.len() > AUTH_TO_LOCAL_BYTES_MAX {
            return Err(RuleError(format!("more than {AUTH_TO_LOCAL_BYTES_MAX} bytes")));
        }
        let mut rules = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let number = rules.len() + 1;
            let rule = if let Some(behind) = rest.strip_prefix("DEFAULT") {
                rest = behind;
                Rule::Default
            } else {
                made(&mut rest).map_err(|what| RuleError(format!("rule {number}: {what}")))?
            };
            rules.push(rule);
            rest = rest.trim_start();
        }
        Ok(Rules { text: text.to_owned(), rules, default_realm: default_realm.to_owned() })
    }

    /// The same rules on a machine of another realm.
    pub fn in_realm(self, default_realm: &str) -> Rules {
        Rules { default_realm: default_realm.to_owned(), ..self }
    }

    /// As they were written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The short form of a name. `None`: no rule fits, or it makes no short name.
    pub(super) fn short_name(&self, name: &PrincipalName<'_>) -> Option<String> {
        let Some(realm) = name.realm else { return Some(name.service.to_owned()) };
        let parts: Vec<&str> = [realm, name.service].into_iter().chain(name.host).collect();
        let short = self.rules.iter().find_map(|rule| rule.apply(&parts, &self.default_realm))?;
        (!short.contains(['/', '@'])).then_some(short)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            text: "DEFAULT".to_owned(),
            rules: vec![Rule::Default],
            default_realm: String::new(),
        }
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.default_realm == other.default_realm
    }
}

impl Eq for Rules {}

impl Rule {
    /// The short name, if this rule fits. `parts`: the realm, and the parts before it.
    fn apply(&self, parts: &[&str], default_realm: &str) -> Option<String> {
        match self {
            Rule::Default => (parts[0] == default_realm).then(|| parts[1].to_owned()),
            Rule::Made { parts: count, .. } if parts.len() - 1 != *count => None,
            Rule::Made { format, pattern, substitution, .. } => {
                let mut base = String::new();
                for piece in format {
                    base.push_str(match piece {
                        Piece::Text(text) => text,
                        Piece::Number(part) => parts[*part],
                    });
                    if base.len() > SHORT_NAME_BYTES_MAX {
                        return None;
                    }
                }
                if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(&base)) {
                    return None;
                }
                match substitution {
                    Some(substitution) => substitution.apply(&base),
                    None => Some(base),
                }
            }
        }
    }
}

impl Substitution {
    /// `None`: the text becomes too long.
    fn apply(&self, base: &str) -> Option<String> {
        let mut out = String::new();
        let mut copied = 0;
        let matches = self.from.captures_iter(base).take(if self.all { usize::MAX } else { 1 });
        for found in matches {
            let whole = found.get(0)?;
            out.push_str(&base[copied..whole.start()]);
            self.to.iter().for_each(|piece| out.push_str(text_of(piece, &found)));
            copied = whole.end();
            if out.len() > SHORT_NAME_BYTES_MAX {
                return None;
            }
        }
        out.push_str(&base[copied..]);
        (out.len() <= SHORT_NAME_BYTES_MAX).then_some(out)
    }
}

fn text_of<'a>(piece: &'a Piece, found: &Captures<'a>) -> &'a str {
    match piece {
        Piece::Text(text) => text,
        Piece::Number(group) => found.get(*group).map_or("", |group| group.as_str()),
    }
}

/// Takes a rule off the front of `rest`: `RULE:[n:format](pattern)s/from/to/g`; all behind `]` may be missing.
fn made(rest: &mut &str) -> Result<Rule, String> {
    let take = |rest: &mut &str, prefix: &str| match rest.strip_prefix(prefix) {
        Some(behind) => {
            *rest = behind;
            true
        }
        None => false,
    };
    let until = |rest: &mut &str, end: char| -> Option<String> {
        let (text, behind) = rest.split_once(end)?;
        let text = text.to_owned();
        *rest = behind;
        Some(text)
    };
    if !take(rest, "RULE:[") {
        return Err("it begins with neither DEFAULT nor RULE:[".to_owned());
    }
    let parts = until(rest, ':').ok_or("a : is missing behind the number of parts")?;
    let parts = match &*parts {
        "1" => 1,
        "2" => 2,
        _ => return Err("a name has 1 or 2 parts before its realm".to_owned()),
    };
    let format = until(rest, ']').ok_or("a ] is missing")?;
    let format = pieces(&format, parts, false)?;
    let pattern = match take(rest, "(") {
        true => {
            let pattern = until(rest, ')').ok_or("a ) is missing")?;
            Some(compiled(&format!(r"\A(?:{pattern})\z"))?)
        }
        false => None,
    };
    let mut substitution = None;
    if take(rest, "s/") {
        let from = until(rest, '/').ok_or("a / is missing behind s/")?;
        let to = until(rest, '/').ok_or("the last / is missing behind s/")?;
        let from = compiled(&from)?;
        let to = pieces(&to, from.captures_len() - 1, true)?;
        let all = take(rest, "g");
        substitution = Some(Substitution { from, to, all });
    }
    Ok(Rule::Made { parts, format, pattern, substitution })
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    if has_possessive(pattern) {
        return Err("a pattern cannot be used: there is no + behind another repetition".to_owned());
    }
    RegexBuilder::new(pattern)
        .size_limit(AUTH_TO_LOCAL_PATTERN_BYTES_MAX)
        .dfa_size_limit(AUTH_TO_LOCAL_PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| {
            // What the crate shows of a syntax error has several lines, of which the last says what is wrong.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("a pattern cannot be used: {reason}")
        })
}

/// Whether a repetition takes all that it can and gives nothing back, as in `a*+`. The crate would read it as a
/// repetition of a repetition, which fits more.
fn has_possessive(pattern: &str) -> bool {
    let (mut is_escaped, mut is_in_class, mut is_repeated) = (false, false, false);
    for letter in pattern.chars() {
        if letter == '+' && is_repeated {
            return true;
        }
        is_repeated = !is_escaped && !is_in_class && matches!(letter, '*' | '+' | '?' | '}');
        is_in_class = match letter {
            '[' if !is_escaped => true,
            ']' if !is_escaped => false,
            _ => is_in_class,
        };
        is_escaped = letter == '\\' && !is_escaped;
    }
    false
}

/// The pieces of a text with `$n`, for n up to `last`. `escapes`: a backslash before a letter makes it an ordinary
/// one, and a number is as long as there is a group of it, as in Java's replacements.
fn pieces(text: &str, last: usize, escapes: bool) -> Result<Vec<Piece>, String> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut literal = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\\' && escapes {
            literal.push(letters.next().ok_or("a \\ stands at the end of a substitution")?);
            continue;
        }
        if letter != '$' {
            literal.push(letter);
            continue;
        }
        let mut number: Option<usize> = None;
        while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
            let longer = number.unwrap_or(0) * 10 + digit as usize;
            if longer > last {
                // The digits behind a number of which there is a group are text.
                if number.is_some() && escapes {
                    break;
                }
                return Err(format!("there is no ${longer}, only up to ${last}"));
            }
            number = Some(longer);
            letters.next();
        }
        let number = number.ok_or("a $ without a number")?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Number(number));
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(rules: &str, name: &str) -> Option<String> {
        let rules = Rules::parse(rules, "R").unwrap();
        rules.short_name(&PrincipalName::parse(name).unwrap())
    }

    #[test]
    fn the_default_rule_is_for_the_default_realm() {
        assert_eq!(short("DEFAULT", "bob@R").as_deref(), Some("bob"));
        assert_eq!(short("DEFAULT", "zk/h@R").as_deref(), Some("zk"));
        assert_eq!(short("DEFAULT", "bob@OTHER"), None);
        assert_eq!(short("DEFAULT", "bob").as_deref(), Some("bob"), "it is short already");
        assert_eq!(short("", "bob@R"), None);
        let none = Rules::default();
        assert_eq!(none.short_name(&PrincipalName::parse("bob@").unwrap()).as_deref(), Some("bob"));
    }

    #[test]
    fn a_rule_builds_asks_and_substitutes() {
        for (rules, name, expected) in [
            ("RULE:[1:$1]", "bob@X", Some("bob")),
            ("RULE:[1:$1]", "bob/h@X", None),
            ("RULE:[2:$1]", "bob/h@X", Some("bob")),
            ("RULE:[2:$1-$2]", "bob/h@X", Some("bob-h")),
            ("RULE:[1:$1@$0]", "bob@X", None),
            ("RULE:[1:$1@$0](.*@X)s/@.*//", "bob@X", Some("bob")),
            ("RULE:[1:$1@$0](.*@X)s/@.*//", "bob@XY", None),
            ("RULE:[1:$1@$0](b.b)s/@.*//", "bob@X", None),
            ("RULE:[1:$1]s/[*+]+|o\\*+/0/", "foobo@X", Some("foobo")),
            ("RULE:[1:$1]s/o/0/", "foobo@X", Some("f0obo")),
            ("RULE:[1:$1]s/o/0/g", "foobo@X", Some("f00b0")),
            ("RULE:[1:$1]s/(.)(.)/$2$1/g", "abcde@X", Some("badce")),
            ("RULE:[1:$1]s/(.)/$12\\$/", "ab@X", Some("a2$b")),
            ("RULE:[1:$1](a)s/a/A/RULE:[1:$1](b)s/b/B/DEFAULT", "b@X", Some("B")),
            ("  RULE:[2:x](y)\n DEFAULT  ", "zk/h@R", Some("zk")),
            ("RULE:[1:plain]", "bob@X", Some("plain")),
        ] {
            assert_eq!(short(rules, name).as_deref(), expected, "{rules} {name}");
        }
    }

    #[test]
    fn a_malformed_rule_is_told_apart_by_its_number() {
        for (rules, part) in [
            ("DEFAULT NONE", "rule 2: it begins with neither"),
            ("RULE:[1:$1", "a ] is missing"),
            ("RULE:[:$1]", "1 or 2 parts"),
            ("RULE:[3:$1]", "1 or 2 parts"),
            ("RULE:[1:$2]", "there is no $2"),
            ("RULE:[1:$]", "a $ without a number"),
            ("RULE:[1:$1](a", "a ) is missing"),
            ("RULE:[1:$1](a*+)", "cannot be used"),
            ("RULE:[1:$1]s/[+*]+b{2}+/x/", "cannot be used"),
            ("RULE:[1:$1](a**b[)", "cannot be used"),
            ("RULE:[1:$1]s/(?=a)/b/", "look-around"),
            ("RULE:[1:$1](x{1000}{1000})", "cannot be used"),
            ("RULE:[1:$1]s/a", "a / is missing"),
            ("RULE:[1:$1]s/a/b", "the last / is missing"),
            ("RULE:[1:$1]s/a/$1/", "there is no $1"),
            ("RULE:[1:$1]s/a/\\/", "a \\ stands"),
        ] {
            let error = Rules::parse(rules, "").unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{rules}: {error}");
        }
        assert!(Rules::parse(&"DEFAULT ".repeat(10_000), "").is_err());
    }

    #[test]
    fn no_rule_makes_a_long_name() {
        let to = "x".repeat(1000);
        let rules = format!("RULE:[1:$1]s/./{to}/g");
        assert_eq!(short(&rules, "abcd@X").map(|name| name.len()), Some(4000));
        assert_eq!(short(&rules, "abcdefgh@X"), None);
    }
}
