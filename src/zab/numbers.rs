//! Numbers that are given only once while a process lives.

use std::cell::Cell;
use std::rc::Rc;

/// A source of numbers that name requests until they are answered. It gives no number twice. Clones share one counter,
/// so that the answer to a former leader or learner is never taken for an answer to the present one.
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
