//! The queue of lines to the thread that writes them. Putting a line into it never blocks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::limits;

/// How long the end of the process waits for the last lines.
const FLUSH_MS_MAX: u64 = 500;

pub(super) enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it has been written.
    Flush(SyncSender<()>),
}

/// The queue to the writing thread. Never blocks.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
    pub waiting: Arc<Waiting>,
}

/// Counters that both ends of the queue share.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Bytes of lines that wait: at most [`limits::LOG_LINES_WAITING_BYTES_MAX`], and a line of each thread more.
    pub bytes: AtomicUsize,
    /// Lines that were dropped for lack of room.
    pub lost: AtomicU64,
}

impl Queue {
    pub fn new(lines_max: usize) -> (Queue, Receiver<Message>) {
        let (sender, receiver) = sync_channel(lines_max);
        (Queue { sender, waiting: Arc::default() }, receiver)
    }

    pub fn flush(&self) {
        let (answer, answered) = sync_channel(1);
        // Several short waits: the queue may be full at the moment, and the wait must be bounded.
        for _ in 0..FLUSH_MS_MAX / 10 {
            match self.sender.try_send(Message::Flush(answer.clone())) {
                Ok(()) => {
                    // The thread may be gone or its reader stalled: then there is nothing more to do.
                    let _ = answered.recv_timeout(Duration::from_millis(FLUSH_MS_MAX));
                    return;
                }
                Err(TrySendError::Full(_)) => std::thread::sleep(Duration::from_millis(10)),
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = QueueWriter<'a>;

    fn make_writer(&'a self) -> QueueWriter<'a> {
        QueueWriter(self)
    }
}

pub(super) struct QueueWriter<'a>(&'a Queue);

impl io::Write for QueueWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let waiting = &self.0.waiting;
        let has_room = waiting.bytes.load(Ordering::Relaxed) < limits::LOG_LINES_WAITING_BYTES_MAX;
        // Counted before the line can be written, so that the count never falls below 0.
        waiting.bytes.fetch_add(line.len(), Ordering::Relaxed);
        if !has_room || self.0.sender.try_send(Message::Line(line.to_vec())).is_err() {
            waiting.bytes.fetch_sub(line.len(), Ordering::Relaxed);
            waiting.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until every sender is gone. A line that cannot be written is dropped: there is no other place to
/// report the failure.
pub(super) fn write_lines(
    receiver: &Receiver<Message>,
    waiting: &Waiting,
    out: &mut dyn io::Write,
) {
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Line(line) => {
                drop(out.write_all(&line));
                waiting.bytes.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Message::Flush(answer) => drop(answer.try_send(())),
        }
        match waiting.lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lines => {
                let line = format!("WARN log: standard error is slow lines_lost={lines}\n");
                drop(out.write_all(line.as_bytes()));
            }
        }
    }
}
