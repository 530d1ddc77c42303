//! `ringkeeper-bench report`: makes results files readable.

use std::fs;
use std::path::{Path, PathBuf};

use crate::output::Output;
use crate::report::notes::Notes;
use crate::report::summary::Summary;
use crate::report::{self, headline, html, markdown, sections};
use crate::result::Line;

/// What to report on, and where to write it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Results files. Several are shown together; ratios are only made within one.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the written files are called, without `.md`, `.html` and `.svg`; the first results file's
    /// name if not given.
    #[arg(long, value_name = "NAME")]
    output: Option<PathBuf>,
    /// Remarks of people, as TOML: `title`, `summary`, and under `[notes]` a text by workload. If not
    /// given, `NAME.notes.toml` if there is one.
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// Workloads of the headline picture, by name; as many as fit if not given.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    headline: Vec<String>,
    /// A folder into which a summary of each results file is written, under its name: all figures, without the
    /// points of curves. A report is made of it as of the file, at a tenth of the size.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Writes Markdown, HTML and, if there is something to compare with, the headline picture.
///
/// # Errors
/// A file cannot be read, is malformed, or cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let files =
        arguments.files.iter().map(|file| report::read(file)).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = &arguments.keep {
        for (file, lines) in arguments.files.iter().zip(&files) {
            keep(folder, file, lines)?;
        }
    }
    let summary = Summary::of(files);
    let is_known = |name: &String| summary.workloads.iter().any(|known| known.name == *name);
    if let Some(unknown) = arguments.headline.iter().find(|name| !is_known(name)) {
        let mut known: Vec<&str> = summary.workloads.iter().map(|known| &known.name[..]).collect();
        known.dedup();
        return Err(format!(
            "--headline {unknown}: not in these results, which have {}",
            if known.is_empty() {
                "no workloads without steps".to_owned()
            } else {
                known.join(", ")
            }
        ));
    }
    let output = match (&arguments.output, arguments.files.first()) {
        (Some(output), _) => output.clone(),
        (None, Some(first)) => first.with_extension(""),
        (None, None) => return Err("no results file was named; see --help".to_owned()),
    };
    let notes = notes(arguments.notes.as_deref(), &output)?;
    write(&output, "md", &markdown::text(&summary, &notes))?;
    write(&output, "html", &html::page(&summary, &notes))?;
    match headline::svg(&summary, &arguments.headline) {
        Some(picture) => write(&output, "svg", &picture)?,
        None => println!(
            "no headline picture: no workload was measured for both ringkeeper and Apache ZooKeeper"
        ),
    }
    println!("{}", sections::verdict(&summary));
    Ok(())
}

fn notes(named: Option<&Path>, output: &Path) -> Result<Notes, String> {
    let beside = with_ending(output, "notes.toml");
    match named {
        Some(path) => Notes::read(path),
        None if beside.exists() => Notes::read(&beside),
        None => Ok(Notes::default()),
    }
}

fn keep(folder: &Path, file: &Path, lines: &[Line]) -> Result<(), String> {
    let name = file.file_name().ok_or_else(|| format!("{}: not a file", file.display()))?;
    let kept = folder.join(name);
    if kept.exists() {
        return Err(format!("{}: it is there already, and may be what is read", kept.display()));
    }
    let mut output = Output::create(Some(&kept))?;
    for line in lines {
        output.keep(line.clone().summary())?;
    }
    println!("wrote {}", kept.display());
    Ok(())
}

fn write(output: &Path, ending: &str, text: &str) -> Result<(), String> {
    let path = with_ending(output, ending);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Unlike `with_extension`, keeps what follows a dot in the name: in `ringkeeper-0.2`, `2` is no extension.
fn with_ending(output: &Path, ending: &str) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}
