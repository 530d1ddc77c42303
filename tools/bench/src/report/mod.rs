//! Results files made into something to read: Markdown tables, one HTML page with charts, one
//! picture of the headline.
//!
//! [`summary`] decides what belongs together and what is compared with what; [`charts`] what is
//! drawn; [`markdown`], [`html`] and [`headline`] only write it down. A report invents nothing: a
//! figure that is not in a results file is not in the report.

pub mod charts;
pub mod doubts;
pub mod figure;
pub mod headline;
pub mod html;
pub mod markdown;
pub mod notes;
pub mod plot;
pub mod summary;
pub mod words;

use std::fs;
use std::path::{Path, PathBuf};

use crate::result::Line;

/// Why a results file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such file, or it cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One of its lines is no result.
    #[error(
        "{}, line {line}: {source}; a results file holds one JSON object per line, as \
         `ringkeeper-bench` writes them", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It has no line at all.
    #[error("{}: no results in it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The lines of a results file. Empty ones are passed over.
///
/// # Errors
/// The file cannot be read, is empty, or one of its lines is no result.
pub fn read(path: &Path) -> Result<Vec<Line>, ReadError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ReadError::Unreadable { path: path.to_owned(), source })?;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line = serde_json::from_str(line).map_err(|source| ReadError::Malformed {
            path: path.to_owned(),
            line: number + 1,
            source,
        })?;
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(ReadError::Empty { path: path.to_owned() });
    }
    Ok(lines)
}
