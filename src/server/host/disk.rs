//! The host's side of the disk: log writes through the ring, everything else through threads.
//!
//! ```text
//! Op::LogWrite ─▶ ring (io_uring) ────────────────────▶ Completion ┐
//! other Op     ─▶ worker (threads) ── opened segments ▶ Completion ├─▶ Replica
//! LogRead      ─▶ past (a thread) ────────────────────▶ transactions┘
//! ```
//! The replica decides what is written and in which order; this file starts it and hands back what is done. The rule
//! that is easy to break: a segment is closed only after its last write, although the two take different ways.

use super::super::past::Past;
use super::super::recover::Opener;
use crate::io::{Completion, Op, SegmentId};
use crate::replica::{Reload, Reloaded, Replica};
use crate::runtime::{DataFolder, DiskWorker, Doorbell, LogRing};
use crate::time::Now;
use crate::zab::LogRead;

/// The ways to the disk, and the locks of its folders.
pub struct Disk {
    /// Writes the log.
    ring: LogRing,
    /// Performs all other operations.
    worker: DiskWorker,
    /// The finished log writes that the replica has not got yet.
    completions: Vec<Completion>,
    /// The closings of segments that wait for the last write to their segment.
    closings: Vec<(SegmentId, Op)>,
    /// Reads the log's files for learners.
    past: Past,
    /// Reads the state anew after a cut.
    opener: Opener,
    /// Holds the locks of the folders.
    ///
    /// Invariant: the last field, so that the locks go last.
    _folder: DataFolder,
}

impl Disk {
    /// `ring` writes the log, `worker` all other files; `past` reads the log for learners, and `opener` reads
    /// the state anew.
    pub fn new(
        ring: LogRing,
        worker: DiskWorker,
        past: Past,
        opener: Opener,
        folder: DataFolder,
    ) -> Disk {
        let (completions, closings) = (Vec::new(), Vec::new());
        Disk { ring, worker, completions, closings, past, opener, _folder: folder }
    }

    /// Takes in finished log writes. Returns whether the replica has some to get.
    pub fn reap(&mut self) -> bool {
        self.ring.reap(&mut self.completions);
        !self.completions.is_empty()
    }

    /// Gives the replica the finished log writes.
    pub fn hand_over_log_writes(&mut self, now: Now, replica: &mut Replica) {
        for completion in self.completions.drain(..) {
            replica.handle_completion(now, completion);
        }
    }

    /// Gives the replica finished work on files, and what was read for learners. Returns whether there was any.
    pub fn hand_over_files(&mut self, now: Now, replica: &mut Replica) -> bool {
        self.release_closings();
        let mut had_some = false;
        while let Some(done) = self.worker.done() {
            had_some = true;
            // Before the replica knows of the segment, because it may write to it in this very turn.
            if let Some(opened) = done.opened {
                self.ring.open_segment(opened.segment, opened.file, opened.name);
            }
            replica.handle_completion(now, done.completion);
        }
        while let Some((id, txns)) = self.past.done() {
            replica.handle_log_read(now, id, txns);
            had_some = true;
        }
        had_some
    }

    /// Tries the waiting closings again.
    fn release_closings(&mut self) {
        if self.closings.is_empty() {
            return;
        }
        for (segment, op) in std::mem::take(&mut self.closings) {
            self.close_segment(segment, op);
        }
    }

    /// Starts an operation.
    ///
    /// # Errors
    /// A log write could not be submitted. Its state is unknown, so the process must stop, as after any failed write.
    pub fn perform(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::LogWrite { token, segment, offset, buf, bytes, sync } => {
                self.worker.note_log_write();
                let written = self.ring.write(token, segment, offset, buf, bytes, sync);
                return written.map_err(|error| {
                    format!("submitting a write to the transaction log failed: {error}")
                });
            }
            Op::SegmentClose { segment, .. } => self.close_segment(segment, op),
            Op::SegmentPrepare { .. }
            | Op::SegmentName { .. }
            | Op::SnapshotCreate { .. }
            | Op::SnapshotWrite { .. }
            | Op::SnapshotCommit { .. }
            | Op::SnapshotAbandon { .. }
            | Op::FileReplace { .. }
            | Op::Remove { .. } => self.worker.submit(op),
        }
        Ok(())
    }

    /// Closes a segment, as soon as its last write is done.
    fn close_segment(&mut self, segment: SegmentId, op: Op) {
        if self.ring.is_writing_to(segment) {
            self.closings.push((segment, op));
        } else {
            self.ring.close_segment(segment);
            self.worker.submit(op);
        }
    }

    /// Reads transactions of the log for a learner. Returns false if too many reads are waiting.
    pub fn read_log(&mut self, wish: LogRead) -> bool {
        self.past.submit(wish)
    }

    /// Cuts the history as the leader said, and reads the state anew.
    ///
    /// # Errors
    /// As for [`Opener::reload`].
    pub fn reload(&self, reload: Reload) -> Result<Reloaded, String> {
        self.opener.reload(reload)
    }

    /// Sets who writes the log from now on: a thread, or the kernel for the ring.
    pub fn write_log_by_thread(&mut self, by_thread: bool) {
        self.ring.write_by_thread(by_thread);
    }

    /// From now on, the next completion rings the bell, so that the executor may sleep. Returns false if it must not
    /// sleep, because there is one already or a write has to be submitted again.
    pub fn park_log(&mut self) -> bool {
        self.ring.ring_when_done()
    }

    /// From now on, completions do not ring the bell: the executor looks for them itself.
    pub fn unpark_log(&mut self) {
        self.ring.ring_no_more();
    }

    /// Sets whether the log waits for a segment. While it does, work on segments is not slowed down.
    pub fn note_log_waits(&self, waits: bool) {
        self.worker.note_log_waits(waits);
    }

    /// The number of log writes in flight.
    pub fn log_writes_in_flight(&self) -> usize {
        self.ring.in_flight()
    }

    /// The bell of the replica's executor.
    pub fn bell(&self) -> &Doorbell {
        self.ring.bell()
    }
}
