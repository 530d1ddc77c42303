//! Remarks of people about a run: a file beside the results, kept apart from the measurements.
//!
//! ```toml
//! title = "Ringkeeper 0.2 on two cores"
//! summary = "…"
//!
//! [notes]
//! ladder-sessions = "It bends at 1000, because …"
//! "ladder-sessions × 3" = "With three servers it does not, because …"
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// Text for a report. An empty line ends a paragraph.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notes {
    /// The page's title.
    pub title: Option<String>,
    /// The text under the title.
    pub summary: Option<String>,
    /// By workload, or by workload and servers of the ensemble, or by the title of a timeline.
    pub notes: BTreeMap<String, String>,
}

impl Notes {
    /// Reads the notes.
    ///
    /// # Errors
    /// The file cannot be read, or is not of this form; the text names the place.
    pub fn read(path: &Path) -> Result<Notes, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The remark with this name.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.notes.get(name).map(|text| &text[..])
    }

    /// The remark about a workload on an ensemble of this size, or about the workload in general.
    pub fn of_size(&self, workload: &str, servers: usize) -> Option<&str> {
        self.of(&format!("{workload} × {servers}")).or_else(|| self.of(workload))
    }
}
