//! The epoch files of a member of an ensemble (`QuorumPeer.loadDataBase`).

use std::io::{self, Read};

use super::RecoveryError;
use super::error::MOVE_ASIDE;
use super::folder::Folder;
use crate::id::{Epoch, Zxid};
use crate::io::Place;
pub use crate::zab::Epochs;
use crate::zab::{Origin, OriginFile};

/// What `AtomicFileWritingIdiom` adds to a name while it writes.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// The way out where a file does not hold an epoch.
// Without the file it would be created, with the epoch of the last zxid: less than the server has promised, or
// stands for, if it has heard of no transaction since. A backup of the whole folder is no way out in an
// ensemble: it would have a vote, too, and has forgotten what was acknowledged since.
const NO_NUMBER: &str = "While the other servers have a quorum, move log.* and snapshot.* of this server's \
    version-2 folders (in dataDir and dataLogDir) aside, write into acceptedEpoch and currentEpoch what \
    currentEpoch of the leader says, and start it: it gets everything from the leader, and does not vote before";

/// Reads both files; creates what is missing from the last zxid.
pub(super) fn recover(
    folder: &dyn Folder,
    zxid: Zxid,
    notes: &mut Vec<String>,
    news: &mut Vec<String>,
) -> Result<Epochs, RecoveryError> {
    let mut created = Vec::new();
    // ZooKeeper: zxid -1 has epoch -1, as `ZxidUtils` shifts, and so the files say -1 there.
    let of_zxid = zxid.max(Zxid::ZERO).epoch();
    let mut current = read_or_create(folder, Epochs::CURRENT_FILE, of_zxid, &mut created)?;
    if of_zxid > current {
        // A crash between the writing of the new value and its renaming.
        let temporary = format!("{}{TEMPORARY_SUFFIX}", Epochs::CURRENT_FILE);
        let promised = read(folder, Epochs::ACCEPTED_FILE)?;
        // One that holds no number, or a part of one, was still being written: it never counted.
        let written = match read(folder, &temporary) {
            Err(RecoveryError::Epoch { .. }) => None,
            other => other?.filter(|value| *value >= of_zxid),
        };
        if let Some(value) = written {
            write(folder, Epochs::CURRENT_FILE, value)?;
            notes.push(format!("currentEpoch is {value}, from {temporary}"));
            current = value;
        } else if promised.is_some_and(|promised| of_zxid <= promised) {
            // The end came while the history of a leader was being received: it is in the log
            // before its epoch is ours, and what is there of it is safe to keep.
            // ZooKeeper: refuses to start.
            notes.push(format!(
                "the last zxid, {zxid}, is of a later epoch than the current one, {current}: the \
                 server stopped before it had the whole history of a leader"
            ));
        } else {
            let file = folder.describe(Place::Snapshots, Epochs::CURRENT_FILE);
            // Without a number a folder without data is a new server's, which has a vote.
            let and = match current {
                Epoch::ZERO => format!(
                    ". Before the start, with the data aside, write {of_zxid}, the epoch of that zxid, into \
                     both of these files"
                ),
                _ => String::new(),
            };
            let reason = format!(
                "the current epoch, {current}, is older than the last zxid, {zxid}: was the file restored from \
                 a backup? The way out: {MOVE_ASIDE}{and}"
            );
            return Err(RecoveryError::Epoch { file, reason });
        }
    }
    let accepted = read_or_create(folder, Epochs::ACCEPTED_FILE, of_zxid, &mut created)?;
    // Data of a later epoch came from a leader whose history was not whole yet: another one, perhaps.
    let origin = origin(folder, if of_zxid <= current { current } else { Epoch::ZERO }, notes)?;
    // A new server has none yet; one with data should have them.
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

/// Where the history began, if that is known. A file that does not say it is passed over: histories are
/// then compared by what else is known. It says nothing else afterwards: a line for an epoch that this
/// server never came to follow would count when it follows another leader of that epoch.
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
            "{file} holds {text:?}, which no server writes: it is passed over until a leader says where the \
             history began"
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

/// What the epoch files say of a server that has no data: the file, and the epoch that it names. `None`: it
/// never had any.
///
/// A server has a snapshot before it takes part in an election, so one that has accepted an epoch has
/// lost data as well, although it may have had no leader's history yet. It may have acknowledged much
/// since: currentEpoch may have been lost or set back with the data.
pub(super) fn claimed(folder: &dyn Folder) -> Result<Option<(&'static str, Epoch)>, RecoveryError> {
    for name in [Epochs::CURRENT_FILE, Epochs::ACCEPTED_FILE] {
        if let Some(epoch) = read(folder, name)?.filter(|epoch| *epoch > Epoch::ZERO) {
            return Ok(Some((name, epoch)));
        }
    }
    Ok(None)
}

/// This server has no history, and says so.
pub(super) fn forget_current(folder: &dyn Folder) -> Result<(), RecoveryError> {
    write(folder, Epochs::CURRENT_FILE, Epoch::ZERO)
}

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
    notes.push(format!("{name} was not there: created with {default}, the epoch of the last zxid"));
    Ok(default)
}

fn write(folder: &dyn Folder, name: &str, epoch: Epoch) -> Result<(), RecoveryError> {
    folder.replace(Place::Snapshots, name, epoch.to_string().as_bytes()).map_err(|error| {
        RecoveryError::Io { what: "write", file: folder.describe(Place::Snapshots, name), error }
    })
}

/// The beginning of a file, as text whatever it holds; `None`: there is none.
fn read_text(folder: &dyn Folder, name: &str) -> Result<Option<String>, RecoveryError> {
    /// Longer than what any server writes: two lines of two numbers each.
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

fn read(folder: &dyn Folder, name: &str) -> Result<Option<Epoch>, RecoveryError> {
    let Some(text) = read_text(folder, name)? else { return Ok(None) };
    let file = folder.describe(Place::Snapshots, name);
    // ZooKeeper: the first line counts (`BufferedReader.readLine`).
    let line = text.lines().next().unwrap_or_default().trim();
    match line.parse() {
        // ZooKeeper: -1 is what it writes for a server without data. In ACKEPOCH the same number says
        // "do not count me", so that a server which crashes between its first tree and currentEpoch is
        // never counted again. Here the file says which leader's history this server has: none yet,
        // which is less than any leader's epoch.
        Ok(-1) => Ok(Some(Epoch::ZERO)),
        Ok(epoch) if epoch > i64::from(i32::MAX) => {
            let reason =
                format!("{epoch} is no epoch: a zxid has room for {} only. {NO_NUMBER}", i32::MAX);
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
