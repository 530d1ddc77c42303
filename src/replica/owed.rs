//! What one client has not received yet: bytes that are on their way to it, and replies that are still to be made.

use std::collections::VecDeque;

use crate::limits;

/// The bytes that one connection still owes its client.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The replies to the reads that wait in the connection's queue.
    ///
    /// Invariant: the sum of what those reads expect; only `units` may saturate.
    pub expected: Expected,
    /// Counted bytes that were handed to the edge, since the connection began.
    handed_out: u64,
    /// Those of `handed_out` that the client has taken.
    ///
    /// Invariant: at most `handed_out`.
    taken: u64,
    /// Bytes of events that are not handed out yet.
    events_new: usize,
    /// Bytes of events among the unread ones.
    ///
    /// Invariant: the sum over `pieces`.
    events_unread: usize,
    /// The unread pieces that contain events, oldest first: where each ends in `handed_out`, and its bytes of events.
    pieces: VecDeque<(u64, usize)>,
}

/// An estimate of replies that are still to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// Their bytes, if their nodes stay as large as they are.
    pub now: usize,
    /// Their bytes, if their nodes become as large as they may before the replies are made.
    pub at_most: usize,
    /// Units of work that it takes to make them.
    pub units: u32,
}

impl Expected {
    /// A reply more is expected.
    pub fn add(&mut self, more: Expected) {
        self.now += more.now;
        self.at_most += more.at_most;
        self.units = self.units.saturating_add(more.units);
    }

    /// A reply that was expected is made.
    pub fn remove(&mut self, less: Expected) {
        assert!(less.now <= self.now, "a reply that is removed was added");
        assert!(
            less.at_most <= self.at_most,
            "a reply is removed with the bound it was added with"
        );
        self.now -= less.now;
        self.at_most -= less.at_most;
        self.units = self.units.saturating_sub(less.units);
    }
}

impl Owed {
    /// The replica hands out a piece of `bytes`. True: the piece is counted, and unread until the edge says that the
    /// client has taken it. Pieces that are not counted are bounded by the edge itself.
    pub fn hand_out(&mut self, bytes: usize) -> bool {
        let events = std::mem::take(&mut self.events_new);
        let is_counted = bytes > limits::OUTPUT_REPORTED_BYTES;
        if is_counted {
            self.handed_out += bytes as u64;
            if events > 0 {
                self.events_unread += events;
                self.pieces.push_back((self.handed_out, events));
            }
        }
        is_counted
    }

    /// The client has taken `bytes` of the counted ones, in whole pieces.
    pub fn take_off(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        assert!(self.taken <= self.handed_out, "a client takes only what was handed out");
        while let Some((_, events)) = self.pieces.pop_front_if(|(end, _)| *end <= self.taken) {
            assert!(events <= self.events_unread, "the events of an unread piece are unread");
            self.events_unread -= events;
        }
        if self.pieces.is_empty() {
            assert!(self.events_unread == 0, "unread events belong to an unread piece");
            self.pieces = VecDeque::new();
        }
    }

    /// An event of `bytes` was written, and is not handed out yet.
    pub fn add_event(&mut self, bytes: usize) {
        self.events_new += bytes;
    }

    /// Bytes of events that are unread or not handed out.
    pub fn events(&self) -> usize {
        self.events_new + self.events_unread
    }

    /// Counted bytes that were handed out and that, as far as the edge has said, the client has not taken.
    pub fn unread(&self) -> usize {
        usize::try_from(self.handed_out - self.taken).expect("unread bytes lie in memory")
    }
}
