//! The results of a command: lines that it keeps for its own conclusions, and writes to a results file if the user
//! wants one.
//!
//! Each line goes to the file as soon as it is measured, so that a run that is stopped half-way leaves its results
//! so far.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::result::Line;

/// The lines of a run, and perhaps a results file.
#[derive(Debug)]
pub struct Output {
    file: Option<(PathBuf, File)>,
    lines: Vec<Line>,
}

impl Output {
    /// Creates the file, in place of an existing one. Without a path, the lines are only kept.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: Option<&Path>) -> Result<Output, String> {
        let create = |path: &Path| {
            let file = File::create(path)
                .map_err(|error| format!("{}: cannot be created: {error}", path.display()))?;
            Ok::<_, String>((path.to_owned(), file))
        };
        Ok(Output { file: path.map(create).transpose()?, lines: Vec::new() })
    }

    /// Keeps a line, and appends it to the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, line: Line) -> Result<(), String> {
        if let Some((path, file)) = &mut self.file {
            let mut text = serde_json::to_string(&line)
                .map_err(|error| format!("a result cannot be written as JSON: {error}"))?;
            text.push('\n');
            file.write_all(text.as_bytes())
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        self.lines.push(line);
        Ok(())
    }

    /// All lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
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
        let line = Line::Goal(GoalResult { title: "≥ 2 ×".to_owned(), ..GoalResult::default() });
        for count in 1..=2 {
            output.keep(line.clone()).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<Line> =
                text.lines().map(|text| serde_json::from_str(text).unwrap()).collect();
            assert_eq!(lines, vec![line.clone(); count]);
            assert_eq!(output.lines(), lines);
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let why = Output::create(Some(Path::new("no/such/folder/file"))).unwrap_err();
        assert!(why.starts_with("no/such/folder/file: cannot be created"), "{why}");
        Output::create(None).unwrap();
    }
}
