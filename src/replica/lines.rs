//! Log lines that clients can provoke: at most so many a second, however many clients try.

use crate::time::MonoUs;

/// Lines in a second. A guess: enough to see what happens, too few to fill a disk.
const LINES_PER_SECOND_MAX: u32 = 20;
const SECOND_US: u64 = 1_000_000;

/// Counts the log lines of the current second.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The current second.
    second: u64,
    /// Lines written in that second.
    ///
    /// Invariant: at most [`LINES_PER_SECOND_MAX`].
    said: u32,
    /// Lines suppressed since the last that was written.
    unsaid: u64,
}

impl Lines {
    /// How many lines were suppressed since the last one, if one more may be written. `None`: it may not.
    pub fn allow(&mut self, now: MonoUs) -> Option<u64> {
        let second = now.0 / SECOND_US;
        if second != self.second {
            (self.second, self.said) = (second, 0);
        }
        assert!(self.said <= LINES_PER_SECOND_MAX, "a second has no more lines than it may");
        if self.said == LINES_PER_SECOND_MAX {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_lines_becomes_a_number() {
        let mut lines = Lines::default();
        let said = (0..100).filter(|_| lines.allow(MonoUs(5)).is_some()).count();
        assert_eq!(said, 20);
        assert_eq!(lines.allow(MonoUs(SECOND_US)), Some(80));
        assert_eq!(lines.allow(MonoUs(SECOND_US)), Some(0));
    }
}
