//! `ringkeeper-bench list`: the workloads that there are.

use std::path::PathBuf;

use crate::cli::selection::all;

/// The definitions to show.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A folder of definitions to take instead of those that are built in.
    #[arg(long, value_name = "FOLDER")]
    definitions: Option<PathBuf>,
}

/// Prints name, title and groups of each.
///
/// # Errors
/// A definition cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    for definition in all(arguments.definitions.as_deref())? {
        println!("{:<28} {} ({})", definition.name, definition.title, definition.groups.join(", "));
    }
    Ok(())
}
