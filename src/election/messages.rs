//! What a server does with the notifications of others (`FastLeaderElection.Messenger.WorkerReceiver`).
//!
//! Each notification is for one of three: a server that looks for a leader counts a voter's vote; a server that has a
//! leader answers those that look for one; and either answers a server without a vote that asks for the leader.

use super::*;

impl Election {
    /// Handles one message of a server. A malformed one costs a line in the log, not the connection.
    pub(super) fn on_message(&mut self, now: MonoUs, from: ServerId, bytes: &[u8]) {
        let Some((ballot, config)) = notification::read(bytes) else {
            tracing::warn!(server = from.0, bytes = bytes.len(), "malformed election message");
            return;
        };
        let Ballot { state, vote, round, .. } = ballot;
        tracing::debug!(
            server = from.0,
            state = notification::name(state),
            leader = vote.leader.0,
            zxid = %vote.zxid,
            epoch = vote.peer_epoch.0,
            round,
            "election message"
        );
        if self.finds_newer_config(from, config) {
            return;
        }
        if !self.electorate.is_voter(from) {
            self.answer_stranger(now, from, state);
            return;
        }
        if self.ignore_ballot(now, ballot) {
            return;
        }
        assert!(from != self.options.me, "a server gets no message of its own");
        match &mut self.phase {
            ElectionPhase::Idle => unreachable!("an idle election ignores votes"),
            ElectionPhase::Looking(search) => {
                let consequence = search.round.consider(&self.electorate, from, ballot);
                self.on_consequence(now, from, consequence);
            }
            ElectionPhase::Settled { .. } => self.on_looker(now, from, ballot),
        }
    }

    /// Whether a voter's vote changes nothing here.
    fn ignore_ballot(&mut self, now: MonoUs, ballot: Ballot) -> bool {
        let Ballot { state, vote, .. } = ballot;
        match self.phase {
            // The sender repeats its vote, so it counts when a search begins.
            ElectionPhase::Idle => true,
            ElectionPhase::Looking(_) => {
                // A server that already leads may have other followers, so its vote counts.
                let is_avoided = state == ServerState::Looking && self.avoids(now, vote.leader);
                if is_avoided {
                    tracing::debug!(
                        leader = vote.leader.0,
                        "not voting for it: it has another history"
                    );
                }
                is_avoided
            }
            // Both servers have a leader: neither needs the other's vote.
            ElectionPhase::Settled { .. } => state != ServerState::Looking,
        }
    }

    /// Whether another server has a newer configuration, while this one looks for a leader. Then the search ends, and
    /// nothing else in the message counts, because the votes under the newer configuration decide. Only a server that
    /// is a member may announce one, if addresses are checked.
    fn finds_newer_config(&mut self, from: ServerId, config: Option<&[u8]>) -> bool {
        // Servers before 3.5 send no configuration.
        let Some(config) = config.filter(|config| !config.is_empty()) else { return false };
        if !self.options.reconfig || !matches!(self.phase, ElectionPhase::Looking(_)) {
            return false;
        }
        match Config::from_bytes(config) {
            Ok(config)
                if config.version > self.electorate.active.version
                    && !self.connections.may_name_members(from) =>
            {
                tracing::debug!(
                    server = from.0,
                    "ignoring a newer configuration from a server that is not a member"
                );
                false
            }
            Ok(config) if config.version > self.electorate.active.version => {
                tracing::info!(
                    server = from.0,
                    version = format_args!("{:x}", config.version),
                    "another server has a newer configuration"
                );
                self.phase = ElectionPhase::Idle;
                assert!(self.outcome.is_none(), "a search has one outcome");
                self.outcome = Some(Outcome::NewerConfig(Rc::new(config)));
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(server = from.0, %error, "unreadable configuration in an election message");
                false
            }
        }
    }

    /// Answers a server without a vote, which wants to know the leader.
    fn answer_stranger(&mut self, now: MonoUs, from: ServerId, state: ServerState) {
        match &mut self.phase {
            ElectionPhase::Idle => return,
            // Two servers that both take the other for a stranger would answer each other's answers without end, so
            // this one answers only once in an interval.
            ElectionPhase::Looking(search) => {
                let interval_ms = self.options.interval_ms.0.max(1);
                let answered = search.strangers.get(&from);
                if answered.is_some_and(|at| now < at.plus_ms(interval_ms)) {
                    return;
                }
                // Beyond the bound, a server gets its answers, but not the result of the search.
                if search.strangers.len() < 2 * ELECTION_STRANGERS_MAX || answered.is_some() {
                    search.strangers.insert(from, now);
                }
                assert!(search.strangers.len() <= 2 * ELECTION_STRANGERS_MAX, "there is a bound");
            }
            ElectionPhase::Settled { .. } if state != ServerState::Looking => return,
            ElectionPhase::Settled { .. } => {}
        }
        self.connections.tell(now, from);
    }

    /// Answers a voter that looks for a leader while this server has one. If the voter is the elected server, this
    /// server may be deserted: it should not wait for a leader that has given up.
    fn on_looker(&mut self, now: MonoUs, from: ServerId, ballot: Ballot) {
        assert_eq!(ballot.state, ServerState::Looking, "it says that it looks for a leader");
        self.looking.insert(from);
        self.connections.tell(now, from);
        // A server without a leader cannot be deserted.
        let ElectionPhase::Settled { state, vote } = &self.phase else { return };
        // An elected server that no longer stands for election votes for no server, in a later round.
        let stands_no_more = ballot.vote == NOBODY && ballot.round > self.round;
        let is_deserted = *state != ServerState::Leading
            && from == vote.leader
            && ballot.vote.leader != from
            && ballot.round >= self.round
            && (stands_no_more || self.electorate.is_better(ballot.vote, *vote));
        if is_deserted {
            tracing::info!(
                server = from.0,
                leader = ballot.vote.leader.0,
                "the elected server votes for another"
            );
            self.outcome = Some(Outcome::Deserted(from));
        }
    }

    /// Does what follows from a vote that was counted, and then decides.
    fn on_consequence(&mut self, now: MonoUs, from: ServerId, consequence: Consequence) {
        let ElectionPhase::Looking(search) = &self.phase else {
            unreachable!("only a server that looks for a leader counts votes")
        };
        self.round = search.round.number;
        match consequence {
            Consequence::Noted => {}
            Consequence::Answer => self.connections.tell(now, from),
            Consequence::Proposes => {
                self.refresh_message();
                self.tell_voters(now);
            }
            Consequence::Joins(agreement) => {
                self.on_elected(now, agreement);
                return;
            }
        }
        self.decide(now);
    }
}
