//! The programs that a command line names, and how they start.

use std::path::PathBuf;

use clap::Args;

use crate::peers::{Launch, Peer};

/// Arguments of commands that start programs.
#[derive(Debug, Args)]
pub struct Programs {
    /// The programs, in turn.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Peer::Ringkeeper, Peer::ZooKeeper39])]
    programs: Vec<Peer>,
    /// Where the servers have their folders: on the disk to measure.
    #[arg(long, default_value = ".")]
    pub folder: PathBuf,
    /// The ringkeeper binary.
    #[arg(long, default_value = "target/release/ringkeeper")]
    ringkeeper: PathBuf,
    /// Another line of ringkeeper's configuration; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    ringkeeper_line: Vec<String>,
    /// The heap of each Java server.
    #[arg(long, default_value = "2g")]
    heap: String,
}

impl Programs {
    /// Finds all programs.
    ///
    /// # Errors
    /// A program is not installed or not built; the text says what to do.
    pub fn launches(&self) -> Result<Vec<Launch>, String> {
        let find = |peer: &Peer| {
            let launch = Launch::find(*peer, &self.ringkeeper, &self.heap)?;
            Ok(match peer {
                Peer::Ringkeeper => launch.of_working_tree(&self.ringkeeper_line),
                Peer::ZooKeeper39 | Peer::ZooKeeper38 => launch,
            })
        };
        self.programs.iter().map(find).collect()
    }
}
