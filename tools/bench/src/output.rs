//! The results file: JSON lines, each on the disk's way as soon as it is measured, so that a run
//! that is stopped half-way leaves what it has.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::result::Line;

/// A results file, or none.
#[derive(Debug)]
pub struct Output {
    file: Option<(PathBuf, File)>,
}

impl Output {
    /// Creates the file, over one that is there; without a path, lines go nowhere.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: Option<&Path>) -> Result<Output, String> {
        let file = match path {
            None => None,
            Some(path) => {
                let file = File::create(path)
                    .map_err(|error| format!("{}: cannot be created: {error}", path.display()))?;
                Some((path.to_owned(), file))
            }
        };
        Ok(Output { file })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn line(&mut self, line: &Line) -> Result<(), String> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let mut text = serde_json::to_string(line)
            .map_err(|error| format!("a result cannot be written as JSON: {error}"))?;
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use crate::result::GoalResult;

    use super::*;

    #[test]
    fn each_line_is_there_as_soon_as_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let mut output = Output::create(Some(&path)).unwrap();
        let line = Line::Goal(GoalResult {
            title: "a".to_owned(),
            workload: "b".to_owned(),
            servers: 1,
            goal: "≥ 2 ×".to_owned(),
            limit: 2.0,
            at_most: false,
            unit: "×".to_owned(),
            reached: 2.5,
            spread: (2.0, 3.0),
            met: true,
        });
        for count in 1..=2 {
            output.line(&line).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<Line> =
                text.lines().map(|text| serde_json::from_str(text).unwrap()).collect();
            assert_eq!(lines, vec![line.clone(); count]);
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let why = Output::create(Some(Path::new("no/such/folder/file"))).unwrap_err();
        assert!(why.starts_with("no/such/folder/file: cannot be created"), "{why}");
        Output::create(None).unwrap();
    }
}
