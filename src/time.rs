//! Time as a value. This module reads no clock: the edge does, and passes the time on.

/// Milliseconds since the Unix epoch, for `ctime`, `mtime` and transaction headers.
///
/// May jump backwards; never used to measure how long something took.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct WallMs(pub i64);

/// Microseconds of a clock that never goes back, from an arbitrary start.
///
/// It measures session expiry, latency and every timeout.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct MonoUs(pub u64);

impl MonoUs {
    /// Whole milliseconds since the clock's start.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1000
    }

    /// Microseconds from `earlier` to `self`, 0 if `earlier` is later.
    pub const fn since_us(self, earlier: MonoUs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time and `ms` milliseconds.
    pub const fn plus_ms(self, ms: u64) -> MonoUs {
        MonoUs(self.0.saturating_add(ms.saturating_mul(1000)))
    }
}

/// Both clocks, read once by the edge for a whole batch of events.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Now {
    /// For timestamps that clients see.
    pub wall: WallMs,
    /// For durations.
    pub mono: MonoUs,
}
