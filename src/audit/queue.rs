//! The queue of records, which never blocks those who put something into it, and the thread at its other end.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use super::line;
use crate::limits::{AUDIT_TURN_BYTES, AUDIT_WAITING_BYTES_MAX};
use crate::replica::{AuditRecord, AuditRecords};

/// How long the end of the process waits for the last records.
const FLUSH_MS_MAX: u64 = 500;

/// Bytes of lines that are handed to the system at once.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) enum Message {
    Records(AuditRecords),
    /// Answered when everything before it was written or given up.
    Flush(SyncSender<()>),
}

/// The near end of the queue. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// Bounded by `Shared::bytes` alone: a bound on messages would have to be far lower, because it takes its room at
    /// once.
    sender: Sender<Message>,
    shared: Arc<Shared>,
}

/// What both ends of the queue know.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes of the records that wait, as [`held`] counts them: at most [`AUDIT_WAITING_BYTES_MAX`], and those of a
    /// turn more.
    bytes: AtomicUsize,
    /// Records that were not written.
    dropped: AtomicU64,
    /// Records are being dropped, and the log says so.
    is_losing: AtomicBool,
}

impl Shared {
    /// So many records are not written, for this reason.
    fn lose(&self, records: u64, reason: &dyn std::fmt::Display) {
        self.dropped.fetch_add(records, Ordering::Relaxed);
        if !self.is_losing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                %reason,
                "records of the audit log are lost: clients do not wait for it, and audit_dropped in mntr counts what \
                 is missing"
            );
        }
    }

    /// Something was written, and there is room in the queue.
    fn recover(&self) {
        let has_room = self.bytes.load(Ordering::Relaxed) < AUDIT_WAITING_BYTES_MAX / 2;
        if has_room && self.is_losing.swap(false, Ordering::Relaxed) {
            let dropped = self.dropped.load(Ordering::Relaxed);
            tracing::warn!(dropped, "the audit log is written again; records are missing in it");
        }
    }
}

impl Queue {
    /// A queue, and its far end.
    pub fn new() -> (Queue, Receiver<Message>) {
        let (sender, receiver) = channel();
        (Queue { sender, shared: Arc::default() }, receiver)
    }

    /// Puts records into the queue, or drops them if it has no room. Never waits.
    pub fn put(&self, records: AuditRecords) {
        let (bytes, count, dropped) =
            (held(&records), records.records.len() as u64, records.dropped);
        if dropped > 0 {
            let reason =
                "one turn had too many, or the leader was lost before the outcome was known";
            self.shared.lose(dropped, &reason);
        }
        let has_room = self.shared.bytes.load(Ordering::Relaxed) < AUDIT_WAITING_BYTES_MAX;
        // Counted before the records can be written, so that the count never falls below 0.
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !has_room || self.sender.send(Message::Records(records)).is_err() {
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.lose(count, &"its file or standard output is slow");
        }
    }

    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    pub fn flush(&self) {
        let (answer, answered) = sync_channel(1);
        if self.sender.send(Message::Flush(answer)).is_ok() {
            // The thread may hang: then there is nothing more to do.
            let _ = answered.recv_timeout(Duration::from_millis(FLUSH_MS_MAX));
        }
    }
}

/// Bytes that a turn takes in the queue.
fn held(records: &AuditRecords) -> usize {
    records.bytes + AUDIT_TURN_BYTES
}

/// Formats records and writes them.
pub(super) struct Writer {
    out: Box<dyn Write + Send>,
    server_user: String,
    shared: Arc<Shared>,
    /// Lines that are not handed to the system yet, and how many.
    chunk: (String, u64),
    /// A write has failed, perhaps in the middle of a line.
    is_torn: bool,
}

impl Writer {
    /// A writer for the far end of `queue`.
    pub fn new(out: Box<dyn Write + Send>, server_user: String, queue: &Queue) -> Writer {
        let shared = Arc::clone(&queue.shared);
        Writer { out, server_user, shared, chunk: (String::new(), 0), is_torn: false }
    }

    /// Writes everything until the near end of the queue is gone.
    pub fn write_all_of(&mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Message::Records(records) => {
                    records.records.iter().for_each(|record| self.put(record));
                    self.hand_over();
                    self.shared.bytes.fetch_sub(held(&records), Ordering::Relaxed);
                    if !self.is_torn {
                        self.shared.recover();
                    }
                }
                Message::Flush(answer) => drop(answer.try_send(())),
            }
        }
    }

    fn put(&mut self, record: &AuditRecord) {
        line::put(record, &self.server_user, &mut self.chunk.0);
        self.chunk.1 += 1;
        if self.chunk.0.len() >= CHUNK_BYTES {
            self.hand_over();
        }
    }

    /// Hands the lines so far to the system.
    fn hand_over(&mut self) {
        let (lines, count) = &mut self.chunk;
        if *count == 0 {
            return;
        }
        if self.is_torn {
            lines.insert(0, '\n');
        }
        let written = write_whole(&mut *self.out, lines.as_bytes());
        self.is_torn = written.is_err();
        if let Err(error) = written {
            self.shared.lose(*count, &error);
        }
        lines.clear();
        *count = 0;
    }
}

fn write_whole(out: &mut dyn Write, lines: &[u8]) -> io::Result<()> {
    out.write_all(lines)?;
    out.flush()
}
