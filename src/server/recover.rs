//! Recovers the state from the data folders, logs the progress and the result, and makes the replica. `recovery` does
//! the work; this file is where its words reach the log.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::options;
use crate::config::Config;
use crate::id::Zxid;
use crate::quorum;
use crate::recovery::{self, Recovered, RecoveryError, RecoveryOptions, RecoveryProgress};
use crate::replica::{Reload, Reloaded, Replica, ReplicaOptions};
use crate::runtime::{DataFolder, FileFolder, Folders, Reading};
use crate::time::Now;

/// How often a long recovery logs its progress.
const PROGRESS_LINE_EVERY: Duration = Duration::from_secs(2);

/// Reads the state from the disk, at the start and whenever the leader makes this server go back.
#[derive(Debug)]
pub struct Opener {
    /// The folders.
    folder: FileFolder,
    /// The options, which are the same each time.
    options: RecoveryOptions,
    /// Gets the progress.
    reading: Reading,
}

impl Opener {
    /// An opener for the configured folders. `seed` is any number, from which the hash of the tree follows; `reading`
    /// gets the progress.
    pub fn new(config: &Config, folders: &Folders, seed: u64, reading: Reading) -> Opener {
        let folder = FileFolder::told(folders, &reading);
        Opener { folder, options: options::recovery(config, seed), reading }
    }

    /// Reads the state that the folders hold, and logs what an operator should know about it.
    ///
    /// # Errors
    /// The folder is damaged or cannot be read: a sentence that says what to do.
    pub fn open(&self) -> Result<Recovered, RecoveryError> {
        let begun = Instant::now();
        // A recovery that is done quickly needs no line about its progress.
        let mut last_line = begun;
        let mut progress = |step: RecoveryProgress<'_>| {
            // Also without a line: `phases` looks at this to notice a disk that does not answer.
            self.reading.moved();
            if last_line.elapsed() < PROGRESS_LINE_EVERY {
                return;
            }
            last_line = Instant::now();
            match step {
                RecoveryProgress::Snapshot { name, bytes, nodes } => {
                    tracing::info!("reading {name}: {nodes} znodes, {bytes} bytes so far");
                }
                RecoveryProgress::Log { name, bytes, bytes_total, txns } => tracing::info!(
                    "replaying {name}: {bytes} of {bytes_total} bytes, {txns} transactions so far"
                ),
            }
        };
        let recovered = recovery::recover(&self.folder, &self.options, &mut progress)?;
        // In this order: what is as it should be, what needs attention, and then the result of both.
        for line in &recovered.news {
            tracing::info!("{line}");
        }
        for note in &recovered.notes {
            tracing::warn!("{note}");
        }
        let from = match recovered.snapshot {
            Some(zxid) => {
                format!(" from the snapshot of {zxid} and {} transactions", recovered.txns)
            }
            None if recovered.txns > 0 => {
                format!(" from {} transactions and no snapshot", recovered.txns)
            }
            None => String::new(),
        };
        tracing::info!(
            "state at zxid {}{from}, {} znodes, in {} ms",
            recovered.zxid,
            recovered.database.node_count(),
            begun.elapsed().as_millis()
        );
        Ok(recovered)
    }

    /// Cuts off the end of the history, as the leader said, and reads the state anew if it contained removed
    /// transactions.
    ///
    /// # Errors
    /// As for [`Opener::open`]: the server must stop.
    pub fn reload(&self, reload: Reload) -> Result<Reloaded, String> {
        let Reload { truncate, database } = reload;
        let cut = || {
            // If the state was applied, the folder must lead to what remains of it; if not, it is enough that the
            // rest goes.
            let cut = if database { recovery::truncate } else { recovery::discard_after };
            for note in cut(&self.folder, truncate)? {
                tracing::info!("{note}");
            }
            Ok(())
        };
        Reloaded::carry_out(reload, cut, || self.open().map_err(|error| told(&error)))
    }
}

/// The error in words. If the system denied access, they name the user of the process.
pub fn told(error: &RecoveryError) -> String {
    match error {
        RecoveryError::Io { error: system, .. } if system.kind() == ErrorKind::PermissionDenied => {
            let uid = rustix::process::geteuid().as_raw();
            format!("{error}. This server runs as the user with uid {uid}")
        }
        _ => error.to_string(),
    }
}

/// The node that holds the configuration of an ensemble.
const CONFIG_PATH: &str = "/zookeeper/config";

/// Makes the replica from the recovered state.
///
/// # Errors
/// The data belongs to a member of an ensemble, and the configuration names no server.
pub fn replica(
    config: &Config,
    folder: &DataFolder,
    options: ReplicaOptions,
    recovered: Recovered,
    now: Now,
    seed: u64,
) -> Result<Replica, String> {
    let Some(me) = config.quorum.me().filter(|_| config.quorum.is_distributed()) else {
        if config.quorum.servers.is_empty() {
            refuse_members(&recovered)?;
        }
        return Ok(Replica::new(options, recovered, now, seed));
    };
    // The member starts all the same: it follows a leader, and gets the data from it.
    if recovered.zxid == Zxid::NONE {
        tracing::warn!(
            "there is no data in {}, and nothing says that the ensemble is new (a file `initialize`, or \
             db.autocreate where there are no epochs either): this server has no vote until a leader \
             has given it the data",
            folder.folders.snapshots.display()
        );
    }
    let ensemble = config.quorum.ensemble();
    let mut peer = options::peer(config, me);
    peer.logins = options::logins(config)?;
    Ok(Replica::member(options, peer, ensemble, recovered, now, seed))
}

/// Refuses the data of a member if the configuration names no server. The data of a member holds the configuration of
/// the ensemble. Without this check, and without the epoch files, this server would accept writes that the other
/// members never see.
///
/// # Errors
/// The data is that of an ensemble: a sentence for the operator.
// ZooKeeper: starts as a standalone server. Only members ever give this node data.
fn refuse_members(recovered: &Recovered) -> Result<(), String> {
    // A standalone server has this node too, without data.
    let node = recovered.database.node(CONFIG_PATH);
    let data = node.as_ref().and_then(|node| node.data()).unwrap_or_default();
    let members = match quorum::Config::from_bytes(data) {
        Ok(config) => config.members.len(),
        Err(_) => 0,
    };
    if members == 0 {
        return Ok(());
    }
    Err(format!(
        "the data is that of an ensemble of {members} (its {CONFIG_PATH} lists them), and the \
         configuration names no server.N: alone, this server would take writes that the others never \
         hear of. List the members, or, if this server is to stand alone from now on, say so with one \
         line: server.1=localhost:2888:3888"
    ))
}
