//! Whole frames of one connection that wait to be looked at.

use std::ops::Deref;

/// They are looked at from the front, some at a time, and what is left stays where it is: it may be
/// some MiB, and its client may read in a hundred pieces what is to be read before.
#[derive(Debug, Default)]
pub(super) struct Early {
    bytes: Vec<u8>,
    /// So many at the front are done with.
    done: usize,
}

impl Early {
    /// More came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done > self.len() {
            // Each byte that is moved here stands for one that goes.
            self.bytes.drain(..self.done);
            self.done = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// All but the last `left` bytes are done with.
    pub fn keep_last(&mut self, left: usize) {
        assert!(left <= self.len(), "{left} bytes are to be left of {}", self.len());
        self.done = self.bytes.len() - left;
        if left == 0 {
            *self = Early::default();
        }
    }
}

impl Deref for Early {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.done..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_with_goes_and_takes_no_memory_for_long() {
        let mut early = Early::default();
        let mut expected = Vec::new();
        for round in 0..1000_u32 {
            early.push(&round.to_be_bytes());
            expected.extend(round.to_be_bytes());
            let left = expected.len() - (round as usize % 9).min(expected.len());
            expected.drain(..expected.len() - left);
            early.keep_last(left);
            assert_eq!(early[..], expected[..]);
            assert!(early.bytes.len() <= 2 * early.len() + 12, "round {round}");
        }
        early.keep_last(0);
        assert_eq!(early.bytes.capacity(), 0);
    }
}
