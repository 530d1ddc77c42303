//! The epoch files of a member of an ensemble (`QuorumPeer.loadDataBase`, `readLongFromFile`).
//!
//! ```text
//! acceptedEpoch  the highest epoch that this server has promised to a leader    a decimal number, no line end
//! currentEpoch   the epoch of the leader whose history this server has          the same
//! ```
//! Both are in the folder of the snapshots. A third file, of Ringkeeper's own, says where the history of
//! `currentEpoch` began ([`OriginFile`]). Recovery reads them after the log, because the last zxid shows whether they
//! can be right.
//!
//! Invariant: what [`recover`] returns has `current ≤ accepted`.

use std::io::{self, Read};

use super::RecoveryError;
use super::error::MOVE_ASIDE;
use super::folder::Folder;
use crate::id::{Epoch, Zxid};
use crate::io::Place;
pub use crate::zab::Epochs;
use crate::zab::{Origin, OriginFile};

/// The suffix of the name under which ZooKeeper's `AtomicFileWritingIdiom` writes a file before it renames it.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// What to do if a file does not hold an epoch.
// To remove the file is no solution: the server would create it with the epoch of its last zxid, which may be less than
// the epoch that it has promised or followed, if it has had no transaction since. Nor is a backup of the whole folder
// in an ensemble: with it the server would have a vote, although it has forgotten what it acknowledged since.
const NO_NUMBER: &str = "While the other servers have a quorum, move log.* and snapshot.* of this server's \
    version-2 folders (in dataDir and dataLogDir) aside, write into acceptedEpoch and currentEpoch what \
    currentEpoch of the leader says, and start it: it gets everything from the leader, and does not vote before";

/// Reads the files, and creates a missing epoch file with the epoch of the last zxid.
///
/// # Errors
/// The system's, or the files contradict the log or each other ([`RecoveryError::Epoch`]).
pub(super) fn recover(
    folder: &dyn Folder,
    zxid: Zxid,
    notes: &mut Vec<String>,
    news: &mut Vec<String>,
) -> Result<Epochs, RecoveryError> {
    let mut created = Vec::new();
    // ZooKeeper: `ZxidUtils` shifts zxid -1 to epoch -1, and the files then say -1.
    let of_zxid = zxid.max(Zxid::ZERO).epoch();
    let mut current = read_or_create(folder, Epochs::CURRENT_FILE, of_zxid, &mut created)?;
    if of_zxid > current {
        // There may have been a crash after the new value was written and before the file was renamed.
        let temporary = format!("{}{TEMPORARY_SUFFIX}", Epochs::CURRENT_FILE);
        let promised = read(folder, Epochs::ACCEPTED_FILE)?;
        // A file that holds no number, or a part of one, was incomplete: it never counted.
        let written = match read(folder, &temporary) {
            Err(RecoveryError::Epoch { .. }) => None,
            other => other?.filter(|value| *value >= of_zxid),
        };
        if let Some(value) = written {
            write(folder, Epochs::CURRENT_FILE, value)?;
            notes.push(format!("currentEpoch is {value}, from {temporary}"));
            current = value;
        } else if promised.is_some_and(|promised| of_zxid <= promised) {
            // The server stopped while it received the history of a leader. It logs that history before it adopts the
            // epoch, and what it has logged is safe to keep.
            // ZooKeeper: refuses to start.
            notes.push(format!(
                "the last zxid, {zxid}, is of a later epoch than the current one, {current}: the \
                 server stopped before it had the whole history of a leader"
            ));
        } else {
            let file = folder.describe(Place::Snapshots, Epochs::CURRENT_FILE);
            // With epoch 0 a folder without data would be a new server's, which has a vote.
            let and = match current {
                Epoch::ZERO => format!(
                    ". Before the start, with the data aside, write {of_zxid}, the epoch of that zxid, into \
                     both of these files"
                ),
                _ => String::new(),
            };
            let reason = format!(
                "the current epoch, {current}, is older than the last zxid, {zxid}: was the file restored from \
                 a backup? What to do: {MOVE_ASIDE}{and}"
            );
            return Err(RecoveryError::Epoch { file, reason });
        }
    }
    let accepted = read_or_create(folder, Epochs::ACCEPTED_FILE, of_zxid, &mut created)?;
    // Data of a later epoch came from a leader that had not sent its whole history; the next leader may be another one.
    let origin = origin(folder, if of_zxid <= current { current } else { Epoch::ZERO }, notes)?;
    // A new server has no epoch files yet; a server with data should have them.
    if zxid > Zxid::ZERO { notes } else { news }.append(&mut created);
    if accepted < current {
        let file = folder.describe(Place::Snapshots, Epochs::ACCEPTED_FILE);
        let reason = format!(
            "the accepted epoch, {accepted}, is less than the current epoch, {current}: was one of the files \
             damaged, or restored from a backup? {NO_NUMBER}"
        );
        return Err(RecoveryError::Epoch { file, reason });
    }
    Ok(Epochs { accepted, current, origin })
}

/// The origin of the history, if it is known. A file that does not hold one is ignored: histories are then compared by
/// what else is known. Afterwards the file holds nothing else, because a line for an epoch that this server never came
/// to follow would count when the server follows another leader of that epoch.
fn origin(
    folder: &dyn Folder,
    current: Epoch,
    notes: &mut Vec<String>,
) -> Result<Option<Origin>, RecoveryError> {
    let name = Epochs::ORIGIN_FILE;
    let Some(text) = read_text(folder, name)? else { return Ok(None) };
    let read = OriginFile::parse(&text);
    let file = folder.describe(Place::Snapshots, name);
    if read.is_none() {
        notes.push(format!(
            "{file} holds {text:?}, which no server writes: this server ignores it, and a leader will say where \
             the history began"
        ));
    }
    let origin = read.and_then(|read| read.origin(current));
    let epochs = Epochs { origin, ..Epochs::new(current, current) };
    let only = OriginFile::between(None, epochs);
    if read != Some(only) {
        folder
            .replace(Place::Snapshots, name, only.to_string().as_bytes())
            .map_err(|error| RecoveryError::Io { what: "write", file, error })?;
    }
    Ok(origin)
}

/// The evidence in the epoch files that a server without data once had some: the file, and the epoch in it. `None`: the
/// server never had data.
///
/// A server has a snapshot before it takes part in an election. So a server that has accepted an epoch has lost data,
/// even if it never had the history of a leader. And it may have acknowledged much since then, because currentEpoch may
/// have been lost or set back together with the data.
pub(super) fn claimed(folder: &dyn Folder) -> Result<Option<(&'static str, Epoch)>, RecoveryError> {
    for name in [Epochs::CURRENT_FILE, Epochs::ACCEPTED_FILE] {
        if let Some(epoch) = read(folder, name)?.filter(|epoch| *epoch > Epoch::ZERO) {
            return Ok(Some((name, epoch)));
        }
    }
    Ok(None)
}

/// Notes that this server has no history.
pub(super) fn forget_current(folder: &dyn Folder) -> Result<(), RecoveryError> {
    write(folder, Epochs::CURRENT_FILE, Epoch::ZERO)
}

/// The epoch in a file. If the file is missing, it is created with `default`, and a note says so.
fn read_or_create(
    folder: &dyn Folder,
    name: &str,
    default: Epoch,
    notes: &mut Vec<String>,
) -> Result<Epoch, RecoveryError> {
    if let Some(epoch) = read(folder, name)? {
        return Ok(epoch);
    }
    write(folder, name, default)?;
    notes.push(format!("{name} was missing: created with {default}, the epoch of the last zxid"));
    Ok(default)
}

/// Replaces a file by one with this epoch, which is then durable.
fn write(folder: &dyn Folder, name: &str, epoch: Epoch) -> Result<(), RecoveryError> {
    folder.replace(Place::Snapshots, name, epoch.to_string().as_bytes()).map_err(|error| {
        RecoveryError::Io { what: "write", file: folder.describe(Place::Snapshots, name), error }
    })
}

/// The beginning of a file, as text, whatever it holds; `None`: the file does not exist.
fn read_text(folder: &dyn Folder, name: &str) -> Result<Option<String>, RecoveryError> {
    /// More than any server writes, which is two lines of two numbers each.
    const TEXT_BYTES_MAX: u64 = 96;
    let mut bytes = Vec::new();
    let got = folder
        .open(Place::Snapshots, name)
        .and_then(|file| file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes));
    match got {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let file = folder.describe(Place::Snapshots, name);
            Err(RecoveryError::Io { what: "read", file, error })
        }
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
    }
}

/// The epoch in a file, from 0 to [`i32::MAX`]; `None`: the file does not exist.
///
/// # Errors
/// The system's, or the file holds no epoch.
fn read(folder: &dyn Folder, name: &str) -> Result<Option<Epoch>, RecoveryError> {
    let Some(text) = read_text(folder, name)? else { return Ok(None) };
    let file = folder.describe(Place::Snapshots, name);
    // ZooKeeper: the first line counts (`BufferedReader.readLine`).
    let line = text.lines().next().unwrap_or_default().trim();
    match line.parse() {
        // ZooKeeper: writes -1 for a server without data. In ACKEPOCH the same number means "do not count me", so
        // a server that crashes after it got its first tree and before it wrote currentEpoch would never be counted
        // again. Here the file says which leader's history this server has: none yet, which is less than the epoch
        // of any leader.
        Ok(-1) => Ok(Some(Epoch::ZERO)),
        Ok(epoch) if epoch > i64::from(i32::MAX) => {
            let reason = format!(
                "{epoch} is no epoch: the largest that a zxid can hold is {}. {NO_NUMBER}",
                i32::MAX
            );
            Err(RecoveryError::Epoch { file, reason })
        }
        Ok(epoch @ 0..) => Ok(Some(Epoch(epoch))),
        Ok(epoch) => {
            let reason = format!("{epoch} is no epoch: epochs are not negative. {NO_NUMBER}");
            Err(RecoveryError::Epoch { file, reason })
        }
        Err(_) => {
            let reason = format!("{line:?} is not a number. {NO_NUMBER}");
            Err(RecoveryError::Epoch { file, reason })
        }
    }
}
