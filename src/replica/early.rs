//! Whole frames of one connection that wait to be handled.

use std::ops::Deref;

/// The frames that wait. They are handled from the front, some at a time, and the rest stays where it is: it may be
/// some MiB, and there may be a hundred such steps, because the client reads its answers in small pieces.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// Whole frames, some bytes at the front of which are handled.
    bytes: Vec<u8>,
    /// How many bytes at the front are handled.
    ///
    /// Invariant: at most `bytes.len()`, and less unless both are 0.
    done: usize,
}

impl Early {
    /// Adds frames behind the others.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(self.done <= self.bytes.len(), "no more bytes are handled than came");
        if self.done > self.len() {
            // For each byte that moves here, at least one goes.
            self.bytes.drain(..self.done);
            self.done = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops all but the last `left` bytes, because the others are handled.
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
