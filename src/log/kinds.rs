//! Bounds the number of lines of each kind: a kind is a place in the code that writes lines.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

use super::Limiter;
use crate::limits::{LOG_LINES_OF_A_KIND_BURST, LOG_LINES_OF_A_KIND_PER_SECOND};
use crate::time::MonoUs;

/// A limiter for each kind. There are as many kinds as places in the code.
#[derive(Debug)]
pub struct Kinds {
    began: Instant,
    limiters: Mutex<HashMap<Identifier, Limiter>>,
}

const OF_A_KIND: Limiter =
    Limiter::per_second(LOG_LINES_OF_A_KIND_BURST, LOG_LINES_OF_A_KIND_PER_SECOND);

impl Kinds {
    /// All of them may write.
    pub fn new() -> Self {
        Kinds { began: Instant::now(), limiters: Mutex::default() }
    }

    /// Whether a line of this kind may be written now; if so, returns how many were omitted since the last one.
    /// Lines of the levels debug and trace are always written, because an operator has asked for them.
    pub fn admit(&self, metadata: &Metadata<'_>) -> Option<u64> {
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        // A thread that panicked here has left no limiter half changed.
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        limiters.entry(metadata.callsite()).or_insert(OF_A_KIND).allow(MonoUs(now))
    }
}
