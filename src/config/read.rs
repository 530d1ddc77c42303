//! Turns entries and `-D` words into a [`Config`]: decides which value counts, stores it, and
//! collects messages about it.
//!
//! All errors are collected; the configuration is returned only if there is none. [`super::finish`]
//! handles values that depend on several keys, after every value has been read.
//!
//! ```text
//! SERVER_JVMFLAGS, JVMFLAGS, command line, file      a later source replaces an earlier one
//!     ─▶ candidates, by canonical name               the value that counts
//!     ─▶ apply: read by its kind, judged by its row  ─▶ values, Config, errors, notes
//!     ─▶ finish ─▶ settings, for the summary
//! ```
//! The order of the sources is ZooKeeper's: zkServer.sh passes the variables to the JVM in this order, the last `-D`
//! of a name counts there, and a key of the file sets the system property anew (`QuorumPeerConfig.parseProperties`).

use std::collections::BTreeMap;
use std::path::Path;

use super::document::{Document, Format};
use super::flags::{self, Word};
use super::keys::{self, Fate, Key, OWN_PREFIX, Place, Set, Verdict};
use super::origin::{ConfigError, Level, Note, Origin, Problem};
use super::settings::{Config, Setting};
use super::slips;
use super::value::{Below, Kind, Raw, Value};

/// Reads a file that a configuration names: its bytes, `None` if there is no such file, or why it
/// cannot be read.
pub type ReadFile<'a> = &'a mut dyn FnMut(&Path) -> Result<Option<Vec<u8>>, String>;

/// A file larger than this is not a configuration. Bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// The origin of properties on the command line, in messages.
const COMMAND_LINE: &str = "the command line";

/// The sources of a configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The file, if one was named.
    pub file: Option<SourceFile<'a>>,
    /// Environment variables with `-D` words, the first one first: `SERVER_JVMFLAGS`, `JVMFLAGS`.
    pub flags: &'a [(&'a str, &'a str)],
    /// The properties after `-D` on the command line, `NAME=VALUE` each; they come after all
    /// variables.
    pub properties: &'a [&'a str],
}

/// A configuration file.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
    /// Its form.
    pub format: Format,
}

/// The result of reading a configuration: as much of it as could be read, and all errors.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The configuration; only valid if there are no errors.
    pub config: Config,
    /// Why a server cannot start with it.
    pub errors: Vec<ConfigError>,
}

impl Examination {
    /// The configuration, if there are no errors.
    pub fn into_result(self) -> Result<Config, Vec<ConfigError>> {
        if self.errors.is_empty() { Ok(self.config) } else { Err(self.errors) }
    }
}

/// Reads everything. `read_file` is asked for the files that the configuration names (`myid` and
/// the dynamic file); without it they are not read.
pub fn examine(sources: Sources<'_>, read_file: Option<ReadFile<'_>>) -> Examination {
    let mut reading = Reading {
        config: if sources.file.is_some() { Config::of_file() } else { Config::default() },
        errors: Vec::new(),
        candidates: BTreeMap::new(),
        values: BTreeMap::new(),
        file: sources.file.map(|f| f.name.to_owned()),
    };
    for &(variable, text) in sources.flags {
        reading.take_words(variable, flags::words(text));
    }
    // In the order of their weight: what is taken later replaces what was taken before.
    reading.take_words(COMMAND_LINE, sources.properties.iter().map(|text| flags::property(text)));
    if let Some(file) = sources.file {
        reading.take_file(file);
    }
    reading.apply();
    super::finish::finish(&mut reading, read_file);
    reading.keep_settings();
    // By line, as a person reads the file; stable, so -D words keep their order.
    reading.errors.sort_by(|a, b| a.origin.cmp(&b.origin));
    reading.config.notes.sort_by(|a, b| a.origin.cmp(&b.origin));
    Examination { config: reading.config, errors: reading.errors }
}

/// A value that may take effect, before it is read.
struct Candidate {
    /// Its row.
    key: &'static Key,
    /// As it was written, for messages.
    written: String,
    /// Its value in the source.
    raw: Raw,
    origin: Origin,
}

/// A value that was read.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    /// What its kind made of it.
    pub value: Value,
    /// The key as it was written, for messages.
    pub written: String,
    /// Where it was set.
    pub origin: Origin,
}

/// The state while a configuration is read.
pub(super) struct Reading {
    /// What is known of the configuration so far, with the notes.
    pub config: Config,
    /// All errors so far: none ends the reading.
    pub errors: Vec<ConfigError>,
    /// By canonical name: the value that counts so far.
    candidates: BTreeMap<String, Candidate>,
    /// By canonical name: the values read without an error.
    pub values: BTreeMap<String, Accepted>,
    /// Name of the file, if there is one.
    pub file: Option<String>,
}

/// The meaning of a name in a file or after `-D`.
pub(super) enum Resolved {
    /// A key, under its canonical name.
    Key(&'static Key, String),
    /// Something that has no effect, for the reason given.
    Nothing(String),
}

impl Reading {
    /// Takes the words of a variable, or of the command line; a later word replaces an earlier one.
    fn take_words<'w>(&mut self, variable: &str, words: impl Iterator<Item = Word<'w>>) {
        let origin = Origin::Flag { variable: variable.into() };
        // -Xmx and the like: one note for all of them.
        let mut of_the_jvm = Vec::new();
        for word in words {
            match word {
                Word::Option(option) => of_the_jvm.push(option.to_owned()),
                Word::Property { name, value } => match resolve_flag(name) {
                    None => of_the_jvm.push(format!("-D{name}")),
                    Some(Resolved::Nothing(why)) => {
                        self.note(Level::Warn, &origin, &format!("-D{name}"), why);
                    }
                    Some(Resolved::Key(key, canonical)) => {
                        let written = format!("-D{name}");
                        // As text even beside a TOML file: it is what a shell passes.
                        let raw = Raw::Text(value.trim().to_owned());
                        let origin = origin.clone();
                        self.candidates.insert(canonical, Candidate { key, written, raw, origin });
                    }
                },
            }
        }
        if !of_the_jvm.is_empty() {
            let words = of_the_jvm.join(" ");
            let text = format!("words for a JVM have no meaning here: {words}");
            self.note(Level::Info, &origin, "", text);
        }
    }

    /// Takes the entries of a file; a later entry replaces an earlier one and any `-D` word.
    fn take_file(&mut self, file: SourceFile<'_>) {
        if file.bytes.len() > FILE_BYTES_MAX {
            self.errors.push(too_large(file.name));
            return;
        }
        let document = Document::read(file.bytes, file.name, file.format);
        let name: std::sync::Arc<str> = file.name.into();
        for line in &document.latin1_lines {
            let origin = Origin::File { name: name.clone(), line: *line };
            let text =
                "bytes above 127 are read as ISO-8859-1, as Java does; write \\uhhhh instead";
            self.note(Level::Warn, &origin, "", text.to_owned());
        }
        self.errors.extend(document.errors);
        for entry in document.entries {
            let origin = Origin::File { name: name.clone(), line: entry.line };
            match resolve_in_file(&entry.key, file.format) {
                Resolved::Nothing(why) => self.note(Level::Warn, &origin, &entry.key, why),
                Resolved::Key(key, canonical) => {
                    self.note_replaced(&canonical, &entry.key, &origin, file.format);
                    self.candidates.insert(
                        canonical,
                        Candidate { key, written: entry.key, raw: entry.raw, origin },
                    );
                }
            }
        }
    }

    /// Says that an entry of the file replaces an earlier value. In TOML a key that is set twice is an error, because
    /// its author cannot have meant both; Java takes the last one silently.
    fn note_replaced(&mut self, canonical: &str, written: &str, origin: &Origin, format: Format) {
        // Two spellings of one key, with and without our prefix, replace each other too.
        let Some(earlier) = self.candidates.get(canonical).map(|c| c.origin.clone()) else {
            return;
        };
        match earlier {
            Origin::File { .. } if format == Format::Toml => {
                let text = format!("set twice, also at {earlier}");
                self.error(Problem::Conflict, origin, written, None, text);
            }
            Origin::File { .. } => {
                let text = format!("replaces the value of {earlier}, as in Java");
                self.note(Level::Warn, origin, written, text);
            }
            Origin::Flag { .. } | Origin::Default => {
                let text = format!("the file overrides -D in {earlier}, as in ZooKeeper");
                self.note(Level::Warn, origin, written, text);
            }
        }
    }

    /// Reads each value by its kind, and handles it according to its row.
    fn apply(&mut self) {
        for (canonical, candidate) in std::mem::take(&mut self.candidates) {
            let Candidate { key, written, raw, origin } = candidate;
            let value = match key.kind.read(&raw) {
                Ok(value) => value,
                Err(text) => {
                    let (shown, text) = refusal(key, &raw, text);
                    self.error(Problem::Value, &origin, &written, shown, text);
                    continue;
                }
            };
            let shown = shown(key, &raw);
            if let Some(text) = slips::doubt(key, &raw) {
                self.note(Level::Warn, &origin, &written, text);
            }
            // The verdict is about the number that will be in force, not about the one that was written.
            let value = self.correct(key, value, &written, &origin);
            match key.fate {
                Fate::Acted(acted) => {
                    match (acted.verdict)(&value) {
                        Verdict::Fine => {}
                        Verdict::Warn(text) => {
                            self.note(Level::Warn, &origin, &written, text.into_owned());
                        }
                        Verdict::Refused(why) => {
                            self.error(
                                Problem::Refused,
                                &origin,
                                &written,
                                shown,
                                why.into_owned(),
                            );
                        }
                    }
                    // Stored even if it was refused: then there is an error, and the configuration is never used.
                    store(&mut self.config, acted.set, &value);
                }
                Fate::Meaningless(why) => {
                    self.note(Level::Info, &origin, &written, format!("no meaning here: {why}"));
                }
                Fate::Unbuilt(part) if asks_for_nothing(key, &value) => {
                    self.note(
                        Level::Info,
                        &origin,
                        &written,
                        format!("changes nothing; not built yet: {part}"),
                    );
                }
                Fate::Unbuilt(part) => {
                    self.note(
                        Level::Warn,
                        &origin,
                        &written,
                        format!("ignored; not built yet: {part}"),
                    );
                }
                Fate::Refused { why, harmless } => {
                    if !harmless(&value) {
                        self.error(Problem::Refused, &origin, &written, shown, why.to_owned());
                    }
                }
            }
            self.values.insert(canonical, Accepted { value, written, origin });
        }
    }

    /// Replaces a number that is too small where ZooKeeper does so.
    fn correct(&mut self, key: &Key, value: Value, written: &str, origin: &Origin) -> Value {
        let Kind::Int { min, below: Below::Take(other), .. } = key.kind else { return value };
        match value {
            Value::Int(number) if number < min => {
                let text = format!("{other} is used instead of {number}, as in ZooKeeper");
                self.note(Level::Warn, origin, written, text);
                Value::Int(other)
            }
            value => value,
        }
    }

    /// Keeps every value that was set, as text, for the summary and `config check`. Secrets are not kept.
    fn keep_settings(&mut self) {
        for (canonical, Accepted { value, origin, .. }) in &self.values {
            let text = match keys::find(canonical) {
                Some(key) if key.secret => "(hidden)".to_owned(),
                Some(key) => value.to_text(key.kind),
                None => continue,
            };
            let setting = Setting { text, origin: origin.clone() };
            self.config.settings.insert(canonical.clone(), setting);
        }
    }

    /// The number of a key that was set.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.values.get(key)?.value {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The text of a key that was set.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.values.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The origin of a key that was set, otherwise the file.
    pub fn origin(&self, key: &str) -> Origin {
        match (self.values.get(key), &self.file) {
            (Some(accepted), _) => accepted.origin.clone(),
            (None, Some(name)) => Origin::file(name),
            (None, None) => Origin::Default,
        }
    }

    /// Adds a note; an empty key means that it is not about a single key.
    pub fn note(&mut self, level: Level, origin: &Origin, key: &str, text: String) {
        self.config.notes.push(Note { level, origin: origin.clone(), key: key.to_owned(), text });
    }

    /// Adds an error; an empty key means that it is not about a single key, `None` that the value must not be shown
    /// or that there is none.
    pub fn error(
        &mut self,
        problem: Problem,
        origin: &Origin,
        key: &str,
        value: Option<String>,
        text: String,
    ) {
        let (origin, key) = (origin.clone(), key.to_owned());
        self.errors.push(ConfigError { origin, problem, key, value, text });
    }
}

/// The row of a file's key. `QuorumPeerConfig` makes a system property `zookeeper.k` of any key `k` that it does not
/// know, so a name with that prefix, or one that is read without it, has no effect.
///
/// ```text
/// in the file               place of the row        result
/// k                         all but Bare            the key
/// k                         Bare                    zoo.cfg: nothing; TOML: the key
/// ringkeeper.k              Bare                    the key
/// zookeeper.k               any                     nothing: there is no row of this name
/// ```
pub(super) fn resolve_in_file(written: &str, format: Format) -> Resolved {
    if written.is_empty() {
        return Resolved::Nothing("a value without a key, ignored".to_owned());
    }
    // `ringkeeper.jute.maxbuffer` is jute.maxbuffer: a bare property needs some name in a file.
    let canonical = match written.strip_prefix(OWN_PREFIX) {
        Some(rest) if keys::find(rest).is_some_and(|key| key.place == Place::Bare) => rest,
        _ => written,
    };
    // ZooKeeper: every file key with this prefix is a member, also server.principal.
    let family = written.starts_with("server.").then(|| keys::find("server.*")).flatten();
    match family.or_else(|| keys::find(canonical)) {
        Some(key)
            if key.place == Place::Bare && canonical == written && format == Format::ZooCfg =>
        {
            let elsewhere =
                format!("write -D{written}=… in SERVER_JVMFLAGS, or {OWN_PREFIX}{written} here");
            Resolved::Nothing(format!(
                "has no effect in a zoo.cfg, as in ZooKeeper: {}",
                where_it_counts(key, elsewhere)
            ))
        }
        Some(key) => Resolved::Key(key, canonical.to_owned()),
        None => Resolved::Nothing(unknown(written)),
    }
}

/// The row of a `-D` word's name; `None` if ZooKeeper has no such property.
///
/// ```text
/// after -D                  place of the row                  result
/// zookeeper.k               Property, PropertyOrBare          the key
/// zookeeper.k               File, Bare, Own                   nothing: it is read elsewhere
/// k                         Bare, PropertyOrBare, Own         the key
/// k                         File, Property                    nothing: it is read elsewhere
/// ```
pub(super) fn resolve_flag(name: &str) -> Option<Resolved> {
    let nothing = |text: String| Some(Resolved::Nothing(text));
    // A word with ZooKeeper's prefix is meant for the server, so an unknown one gets a note. Other words may be meant
    // for a library of the JVM.
    if let Some(rest) = name.strip_prefix("zookeeper.") {
        return match keys::find(rest) {
            Some(key) => match key.place {
                Place::Property | Place::PropertyOrBare => {
                    Some(Resolved::Key(key, rest.to_owned()))
                }
                Place::File => nothing(no_effect(key, "it is read only from the file".to_owned())),
                Place::Bare | Place::Own => {
                    nothing(no_effect(key, format!("it is read as -D{rest}")))
                }
            },
            None => nothing(unknown(rest)),
        };
    }
    match keys::find(name) {
        Some(key) => match key.place {
            Place::Bare | Place::PropertyOrBare | Place::Own => {
                Some(Resolved::Key(key, name.to_owned()))
            }
            Place::Property => nothing(no_effect(key, format!("it is read as -Dzookeeper.{name}"))),
            Place::File => nothing(no_effect(key, "it is read only from the file".to_owned())),
        },
        None if name.starts_with(OWN_PREFIX) => nothing(unknown(name)),
        None => None,
    }
}

/// The note about a key that does nothing where it stands.
fn no_effect(key: &Key, elsewhere: String) -> String {
    format!("has no effect: {}", where_it_counts(key, elsewhere))
}

/// The place in which a misplaced key would have an effect; this is advice only for a key that has an
/// effect in Ringkeeper.
pub(super) fn where_it_counts(key: &Key, elsewhere: String) -> String {
    match key.fate {
        Fate::Acted(_) => elsewhere,
        Fate::Meaningless(why) => {
            format!("remove it, for it has no meaning anywhere here: {why}")
        }
        Fate::Unbuilt(part) => {
            format!("remove it, because it would be ignored elsewhere too; not built yet: {part}")
        }
        Fate::Refused { why, .. } => {
            format!("remove it; where ZooKeeper reads it, it is refused here: {why}")
        }
    }
}

/// The note about a key that no row has, with the key that was perhaps meant. It is never an error: ZooKeeper makes a
/// system property of it, which nothing reads.
fn unknown(name: &str) -> String {
    let stripped = name.strip_prefix("zookeeper.").filter(|rest| keys::find(rest).is_some());
    match stripped.or_else(|| keys::similar(name)) {
        Some(known) => format!("unknown key, ignored; did you mean {known}?"),
        None => "unknown key, ignored".to_owned(),
    }
}

/// Whether the value of a key of an unbuilt part does not ask for that part: it is false, empty or the default. A
/// number always asks for something.
fn asks_for_nothing(key: &Key, value: &Value) -> bool {
    match value {
        Value::Bool(asked) => !asked || key.default == "true",
        Value::Text(text) => text.is_empty() || text == key.default,
        _ => false,
    }
}

/// Stores a value with the setter of its row.
///
/// # Panics
/// If they do not fit each other, which a test of the table rules out.
fn store(config: &mut Config, set: Set, value: &Value) {
    match (set, value) {
        (Set::Bool(store), Value::Bool(value)) => store(config, *value),
        (Set::Int(store), Value::Int(value)) => store(config, *value),
        (Set::IntOrAuto(store), Value::Int(value)) => store(config, Some(*value)),
        (Set::IntOrAuto(store), Value::Auto) => store(config, None),
        (Set::Float(store), Value::Float(value)) => store(config, *value),
        (Set::Text(store), Value::Text(value)) => store(config, value),
        (Set::List(store), Value::List(value)) => store(config, value),
        (Set::Together, _) => {}
        (
            Set::Bool(_)
            | Set::Int(_)
            | Set::IntOrAuto(_)
            | Set::Float(_)
            | Set::Text(_)
            | Set::List(_),
            _,
        ) => unreachable!("a test of the table pairs every setter with the kind of its key"),
    }
}

/// A file that is larger than any configuration.
pub(super) fn too_large(name: &str) -> ConfigError {
    ConfigError {
        origin: Origin::file(name),
        problem: Problem::Syntax,
        key: String::new(),
        value: None,
        text: format!("larger than {FILE_BYTES_MAX} bytes, so it is not a configuration"),
    }
}

/// The message about a value that its key does not allow: the value, unless it is a secret, and what
/// is wrong with it.
pub(super) fn refusal(key: &Key, raw: &Raw, text: String) -> (Option<String>, String) {
    let unit = if key.unit.is_empty() { String::new() } else { format!(" ({})", key.unit) };
    (shown(key, raw), text + &unit + &slips::explain(key, raw))
}

/// A value for messages, unless it is a secret.
fn shown(key: &Key, raw: &Raw) -> Option<String> {
    (!key.secret).then(|| show(raw))
}

/// A value as it was written, for messages.
fn show(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) => text.clone(),
        Raw::Str(text) => format!("\"{text}\""),
        Raw::Int(number) => number.to_string(),
        Raw::Float(number) => number.to_string(),
        Raw::Bool(boolean) => boolean.to_string(),
        Raw::List(words) => format!("[{}]", words.join(", ")),
        Raw::Other(name) => (*name).to_owned(),
    }
}
