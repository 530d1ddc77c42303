//! Whether a server with this configuration could run here: what it needs of the process's limits and of
//! its folders.
//!
//! `config check` asks before there is a server, so nothing is made or changed, and that another server
//! holds the port or the folder is no fault: it may be the one that is to be started anew.

use super::wiring::Wiring;
use crate::config::Config;
use crate::runtime::{self, CLIENTS_MIN, Needs};

/// What keeps a server with this configuration from starting here, a sentence each.
pub fn obstacles(config: &Config) -> Vec<String> {
    let storage = &config.storage;
    let mut found: Vec<String> =
        runtime::obstacles(&needs(config)).iter().map(ToString::to_string).collect();
    let mut folders = vec![&storage.data_dir, &storage.data_log_dir];
    folders.dedup();
    for folder in folders {
        let checked = runtime::check_folder(folder, storage.datadir_autocreate);
        found.extend(checked.err().map(|error| error.to_string()));
    }
    found
}

/// What a server with this configuration needs of the limits of its process.
pub fn needs(config: &Config) -> Needs {
    let allowed = runtime::allowed_processors();
    let wiring = Wiring::choose(config.own.cores, config.own.pin, None, &allowed);
    let session_cores = wiring.session_cores.max(1);
    Needs {
        executors: wiring.session_cores + 1,
        own_files: own_files(session_cores),
        file_bytes: config.storage.pre_alloc_bytes,
    }
}

/// How many of the files that may be open can be clients.
pub fn files_for_clients(files: u64, session_cores: u32) -> u32 {
    let clients = files.saturating_sub(own_files(session_cores)).max(CLIENTS_MIN);
    u32::try_from(clients).unwrap_or(u32::MAX)
}

/// Files that the server opens for itself.
fn own_files(session_cores: u32) -> u64 {
    /// For the log, snapshots, `/proc`, and sockets between being accepted and refused.
    const OWN: u64 = 48;
    /// Rings, timers and bells of an executor, generously.
    const PER_EXECUTOR: u64 = 16;
    OWN + PER_EXECUTOR * (u64::from(session_cores) + 1)
}
