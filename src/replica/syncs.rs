//! A learner's syncs on their way to the leader, and which of its clients' syncs each answer is for.
//!
//! While few are under way each sync is passed on as it comes. Beyond that the next ones wait for an
//! answer, and then one sync is passed on for all of them. It is asked after all of them arrived, and
//! after everything that their sessions asked for before, so that its answer is true for each. So a
//! leader that is slow to commit has a bounded number of them to remember, whatever clients do.
// ZooKeeper: FollowerRequestProcessor passes every one on, and a leader remembers them all.

use std::collections::VecDeque;

use super::connection::Slot;
use crate::id::SessionId;
use crate::limits::LEARNER_SYNCS_PASSED_MAX;
use crate::zab::SessionScope;

/// Syncs that clients asked for and that are not done.
///
/// Invariant: the numbers rise in both queues, and every number passed on is one that was asked for.
#[derive(Default)]
pub(super) struct Syncs {
    next: u64,
    /// All below this were passed on, or what was passed on behind them answers them.
    passed_up_to: u64,
    /// Who asked, and each one's number.
    asked: VecDeque<(Slot, u64)>,
    /// Those that the leader has to answer: each answers everything asked up to its number.
    passed_on: VecDeque<u64>,
    /// The newest one, if it was not passed on yet.
    held: Option<HeldSync>,
}

/// What is passed on for all that wait.
#[derive(Debug)]
pub(super) struct HeldSync {
    number: u64,
    pub session: SessionId,
    pub scope: SessionScope,
    pub cxid: i32,
    pub body: Box<[u8]>,
}

impl Syncs {
    /// A client asks: the number of its sync, and whether that is to be passed on now.
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
            self.passed_on.push_back(number);
            self.passed_up_to = self.next;
        } else {
            self.held = Some(HeldSync { number, session, scope, cxid, body: body.into() });
        }
        (number, passes)
    }

    /// The leader has answered the oldest that was passed on. Everything up to this number is done.
    pub fn on_answer(&mut self) -> Option<u64> {
        self.passed_on.pop_front()
    }

    /// Takes the oldest one that was asked for, if its number is not above this.
    pub fn take_done(&mut self, up_to: u64) -> Option<(Slot, u64)> {
        self.asked.pop_front_if(|(_, number)| *number <= up_to)
    }

    /// What is to be passed on for all that wait, if there is room for one.
    pub fn take_held(&mut self) -> Option<HeldSync> {
        if self.passed_on.len() >= LEARNER_SYNCS_PASSED_MAX {
            return None;
        }
        self.pass_held()
    }

    /// What is to be passed on before a write that comes behind the syncs below `number`, if one of them waits: a read
    /// between the two would see the write.
    pub fn take_held_before(&mut self, number: u64) -> Option<HeldSync> {
        if number <= self.passed_up_to {
            return None;
        }
        self.pass_held()
    }

    fn pass_held(&mut self) -> Option<HeldSync> {
        let held = self.held.take()?;
        self.passed_on.push_back(held.number);
        self.passed_up_to = held.number + 1;
        Some(held)
    }

    /// There is no leader to answer them. Numbers go on, for connections remember them.
    pub fn clear(&mut self) {
        *self = Syncs { next: self.next, passed_up_to: self.next, ..Syncs::default() };
    }
}
