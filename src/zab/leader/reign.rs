//! The question to a quorum whether this server still leads.
//!
//! A leader that was suspended, or that hears nobody, does not know that its followers may have followed another
//! leader for long. Most of its answers do no harm then: ZooKeeper's answers may be old as well. But "I know nothing
//! of this session" from such a leader would end a session that a later leader has begun. So the leader pings, and its
//! knowledge at the time of the question was current if a quorum answers:
//!
//! ```text
//! asked ── ping ──────── answers of a quorum
//!   └ none of these servers had left this leader, so no later leader had their promises
//! ```
//! A learner answers each ping once and in order, from UPTODATE on, so that counting the answers is enough.

use std::collections::BTreeSet;

use super::Leader;
use super::handler::{Handler, HandlerStage};
use crate::id::ServerId;
use crate::zab::Inbound;

/// The pings of one learner since UPTODATE.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pings {
    /// The number of pings sent.
    sent: u64,
    /// The number of answers. A learner that breaks the protocol may answer pings that were never sent.
    answered: u64,
    /// The number of answers after which this learner has answered the present question. `None`: the learner was not
    /// asked yet.
    ///
    /// Invariant: at most `sent`.
    awaited: Option<u64>,
}

impl Pings {
    pub(super) fn on_sent(&mut self) {
        self.sent += 1;
        // A learner that has joined since the question follows this leader now, so it has promised nothing to a later
        // one either. Without it, the question would wait for ever for a learner that has left.
        let awaited = *self.awaited.get_or_insert(self.sent);
        assert!(awaited <= self.sent, "an answer is awaited to a ping that was sent");
    }

    pub(super) fn on_answered(&mut self) {
        self.answered += 1;
    }

    fn has_answered(self) -> bool {
        self.awaited.is_some_and(|awaited| self.answered >= awaited)
    }
}

/// The questions whether this server still leads, by their numbers.
///
/// Invariant: `confirmed ≤ begun ≤ wanted ≤ begun + 1`, and `begun ≤ confirmed + 1`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reign {
    /// The last question of the replica.
    wanted: u64,
    /// The last question that the learners were asked.
    begun: u64,
    /// The last question that a quorum has answered.
    confirmed: u64,
}

impl Leader {
    /// Asks a quorum whether this server leads. Returns the question's number; `Inbound::StillLeads` with this number
    /// or a later one is the answer.
    pub fn confirm_lead(&mut self) -> u64 {
        // A question under way may have been answered in part before now, and proves nothing for this one.
        self.reign.wanted = self.reign.begun + 1;
        if self.reign.begun == self.reign.confirmed {
            self.ask_quorum();
        }
        assert!(self.reign.confirmed <= self.reign.wanted, "only what was asked is answered");
        self.reign.wanted
    }

    fn ask_quorum(&mut self) {
        assert_eq!(self.reign.begun, self.reign.confirmed, "one question at a time is under way");
        assert!(self.reign.wanted > self.reign.begun, "a question is wanted");
        self.reign.begun = self.reign.wanted;
        self.learners.ping(self.proposed);
        for handler in self.learners.handlers.values_mut() {
            let pings = &mut handler.pings;
            pings.awaited = (handler.stage == HandlerStage::Broadcast).then_some(pings.sent);
        }
        self.check_reign();
    }

    /// Answers the present question if a quorum has.
    pub(super) fn check_reign(&mut self) {
        if self.reign.begun == self.reign.confirmed || !self.is_active() {
            return;
        }
        let has_answered = |handler: &&Handler| handler.counts() && handler.pings.has_answered();
        let here: BTreeSet<ServerId> = self
            .learners
            .handlers
            .values()
            .filter(has_answered)
            .map(|handler| handler.server)
            .chain([self.lasting.options.me])
            .collect();
        let oracle = self.oracle();
        if !self.quorums.iter().all(|config| config.has_quorum_with(&here, oracle)) {
            return;
        }
        assert!(self.reign.begun > self.reign.confirmed, "the question was not answered before");
        assert!(self.reign.begun <= self.reign.wanted, "what is asked was wanted");
        self.reign.confirmed = self.reign.begun;
        self.out.inbound.push(Inbound::StillLeads { number: self.reign.confirmed });
        if self.reign.wanted > self.reign.begun {
            self.ask_quorum();
        }
    }
}
