//! Numbers that are given once while a process lives.

use std::cell::Cell;
use std::rc::Rc;

/// Hands out numbers, none of them twice: to name what will be answered later. Its clones share one
/// counter, so that an answer meant for a former leader or learner is never taken for another's.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Rc<Cell<u64>>);

impl Numbers {
    /// The next number, from 1.
    pub fn next(&self) -> u64 {
        let next = self.0.get() + 1;
        assert!(next > 0, "0 names nothing");
        self.0.set(next);
        next
    }
}
