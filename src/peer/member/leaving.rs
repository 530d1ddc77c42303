//! The steps from a role back to the search for a leader (`QuorumPeer.run`, the `finally` of each state).
//!
//! A role never ends itself: it notes why it has failed, and [`Member::settle`] sees that and ends it here. What
//! outlives the role, `Lasting`, goes to the next one. A server that fails again and again waits longer before each
//! attempt.

use super::roles::HOLD_MS_MAX;
use super::{Member, MemberRole};
use crate::zab::{Lasting, Standing, kept_out};

/// The number of `initLimit`s for which a server gives no vote to another one that it could not follow: as long as
/// two elected servers may wait for it in turn, and one for the other. Then it votes for that server again, because
/// its data may have been replaced.
const AVOIDED_INIT_LIMITS: u64 = 4;

/// How often that time doubles for a server that could not be followed again. If several servers have another
/// history, all of them must be avoided at the same time, and each is met only after a search and an `initLimit`.
const AVOIDED_DOUBLINGS_MAX: u32 = 3;

/// A leader that was followed for this time, in ms, does not count as a failure when it is lost.
const GOOD_MS: u64 = 1000;

impl Member {
    /// Ends the role of a learner whose leader is lost or refused, and looks for a leader, or follows the one that a
    /// reconfiguration has named.
    ///
    /// # Panics
    /// If this server is no learner, or the learner has not failed.
    pub(super) fn leave_leader(&mut self) {
        let MemberRole::Learning(learner) = &self.role else {
            unreachable!("only a learner leaves its leader")
        };
        let left = learner.failure().expect("it was left for a reason").clone();
        let leader = learner.target().leader;
        assert!(leader != self.me(), "a server does not learn from itself");
        let phase = learner.phase();
        // A server that is kept out tries again each second: its log says so only now and then.
        let is_due = left.kept_out.is_none_or(|why| self.kept_out.is_due(self.now, leader, why));
        if is_due {
            tracing::warn!(leader = leader.0, ?phase, reason = left.reason, "leaving the leader");
        }
        self.election.set_quiet(left.kept_out.is_some());
        let is_far = left.kept_out == Some(kept_out::Reason::FarEpoch);
        let is_other_history = left.kept_out == Some(kept_out::Reason::OtherHistory);
        self.is_of_other_history |= is_other_history;
        // Neither goes away by itself, so voting for this leader again would elect a server that this one cannot
        // follow.
        if is_far || is_other_history {
            let Lasting { options, .. } = self.role.lasting();
            let init_ms = options.tick_ms.saturating_mul(options.init_limit);
            let times = self.avoided.entry(leader).or_insert(0);
            let ms = init_ms.saturating_mul(AVOIDED_INIT_LIMITS << *times);
            *times = (*times + 1).min(AVOIDED_DOUBLINGS_MAX);
            assert!(ms >= init_ms, "a server is avoided for as long as it may wait");
            self.election.avoid(leader, self.now.plus_ms(ms));
        }
        self.end_observers();
        self.on_failure();
        self.become_looking();
        match left.next {
            Some(next) => self.follow_designated(next),
            None => self.look(),
        }
    }

    /// Ends the lead, and looks for a leader, or follows the one that a reconfiguration has named.
    ///
    /// # Panics
    /// If this server does not lead, or the leader has no reason to step down.
    pub(super) fn step_down(&mut self) {
        let MemberRole::Leading(leader) = &self.role else {
            unreachable!("only a leader steps down")
        };
        let reason = leader.failure().expect("it steps down for a reason").to_owned();
        tracing::warn!(reason, "this server leads no more");
        let designated = leader.designated();
        assert!(designated != Some(self.me()), "the lead is given to another server");
        self.end_lead();
        self.on_failure();
        self.become_looking();
        match designated {
            Some(next) => self.follow_designated(next),
            None => self.look(),
        }
    }

    /// Ends the lead, and keeps its last effects and its counters. The caller decides what follows.
    pub(super) fn end_lead(&mut self) {
        let MemberRole::Leading(leader) = &mut self.role else {
            unreachable!("only a leader has led")
        };
        assert!(leader.failure().is_some(), "the lead is given up for a reason");
        // The last effects must not be lost with the role.
        leader.flush();
        let facts = leader.facts();
        super::facts::add_reign(&mut leader.lasting_mut().counts, &facts);
        self.role.look();
    }

    /// Ends the present role at once, for a reason that lies in this server. The caller decides what follows.
    pub(super) fn end_role(&mut self, reason: &str) {
        match &mut self.role {
            MemberRole::Leading(leader) => {
                leader.resign(reason);
                self.end_lead();
            }
            MemberRole::Learning(learner) => {
                learner.abandon(reason.to_owned());
                self.role.look();
                self.end_observers();
            }
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => self.role.look(),
        }
    }

    /// Sends the observers of a follower away: they find another one to learn from.
    pub(super) fn end_observers(&mut self) {
        if let Some(observers) = self.role.lasting_mut().observers.take() {
            observers.close(self.role.lasting_mut().ready.last());
            self.listen();
        }
    }

    /// Takes the standing away. The replica parks clients, or serves only reads, until there is a new one.
    pub(super) fn become_looking(&mut self) {
        if self.standing != Standing::Looking {
            self.standing = Standing::Looking;
            self.unavailable_since = Some(self.now);
            self.role.lasting_mut().ready.standing(Standing::Looking);
        }
    }

    /// Notes that a role has ended, and sets the time before which the next one does not begin: at once after the
    /// first failure in a row, then later each time, up to [`HOLD_MS_MAX`].
    pub(super) fn on_failure(&mut self) {
        let was_good =
            self.joined_at.is_some_and(|since| self.now.since_us(since) >= GOOD_MS * 1000);
        self.failures = if was_good { 0 } else { self.failures.saturating_add(1) };
        let mut ms = match self.failures {
            0 | 1 => 0,
            failures => (50u64 << failures.min(10)).min(HOLD_MS_MAX),
        };
        if self.role.lasting().is_observer {
            // ZooKeeper: Observer.waitForObserverElectionDelay, waitForReconnectDelay: a random part of each, so that
            // not all observers connect at once.
            let (reconnect, election) = self.role.lasting().options.observer_delays_ms;
            ms = ms.max(self.random.below(reconnect) + self.random.below(election));
        }
        // What the role wanted of the disk has not happened. This server stays away, so that others elect one whose
        // disk works.
        if self.is_reverting {
            self.role.lasting_mut().epochs = self.epochs_durable;
            ms = HOLD_MS_MAX;
        }
        self.hold_until = self.now.plus_ms(ms);
    }
}
