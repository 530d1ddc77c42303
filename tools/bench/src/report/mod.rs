//! Makes results files readable: Markdown tables, an HTML page with charts, and a picture of the headline.
//!
//! [`summary`] decides which rows belong together and which are compared, [`charts`] decides what is drawn, and
//! [`sections`] decides on the texts and their order; [`markdown`], [`html`] and [`headline`] only write them down.
//! A report invents nothing: a figure that is not in a results file is not in the report.

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

/// The lines of a results file. Empty lines are skipped.
///
/// # Errors
/// The file cannot be read, is empty, or a line is no result; the text names the line.
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
