//! Learners that are silent or slow, and what the leader does about them as time passes.

use super::*;

impl Learners {
    /// This process was suspended for so long and could hear nobody: what the learners have sent meanwhile comes next.
    pub fn excuse(&mut self, ms: u64) {
        for handler in self.handlers.values_mut() {
            handler.heard_at = handler.heard_at.plus_ms(ms);
            handler.ack_clock.shift(ms);
        }
    }

    /// Sends learners away that have sent nothing, or taken nothing, for too long.
    pub fn drop_silent(&mut self, now: MonoUs) {
        let tick_ms = self.options.tick_ms;
        let init_ms = self.options.init_limit.saturating_mul(tick_ms);
        let sync_ms = self.options.sync_limit.saturating_mul(tick_ms);
        let reason = |handler: &Handler| {
            let silent_ms = now.since_us(handler.heard_at) / 1000;
            match handler.stage {
                // The learner waits for this server.
                HandlerStage::Epoch
                | HandlerStage::EpochQuorum { .. }
                | HandlerStage::LogRead { .. }
                | HandlerStage::Snapshot
                | HandlerStage::Activation => None,
                HandlerStage::Info
                | HandlerStage::AckEpoch
                | HandlerStage::SnapshotEnd
                | HandlerStage::NewLeaderAck => {
                    (silent_ms >= init_ms).then_some("it was silent for initLimit ticks")
                }
                HandlerStage::Broadcast if silent_ms >= sync_ms => {
                    Some("it was silent for syncLimit ticks")
                }
                HandlerStage::Broadcast => (handler.ack_clock.waiting_ms(now) >= sync_ms)
                    .then_some("it did not acknowledge a proposal for syncLimit ticks"),
            }
        };
        let silent: Vec<(LinkId, &str)> = self
            .handlers
            .values()
            .filter_map(|handler| reason(handler).map(|reason| (handler.link, reason)))
            .collect();
        for (link, reason) in silent {
            self.refuse(link, reason);
        }
        self.check_stall(now, tick_ms);
        self.check_tree_rates(now, init_ms);
        self.make_way_for_members(now, tick_ms);
    }

    /// Sends learners away that take the tree so slowly that the database would be held for hours.
    fn check_tree_rates(&mut self, now: MonoUs, window_ms: u64) {
        let mut slow = Vec::new();
        for handler in self.handlers.values_mut().filter(|it| it.stage == HandlerStage::SnapshotEnd)
        {
            let (since, before) = handler.tree_since.expect("it is set with the stage");
            assert!(before <= handler.outbox.passed_on(), "the network takes nothing back");
            let ms = now.since_us(since) / 1000;
            if ms < window_ms.max(1) {
                continue;
            }
            let taken = handler.outbox.passed_on().saturating_sub(before);
            let rate_min = match handler.is_member {
                true => LEARNER_TREE_RATE_MIN,
                false => STRANGER_TREE_RATE_MIN,
            };
            // A learner that has taken everything so far waits for others, or for the disk.
            if handler.outbox.unsent() > 0 && taken < rate_min.saturating_mul(ms) / 1000 {
                slow.push((handler.link, taken, ms));
            }
            handler.tree_since = Some((now, handler.outbox.passed_on()));
        }
        for (link, taken, ms) in slow {
            let reason = format!(
                "it took {taken} bytes of the tree in {ms} ms, and the database is held for it"
            );
            self.refuse(link, &reason);
        }
    }

    /// Sends strangers away that get the tree while a member waits for it.
    fn make_way_for_members(&mut self, now: MonoUs, patience_ms: u64) {
        let is_late = |handler: &Handler| {
            handler.is_member && now.since_us(handler.heard_at) / 1000 >= patience_ms
        };
        if !self.at_stage(HandlerStage::Snapshot).any(is_late) {
            return;
        }
        let getting = || self.at_stage(HandlerStage::SnapshotEnd);
        if getting().any(|handler| handler.is_member) {
            return;
        }
        let strangers: Vec<LinkId> = getting().map(|handler| handler.link).collect();
        for stranger in strangers {
            self.refuse(stranger, "a member of the ensemble waits for the tree");
        }
        assert!(!self.sends_snapshot(), "no learner gets the old tree any more");
    }

    /// Sends the learner away for which all others wait, if it takes nothing for `limit_ms`.
    fn check_stall(&mut self, now: MonoUs, limit_ms: u64) {
        let slowest =
            self.at_stage(HandlerStage::SnapshotEnd).max_by_key(|handler| handler.outbox.unsent());
        let Some(slowest) = slowest.filter(|h| h.outbox.unsent() >= self.spread_bytes_max()) else {
            self.stalled = None;
            return;
        };
        let (link, unsent) = (slowest.link, slowest.outbox.unsent());
        match self.stalled {
            Some((since, of, at)) if of == link && at <= unsent => {
                if now.since_us(since) / 1000 >= limit_ms {
                    self.refuse(link, "others wait for it, and it does not take the tree");
                }
            }
            _ => self.stalled = Some((now, link, unsent)),
        }
    }

    /// Pings all learners.
    pub fn ping(&mut self, proposed: Zxid) {
        self.broadcast(|out| put_bare(out, packet::PING, proposed));
        self.inform(|out| put_bare(out, packet::PING, proposed));
        for handler in self.handlers.values_mut().filter(|it| it.stage == HandlerStage::Broadcast) {
            handler.pings.on_sent();
        }
    }
}
