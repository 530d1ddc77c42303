//! Targets of an encoding: a plain buffer, or a buffer with a budget.
//!
//! The rule that is easy to break: data that a client can make grow is written into a [`Bounded`]. A
//! plain buffer is for data from one frame or one record, and for the server's own text.

/// A target of an encoding.
pub trait Sink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Appends the number of bytes or items that follow.
    fn put_length(&mut self, length: usize);

    /// Appends the number of bytes, and the bytes.
    #[inline]
    fn put_with_length(&mut self, bytes: &[u8]) {
        self.put_length(bytes.len());
        self.put(bytes);
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    /// Panics above 2 GiB: data written without a budget came out of a frame or a record.
    #[inline]
    fn put_length(&mut self, length: usize) {
        self.put(&length_of(length).to_be_bytes());
    }
}

/// More was written than there was room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more bytes than there is room for")]
pub struct Overrun;

/// Longest budget: the largest length that a frame or a value can have.
const BUDGET_BYTES_MAX: usize = 0x7fff_ffff;

/// A buffer that accepts a fixed number of bytes. The caller checks at the end whether everything fitted,
/// and in between where further work would be wasted.
#[derive(Debug)]
pub struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    /// The length of `out` that is not exceeded.
    end: usize,
    /// Something did not fit. The buffer accepts nothing more.
    is_over: bool,
}

impl<'a> Bounded<'a> {
    /// Accepts `budget` bytes after the present content of `out`, and never more than 2 GiB.
    pub fn new(out: &'a mut Vec<u8>, budget: usize) -> Bounded<'a> {
        let end = out.len().saturating_add(budget.min(BUDGET_BYTES_MAX));
        Bounded { out, end, is_over: false }
    }

    /// Truncates the buffer to its first `length` bytes. Data that did not fit is still missing.
    pub fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
    }

    /// Writes a number into the room left for it at `at` in the buffer.
    pub fn set_i32(&mut self, at: usize, number: i32) {
        if let Some(place) = self.out.get_mut(at..at + size_of::<i32>()) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    }

    /// Length of the buffer, including its earlier content.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Whether something is missing.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// # Errors
    /// Something is missing. The buffer has a part of what was written.
    pub fn finish(self) -> Result<(), Overrun> {
        if self.is_over { Err(Overrun) } else { Ok(()) }
    }
}

impl Sink for Bounded<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if self.is_over || bytes.len() > self.end - self.out.len() {
            self.is_over = true;
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    #[inline]
    fn put_length(&mut self, length: usize) {
        match i32::try_from(length) {
            Ok(length) => self.put(&length.to_be_bytes()),
            Err(_) => self.is_over = true,
        }
    }

    /// Like both calls, with one look at the room.
    #[inline]
    fn put_with_length(&mut self, bytes: &[u8]) {
        let whole = size_of::<i32>().saturating_add(bytes.len());
        match i32::try_from(bytes.len()) {
            Ok(length) if !self.is_over && whole <= self.end - self.out.len() => {
                self.out.reserve(whole);
                self.out.extend_from_slice(&length.to_be_bytes());
                self.out.extend_from_slice(bytes);
            }
            _ => self.is_over = true,
        }
    }
}

fn length_of(length: usize) -> i32 {
    i32::try_from(length).expect("what is written without a budget is far below 2 GiB")
}

/// Begins a frame: leaves room for its length. Give the result to [`end_frame`].
#[inline]
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    start
}

/// Ends the frame that began at `start`: writes its length, which does not count itself.
#[inline]
pub fn end_frame(out: &mut [u8], start: usize) {
    let bytes = length_of(out.len() - start - 4).to_be_bytes();
    out[start..start + 4].copy_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Jute;

    #[test]
    fn a_budget_is_kept_to_the_byte_and_what_does_not_fit_is_missed() {
        let mut out = vec![9];
        let mut bounded = Bounded::new(&mut out, 12);
        Some("abcd").encode(&mut bounded);
        7i32.encode(&mut bounded);
        assert!(!bounded.is_over());
        true.encode(&mut bounded);
        assert!(bounded.is_over());
        assert_eq!((bounded.len(), bounded.finish()), (13, Err(Overrun)));
    }

    #[test]
    fn once_something_is_missing_nothing_is_taken_that_would_fit() {
        let mut out = Vec::new();
        let mut bounded = Bounded::new(&mut out, 4);
        7i64.encode(&mut bounded);
        7i32.encode(&mut bounded);
        bounded.truncate(0);
        assert!(bounded.is_empty());
        assert_eq!(bounded.finish(), Err(Overrun));
    }

    #[test]
    fn a_length_that_no_value_can_have_is_no_panic() {
        let mut out = Vec::new();
        let mut bounded = Bounded::new(&mut out, usize::MAX);
        bounded.put_length(1 << 31);
        assert_eq!(bounded.finish(), Err(Overrun));
    }
}
