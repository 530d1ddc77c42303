//! A workload as data: one file `benches/definitions/NAME.toml` is one [`Definition`].
//!
//! Every key has a default, except those that make the workload what it is. An unknown key is an error, so that a
//! misspelt key does not measure something else.

mod work;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::beside::Beside;
pub use work::*;

/// A workload: its work, its length, and the reason to measure it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The file's name without `.toml`.
    #[serde(skip_deserializing, default)]
    pub name: String,
    /// For a table's first column.
    pub title: String,
    /// What a reader learns from it.
    pub why: String,
    /// The groups that it belongs to: `goals`, `mixes`, `uses`, `ladders`, `failures`.
    pub groups: Vec<String>,
    /// Sizes of ensembles that it is meant for.
    #[serde(default = "alone")]
    pub servers: Vec<usize>,
    /// How long it runs before the measurement begins.
    #[serde(default = "one_second")]
    pub warm_up_s: f64,
    /// How long the measurement lasts.
    #[serde(default = "five_seconds")]
    pub seconds: f64,
    /// The length of the timeline's slices.
    #[serde(default = "one_second_ms")]
    pub slice_ms: u32,
    /// Whether `compare` gives it servers of its own, and other servers to the next workload, because it leaves a
    /// large heap behind or must not find one.
    #[serde(default)]
    pub fresh: bool,
    /// What the servers share their processors with.
    #[serde(default, skip_serializing_if = "Beside::is_nothing")]
    pub beside: Beside,
    /// In a ladder, the parameter that varies.
    #[serde(default)]
    pub step: Option<Steps>,
    /// The work.
    pub work: Work,
}

/// A parameter that takes one value after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// `sessions`, `depth`, `value_bytes`, `znodes`, `children`, `watches`, `read_percent`,
    /// `multi_size`, `per_second`, or `servers`, which only `compare` and `ab` can vary.
    pub parameter: String,
    /// Its values.
    pub values: Vec<u64>,
}

impl Definition {
    /// The workload of a file that contains only its work.
    pub fn of(name: &str, work: Work) -> Definition {
        Definition {
            name: name.to_owned(),
            title: name.to_owned(),
            why: String::new(),
            groups: Vec::new(),
            servers: alone(),
            warm_up_s: one_second(),
            seconds: five_seconds(),
            slice_ms: one_second_ms(),
            fresh: false,
            beside: Beside::default(),
            step: None,
            work,
        }
    }

    /// Reads a definition from a file.
    ///
    /// # Errors
    /// It cannot be read or is malformed; the text names the file.
    pub fn read(path: &Path) -> Result<Definition, String> {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Definition::parse(&name, &text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Parses the text of a definition.
    ///
    /// # Errors
    /// The text is malformed.
    pub fn parse(name: &str, text: &str) -> Result<Definition, String> {
        let mut definition: Definition = toml::from_str(text).map_err(|error| error.to_string())?;
        name.clone_into(&mut definition.name);
        Ok(definition)
    }

    /// The definition with the ladder's parameter at this value, and without the ladder; without a value, the
    /// definition itself.
    ///
    /// # Errors
    /// The definition makes no sense, or has no such parameter.
    pub fn at_step(&self, value: Option<u64>) -> Result<Definition, String> {
        let mut definition = self.clone();
        let senseless = |why: String| format!("{}: {why}", self.name);
        if let (Some(value), Some(step)) = (value, definition.step.take()) {
            definition.work.set(&step.parameter, value).map_err(senseless)?;
        }
        definition.check().map_err(senseless)?;
        Ok(definition)
    }

    /// Checks the definition.
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

    /// All definitions of a folder, sorted by name.
    ///
    /// # Errors
    /// As [`Definition::read`], of the first that fails.
    pub fn read_folder(folder: &Path) -> Result<Vec<Definition>, String> {
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        paths.iter().map(|path| Definition::read(path)).collect()
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!(
        "{}: {error}; `ringkeeper-bench list` shows the definitions that are built in, and \
         --definitions FOLDER takes those of a folder instead",
        path.display()
    )
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
