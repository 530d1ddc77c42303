//! The threads that perform all disk operations except writing the log.
//!
//! There are two, so that the log's next segment never waits behind a snapshot: one for segments, one
//! for snapshots and small files. Each takes its ops in order from a bounded queue. Preparing a
//! segment and writing a snapshot are bulk work that competes with the log for the device; both work
//! in chunks and slow down while the log is being written.

mod pace;
#[cfg(test)]
mod tests;
mod work;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use pace::Pace;
use work::Work;
pub use work::{replace, sync_folder};

use super::Doorbell;
use crate::io::{Completion, Op, Place, SegmentId};

/// The paths of the server's files. `logs` and `snapshots` are the `version-2` folders.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `dataDir`.
    pub data: PathBuf,
    /// `dataDir/version-2`.
    pub snapshots: PathBuf,
    /// `dataLogDir/version-2`.
    pub logs: PathBuf,
}

impl Folders {
    /// The path of a place.
    pub fn path(&self, place: Place) -> &Path {
        match place {
            Place::DataDir => &self.data,
            Place::Snapshots => &self.snapshots,
            Place::Logs => &self.logs,
        }
    }
}

/// The result of a worker.
pub struct WorkDone {
    /// For the owner of the op.
    pub completion: Completion,
    /// A prepared segment's file, which the log ring must get before the completion is passed on.
    pub opened: Option<OpenedSegment>,
}

/// A file for the log ring.
pub struct OpenedSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Its file.
    pub file: OwnedFd,
    /// Its first name, for messages.
    pub name: String,
}

/// Ops that may wait for a worker. Their owners bound what they have in flight far below this.
const OPS_WAITING_MAX: usize = 1024;

/// Performs all disk operations of the server except log writes.
pub struct DiskWorker {
    segments: SyncSender<Op>,
    files: SyncSender<Op>,
    done: Receiver<WorkDone>,
    log_writes: Arc<AtomicU64>,
    log_waits: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl DiskWorker {
    /// Starts the threads; each completion rings `bell`. With `direct`, segments are opened with
    /// O_DIRECT.
    pub fn start(folders: Folders, bell: Doorbell, direct: bool) -> io::Result<DiskWorker> {
        let (done_sender, done) = sync_channel(2 * OPS_WAITING_MAX);
        let log_writes = Arc::new(AtomicU64::new(0));
        let log_waits = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let mut start = |name: &str| -> io::Result<SyncSender<Op>> {
            let (sender, ops) = sync_channel(OPS_WAITING_MAX);
            let pace = Pace::new(log_writes.clone(), log_waits.clone());
            let mut work = Work::new(folders.clone(), direct, pace);
            let (done, bell) = (done_sender.clone(), bell.clone());
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
                for op in ops {
                    // After the server has stopped, no one receives the result; the ops are still
                    // performed.
                    let _ = done.send(work.perform(op));
                    bell.ring();
                }
            })?;
            threads.push(thread);
            Ok(sender)
        };
        let segments = start("rk-segments")?;
        let files = start("rk-files")?;
        Ok(DiskWorker { segments, files, done, log_writes, log_waits, threads })
    }

    /// Submits an op; [`DiskWorker::done`] returns its completion.
    ///
    /// # Panics
    /// On a log write, which belongs to the log ring.
    pub fn submit(&self, op: Op) {
        let queue = match &op {
            Op::LogWrite { .. } => panic!("log writes go to the log ring"),
            Op::SegmentPrepare { .. } | Op::SegmentName { .. } | Op::SegmentClose { .. } => {
                &self.segments
            }
            Op::SnapshotCreate { .. }
            | Op::SnapshotWrite { .. }
            | Op::SnapshotCommit { .. }
            | Op::SnapshotAbandon { .. }
            | Op::FileReplace { .. }
            | Op::Remove { .. } => &self.files,
        };
        queue.try_send(op).expect("owners bound their ops, and a worker ends after its queue");
    }

    /// The next finished op, if there is one. Never blocks.
    pub fn done(&self) -> Option<WorkDone> {
        self.done.try_recv().ok()
    }

    /// Notes for the bulk work that the log is busy.
    pub fn note_log_write(&self) {
        self.log_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets whether the log waits for the next segment, or soon will: then work on segments does not
    /// slow down.
    pub fn note_log_waits(&self, waits: bool) {
        self.log_waits.store(waits, Ordering::Relaxed);
    }

    /// Lets the threads finish their ops and waits for them.
    pub fn finish(self) {
        drop((self.segments, self.files));
        // A thread must not wait for room in the queue of results, which is no longer read.
        drop(self.done);
        for thread in self.threads {
            // A panic there has already ended the process.
            let _ = thread.join();
        }
    }
}
