//! What a leader does by the clock: it pings, lets go of learners that hang or lag, and of the
//! lead when too few are left (the loop of `Leader.lead`, `LearnerHandler.ping`).

use std::collections::BTreeSet;

use tracing::warn;

use super::Leader;
use super::broadcast::put_ping;
use super::handler::{Handler, Stage};
use crate::id::ServerId;
use crate::peer::link::LinkId;
use crate::time::MonoUs;

impl Leader {
    /// Time has passed.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        self.now = now;
        if self.failure.is_some() || now < self.next_half_tick {
            return;
        }
        let half_tick_ms = self.options.tick_ms.div_ceil(2);
        let late_ms = now.since_us(self.next_half_tick) / 1000;
        if late_ms >= half_tick_ms {
            // This process stood still, and could hear nobody: what was sent meanwhile comes next.
            warn!("{late_ms} ms late: learners get as much longer");
            for handler in self.learners.handlers.values_mut() {
                handler.heard_at = handler.heard_at.plus_ms(late_ms);
                handler.ack_clock.shift(late_ms);
            }
        }
        self.next_half_tick = now.plus_ms(half_tick_ms);
        self.is_half_tick = !self.is_half_tick;
        if let Some((until, state)) = self.phase.limit()
            && now >= until
        {
            self.fail(format!("no quorum came in time: {state}"));
            return;
        }
        self.maybe_leave();
        self.drop_silent();
        self.learners.check_stall(now, self.options.tick_ms);
        if self.is_active() {
            if !self.is_half_tick {
                self.tick += 1;
                self.check_quorum();
            }
            self.ping();
        }
        self.maybe_commit();
    }

    /// When [`Leader::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        self.failure.is_none().then_some(self.next_half_tick)
    }

    /// Sends away who said nothing, or took nothing, for too long.
    fn drop_silent(&mut self) {
        let tick_ms = self.options.tick_ms;
        let init_ms = self.options.init_limit.saturating_mul(tick_ms);
        let sync_ms = self.options.sync_limit.saturating_mul(tick_ms);
        let now = self.now;
        let reason = |handler: &Handler| {
            let silent_ms = now.since_us(handler.heard_at) / 1000;
            match handler.stage {
                // It waits for us.
                Stage::Epoch
                | Stage::EpochQuorum { .. }
                | Stage::LogRead { .. }
                | Stage::Snapshot
                | Stage::Activation => None,
                Stage::Info | Stage::AckEpoch | Stage::SnapshotEnd | Stage::NewLeaderAck => {
                    (silent_ms >= init_ms).then_some("it was silent for initLimit ticks")
                }
                Stage::Broadcast if silent_ms >= sync_ms => {
                    Some("it was silent for syncLimit ticks")
                }
                Stage::Broadcast => (handler.ack_clock.waiting_ms(now) >= sync_ms)
                    .then_some("it did not acknowledge a proposal for syncLimit ticks"),
            }
        };
        let silent: Vec<(LinkId, &str)> = self
            .learners
            .handlers
            .values()
            .filter_map(|handler| reason(handler).map(|reason| (handler.link, reason)))
            .collect();
        for (link, reason) in silent {
            self.learners.refuse(link, reason);
        }
    }

    /// Steps down when too few learners are left, in the active configuration or in the one that is
    /// to follow it.
    fn check_quorum(&mut self) {
        let handlers = self.learners.handlers.values();
        let synced: BTreeSet<ServerId> = handlers
            .filter(|handler| !handler.is_observer && handler.is_in_sync(self.tick))
            .map(|handler| handler.server)
            .chain([self.options.me])
            .collect();
        let oracle = self.oracle();
        if !self.quorums.iter().all(|config| config.has_quorum_with(&synced, oracle)) {
            let synced: Vec<String> = synced.iter().map(ServerId::to_string).collect();
            self.fail(format!(
                "too few followers are left: only {} are in sync",
                synced.join(", ")
            ));
        }
    }

    fn ping(&mut self) {
        let proposed = self.proposed;
        self.learners.broadcast(|out| put_ping(out, proposed));
        self.learners.inform(|out| put_ping(out, proposed));
    }
}
