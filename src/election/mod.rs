//! Leader election: the votes of a round, and the connections on which servers send them.
//!
//! An [`Election`] combines two classes of ZooKeeper: `FastLeaderElection`, which decides, and
//! `QuorumCnxManager`, which keeps one connection to each other server. It lives as long as the server: a
//! server that has a leader still answers those that look for one.
//!
//! A vote is ordered by epoch, then zxid, then server: the winner has the newest history in a quorum. The
//! round number separates votes of different elections.

mod connections;
mod handshake;
mod leaderless;
mod messages;
mod notification;
mod outcome;
mod round;
#[cfg(test)]
mod tests;

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

/// A server that looks for a leader.
#[derive(Debug)]
struct Search {
    /// The votes of this round.
    round: Round,
    /// When silent connections are checked next.
    probe_at: MonoUs,
    /// When the vote is repeated to all servers.
    repeat_at: MonoUs,
    /// Time between repetitions; it doubles.
    interval_ms: u64,
    /// A quorum agrees on this vote; it becomes final at this time.
    finalize: Option<(Vote, MonoUs)>,
    /// Non-voters that have asked, and when they were answered. They get the result.
    strangers: BTreeMap<ServerId, MonoUs>,
}

/// The state of an election.
#[derive(Debug)]
enum ElectionPhase {
    /// Before the first search, and while a newer configuration is taken over.
    Idle,
    /// This server looks for a leader.
    Looking(Search),
    /// There is a leader; this is the vote that others get.
    Settled { state: ServerState, vote: Vote },
}

/// Finds a leader, and tells other servers which leader this server has.
#[derive(Debug)]
pub struct Election {
    /// How this server behaves in elections.
    options: ElectionOptions,
    /// The voters under both configurations, and the rule for a quorum.
    electorate: Electorate,
    /// The configuration that others are told, if the active one is known only from a vote: others would
    /// trust it if this server repeated it.
    vouched: Option<Rc<Config>>,
    /// The connections to the other servers.
    connections: Connections,
    /// The last round in which this server has taken part (`logicalclock`). Each search begins a later one, and joins a
    /// later one when another server is ahead.
    ///
    /// Invariant: the round of the present search.
    round: i64,
    /// The state of the election, which decides what other servers are told.
    phase: ElectionPhase,
    /// The log of the present election.
    leaderless: Leaderless,
    /// The outcome that was not taken yet.
    ///
    /// Invariant: none while this server looks for a leader.
    outcome: Option<Outcome>,
    /// The servers that have looked for a leader since the last [`Election::take_looking`], while this one did not.
    looking: BTreeSet<ServerId>,
    /// The witness's answer has changed: an election may be over.
    is_oracle_news: bool,
    /// The same events repeat, and were logged.
    is_quiet: bool,
    /// The arrivals of the present event.
    ///
    /// Invariant: none between two events.
    arrivals: Vec<Arrival>,
    /// The servers that this server could not follow, and until when it does not help to elect them.
    avoided: BTreeMap<ServerId, MonoUs>,
}

/// During an election, the connection of a server from which nothing was received for this time, in ms, is
/// replaced: for one that has sent nothing in this election, and for one that has. A dead connection would
/// be noticed only by the kernel, after minutes.
const SILENCE_MS: (u64, u64) = (2000, 30_000);

const NOBODY: Vote =
    Vote { leader: ServerId(i64::MIN), zxid: Zxid(i64::MIN), peer_epoch: Epoch(i64::MIN) };

impl Election {
    /// An idle election, which answers only servers that connect.
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

    /// This server cannot follow `leader`, and does not vote for it until `until`. If its vote elected a
    /// leader that it then cannot follow, the servers that can follow one would be kept from electing it:
    ///
    /// 1. Servers 1 and 3 have one history, server 2 has another. 1 and 2 elect 1, which waits for a
    ///    second server for `initLimit`.
    /// 2. Server 3 finds two servers that look or wait, and no quorum that follows; 2 and 3 elect 3.
    /// 3. Server 1 gives up, and is in the position of 3 before; 1 and 2 elect 1, and so on.
    pub fn avoid(&mut self, leader: ServerId, until: MonoUs) {
        self.avoided.insert(leader, until);
    }

    fn avoids(&mut self, now: MonoUs, leader: ServerId) -> bool {
        self.avoided.retain(|_, until| now < *until);
        self.avoided.contains_key(&leader)
    }

    /// The same events repeat, and were logged: further ones are logged only at the debug level.
    pub fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// Whether repeated events are logged only at the debug level.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Starts an election: a new round begins, with a vote for this server and its history. A server that
    /// does not vote learns which leader the others have elected.
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

    /// The same for a server that could not lead: it votes for another one whose history is not older than
    /// its own, which ends at `zxid`; until there is one, it votes for no server.
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

    /// Ends the election: this server follows, leads or observes. Servers that look for a leader get the
    /// vote that was agreed on.
    pub fn settle(&mut self, state: ServerState) {
        assert!(state != ServerState::Looking, "a server that settles does not look for a leader");
        let vote = self.vote();
        self.phase = ElectionPhase::Settled { state, vote };
        assert_eq!((self.state(), self.vote()), (state, vote), "others get what was agreed on");
        self.refresh_message();
        self.connections.settle();
    }

    /// A reconfiguration has named the leader: this server follows or leads without an election
    /// (`QuorumPeer.updateVote`).
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

    /// The leader's new epoch goes into the vote that others get (`QuorumPeer.updateElectionVote`).
    pub fn set_vote_epoch(&mut self, epoch: Epoch) {
        if let ElectionPhase::Settled { vote, .. } = &mut self.phase {
            vote.peer_epoch = epoch;
            self.refresh_message();
        }
    }

    /// The configuration that is active, and the last one that was proposed or seen. While they
    /// differ, a leader needs a quorum of both. An election in progress should start again.
    pub fn set_config(&mut self, active: Rc<Config>, last_seen: Rc<Config>) {
        self.connections.set_members(&active, &last_seen);
        self.electorate.active = active;
        self.electorate.last_seen = last_seen;
        self.refresh_message();
    }

    /// Sets the answer of the outside witness (`oraclePath`). A yes may end an election at the next timeout.
    pub fn set_oracle(&mut self, says_yes: bool) {
        if self.options.has_oracle {
            self.is_oracle_news |= self.electorate.oracle != Some(says_yes);
            self.electorate.oracle = Some(says_yes);
        }
    }

    /// Sets the configuration that others are told, if it differs from the one that this election uses.
    pub fn set_vouched(&mut self, vouched: Option<Rc<Config>>) {
        self.vouched = vouched;
        self.refresh_message();
    }

    /// The answer of the witness; `None`: there is no witness.
    pub fn oracle(&self) -> Option<bool> {
        self.electorate.oracle
    }

    /// Handles an event on a link that was accepted on the election port, or that this election opened.
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

    /// Time has passed.
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

    /// When [`Election::handle_timeout`] has something to do.
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

    /// The operations for the network, and the outcome since the last call.
    pub fn take(&mut self, ops: &mut Vec<LinkOp>) -> Option<Outcome> {
        self.connections.take(ops);
        self.outcome.take()
    }

    /// Servers that have reported since the last call that they look for a leader, while this one did not
    /// (`Leader.reportLookingSid`).
    pub fn take_looking(&mut self) -> BTreeSet<ServerId> {
        std::mem::take(&mut self.looking)
    }

    /// Whether the link is one of this election.
    #[cfg(test)]
    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.connections.owns(link)
    }

    /// The vote that others get.
    pub fn vote(&self) -> Vote {
        match &self.phase {
            ElectionPhase::Idle => NOBODY,
            ElectionPhase::Looking(search) => search.round.proposed,
            ElectionPhase::Settled { vote, .. } => *vote,
        }
    }

    /// The last round in which this server has taken part (`electionEpoch`).
    pub fn round(&self) -> i64 {
        self.round
    }

    fn state(&self) -> ServerState {
        match self.phase {
            ElectionPhase::Idle | ElectionPhase::Looking(_) => ServerState::Looking,
            ElectionPhase::Settled { state, .. } => state,
        }
    }

    /// The vote that this server sends has changed.
    fn refresh_message(&mut self) {
        let (state, vote) = (self.state(), self.vote());
        let config = self.vouched.as_ref().unwrap_or(&self.electorate.active);
        let message = notification::write(state, vote, self.round, config);
        self.connections.set_message(message);
    }

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
        );
        self.leaderless.say(now, *interval_ms, &heard);
    }

    /// A new connection: the other side may have missed a message on the last one.
    fn on_up(&mut self, now: MonoUs, id: ServerId) {
        if !matches!(self.phase, ElectionPhase::Idle) && self.electorate.is_voter(id) {
            self.connections.tell(now, id);
        } else {
            self.connections.flush(id);
        }
    }

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

    /// Ends the election if a quorum agrees and no better vote can come, or none has come in time.
    fn decide(&mut self, now: MonoUs) {
        // Something has failed or come after the election.
        let ElectionPhase::Looking(search) = &mut self.phase else { return };
        let Some(agreement) = search.round.agreement(&self.electorate) else {
            search.finalize = None;
            return;
        };
        assert_eq!(agreement.vote, search.round.proposed, "this server agrees");
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

    fn is_observer(&self) -> bool {
        let role = self.electorate.active.members.get(&self.options.me).map(|member| member.role);
        role.map_or(self.options.is_observer, |role| role == PeerType::Observer)
    }

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
