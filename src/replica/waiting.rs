//! The steps of one connection's queue, and how many of them are writes.
//!
//! The rule that is easy to break: a step does not become a write, or cease to be one, where it
//! stands. Who replaces it uses [`Queue::replace`].

use std::collections::VecDeque;
use std::collections::vec_deque::{IntoIter, Iter, IterMut};
use std::ops::Index;

use super::connection::Waiting;

/// What waits, in the order of the session's replies.
#[derive(Debug, Default)]
pub(super) struct Queue {
    steps: VecDeque<Waiting>,
    /// How many of them may still be carried out: whoever answers a read asks, and the queue may be
    /// tens of thousands of steps long.
    writes: usize,
}

impl Queue {
    pub fn push_back(&mut self, step: Waiting) {
        self.writes += usize::from(step.is_write());
        self.steps.push_back(step);
    }

    pub fn pop_front(&mut self) -> Option<Waiting> {
        let step = self.steps.pop_front()?;
        self.writes -= usize::from(step.is_write());
        Some(step)
    }

    pub fn remove(&mut self, place: usize) {
        if let Some(step) = self.steps.remove(place) {
            self.writes -= usize::from(step.is_write());
        }
    }

    pub fn replace(&mut self, place: usize, step: Waiting) {
        self.writes += usize::from(step.is_write());
        let before = std::mem::replace(&mut self.steps[place], step);
        self.writes -= usize::from(before.is_write());
    }

    pub fn retain(&mut self, keeps: impl FnMut(&Waiting) -> bool) {
        self.steps.retain(keeps);
        self.writes = self.steps.iter().filter(|step| step.is_write()).count();
    }

    /// The steps, to note something about them.
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

    /// Whether something in it may still be carried out, or not.
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
