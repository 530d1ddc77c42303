//! The trace of a run, in order: always as one number, and on request as lines.
//!
//! Two runs of one seed are the same if their numbers are equal: every event goes into the number, with its time and
//! its bytes.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// Takes the lines of a run; the times are in µs.
pub type Sink = Box<dyn FnMut(u64, &str)>;

/// The trace of one run.
#[derive(Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    sink: Option<Sink>,
}

impl Trace {
    /// A trace with lines for `sink`, if there is one.
    pub fn new(sink: Option<Sink>) -> Trace {
        Trace { hash: 0, events: 0, sink }
    }

    /// Notes an event: numbers that tell it from others, and its line.
    pub fn event(&mut self, now: u64, words: &[u64], line: impl FnOnce() -> String) {
        self.events += 1;
        let mut hasher = FixedState::with_seed(self.hash).build_hasher();
        hasher.write_u64(now);
        for word in words {
            hasher.write_u64(*word);
        }
        self.hash = hasher.finish();
        self.say(now, line);
    }

    /// Notes bytes that one machine sent to another.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut hasher = FixedState::with_seed(self.hash).build_hasher();
        hasher.write(bytes);
        self.hash = hasher.finish();
    }

    /// Adds a line without an event.
    pub fn say(&mut self, now: u64, line: impl FnOnce() -> String) {
        if let Some(sink) = &mut self.sink {
            sink(now, &line());
        }
    }

    /// Whether there is a sink for the lines.
    pub fn is_read(&self) -> bool {
        self.sink.is_some()
    }

    /// All events so far in one number.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The number of events so far.
    pub fn events(&self) -> u64 {
        self.events
    }
}
