//! The steps from one role to another.

use super::{Member, MemberRole};
use crate::election::{Outcome, Vote};
use crate::id::{Epoch, ServerId, Zxid};
use crate::link::{LinkEvent, LinkOp, Port};
use crate::proto::quorum::ServerState;
use crate::proto::txn::Txn;
use crate::time::MonoUs;
use crate::zab::kept_out::{self, info_unless};
use crate::zab::leader::ObserverMaster;
use crate::zab::learner::LearnerKind;
use crate::zab::{Lasting, Leader, Learner, Origin, Standing};
use std::rc::Rc;

/// The number of roles that may follow from one event: a single voter elects itself and leads at once. More roles
/// would be a circle.
const STEPS_MAX: usize = 64;
/// The longest time between two attempts to join a leader, in ms.
const HOLD_MS_MAX: u64 = 1000;
/// The number of `initLimit`s for which a server does not vote for another one that it could not follow: as long as
/// two elected servers may wait for it in turn, and one for the other. Then it votes for it again, because the other's
/// data may have been replaced.
const AVOIDED_INIT_LIMITS: u64 = 4;
/// How often that time doubles for a server that could not be followed again. If several servers have another history,
/// all of them must be avoided at the same time, and each is met only after a search and an `initLimit`.
const AVOIDED_DOUBLINGS_MAX: u32 = 3;
/// A leader that was followed for this time, in ms, does not count as a failure when it is lost.
const GOOD_MS: u64 = 1000;

impl Member {
    /// Settles everything that follows from the last event.
    pub(super) fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            if !self.step() {
                return self.check();
            }
        }
        panic!("what follows from one event never ends: the server would hang");
    }

    /// Collects the effects of the leader or learner.
    pub(super) fn collect(&mut self) {
        for _ in 0..STEPS_MAX {
            match &mut self.role {
                MemberRole::Leading(leader) => {
                    if leader.lasting_mut().ready.last().durable.is_some() {
                        leader.lasting_mut().ready.begin();
                    }
                    leader.flush();
                    if let Some(standing) = leader.lasting_mut().ready.last().standing.last() {
                        self.standing = *standing;
                    }
                }
                MemberRole::Learning(learner) => {
                    learner.relay_asked();
                    // Pieces of a tree are handed over one at a time: when the tree is whole, the replica gives the
                    // bytes after it back.
                    if learner.lasting().ready.len() <= 1 {
                        learner.flush();
                    }
                }
                MemberRole::Looking(_) | MemberRole::Waiting { .. } => {}
            }
            let was_leading = matches!(self.role, MemberRole::Leading(_));
            self.settle();
            if was_leading == matches!(self.role, MemberRole::Leading(_)) {
                return;
            }
        }
    }

    /// Settles one consequence. True: there may be more.
    fn step(&mut self) -> bool {
        let outcome = self.election.take(&mut self.link_ops);
        for op in self.link_ops.drain(..) {
            self.role.lasting_mut().ready.send(op);
        }
        match outcome {
            Some(Outcome::Elected(elected)) => {
                if matches!(self.role, MemberRole::Looking(_)) {
                    self.on_elected(elected.leader);
                }
                return true;
            }
            Some(Outcome::NewerConfig(config)) => {
                if matches!(self.role, MemberRole::Looking(_)) {
                    self.role.lasting_mut().try_config(self.now, config);
                    self.tell_config();
                    self.look();
                }
                return true;
            }
            Some(Outcome::Deserted(leader)) => {
                match &mut self.role {
                    MemberRole::Waiting { leader: elected, .. } if *elected == leader => {
                        self.look()
                    }
                    MemberRole::Learning(learner)
                        if learner.is_connecting() && learner.target().leader == leader =>
                    {
                        let reason = "it votes for another one, and was not reached".to_owned();
                        learner.abandon(reason);
                    }
                    // The leader was elected and has changed its mind in one event, of which only the second half was
                    // heard here.
                    MemberRole::Looking(_) => self.look(),
                    MemberRole::Waiting { .. }
                    | MemberRole::Leading(_)
                    | MemberRole::Learning(_) => {}
                }
                return true;
            }
            None => {}
        }
        self.note_standing();
        self.tell_config();
        match &self.role {
            MemberRole::Waiting { leader, .. } if self.now >= self.hold_until => {
                let leader = *leader;
                self.join(leader);
                true
            }
            MemberRole::Leading(leader) if leader.failure().is_some() => {
                self.step_down();
                true
            }
            MemberRole::Learning(learner) if learner.failure().is_some() => {
                self.leave_leader();
                true
            }
            MemberRole::Looking(_)
            | MemberRole::Waiting { .. }
            | MemberRole::Leading(_)
            | MemberRole::Learning(_) => false,
        }
    }

    /// Looks for a leader.
    pub(super) fn look(&mut self) {
        self.look_as(self.has_room);
    }

    /// Looks for a leader. `stands`: this server may be elected itself.
    pub(super) fn look_as(&mut self, stands: bool) {
        self.role.look();
        assert_eq!(self.standing, Standing::Looking, "who looks for a leader serves nobody");
        self.looking_since = self.now;
        self.joined_at = None;
        self.role.lasting_mut().counts.lookings += 1;
        let last = self.role.lasting().journal.accepted();
        let stands = stands && self.has_epoch_left();
        // A server that cannot be elected anyway votes as always.
        let (config, me) = (&self.role.lasting().config, self.me());
        let may_lead = last != Zxid::NONE && config.is_voter(me);
        self.stands = stands || !may_lead;
        let epoch = self.role.lasting().epochs.current;
        info_unless!(self.election.is_quiet(), %last, epoch = epoch.0, "LOOKING for a leader");
        if self.stands {
            self.election.look(self.now, last, epoch);
            return;
        }
        for held in self.held.take() {
            self.role.lasting_mut().ready.send(LinkOp::Close { link: held.link });
        }
        // Transactions that are not on the disk may never get there, so the next leader need not have them.
        let durable = self.role.lasting().journal.synced().min(last);
        assert!(durable <= last, "what is durable is in the log");
        assert!(self.held.is_empty(), "nobody waits for a server that cannot lead");
        self.election.look_without_standing(self.now, durable, self.epochs_durable.current);
    }

    /// Whether there is an epoch that this server could lead; if not, the log says so.
    fn has_epoch_left(&mut self) -> bool {
        let accepted = self.role.lasting().epochs.accepted;
        let has_one = accepted < Epoch::LAST;
        let me = self.me();
        if !has_one && self.kept_out.is_due(self.now, me, kept_out::Reason::FarEpoch) {
            tracing::error!("{}", kept_out::no_epoch_left(accepted));
        }
        has_one
    }

    /// When this server gives up a configuration that came with a vote: it has looked for a leader for as long as a
    /// leader may take to get its quorum.
    pub(super) fn give_up_config_at(&self) -> Option<MonoUs> {
        let tried = self
            .role
            .lasting()
            .unvouched
            .as_ref()
            .filter(|_| matches!(self.role, MemberRole::Looking(_)))?;
        let options = &self.role.lasting().options;
        Some(tried.since.plus_ms(options.tick_ms.saturating_mul(options.init_limit)))
    }

    /// When a server without room stands for election all the same, because no other server was elected: all disks may
    /// be full, or only this server may have the history. It does not stand while anything waits for its disk, because
    /// it could not lead before that is written.
    pub(super) fn stand_at(&self) -> Option<MonoUs> {
        let journal = &self.role.lasting().journal;
        let has_epoch = self.role.lasting().epochs.accepted < Epoch::LAST;
        let may_lead = has_epoch && journal.synced() >= journal.accepted();
        let options = &self.role.lasting().options;
        let ms = options.tick_ms.saturating_mul(options.init_limit);
        (!self.stands && may_lead).then(|| self.looking_since.plus_ms(ms))
    }

    fn on_elected(&mut self, leader: ServerId) {
        assert!(matches!(self.role, MemberRole::Looking(_)), "only who looks finds a leader");
        assert_eq!(self.standing, Standing::Looking, "who looks for a leader serves nobody");
        let ms = self.now.since_us(self.looking_since) / 1000;
        self.role.lasting_mut().counts.elections_ms.add(ms);
        let state = self.state_under(leader);
        let is_quiet = self.election.is_quiet();
        info_unless!(
            is_quiet,
            leader = leader.0,
            ms,
            "a leader is elected, this server is {state:?}"
        );
        self.election.settle(state);
        if self.now < self.hold_until {
            self.role.wait(leader);
        } else {
            self.join(leader);
        }
    }

    /// Becomes the leader's learner, or the leader.
    fn join(&mut self, leader: ServerId) {
        assert_eq!(self.standing, Standing::Looking, "who joins a leader has left the last one");
        assert!(self.joined_at.is_none(), "it joins once");
        if leader == self.me() {
            self.lead();
            return;
        }
        for held in self.held.take() {
            self.role.lasting_mut().ready.send(LinkOp::Close { link: held.link });
        }
        let Some(target) = self.target(leader) else {
            tracing::warn!(leader = leader.0, "the elected leader is not in the configuration");
            self.on_failure();
            self.look();
            return;
        };
        assert!(target.leader != self.me(), "a server does not learn from itself");
        assert!(!target.to.is_empty(), "a member has an address");
        assert!(self.held.is_empty(), "nobody waits for a server that does not lead");
        self.joining_since = self.now;
        let learner = Learner::new(target, self.now, self.role.end());
        self.role = MemberRole::Learning(Box::new(learner));
    }

    fn lead(&mut self) {
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
        let new_origin = Origin((self.random.state() ^ 0x6f72_6967_696e).cast_signed());
        let mut leader = Leader::new(lasting, self.numbers.clone(), new_origin, self.now);
        leader.handle_synced(synced);
        if let Some(says_yes) = self.election.oracle() {
            leader.set_oracle(self.now, says_yes);
        }
        for held in self.held.take() {
            let (link, remote, may_be) = (held.link, held.remote, held.may_be.as_deref());
            let event = LinkEvent::Accepted { link, port: Port::Quorum, remote, may_be };
            leader.handle_link(self.now, event);
            if !held.received.is_empty() {
                let bytes = &held.received;
                leader.handle_link(self.now, LinkEvent::Received { link, bytes });
            }
        }
        assert!(self.held.is_empty(), "all who have waited are its learners");
        self.role = MemberRole::Leading(Box::new(leader));
    }

    fn leave_leader(&mut self) {
        let MemberRole::Learning(learner) = &self.role else {
            unreachable!("only a learner leaves its leader")
        };
        let left = learner.failure().expect("it was left for a reason").clone();
        let leader = learner.target().leader;
        assert!(leader != self.me(), "a server does not learn from itself");
        let phase = learner.phase();
        let is_due = left.kept_out.is_none_or(|why| self.kept_out.is_due(self.now, leader, why));
        if is_due {
            tracing::warn!(leader = leader.0, ?phase, reason = left.reason, "leaving the leader");
        }
        self.election.set_quiet(left.kept_out.is_some());
        let is_far = left.kept_out == Some(kept_out::Reason::FarEpoch);
        let is_other_history = left.kept_out == Some(kept_out::Reason::OtherHistory);
        self.is_of_other_history |= is_other_history;
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

    fn step_down(&mut self) {
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

    /// Follows the leader that a reconfiguration has named, or leads, without an election. If that fails, there is one.
    fn follow_designated(&mut self, leader: ServerId) {
        assert_eq!(self.standing, Standing::Looking, "the last leader was left");
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

    /// The state of this server while that one leads.
    fn state_under(&self, leader: ServerId) -> ServerState {
        if leader == self.me() {
            ServerState::Leading
        } else if self.role.lasting().is_observer {
            ServerState::Observing
        } else {
            ServerState::Following
        }
    }

    /// Ends the lead, and keeps its last effects and its counters.
    fn end_lead(&mut self) {
        let MemberRole::Leading(leader) = &mut self.role else {
            unreachable!("only a leader has led")
        };
        assert!(leader.failure().is_some(), "the lead is given up for a reason");
        leader.flush();
        let facts = leader.facts();
        super::facts::add_reign(&mut leader.lasting_mut().counts, &facts);
        self.role.look();
    }

    /// Ends the present role at once.
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

    /// Lets observers learn from this server while it follows.
    fn begin_observers(&mut self, epoch: Epoch) {
        // The observers of a leader are its learners.
        let MemberRole::Learning(learner) = &self.role else { return };
        assert!(learner.is_up_to_date().is_some(), "what it does not have it cannot show");
        let is_follower = learner.target().kind == LearnerKind::Follower;
        let answers_fences = learner.is_below_a_ringkeeper();
        if is_follower && self.role.lasting().options.observer_master.is_some() {
            let options = self.role.lasting().options.clone();
            let committed = self.role.lasting().journal.committed();
            assert!(self.role.lasting().observers.is_none(), "they came after the last leader's");
            let numbers = self.numbers.clone();
            let observers =
                ObserverMaster::new(options, numbers, (epoch, answers_fences), committed, self.now);
            self.role.lasting_mut().observers = Some(Box::new(observers));
            self.listen();
        }
    }

    fn end_observers(&mut self) {
        if let Some(observers) = self.role.lasting_mut().observers.take() {
            observers.close(self.role.lasting_mut().ready.last());
            self.listen();
        }
    }

    pub(super) fn become_looking(&mut self) {
        if self.standing != Standing::Looking {
            self.standing = Standing::Looking;
            self.unavailable_since = Some(self.now);
            self.role.lasting_mut().ready.standing(Standing::Looking);
        }
    }

    /// Makes the next attempt wait if several have failed in a row.
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
        if self.is_reverting {
            self.role.lasting_mut().epochs = self.epochs_durable;
            ms = HOLD_MS_MAX;
        }
        self.hold_until = self.now.plus_ms(ms);
    }

    /// Takes note when a role is in effect: servers that look for a leader are told its epoch.
    fn note_standing(&mut self) {
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
                for server in self.election.take_looking() {
                    leader.handle_looking(self.now, server);
                }
                leader.epoch().filter(|_| leader.is_active())
            }
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => None,
        };
        if let Some(epoch) = epoch
            && self.joined_at.is_none()
        {
            self.joined_at = Some(self.now);
            self.role.lasting_mut().confirm_config();
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

    fn count_joined(&mut self) {
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

    /// Tells the election and the network of a new configuration.
    pub(super) fn tell_config(&mut self) {
        let vouched =
            self.role.lasting().unvouched.as_ref().map(|unvouched| unvouched.config.clone());
        if vouched.is_some() != self.is_election_doubtful {
            self.is_election_doubtful = vouched.is_some();
            self.election.set_vouched(vouched);
        }
        let Lasting { config: active, last_seen, .. } = self.role.lasting();
        if Rc::ptr_eq(active, &self.election_configs.0)
            && Rc::ptr_eq(last_seen, &self.election_configs.1)
        {
            return;
        }
        let (active, last_seen) = (active.clone(), last_seen.clone());
        self.election_configs = (active.clone(), last_seen.clone());
        self.election.set_config(active.clone(), last_seen.clone());
        self.listen();
    }
}
