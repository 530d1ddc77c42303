//! What waits in the queue of a thread that checks tokens.
//!
//! The thread may stand still: the key table, or the cache of the tickets that were shown, may lie on a disk that does
//! not answer. Meanwhile whoever gives up a connection makes room for another one, whose token goes into the queue as
//! well; so it is the queue that has to have a bound, not the number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What waits. The near end of the queue adds, and the thread takes off. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    tokens: AtomicUsize,
    bytes: AtomicUsize,
    ends: AtomicUsize,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub tokens_max: usize,
    /// Bytes of the tokens.
    pub bytes_max: usize,
    /// Logins that are to be forgotten. Beyond it some are not forgotten at once, which the [`Desk`](super::Desk)
    /// bears: it gives up the oldest when it is full.
    pub ends_max: usize,
}

impl Waiting {
    /// Counts a token of so many bytes; false: it has no room.
    pub(super) fn add_token(&self, bytes: usize, room: Room) -> bool {
        let counts = &*self.counts;
        // The thread only takes off meanwhile.
        let has_room = counts.tokens.load(Ordering::Relaxed) < room.tokens_max
            && counts.bytes.load(Ordering::Relaxed) + bytes <= room.bytes_max;
        if has_room {
            counts.tokens.fetch_add(1, Ordering::Relaxed);
            counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        has_room
    }

    /// Counts a login that is to be forgotten; false: it has no room.
    pub(super) fn add_end(&self, room: Room) -> bool {
        let has_room = self.counts.ends.load(Ordering::Relaxed) < room.ends_max;
        self.counts.ends.fetch_add(has_room.into(), Ordering::Relaxed);
        has_room
    }

    /// A token of so many bytes waits no more.
    pub(super) fn take_token(&self, bytes: usize) {
        self.counts.tokens.fetch_sub(1, Ordering::Relaxed);
        self.counts.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A login is forgotten.
    pub(super) fn take_end(&self) {
        self.counts.ends.fetch_sub(1, Ordering::Relaxed);
    }
}
