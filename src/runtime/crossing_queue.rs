//! A bounded queue from one thread to another, both of which sleep in their [`Reactor`]s.
//!
//! The messages lie in a ring without locks (`rtrb`), one thread puts, one takes. There is no
//! handshake: both ends are made before either thread runs, and what is put before the other thread
//! has begun waits for it. Nobody waits *in* here; each end only says how things are, and sees to it
//! that the other thread looks again when that changes:
//!
//! * A message was put: the reader's bell is rung if it sleeps. No wake-up is lost, as
//!   [`SleepFlag`] tells, because the reader's last look before it sleeps is [`Receiver::is_empty`]
//!   (through its [`Inbox`](super::Inbox)).
//! * Room was made: only a writer that found none wants to hear of it. It would be lost like this:
//!
//!   1. The writer finds no room. The reader takes everything, and sees nobody who waits for room.
//!   2. The writer notes that it waits, and sleeps. The queue is empty, so the reader never takes
//!      anything again, and never rings.
//!
//!   So the writer notes it first (`room`, a flag of the same kind) and then tries again; the reader
//!   takes first, and then looks at the note. If the note is there, it wakes the writer's thread,
//!   which, before it sleeps, asks [`Sender::has_room`].
//!
//!   The reader must leave the note where it is while there is no room yet:
//!
//!   1. A short message and a long one are in the queue. The writer finds no room and notes it.
//!   2. The reader takes the short one, sees the note and takes it away. It wakes nobody, since the
//!      writer is still awake.
//!   3. The writer asks whether there is room, finds none, and sleeps.
//!   4. The reader takes the long one. There is room, and no note that somebody waits for it.
//!
//!   So only the message whose taking makes room has the reader look at the note.
//!
//! The writer says that nothing more will come without a message ([`Sender::close`]), for that needs
//! no room. The reader hears of it when it has taken everything.
//!
//! `tests/crossing_queue.rs` has the interleavings of this file's code tried.
//!
//! The bound is in messages and in bytes, for a message may be one word or the answers of a whole
//! turn. One message more than the bytes allow is let in, so that the largest one can pass.
//!
//! [`Reactor`]: super::Reactor

use std::sync::Arc;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::Doorbell;
use super::atomics::{AtomicBool, AtomicUsize, Ordering};
use super::sleep_flag::SleepFlag;

/// What both ends know.
struct Shared {
    /// Bytes of the messages in the queue.
    bytes: AtomicUsize,
    bytes_max: usize,
    /// The writer waits for room.
    room: SleepFlag,
    /// Nothing more will be put.
    closed: AtomicBool,
}

/// The end that puts.
pub struct Sender<T> {
    ring: Producer<(T, usize)>,
    shared: Arc<Shared>,
    reader: Doorbell,
}

/// The end that takes.
pub struct Receiver<T> {
    ring: Consumer<(T, usize)>,
    shared: Arc<Shared>,
    writer: Doorbell,
}

/// Makes a queue of so many messages and bytes between the threads with these bells.
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
    /// Puts a message of so many bytes; gives it back if there is no room. Then the thread is woken
    /// as soon as there is some.
    pub fn push(&mut self, message: T, bytes: usize) -> Result<(), T> {
        if !self.has_room() {
            self.shared.room.lie_down();
            if !self.has_room() {
                return Err(message);
            }
            self.shared.room.get_up();
        }
        // Counted first: the reader must not take off what was not yet added.
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.ring.push((message, bytes)) {
            Ok(()) => {
                self.reader.wake();
                Ok(())
            }
            Err(PushError::Full(_)) => unreachable!("only this thread makes it fuller"),
        }
    }

    /// Whether a message would be taken.
    pub fn has_room(&self) -> bool {
        !self.ring.is_full() && self.shared.bytes.load(Ordering::Acquire) < self.shared.bytes_max
    }

    /// Says that nothing more will be put.
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
        // In this order: what was put before the end is seen by whoever sees the end.
        self.shared.closed.load(Ordering::Acquire) && self.ring.is_empty()
    }
}
