//! A learner's syncs on their way to the leader, and which of its clients' syncs each answer is for.
//!
//! While few syncs are under way, each is passed on as it comes. Beyond that the next ones wait for an
//! answer, and then one sync is passed on for all of them. It leaves after all of them have arrived, and
//! after all earlier requests of their sessions, so that its answer is true for each. So a
//! leader that is slow to commit has to remember a bounded number of syncs, whatever clients do.
// ZooKeeper: FollowerRequestProcessor passes every sync on, and a leader remembers them all.

use std::collections::VecDeque;

use super::connection::Slot;
use crate::id::SessionId;
use crate::limits::LEARNER_SYNCS_PASSED_MAX;
use crate::zab::SessionScope;

/// Syncs that clients asked for and that are not done.
///
/// Invariant: the numbers rise in both queues, and every number that was passed on is one that was asked for.
#[derive(Default)]
pub(super) struct Syncs {
    /// The number of the next sync.
    next: u64,
    /// Every sync below this number was passed on, or is answered by a later one that was.
    ///
    /// Invariant: at most `next`.
    passed_up_to: u64,
    /// The connections that asked, each with the number of its sync.
    asked: VecDeque<(Slot, u64)>,
    /// The syncs that the leader has to answer. Each answer is for all syncs up to that number.
    passed_on: VecDeque<u64>,
    /// The newest sync, if it was not passed on yet.
    held: Option<HeldSync>,
}

/// The sync that is passed on for all that wait.
#[derive(Debug)]
pub(super) struct HeldSync {
    number: u64,
    pub session: SessionId,
    pub scope: SessionScope,
    pub cxid: i32,
    pub body: Box<[u8]>,
}

impl Syncs {
    /// A client asks for a sync. Returns its number, and whether to pass it on now.
    pub fn ask(
        &mut self,
        slot: Slot,
        session: SessionId,
        scope: SessionScope,
        cxid: i32,
        body: &[u8],
    ) -> (u64, bool) {
        let number = self.next;
        self.next += 1;
        self.asked.push_back((slot, number));
        let passes = self.passed_on.len() < LEARNER_SYNCS_PASSED_MAX;
        if passes {
            assert!(self.held.is_none(), "a sync is held only while too many are passed on");
            self.passed_on.push_back(number);
            self.passed_up_to = self.next;
        } else {
            self.held = Some(HeldSync { number, session, scope, cxid, body: body.into() });
        }
        (number, passes)
    }

    /// The leader has answered the oldest sync that was passed on. All syncs up to the returned number are done.
    /// `None`: none was passed on.
    pub fn on_answer(&mut self) -> Option<u64> {
        self.passed_on.pop_front()
    }

    /// Takes the oldest sync that was asked for, if its number is not above `up_to`.
    pub fn take_done(&mut self, up_to: u64) -> Option<(Slot, u64)> {
        self.asked.pop_front_if(|(_, number)| *number <= up_to)
    }

    /// Takes the sync to pass on for all that wait, if few enough are passed on.
    pub fn take_held(&mut self) -> Option<HeldSync> {
        if self.passed_on.len() >= LEARNER_SYNCS_PASSED_MAX {
            return None;
        }
        self.pass_held()
    }

    /// Takes the sync to pass on before a write that comes behind the syncs below `number`, if one of them still waits:
    /// otherwise a read between the sync and the write would see the write.
    pub fn take_held_before(&mut self, number: u64) -> Option<HeldSync> {
        if number <= self.passed_up_to {
            return None;
        }
        self.pass_held()
    }

    fn pass_held(&mut self) -> Option<HeldSync> {
        let held = self.held.take()?;
        assert!(held.number >= self.passed_up_to, "a sync is passed on once");
        assert!(held.number < self.next, "a sync that is passed on was asked for");
        self.passed_on.push_back(held.number);
        self.passed_up_to = held.number + 1;
        Some(held)
    }

    /// There is no leader to answer the syncs. Numbers keep rising, because connections remember them.
    pub fn clear(&mut self) {
        *self = Syncs { next: self.next, passed_up_to: self.next, ..Syncs::default() };
    }
}
