//! What is on its way to one client, and what is to come.

use std::collections::VecDeque;

use crate::limits;

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The replies to the reads that wait in the queue.
    pub expected: Expected,
    /// Counted bytes handed out, from the beginning, and those of them that the client has taken.
    handed_out: u64,
    taken: u64,
    /// Bytes of events that are not handed out yet.
    events_new: usize,
    /// Bytes of events in what is unread.
    events_unread: usize,
    /// Which of the unread pieces have how many of them, oldest first: each by its end in `handed_out`.
    pieces: VecDeque<(u64, usize)>,
}

/// Bytes of replies that are still to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// As far as can be told now.
    pub now: usize,
    /// If their nodes become as large as they may meanwhile.
    pub at_most: usize,
    /// Units of work that it takes to make them.
    pub units: u32,
}

impl Expected {
    pub fn add(&mut self, more: Expected) {
        self.now += more.now;
        self.at_most += more.at_most;
        self.units = self.units.saturating_add(more.units);
    }

    pub fn remove(&mut self, less: Expected) {
        self.now -= less.now;
        self.at_most -= less.at_most;
        self.units = self.units.saturating_sub(less.units);
    }
}

impl Owed {
    /// A piece of so many bytes is handed out. Whether it is counted: then it is unread until the edge
    /// says that it is taken. The edge itself bounds the others.
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

    /// The client has taken so many of the counted bytes, in whole pieces.
    pub fn take_off(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        assert!(self.taken <= self.handed_out, "what was taken was handed out");
        while let Some((_, events)) = self.pieces.pop_front_if(|(end, _)| *end <= self.taken) {
            self.events_unread -= events;
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }

    /// An event is written behind what is not handed out yet.
    pub fn add_event(&mut self, bytes: usize) {
        self.events_new += bytes;
    }

    /// Bytes of events, unread or not handed out.
    pub fn events(&self) -> usize {
        self.events_new + self.events_unread
    }

    /// Bytes handed out of which the edge has not said that the client took them.
    pub fn unread(&self) -> usize {
        usize::try_from(self.handed_out - self.taken).expect("it is in memory")
    }
}
