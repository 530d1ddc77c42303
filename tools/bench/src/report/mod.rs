//! Results files made into something to read: Markdown tables, one HTML page with charts, one
//! picture of the headline.
//!
//! [`summary`] decides what belongs together and what is compared with what, [`charts`] what is
//! drawn, [`sections`] what is said in which order; [`markdown`], [`html`] and [`headline`] only write it
//! down. A report invents nothing: a figure that is not in a results file is not in the report.

pub mod charts;
pub mod doubts;
pub mod figure;
pub mod headline;
pub mod html;
pub mod markdown;
pub mod notes;
pub mod plot;
pub mod sections;
pub mod summary;
pub mod words;

use std::fs;
use std::path::Path;

use crate::result::Line;

/// The lines of a results file. Empty ones are passed over.
///
/// # Errors
/// The file cannot be read, is empty, or one of its lines is no result; the text says which.
pub fn read(path: &Path) -> Result<Vec<Line>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let lines = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|error| {
            format!(
                "{}, line {}: {error}; a results file holds one JSON object per line, as `ringkeeper-bench` \
                 writes them",
                path.display(),
                number + 1
            )
        })
    });
    let lines = lines.collect::<Result<Vec<Line>, String>>()?;
    if lines.is_empty() {
        return Err(format!("{}: no results in it", path.display()));
    }
    Ok(lines)
}
