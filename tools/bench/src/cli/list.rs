//! `ringkeeper-bench list`: the workloads that there are.

use std::path::PathBuf;

use crate::definition::Definition;

/// Which ones.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the definitions lie.
    #[arg(long, default_value = "benches/definitions")]
    definitions: PathBuf,
}

/// Prints name, title and groups of each.
///
/// # Errors
/// A definition cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let definitions =
        Definition::read_folder(&arguments.definitions).map_err(|error| error.to_string())?;
    for definition in definitions {
        println!("{:<28} {} ({})", definition.name, definition.title, definition.groups.join(", "));
    }
    Ok(())
}
