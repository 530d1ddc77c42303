//! Events from the replica: time has passed, the disk has done something, the role is to be left. Each is handed to
//! the part that it concerns; [`Member::settle`] then draws the consequences.

use super::*;

impl Member {
    /// Does what is due at `now` in the election, in the role, for observers, and for links that are held.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        self.now = now;
        if let Some(gate) = &mut self.gate {
            gate.handle_timeout(now);
            self.carry_out_gate();
        }
        self.election.handle_timeout(now);
        // The configuration came with a vote and has led to no leader: this server goes back to the one that it knows
        // itself.
        if self.give_up_config_at().is_some_and(|at| at <= now) {
            self.role.lasting_mut().give_up_config();
            self.tell_config();
            self.look();
        }
        let must_stand = self.stand_at().is_some_and(|at| at <= now);
        match &mut self.role {
            MemberRole::Leading(leader) => leader.handle_timeout(now),
            MemberRole::Learning(learner) => learner.handle_timeout(now),
            MemberRole::Looking(_) if must_stand => {
                tracing::warn!("nobody else was elected: standing for election without room");
                self.look_as(true);
            }
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => {}
        }
        if let Some(observers) = &mut self.role.lasting_mut().observers {
            observers.handle_timeout(now);
        }
        let hold_ms = self
            .role
            .lasting_mut()
            .options
            .tick_ms
            .saturating_mul(self.role.lasting().options.init_limit);
        // After `initLimit`, no learner waits for its leader any more.
        while let Some(link) = self.held.expire(now, hold_ms) {
            self.role.lasting_mut().ready.send(LinkOp::Close { link });
        }
        self.settle();
    }

    /// The next time at which [`Member::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        let role = match &self.role {
            MemberRole::Leading(leader) => leader.next_timeout(),
            MemberRole::Learning(learner) => learner.next_timeout(),
            MemberRole::Waiting { .. } => Some(self.hold_until),
            MemberRole::Looking(_) => self.stand_at(),
        };
        let config = self.give_up_config_at();
        let hold_ms = self
            .role
            .lasting()
            .options
            .tick_ms
            .saturating_mul(self.role.lasting().options.init_limit);
        let observers = self.role.lasting().observers.as_ref().map(|it| it.next_timeout());
        let held = self.held.next_timeout(hold_ms);
        let gate = self.gate.as_ref().and_then(|gate| gate.next_timeout());
        let times = [self.election.next_timeout(), role, observers, held, config, gate];
        times.into_iter().flatten().min()
    }

    /// Everything appended up to `zxid` is durable. The zxid falls only after a truncate.
    pub fn handle_synced(&mut self, zxid: Zxid) {
        self.role.lasting_mut().journal.handle_synced(zxid);
        // The leader's own log is one of the acknowledgements that it counts.
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.handle_synced(zxid);
        }
        self.settle();
    }

    /// Everything of the `Ready` with this `durable`, and of those before it, is durable: their promises are kept.
    pub fn handle_durable(&mut self, now: MonoUs, token: u64) {
        self.now = now;
        while let Some((_, promise)) = self.promises.pop_front_if(|(at, _)| *at <= token) {
            match promise {
                Promise::Cut(zxid) => self.role.lasting_mut().journal.handle_cut(zxid),
                Promise::Epochs(epochs) => {
                    assert!(
                        epochs.current <= epochs.accepted,
                        "an epoch that is followed was accepted"
                    );
                    self.epochs_durable = epochs;
                    // These epochs may have been taken for undone although they were on their way.
                    let wanted = &mut self.role.lasting_mut().epochs;
                    wanted.accepted = wanted.accepted.max(epochs.accepted);
                    let later =
                        self.promises.iter().any(|(_, it)| matches!(it, Promise::Epochs(_)));
                    if epochs.current > wanted.current || epochs.current == wanted.current && !later
                    {
                        (wanted.current, wanted.origin) = (epochs.current, epochs.origin);
                    }
                    assert!(wanted.accepted >= epochs.accepted, "a promise is not forgotten");
                }
            }
        }
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.handle_durable(now, token);
        }
        self.settle();
    }

    /// The log cannot be cut as requested, because the rest would not be the state at that zxid. Nothing was changed;
    /// the log ends at `last`. To be called before any effect after the truncate is carried out.
    ///
    /// ```text
    /// 1. a server at 1:2 gets the tree as of 1:9, and its leader is gone before it leads
    /// 2. the next leader, at 1:7, says: cut at 1:7
    /// 3. without the snapshot 1:9, what is on the disk ends at 1:2
    /// ```
    /// ZooKeeper takes itself to be at 1:7 then, and serves without five transactions, or stops. To go back to 1:2
    /// would be as wrong if the tree had been acknowledged: currentEpoch would vouch for a history without
    /// transactions that were committed before. So the server keeps what it has, and asks for the whole tree.
    pub fn handle_not_cut(&mut self, now: MonoUs, last: Zxid) {
        self.now = now;
        tracing::warn!(%last, "the log cannot be cut there: asking for the whole tree");
        self.role.lasting_mut().wants_tree = true;
        self.is_reverting = true;
        self.end_role("its history cannot be followed from here");
        self.role.lasting_mut().ready.forget_log();
        self.role.lasting_mut().journal.reset(last);
        let journal = &self.role.lasting().journal;
        assert_eq!((journal.accepted(), journal.committed()), (last, last), "it ends at {last}");
        assert!(journal.pending().is_empty(), "no transaction waits for a former leader's commit");
        self.promises.retain(|(_, promise)| !matches!(promise, Promise::Cut(_)));
        self.on_failure();
        self.is_reverting = false;
        self.hold_until = now;
        self.become_looking();
        self.look();
        self.settle();
    }

    /// The transactions of a [`LogRead`](crate::zab::LogRead), in order. `None`: they are not there, too many, or
    /// cannot be read, so that the learner gets the whole tree.
    pub fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        self.now = now;
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.handle_log_read(now, id, txns);
        } else if let Some(observers) = &mut self.role.lasting_mut().observers {
            observers.handle_log_read(now, id, txns);
        }
        self.settle();
    }

    /// The answer of the outside witness (`oraclePath`), which the edge asks each tick.
    pub fn set_oracle(&mut self, now: MonoUs, says_yes: bool) {
        self.now = now;
        self.election.set_oracle(says_yes);
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.set_oracle(now, says_yes);
        }
        self.settle();
    }

    /// Whether the disk has room. A server without room does not stand for election: it could not write the epoch or
    /// the history, and the others would wait for it as long as they may.
    // ZooKeeper: a server with a full disk ends.
    pub fn set_room(&mut self, now: MonoUs, has_room: bool) {
        self.now = now;
        if has_room == self.has_room {
            return;
        }
        self.has_room = has_room;
        if !has_room {
            tracing::warn!("no room on the disk: this server does not stand for election");
        }
        // A search goes on with the new answer. A server that waits to lead must not; one that follows another may
        // stay.
        let me = self.me();
        match &self.role {
            MemberRole::Looking(_) => self.look(),
            MemberRole::Waiting { leader, .. } if *leader == me => self.look(),
            MemberRole::Waiting { .. } | MemberRole::Leading(_) | MemberRole::Learning(_) => {}
        }
        self.settle();
    }

    /// Leaves the leader, or gives the lead up, because the disk cannot write. Effects that are not durable count as
    /// not done. This server stays away for a moment, so that it is not elected again at once.
    pub fn leave(&mut self, now: MonoUs, reason: &str) {
        self.now = now;
        self.is_reverting = true;
        match &mut self.role {
            MemberRole::Leading(leader) => leader.resign(reason),
            MemberRole::Learning(learner) => learner.abandon(reason.to_owned()),
            // The role that wanted the effects is over already, so they are taken back here.
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => {
                self.role.lasting_mut().epochs = self.epochs_durable
            }
        }
        self.settle();
        self.is_reverting = false;
    }

    /// The same if the effects of these tokens were given up: the epoch files do not have the requested epochs, and
    /// never will. Without this, the next token would seem to confirm them:
    ///
    /// ```text
    /// 1. acceptedEpoch is to become 5, for a leader of epoch 5, and there is no room for it
    /// 2. a leader of epoch 4 comes back and says: cut at 4:7. The cut is durable
    /// 3. the leader of epoch 5 comes back: its epoch is promised without a word on the disk
    /// ```
    pub fn leave_unwritten(&mut self, now: MonoUs, reason: &str, tokens: &[u64]) {
        // A cut is not given up.
        self.promises.retain(|(token, promise)| {
            matches!(promise, Promise::Cut(_)) || !tokens.contains(token)
        });
        self.leave(now, reason);
    }
}
