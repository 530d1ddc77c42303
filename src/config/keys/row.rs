//! Helpers for rows of keys that are acted on: macros for their two closures, short constructors,
//! and the words and checks that several rows share.
//!
//! ```text
//! plain!(Bool, network.client_tcp_keep_alive)     a field of the value's type
//! number!(storage.snap_count)                     a number, narrowed to the field's type
//! optional!(network.max_cnxns, 0, 1)              Option: None at 0 and below; otherwise times 1
//! yes_no!(storage.force_sync)                     a bool, shown as yes or no
//! auto!(own.cores)                                Option: None for auto
//! together!(|c| …)                                no setter: `finish` or `members` stores it
//! ```

use super::super::origin::printable;
use super::super::settings::{Config, Whitelist};
use super::super::value::{Below, Form, Kind, Value};
use super::{Fate, Key, Place, Theme, Verdict};

/// A number from the table's range into a field. The rows' ranges make the saturation unreachable;
/// a test stores both ends of each.
pub(super) fn narrow<T: TryFrom<i64> + Bounded>(number: i64) -> T {
    T::try_from(number).unwrap_or(if number < 0 { T::LOWEST } else { T::HIGHEST })
}

/// The ends of a field's type, to which [`narrow`] saturates.
pub(super) trait Bounded {
    /// For numbers below 0.
    const LOWEST: Self;
    /// For numbers above the range.
    const HIGHEST: Self;
}

impl Bounded for u32 {
    const LOWEST: Self = 0;
    const HIGHEST: Self = u32::MAX;
}

impl Bounded for u64 {
    const LOWEST: Self = 0;
    const HIGHEST: Self = u64::MAX;
}

/// A field that is the value itself.
macro_rules! plain {
    ($variant:ident, $($field:ident).+) => {
        Fate::Acted(Acted {
            set: Set::$variant(|config, value| config.$($field).+ = value),
            get: |config| config.$($field).+.to_string(),
            about: "",
            verdict: fine,
        })
    };
}

/// A number.
macro_rules! number {
    ($($field:ident).+) => {
        Fate::Acted(Acted {
            set: Set::Int(|config, value| config.$($field).+ = narrow(value)),
            get: |config| config.$($field).+.to_string(),
            about: "",
            verdict: fine,
        })
    };
}

/// A number that means "none" at `$none` and at everything below it, times a unit.
macro_rules! optional {
    ($($field:ident).+, $none:literal, $unit:literal) => {
        Fate::Acted(Acted {
            set: Set::Int(|config, value| {
                config.$($field).+ = (value > $none).then(|| narrow(value.saturating_mul($unit)));
            }),
            get: |config| match config.$($field).+ {
                Some(value) => (value / $unit).to_string(),
                None => $none.to_string(),
            },
            about: "",
            verdict: fine,
        })
    };
}

/// true and false, written yes and no.
macro_rules! yes_no {
    ($($field:ident).+) => {
        Fate::Acted(Acted {
            set: Set::Bool(|config, value| config.$($field).+ = value),
            get: |config| if config.$($field).+ { "yes" } else { "no" }.to_owned(),
            about: "",
            verdict: fine,
        })
    };
}

/// A value that is stored after all are read.
macro_rules! together {
    ($get:expr) => {
        Fate::Acted(Acted { set: Set::Together, get: $get, about: "", verdict: fine })
    };
}

/// A number or `auto`.
macro_rules! auto {
    ($($field:ident).+) => {
        Fate::Acted(Acted {
            set: Set::IntOrAuto(|config, value| config.$($field).+ = value.map(narrow)),
            get: |config| config.$($field).+.map_or("auto".to_owned(), |v| v.to_string()),
            about: "",
            verdict: fine,
        })
    };
}

/// A row of a key that only the file has: `QuorumPeerConfig.parseProperties` knows it by name.
pub(super) const fn file(
    theme: Theme,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    fate: Fate,
) -> Key {
    Key::new(theme, Place::File, name, kind, fate).default(default)
}

/// A row of a system property `zookeeper.NAME`, which the file may set too.
pub(super) const fn prop(
    theme: Theme,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    fate: Fate,
) -> Key {
    Key::new(theme, Place::Property, name, kind, fate).default(default)
}

/// A row of a system property without the prefix, which a `zoo.cfg` cannot set in ZooKeeper.
pub(super) const fn bare(
    theme: Theme,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    fate: Fate,
) -> Key {
    Key::new(theme, Place::Bare, name, kind, fate).default(default)
}

/// A row of a key that only Ringkeeper has; `name` includes the prefix.
pub(super) const fn own(name: &'static str, kind: Kind, default: &'static str, fate: Fate) -> Key {
    Key::new(Theme::Own, Place::Own, name, kind, fate).default(default)
}

/// Bytes of a bound of our own: up to a tebibyte, which no machine buffers.
pub(super) const fn bytes(min: i64) -> Kind {
    Kind::Int { min, max: 1 << 40, form: Form::Based, below: Below::Refuse }
}

/// Of `forceSync`: without it the server acknowledges what it may lose.
pub(super) fn force_sync(value: &Value) -> Verdict {
    match value {
        Value::Bool(false) => {
            Verdict::Warn("acknowledged writes may be lost when the machine stops".into())
        }
        _ => Verdict::Fine,
    }
}

/// A key that allows a loss is for the start after that loss: if it stays, the next loss goes
/// unnoticed.
pub(super) fn log_gaps(value: &Value) -> Verdict {
    match value {
        Value::Bool(true) => Verdict::Warn(
            "it is meant for one start: while it is set, this server starts even if transactions are \
             missing in its log, and they are lost. Remove it when that start has succeeded"
                .into(),
        ),
        _ => Verdict::Fine,
    }
}

/// The same for snapshots, of `snapshot.trust.empty`.
pub(super) fn trust_empty(value: &Value) -> Verdict {
    match value {
        Value::Bool(true) => Verdict::Warn(
            "it is meant for one start, of a folder that never had a snapshot: while it is set, this \
             server starts even if its snapshots are missing, and what they held is lost. Remove it when that start \
             has succeeded"
                .into(),
        ),
        _ => Verdict::Fine,
    }
}

/// Of `skipACL`: switched on it is a choice, but one that should be seen in each start's log.
pub(super) fn skip_acl(value: &Value) -> Verdict {
    match value {
        Value::Bool(true) => Verdict::Warn("every client may read and change everything".into()),
        _ => Verdict::Fine,
    }
}

/// Stores `4lw.commands.whitelist`.
pub(super) fn set_whitelist(config: &mut Config, words: &[String]) {
    // ZooKeeper: FourLetterCommands.isEnabled; a `*` anywhere means all, and srvr is always in.
    config.admin.four_letter_words = if words.iter().any(|w| w == "*") {
        Whitelist::All
    } else {
        let words = words.iter().filter(|w| !w.is_empty()).cloned();
        Whitelist::Only(words.chain(["srvr".to_owned()]).collect())
    };
}

/// Of `4lw.commands.whitelist`: a word that does not exist is harmless, and probably a slip.
pub(super) fn whitelist(value: &Value) -> Verdict {
    // The first two are no words: what stands between two commas, and what stands for all of them.
    const KNOWN: [&str; 20] = [
        "", "*", "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr",
        "ruok", "srst", "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
    ];
    let Value::List(words) = value else { return Verdict::Fine };
    // Shown as they were read, in quotes, because a blank or a control character may be all that is wrong.
    let unknown: Vec<String> = words
        .iter()
        .filter(|word| !KNOWN.contains(&word.as_str()))
        .map(|word| format!("{:?}", printable(word)))
        .collect();
    if unknown.is_empty() {
        return Verdict::Fine;
    }
    let unknown = unknown.join(", ");
    let known = KNOWN[2..].join(", ");
    Verdict::Warn(
        format!("no four-letter word of ZooKeeper's: {unknown}; there are {known}, and * for all")
            .into(),
    )
}

/// A frame of this size holds every request of a session without data and with short paths.
// By its format the request that opens a session has 45 bytes; ZooKeeper's own BufferSizeTest runs
// at 100.
const USEFUL_FRAME_BYTES: i64 = 128;

/// Of `jute.maxbuffer`: a value below what sessions need. It is allowed, as in ZooKeeper.
pub(super) fn max_buffer(value: &Value) -> Verdict {
    match value {
        Value::Int(bytes) if *bytes < USEFUL_FRAME_BYTES => Verdict::Warn(
            "a client is disconnected when it sends a larger request; below 128 bytes that happens \
             to ordinary ones, and below 45 no client can connect"
                .into(),
        ),
        _ => Verdict::Fine,
    }
}

/// The digest names that Java and we both know.
pub(super) const DIGEST_NAMES: &[&str] = &[
    "SHA1",
    "SHA",
    "SHA-1",
    "SHA-224",
    "SHA-256",
    "SHA-384",
    "SHA-512",
    "SHA-512/224",
    "SHA-512/256",
    "SHA3-224",
    "SHA3-256",
    "SHA3-384",
    "SHA3-512",
];

pub(super) use {auto, number, optional, plain, together, yes_no};
