//! What a span of the replica's thread consists of: its parts, the work done in it, and the stall that
//! a long span is.

use std::fmt::{self, Write as _};

/// A part of a span. Each microsecond of a span belongs to one part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TurnPart {
    /// The thread should have run and did not; [`Cause`](super::Cause) says why.
    Held,
    /// Between two looks for a log write, which are a microsecond apart.
    Look,
    /// Before the turn: requests, bytes of other servers, and everything else that the executor did.
    Requests,
    /// Finished work on files: segments, snapshots, parts of the log for learners.
    Files,
    /// Expiring sessions, containers, elections.
    Timers,
    /// Applying transactions, making groups for the log, a slice of a snapshot.
    Core,
    /// Sending answers and events to clients, and messages to other servers.
    Sends,
    /// Starting operations of the disk.
    Disk,
    /// Reading the state from the disk anew.
    Reload,
}

impl TurnPart {
    /// All parts, in the order of their numbers.
    pub(super) const ALL: [TurnPart; 9] = [
        TurnPart::Held,
        TurnPart::Look,
        TurnPart::Requests,
        TurnPart::Files,
        TurnPart::Timers,
        TurnPart::Core,
        TurnPart::Sends,
        TurnPart::Disk,
        TurnPart::Reload,
    ];

    /// The part in words, for the log.
    pub fn describe(self) -> &'static str {
        match self {
            TurnPart::Held => "beginning late",
            TurnPart::Look => "not running between two looks for a log write",
            TurnPart::Requests => "handling requests",
            TurnPart::Files => "taking in work on files",
            TurnPart::Timers => "expiring sessions and other timers",
            TurnPart::Core => "applying transactions, filling the log, a slice of a snapshot",
            TurnPart::Sends => "sending answers",
            TurnPart::Disk => "handing work to the disk",
            TurnPart::Reload => "reading the state from the disk anew",
        }
    }
}

/// The work of a span, for the line about a stall.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpanWork {
    /// The number of batches of requests, each of one connection.
    pub batches: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// The number of connections opened.
    pub opened: u64,
    /// The number of connections closed, by clients or because they broke.
    pub closed: u64,
    /// Bytes for clients.
    pub bytes_out: u64,
    /// Bytes for the transaction log.
    pub log_bytes: u64,
    /// Bytes of a snapshot.
    pub snapshot_bytes: u64,
    /// The number of transactions applied.
    pub applied: u64,
    /// The number of sessions expired.
    pub expired: u64,
}

impl fmt::Display for SpanWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (number, what) in [
            (self.batches, "batches of requests"),
            (self.bytes_in, "bytes of requests"),
            (self.opened, "connections opened"),
            (self.closed, "connections closed"),
            (self.expired, "sessions expired"),
            (self.applied, "transactions applied"),
            (self.snapshot_bytes, "bytes of a snapshot"),
            (self.log_bytes, "bytes to the log"),
            (self.bytes_out, "bytes to clients"),
        ] {
            if number > 0 {
                write!(f, "{between}{number} {what}")?;
                between = ", ";
            }
        }
        if between.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

/// A span that was long enough to be a stall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stall {
    /// Its length in µs.
    pub us: u64,
    /// Its time in µs, by [`TurnPart`].
    pub(super) parts: [u64; TurnPart::ALL.len()],
    /// Its work.
    pub work: SpanWork,
}

impl Stall {
    /// The part that took longest.
    pub fn mostly(&self) -> TurnPart {
        let largest = TurnPart::ALL.into_iter().max_by_key(|part| self.parts[*part as usize]);
        largest.expect("there are parts")
    }

    /// Whether a client waited for the work of the span, or for a log write. Messages between servers that no
    /// client waits for are not urgent.
    pub(super) fn is_awaited(&self) -> bool {
        let SpanWork {
            batches,
            bytes_in: _,
            opened,
            closed: _,
            bytes_out,
            log_bytes,
            snapshot_bytes: _,
            applied,
            expired: _,
        } = self.work;
        let asked = batches + opened + bytes_out + log_bytes + applied;
        asked > 0 || self.parts[TurnPart::Look as usize] > 0
    }

    /// How long the thread was kept from running before the work began, in µs. That time is already counted.
    pub(super) fn began_late_us(&self) -> u64 {
        self.parts[TurnPart::Held as usize] + self.parts[TurnPart::Look as usize]
    }

    /// All parts of at least two per cent, the longest first.
    pub fn parts(&self) -> String {
        let mut parts = TurnPart::ALL;
        parts.sort_by_key(|part| std::cmp::Reverse(self.parts[*part as usize]));
        let mut text = String::new();
        for part in parts {
            let us = self.parts[part as usize];
            if us >= self.us / 50 && us > 0 {
                let between = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{between}{} {} ms", part.describe(), Ms(us));
            }
        }
        text
    }
}

/// Microseconds, shown as milliseconds with one decimal.
pub struct Ms(pub u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 100)
    }
}
