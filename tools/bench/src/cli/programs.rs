//! Which programs a command line means, and how they are started.

use std::path::PathBuf;

use clap::Args;

use crate::peers::{Launch, Peer};

/// Arguments of commands that start programs.
#[derive(Debug, Args)]
pub struct Programs {
    /// The programs, in turn: ringkeeper, zookeeper-3.9, zookeeper-3.8, and etcd to `compare`.
    #[arg(long, value_delimiter = ',', default_values_t = [Peer::Ringkeeper, Peer::ZooKeeper39])]
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
    /// All of them, found.
    ///
    /// # Errors
    /// One is not installed or not built; says what to do.
    pub fn launches(&self) -> Result<Vec<Launch>, String> {
        let find = |peer: &Peer| {
            let launch = Launch::find(*peer, &self.ringkeeper, &self.heap)?;
            Ok(match peer {
                Peer::Ringkeeper => launch.of_working_tree(&self.ringkeeper_line),
                Peer::ZooKeeper39 | Peer::ZooKeeper38 | Peer::Etcd => launch,
            })
        };
        self.programs.iter().map(find).collect()
    }

    /// The same, of those alone that speak ZooKeeper's protocol.
    ///
    /// # Errors
    /// As [`Programs::launches`], or etcd is among them.
    pub fn launches_of_zookeepers_kind(&self) -> Result<Vec<Launch>, String> {
        if self.programs.contains(&Peer::Etcd) {
            return Err(
                "--programs etcd: etcd has no sessions and watches of this kind; only `compare` \
                        knows it"
                    .to_owned(),
            );
        }
        self.launches()
    }
}
