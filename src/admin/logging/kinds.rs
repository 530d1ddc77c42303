//! Bounds the number of lines of each kind: a kind is a place in the code that writes lines.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

use crate::limits::{LOG_LINES_OF_A_KIND_BURST, LOG_LINES_OF_A_KIND_PER_SECOND};

/// The remaining tokens of every kind. There are as many kinds as places in the code.
#[derive(Debug)]
pub struct Kinds {
    began: Instant,
    left: Mutex<HashMap<Identifier, Kind>>,
}

impl Kinds {
    /// All of them may write.
    pub fn new() -> Self {
        Kinds { began: Instant::now(), left: Mutex::default() }
    }

    /// Whether a line of this kind may be written now; if so, returns how many were omitted since the last one.
    /// Lines of the levels debug and trace are always written, because an operator has asked for them.
    pub fn admit(&self, metadata: &Metadata<'_>) -> Option<u64> {
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        // A thread that panicked here has left no kind half changed.
        let mut kinds = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(metadata.callsite()).or_default().admit(now_ms)
    }
}

/// A bucket of tokens, in thousandths of a line.
#[derive(Debug)]
struct Kind {
    left: u64,
    at_ms: u64,
    unsaid: u64,
}

impl Default for Kind {
    fn default() -> Self {
        Kind { left: LOG_LINES_OF_A_KIND_BURST * 1000, at_ms: 0, unsaid: 0 }
    }
}

impl Kind {
    fn admit(&mut self, now_ms: u64) -> Option<u64> {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        self.at_ms = now_ms;
        let more = passed_ms.saturating_mul(LOG_LINES_OF_A_KIND_PER_SECOND);
        self.left = self.left.saturating_add(more).min(LOG_LINES_OF_A_KIND_BURST * 1000);
        if self.left < 1000 {
            self.unsaid += 1;
            return None;
        }
        self.left -= 1000;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_its_burst_then_so_many_lines_a_second_and_says_what_it_left_out() {
        let mut kind = Kind::default();
        for _ in 0..LOG_LINES_OF_A_KIND_BURST {
            assert_eq!(kind.admit(5), Some(0));
        }
        assert_eq!(kind.admit(5), None);
        assert_eq!(kind.admit(6), None);
        assert_eq!(kind.admit(5 + 1000 / LOG_LINES_OF_A_KIND_PER_SECOND), Some(2));
        let admitted = |kind: &mut Kind, from: u64| {
            (from..from + 1000).filter(|ms| kind.admit(*ms).is_some()).count() as u64
        };
        let in_a_second = admitted(&mut kind, 1000);
        assert!(in_a_second.abs_diff(LOG_LINES_OF_A_KIND_PER_SECOND) <= 10, "{in_a_second}");
        let after_long = admitted(&mut kind, 10_000_000);
        let more = after_long.abs_diff(LOG_LINES_OF_A_KIND_BURST);
        assert!(more <= LOG_LINES_OF_A_KIND_PER_SECOND, "{after_long}");
    }
}
