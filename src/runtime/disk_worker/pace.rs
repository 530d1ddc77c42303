//! The pace of bulk work beside the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Slows bulk work down to a quarter of the time while the log is busy.
pub(super) struct Pace {
    log_writes: Arc<AtomicU64>,
    log_waits: Arc<AtomicBool>,
    seen: u64,
    busy_until: Option<Instant>,
}

impl Pace {
    const LONGEST_PAUSE: Duration = Duration::from_millis(20);

    /// How long the log counts as busy after a write. A fast disk writes several chunks between two
    /// log writes of a busy server, so slowing down only after a chunk that overlapped with a log
    /// write would have little effect.
    const BUSY_FOR: Duration = Duration::from_millis(100);

    pub fn new(log_writes: Arc<AtomicU64>, log_waits: Arc<AtomicBool>) -> Pace {
        Pace { log_writes, log_waits, seen: 0, busy_until: None }
    }

    /// After a chunk of a segment, for which the log itself may be waiting.
    pub fn after_zeroes(&mut self, took: Duration) {
        if !self.log_waits.load(Ordering::Relaxed) {
            self.after_chunk(took);
        }
    }

    /// After another chunk of bulk work.
    pub fn after_chunk(&mut self, took: Duration) {
        let writes = self.log_writes.load(Ordering::Relaxed);
        let now = Instant::now();
        if writes != self.seen {
            self.seen = writes;
            self.busy_until = Some(now + Self::BUSY_FOR);
        }
        if self.busy_until.is_some_and(|until| now < until) {
            std::thread::sleep((took * 3).min(Self::LONGEST_PAUSE));
        }
    }
}
