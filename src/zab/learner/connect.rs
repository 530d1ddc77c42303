//! The connection to the leader (`Learner.connectToLeader`), and the first packet.

use super::*;
use crate::quorum::PeerOptions;

/// The number of attempts to connect before the leader is given up.
// ZooKeeper: Learner.LeaderConnector.
const TRIES_MAX: u32 = 5;

/// The first stage of a learner.
pub(super) fn first(now: MonoUs, options: &PeerOptions) -> LearnerStage {
    let ticks = if options.connect_limit > 0 { options.connect_limit } else { options.init_limit };
    let give_up = now.plus_ms(options.tick_ms.saturating_mul(ticks));
    LearnerStage::Connection { tries: 0, retry_at: None, give_up }
}

impl Learner {
    pub(super) fn connect(&mut self, now: MonoUs) {
        let LearnerStage::Connection { tries, give_up, .. } = self.stage else {
            unreachable!("a leader that was reached is not connected to again")
        };
        assert!(self.link.is_none(), "one attempt at a time");
        assert!(tries < TRIES_MAX, "it was left after so many");
        let link = self.lasting.ids.next();
        self.link = Some(link);
        self.stage = LearnerStage::Connection { tries: tries + 1, retry_at: None, give_up };
        self.lasting.ready.send(LinkOp::Connect {
            link,
            port: self.target.port,
            server: self.target.master,
            to: self.target.to.clone(),
            timeout_ms: give_up.since_us(now).div_ceil(1000).max(1),
        });
    }

    pub(super) fn on_connection_timeout(&mut self, now: MonoUs) {
        let LearnerStage::Connection { retry_at, .. } = self.stage else {
            unreachable!("a leader that was reached is not waited for")
        };
        if retry_at.is_some() {
            self.connect(now);
        } else {
            self.leave("it could not be reached in time".to_owned());
        }
    }

    pub(super) fn on_closed(&mut self, now: MonoUs, reason: &str) {
        // No more events of this link come, and nothing may be sent over it.
        self.link = None;
        let LearnerStage::Connection { tries, give_up, .. } = self.stage else {
            self.leave(format!("the connection ended: {reason}"));
            return;
        };
        let retry_at = now.plus_ms(self.lasting.options.leader_connect_delay_ms);
        if tries >= TRIES_MAX || retry_at >= give_up {
            self.leave(format!("it could not be reached, {tries} times: {reason}"));
            return;
        }
        tracing::debug!(master = self.target.master.0, tries, reason, "connecting failed");
        self.stage = LearnerStage::Connection { tries, retry_at: Some(retry_at), give_up };
    }

    /// Sends FOLLOWERINFO or OBSERVERINFO (`Learner.registerWithLeader`).
    pub(super) fn on_connected(&mut self, now: MonoUs) {
        // The network says once that a link is connected.
        if !matches!(self.stage, LearnerStage::Connection { .. }) {
            return;
        }
        assert!(self.link.is_some(), "a link is connected that was opened");
        assert_eq!((self.epoch, self.unsent_bytes), (Epoch(0), 0), "nothing was said before");
        self.heard = now;
        self.stage = LearnerStage::LeaderInfo;
        let info = Saying::Info {
            kind: self.target.kind,
            accepted: self.lasting.epochs.accepted,
            me: self.lasting.options.me,
            version: self.lasting.config.version,
        };
        self.say(&info);
    }
}
