//! Opening the state: recovery on the real folder, told to the operator.

use std::time::{Duration, Instant};

use super::options;
use crate::config::Config;
use crate::id::Zxid;
use crate::recovery::{Step, recover};
use crate::replica::{Replica, ReplicaOptions};
use crate::runtime::{DataFolder, FileFolder};
use crate::time::Now;

/// How often a long recovery says how far it is.
const PROGRESS_LINE_EVERY: Duration = Duration::from_secs(2);

/// Recovers the state and makes the replica of it.
///
/// # Errors
/// What is wrong with the folder and what can be done, for an operator.
pub fn replica(
    config: &Config,
    folder: &DataFolder,
    options: ReplicaOptions,
    now: Now,
    seed: u64,
) -> Result<Replica, String> {
    let recovery = options::recovery(config, seed);
    let begun = Instant::now();
    let mut last_line = begun;
    let mut progress = |step: Step<'_>| {
        if last_line.elapsed() < PROGRESS_LINE_EVERY {
            return;
        }
        last_line = Instant::now();
        match step {
            Step::Snapshot { name, bytes, nodes } => {
                tracing::info!("reading {name}: {nodes} znodes, {bytes} bytes so far");
            }
            Step::Log { name, bytes, bytes_total, txns } => {
                tracing::info!(
                    "replaying {name}: {bytes} of {bytes_total} bytes, {txns} transactions so far"
                );
            }
        }
    };
    let recovered = recover(&FileFolder::new(&folder.folders), &recovery, &mut progress)
        .map_err(|error| error.to_string())?;
    for line in &recovered.news {
        tracing::info!("{line}");
    }
    for note in &recovered.notes {
        tracing::warn!("{note}");
    }
    let from = match recovered.snapshot {
        Some(zxid) => format!(" from the snapshot of {zxid} and {} transactions", recovered.txns),
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
    let Some(me) = config.quorum.me().filter(|_| config.quorum.is_distributed()) else {
        return Ok(Replica::new(options, recovered, now, seed));
    };
    if recovered.zxid == Zxid::NONE {
        tracing::warn!(
            "there is neither data nor a file `initialize` in {}, and db.autocreate is false: this \
             server has no vote until a leader has given it the data",
            folder.folders.snapshots.display()
        );
    }
    let ensemble = config.quorum.ensemble();
    let peer = options::peer(config, me);
    Ok(Replica::member(options, peer, ensemble, recovered, now, seed))
}
