//! The duties of a leader as time passes: it pings, sends learners away that hang or lag, and steps down when too few
//! are left (the loop of `Leader.lead`, `LearnerHandler.ping`).

use std::collections::BTreeSet;

use tracing::warn;

use super::Leader;
use crate::id::ServerId;
use crate::time::MonoUs;

impl Leader {
    /// Time has passed.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        self.now = now;
        if self.failure.is_some() || now < self.next_half_tick {
            return;
        }
        let half_tick_ms = self.lasting.options.tick_ms.div_ceil(2);
        let late_ms = now.since_us(self.next_half_tick) / 1000;
        if late_ms >= half_tick_ms {
            // This process was suspended and could hear nobody: what the learners have sent meanwhile comes next.
            warn!("{late_ms} ms late: learners get as much longer");
            self.learners.excuse(late_ms);
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
        self.learners.drop_silent(now);
        if self.is_active() {
            if !self.is_half_tick {
                self.tick += 1;
                self.check_quorum();
                self.say_missing();
            }
            self.learners.ping(self.proposed);
        }
        self.maybe_commit();
    }

    /// When [`Leader::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        self.failure.is_none().then_some(self.next_half_tick)
    }

    /// Logs which voters have been missing for long.
    fn say_missing(&mut self) {
        let handlers = self.learners.handlers.values();
        let following = handlers.filter(|handler| handler.stage.has_history());
        let here: BTreeSet<ServerId> =
            following.map(|handler| handler.server).chain([self.lasting.options.me]).collect();
        let voters: BTreeSet<ServerId> = self.lasting.config.voters().collect();
        let missing = voters.difference(&here).copied().collect();
        for (server, seconds) in self.missing.look(self.now, &missing) {
            warn!(
                server = server.0,
                seconds,
                "server {server} has been missing for {seconds} s: {} of {} voters are here{}",
                voters.len() - missing.len(),
                voters.len(),
                self.lasting
                    .config
                    .majority()
                    .map_or(String::new(), |needed| format!(", {needed} are needed"))
            );
        }
    }

    /// Steps down when too few learners are left for the active configuration, or for the next one.
    fn check_quorum(&mut self) {
        let handlers = self.learners.handlers.values();
        let synced: BTreeSet<ServerId> = handlers
            .filter(|handler| handler.counts() && handler.is_in_sync(self.tick))
            .map(|handler| handler.server)
            .chain([self.lasting.options.me])
            .collect();
        let oracle = self.oracle();
        if !self.quorums.iter().all(|config| config.has_quorum_with(&synced, oracle)) {
            let count = synced.len();
            let synced: Vec<String> = synced.iter().map(ServerId::to_string).collect();
            let needed = self.lasting.config.majority();
            self.fail(format!(
                "too few followers are left: {count} of {} voters in sync{} (in sync: server {})",
                self.lasting.config.voters().count(),
                needed.map_or(String::new(), |needed| format!(", {needed} needed")),
                synced.join(", ")
            ));
        }
    }
}
