//! The steps from one role to another: what follows from each event, until nothing more does.
//!
//! The rule that is easy to break: a role notes that it is over, and is ended here. So a role is never replaced while
//! one of its methods runs, and each event ends in a state that [`Member::check`] accepts.

use std::rc::Rc;

use super::{Member, MemberRole};
use crate::election::Outcome;
use crate::id::{Epoch, Zxid};
use crate::link::LinkOp;
use crate::time::MonoUs;
use crate::zab::kept_out::{self, info_unless};
use crate::zab::{Lasting, Standing};

/// The number of consequences of one event: a single voter elects itself and leads at once. More would be a circle.
const STEPS_MAX: usize = 64;

/// The longest time between two attempts to join a leader, in ms.
pub(super) const HOLD_MS_MAX: u64 = 1000;

impl Member {
    /// Draws all consequences of the last event.
    ///
    /// # Panics
    /// If there is no end of them, or the fields do not fit together afterwards.
    pub(super) fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            if !self.step() {
                return self.check();
            }
        }
        panic!("what follows from one event never ends: the server would hang");
    }

    /// Has the leader or learner put its effects into the `Ready`, and draws the consequences. If a lead begins or
    /// ends thereby, the effects of the next role are collected, too.
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

    /// Draws one consequence. Returns whether there may be more.
    fn step(&mut self) -> bool {
        let outcome = self.election.take(&mut self.link_ops);
        // Whatever the election wants of the network waits for nothing on the disk.
        let mut gated = Vec::new();
        for op in self.link_ops.drain(..) {
            match &mut self.gate {
                Some(gate) => gate.filter(op, &mut gated),
                None => self.role.lasting_mut().ready.send(op),
            }
        }
        for op in gated {
            self.role.lasting_mut().ready.send(op);
        }
        match outcome {
            Some(Outcome::Elected(elected)) => {
                // An outcome may come too late, because another event has ended the search meanwhile.
                if matches!(self.role, MemberRole::Looking(_)) {
                    self.on_elected(elected.leader);
                }
                return true;
            }
            Some(Outcome::NewerConfig(config)) => {
                if matches!(self.role, MemberRole::Looking(_)) {
                    // It counts for the next search, and is given up if no leader vouches for it.
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
        // The election first: what it has found replaces the role whose state is looked at below.
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

    /// Looks for a leader. This server stands for election if its disk has room.
    pub(super) fn look(&mut self) {
        self.look_as(self.has_room);
    }

    /// Looks for a leader. `stands`: this server may be elected itself, if there is an epoch left that it could lead.
    pub(super) fn look_as(&mut self, stands: bool) {
        self.role.look();
        assert_eq!(
            self.standing,
            Standing::Looking,
            "a server that looks for a leader serves no client"
        );
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
        // Learners that hope for this server as leader shall look again.
        for held in self.held.take() {
            self.role.lasting_mut().ready.send(LinkOp::Close { link: held.link });
        }
        // Transactions that are not on the disk may never get there, so the next leader need not have them.
        let durable = self.role.lasting().journal.synced().min(last);
        assert!(durable <= last, "what is durable is in the log");
        assert!(self.held.is_empty(), "no link is held for a server that cannot lead");
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

    /// The time at which this server gives up a configuration that came with a vote: when it has looked for a leader
    /// for as long as a leader may take to get its quorum. `None`: there is none to give up.
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

    /// The time at which a server without room stands for election all the same, because no other server was elected:
    /// all disks may be full, or only this server may have the history. It does not stand while anything waits for
    /// its disk, because it could not lead before that is written.
    pub(super) fn stand_at(&self) -> Option<MonoUs> {
        let journal = &self.role.lasting().journal;
        let has_epoch = self.role.lasting().epochs.accepted < Epoch::LAST;
        let may_lead = has_epoch && journal.synced() >= journal.accepted();
        let options = &self.role.lasting().options;
        let ms = options.tick_ms.saturating_mul(options.init_limit);
        (!self.stands && may_lead).then(|| self.looking_since.plus_ms(ms))
    }

    /// Tells the election and the network of a new configuration, if there is one.
    pub(super) fn tell_config(&mut self) {
        // Others must not hear of a configuration that only a vote has named, or they would trust this server for it.
        let vouched =
            self.role.lasting().unvouched.as_ref().map(|unvouched| unvouched.config.clone());
        if vouched.is_some() != self.is_election_doubtful {
            self.is_election_doubtful = vouched.is_some();
            self.election.set_vouched(vouched);
        }
        let Lasting { config: active, last_seen, .. } = self.role.lasting();
        // Called after each event, so the usual case compares two pointers.
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
