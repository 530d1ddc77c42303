//! Reading old transactions from the log, for learners that are far behind (`ZKDatabase.getProposalsFromTxnLog`).
//!
//! The rule that is easy to break: successive files may have a hole between them. If a server got the whole tree from a
//! leader, its log continues after the zxid of that tree, and the transactions in between were never logged here.
//! Within an epoch the counters show a hole. Between two epochs they may not, so no read crosses the end of an epoch.

use std::io;

use super::folder::Folder;
use super::{Files, RecoveryError};
use crate::id::Zxid;
use crate::io::Place;
use crate::limits;
use crate::proto::txn::Txn;
use crate::txnlog::{Reader, plan};

/// Whether no transaction is missing between the two, as far as their zxids show.
pub(super) fn is_next(last: Zxid, next: Zxid) -> bool {
    last.next() == Some(next) || (next.epoch() > last.epoch() && next.counter() == 1)
}

/// Whether a snapshot lies between two successive transactions of the log: then the transactions up to it may never
/// have been logged here.
pub(super) fn is_hole(snapshots: &[Zxid], last: Zxid, next: Zxid) -> bool {
    snapshots.iter().any(|at| last < *at && *at < next)
}

/// The transactions up to `to` from the files of the log, in order and without a gap. The first one is at `from`, or is
/// the last one before it, so that a comparison of two histories finds where they part.
///
/// `None`: some are missing, or all of them are longer than `bytes_max`. The log may be written meanwhile: then `to`
/// must be durable, and what follows it does not matter.
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
            // A purge has removed it.
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
                // Of two transactions with one zxid the second is a duplicate, and is skipped.
                Some(last) if zxid == last => continue,
                // Between two epochs a hole that a received tree left cannot always be detected, because the
                // tree may be written at a later zxid than that at which it was received. A learner that is
                // so far behind gets the whole tree.
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

/// The most bytes of transactions that a learner may get from the files of the log: `factor_percent` of the newest
/// snapshot (`snapshotSizeFactor`), beyond which sending the whole tree is shorter. With 0 only the bound of one read
/// applies.
///
/// # Errors
/// The folder cannot be listed.
pub fn log_read_bytes_max(folder: &dyn Folder, factor_percent: u64) -> Result<u64, RecoveryError> {
    let files = Files::list(folder)?;
    let names = files.snapshots.iter().map(|file| file.name.as_str());
    let newest = plan::snapshots(names).first().map(|(_, name)| *name);
    let newest = newest.and_then(|name| files.snapshots.iter().find(|file| file.name == name));
    let limit = newest.map_or(0, |file| file.bytes.saturating_mul(factor_percent) / 100);
    // ZooKeeper: ZKDatabase treats a limit of 0 as no limit.
    Ok(if limit == 0 { limits::LOG_READ_BYTES_MAX } else { limit.min(limits::LOG_READ_BYTES_MAX) })
}
