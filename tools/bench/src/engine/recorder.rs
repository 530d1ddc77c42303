//! What one thread saw: latencies by operation, errors by name, and the slice that is being filled.
//!
//! The measured operations are those whose answer came after the measurement began and which were due before it
//! ended. So a request that a stalled server answers late counts with its whole latency, although the answer comes
//! after the end. The rates count only answers within the measured time.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use super::worker::Report;

/// Longer latencies count as this long.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
const DIGITS: u8 = 3;
/// Significant digits of the histograms of slices, of which there are many.
const SLICE_DIGITS: u8 = 2;

/// The time of the measurement, in ns of the run's clock.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Its beginning.
    pub from: u64,
    /// Its end.
    pub end: u64,
    /// The length of a slice.
    pub slice: u64,
}

/// One operation's record.
#[derive(Debug)]
pub struct OpRecord {
    /// Latencies in ns of the successes.
    pub latencies: Histogram<u64>,
    /// Successes answered within the measured time.
    pub in_window: u64,
    /// Failures.
    pub errors: u64,
}

impl Default for OpRecord {
    fn default() -> OpRecord {
        OpRecord { latencies: histogram(DIGITS), in_window: 0, errors: 0 }
    }
}

/// A slice as one thread saw it.
#[derive(Debug)]
pub struct RawSlice {
    /// The slice's number from the beginning of the measurement; negative while warming up.
    pub number: i64,
    /// Latencies in ns of the successes.
    pub latencies: Histogram<u64>,
    /// Failures.
    pub errors: u64,
}

/// Everything that one thread saw.
#[derive(Debug)]
pub struct Recorded {
    /// The records of the operations, by the workload's numbers.
    pub operations: Vec<OpRecord>,
    /// Requests that were due and could not even be sent.
    pub unsent: u64,
    /// Errors by name.
    pub errors: BTreeMap<&'static str, u64>,
    /// Sessions that servers let expire.
    pub sessions_lost: u64,
    /// Processor time of this thread within the measured time, in ns.
    pub busy_ns: u64,
}

/// Records what one thread sees.
pub struct Recorder {
    all: Recorded,
    /// For each operation, whether the slices count it; they count those that the workload is about.
    primary: Vec<bool>,
    window: Option<Window>,
    slice: RawSlice,
    slice_end: u64,
    reports: Sender<Report>,
}

impl Recorder {
    /// A recorder that records nothing until it has a window.
    pub fn new(names: &[&'static str], primary: &[&str], reports: Sender<Report>) -> Recorder {
        let all = Recorded {
            operations: names.iter().map(|_| OpRecord::default()).collect(),
            unsent: 0,
            errors: BTreeMap::new(),
            sessions_lost: 0,
            busy_ns: 0,
        };
        Recorder {
            all,
            primary: names.iter().map(|name| primary.contains(name)).collect(),
            window: None,
            slice: RawSlice { number: 0, latencies: histogram(SLICE_DIGITS), errors: 0 },
            slice_end: u64::MAX,
            reports,
        }
    }

    /// Begins to record: reports slices from `now` on, and measures from `window.from` on.
    pub fn begin(&mut self, now: u64, window: Window) {
        self.window = Some(window);
        let before = window.from.saturating_sub(now).div_ceil(window.slice);
        self.slice.number = -i64::try_from(before).expect("a warm-up has few slices");
        self.slice_end = window.from - before * window.slice + window.slice;
        if before == 0 {
            self.all.busy_ns = thread_cpu_ns();
        }
        self.roll(now);
    }

    /// The time at which the caller must call [`Recorder::roll`], in ns.
    pub fn slice_end(&self) -> u64 {
        self.slice_end
    }

    /// Records that an operation succeeded now.
    #[inline]
    pub fn succeeded(&mut self, operation: usize, due: u64, now: u64) {
        if now >= self.slice_end {
            self.roll(now);
        }
        let Some(window) = self.window else { return };
        let latency = now.saturating_sub(due);
        if self.primary[operation] {
            self.slice.latencies.saturating_record(latency);
        }
        if now >= window.from && due < window.end {
            let record = &mut self.all.operations[operation];
            record.latencies.saturating_record(latency);
            record.in_window += u64::from(now < window.end);
        }
    }

    /// Records that an operation failed now, or was never answered.
    pub fn failed(&mut self, operation: usize, name: &'static str, due: u64, now: u64) {
        if now >= self.slice_end {
            self.roll(now);
        }
        let Some(window) = self.window else { return };
        self.slice.errors += u64::from(self.primary[operation]);
        if now >= window.from && due < window.end {
            self.all.operations[operation].errors += 1;
            *self.all.errors.entry(name).or_default() += 1;
        }
    }

    /// Records that a request was due, for which neither a connection nor a place among those in flight came free.
    pub fn never_sent(&mut self, due: u64) {
        if self.window.is_some_and(|window| due < window.end) {
            self.all.unsent += 1;
            *self.all.errors.entry("never sent").or_default() += 1;
        }
    }

    /// Records an error that is no failure of an operation.
    pub fn happened(&mut self, name: &'static str, now: u64) {
        if self.window.is_some_and(|window| (window.from..window.end).contains(&now)) {
            *self.all.errors.entry(name).or_default() += 1;
        }
    }

    /// Records that a server let a session expire.
    pub fn lost_session(&mut self, now: u64) {
        self.all.sessions_lost +=
            u64::from(self.window.is_some_and(|window| (window.from..window.end).contains(&now)));
    }

    /// Everything that was recorded; no slice follows.
    pub fn end(self) -> Recorded {
        self.all
    }

    /// Reports the slices that are over.
    pub fn roll(&mut self, now: u64) {
        let Some(window) = self.window else { return };
        while now >= self.slice_end {
            if self.slice_end == window.from {
                self.all.busy_ns = thread_cpu_ns();
            }
            if self.slice_end == window.end {
                self.all.busy_ns = thread_cpu_ns() - self.all.busy_ns;
            }
            let next = RawSlice {
                number: self.slice.number + 1,
                latencies: histogram(SLICE_DIGITS),
                errors: 0,
            };
            let over = std::mem::replace(&mut self.slice, next);
            // The receiver is gone only if the run was given up.
            let _ = self.reports.send(Report::Slice(over));
            self.slice_end += window.slice;
            if self.slice_end > window.end {
                // Later answers belong to no slice.
                self.slice_end = u64::MAX;
            }
        }
    }
}

/// An empty histogram of latencies.
pub fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, digits).expect("these bounds are allowed")
}

pub(super) fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("processor time is not negative");
    let nanos = u64::try_from(time.tv_nsec).expect("processor time is not negative");
    seconds * 1_000_000_000 + nanos
}
