//! Removes old snapshots and logs at intervals (`autopurge.*`, `DatadirCleanupManager`, `PurgeTxnLog`).
//!
//! A thread of its own looks at the folders as an operator would. The names of the files decide what stays, so the
//! thread needs nothing from the running server. It never removes the newest snapshots, nor a log that one of them
//! needs.
//!
//! The rule that is easy to break: only snapshots that look finished count as kept. A file that its writer did not
//! finish cannot be recovered from, whatever its name says.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use crate::io::Place;
use crate::planted::{self, PlantedBug};
use crate::recovery::Folder;
use crate::runtime::{FileFolder, Folders};
use crate::snapshot::{Compression, Look, look};
use crate::txnlog::plan;

/// Starts the thread, which purges at once and then after each `interval`, and keeps `kept` snapshots
/// (`autopurge.snapRetainCount`). It ends with the process.
///
/// # Errors
/// The system denies the thread.
pub fn start(folders: &Folders, kept: usize, interval: Duration) -> io::Result<()> {
    let folder = FileFolder::new(folders);
    std::thread::Builder::new().name("rk-purge".into()).spawn(move || {
        loop {
            match purge(&folder, kept, None) {
                Ok(0) => {}
                Ok(removed) => tracing::info!("removed {removed} old snapshots and logs"),
                Err(error) => tracing::warn!("cannot remove old snapshots and logs: {error}"),
            }
            std::thread::sleep(interval);
        }
    })?;
    Ok(())
}

/// Removes all files that may go, and keeps the newest `kept` snapshots. Returns how many files it has removed.
/// `planted` is a bug, only in a build for tests.
///
/// # Errors
/// The folder cannot be read, or a file cannot be removed. Files removed before that are gone.
pub fn purge(folder: &dyn Folder, kept: usize, planted: Option<PlantedBug>) -> io::Result<usize> {
    let snapshots = names(folder, Place::Snapshots)?;
    let logs = names(folder, Place::Logs)?;
    let mut whole = Vec::new();
    for name in &snapshots {
        if plan::snapshot_zxid(name).is_some() && looks_whole(folder, name)? {
            whole.push(name.as_str());
        }
    }
    let mut plan = plan::purge(
        whole,
        snapshots.iter().map(String::as_str),
        logs.iter().map(String::as_str),
        kept,
    );
    if planted::is(planted, PlantedBug::PurgeTooMuch) {
        let known = plan::logs(logs.iter().map(String::as_str));
        let old = known.split_last().map_or(&[][..], |(_, old)| old);
        plan.logs = old.iter().map(|(_, name)| (*name).to_owned()).collect();
    }
    // Logs go first: a snapshot needs no older logs, and logs are useless without an older snapshot. So a crash in
    // between leaves nothing that the next purge would not remove.
    for name in &plan.logs {
        folder.remove(Place::Logs, name)?;
    }
    for name in &plan.snapshots {
        folder.remove(Place::Snapshots, name)?;
    }
    Ok(plan.logs.len() + plan.snapshots.len())
}

/// The names of the files in a folder.
fn names(folder: &dyn Folder, place: Place) -> io::Result<Vec<String>> {
    Ok(folder.list(place)?.into_iter().map(|file| file.name).collect())
}

/// Whether both ends of a snapshot look finished. The rest is not read, because a folder may hold gigabytes.
fn looks_whole(folder: &dyn Folder, name: &str) -> io::Result<bool> {
    /// The number of bytes at each end that are judged: at least what [`look`] needs.
    const ENDS: usize = 16;
    let mut file = folder.open(Place::Snapshots, name)?;
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = |from: u64| -> io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&mut file).take(ENDS as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let first = end(0)?;
    let last = end(length.saturating_sub(ENDS as u64))?;
    Ok(look(Compression::of_name(name), &first, &last) == Look::Finished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::MemoryFolder;

    fn whole_snapshot() -> Vec<u8> {
        let mut bytes = b"ZKSN".to_vec();
        bytes.extend([0; 40]);
        bytes.extend([0, 0, 0, 1, b'/']);
        bytes
    }

    #[test]
    fn the_newest_whole_snapshots_and_their_logs_stay() {
        let folder = MemoryFolder::new();
        for zxid in [1, 5, 10, 15, 20] {
            folder.put(Place::Snapshots, &format!("snapshot.{zxid:x}"), whole_snapshot());
        }
        folder.put(Place::Snapshots, "snapshot.30", b"ZKSN unfinished".to_vec());
        for zxid in [1, 6, 11, 16, 21] {
            folder.put(Place::Logs, &format!("log.{zxid:x}"), b"log".to_vec());
        }
        folder.put(Place::Snapshots, "currentEpoch", b"1".to_vec());
        assert_eq!(purge(&folder, 3, None).unwrap(), 3);
        let mut left = names(&folder, Place::Snapshots).unwrap();
        left.sort();
        let expected = [
            "currentEpoch",
            "log.10",
            "log.15",
            "log.b",
            "log.6",
            "snapshot.14",
            "snapshot.30",
            "snapshot.a",
            "snapshot.f",
        ];
        let mut expected = expected.map(str::to_owned);
        expected.sort();
        assert_eq!(left, expected);
        assert_eq!(purge(&folder, 3, None).unwrap(), 0);
    }
}
