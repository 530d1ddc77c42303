//! The probable meaning of a value that cannot be parsed, and ZooKeeper's treatment of it.
//!
//! ZooKeeper silently replaces many values that it cannot parse by a default. When such a file is used
//! with Ringkeeper, the message says which value was in force until now, and that the line can be
//! removed.
//!
//! ```text
//! tickTime=2000 # two seconds     explain: where the comment belongs
//! syncEnabled=yes                 (file key: ZooKeeper refuses it too, so there is nothing to add)
//! skipACL=true                    explain: ZooKeeper takes its default, no
//! dataDir=~/zookeeper             doubt: `~` is not expanded
//! ```

use super::keys::{Key, Place, Unreadable};
use super::value::{Form, Kind, Raw};

/// Clauses to append to the error about a value; empty if there are none.
pub(super) fn explain(key: &Key, raw: &Raw) -> String {
    // TOML allows comments after values, and no ZooKeeper file is TOML.
    let Raw::Text(text) = raw else { return String::new() };
    let comment = before_comment(text)
        .filter(|value| key.kind.read(&Raw::Text((*value).to_owned())).is_ok())
        .map(|value| {
            format!(
                "; a # begins a comment only where a line begins: put the comment on a line of its \
                 own, and leave {value} here"
            )
        });
    let theirs = taken_by_zookeeper(key, text).map(|taken| match (taken, key.default) {
        (Taken::Default, "") => {
            "; ZooKeeper silently takes its default instead: remove the line to keep that"
                .to_owned()
        }
        (Taken::Default, default) => format!(
            "; ZooKeeper silently takes its default, {default}, instead: remove the line to keep \
             that"
        ),
        (Taken::False, "false") => {
            "; ZooKeeper silently takes it for false, which is the default: \
                                    remove the line to keep that"
                .to_owned()
        }
        (Taken::False, _) => {
            "; ZooKeeper silently takes it for false: write false to keep that".to_owned()
        }
    });
    comment.into_iter().chain(theirs).collect()
}

/// A doubt about a text that was accepted.
pub(super) fn doubt(key: &Key, raw: &Raw) -> Option<String> {
    let (Raw::Text(text) | Raw::Str(text)) = raw else { return None };
    // A path that may be empty has the kind Text.
    // Only the shell replaces `~`, and no shell reads a configuration file.
    let names_a_file = key.kind == Kind::Path || key.name.ends_with("Path");
    if names_a_file && text.starts_with('~') {
        // ZooKeeper: File also takes it for a name.
        return Some(format!(
            "~ is not expanded: this names {text} in the folder where the server is started, as with \
             ZooKeeper; write the whole path"
        ));
    }
    let could_hold_one = matches!(key.kind, Kind::Path | Kind::List);
    // TOML allows comments after values.
    let is_java = matches!(raw, Raw::Text(_));
    let value =
        before_comment(text).filter(|_| is_java).filter(|_| could_hold_one && !key.secret)?;
    Some(format!(
        "the # belongs to the value, as with ZooKeeper: if a comment was meant, put it on a line of \
         its own and leave {value} here"
    ))
}

/// The text before a `#` that was perhaps meant as the beginning of a comment.
fn before_comment(text: &str) -> Option<&str> {
    let at = [" #", "\t#"].into_iter().filter_map(|mark| text.find(mark)).min()?;
    Some(text[..at].trim_end())
}

/// The value that ZooKeeper uses instead of one that it cannot parse.
enum Taken {
    /// That of the key.
    Default,
    /// What `Boolean.parseBoolean` makes of every word but true.
    False,
}

/// The value that ZooKeeper uses instead of a text that it cannot parse; `None` if it does not start with such a
/// text, or can parse it.
fn taken_by_zookeeper(key: &Key, text: &str) -> Option<Taken> {
    match key.place {
        Place::Property | Place::PropertyOrBare | Place::Bare => {}
        // QuorumPeerConfig refuses values that it cannot parse; it does not know our own keys.
        Place::File | Place::Own => return None,
    }
    match key.unreadable {
        Unreadable::AsUsual => {}
        Unreadable::Refused => return None,
        Unreadable::Default => return Some(Taken::Default),
    }
    match key.kind {
        // ZooKeeper: Boolean.getBoolean and Boolean.parseBoolean know one word.
        Kind::Bool => Some(Taken::False),
        // ZooKeeper: a comparison with the one word that is not the default.
        Kind::YesNo => Some(Taken::Default),
        // ZooKeeper: Integer.getInteger and Long.getLong. A value that they can parse but we do not
        // allow was in force unchanged.
        Kind::Int { max, form: Form::Based, .. } => {
            let number = super::value::based(text);
            let of_int = max <= i64::from(i32::MAX);
            let read = number.filter(|n| !of_int || i32::try_from(*n).is_ok());
            read.is_none().then_some(Taken::Default)
        }
        Kind::Int { form: Form::Decimal, .. }
        | Kind::IntOrAuto { .. }
        | Kind::Float { .. }
        | Kind::Text
        | Kind::Path
        | Kind::Choice(_)
        | Kind::List
        | Kind::Interval
        | Kind::Server
        | Kind::Group => None,
    }
}
