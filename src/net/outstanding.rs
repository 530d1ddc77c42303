//! The unanswered requests of one connection, and their bytes.
//!
//! The replica counts them as answered in the order in which they came, even those that it answers
//! before others, so the bytes are counted in that order too: an average over all of them would count
//! long later requests as short. One entry stands for up to
//! [`limits::CONNECTION_REQUESTS_BATCH_BYTES`] of consecutive requests, or for one read that brought
//! more, so there are few entries. A connection with less outstanding allocates nothing.

use std::collections::VecDeque;

use crate::limits;

/// The batches of one connection.
#[derive(Default)]
pub(super) struct Outstanding {
    /// The batches before `newest`, in order.
    older: VecDeque<Batch>,
    /// The batch that grows. Empty if nothing is outstanding.
    newest: Batch,
}

/// Consecutive requests.
#[derive(Default)]
struct Batch {
    /// The number of unanswered ones.
    requests: u32,
    /// Bytes of all requests in the batch, answered or not.
    put: u64,
    /// Bytes of the unanswered ones. Each request of a batch counts as the average, and only the first
    /// of a batch can be longer than the bound of a batch. So this is less than the real number by at
    /// most `CONNECTION_REQUESTS_BATCH_BYTES`.
    bytes: u64,
}

impl Outstanding {
    /// Adds requests that arrived in one read.
    pub(super) fn put(&mut self, requests: u32, bytes: u64) {
        let newest = &mut self.newest;
        if newest.requests > 0 && newest.put + bytes > limits::CONNECTION_REQUESTS_BATCH_BYTES {
            self.older.push_back(std::mem::take(newest));
        }
        newest.requests += requests;
        newest.put += bytes;
        newest.bytes += bytes;
    }

    /// Removes answered requests from the front; returns their bytes.
    pub(super) fn take(&mut self, mut requests: u32) -> u64 {
        let mut taken = 0;
        while let Some(front) = self.older.front_mut() {
            if requests < front.requests {
                return taken + front.take(requests);
            }
            requests -= front.requests;
            taken += front.bytes;
            self.older.pop_front();
            if self.older.is_empty() {
                // An idle connection keeps nothing.
                self.older = VecDeque::new();
            }
        }
        if requests < self.newest.requests {
            return taken + self.newest.take(requests);
        }
        taken + std::mem::take(&mut self.newest).bytes
    }
}

impl Batch {
    /// Removes some, but not all, of its requests.
    fn take(&mut self, requests: u32) -> u64 {
        if requests == 0 {
            return 0;
        }
        // Rounded down, so that the rest is never less than its share.
        let share = self.bytes * u64::from(requests) / u64::from(self.requests);
        self.requests -= requests;
        self.bytes -= share;
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_off_in_the_order_in_which_they_came() {
        let mut outstanding = Outstanding::default();
        outstanding.put(100, 4000);
        outstanding.put(1, 1_000_000);
        outstanding.put(2, 50);
        assert_eq!(outstanding.take(50), 2000);
        assert_eq!(outstanding.take(50), 2000);
        assert_eq!(outstanding.take(2), 1_000_025);
        assert_eq!(outstanding.take(7), 25);
        assert_eq!(outstanding.take(7), 0);
        assert_eq!(outstanding.older.capacity(), 0);
    }

    #[test]
    fn the_estimate_is_short_by_less_than_a_batch_and_the_entries_are_few() {
        // Long requests between many short ones; the answers are always some requests behind.
        let mut outstanding = Outstanding::default();
        let mut waiting = VecDeque::new();
        let (mut counted, mut truth) = (0, 0);
        for number in 0..200_000_u64 {
            let bytes = if number % 97 == 0 { 60_000 } else { 40 };
            outstanding.put(1, bytes);
            waiting.push_back(bytes);
            counted += bytes;
            truth += bytes;
            let answered = if waiting.len() > 2000 { 7 } else { u32::from(number % 5 == 0) };
            counted -= outstanding.take(answered);
            truth -= waiting.drain(..waiting.len().min(answered as usize)).sum::<u64>();
            assert!(counted + limits::CONNECTION_REQUESTS_BATCH_BYTES > truth, "at {number}");
            assert!(counted < truth + limits::CONNECTION_REQUESTS_BATCH_BYTES, "at {number}");
            let batches = 2 * truth / limits::CONNECTION_REQUESTS_BATCH_BYTES + 3;
            assert!(outstanding.older.len() as u64 <= batches, "at {number}");
        }
    }
}
