//! The table of every key: where it may be set, its allowed values, and its effect.
//!
//! One row per key of ZooKeeper 3.9 and per key of our own; families such as `server.N` have one
//! row whose name ends in `*`. Reading, checking, converting, listing and the documentation all
//! work from these rows, so all of them know the same keys. A row that is acted on has the function that stores
//! its value and the one that shows it.
//!
//! ```text
//! prop(Theme::Network, "nio.sessionlessCnxnTimeout",    file, or -Dzookeeper.nio.sessionlessCnxnTimeout
//!     prop_int(1),                                      as Integer.getInteger reads it, from 1
//!     "10000",                                          if it is not set
//!     number!(network.sessionless_cnxn_timeout_ms))     acted on: the field of `Config`
//!     .about("…").unit("ms")                            for `config keys`, messages and the documentation
//! ```

mod acted;
mod audit;
mod meaningless;
mod quorum;
mod row;
pub(super) mod sasl;
mod tls;
mod unbuilt;
mod web;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::settings::Config;
use super::value::{Below, Form, Kind, Value};

/// The prefix of our own keys in a `zoo.cfg`, and of bare system properties there.
pub const OWN_PREFIX: &str = "ringkeeper.";

/// Where a key may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Only in the file: `QuorumPeerConfig` reads it.
    File,
    /// In the file, or as `-Dzookeeper.key`: a file key makes the system property of that name.
    Property,
    /// Like [`Place::Property`], and also as `-Dkey`.
    PropertyOrBare,
    /// In ZooKeeper only as `-Dkey`; here also as `ringkeeper.key` in a `zoo.cfg` and as `key` in TOML.
    Bare,
    /// Our own, with its prefix: in the file, or as `-Dringkeeper.key`.
    Own,
}

/// What ZooKeeper does with a value that it cannot parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The same as with most values of this kind in this place.
    AsUsual,
    /// It does not start, although it silently replaces most keys of this place.
    Refused,
    /// It uses its default, although most values of this kind become false.
    Default,
}

/// What Ringkeeper does with a value.
#[derive(Clone, Copy)]
pub enum Fate {
    /// It changes what the server does.
    Acted(Acted),
    /// Nothing: the part it tunes does not exist here, for the reason given.
    Meaningless(&'static str),
    /// Nothing yet: the part it belongs to is not built. Ignoring it does no harm.
    Unbuilt(&'static str),
    /// The part it belongs to is not built, and ignoring it would weaken security or durability; so any value but
    /// the harmless one is an error.
    Refused {
        /// The reason, as a sentence that says what to do.
        why: &'static str,
        /// Whether this value asks for nothing.
        harmless: fn(&Value) -> bool,
    },
}

/// How a value is stored and shown.
#[derive(Clone, Copy)]
pub struct Acted {
    /// Stores it.
    pub set: Set,
    /// The value in force, as a `zoo.cfg` would write it.
    pub get: fn(&Config) -> String,
    /// What the value does.
    pub about: &'static str,
    /// A further verdict on some values.
    pub verdict: fn(&Value) -> Verdict,
}

/// A verdict on one value of a key that is acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// It is accepted, with this warning.
    Warn(Cow<'static, str>),
    /// It is an error, for this reason.
    Refused(Cow<'static, str>),
}

/// How a value is stored; the variant fits the key's [`Kind`].
#[derive(Clone, Copy)]
pub enum Set {
    /// [`Value::Bool`].
    Bool(fn(&mut Config, bool)),
    /// [`Value::Int`].
    Int(fn(&mut Config, i64)),
    /// [`Value::Int`] or [`Value::Auto`].
    IntOrAuto(fn(&mut Config, Option<i64>)),
    /// [`Value::Float`].
    Float(fn(&mut Config, f64)),
    /// [`Value::Text`].
    Text(fn(&mut Config, &str)),
    /// [`Value::List`].
    List(fn(&mut Config, &[String])),
    /// Together with other keys, once all are read.
    Together,
}

/// Themes, in the order of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Theme {
    /// Folders, log, snapshots.
    Storage,
    /// Sockets.
    Network,
    /// Sessions.
    Sessions,
    /// Back-pressure and throttling.
    Limits,
    /// Authentication, ACLs, TLS.
    Security,
    /// Nodes and watches.
    Nodes,
    /// Operators' interfaces.
    Admin,
    /// The ensemble.
    Quorum,
    /// Threads, caches and the like of the JVM.
    Pipeline,
    /// Keys that only clients read.
    Client,
    /// Our own.
    Own,
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Key {
    /// Name as a `zoo.cfg` writes it ([`Place::Bare`]: as `-D` writes it); ends in `*` for a
    /// family.
    pub name: &'static str,
    /// Theme.
    pub theme: Theme,
    /// Where it may be set.
    pub place: Place,
    /// Its allowed values.
    pub kind: Kind,
    /// Unit of a number; empty if it has none.
    pub unit: &'static str,
    /// Value if the key is not set, as a `zoo.cfg` would write it.
    pub default: &'static str,
    /// Whether its value must not be shown.
    pub secret: bool,
    /// What ZooKeeper does with a value that it cannot parse.
    pub unreadable: Unreadable,
    /// What Ringkeeper does with it.
    pub fate: Fate,
}

impl Key {
    /// A row without unit and default, which the methods below add: so a row reads as a sentence, and all rows are
    /// constants.
    const fn new(theme: Theme, place: Place, name: &'static str, kind: Kind, fate: Fate) -> Self {
        let unreadable = Unreadable::AsUsual;
        Key { name, theme, place, kind, unit: "", default: "", secret: false, unreadable, fate }
    }

    const fn unit(self, unit: &'static str) -> Self {
        Key { unit, ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Key { default, ..self }
    }

    const fn secret(self) -> Self {
        Key { secret: true, ..self }
    }

    const fn unreadable(self, unreadable: Unreadable) -> Self {
        Key { unreadable, ..self }
    }

    /// What the value does, for a row that is acted on; others say it in their fate.
    const fn about(self, about: &'static str) -> Self {
        match self.fate {
            Fate::Acted(acted) => Key { fate: Fate::Acted(Acted { about, ..acted }), ..self },
            _ => self,
        }
    }

    /// A further verdict, for a row that is acted on.
    const fn verdict(self, verdict: fn(&Value) -> Verdict) -> Self {
        match self.fate {
            Fate::Acted(acted) => Key { fate: Fate::Acted(Acted { verdict, ..acted }), ..self },
            _ => self,
        }
    }

    /// Whether the row is for every key with its prefix.
    pub fn is_family(&self) -> bool {
        self.name.ends_with('*')
    }

    /// What is allowed, with the unit.
    pub fn allowed(&self) -> String {
        match self.unit {
            "" => self.kind.allowed(),
            unit => format!("{} ({unit})", self.kind.allowed()),
        }
    }

    /// Its fate, as a word and a clause.
    pub fn fate_text(&self) -> (&'static str, &'static str) {
        match self.fate {
            Fate::Acted(Acted { about, .. }) => ("acted on", about),
            Fate::Meaningless(why) => ("no meaning here", why),
            Fate::Unbuilt(part) => ("not built yet", part),
            Fate::Refused { why, .. } => ("refused", why),
        }
    }

    /// Where it may be set, for people.
    pub fn place_text(&self) -> String {
        let name = self.name;
        match self.place {
            Place::File => "file".to_owned(),
            Place::Property => format!("file, -Dzookeeper.{name}"),
            Place::PropertyOrBare => format!("file, -Dzookeeper.{name}, -D{name}"),
            Place::Bare => format!("-D{name}, {OWN_PREFIX}{name} in zoo.cfg, TOML"),
            Place::Own => format!("file, -D{name}"),
        }
    }
}

/// Every row, by theme.
pub fn all() -> impl Iterator<Item = &'static Key> {
    [
        acted::storage::KEYS,
        acted::clients::KEYS,
        acted::rules::KEYS,
        acted::own::KEYS,
        quorum::KEYS,
        tls::CLIENT_KEYS,
        tls::QUORUM_KEYS,
        tls::KEYS,
        sasl::KEYS,
        audit::KEYS,
        unbuilt::KEYS,
        web::KEYS,
        meaningless::KEYS,
    ]
    .into_iter()
    .flatten()
}

/// The rows by name, made once.
struct Index {
    by_name: HashMap<&'static str, &'static Key>,
    /// Longest prefix first.
    families: Vec<(&'static str, &'static Key)>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let by_name = all().map(|key| (key.name, key)).collect();
    let mut families: Vec<_> =
        all().filter_map(|key| key.name.strip_suffix('*').map(|prefix| (prefix, key))).collect();
    families.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    Index { by_name, families }
});

/// The row of a key, by its canonical name.
pub fn find(name: &str) -> Option<&'static Key> {
    let exact = INDEX.by_name.get(name).copied().filter(|key| !key.is_family());
    exact.or_else(|| {
        let family = INDEX.families.iter().find(|(prefix, _)| name.starts_with(prefix));
        family.map(|&(_, key)| key)
    })
}

/// A known key with a name similar to an unknown one.
pub fn similar(name: &str) -> Option<&'static str> {
    // A distance of two finds the usual slips, and a distance of three a different spelling in a longer name;
    // longer texts are not slips, and comparing them costs time.
    if name.len() > 64 {
        return None;
    }
    all()
        .filter(|key| !key.is_family())
        .flat_map(|key| {
            // The prefix may have been forgotten.
            let short = key.name.strip_prefix(OWN_PREFIX).map(|short| (short, key.name));
            std::iter::once((key.name, key.name)).chain(short)
        })
        .map(|(known, whole)| {
            let distance = if known.eq_ignore_ascii_case(name) {
                0
            } else {
                edit_distance(known.as_bytes(), name.as_bytes())
            };
            (distance, known, whole)
        })
        .filter(|&(distance, known, _)| match distance {
            0..=2 => distance * 3 < known.len(),
            SLIP_MAX => known.len() > 4 * SLIP_MAX,
            _ => false,
        })
        .min()
        .map(|(_, _, whole)| whole)
}

/// Largest distance of an unknown key from the known key that is suggested.
const SLIP_MAX: usize = 3;

/// Levenshtein's distance, a row at a time.
fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    if a.len().abs_diff(b.len()) > SLIP_MAX {
        return usize::MAX / 4;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

// The kinds that the rows use. ZooKeeper's `int` and `long`, read from the file or as a property.
const INT_MAX: i64 = i32::MAX as i64;

/// `Integer.parseInt`.
const fn int(min: i64) -> Kind {
    Kind::Int { min, max: INT_MAX, form: Form::Decimal, below: Below::Refuse }
}

/// `Integer.getInteger`.
const fn prop_int(min: i64) -> Kind {
    Kind::Int { min, max: INT_MAX, form: Form::Based, below: Below::Refuse }
}

/// `Integer.getInteger`, where ZooKeeper replaces a small value and warns.
const fn prop_int_or(min: i64, other: i64) -> Kind {
    Kind::Int { min, max: INT_MAX, form: Form::Based, below: Below::Take(other) }
}

/// `Long.getLong`, up to a bound that leaves room for a conversion to bytes.
const fn prop_long(min: i64) -> Kind {
    Kind::Int { min, max: i64::MAX / 1024, form: Form::Based, below: Below::Refuse }
}

/// A port, as `InetSocketAddress` takes it.
const fn port() -> Kind {
    Kind::Int { min: 0, max: 65_535, form: Form::Decimal, below: Below::Refuse }
}

/// `-1` or more, with `Integer.MIN_VALUE` as the smallest: ZooKeeper gives the negative ones one
/// meaning.
const fn any_int() -> Kind {
    int(i32::MIN as i64)
}

/// A share or a probability.
const RATIO: Kind = Kind::Float { min: 0.0, max: 1.0 };

/// The verdict of most rows.
fn fine(_: &Value) -> Verdict {
    Verdict::Fine
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::DigestAlgorithm;
    use crate::config::value::Raw;

    #[test]
    fn names_are_unique() {
        let mut seen = HashSet::new();
        for key in all() {
            assert!(seen.insert(key.name), "{} stands twice", key.name);
        }
        assert!(seen.len() > 200);
    }

    #[test]
    fn setters_fit_their_kinds_and_defaults_are_what_the_rows_say() {
        let base = Config::of_file();
        for key in all() {
            let Fate::Acted(Acted { set, get, .. }) = key.fate else { continue };
            let fits = match key.kind {
                Kind::Bool | Kind::YesNo => matches!(set, Set::Bool(_) | Set::Together),
                Kind::Int { .. } => matches!(set, Set::Int(_) | Set::Together),
                Kind::IntOrAuto { .. } => matches!(set, Set::IntOrAuto(_)),
                Kind::Float { .. } => matches!(set, Set::Float(_)),
                Kind::List => matches!(set, Set::List(_) | Set::Together),
                Kind::Text | Kind::Path | Kind::Choice(_) | Kind::Interval => {
                    matches!(set, Set::Text(_) | Set::Together)
                }
                Kind::Server | Kind::Group => matches!(set, Set::Together),
            };
            assert!(fits, "{}: the setter does not fit the kind", key.name);
            // Timeouts depend on the tick, and required keys have no default.
            if !matches!(set, Set::Together) {
                assert_eq!(get(&base), key.default, "{}", key.name);
            }
        }
    }

    #[test]
    fn what_is_set_is_what_is_shown() {
        for key in all() {
            let Fate::Acted(Acted { set, get, .. }) = key.fate else { continue };
            let mut config = Config::of_file();
            let raws = match key.kind {
                Kind::Bool | Kind::YesNo => vec![Raw::Bool(true), Raw::Bool(false)],
                // Near the upper end a unit must not overflow.
                Kind::Int { min, max, .. } => {
                    vec![Raw::Int(min.max(2)), Raw::Int((max - 1).max(min)), Raw::Int(max)]
                }
                Kind::IntOrAuto { max, .. } => vec![Raw::Text("auto".into()), Raw::Int(max)],
                Kind::Float { .. } => vec![Raw::Float(0.25)],
                Kind::Choice(words) => words.iter().map(|w| Raw::Text((*w).to_owned())).collect(),
                Kind::Interval => vec![Raw::Int(7)],
                Kind::List => vec![Raw::Text("srvr,stat".into())],
                _ => continue,
            };
            for raw in raws {
                let value = key.kind.read(&raw).unwrap();
                match (set, &value) {
                    (Set::Bool(f), Value::Bool(b)) => f(&mut config, *b),
                    (Set::Int(f), Value::Int(i)) => f(&mut config, *i),
                    (Set::IntOrAuto(f), Value::Int(i)) => f(&mut config, Some(*i)),
                    (Set::IntOrAuto(f), Value::Auto) => f(&mut config, None),
                    (Set::Float(f), Value::Float(x)) => f(&mut config, *x),
                    (Set::Text(f), Value::Text(t)) => f(&mut config, t),
                    (Set::List(f), Value::List(l)) => f(&mut config, l),
                    (Set::Together, _) => continue,
                    _ => panic!("{}", key.name),
                }
                let shown = get(&config);
                let again = key.kind.read(&Raw::Text(shown.clone())).unwrap();
                match (&value, &again) {
                    (Value::Text(a), Value::Text(b)) if key.kind == Kind::Interval => {
                        assert_eq!(
                            crate::config::value::interval_ms(a),
                            crate::config::value::interval_ms(b)
                        );
                    }
                    (Value::Text(a), Value::Text(_)) if a.starts_with("SHA") => {
                        assert_eq!(
                            DigestAlgorithm::from_name(a),
                            DigestAlgorithm::from_name(&shown)
                        );
                    }
                    (Value::Text(a), Value::Text(b)) => {
                        assert!(a.eq_ignore_ascii_case(b), "{}: {a} {b}", key.name);
                    }
                    (a, b) => assert_eq!(a, b, "{}", key.name),
                }
            }
        }
    }

    #[test]
    fn families_match_by_their_longest_prefix() {
        assert_eq!(find("server.3").map(|k| k.name), Some("server.*"));
        assert_eq!(find("ssl.quorum.nonsense").map(|k| k.name), None);
        assert_eq!(find("tickTime").map(|k| k.name), Some("tickTime"));
        assert!(find("server.*").is_some_and(Key::is_family));
        assert!(find("ticktime").is_none());
    }

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        assert_eq!(similar("ticktime"), Some("tickTime"));
        assert_eq!(similar("maxClientConns"), Some("maxClientCnxns"));
        assert_eq!(similar("snapcoutn"), None);
        assert_eq!(similar("snapCont"), Some("snapCount"));
        assert_eq!(similar("connectionMemoryMax"), Some("ringkeeper.connectionMemoryMax"));
        assert_eq!(similar("aclEntrysMax"), Some("ringkeeper.aclEntriesMax"));
        assert_eq!(similar("ringkeeper.connectionMemMax"), Some("ringkeeper.connectionMemoryMax"));
        assert_eq!(similar("ringkeeper.aclEntryMax"), Some("ringkeeper.aclEntriesMax"));
        assert_eq!(similar("x"), None);
        assert_eq!(similar(&"x".repeat(1000)), None);
    }
}
