//! Which stalls get a line in the log: ever fewer of them while stalls keep coming. Every stall is counted elsewhere,
//! so that nothing is lost but lines.

use super::span::Stall;
use crate::limits::STALL_UNAWAITED_MS_MIN;
use crate::time::MonoUs;

/// What a line says about the stalls without a line before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Say {
    /// The number of stalls since the last line, this one not counted.
    pub unsaid: u64,
    /// The length of the longest of them, in µs.
    pub unsaid_us_max: u64,
}

/// The pause after a line, in µs, first and longest. It doubles while stalls keep coming. Both are guesses: an
/// operator who looks at a bad moment sees a line a second, and a bad day fills no disk.
const PAUSE_US_MIN: u64 = 1_000_000;
/// See [`PAUSE_US_MIN`].
const PAUSE_US_MAX: u64 = 64_000_000;

/// Decides which stalls get a line.
#[derive(Debug)]
pub struct Lines {
    /// The time from which the next line may be written.
    silent_until: MonoUs,
    /// The length of the last pause, in µs. The next line sets it anew.
    ///
    /// Invariant: from [`PAUSE_US_MIN`] to [`PAUSE_US_MAX`].
    pause_us: u64,
    /// The length of the longest stall with a line since stalls keep coming, in µs.
    said_us_max: u64,
    /// The stalls since the last line.
    unsaid: Say,
}

impl Lines {
    /// No stall has happened yet.
    pub fn new() -> Lines {
        Lines {
            silent_until: MonoUs(0),
            pause_us: PAUSE_US_MIN,
            said_us_max: 0,
            unsaid: Say::default(),
        }
    }

    /// Whether `stall` gets a line, and what that line says about earlier stalls. A stall of twice the
    /// length of those with a recent line always gets one; a short stall without a waiting client never does.
    pub fn say(&mut self, stall: &Stall, now: MonoUs) -> Option<Say> {
        let is_nobodys = !stall.is_awaited() && stall.us < STALL_UNAWAITED_MS_MIN * 1000;
        let is_one_of_many = now < self.silent_until && stall.us < 2 * self.said_us_max;
        if is_nobodys || is_one_of_many {
            self.unsaid.unsaid += 1;
            self.unsaid.unsaid_us_max = self.unsaid.unsaid_us_max.max(stall.us);
            return None;
        }
        if now.0 >= self.silent_until.0.saturating_add(self.pause_us) {
            (self.pause_us, self.said_us_max) = (PAUSE_US_MIN, stall.us);
        } else {
            self.pause_us = (self.pause_us * 2).min(PAUSE_US_MAX);
            self.said_us_max = self.said_us_max.max(stall.us);
        }
        self.silent_until = MonoUs(now.0 + self.pause_us);
        Some(std::mem::take(&mut self.unsaid))
    }
}
