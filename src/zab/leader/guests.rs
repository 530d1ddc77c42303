//! Voters that a leader cannot count, and voters that have changed their minds about it.

use tracing::warn;

use super::Leader;
use super::handler::Handler;
use super::phase::LeaderPhase;
use crate::id::{Epoch, ServerId};
use crate::link::LinkId;
use crate::time::MonoUs;
use crate::zab::kept_out;

/// The number of ticks for which a leader waits for the epochs of a quorum while one of its voters looks for a leader,
/// if the configuration does not say.
const DOUBT_TICKS: u64 = 2;

impl Leader {
    /// Takes a learner that has accepted a later epoch than this leader's as a guest: it follows without being counted.
    pub(super) fn maybe_take_as_guest(&mut self, link: LinkId) {
        // An epoch that is not decided yet may become later than the learner's.
        let Some(ours) = self.epoch else { return };
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        let accepted = handler.info_zxid.epoch();
        if accepted <= ours || handler.is_old {
            return;
        }
        let reason = kept_out::Reason::LaterEpoch(accepted);
        if self.learners.kept_out.is_due(self.now, handler.server, reason) {
            warn!("{} {}", handler.name(), kept_out::leader_of_later_epoch(accepted, ours));
        }
        assert!(accepted > ours, "{accepted} is a promise to a later leader than that of {ours}");
        assert!(!handler.is_guest, "a learner becomes a guest once");
        handler.is_guest = true;
        assert!(!handler.counts(), "its word counts for nothing here");
    }

    /// Sends a learner away that claims an epoch that elections cannot explain.
    pub(super) fn refuse_far_epoch(&mut self, link: LinkId, server: ServerId, accepted: Epoch) {
        let ours = self.epoch.unwrap_or(self.lasting.epochs.accepted);
        let text = kept_out::leader_of_far_epoch(server, accepted, ours);
        self.learners.keep_out(self.now, link, server, kept_out::Reason::FarEpoch, &text);
    }

    /// Steps down before it serves if it lacks a quorum that it could have in a later epoch.
    ///
    /// 1. Server 3 accepts epoch 7 from a leader that gets no further.
    /// 2. Servers 1 and 2 agree on epoch 6, and 2 fails before it has the history.
    /// 3. Server 3 connects. It cannot be counted in epoch 6, but could be in epoch 8.
    ///
    /// A leader that has its quorum keeps the lead, whichever server connects: one server with an epoch of another
    /// ensemble must not take this ensemble's leader from it, nor be elected for that epoch.
    // ZooKeeper: Leader waits for initLimit in that case, and then looks for a quorum again.
    pub(super) fn maybe_give_way(&mut self) {
        if matches!(self.phase, LeaderPhase::Discovery { .. } | LeaderPhase::Broadcast) {
            return;
        }
        let handlers = || self.learners.handlers.values();
        // No learner has accepted a later epoch.
        let Some(guest) = handlers().find(|handler| handler.is_guest) else { return };
        assert!(self.epoch.is_some(), "a guest has accepted a later epoch than this");
        let guest = guest.server;
        let has_quorum = |counts: &dyn Fn(&Handler) -> bool| {
            let present = handlers().filter(|handler| counts(handler));
            self.has_quorums(
                &present.map(|handler| handler.server).chain([self.lasting.options.me]).collect(),
            )
        };
        let vouches = |handler: &Handler| self.vouches(handler).is_some();
        if !has_quorum(&vouches) && has_quorum(&|handler| vouches(handler) || handler.is_guest) {
            self.fail(format!(
                "server {guest} is needed for a quorum and has accepted a later epoch than \
                 {}: an even later one must begin",
                self.lasting.epochs.accepted
            ));
        }
    }

    /// A voter has sent a notification that it looks for a leader. It may have changed its mind
    /// (`Leader.reportLookingSid`), or cannot follow the server that it has helped to elect:
    ///
    /// 1. Server 3 knows of a proposed configuration of 1 and 2, and follows only a server for which both of them vote.
    /// 2. With the vote of 3, server 1 is elected and waits. Then 2, which has more, looks for a leader, is elected
    ///    with the vote of 3, and waits.
    /// 3. Server 1 has waited for initLimit and looks for a leader while 2 waits; and so on.
    // ZooKeeper: waits for initLimit in such a case, unless leader.maxTimeToWaitForEpoch is set.
    pub fn handle_looking(&mut self, now: MonoUs, server: ServerId) {
        self.now = now;
        // A quorum has come, so this leader is wanted.
        let LeaderPhase::Discovery { .. } = &self.phase else { return };
        let limit_ms = self
            .lasting
            .options
            .wait_for_epoch_ms
            .unwrap_or(DOUBT_TICKS * self.lasting.options.tick_ms);
        let is_voter = self.quorums.iter().any(|config| config.is_voter(server));
        if is_voter && now.since_us(self.since) / 1000 > limit_ms {
            self.fail(format!("server {server} has changed its mind and looks for a leader"));
        }
    }
}
