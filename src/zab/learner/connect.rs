//! Reaching the leader (`Learner.connectToLeader`), and the first word to it.

use super::*;
use crate::quorum::PeerOptions;

/// Attempts to connect before the leader is given up.
// ZooKeeper: Learner.LeaderConnector.
const TRIES_MAX: u32 = 5;

/// The stage of a learner that was just made.
pub(super) fn first(now: MonoUs, options: &PeerOptions) -> Stage {
    let ticks = if options.connect_limit > 0 { options.connect_limit } else { options.init_limit };
    let give_up = now.plus_ms(options.tick_ms.saturating_mul(ticks));
    Stage::Connection { tries: 0, retry_at: None, give_up }
}

impl Learner {
    pub(super) fn connect(&mut self, now: MonoUs, lasting: &mut Lasting) {
        let Stage::Connection { tries, give_up, .. } = self.stage else { return };
        let link = lasting.ids.next();
        self.link = Some(link);
        self.stage = Stage::Connection { tries: tries + 1, retry_at: None, give_up };
        lasting.ready.send(LinkOp::Connect {
            link,
            port: self.target.port,
            server: self.target.master,
            to: self.target.to.clone(),
            timeout_ms: give_up.since_us(now).div_ceil(1000).max(1),
        });
    }

    pub(super) fn on_connection_timeout(&mut self, now: MonoUs, lasting: &mut Lasting) {
        let Stage::Connection { retry_at, .. } = self.stage else { return };
        if retry_at.is_some() {
            self.connect(now, lasting);
        } else {
            self.leave("it could not be reached in time".to_owned(), lasting);
        }
    }

    pub(super) fn on_closed(&mut self, now: MonoUs, reason: &str, lasting: &mut Lasting) {
        // Nothing of this link comes any more, and nothing may be said to it.
        self.link = None;
        let Stage::Connection { tries, give_up, .. } = self.stage else {
            self.leave(format!("the connection ended: {reason}"), lasting);
            return;
        };
        let retry_at = now.plus_ms(lasting.options.leader_connect_delay_ms);
        if tries >= TRIES_MAX || retry_at >= give_up {
            self.leave(format!("it could not be reached, {tries} times: {reason}"), lasting);
            return;
        }
        tracing::debug!(master = self.target.master.0, tries, reason, "connecting failed");
        self.stage = Stage::Connection { tries, retry_at: Some(retry_at), give_up };
    }

    /// Says who this is: FOLLOWERINFO or OBSERVERINFO (`Learner.registerWithLeader`).
    pub(super) fn on_connected(&mut self, now: MonoUs, lasting: &mut Lasting) {
        if !matches!(self.stage, Stage::Connection { .. }) {
            return;
        }
        self.heard = now;
        self.stage = Stage::LeaderInfo;
        let info = Saying::Info {
            kind: self.target.kind,
            accepted: lasting.epochs.accepted,
            me: lasting.options.me,
            version: lasting.config.version,
        };
        self.say(&info, lasting);
    }
}
