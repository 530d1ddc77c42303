//! Where a command finds its workloads and leaves its results.

use std::path::PathBuf;

use clap::Args;

use crate::cli::selection::select;
use crate::definition::Definition;
use crate::output::Output;

/// Arguments of commands that run definitions.
#[derive(Debug, Args)]
pub struct Places {
    /// A folder of definitions of workloads to take instead of those that are built in.
    #[arg(long, value_name = "FOLDER")]
    pub definitions: Option<PathBuf>,
    /// And where the results go.
    #[command(flatten)]
    pub results: Results,
}

/// Where results go.
#[derive(Debug, Args)]
pub struct Results {
    /// Where to write all results, one JSON line each; `ringkeeper-bench report` reads them.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Results {
    /// Creates the results file, if one is wanted.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn output(&self) -> Result<Output, String> {
        Output::create(self.output.as_deref())
    }
}

impl Places {
    /// The workload of this name.
    ///
    /// # Errors
    /// There is none, or a definition cannot be read.
    pub fn definition(&self, name: &str) -> Result<Definition, String> {
        let mut found = select(self.definitions.as_deref(), &[name.to_owned()], None)?;
        Ok(found.pop().expect("a name that was found"))
    }
}
