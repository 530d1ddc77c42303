//! The due times of the requests of an open loop: at an even rate, whatever becomes of earlier requests.

/// Due times at an even rate.
#[derive(Debug, Clone)]
pub struct Schedule {
    from: u64,
    ns_between: f64,
    count: u64,
}

impl Schedule {
    /// A schedule of `per_second` requests; none is due before [`Schedule::begin`].
    pub fn new(per_second: f64) -> Schedule {
        Schedule { from: u64::MAX, ns_between: 1e9 / per_second, count: 0 }
    }

    /// Begins the schedule; the first request is due now.
    pub fn begin(&mut self, now: u64) {
        self.from = now;
    }

    /// Ends the schedule; no request is due any more.
    pub fn end(&mut self) {
        self.from = u64::MAX;
    }

    /// The due time of the next request, in ns.
    pub fn next_time(&self) -> u64 {
        // The time is computed from the count, because the rounding error of a sum would grow.
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let after = self.count as f64 * self.ns_between;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let after = after as u64;
        self.from.saturating_add(after)
    }

    /// The next due time that has come, and its number.
    pub fn take(&mut self, now: u64) -> Option<(u64, u64)> {
        let due = self.next_time();
        if due > now {
            return None;
        }
        self.count += 1;
        Some((due, self.count - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_pause_everything_missed_is_due_at_its_own_time() {
        let mut schedule = Schedule::new(1000.0);
        assert_eq!(schedule.take(u64::MAX - 1), None);
        schedule.begin(5_000_000);
        let due: Vec<u64> =
            std::iter::from_fn(|| schedule.take(8_500_000)).map(|(due, _)| due).collect();
        assert_eq!(due, [5_000_000, 6_000_000, 7_000_000, 8_000_000]);
        assert_eq!(schedule.next_time(), 9_000_000);
    }
}
