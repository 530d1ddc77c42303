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
//! The bound is in messages and in bytes, for a message may be one word or the answers of a whole
//! turn. One message more than the bytes allow is let in, so that the largest one can pass.
//!
//! [`Reactor`]: super::Reactor

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::Doorbell;
use super::sleep_flag::SleepFlag;

/// What both ends know.
struct Shared {
    /// Bytes of the messages in the queue.
    bytes: AtomicUsize,
    /// The writer waits for room.
    room: SleepFlag,
}

/// The end that puts.
pub struct Sender<T> {
    ring: Producer<(T, usize)>,
    shared: Arc<Shared>,
    bytes_max: usize,
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
    let shared = Arc::new(Shared { bytes: AtomicUsize::new(0), room: SleepFlag::new() });
    (
        Sender { ring: producer, shared: shared.clone(), bytes_max, reader },
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
        !self.ring.is_full() && self.shared.bytes.load(Ordering::Acquire) < self.bytes_max
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<T> {
        let (message, bytes) = self.ring.pop().ok()?;
        self.shared.bytes.fetch_sub(bytes, Ordering::Release);
        if self.shared.room.must_wake() {
            self.writer.wake();
        }
        Some(message)
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bells() -> (Doorbell, Doorbell) {
        (Doorbell::new().unwrap(), Doorbell::new().unwrap())
    }

    #[test]
    fn a_queue_is_bounded_in_messages_and_in_bytes() {
        let (writer, reader) = bells();
        let (mut sender, mut receiver) = crossing_queue(3, 100, writer, reader);
        for number in 0..3 {
            sender.push(number, 10).unwrap();
        }
        assert_eq!(sender.push(3, 10), Err(3));
        assert_eq!(receiver.pop(), Some(0));
        sender.push(3, 500).unwrap();
        assert_eq!((receiver.pop(), receiver.pop()), (Some(1), Some(2)));
        assert_eq!(sender.push(4, 1), Err(4));
        assert_eq!(receiver.pop(), Some(3));
        assert!(receiver.is_empty());
        sender.push(4, 1).unwrap();
        assert_eq!((receiver.pop(), receiver.pop()), (Some(4), None));
    }

    /// Reads the counter of a bell that was rung.
    fn rings(bell: &Doorbell) -> u64 {
        let mut count = [0; 8];
        bell.ring();
        rustix::io::read(bell.as_fd(), &mut count).unwrap();
        u64::from_ne_bytes(count) - 1
    }

    #[test]
    fn only_a_thread_that_sleeps_is_rung_for() {
        let (writer, reader) = bells();
        let (mut sender, mut receiver) = crossing_queue(2, 100, writer.clone(), reader.clone());
        sender.push(1, 1).unwrap();
        assert_eq!(rings(&reader), 0);
        reader.lie_down();
        sender.push(2, 1).unwrap();
        assert_eq!(rings(&reader), 1);
        // A writer that sleeps and wants no room is left alone.
        writer.lie_down();
        receiver.pop().unwrap();
        assert_eq!(rings(&writer), 0);
        writer.get_up();
        sender.push(3, 1).unwrap();
        assert_eq!(sender.push(4, 1), Err(4));
        writer.lie_down();
        receiver.pop().unwrap();
        receiver.pop().unwrap();
        assert_eq!(rings(&writer), 1);
    }
}
