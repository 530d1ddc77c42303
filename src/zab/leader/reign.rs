//! Whether this server still leads, asked of a quorum.
//!
//! A leader that stood still, or that hears nobody, does not know yet that others have followed
//! another for long. For most answers that does no harm: ZooKeeper's may be old as well. But "I know
//! nothing of this session" from such a leader would end a session that a later one began. So it
//! pings, and what it knew when it was asked was true when a quorum has answered:
//!
//! ```text
//! asked ── ping ──────── answers of a quorum
//!   └ none of these had left this leader, so that no later leader had anybody's promise
//! ```
//! A learner answers pings in their order, each once, from UPTODATE on: so they are only counted.

use std::collections::BTreeSet;

use super::Leader;
use super::handler::{Handler, HandlerStage};
use crate::id::ServerId;
use crate::zab::Inbound;

/// Pings that went to a learner behind UPTODATE, and came back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pings {
    sent: u64,
    answered: u64,
    /// The question under way is answered when so many came back. `None`: it was not asked yet.
    awaited: Option<u64>,
}

impl Pings {
    pub(super) fn on_sent(&mut self) {
        self.sent += 1;
        // It joined after the question: whoever follows this leader now has promised nothing to a
        // later one either. Without it the question would wait for ever for one that has left.
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

/// Questions whether this server still leads, by their numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reign {
    wanted: u64,
    begun: u64,
    confirmed: u64,
}

impl Leader {
    /// Asks a quorum whether this server leads. Returns the question's number, which then comes
    /// with `Inbound::StillLeads`, or a later one does.
    pub fn confirm_lead(&mut self) -> u64 {
        // One under way may have been answered in part before now.
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

    /// A ping came back.
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
