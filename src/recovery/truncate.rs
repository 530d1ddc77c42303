//! Cuts off the end of a history that the ensemble did not keep (TRUNC, `FileTxnLog.truncate`).
//!
//! Unlike in ZooKeeper, a cut also removes the snapshots that hold what is cut off: the next start would read it back
//! from them (ZOOKEEPER-1549, ZOOKEEPER-4837).
//!
//! # Why this order
//! A crash may come between any two changes, and the folder must then recover to a state that this server once had. A
//! cut removes snapshots first, then logs, each time the newest first, and at last shortens one file. So until the last
//! of those snapshots is gone the folder recovers to its old end, and afterwards to earlier and earlier ends. If logs
//! went first, they would leave a snapshot of ZooKeeper's, which may hold parts of transactions after the zxid in its
//! name, without these transactions.
//!
//! If the log has a hole after the cut, which a snapshot bridges, that order would leave logs that do not follow each
//! other, and the server could not start. Then logs go first, the newest before the others. The tree of a leader that
//! is behind this server also leaves such a hole, if a purge has removed the logs that would follow the tree.

use std::cmp::Reverse;
use std::io::Read as _;

use super::folder::Folder;
use super::history::{is_hole, is_next};
use super::{Files, RecoveryError, look_at};
use crate::acl::AclId;
use crate::database::LoadError;
use crate::id::{SessionId, Zxid};
use crate::io::Place;
use crate::proto::data::{AclVector, StatPersisted};
use crate::snapshot::{self, Compression, Look, Parts};
use crate::txnlog::{Reader, Verdict, plan};

/// Removes everything after `zxid`: the end of the log, and the snapshots that hold some of it. Returns what it has
/// done, one line for each change. The log must not be open.
///
/// # Errors
/// See [`RecoveryError`]. If the folder does not lead to the state at `zxid`, nothing is changed. After an error of the
/// system the folder can be recovered, and may still hold some of what should go.
pub fn truncate(folder: &dyn Folder, zxid: Zxid) -> Result<Vec<String>, RecoveryError> {
    cut(folder, zxid, true)
}

/// The same for a folder that need not lead to the state at `zxid`: a snapshot of that state will follow (SNAP to a
/// server that was ahead), or nothing of what goes was applied.
///
/// # Errors
/// As for [`truncate`].
pub fn discard_after(folder: &dyn Folder, zxid: Zxid) -> Result<Vec<String>, RecoveryError> {
    cut(folder, zxid, false)
}

/// A file to be removed, with the zxid in its name.
#[derive(Debug)]
enum Change<'n> {
    /// A snapshot that may hold something after the cut.
    Snapshot(Zxid, &'n str),
    /// A log that begins after the cut.
    Log(Zxid, &'n str),
}

/// Does both kinds of cut. `exact`: the folder must lead to the state at `zxid`.
fn cut(folder: &dyn Folder, zxid: Zxid, exact: bool) -> Result<Vec<String>, RecoveryError> {
    let files = Files::list(folder)?;
    let snapshots = plan::snapshots(files.snapshots.iter().map(|file| file.name.as_str()));
    let logs = plan::logs(files.logs.iter().map(|file| file.name.as_str()));

    let mut notes = Vec::new();
    let mut changes: Vec<Change<'_>> = Vec::new();
    let mut base = None;
    for (at, name) in &snapshots {
        if *at > zxid {
            changes.push(Change::Snapshot(*at, name));
            continue;
        }
        match last_in(folder, name)? {
            None => notes.push(format!("skipped {name}, which cannot be read")),
            Some(last) if last.max(*at) > zxid => changes.push(Change::Snapshot(*at, name)),
            Some(_) => {
                base = Some(*at);
                break;
            }
        }
    }
    let Some(base) = base else { return Err(RecoveryError::NothingBefore { zxid }) };

    let zxids = files.snapshot_zxids();
    let walk = walk(folder, &logs, base, zxid, &zxids)?;
    // Counter 0 is the beginning of an epoch, at which no transaction is.
    if exact && walk.reached != zxid && zxid.counter() != 0 {
        return Err(RecoveryError::NotInHistory { zxid, last: walk.reached });
    }
    changes
        .extend(logs.iter().filter(|(at, _)| *at > zxid).map(|(at, name)| Change::Log(*at, name)));
    // The newest first; snapshots before logs, unless there is a hole.
    changes.sort_unstable_by_key(|change| {
        let (is_log, at) = match change {
            Change::Snapshot(at, _) => (false, *at),
            Change::Log(at, _) => (true, *at),
        };
        (is_log != walk.has_hole_behind, Reverse(at))
    });
    for change in changes {
        let (place, name) = match change {
            Change::Snapshot(_, name) => (Place::Snapshots, name),
            Change::Log(_, name) => (Place::Logs, name),
        };
        remove(folder, place, name)?;
        notes.push(format!("removed {name}, which is after {zxid}"));
    }
    // Last, because a shorter log without the removal of what followed it would have a hole.
    for (name, offset) in walk.cuts.into_iter().rev() {
        if offset == 0 {
            remove(folder, Place::Logs, name)?;
            notes.push(format!("removed {name}: everything in it is after {zxid}"));
            continue;
        }
        folder.truncate(Place::Logs, name, offset).map_err(|error| {
            let file = folder.describe(Place::Logs, name);
            RecoveryError::Io { what: "cut", file, error }
        })?;
        notes.push(format!("cut {name} at offset {offset}, after {zxid}"));
    }
    Ok(notes)
}

/// Removes a file, and makes that durable.
fn remove(folder: &dyn Folder, place: Place, name: &str) -> Result<(), RecoveryError> {
    folder.remove(place, name).map_err(|error| {
        let file = folder.describe(place, name);
        RecoveryError::Io { what: "remove", file, error }
    })
}

/// The effect of a cut on the logs.
struct Walk<'n> {
    /// The last transaction that stays, or the snapshot before it.
    reached: Zxid,
    /// Files that begin before the cut and end after it, and the offset at which each is cut; 0: it is removed.
    cuts: Vec<(&'n str, u64)>,
    /// Whether something after the cut is missing or cannot be read.
    has_hole_behind: bool,
}

/// Reads the logs after the snapshot at `base`, and finds where each has to be cut. Changes nothing.
///
/// # Errors
/// The system's; or the log is damaged, or lacks transactions, before the cut.
fn walk<'n>(
    folder: &dyn Folder,
    logs: &[(Zxid, &'n str)],
    base: Zxid,
    zxid: Zxid,
    snapshots: &[Zxid],
) -> Result<Walk<'n>, RecoveryError> {
    let mut walk = Walk { reached: base, cuts: Vec::new(), has_hole_behind: false };
    let mut last = base;
    for (_, name) in plan::logs_from(logs, base) {
        let path = || folder.describe(Place::Logs, name);
        let failed = |error| RecoveryError::Io { what: "read", file: path(), error };
        let file = folder.open(Place::Logs, name).map_err(failed)?;
        let mut reader = Reader::open(file).map_err(failed)?;
        let (mut kept, mut cut) = (0, None);
        while let Some(entry) = reader.next_entry().map_err(failed)? {
            let at = entry.txn.zxid();
            if at <= zxid {
                kept += 1;
            } else if cut.is_none() {
                cut = Some(entry.offset);
            }
            if at <= last {
                continue;
            }
            let is_gap = !is_next(last, at);
            if is_gap && (last != base || at > zxid) || is_hole(snapshots, last, at) {
                if at <= zxid && last.epoch() == at.epoch() {
                    let offset = entry.offset;
                    return Err(RecoveryError::Gap {
                        after: last,
                        before: at,
                        file: path(),
                        offset,
                    });
                }
                walk.has_hole_behind |= at > zxid;
            }
            last = at;
            if at <= zxid {
                walk.reached = at;
            }
        }
        match reader.verdict().expect("the reader has come to the end") {
            Verdict::Damaged { offset, reason, .. } if cut.is_none() && last < zxid => {
                let (offset, reason) = (*offset, reason.clone());
                return Err(RecoveryError::Damaged {
                    file: path(),
                    offset,
                    zxid: Some(last),
                    reason,
                });
            }
            // The damage is after the cut, and goes with the rest.
            Verdict::Damaged { offset, .. } | Verdict::TornTail { end: offset, .. }
                if last >= zxid =>
            {
                cut = cut.or(Some(*offset));
                walk.has_hole_behind = true;
            }
            Verdict::Damaged { .. } | Verdict::TornTail { .. } | Verdict::Clean { .. } => (),
        }
        if let Some(offset) = cut {
            walk.cuts.push((name, if kept > 0 { offset } else { 0 }));
        }
    }
    // Logs that begin after the cut are removed anyway.
    walk.cuts.retain(|(name, _)| plan::log_zxid(name).is_some_and(|first| first <= zxid));
    Ok(walk)
}

/// The last transaction of which a snapshot may hold a part, from its trailers; `None` if the snapshot cannot be
/// read. A fuzzy snapshot of ZooKeeper's may hold parts of transactions after the zxid in its name.
///
/// # Errors
/// The system's.
fn last_in(folder: &dyn Folder, name: &str) -> Result<Option<Zxid>, RecoveryError> {
    /// Reads the snapshot to its trailers, and keeps nothing.
    struct Nobody;
    impl Parts for Nobody {
        fn session(&mut self, _: SessionId, _: i32) {}
        fn acl(&mut self, _: AclId, _: AclVector<'_>) {}
        fn node(
            &mut self,
            _: &str,
            _: Option<&[u8]>,
            _: AclId,
            _: StatPersisted,
        ) -> Result<(), LoadError> {
            Ok(())
        }
        fn progress(&mut self, _: u64, _: u64) {}
    }
    let failed = |error| {
        let file = folder.describe(Place::Snapshots, name);
        RecoveryError::Io { what: "read", file, error }
    };
    let compression = Compression::of_name(name);
    let mut file = folder.open(Place::Snapshots, name).map_err(failed)?;
    if look_at(&mut *file, compression).map_err(failed)? != Look::Finished {
        return Ok(None);
    }
    let Ok(trailers) = snapshot::read(&mut file.by_ref(), compression, &mut Nobody) else {
        return Ok(None);
    };
    let digest = trailers.digest.map_or(Zxid::ZERO, |digest| digest.zxid);
    Ok(Some(trailers.last_zxid.unwrap_or(Zxid::ZERO).max(digest)))
}
