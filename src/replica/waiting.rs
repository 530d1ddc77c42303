//! The steps of one connection's queue, and how many of them are writes.
//!
//! The rule that is easy to break: a step must not become a write, or cease to be one, while it is in the queue. To
//! turn it into another step, use [`Queue::replace`].

use std::collections::VecDeque;
use std::collections::vec_deque::{IntoIter, Iter, IterMut};
use std::ops::Index;

use super::connection::Waiting;

/// The steps of one connection, in the order of the session's replies.
#[derive(Debug, Default)]
pub(super) struct Queue {
    steps: VecDeque<Waiting>,
    /// How many of the steps are writes. Counted because every answer to a read asks for it, and the queue may be
    /// tens of thousands of steps long.
    ///
    /// Invariant: the number of steps for which [`Waiting::is_write`] holds.
    writes: usize,
}

impl Queue {
    pub fn push_back(&mut self, step: Waiting) {
        self.writes += usize::from(step.is_write());
        self.steps.push_back(step);
    }

    pub fn pop_front(&mut self) -> Option<Waiting> {
        let step = self.steps.pop_front()?;
        self.forget(&step);
        Some(step)
    }

    pub fn remove(&mut self, place: usize) {
        assert!(place < self.steps.len(), "a step that is removed is in the queue");
        if let Some(step) = self.steps.remove(place) {
            self.forget(&step);
        }
    }

    pub fn replace(&mut self, place: usize, step: Waiting) {
        assert!(place < self.steps.len(), "a step that is replaced is in the queue");
        self.writes += usize::from(step.is_write());
        let before = std::mem::replace(&mut self.steps[place], step);
        self.forget(&before);
    }

    /// A step is not in the queue any more.
    fn forget(&mut self, step: &Waiting) {
        let writes = usize::from(step.is_write());
        assert!(writes <= self.writes, "a write that leaves the queue was counted");
        self.writes -= writes;
        assert!(self.writes <= self.steps.len(), "every write is a step");
    }

    pub fn retain(&mut self, keeps: impl FnMut(&Waiting) -> bool) {
        self.steps.retain(keeps);
        self.writes = self.steps.iter().filter(|step| step.is_write()).count();
    }

    /// The steps, to change what they say about themselves.
    pub fn iter_mut(&mut self) -> IterMut<'_, Waiting> {
        self.steps.iter_mut()
    }

    pub fn front(&self) -> Option<&Waiting> {
        self.steps.front()
    }

    pub fn iter(&self) -> Iter<'_, Waiting> {
        self.steps.iter()
    }

    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the queue holds a write: something whose outcome is not known yet.
    pub fn has_writes(&self) -> bool {
        self.writes > 0
    }
}

impl Index<usize> for Queue {
    type Output = Waiting;

    fn index(&self, place: usize) -> &Waiting {
        &self.steps[place]
    }
}

impl IntoIterator for Queue {
    type Item = Waiting;
    type IntoIter = IntoIter<Waiting>;

    fn into_iter(self) -> IntoIter<Waiting> {
        self.steps.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Zxid;
    use crate::proto::OpCode;
    use crate::replica::connection::{Answer, Forwarded};
    use crate::time::MonoUs;

    fn answer() -> Waiting {
        let answer =
            Answer { xid: 1, op: None, err: 0, zxid: None, unknown: false, large: 0, ends: false };
        Waiting::Answer { answer, arrived: MonoUs(0), after: Zxid::ZERO }
    }

    fn forwarded(sync: Option<u64>) -> Waiting {
        Waiting::Forwarded(Box::new(Forwarded::of_test(OpCode::Sync, sync)))
    }

    #[test]
    fn writes_are_counted_however_they_come_and_go() {
        let mut queue = Queue::default();
        for step in [answer(), Waiting::Write, forwarded(Some(1)), forwarded(None), Waiting::Write]
        {
            queue.push_back(step);
        }
        assert_eq!(queue.writes, 3);
        queue.replace(1, answer());
        assert_eq!(queue.writes, 2);
        queue.remove(3);
        assert_eq!((queue.writes, queue.len()), (1, 4));
        queue.retain(|step| matches!(step, Waiting::Answer { .. }));
        assert!(!queue.has_writes());
        queue.push_back(forwarded(None));
        while queue.pop_front().is_some() {}
        assert_eq!(queue.writes, 0);
    }
}
