//! The ring that writes the transaction log.
//!
//! An io_uring ring, submitted and reaped by the executor that owns the replica: registered files,
//! registered buffers, one write with `RWF_DSYNC` per group. There is no thread between the replica and
//! the disk; reaping reads memory shared with the kernel.
//!
//! A thread can wait for a write in two ways: by polling ([`LogRing::reap`] makes no system call), or with
//! [`LogRing::ring_when_done`], after which the kernel rings a [`Doorbell`] with the next completion.
//!
//! If other processes want the processors, [`LogRing::write_by_thread`] makes a thread do the writes:
//! [`super::log_thread`] explains why.

mod buffers;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use buffers::Buffers;

use super::log_thread::{Job, LogThread};
use super::ring::{
    NewRing, Operation, Ring, RingError, RingOptions, Submitted, Target, UserData, WriteEntry,
};
use super::{Doorbell, failure};
use crate::io::{AlignedBuf, Completion, Done, SegmentId, Token};

/// Writes that may be in the ring at once. The writer of the log keeps one or two in flight; the
/// bound only sizes the ring.
pub const WRITES_IN_FLIGHT_MAX: usize = 16;

/// Segments that may be open at once: the current one, the next, one being closed, and spare room.
const SEGMENTS_OPEN_MAX: usize = 8;

const RING_ENTRIES: u32 = 32;
const _: () = assert!(WRITES_IN_FLIGHT_MAX < RING_ENTRIES as usize);

const RING_OPTIONS: RingOptions = RingOptions {
    entries: RING_ENTRIES,
    completions: None,
    defers_completions: false,
    operations: &[Operation::Write, Operation::WriteFixed],
    changes_tables: true,
};

/// The ring, its registrations and its writes in flight.
pub struct LogRing {
    ring: Ring<WriteIndex>,
    bell: Doorbell,
    segments: [Option<OpenSegment>; SEGMENTS_OPEN_MAX],
    files_registered: bool,
    buffers: Buffers,
    /// Writes in flight, by their [`WriteIndex`].
    in_flight: [Option<Write>; WRITES_IN_FLIGHT_MAX],
    in_flight_count: usize,
    /// The kernel was too busy to take some writes: they are submitted again.
    owes_submission: bool,
    bell_armed: bool,
    /// Writes go to the thread from now on.
    by_thread: bool,
    /// Started when it is needed for the first time.
    thread: Option<LogThread>,
}

struct OpenSegment {
    id: SegmentId,
    file: Arc<OwnedFd>,
    name: String,
}

/// The place of a write among those in flight: the user data of its entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct WriteIndex(usize);

impl UserData for WriteIndex {
    fn to_word(self) -> u64 {
        self.0 as u64
    }

    fn from_word(word: u64) -> WriteIndex {
        WriteIndex(usize::try_from(word).expect("our own small number"))
    }
}

struct Write {
    token: Token,
    segment_slot: usize,
    buf: AlignedBuf,
    offset: u64,
    bytes: u32,
    done: u32,
    sync: bool,
    /// The write has failed, and its owner knows: the kernel did not take the entry, which stays in the
    /// queue and goes to the kernel with the next submission. Invariant: the buffer, the segment and the
    /// number in the entry belong to this write until that completion.
    told: bool,
}

/// Features that the ring could not get and works without; one line each for the start-up.
pub type Lacks = Vec<String>;

impl LogRing {
    /// A ring whose completions ring `bell` when asked.
    ///
    /// The ring keeps `locks` open until the kernel is done with it: after a `kill -9` a write in flight
    /// may still reach the disk, and a server started at once must not read the log before.
    ///
    /// # Errors
    /// The kernel makes no such ring.
    pub fn new(bell: Doorbell, locks: &[BorrowedFd<'_>]) -> Result<(LogRing, Lacks), RingError> {
        let ring = NewRing::set_up(&RING_OPTIONS)?;
        let mut lacks = Vec::new();
        ring.register_bell(&bell)?;
        let mut files = [-1; SEGMENTS_OPEN_MAX].to_vec();
        files.extend(locks.iter().map(AsRawFd::as_raw_fd));
        ring.register_files(&files)?;
        let buffers = Buffers::register(&ring).unwrap_or_else(|error| {
            lacks.push(format!("log buffers are not registered with io_uring: {error}"));
            Buffers::unregistered()
        });
        let ring = LogRing {
            ring: ring.start()?,
            bell,
            segments: [const { None }; SEGMENTS_OPEN_MAX],
            files_registered: true,
            buffers,
            in_flight: [const { None }; WRITES_IN_FLIGHT_MAX],
            in_flight_count: 0,
            owes_submission: false,
            bell_armed: false,
            by_thread: false,
            thread: None,
        };
        Ok((ring, lacks))
    }

    /// Registers an open file under its segment's number. `name` is for messages.
    pub fn open_segment(&mut self, id: SegmentId, file: OwnedFd, name: String) {
        assert!(self.slot_of(id).is_none(), "segment {id:?} is open already");
        let slot = self.segments.iter().position(Option::is_none);
        let slot = slot.expect("the log keeps a handful of segments open");
        if self.files_registered {
            let offset = u32::try_from(slot).expect("a small constant");
            if self.ring.update_file(offset, file.as_raw_fd()).is_err() {
                // Writes to plain descriptors cost a little more but work the same.
                self.files_registered = false;
            }
        }
        self.segments[slot] = Some(OpenSegment { id, file: Arc::new(file), name });
    }

    /// Forgets a segment and closes the ring's descriptor of it.
    ///
    /// # Panics
    /// If a write to it is in flight: see [`LogRing::is_writing_to`].
    pub fn close_segment(&mut self, id: SegmentId) {
        assert!(!self.is_writing_to(id), "segment {id:?} is closed under a write");
        let Some(slot) = self.slot_of(id) else { return };
        if self.files_registered {
            let offset = u32::try_from(slot).expect("a small constant");
            let _ = self.ring.update_file(offset, -1);
        }
        self.segments[slot] = None;
    }

    /// Whether a write to this segment is in flight.
    pub fn is_writing_to(&self, id: SegmentId) -> bool {
        let slot = self.slot_of(id);
        self.in_flight.iter().flatten().any(|write| Some(write.segment_slot) == slot)
            || self.thread.as_ref().is_some_and(|thread| thread.is_writing_to(id))
    }

    /// Writes in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight_count + self.thread.as_ref().map_or(0, LogThread::in_flight)
    }

    /// Sets whether further writes go to a thread, which rings the bell after each of them, whether or not
    /// it was asked to; writes in flight complete where they are.
    pub fn write_by_thread(&mut self, by_thread: bool) {
        if by_thread && self.thread.is_none() {
            match LogThread::start(self.bell.clone()) {
                Ok(thread) => self.thread = Some(thread),
                // Without the thread, writes are slower beside busy neighbours but work the same; starting
                // it is tried again.
                Err(error) => return tracing::debug!("no thread for the log: {error}"),
            }
        }
        self.by_thread = by_thread;
    }

    /// Submits one write: the first `bytes` of `buf`, at `offset` of an open segment.
    ///
    /// A buffer with a slot is registered the first time it is seen. Its owner must keep it alive, as the
    /// log's writer does, as long as it uses the slot: pages are registered by address.
    pub fn write(
        &mut self,
        token: Token,
        segment: SegmentId,
        offset: u64,
        buf: AlignedBuf,
        bytes: u32,
        sync: bool,
    ) -> io::Result<()> {
        assert!(bytes as usize <= buf.len(), "a write is not longer than its buffer");
        let segment_slot = self.slot_of(segment).expect("the log writes to prepared segments");
        if self.by_thread
            && let (Some(thread), Some(open)) = (&mut self.thread, &self.segments[segment_slot])
        {
            let (file, name) = (open.file.clone(), open.name.clone());
            return thread.write(Job { token, segment, file, name, offset, buf, bytes, sync });
        }
        let index = self.in_flight.iter().position(Option::is_none);
        let index = index.expect("the log's writer bounds its writes in flight");
        self.buffers.maybe_register(&self.ring, &buf);
        self.in_flight[index] =
            Some(Write { token, segment_slot, buf, offset, bytes, done: 0, sync, told: false });
        self.in_flight_count += 1;
        self.submit_write(index)
    }

    fn submit_write(&mut self, index: usize) -> io::Result<()> {
        let write = self.in_flight[index].as_ref().expect("submitted writes are in flight");
        let segment = self.segments[write.segment_slot].as_ref().expect("it is open");
        let rest = &write.buf[write.done as usize..write.bytes as usize];
        let file = if self.files_registered {
            Target::Slot(u32::try_from(write.segment_slot).expect("a small constant"))
        } else {
            Target::Descriptor(segment.file.as_raw_fd())
        };
        let entry = WriteEntry {
            file,
            offset: write.offset + u64::from(write.done),
            memory: rest.as_ptr(),
            bytes: write.bytes - write.done,
            buffer: self.buffers.slot_of(&write.buf),
            sync: write.sync,
        };
        // SAFETY: the entry points into `write.buf`, heap memory that does not move. The write
        // stays in `in_flight` until its completion is reaped, also if it cannot be submitted now
        // (`Write::told`), and dropping the ring waits for what is in flight, so the memory outlives
        // the kernel's use of it. Nothing else reads or writes it meanwhile: the buffer was moved in here.
        unsafe { self.ring.write(entry, WriteIndex(index)) };
        self.submit().inspect_err(|_| {
            self.in_flight[index].as_mut().expect("it was submitted").told = true;
        })
    }

    fn submit(&mut self) -> io::Result<()> {
        self.owes_submission = self.ring.submit()? == Submitted::Later;
        Ok(())
    }

    /// Takes completed writes. Makes no system call, unless a write was partial and its rest has to be
    /// submitted, or the kernel was too busy to take a write.
    pub fn reap(&mut self, out: &mut Vec<Completion>) {
        if let Some(thread) = &mut self.thread {
            thread.reap(out);
        }
        if self.in_flight_count == 0 {
            return;
        }
        if self.owes_submission
            && let Err(error) = self.submit()
        {
            self.fail_all(&error, out);
        }
        while let Some(completed) = self.ring.next_completed() {
            let WriteIndex(index) = completed.data;
            let write =
                self.in_flight[index].as_mut().expect("completions are of what is in flight");
            if write.told {
                drop(self.take(index));
                continue;
            }
            match completed.result() {
                Ok(0) => self.fail(index, io::ErrorKind::WriteZero.into(), out),
                Ok(wrote) => {
                    write.done += wrote;
                    assert!(write.done <= write.bytes, "the kernel wrote more than it was given");
                    if write.done == write.bytes {
                        let write = self.take(index);
                        let result = Ok(Done::Buffer(write.buf));
                        out.push(Completion { token: write.token, result });
                    } else if let Err(error) = self.submit_write(index) {
                        out.push(self.failed(index, &error));
                    }
                }
                Err(error) => self.fail(index, error, out),
            }
        }
    }

    fn fail(&mut self, index: usize, error: io::Error, out: &mut Vec<Completion>) {
        out.push(self.failed(index, &error));
        drop(self.take(index));
    }

    /// The kernel takes no entries. Which of the writes it has taken before is unknown.
    fn fail_all(&mut self, error: &io::Error, out: &mut Vec<Completion>) {
        for index in 0..WRITES_IN_FLIGHT_MAX {
            if self.in_flight[index].as_ref().is_some_and(|write| !write.told) {
                out.push(self.failed(index, error));
                self.in_flight[index].as_mut().expect("looked at just now").told = true;
            }
        }
    }

    fn failed(&self, index: usize, error: &io::Error) -> Completion {
        let write = self.in_flight[index].as_ref().expect("it is in flight");
        let name = self.segments[write.segment_slot].as_ref().map_or("?", |open| &open.name);
        let what = format!("writing {} bytes at {} of {name}", write.bytes, write.offset);
        Completion { token: write.token, result: Err(failure(&what, error)) }
    }

    fn take(&mut self, index: usize) -> Write {
        self.in_flight_count -= 1;
        self.in_flight[index].take().expect("it is in flight")
    }

    /// From now on the next completion rings the bell. Returns false if there already is one, or if a write has to be
    /// submitted again: reap instead of sleeping.
    pub fn ring_when_done(&mut self) -> bool {
        self.arm_bell(true);
        // A completion between the last reap and the arming rang no bell: check once more.
        !self.ring.has_completions() && !self.owes_submission
    }

    /// Completions no longer ring the bell; for a thread that polls.
    pub fn ring_no_more(&mut self) {
        if self.bell_armed {
            self.arm_bell(false);
        }
    }

    fn arm_bell(&mut self, armed: bool) {
        self.ring.ring_bell(armed);
        self.bell_armed = armed;
    }

    /// The bell given to [`LogRing::new`].
    pub fn bell(&self) -> &Doorbell {
        &self.bell
    }

    fn slot_of(&self, id: SegmentId) -> Option<usize> {
        self.segments.iter().position(|open| open.as_ref().is_some_and(|open| open.id == id))
    }
}

impl Drop for LogRing {
    fn drop(&mut self) {
        self.thread = None;
        // The kernel may still read the buffers in flight; they must not be freed before.
        let mut ignored = Vec::new();
        while self.in_flight_count > 0 {
            if self.ring.wait(None).is_err() {
                // Waiting is impossible: leak the buffers instead of freeing them under a write.
                for write in &mut self.in_flight {
                    std::mem::forget(write.take());
                }
                return;
            }
            self.reap(&mut ignored);
        }
    }
}
