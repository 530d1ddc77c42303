//! Reads of the log's files for learners that are far behind, on a thread of their own: they take as
//! long as the disk takes, and nobody waits for them.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::limits;
use crate::proto::txn::Txn;
use crate::recovery::{log_read_bytes_max, read_txns};
use crate::runtime::{Doorbell, FileFolder, Folders};
use crate::zab::LogRead;

/// What became of a read: its id and the transactions; see
/// [`Replica::handle_log_read`](crate::replica::Replica::handle_log_read).
type Outcome = (u64, Option<Vec<Txn>>);

/// The reader.
pub struct Past {
    wishes: SyncSender<LogRead>,
    outcomes: Receiver<Outcome>,
    /// Those without an outcome yet.
    pending: std::cell::Cell<usize>,
}

impl Past {
    /// Starts the thread. `factor` is the share of the newest snapshot's size that may be read
    /// (`snapshotSizeFactor`).
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(folders: &Folders, factor: f64, bell: Doorbell) -> io::Result<Past> {
        let (wishes, wished) = sync_channel::<LogRead>(limits::LOG_READS_MAX);
        // As many outcomes may wait as there are wishes, and one in work.
        let (done, outcomes) = sync_channel(limits::LOG_READS_MAX + 1);
        let folder = FileFolder::new(folders);
        let percent = percent(factor);
        std::thread::Builder::new().name("rk-past".into()).spawn(move || {
            for LogRead { id, from, to } in wished {
                let txns = log_read_bytes_max(&folder, percent)
                    .and_then(|bytes_max| read_txns(&folder, from, to, bytes_max))
                    .unwrap_or_else(|error| {
                        tracing::warn!(
                            "the log cannot be read for a learner, which gets the whole tree: \
                             {error}"
                        );
                        None
                    });
                // Nobody listens any more when the server has stopped.
                let _ = done.send((id, txns));
                bell.ring();
            }
        })?;
        Ok(Past { wishes, outcomes, pending: std::cell::Cell::new(0) })
    }

    /// Hands a wish over. False: too many are waiting.
    pub fn submit(&self, wish: LogRead) -> bool {
        let taken =
            self.pending.get() < limits::LOG_READS_MAX && self.wishes.try_send(wish).is_ok();
        self.pending.set(self.pending.get() + usize::from(taken));
        taken
    }

    /// A read that is done.
    pub fn done(&self) -> Option<Outcome> {
        if self.pending.get() == 0 {
            return None;
        }
        let outcome = self.outcomes.try_recv().ok()?;
        self.pending.set(self.pending.get() - 1);
        Some(outcome)
    }
}

/// A share in whole percent; 0 for none, as for one so small that it is none.
fn percent(factor: f64) -> u64 {
    (0..=100u32).rev().find(|percent| f64::from(*percent) <= factor * 100.0).unwrap_or(0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_in_percent() {
        for (factor, expected) in [(0.33, 33), (0.0, 0), (1.0, 100), (7.0, 100), (-1.0, 0)] {
            assert_eq!(percent(factor), expected, "{factor}");
        }
    }
}
