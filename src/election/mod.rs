//! Leader election: the votes of a round, and the connections over which servers exchange them.
//!
//! An [`Election`] combines two classes of ZooKeeper: `FastLeaderElection`, which decides, and `QuorumCnxManager`,
//! which keeps one connection to each other server. It lives as long as the server, because a server that has a
//! leader still answers the servers that look for one.
//!
//! Votes are ordered by epoch, then zxid, then server id: the winner has the newest history among a quorum. The round
//! number separates the votes of different elections.
//!
//! `peer::Member` owns the one `Election` of the process. It starts a search ([`Election::look`]), passes on the
//! events of the election port ([`Election::handle_link`]) and the time ([`Election::handle_timeout`]), and takes the
//! outcome ([`Election::take`]). The election writes nothing to the disk, and does not check that the winner can
//! lead: the discovery phase of `zab` does that.
//!
//! ```text
//!        look                 a quorum agrees                 look
//! Idle ───────▶ Looking ──────────────────────────▶ Settled ───────▶ Looking …
//!   ◀────────────┘ a voter has a newer configuration   ▲
//!   └───────────────── settle, designate ──────────────┘
//! ```

mod connections;
mod handshake;
mod leaderless;
mod messages;
mod notification;
mod outcome;
mod round;
#[cfg(test)]
mod tests;

pub use handshake::{Opening, opening};
pub use outcome::{Elected, ElectionOptions, Outcome, Vote};

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::id::{Epoch, ServerId, Zxid};
use crate::limits::ELECTION_STRANGERS_MAX;
#[cfg(test)]
use crate::link::LinkId;
use crate::link::{LinkEvent, LinkIds, LinkOp};
use crate::proto::quorum::ServerState;
use crate::quorum::PeerOptions;
use crate::quorum::{Config, PeerType};
use crate::time::MonoUs;
use crate::zab::kept_out::info_unless;

use connections::{Arrival, Connections};
use leaderless::{Heard, Leaderless};
use notification::Ballot;
use round::{Agreement, Consequence, Electorate, Round};

/// The state of a server while it looks for a leader.
#[derive(Debug)]
struct Search {
    /// The votes of this round.
    round: Round,
    /// The time of the next check for silent connections ([`SILENCE_MS`]).
    probe_at: MonoUs,
    /// The time at which this server next repeats its vote to all voters.
    repeat_at: MonoUs,
    /// The time between two repetitions, in ms. It doubles with each repetition, up to the second value of
    /// [`ElectionOptions::interval_ms`].
    ///
    /// Invariant: positive.
    interval_ms: u64,
    /// The vote on which a quorum agrees, and the time at which it becomes final unless a better vote comes
    /// (`finalizeWait`). `None` while no quorum agrees.
    finalize: Option<(Vote, MonoUs)>,
    /// The servers without a vote that have asked for the leader, and when this server last answered each of them.
    /// They get the result of the search.
    ///
    /// Invariant: at most `2 * ELECTION_STRANGERS_MAX`.
    strangers: BTreeMap<ServerId, MonoUs>,
}

/// What this server does about elections at present.
#[derive(Debug)]
enum ElectionPhase {
    /// The server ignores votes: before its first search, and while a newer configuration is taken over.
    Idle,
    /// The server looks for a leader.
    Looking(Search),
    /// The server has a leader, or leads. Servers that look for a leader get `vote` and `state`.
    ///
    /// Invariant: `state` is not LOOKING.
    Settled { state: ServerState, vote: Vote },
}

/// Finds a leader for this server, and tells other servers which leader it has (`FastLeaderElection`).
///
/// No method waits: what the network shall do leaves with [`Election::take`], and time comes in as an argument.
#[derive(Debug)]
pub struct Election {
    /// The options that concern elections. They never change.
    options: ElectionOptions,
    /// The servers that vote under the active and the next configuration, and the rule for a quorum.
    electorate: Electorate,
    /// The configuration that this server sends in its notifications in place of the active one. It is set while this
    /// server knows the active one only from a vote: other servers would trust that configuration if this server
    /// repeated it.
    vouched: Option<Rc<Config>>,
    /// The connections to the other servers (`QuorumCnxManager`).
    connections: Connections,
    /// The last round in which this server has taken part (`FastLeaderElection.logicalclock`). Each search begins a
    /// later round, and joins a still later one when another server is ahead. The round falls only if this server
    /// joins a leader of an older round, or has voted for no server in its own.
    ///
    /// Invariant: after each event of a search, the round of that search.
    round: i64,
    /// What this server does at present, which decides what it tells other servers.
    phase: ElectionPhase,
    /// Writes the log lines of the present search, or of the last one.
    leaderless: Leaderless,
    /// The outcome that the owner has not taken yet.
    ///
    /// Invariant: `None` while this server looks for a leader.
    outcome: Option<Outcome>,
    /// The voters that have said since the last [`Election::take_looking`] that they look for a leader, while this
    /// server did not.
    looking: BTreeSet<ServerId>,
    /// Whether the witness's answer has changed since the last timeout. If so, a timeout is due at once, because the
    /// answer may end the search.
    is_oracle_news: bool,
    /// Whether the lines that repeat with each search are logged only at the debug level ([`Election::set_quiet`]).
    is_quiet: bool,
    /// A buffer for the arrivals of one event, kept so that each event need not allocate one.
    ///
    /// Invariant: empty between two events.
    arrivals: Vec<Arrival>,
    /// The servers that this server could not follow, and the time until which it gives them no vote
    /// ([`Election::avoid`]).
    avoided: BTreeMap<ServerId, MonoUs>,
}

/// The silence, in ms, after which a server that looks for a leader replaces a connection: first for a server that
/// has sent no vote in this search, second for one that has. Without this, only the kernel would notice a dead
/// connection, after minutes.
const SILENCE_MS: (u64, u64) = (2000, 30_000);

/// The vote of a server that votes for no server. ZooKeeper: FastLeaderElection gives `Long.MIN_VALUE` as the id,
/// zxid and epoch of a server without a vote.
const NOBODY: Vote =
    Vote { leader: ServerId(i64::MIN), zxid: Zxid(i64::MIN), peer_epoch: Epoch(i64::MIN) };

impl Election {
    /// An idle election. It accepts connections, and connects back to a server that asks for that, but ignores votes.
    ///
    /// `ids` names the links that the election opens; every part of the process that opens links shares it.
    pub fn new(options: ElectionOptions, config: Rc<Config>, ids: LinkIds) -> Election {
        let mut connections = Connections::new(&options, ids);
        connections.set_members(&config, &config);
        let oracle = options.has_oracle.then_some(false);
        let (active, last_seen) = (config.clone(), config);
        let electorate = Electorate { me: options.me, active, last_seen, oracle };
        Election {
            options,
            electorate,
            vouched: None,
            connections,
            round: 0,
            phase: ElectionPhase::Idle,
            leaderless: Leaderless::new(MonoUs(0)),
            outcome: None,
            looking: BTreeSet::new(),
            is_oracle_news: false,
            is_quiet: false,
            arrivals: Vec::new(),
            avoided: BTreeMap::new(),
        }
    }

    /// Gives `leader` no vote until `until`, because this server cannot follow it. If this server helped to elect a
    /// leader that it then cannot follow, it would keep the others from electing one that they can follow:
    ///
    /// 1. Servers 1 and 3 have the same history, server 2 has another. Servers 1 and 2 elect server 1, which waits
    ///    for a follower for `initLimit`.
    /// 2. Server 3 finds two servers that look or wait, and no quorum that follows. Servers 2 and 3 elect server 3.
    /// 3. Server 1 gives up, and is now where server 3 was before. Servers 1 and 2 elect server 1, and so on.
    pub fn avoid(&mut self, leader: ServerId, until: MonoUs) {
        self.avoided.insert(leader, until);
    }

    /// Whether this server gives `leader` no vote at `now`. Forgets the servers whose time is over.
    fn avoids(&mut self, now: MonoUs, leader: ServerId) -> bool {
        self.avoided.retain(|_, until| now < *until);
        self.avoided.contains_key(&leader)
    }

    /// Sets whether the lines of each search are logged only at the debug level. The owner sets it while the same
    /// events repeat and are already in the log.
    pub fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// Whether the lines of each search are logged only at the debug level.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Starts a search (`FastLeaderElection.lookForLeader`). A new round begins, in which this server votes for
    /// itself with its history, which ends at `zxid` in `epoch`. A server without a vote only learns which leader the
    /// others have elected.
    ///
    /// `zxid` is [`Zxid::NONE`] for a server without a trusted database: it gets no votes, and waits until the others
    /// have a leader.
    pub fn look(&mut self, now: MonoUs, zxid: Zxid, epoch: Epoch) {
        let me = self.options.me;
        // The role in the configuration overrides the role with which this server was started
        // (QuorumPeer.updateLearnerType).
        let votes = self.electorate.active.is_voter(me);
        let initial = if votes { Vote { leader: me, zxid, peer_epoch: epoch } } else { NOBODY };
        self.round = self.round.saturating_add(1);
        info_unless!(
            self.is_quiet,
            round = self.round,
            %zxid,
            epoch = epoch.0,
            // The others ignore the vote of a server without a history.
            votes = votes && zxid != Zxid::NONE,
            "looking for a leader"
        );
        self.search(now, Round::new(&self.electorate, self.round, initial));
    }

    /// Starts a search in which this server cannot be elected. It votes only for another server whose history is not
    /// older than its own, which ends at `zxid` in `epoch`, and votes for no server until it hears of one.
    pub fn look_without_standing(&mut self, now: MonoUs, zxid: Zxid, epoch: Epoch) {
        self.round = self.round.saturating_add(1);
        tracing::info!(
            round = self.round, %zxid, epoch = epoch.0,
            "looking for a leader, without standing for election"
        );
        let floor = (epoch, zxid);
        let round = Round::without_standing(&self.electorate, self.round, NOBODY, floor);
        self.search(now, round);
    }

    /// Makes `round` the present search: tells every voter this server's vote, and decides at once if it is the only
    /// voter.
    fn search(&mut self, now: MonoUs, round: Round) {
        let interval_ms = self.options.interval_ms.0.max(1);
        self.phase = ElectionPhase::Looking(Search {
            round,
            probe_at: now.plus_ms(SILENCE_MS.0),
            repeat_at: now.plus_ms(interval_ms),
            interval_ms,
            finalize: None,
            strangers: BTreeMap::new(),
        });
        self.leaderless = Leaderless::new(now);
        self.outcome = None;
        self.looking.clear();
        assert_eq!(self.state(), ServerState::Looking, "a search has begun");
        self.refresh_message();
        self.connections.look(now, self.electorate.voters().into_iter());
        self.tell_voters(now);
        self.decide(now);
    }

    /// Ends the search: from now on this server follows, leads or observes, as `state` says. Servers that look for a
    /// leader get the vote that was agreed on.
    ///
    /// # Panics
    /// If `state` is LOOKING.
    pub fn settle(&mut self, state: ServerState) {
        assert!(state != ServerState::Looking, "a server that settles does not look for a leader");
        let vote = self.vote();
        self.phase = ElectionPhase::Settled { state, vote };
        assert_eq!((self.state(), self.vote()), (state, vote), "others get what was agreed on");
        self.refresh_message();
        self.connections.settle();
    }

    /// Ends the search, or replaces its result, because a reconfiguration has named the leader: this server takes
    /// `state` under the leader of `vote` without an election.
    ///
    /// # Panics
    /// If `state` is LOOKING.
    // ZooKeeper: QuorumPeer.updateVote.
    pub fn designate(&mut self, state: ServerState, vote: Vote) {
        assert!(
            state != ServerState::Looking,
            "a server that knows its leader does not look for one"
        );
        self.outcome = None;
        self.phase = ElectionPhase::Settled { state, vote };
        self.refresh_message();
        self.connections.settle();
    }

    /// Puts the leader's new epoch into the vote that others get. It changes nothing while this server looks for a
    /// leader.
    // ZooKeeper: QuorumPeer.updateElectionVote. Established votes then agree, although they were cast in different
    // epochs.
    pub fn set_vote_epoch(&mut self, epoch: Epoch) {
        if let ElectionPhase::Settled { vote, .. } = &mut self.phase {
            vote.peer_epoch = epoch;
            self.refresh_message();
        }
    }

    /// Sets the active configuration, and the last one that was proposed or seen. While the second is newer, a leader
    /// needs a quorum of both. The votes of a search in progress stay, so its owner should start it again.
    pub fn set_config(&mut self, active: Rc<Config>, last_seen: Rc<Config>) {
        self.connections.set_members(&active, &last_seen);
        self.electorate.active = active;
        self.electorate.last_seen = last_seen;
        self.refresh_message();
    }

    /// Sets the answer of the outside witness (`oraclePath`); no effect on a server without one. A yes may end a
    /// search at the next timeout, which is then due at once.
    pub fn set_oracle(&mut self, says_yes: bool) {
        if self.options.has_oracle {
            self.is_oracle_news |= self.electorate.oracle != Some(says_yes);
            self.electorate.oracle = Some(says_yes);
        }
    }

    /// Sets the configuration that notifications carry in place of the active one. `None`: they carry the active one.
    pub fn set_vouched(&mut self, vouched: Option<Rc<Config>>) {
        self.vouched = vouched;
        self.refresh_message();
    }

    /// The last answer of the witness; `None`: this server has no witness.
    pub fn oracle(&self) -> Option<bool> {
        self.electorate.oracle
    }

    /// Handles an event on a link that the election port accepted, or that this election opened.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        assert!(arrivals.is_empty(), "every arrival was handled in its event");
        self.connections.handle_link(now, event, &mut arrivals);
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Up(id) => self.on_up(now, id),
                Arrival::Failed => self.decide(now),
                Arrival::Message(id, bytes) => self.on_message(now, id, &bytes),
            }
        }
        self.arrivals = arrivals;
    }

    /// Does what is due at `now`: gives up connections without a handshake, opens connections, repeats the vote,
    /// replaces silent connections, and makes a vote final.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        self.connections.handle_timeout(now);
        self.is_oracle_news = false;
        // Outside an election, only connections have timers.
        let ElectionPhase::Looking(search) = &mut self.phase else { return };
        let is_probe = search.probe_at <= now;
        if is_probe {
            search.probe_at = now.plus_ms(SILENCE_MS.0);
        }
        if search.repeat_at <= now {
            search.interval_ms = (search.interval_ms * 2).min(self.options.interval_ms.1.max(1));
            search.repeat_at = now.plus_ms(search.interval_ms);
            self.say_leaderless(now);
            self.tell_voters(now);
        } else if self.leaderless.is_due(now) {
            self.say_leaderless(now);
        }
        if is_probe {
            self.probe(now);
        }
        self.decide(now);
    }

    /// The next time at which [`Election::handle_timeout`] has something to do; time 0 means at once. `None`: not
    /// before another event.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        let search = match &self.phase {
            ElectionPhase::Looking(_) if self.is_oracle_news => Some(MonoUs(0)),
            ElectionPhase::Looking(Search {
                probe_at, repeat_at, finalize, interval_ms, ..
            }) => {
                assert!(*interval_ms > 0, "a vote is not repeated without end");
                let finalize = finalize.map_or(*repeat_at, |(_, at)| at);
                Some(finalize.min(*repeat_at).min(*probe_at))
            }
            ElectionPhase::Idle | ElectionPhase::Settled { .. } => None,
        };
        search.into_iter().chain(self.connections.next_timeout()).min()
    }

    /// Moves the operations for the network to `ops`, and returns the outcome since the last call, if there is one.
    pub fn take(&mut self, ops: &mut Vec<LinkOp>) -> Option<Outcome> {
        self.connections.take(ops);
        self.outcome.take()
    }

    /// The voters that have said since the last call that they look for a leader, while this server did not. A leader
    /// that has waited long for the epochs of a quorum steps down when it hears of one.
    // ZooKeeper: Leader.reportLookingSid.
    pub fn take_looking(&mut self) -> BTreeSet<ServerId> {
        std::mem::take(&mut self.looking)
    }

    /// Whether this election opened or accepted the link, and has not closed it.
    #[cfg(test)]
    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.connections.owns(link)
    }

    /// The vote that other servers get.
    pub fn vote(&self) -> Vote {
        match &self.phase {
            ElectionPhase::Idle => NOBODY,
            ElectionPhase::Looking(search) => search.round.proposed,
            ElectionPhase::Settled { vote, .. } => *vote,
        }
    }

    /// The last round in which this server has taken part; notifications carry it as `electionEpoch`.
    pub fn round(&self) -> i64 {
        self.round
    }

    /// The state that notifications carry. An idle server says LOOKING, because it has no leader.
    fn state(&self) -> ServerState {
        match self.phase {
            ElectionPhase::Idle | ElectionPhase::Looking(_) => ServerState::Looking,
            ElectionPhase::Settled { state, .. } => state,
        }
    }

    /// Encodes the notification again after the vote, the state, the round or the configuration has changed. It is
    /// sent only with the next [`Connections::tell`].
    fn refresh_message(&mut self) {
        let (state, vote) = (self.state(), self.vote());
        let config = self.vouched.as_ref().unwrap_or(&self.electorate.active);
        let message = notification::write(state, vote, self.round, config);
        self.connections.set_message(message);
    }

    /// Sends the present vote to every other voter (`FastLeaderElection.sendNotifications`).
    fn tell_voters(&mut self, now: MonoUs) {
        for id in self.electorate.voters() {
            if id != self.options.me {
                self.connections.tell(now, id);
            }
        }
    }

    /// Logs that there is no leader yet, and which voters are missing.
    fn say_leaderless(&mut self, now: MonoUs) {
        let ElectionPhase::Looking(search) = &mut self.phase else {
            unreachable!("only a server that looks for a leader lacks one")
        };
        let Search { round, interval_ms, .. } = search;
        let connections = &self.connections;
        let heard = Heard::new(
            &self.electorate,
            |id| round.has_heard(id),
            |id| connections.is_unreachable(id),
            |id| connections.failure(id).to_owned(),
        );
        self.leaderless.say(now, *interval_ms, &heard);
    }

    /// A connection was established. The other side may have missed what was sent over the connection before, so a
    /// voter gets the vote again.
    fn on_up(&mut self, now: MonoUs, id: ServerId) {
        if !matches!(self.phase, ElectionPhase::Idle) && self.electorate.is_voter(id) {
            self.connections.tell(now, id);
        } else {
            self.connections.flush(id);
        }
    }

    /// Replaces the connections over which a voter was silent for too long.
    fn probe(&mut self, now: MonoUs) {
        for id in self.electorate.voters() {
            let ElectionPhase::Looking(search) = &self.phase else {
                unreachable!("only a server that looks for a leader probes")
            };
            let has_heard = search.round.has_heard(id);
            let silence_ms = if has_heard { SILENCE_MS.1 } else { SILENCE_MS.0 };
            self.connections.renew_if_silent(now, id, silence_ms);
        }
    }

    /// Ends the search if a quorum agrees and no better vote can come, or none came within `finalizeWait`.
    fn decide(&mut self, now: MonoUs) {
        // Something has failed or come after the election.
        let ElectionPhase::Looking(search) = &mut self.phase else { return };
        let Some(agreement) = search.round.agreement(&self.electorate) else {
            search.finalize = None;
            return;
        };
        assert_eq!(agreement.vote, search.round.proposed, "this server agrees");
        // A quorum that agrees on another vote than before waits anew: a still better vote may be under way.
        let at = match search.finalize {
            Some((vote, at)) if vote == agreement.vote => at,
            _ => now.plus_ms(self.options.finalize_wait_ms),
        };
        search.finalize = Some((agreement.vote, at));
        let connections = &self.connections;
        let is_unreachable = |id| connections.is_unreachable(id);
        if at <= now || search.round.is_complete(&self.electorate, is_unreachable) {
            self.on_elected(now, agreement);
        }
    }

    /// Whether this server observes: as the active configuration says, or, if that does not name it, as its options
    /// say.
    fn is_observer(&self) -> bool {
        let role = self.electorate.active.members.get(&self.options.me).map(|member| member.role);
        role.map_or(self.options.is_observer, |role| role == PeerType::Observer)
    }

    /// Settles on the leader of `agreement`, and makes it the outcome.
    fn on_elected(&mut self, now: MonoUs, agreement: Agreement) {
        let Agreement { vote, round, supporters } = agreement;
        let leader = vote.leader;
        assert!(!supporters.is_empty(), "a quorum is not empty");
        assert!(
            matches!(self.phase, ElectionPhase::Looking(_)),
            "only a server that looks for a leader finds one"
        );
        assert!(self.outcome.is_none(), "a search has one outcome");
        let state = if leader == self.options.me {
            ServerState::Leading
        } else if self.is_observer() {
            ServerState::Observing
        } else {
            ServerState::Following
        };
        info_unless!(
            self.is_quiet,
            leader = leader.0,
            zxid = %vote.zxid,
            epoch = vote.peer_epoch.0,
            round,
            state = notification::name(state),
            "leader elected"
        );
        self.round = round;
        let search = std::mem::replace(&mut self.phase, ElectionPhase::Settled { state, vote });
        self.refresh_message();
        if let ElectionPhase::Looking(search) = search {
            // They know only this server's earlier vote.
            for id in search.strangers.into_keys() {
                self.connections.tell(now, id);
            }
        }
        self.connections.settle();
        self.outcome = Some(Outcome::Elected(Elected { leader, vote, round, supporters }));
    }
}
