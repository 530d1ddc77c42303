//! What the log's files still tell about the past: for learners that are far behind
//! (`ZKDatabase.getProposalsFromTxnLog`).
//!
//! The rule that is easy to break: files that follow each other need not hold a history without a
//! hole. Where a server got the whole tree from a leader, its log goes on behind that tree's zxid,
//! and what lies between was never logged here. Within an epoch a hole shows in the counters; between
//! two it need not, so nothing is read across them.

use std::io;

use super::folder::Folder;
use super::{Files, RecoveryError};
use crate::id::Zxid;
use crate::io::Place;
use crate::limits;
use crate::proto::txn::Txn;
use crate::txnlog::{Reader, plan};

/// Whether no transaction is missing between the two, as far as their numbers tell.
pub(super) fn is_next(last: Zxid, next: Zxid) -> bool {
    last.next() == Some(next) || (next.epoch() > last.epoch() && next.counter() == 1)
}

/// Whether one of the states in `snapshots` lies between two transactions that follow each other in
/// the log: then those up to it may never have been logged here.
pub(super) fn is_hole(snapshots: &[Zxid], last: Zxid, next: Zxid) -> bool {
    snapshots.iter().any(|at| last < *at && *at < next)
}

/// The transactions up to `to` from the log's files, in order and without a gap. The first is the
/// one at `from`, or the last before it: so that whoever compares histories sees where they part.
///
/// `None`: they are not all there, or together longer than `bytes_max`. May be called while the log
/// is written: `to` must be durable then, and what stands behind it does not matter.
///
/// # Errors
/// A file cannot be read, or is damaged before `to`.
pub fn read_txns(
    folder: &dyn Folder,
    from: Zxid,
    to: Zxid,
    bytes_max: u64,
) -> Result<Option<Vec<Txn>>, RecoveryError> {
    let files = Files::list(folder)?;
    let logs = plan::logs(files.logs.iter().map(|file| file.name.as_str()));
    let mut txns: Vec<Txn> = Vec::new();
    let mut bytes: u64 = 0;
    for (_, name) in plan::logs_from(&logs, from) {
        let failed = |error| {
            let file = folder.describe(Place::Logs, name);
            RecoveryError::Io { what: "read", file, error }
        };
        let file = match folder.open(Place::Logs, name) {
            // It was old, and is purged.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let mut reader = Reader::open(file).map_err(failed)?;
        while let Some(entry) = reader.next_entry().map_err(failed)? {
            let txn = entry.txn;
            let zxid = txn.zxid();
            if zxid > to {
                return Ok(None);
            }
            match txns.last().map(Txn::zxid) {
                None if zxid > from => return Ok(None),
                // Of two with one zxid the second is an error that nobody misses.
                Some(last) if zxid == last => continue,
                // Between two epochs a hole that a received tree left cannot always be told: the tree
                // may be written at a later zxid than it was received. Who is so far behind gets the
                // whole tree.
                Some(last) if last.next() != Some(zxid) => {
                    if zxid > from {
                        return Ok(None);
                    }
                }
                None | Some(_) => (),
            }
            if zxid <= from {
                txns.clear();
                bytes = 0;
            }
            bytes += txn.bytes().len() as u64;
            if bytes > bytes_max {
                return Ok(None);
            }
            txns.push(txn);
            if zxid == to {
                return Ok(Some(txns));
            }
        }
    }
    Ok(None)
}

/// How many bytes of transactions a learner may get from the log's files: `factor_percent` of the
/// newest snapshot (`snapshotSizeFactor`), beyond which the whole tree is the shorter way. 0: as
/// many as are ever read at once.
///
/// # Errors
/// The folder cannot be listed.
pub fn log_read_bytes_max(folder: &dyn Folder, factor_percent: u64) -> Result<u64, RecoveryError> {
    let files = Files::list(folder)?;
    let names = files.snapshots.iter().map(|file| file.name.as_str());
    let newest = plan::snapshots(names).first().map(|(_, name)| *name);
    let newest = newest.and_then(|name| files.snapshots.iter().find(|file| file.name == name));
    let limit = newest.map_or(0, |file| file.bytes.saturating_mul(factor_percent) / 100);
    // ZooKeeper: ZKDatabase takes a limit of 0 for none.
    Ok(if limit == 0 { limits::LOG_READ_BYTES_MAX } else { limit.min(limits::LOG_READ_BYTES_MAX) })
}
