//! A bounded queue from one thread to another, both of which sleep in their [`Reactor`]s.
//!
//! The messages are in a lock-free ring (`rtrb`) with one writing and one reading thread. There is
//! no handshake: both ends are made before either thread runs, and messages that are put before the
//! other thread has begun wait for it. No thread blocks in this module; each end only reports its
//! state, and makes the other thread check again when that changes:
//!
//! * A message was put: the reader's bell is rung if the reader sleeps. No wake-up is lost, as
//!   [`SleepFlag`] explains, because the reader's last check before it sleeps is
//!   [`Receiver::is_empty`] (through its [`Inbox`](super::Inbox)).
//! * Room was made: only a writer that found none needs to know. This wake-up could be lost as
//!   follows:
//!
//!   1. The writer finds no room. The reader takes everything, and sees no waiting writer.
//!   2. The writer sets the note that it waits, and sleeps. The queue is empty, so the reader never
//!      takes anything again, and never rings.
//!
//!   So the writer sets the note first (`room`, a flag of the same kind) and then tries again; the
//!   reader takes first, and then checks the note. If the note is there, it wakes the writer's
//!   thread, which, before it sleeps, asks [`Sender::has_room`].
//!
//!   The reader must not clear the note while there is no room yet:
//!
//!   1. A short message and a long one are in the queue. The writer finds no room and sets the note.
//!   2. The reader takes the short one, sees the note and clears it. It wakes no thread, because the
//!      writer is still awake.
//!   3. The writer asks whether there is room, finds none, and sleeps.
//!   4. The reader takes the long one. There is room, but no note of a waiting writer.
//!
//!   So the reader checks the note only after it has taken the message that makes room.
//!
//! The writer closes the queue without a message ([`Sender::close`]), because that needs no room.
//! The reader sees the end after it has taken everything.
//!
//! `tests/crossing_queue.rs` tries the interleavings of this file's code.
//!
//! The bound is in messages and in bytes, because a message may be one word or the answers of a
//! whole turn. One message more than the bytes allow is accepted, so that the largest one can pass.
//!
//! [`Reactor`]: super::Reactor

use std::sync::Arc;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::Doorbell;
use super::atomics::{AtomicBool, AtomicUsize, Ordering};
use super::sleep_flag::SleepFlag;

/// The state that both ends share.
struct Shared {
    /// Bytes of the messages in the queue.
    bytes: AtomicUsize,
    bytes_max: usize,
    /// The writer waits for room.
    room: SleepFlag,
    /// Nothing more will be put.
    closed: AtomicBool,
}

/// The writing end.
pub struct Sender<T> {
    ring: Producer<(T, usize)>,
    shared: Arc<Shared>,
    reader: Doorbell,
}

/// The reading end.
pub struct Receiver<T> {
    ring: Consumer<(T, usize)>,
    shared: Arc<Shared>,
    writer: Doorbell,
}

/// Makes a queue with these bounds of messages and bytes between the threads with these bells.
pub fn crossing_queue<T>(
    messages: usize,
    bytes_max: usize,
    writer: Doorbell,
    reader: Doorbell,
) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = RingBuffer::new(messages);
    let shared = Arc::new(Shared {
        bytes: AtomicUsize::new(0),
        bytes_max,
        room: SleepFlag::new(),
        closed: AtomicBool::new(false),
    });
    (
        Sender { ring: producer, shared: shared.clone(), reader },
        Receiver { ring: consumer, shared, writer },
    )
}

impl<T> Sender<T> {
    /// Puts a message of `bytes`; returns it if there is no room. The thread is then woken as soon
    /// as there is room.
    pub fn push(&mut self, message: T, bytes: usize) -> Result<(), T> {
        if !self.has_room() {
            self.shared.room.lie_down();
            if !self.has_room() {
                return Err(message);
            }
            self.shared.room.get_up();
        }
        // Counted first: the reader must not subtract bytes that were not yet added.
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.ring.push((message, bytes)) {
            Ok(()) => {
                self.reader.wake();
                Ok(())
            }
            Err(PushError::Full(_)) => unreachable!("only this thread makes it fuller"),
        }
    }

    /// Whether a message would be accepted.
    pub fn has_room(&self) -> bool {
        !self.ring.is_full() && self.shared.bytes.load(Ordering::Acquire) < self.shared.bytes_max
    }

    /// Closes the queue: nothing more will be put.
    pub fn close(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.reader.wake();
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<T> {
        let (message, bytes) = self.ring.pop().ok()?;
        let bytes_left = self.shared.bytes.fetch_sub(bytes, Ordering::Release) - bytes;
        if bytes_left < self.shared.bytes_max && self.shared.room.must_wake() {
            self.writer.wake();
        }
        Some(message)
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether there is no message and none will come.
    pub fn is_over(&self) -> bool {
        // In this order: a reader that sees the end also sees everything put before it.
        self.shared.closed.load(Ordering::Acquire) && self.ring.is_empty()
    }
}
