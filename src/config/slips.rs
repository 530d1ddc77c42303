//! What was probably meant by a value that cannot be read, and what ZooKeeper makes of it.
//!
//! ZooKeeper replaces much of what it cannot read by a default, without a word. Whoever moves such a
//! file here learns from the message what was in force until now, and that the line can go.

use super::keys::{Key, Place, Unreadable};
use super::value::{Form, Kind, Raw};

/// Clauses to put behind the error about a value; empty if there is nothing to say.
pub(super) fn explain(key: &Key, raw: &Raw) -> String {
    // TOML has comments behind values, and no file of ZooKeeper's is TOML.
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

/// What there is to doubt about a text that was accepted.
pub(super) fn doubt(key: &Key, raw: &Raw) -> Option<String> {
    let (Raw::Text(text) | Raw::Str(text)) = raw else { return None };
    // A path that may be empty is a text.
    let names_a_file = key.kind == Kind::Path || key.name.ends_with("Path");
    if names_a_file && text.starts_with('~') {
        // ZooKeeper: File takes it for a name as well.
        return Some(format!(
            "~ is not expanded: this names {text} in the folder where the server is started, as with \
             ZooKeeper; write the whole path"
        ));
    }
    let could_hold_one = matches!(key.kind, Kind::Path | Kind::List);
    // TOML has comments behind values.
    let is_java = matches!(raw, Raw::Text(_));
    let value =
        before_comment(text).filter(|_| is_java).filter(|_| could_hold_one && !key.secret)?;
    Some(format!(
        "the # belongs to the value, as with ZooKeeper: if a comment was meant, put it on a line of \
         its own and leave {value} here"
    ))
}

/// What stands in front of a `#` that somebody may have taken for the beginning of a comment.
fn before_comment(text: &str) -> Option<&str> {
    let at = [" #", "\t#"].into_iter().filter_map(|mark| text.find(mark)).min()?;
    Some(text[..at].trim_end())
}

/// What ZooKeeper takes instead of what it cannot read.
enum Taken {
    Default,
    False,
}

fn taken_by_zookeeper(key: &Key, text: &str) -> Option<Taken> {
    match key.place {
        Place::Property | Place::PropertyOrBare | Place::Bare => {}
        // QuorumPeerConfig refuses what it cannot read; our own keys it does not know.
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
        // ZooKeeper: Integer.getInteger and Long.getLong. What they can read but we do not allow was in
        // force there as it stands.
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
