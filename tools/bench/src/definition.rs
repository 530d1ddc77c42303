//! A workload as data: one file `benches/definitions/NAME.toml` is one [`Definition`].
//!
//! Everything has a default but what makes the workload what it is. An unknown key is an error, so
//! that a misspelt one does not measure something else.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::beside::Beside;

/// Sessions of one run: one address of the generator has so many ports for one server, less some.
pub const SESSIONS_MAX: u32 = 28_000;
/// Parents of the nodes of a mix: their names have room for so many.
const GROUPS_MAX: u32 = 900_000;
/// Nodes of a mix: those that it creates among them come behind.
const ZNODES_MAX: u32 = 10_000_000;

/// A workload: what is done, for how long, and why anybody would want to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The file's name without `.toml`.
    #[serde(skip_deserializing, default)]
    pub name: String,
    /// For a table's first column.
    pub title: String,
    /// What one learns from it.
    pub why: String,
    /// What it belongs to: `goals`, `mixes`, `uses`, `ladders`, `failures`.
    pub groups: Vec<String>,
    /// Sizes of ensembles that it is meant for.
    #[serde(default = "alone")]
    pub servers: Vec<usize>,
    /// How long it runs before anything is measured.
    #[serde(default = "one_second")]
    pub warm_up_s: f64,
    /// How long it is measured.
    #[serde(default = "five_seconds")]
    pub seconds: f64,
    /// The length of the timeline's slices.
    #[serde(default = "one_second_ms")]
    pub slice_ms: u32,
    /// Whether `compare` gives it servers of its own, and those that come after it others: it leaves
    /// them with a large heap, or must not find one.
    #[serde(default)]
    pub fresh: bool,
    /// What the servers share their processors with.
    #[serde(default, skip_serializing_if = "Beside::is_nothing")]
    pub beside: Beside,
    /// The parameter to vary, of a ladder.
    #[serde(default)]
    pub step: Option<Steps>,
    /// What is done.
    pub work: Work,
}

/// A parameter that takes one value after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// `sessions`, `depth`, `value_bytes`, `znodes`, `children`, `watches`, `read_percent`,
    /// `multi_size`, `per_second`, or `servers`, which is for who starts them.
    pub parameter: String,
    /// Its values.
    pub values: Vec<u64>,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    /// Requests drawn from a mix of operations.
    Mix(Mix),
    /// Clients that want the same locks, by Curator's pattern.
    Lock(Lock),
    /// Services that come and go, and clients that want to know.
    Discovery(Discovery),
    /// One writes a node, and everybody watches it.
    FanOut(FanOut),
    /// Everybody connects at once.
    ConnectStorm(ConnectStorm),
    /// Sessions that come, make ephemeral nodes, and go.
    Churn(Churn),
}

/// Which servers the sessions connect to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// All of them, in turn, the leader first.
    #[default]
    Spread,
    /// The leader, or the only one.
    Leader,
    /// All but the leader, in turn.
    Follower,
}

/// How requests are paced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    /// Each session keeps so many in flight.
    Closed {
        /// Requests in flight in each session.
        depth: u32,
    },
    /// So many are due in each second, over all sessions, whether or not earlier ones were answered.
    Open {
        /// Requests per second.
        per_second: f64,
    },
}

/// Requests drawn from a mix of operations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Sessions.
    pub sessions: u32,
    /// Where they connect.
    #[serde(default)]
    pub placement: Placement,
    /// How requests are paced.
    pub load: Load,
    /// Weights of the operations.
    pub operations: Operations,
    /// Which nodes they are about.
    #[serde(default)]
    pub keys: Keys,
    /// Nodes that are there before.
    #[serde(default = "one_thousand")]
    pub znodes: u32,
    /// How many of them under each parent.
    #[serde(default = "one_thousand")]
    pub children: u32,
    /// Whether creates and deletes happen among those nodes, under the first parent, instead of
    /// under a parent of each session's own.
    #[serde(default)]
    pub create_among_them: bool,
    /// Size of the values.
    #[serde(default = "hundred")]
    pub value_bytes: u32,
    /// Operations in each multi.
    #[serde(default = "ten")]
    pub multi_size: u32,
    /// Operations in each multi_read.
    #[serde(default = "ten")]
    pub multi_read_size: u32,
    /// Data watches that are left on those nodes before, spread over the sessions.
    #[serde(default)]
    pub watches: u32,
    /// Whether reads leave a watch.
    #[serde(default)]
    pub reads_watch: bool,
}

/// Weights of a mix's operations; only their proportion matters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Operations {
    /// getData.
    pub get: u32,
    /// exists.
    pub exists: u32,
    /// getChildren of a node's parent.
    pub children: u32,
    /// setData.
    pub set: u32,
    /// create of a node that was not there.
    pub create: u32,
    /// create of an ephemeral one.
    pub create_ephemeral: u32,
    /// delete of the oldest node that the session created; it creates one if there is none.
    pub delete: u32,
    /// Several setData in one.
    pub multi: u32,
    /// Several getData in one.
    pub multi_read: u32,
    /// sync.
    pub sync: u32,
}

/// Which nodes a mix's operations are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// Each session has a node of its own, beside the others.
    #[default]
    Own,
    /// Any of the nodes.
    Uniform,
    /// Some far more often than others: the node of rank r in proportion to r to the power of
    /// minus theta.
    Zipfian {
        /// Above 0, below 1; 0.99 is usual.
        theta: f64,
    },
    /// All are about one node.
    OneHot,
}

/// Clients that want the same locks: an ephemeral sequential node each, a watch on the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Clients, each with a session of its own.
    pub sessions: u32,
    /// Where they connect.
    #[serde(default)]
    pub placement: Placement,
    /// Locks; client i wants lock i modulo this.
    pub locks: u32,
}

/// Services that register and leave, and clients that keep a list of who is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// Services: parents of instances.
    pub services: u32,
    /// Instances of each; an ephemeral node in a session of its own.
    pub instances: u32,
    /// Clients of each service, which watch its list.
    pub clients: u32,
    /// Instances that leave and come back, in each second, over all services.
    pub changes_per_second: f64,
    /// How many of a hundred vanish without a word, so that their session has to expire.
    #[serde(default)]
    pub expire_percent: u32,
    /// The session timeout that instances ask for.
    #[serde(default = "four_seconds_ms")]
    pub timeout_ms: u32,
    /// Size of an instance's value.
    #[serde(default = "hundred")]
    pub value_bytes: u32,
    /// Where they connect.
    #[serde(default)]
    pub placement: Placement,
}

/// One writes a node that everybody watches; each reads it again and watches on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOut {
    /// Watchers, each with a session of its own.
    pub watchers: u32,
    /// Where they connect.
    #[serde(default)]
    pub placement: Placement,
    /// Writes that are due in each second.
    pub writes_per_second: f64,
    /// Size of the value.
    #[serde(default = "hundred")]
    pub value_bytes: u32,
}

/// Sessions that are opened and closed again, so many at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectStorm {
    /// Clients that connect; each begins anew when all of them have their session.
    pub sessions: u32,
    /// Where they connect.
    #[serde(default)]
    pub placement: Placement,
}

/// Sessions that come, make ephemeral nodes, and go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Sessions at any time.
    pub sessions: u32,
    /// Where they connect.
    #[serde(default)]
    pub placement: Placement,
    /// Ephemeral nodes that each makes.
    pub ephemerals: u32,
    /// Size of their values.
    #[serde(default = "hundred")]
    pub value_bytes: u32,
}

/// Why a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// No such file, or it cannot be read.
    #[error("{}: {source}; `ringkeeper-bench list` shows the definitions that are built in, and \
             --definitions FOLDER takes those of a folder instead", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a definition.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// It is one, but makes no sense.
    #[error("{name}: {why}")]
    Senseless {
        /// The definition's name.
        name: String,
        /// What is wrong and how to put it right.
        why: String,
    },
}

impl Definition {
    /// Reads one.
    ///
    /// # Errors
    /// It cannot be read, is malformed or makes no sense.
    pub fn read(path: &Path) -> Result<Definition, DefinitionError> {
        let text = fs::read_to_string(path)
            .map_err(|source| DefinitionError::Unreadable { path: path.to_owned(), source })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Definition::of_text(path, &name, &text)
    }

    /// Takes one from its text.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(name: &str, text: &str) -> Result<Definition, DefinitionError> {
        Definition::of_text(Path::new(name), name, text)
    }

    fn of_text(path: &Path, name: &str, text: &str) -> Result<Definition, DefinitionError> {
        let mut definition: Definition = toml::from_str(text).map_err(|source| {
            DefinitionError::Malformed { path: path.to_owned(), source: Box::new(source) }
        })?;
        name.clone_into(&mut definition.name);
        Ok(definition)
    }

    /// The definition with the ladder's parameter at this value, and without the ladder; as it is
    /// without a value.
    ///
    /// # Errors
    /// It makes no sense, or has no such parameter.
    pub fn at_step(&self, value: Option<u64>) -> Result<Definition, DefinitionError> {
        let mut definition = self.clone();
        let senseless = |why: String| DefinitionError::Senseless { name: self.name.clone(), why };
        if let (Some(value), Some(step)) = (value, definition.step.take()) {
            definition.work.set(&step.parameter, value).map_err(senseless)?;
        }
        definition.check().map_err(senseless)?;
        Ok(definition)
    }

    /// Says what is wrong with it.
    fn check(&self) -> Result<(), String> {
        let positive = |seconds: f64| (0.0..86_400.0).contains(&seconds);
        if !positive(self.seconds) || self.seconds == 0.0 || !positive(self.warm_up_s) {
            return Err(
                "seconds must be above 0 and warm_up_s not below, and a day the most".into()
            );
        }
        if self.slice_ms == 0 {
            return Err("slice_ms must be at least 1; 1000 is usual".into());
        }
        self.beside.check()?;
        self.work.check()
    }

    /// All of a folder, by name.
    ///
    /// # Errors
    /// As [`Definition::read`], of the first that fails.
    pub fn read_folder(folder: &Path) -> Result<Vec<Definition>, DefinitionError> {
        let unreadable = |source| DefinitionError::Unreadable { path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| Definition::read(path)).collect()
    }
}

impl Work {
    /// Sessions that it has at once.
    pub fn sessions(&self) -> u32 {
        match self {
            Work::Mix(mix) => mix.sessions,
            Work::Lock(lock) => lock.sessions,
            Work::Discovery(discovery) => {
                discovery.services * (discovery.instances + discovery.clients)
            }
            Work::FanOut(fan_out) => fan_out.watchers + 1,
            Work::ConnectStorm(storm) => storm.sessions,
            Work::Churn(churn) => churn.sessions,
        }
    }

    /// Sets a parameter of a ladder.
    fn set(&mut self, parameter: &str, value: u64) -> Result<(), String> {
        if parameter == "servers" {
            // For who starts the servers.
            return Ok(());
        }
        let number = u32::try_from(value)
            .map_err(|_| format!("step: {parameter} = {value} is more than 4294967295"))?;
        let place = match (self, parameter) {
            (Work::Mix(mix), "read_percent") => {
                if number > 100 {
                    return Err(format!("step: read_percent = {number} is more than 100"));
                }
                mix.operations =
                    Operations { get: number, set: 100 - number, ..Operations::default() };
                return Ok(());
            }
            (Work::Mix(mix), "children") => {
                // All of them under one parent.
                (mix.znodes, mix.children) = (number, number);
                return Ok(());
            }
            (Work::Mix(mix), "per_second") => {
                mix.load = Load::Open { per_second: f64::from(number) };
                return Ok(());
            }
            (Work::Mix(mix), "depth") => {
                mix.load = Load::Closed { depth: number };
                return Ok(());
            }
            (Work::Mix(mix), "sessions") => &mut mix.sessions,
            (Work::Mix(mix), "value_bytes") => &mut mix.value_bytes,
            (Work::Mix(mix), "znodes") => &mut mix.znodes,
            (Work::Mix(mix), "watches") => &mut mix.watches,
            (Work::Mix(mix), "multi_size") => &mut mix.multi_size,
            (Work::Lock(lock), "sessions") => &mut lock.sessions,
            (Work::Lock(lock), "locks") => &mut lock.locks,
            (Work::Discovery(discovery), "clients") => &mut discovery.clients,
            (Work::Discovery(discovery), "instances") => &mut discovery.instances,
            (Work::FanOut(fan_out), "watchers" | "sessions") => &mut fan_out.watchers,
            (Work::ConnectStorm(storm), "sessions") => &mut storm.sessions,
            (Work::Churn(churn), "sessions") => &mut churn.sessions,
            (Work::Churn(churn), "ephemerals") => &mut churn.ephemerals,
            _ => return Err(format!("step: this kind of work has no parameter `{parameter}`")),
        };
        *place = number;
        Ok(())
    }

    /// Says what is wrong with it.
    fn check(&self) -> Result<(), String> {
        let at_least_one = |what: &str, number: u32| {
            if number > 0 { Ok(()) } else { Err(format!("work.{what} must be at least 1")) }
        };
        let rate = |what: &str, rate: f64| {
            let sensible = rate.is_finite() && rate > 0.0 && rate < 1e8;
            if sensible { Ok(()) } else { Err(format!("work.{what} must be above 0")) }
        };
        let sessions_max = |sessions: u64| {
            if sessions <= u64::from(SESSIONS_MAX) {
                return Ok(());
            }
            Err(format!(
                "{sessions} sessions are more than one machine has ports for: at most {SESSIONS_MAX}"
            ))
        };
        match self {
            Work::Mix(mix) => {
                at_least_one("sessions", mix.sessions)?;
                sessions_max(u64::from(mix.sessions))?;
                mix.check()
            }
            Work::Lock(lock) => {
                at_least_one("sessions", lock.sessions)?;
                sessions_max(u64::from(lock.sessions))?;
                at_least_one("locks", lock.locks)
            }
            Work::Discovery(discovery) => {
                at_least_one("services", discovery.services)?;
                at_least_one("instances", discovery.instances)?;
                at_least_one("clients", discovery.clients)?;
                let each = u64::from(discovery.instances) + u64::from(discovery.clients);
                sessions_max(each.saturating_mul(u64::from(discovery.services)))?;
                rate("changes_per_second", discovery.changes_per_second)
            }
            Work::FanOut(fan_out) => {
                at_least_one("watchers", fan_out.watchers)?;
                sessions_max(u64::from(fan_out.watchers) + 1)?;
                rate("writes_per_second", fan_out.writes_per_second)
            }
            Work::ConnectStorm(storm) => {
                at_least_one("sessions", storm.sessions)?;
                sessions_max(u64::from(storm.sessions))
            }
            Work::Churn(churn) => {
                at_least_one("sessions", churn.sessions)?;
                sessions_max(u64::from(churn.sessions))?;
                at_least_one("ephemerals", churn.ephemerals)
            }
        }
    }
}

impl Mix {
    /// A mix with everything else as a definition has it that does not say.
    pub fn new(sessions: u32, load: Load, operations: Operations) -> Mix {
        Mix {
            sessions,
            placement: Placement::default(),
            load,
            operations,
            keys: Keys::default(),
            znodes: one_thousand(),
            children: one_thousand(),
            create_among_them: false,
            value_bytes: hundred(),
            multi_size: ten(),
            multi_read_size: ten(),
            watches: 0,
            reads_watch: false,
        }
    }

    fn check(&self) -> Result<(), String> {
        let Operations {
            get,
            exists,
            children,
            set,
            create,
            create_ephemeral,
            delete,
            multi,
            multi_read,
            sync,
        } = self.operations;
        let weights =
            [get, exists, children, set, create, create_ephemeral, delete, multi, multi_read, sync];
        if weights.iter().all(|&weight| weight == 0) {
            return Err("work.operations names no operation; `operations.set = 1` would do".into());
        }
        if weights.iter().any(|&weight| weight > 1_000_000) {
            return Err("work.operations: weights are at most 1000000".into());
        }
        match self.load {
            Load::Closed { depth: 0 } => {
                return Err("work.load.closed.depth must be at least 1".into());
            }
            Load::Open { per_second } if !(per_second > 0.0 && per_second < 1e8) => {
                return Err("work.load.open.per_second must be above 0".into());
            }
            Load::Closed { .. } | Load::Open { .. } => {}
        }
        match self.keys {
            Keys::Zipfian { theta } if !(theta > 0.0 && theta < 1.0) => {
                return Err("work.keys.zipfian.theta must be above 0 and below 1".into());
            }
            Keys::Own | Keys::Uniform | Keys::Zipfian { .. } | Keys::OneHot => {}
        }
        if self.znodes == 0
            || self.children == 0
            || self.znodes.div_ceil(self.children) > GROUPS_MAX
        {
            return Err(format!(
                "work.znodes and work.children must be at least 1, and the parents {GROUPS_MAX} at most"
            ));
        }
        if self.znodes > ZNODES_MAX {
            return Err(format!("work.znodes must be at most {ZNODES_MAX}"));
        }
        if self.multi_size == 0 || self.multi_read_size == 0 {
            return Err("work.multi_size and work.multi_read_size must be at least 1".into());
        }
        Ok(())
    }
}

fn alone() -> Vec<usize> {
    vec![1]
}

fn one_second() -> f64 {
    1.0
}

fn five_seconds() -> f64 {
    5.0
}

fn one_second_ms() -> u32 {
    1000
}

fn four_seconds_ms() -> u32 {
    4000
}

fn ten() -> u32 {
    10
}

fn hundred() -> u32 {
    100
}

fn one_thousand() -> u32 {
    1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Vec<Definition> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/definitions");
        Definition::read_folder(Path::new(folder)).unwrap()
    }

    #[test]
    fn every_definition_that_ships_makes_sense_at_every_step() {
        let definitions = shipped();
        assert!(definitions.len() > 30, "{}", definitions.len());
        for definition in definitions {
            let values = definition.step.as_ref().map(|steps| steps.values.clone());
            for value in values.unwrap_or_default() {
                definition.at_step(Some(value)).unwrap();
            }
            let ladder = definition.step.is_some();
            definition.at_step(None).unwrap();
            let named = definition.name.starts_with("ladder-") || definition.name == "read-ratio";
            assert_eq!(ladder, named, "{}: a ladder is called one", definition.name);
            for group in &definition.groups {
                assert!(
                    ["goals", "mixes", "uses", "ladders", "failures"].contains(&group.as_str()),
                    "{group}"
                );
            }
        }
    }

    #[test]
    fn a_step_sets_its_parameter_and_nothing_else() {
        let ladder = shipped().into_iter().find(|one| one.name == "ladder-values").unwrap();
        let Work::Mix(mut expected) = ladder.work.clone() else { panic!("a mix") };
        expected.value_bytes = 1024;
        let step = ladder.at_step(Some(1024)).unwrap();
        assert_eq!((step.step, step.work), (None, Work::Mix(expected)));
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        fs::write(&path, "title = \"a\"\nwhy = \"b\"\ngroups = []\nsecond = 5.0\n").unwrap();
        let why = Definition::read(&path).unwrap_err().to_string();
        assert!(
            why.contains("mine.toml") && why.contains("line 4") && why.contains("second"),
            "{why}"
        );
    }

    #[test]
    fn what_makes_no_sense_is_said_with_the_key() {
        let ladder = shipped().into_iter().find(|one| one.name == "ladder-sessions").unwrap();
        let why = |value| ladder.at_step(Some(value)).unwrap_err().to_string();
        assert_eq!(why(0), "ladder-sessions: work.sessions must be at least 1");
        assert!(
            why(1_000_000).contains("more than one machine has ports for"),
            "{}",
            why(1_000_000)
        );
    }
}
