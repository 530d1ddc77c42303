//! Reads the files of the log for learners that are far behind, on a thread of its own, so that the replica does not
//! wait for the disk.
//!
//! A leader, or a follower for its observers, asks for a range of zxids ([`LogRead`]); the thread reads it from the
//! log's files, and rings the bell of the replica. Reads are done one after the other, and only so many wait.
//! Whatever goes wrong has one result, `None`: the learner gets the whole tree.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::limits;
use crate::proto::txn::Txn;
use crate::recovery::{log_read_bytes_max, read_txns};
use crate::runtime::{Doorbell, FileFolder, Folders};
use crate::zab::LogRead;

/// The id of a read, and the transactions; see
/// [`Replica::handle_log_read`](crate::replica::Replica::handle_log_read).
type Outcome = (u64, Option<Vec<Txn>>);

/// The reader of the log.
pub struct Past {
    /// The wishes for the thread, oldest first.
    wishes: SyncSender<LogRead>,
    /// What the thread has read.
    outcomes: Receiver<Outcome>,
    /// The number of wishes without an outcome yet.
    ///
    /// Invariant: at most [`limits::LOG_READS_MAX`].
    pending: usize,
}

impl Past {
    /// Starts the thread. `factor` is the share of the newest snapshot's size that may be read
    /// (`snapshotSizeFactor`).
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(folders: &Folders, factor: f64, bell: Doorbell) -> io::Result<Past> {
        let (wishes, wished) = sync_channel::<LogRead>(limits::LOG_READS_MAX);
        // An outcome for each waiting wish, and for the one that the thread is working on.
        let (done, outcomes) = sync_channel(limits::LOG_READS_MAX + 1);
        let folder = FileFolder::new(folders);
        let percent = percent(factor);
        std::thread::Builder::new().name("rk-past".into()).spawn(move || {
            for LogRead { id, from, to } in wished {
                let txns = log_read_bytes_max(&folder, percent)
                    .and_then(|bytes_max| read_txns(&folder, from, to, bytes_max))
                    .unwrap_or_else(|error| {
                        tracing::warn!(
                            "the log cannot be read for a learner, so the learner gets the whole tree: \
                             {error}"
                        );
                        None
                    });
                // The receiver is gone if the server has stopped.
                let _ = done.send((id, txns));
                bell.ring();
            }
        })?;
        Ok(Past { wishes, outcomes, pending: 0 })
    }

    /// Submits a wish. Returns false if too many are waiting.
    pub fn submit(&mut self, wish: LogRead) -> bool {
        // Both queues have room for so many, so the thread never waits for the replica.
        let taken = self.pending < limits::LOG_READS_MAX && self.wishes.try_send(wish).is_ok();
        self.pending += usize::from(taken);
        taken
    }

    /// Takes the next finished read.
    pub fn done(&mut self) -> Option<Outcome> {
        if self.pending == 0 {
            return None;
        }
        let outcome = self.outcomes.try_recv().ok()?;
        self.pending -= 1;
        Some(outcome)
    }
}

/// A share in whole percent, rounded down, from 0 to 100; a positive one is at least 1. With 0, only the bound of one
/// read applies ([`log_read_bytes_max`]); a negative factor never gets here, because the peer then asks for no reads.
fn percent(factor: f64) -> u64 {
    let least = if factor > 0.0 { 1 } else { 0 };
    let percent = (0..=100u32).rev().find(|percent| f64::from(*percent) <= factor * 100.0);
    percent.unwrap_or(0).max(least).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_in_percent() {
        for (factor, expected) in
            [(0.33, 33), (0.0, 0), (0.001, 1), (1.0, 100), (7.0, 100), (-1.0, 0)]
        {
            assert_eq!(percent(factor), expected, "{factor}");
        }
    }
}
