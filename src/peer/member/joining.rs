//! The steps from an election to a role in effect (`QuorumPeer.run`, after LOOKING).
//!
//! ```text
//! on_elected ─┬──────────────▶ join ─┬─▶ lead ─────────▶ a quorum has the history ─┐
//!             └─▶ wait ─(timer)─▶┘   └─▶ a learner ────▶ UPTODATE ─────────────────┴─▶ note_standing
//! ```
//! A role is in effect only when [`Member::note_standing`] has seen it. Until then this server serves no client, and
//! a failure counts as one more attempt that has failed.

use std::rc::Rc;

use super::roles::HOLD_MS_MAX;
use super::{Member, MemberRole};
use crate::election::Vote;
use crate::id::{Epoch, ServerId, Zxid};
use crate::link::{LinkEvent, LinkOp, Port};
use crate::proto::quorum::ServerState;
use crate::proto::txn::Txn;
use crate::time::MonoUs;
use crate::zab::kept_out::info_unless;
use crate::zab::leader::ObserverMaster;
use crate::zab::learner::LearnerKind;
use crate::zab::{Leader, Learner, Origin, Standing, kept_out};

impl Member {
    /// The election has found a leader: this server joins it, at once or, after failures, a little later.
    pub(super) fn on_elected(&mut self, leader: ServerId) {
        assert!(
            matches!(self.role, MemberRole::Looking(_)),
            "only a server that looks for a leader finds one"
        );
        assert_eq!(
            self.standing,
            Standing::Looking,
            "a server that looks for a leader serves no client"
        );
        // For `mntr`: how long the election took.
        let ms = self.now.since_us(self.looking_since) / 1000;
        self.role.lasting_mut().counts.elections_ms.add(ms);
        // What the others are told from now on, also while this server only tries to join.
        let state = self.state_under(leader);
        let is_quiet = self.election.is_quiet();
        info_unless!(
            is_quiet,
            leader = leader.0,
            ms,
            "a leader is elected, this server is {state:?}"
        );
        self.election.settle(state);
        // Earlier attempts have failed, so this one waits.
        if self.now < self.hold_until {
            self.role.wait(leader);
        } else {
            self.join(leader);
        }
    }

    /// Becomes the learner of `leader`, or the leader itself.
    pub(super) fn join(&mut self, leader: ServerId) {
        assert_eq!(self.standing, Standing::Looking, "the last leader was left");
        assert!(self.joined_at.is_none(), "it joins once");
        if leader == self.me() {
            self.lead();
            return;
        }
        // These learners have come to the wrong server; they look for a leader again when the link closes.
        for held in self.held.take() {
            self.role.lasting_mut().ready.send(LinkOp::Close { link: held.link });
        }
        // The vote may name a server that neither configuration has.
        let Some(target) = self.target(leader) else {
            tracing::warn!(leader = leader.0, "the elected leader is not in the configuration");
            self.on_failure();
            self.look();
            return;
        };
        assert!(target.leader != self.me(), "a server does not learn from itself");
        assert!(!target.to.is_empty(), "a member has an address");
        assert!(self.held.is_empty(), "no link is held for a server that does not lead");
        self.joining_since = self.now;
        let learner = Learner::new(target, self.now, self.role.end());
        self.role = MemberRole::Learning(Box::new(learner));
    }

    /// Becomes the leader. Its whole log is the history of the epoch that begins, so all of it is handed out for
    /// commit now. A server that has lost its data waits instead, and leads nobody.
    pub(super) fn lead(&mut self) {
        if self.role.lasting().journal.accepted() < Zxid::ZERO {
            // ZooKeeper: ZOOKEEPER-2325. A server that has lost its data must not make others follow it.
            tracing::error!(
                "this server is elected, but its data folder is empty and does not say that the \
                 ensemble is new (zkServer-initialize.sh): it does not lead"
            );
            self.hold_until = self.now.plus_ms(HOLD_MS_MAX);
            self.role.wait(self.me());
            return;
        }
        let mut lasting = self.role.end();
        // A leader has no one to ask for a tree.
        lasting.wants_tree = false;
        // A leader's whole log is the history of its epoch. A reconfiguration in it becomes active with that epoch.
        if let Some(proposed) = lasting.journal.proposed_config()
            && proposed.version > lasting.last_seen.version
        {
            lasting.see_config(Rc::new(proposed));
        }
        while let Some(zxid) = lasting.journal.pending().front().map(Txn::zxid) {
            let txn = lasting.journal.commit(zxid).expect("it is the front of what is pending");
            lasting.ready.commit(txn);
        }
        let journal = &lasting.journal;
        assert_eq!(journal.committed(), journal.accepted(), "a leader's whole log is its history");
        assert!(journal.pending().is_empty(), "a leader's whole log is its history");
        let synced = journal.synced();
        assert!(synced <= journal.accepted(), "what is durable is in the log");
        // The name of a history must differ from that of any other; the constant separates it from other uses of the
        // seed.
        let new_origin = Origin((self.random.state() ^ 0x6f72_6967_696e).cast_signed());
        let mut leader = Leader::new(lasting, self.numbers.clone(), new_origin, self.now);
        // What is durable already is never reported again.
        leader.handle_synced(synced);
        // The witness is asked once a tick; the last answer must not be lost with the change of the role.
        if let Some(says_yes) = self.election.oracle() {
            leader.set_oracle(self.now, says_yes);
        }
        // Learners that came early are now the leader's, and so is what they have sent.
        for held in self.held.take() {
            let (link, remote, may_be) = (held.link, held.remote, held.may_be.as_deref());
            let event = LinkEvent::Accepted { link, port: Port::Quorum, remote, may_be };
            leader.handle_link(self.now, event);
            if !held.received.is_empty() {
                let bytes = &held.received;
                leader.handle_link(self.now, LinkEvent::Received { link, bytes });
            }
        }
        assert!(self.held.is_empty(), "all held links are the leader's learners");
        self.role = MemberRole::Leading(Box::new(leader));
    }

    /// Follows the leader that a reconfiguration has named, or leads, without an election. If that fails, there is
    /// one.
    // ZooKeeper: QuorumPeer.processReconfig, updateVote: a server whose leader has named the next one does not look
    // for it.
    pub(super) fn follow_designated(&mut self, leader: ServerId) {
        assert_eq!(self.standing, Standing::Looking, "the last leader was left");
        // Nothing has failed, so there is nothing to wait for.
        self.hold_until = self.now;
        self.looking_since = self.now;
        self.joined_at = None;
        self.role.look();
        self.tell_config();
        let zxid = self.role.lasting().journal.accepted();
        let vote = Vote { leader, zxid, peer_epoch: self.role.lasting().epochs.current };
        self.election.designate(self.state_under(leader), vote);
        tracing::info!(leader = leader.0, "a reconfiguration has named the leader");
        self.join(leader);
    }

    /// The state of this server while `leader` leads.
    pub(super) fn state_under(&self, leader: ServerId) -> ServerState {
        if leader == self.me() {
            ServerState::Leading
        } else if self.role.lasting().is_observer {
            ServerState::Observing
        } else {
            ServerState::Following
        }
    }

    /// Lets observers learn from this server, if it follows and is configured for that (`observerMasterPort`).
    /// `epoch` is the leader's.
    pub(super) fn begin_observers(&mut self, epoch: Epoch) {
        // The observers of a leader are its learners.
        let MemberRole::Learning(learner) = &self.role else { return };
        assert!(learner.is_up_to_date().is_some(), "what it does not have it cannot show");
        let is_follower = learner.target().kind == LearnerKind::Follower;
        let answers_fences = learner.is_below_a_ringkeeper();
        if is_follower && self.role.lasting().options.observer_master.is_some() {
            let options = self.role.lasting().options.clone();
            let committed = self.role.lasting().journal.committed();
            assert!(
                self.role.lasting().observers.is_none(),
                "the last leader's observers have gone"
            );
            let numbers = self.numbers.clone();
            let observers =
                ObserverMaster::new(options, numbers, (epoch, answers_fences), committed, self.now);
            self.role.lasting_mut().observers = Some(Box::new(observers));
            self.listen();
        }
    }

    /// Takes note when a role is in effect. Then earlier failures are forgotten, servers that look for a leader are
    /// told the new epoch, and observers may come.
    pub(super) fn note_standing(&mut self) {
        let epoch = match &mut self.role {
            MemberRole::Learning(learner) => {
                if let Some(standing) = learner.standing() {
                    self.standing = standing;
                }
                let epoch = learner.is_up_to_date();
                assert!(epoch.is_none() || learner.standing().is_some(), "it has taken its place");
                epoch
            }
            MemberRole::Leading(leader) => {
                // A voter that looks for a leader will not come, so a leader that waits for it may give up.
                for server in self.election.take_looking() {
                    leader.handle_looking(self.now, server);
                }
                leader.epoch().filter(|_| leader.is_active())
            }
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => None,
        };
        // Once in each role: what follows belongs to the moment at which it takes effect.
        if let Some(epoch) = epoch
            && self.joined_at.is_none()
        {
            self.joined_at = Some(self.now);
            self.role.lasting_mut().confirm_config();
            // This server leads, or a leader has taken it in, so nothing keeps it out any more.
            self.kept_out = kept_out::Said::default();
            self.is_of_other_history = false;
            self.avoided.clear();
            self.election.set_quiet(false);
            self.count_joined();
            self.next_master = 0;
            self.election.set_vote_epoch(epoch);
            self.begin_observers(epoch);
        }
    }

    /// Counts how long it took until the role was in effect, and for how long this server has served no client.
    pub(super) fn count_joined(&mut self) {
        let ms_since = |since: MonoUs| self.now.since_us(since) / 1000;
        let unavailable_ms = self.unavailable_since.map(ms_since);
        let sync_ms = ms_since(self.joining_since);
        let is_leading = self.leader().is_some();
        let kind = match &self.role {
            MemberRole::Learning(learner) => Some(learner.target().kind),
            MemberRole::Looking(_) | MemberRole::Waiting { .. } | MemberRole::Leading(_) => None,
        };
        let counts = &mut self.role.lasting_mut().counts;
        if let Some(ms) = unavailable_ms {
            counts.unavailable_ms.add(ms);
            if is_leading {
                counts.leader_unavailable_ms.add(ms);
            }
        }
        match kind {
            Some(LearnerKind::Follower) => counts.follower_sync_ms.add(sync_ms),
            Some(LearnerKind::Observer) => counts.observer_sync_ms.add(sync_ms),
            None => {}
        }
        self.unavailable_since = None;
    }
}
