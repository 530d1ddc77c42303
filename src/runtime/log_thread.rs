//! The thread that writes the transaction log while other processes want the processors.
//!
//! A worker of the kernel completes a durable direct write of the ring in two steps: after the blocks
//! are written it asks for the flush, and after that it reports the completion. Each time the worker
//! waits behind any thread that computes on that processor, up to a tick of the clock. A thread that
//! sleeps in the write is woken by the interrupt itself, asks for the flush and reports; with short
//! slices it waits for no other thread. On a quiet machine a thread costs two more wake-ups, so
//! [`super::LogRing`] uses it only when told to.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use rustix::io::{Errno, ReadWriteFlags, pwritev2};

use super::time_slice::{Slices, set_slices};
use super::{Doorbell, WRITES_IN_FLIGHT_MAX, failure};
use crate::io::{AlignedBuf, Completion, Done, SegmentId, Token};

/// One write of the log.
pub struct Job {
    /// Its token.
    pub token: Token,
    /// The segment that it goes to.
    pub segment: SegmentId,
    /// Its file.
    pub file: Arc<OwnedFd>,
    /// Its name, for messages.
    pub name: String,
    /// The offset in the file.
    pub offset: u64,
    /// The buffer, whose first `bytes` are written.
    pub buf: AlignedBuf,
    /// The number of bytes.
    pub bytes: u32,
    /// Whether it must be durable when it completes.
    pub sync: bool,
}

/// The thread and its queue of jobs. When it is dropped, it finishes them first.
pub struct LogThread {
    /// `None` while it is dropped.
    jobs: Option<SyncSender<Job>>,
    finished: Receiver<Completion>,
    thread: Option<JoinHandle<()>>,
    /// The segments of the writes in flight, in their order.
    in_flight: Vec<(Token, SegmentId)>,
}

impl LogThread {
    /// Starts it. It rings `bell` after each write.
    ///
    /// # Errors
    /// The system's: no more threads can be started.
    pub fn start(bell: Doorbell) -> io::Result<LogThread> {
        let (jobs, wanted) = sync_channel::<Job>(WRITES_IN_FLIGHT_MAX);
        let (done, finished) = sync_channel(WRITES_IN_FLIGHT_MAX);
        let thread = std::thread::Builder::new().name("rk-log".into()).spawn(move || {
            set_slices(Slices::Short);
            for job in wanted {
                // After the server has stopped, no one receives the result; the writes are still
                // performed.
                let _ = done.send(perform(job));
                bell.ring();
            }
        })?;
        let thread = Some(thread);
        Ok(LogThread { jobs: Some(jobs), finished, thread, in_flight: Vec::new() })
    }

    /// Submits one write.
    ///
    /// # Errors
    /// The thread has ended.
    pub fn write(&mut self, job: Job) -> io::Result<()> {
        assert!(self.in_flight.len() < WRITES_IN_FLIGHT_MAX, "more writes than the writer's bound");
        self.in_flight.push((job.token, job.segment));
        let jobs = self.jobs.as_ref().expect("only dropping takes it");
        jobs.send(job).map_err(|_| io::Error::other("the thread of the log has ended"))
    }

    /// Takes completed writes. Makes no system call.
    pub fn reap(&mut self, out: &mut Vec<Completion>) {
        while !self.in_flight.is_empty() {
            match self.finished.try_recv() {
                Ok(completion) => {
                    self.in_flight.retain(|(token, _)| *token != completion.token);
                    out.push(completion);
                }
                // Disconnected: it ends only with the process, or when this is dropped.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Writes in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether a write to this segment is in flight.
    pub fn is_writing_to(&self, id: SegmentId) -> bool {
        self.in_flight.iter().any(|(_, segment)| *segment == id)
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has already ended the process.
            let _ = thread.join();
        }
    }
}

fn perform(job: Job) -> Completion {
    let Job { token, segment: _, file, name, offset, buf, bytes, sync } = job;
    let result = match write_all(&file, &buf[..bytes as usize], offset, sync) {
        Ok(()) => Ok(Done::Buffer(buf)),
        Err(error) => Err(failure(&format!("writing {bytes} bytes at {offset} of {name}"), &error)),
    };
    Completion { token, result }
}

fn write_all(file: &OwnedFd, mut rest: &[u8], mut offset: u64, sync: bool) -> io::Result<()> {
    let flags = if sync { ReadWriteFlags::DSYNC } else { ReadWriteFlags::empty() };
    while !rest.is_empty() {
        match pwritev2(file, &[IoSlice::new(rest)], offset, flags) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(wrote) => {
                rest = &rest[wrote..];
                offset += wrote as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
