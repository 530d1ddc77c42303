//! Who shall lead: the votes of a round, and the connections on which servers send them.
//!
//! An [`Election`] is both of ZooKeeper's halves in one: `FastLeaderElection` decides, and
//! `QuorumCnxManager` keeps one connection to each other server. It lives as long as the server: one
//! that has found its leader goes on answering those that look for one.
//!
//! A vote is ordered by epoch, then zxid, then server: the winner has the newest history that any of
//! a quorum has. The round keeps votes of different elections apart.

mod connections;
mod handshake;
mod leaderless;
mod notification;
mod round;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::id::{Epoch, ServerId, Zxid};
use crate::limits::ELECTION_STRANGERS_MAX;
use crate::link::{LinkEvent, LinkId, LinkIds, LinkOp};
use crate::proto::quorum::ServerState;
use crate::quorum::PeerOptions;
use crate::quorum::{Config, Role};
use crate::time::MonoUs;
use crate::zab::kept_out::info_unless;

use connections::{Arrival, Connections};
use leaderless::{Heard, Leaderless};
use notification::Ballot;
use round::{Agreement, Consequence, Electorate, Round};

/// How an election behaves.
#[derive(Clone, Debug)]
pub struct ElectionOptions {
    /// This server.
    pub me: ServerId,
    /// Where the configuration does not name it, this server observes (`peerType=observer`).
    pub is_observer: bool,
    /// Shortest and longest time until a vote is repeated, in ms.
    pub interval_ms: (u64, u64),
    /// How long a quorum waits for a better vote, in ms (`finalizeWait`).
    pub finalize_wait_ms: u64,
    /// How long a connection may take to be made, in ms (`cnxTimeout`).
    pub connect_ms: u64,
    /// How long whoever connects may take to say who he is, in ms (`quorumCnxnTimeoutMs`).
    pub handshake_ms: u64,
    /// Say all addresses in the handshake (`multiAddress.enabled`).
    pub multi_address: bool,
    /// A newer configuration in a notification counts (`reconfigEnabled`).
    pub reconfig: bool,
    /// An outside witness decides between two servers (`oraclePath`).
    pub has_oracle: bool,
}

impl ElectionOptions {
    /// What these options of a peer say about elections.
    pub fn new(options: &PeerOptions) -> ElectionOptions {
        ElectionOptions {
            me: options.me,
            is_observer: options.is_observer,
            interval_ms: options.notification_interval_ms,
            finalize_wait_ms: 200,
            connect_ms: options.election_connect_ms,
            handshake_ms: options.election_handshake_ms,
            multi_address: options.multi_address,
            reconfig: options.reconfig,
            has_oracle: options.has_oracle,
        }
    }
}

/// Whom a server wants to lead, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Whom; `i64::MIN` from a server that does not vote and knows nobody.
    pub leader: ServerId,
    /// The last transaction in its log.
    pub zxid: Zxid,
    /// Its `currentEpoch`.
    pub peer_epoch: Epoch,
}

/// The end of a search for a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elected {
    /// The leader; this server itself if it is to lead.
    pub leader: ServerId,
    /// What the quorum agreed on.
    pub vote: Vote,
    /// The round.
    pub round: i64,
    /// Those who voted for it, as far as is known here.
    pub supporters: BTreeSet<ServerId>,
}

/// What an election has found.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A leader.
    Elected(Elected),
    /// Another server knows a newer configuration: it is to become the active one
    /// ([`Election::set_config`]), and the search begins anew ([`Election::look`]).
    NewerConfig(Rc<Config>),
    /// The server that was elected votes for another one: who has not reached it yet better looks
    /// again than waits.
    Deserted(ServerId),
}

/// A server that looks for a leader.
#[derive(Debug)]
struct Search {
    round: Round,
    /// When connections are looked at on which nothing is heard.
    probe_at: MonoUs,
    /// When everybody hears the vote again.
    repeat_at: MonoUs,
    /// Time between repetitions; it doubles.
    interval_ms: u64,
    /// A quorum agrees on this vote, and is final then.
    finalize: Option<(Vote, MonoUs)>,
    /// Who does not vote and has asked: when it was answered. It hears the result.
    strangers: BTreeMap<ServerId, MonoUs>,
}

#[derive(Debug)]
enum Phase {
    /// Before the first search, and while a newer configuration is taken over.
    Idle,
    Looking(Search),
    /// A leader is found; this is what others hear.
    Settled {
        state: ServerState,
        vote: Vote,
    },
}

/// Finds a leader, and tells others whom this server has found.
#[derive(Debug)]
pub struct Election {
    options: ElectionOptions,
    electorate: Electorate,
    /// What others are told of the ensemble, if the active configuration is one that only a vote has said:
    /// they would believe this server's word as well.
    vouched: Option<Rc<Config>>,
    connections: Connections,
    /// The last round (`logicalclock`).
    round: i64,
    phase: Phase,
    /// Of the search under way.
    leaderless: Leaderless,
    outcome: Option<Outcome>,
    looking: BTreeSet<ServerId>,
    /// The witness has changed its mind: a search may be over.
    is_oracle_news: bool,
    /// The same happens again and again, and was said.
    is_quiet: bool,
    arrivals: Vec<Arrival>,
    /// Whom this server could not follow, and until when it helps nobody of them to be elected.
    avoided: BTreeMap<ServerId, MonoUs>,
}

/// After this time without a word from a server, in ms, its connection is made anew while a leader
/// is looked for: from one that has said nothing in this search, and from one that has. A dead
/// connection would be noticed only by the kernel, after minutes.
const SILENCE_MS: (u64, u64) = (2000, 30_000);

const NOBODY: Vote =
    Vote { leader: ServerId(i64::MIN), zxid: Zxid(i64::MIN), peer_epoch: Epoch(i64::MIN) };

impl Election {
    /// Nothing is looked for yet, and only those who connect are talked to.
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
            phase: Phase::Idle,
            leaderless: Leaderless::new(MonoUs(0)),
            outcome: None,
            looking: BTreeSet::new(),
            is_oracle_news: false,
            is_quiet: false,
            arrivals: Vec::new(),
            avoided: BTreeMap::new(),
        }
    }

    /// This server cannot follow `leader`, and does not vote for it until then. Where its vote elects
    /// one whom it then cannot follow, those who can are kept from electing:
    ///
    /// 1. Servers 1 and 3 have one history, server 2 has another. 1 and 2 elect 1, which waits for a
    ///    second server for `initLimit`.
    /// 2. Server 3 finds two that look or wait, and no quorum that follows; 2 and 3 elect 3.
    /// 3. Server 1 gives up, and finds what 3 found; 1 and 2 elect 1, and so on.
    pub fn avoid(&mut self, leader: ServerId, until: MonoUs) {
        self.avoided.insert(leader, until);
    }

    fn avoids(&mut self, now: MonoUs, leader: ServerId) -> bool {
        self.avoided.retain(|_, until| now < *until);
        self.avoided.contains_key(&leader)
    }

    /// The same happens again and again, and was said: what is found goes to those who look for faults.
    pub fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// Whether it was said.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Looks for a leader from now on: a new round begins, with a vote for this server and its
    /// history. A server that does not vote learns whom the others have elected.
    pub fn look(&mut self, now: MonoUs, zxid: Zxid, epoch: Epoch) {
        let me = self.options.me;
        // What the configuration says goes before what this server was started as
        // (QuorumPeer.updateLearnerType).
        let votes = self.electorate.active.is_voter(me);
        let initial = if votes { Vote { leader: me, zxid, peer_epoch: epoch } } else { NOBODY };
        self.round = self.round.saturating_add(1);
        info_unless!(
            self.is_quiet,
            round = self.round,
            %zxid,
            epoch = epoch.0,
            // The others pass over the vote of a server that knows of no history.
            votes = votes && zxid != Zxid::NONE,
            "looking for a leader"
        );
        self.search(now, Round::new(&self.electorate, self.round, initial));
    }

    /// The same for a server that could not lead: it votes for another one whose history is not
    /// older than its own, which ends at `zxid`, and until there is one for nobody.
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
        self.phase = Phase::Looking(Search {
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
        self.refresh_message();
        self.connections.look(now, self.electorate.voters().into_iter());
        self.tell_voters(now);
        self.decide(now);
    }

    /// Looks no more: this server follows, leads or observes. Others who look get the vote that was
    /// agreed on.
    pub fn settle(&mut self, state: ServerState) {
        assert!(state != ServerState::Looking, "who settles does not look");
        let vote = self.vote();
        self.phase = Phase::Settled { state, vote };
        self.refresh_message();
        self.connections.settle();
    }

    /// A reconfiguration has named the leader: this server looks no more and follows or leads,
    /// without a search (`QuorumPeer.updateVote`).
    pub fn designate(&mut self, state: ServerState, vote: Vote) {
        assert!(state != ServerState::Looking, "who knows its leader does not look");
        self.outcome = None;
        self.phase = Phase::Settled { state, vote };
        self.refresh_message();
        self.connections.settle();
    }

    /// The leader's new epoch goes into the vote that others get (`QuorumPeer.updateElectionVote`).
    pub fn set_vote_epoch(&mut self, epoch: Epoch) {
        if let Phase::Settled { vote, .. } = &mut self.phase {
            vote.peer_epoch = epoch;
            self.refresh_message();
        }
    }

    /// The configuration that is active, and the last one that was proposed or seen. While they
    /// differ, a leader needs a quorum of both. A search that goes on should begin anew.
    pub fn set_config(&mut self, active: Rc<Config>, last_seen: Rc<Config>) {
        self.connections.set_members(&active, &last_seen);
        self.electorate.active = active;
        self.electorate.last_seen = last_seen;
        self.refresh_message();
    }

    /// What the outside witness says (`oraclePath`). Its yes may end a search at the next timeout.
    pub fn set_oracle(&mut self, says_yes: bool) {
        if self.options.has_oracle {
            self.is_oracle_news |= self.electorate.oracle != Some(says_yes);
            self.electorate.oracle = Some(says_yes);
        }
    }

    /// The configuration that others are told is active, if it is not the one by which this server searches.
    pub fn set_vouched(&mut self, vouched: Option<Rc<Config>>) {
        self.vouched = vouched;
        self.refresh_message();
    }

    /// What it says, as far as is known; `None`: there is none.
    pub fn oracle(&self) -> Option<bool> {
        self.electorate.oracle
    }

    /// Something happened on a link of the election port: one that was accepted there, or that
    /// [`Election::owns`].
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
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
        let Phase::Looking(search) = &mut self.phase else { return };
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
            Phase::Looking(_) if self.is_oracle_news => Some(MonoUs(0)),
            Phase::Looking(Search { probe_at, repeat_at, finalize, .. }) => {
                let finalize = finalize.map_or(*repeat_at, |(_, at)| at);
                Some(finalize.min(*repeat_at).min(*probe_at))
            }
            Phase::Idle | Phase::Settled { .. } => None,
        };
        search.into_iter().chain(self.connections.next_timeout()).min()
    }

    /// What the network is to do, and what was found since the last call.
    pub fn take(&mut self, ops: &mut Vec<LinkOp>) -> Option<Outcome> {
        self.connections.take(ops);
        self.outcome.take()
    }

    /// Servers that said that they look for a leader, since the last call, while this one did not
    /// (`Leader.reportLookingSid`).
    pub fn take_looking(&mut self) -> BTreeSet<ServerId> {
        std::mem::take(&mut self.looking)
    }

    /// Whether the link is one of this election.
    pub fn owns(&self, link: LinkId) -> bool {
        self.connections.owns(link)
    }

    /// The vote that others get.
    pub fn vote(&self) -> Vote {
        match &self.phase {
            Phase::Idle => NOBODY,
            Phase::Looking(search) => search.round.proposed,
            Phase::Settled { vote, .. } => *vote,
        }
    }

    /// The last round in which this server has taken part (`electionEpoch`).
    pub fn round(&self) -> i64 {
        self.round
    }

    fn state(&self) -> ServerState {
        match self.phase {
            Phase::Idle | Phase::Looking(_) => ServerState::Looking,
            Phase::Settled { state, .. } => state,
        }
    }

    /// What this server says has changed.
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

    /// Tells an operator that there is no leader yet, and who is missing.
    fn say_leaderless(&mut self, now: MonoUs) {
        let Phase::Looking(search) = &mut self.phase else { return };
        let Search { round, interval_ms, .. } = search;
        let connections = &self.connections;
        let heard = Heard::new(
            &self.electorate,
            |id| round.has_heard(id),
            |id| connections.is_unreachable(id),
        );
        self.leaderless.say(now, *interval_ms, &heard);
    }

    /// A new connection: the other side may have missed what was said on the last one.
    fn on_up(&mut self, now: MonoUs, id: ServerId) {
        if !matches!(self.phase, Phase::Idle) && self.electorate.is_voter(id) {
            self.connections.tell(now, id);
        } else {
            self.connections.flush(id);
        }
    }

    fn probe(&mut self, now: MonoUs) {
        for id in self.electorate.voters() {
            let Phase::Looking(search) = &self.phase else { return };
            let has_heard = search.round.has_heard(id);
            let silence_ms = if has_heard { SILENCE_MS.1 } else { SILENCE_MS.0 };
            self.connections.renew_if_silent(now, id, silence_ms);
        }
    }

    fn on_message(&mut self, now: MonoUs, from: ServerId, bytes: &[u8]) {
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
        } else if matches!(self.phase, Phase::Looking(_))
            && state == ServerState::Looking
            && self.avoids(now, vote.leader)
        {
            // One who leads already may have others who follow.
            tracing::debug!(leader = vote.leader.0, "not voted for: its history is another one");
        } else if let Phase::Looking(search) = &mut self.phase {
            let consequence = search.round.consider(&self.electorate, from, ballot);
            self.on_consequence(now, from, consequence);
        } else if state == ServerState::Looking && !matches!(self.phase, Phase::Idle) {
            self.on_looker(now, from, ballot);
        }
    }

    /// Whether another server is ahead with the configuration. Then nothing else in its message
    /// counts: the votes of the newer one do.
    fn finds_newer_config(&mut self, from: ServerId, config: Option<&[u8]>) -> bool {
        let Some(config) = config.filter(|config| !config.is_empty()) else { return false };
        if !self.options.reconfig || !matches!(self.phase, Phase::Looking(_)) {
            return false;
        }
        match Config::from_bytes(config) {
            Ok(config)
                if config.version > self.electorate.active.version
                    && !self.connections.may_name_members(from) =>
            {
                tracing::debug!(
                    server = from.0,
                    "no member says a newer configuration: passed over"
                );
                false
            }
            Ok(config) if config.version > self.electorate.active.version => {
                tracing::info!(
                    server = from.0,
                    version = format_args!("{:x}", config.version),
                    "a newer configuration is known there"
                );
                self.phase = Phase::Idle;
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

    /// A server that does not vote, and whose vote does not count: it wants to know who leads.
    fn answer_stranger(&mut self, now: MonoUs, from: ServerId, state: ServerState) {
        match &mut self.phase {
            Phase::Idle => return,
            // Two servers that take each other for strangers would answer each other's answers
            // without end.
            Phase::Looking(search) => {
                let interval_ms = self.options.interval_ms.0.max(1);
                let answered = search.strangers.get(&from);
                if answered.is_some_and(|at| now < at.plus_ms(interval_ms)) {
                    return;
                }
                if search.strangers.len() < 2 * ELECTION_STRANGERS_MAX || answered.is_some() {
                    search.strangers.insert(from, now);
                }
            }
            Phase::Settled { .. } if state != ServerState::Looking => return,
            Phase::Settled { .. } => {}
        }
        self.connections.tell(now, from);
    }

    fn on_looker(&mut self, now: MonoUs, from: ServerId, ballot: Ballot) {
        self.looking.insert(from);
        self.connections.tell(now, from);
        let Phase::Settled { state, vote } = &self.phase else { return };
        // A server that was elected and does not stand any more votes for nobody, in a later round.
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

    fn on_consequence(&mut self, now: MonoUs, from: ServerId, consequence: Consequence) {
        let Phase::Looking(search) = &self.phase else { return };
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

    /// Ends the search if a quorum agrees and nobody better can come, or has not come in time.
    fn decide(&mut self, now: MonoUs) {
        let Phase::Looking(search) = &mut self.phase else { return };
        let Some(agreement) = search.round.agreement(&self.electorate) else {
            search.finalize = None;
            return;
        };
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
        role.map_or(self.options.is_observer, |role| role == Role::Observer)
    }

    fn on_elected(&mut self, now: MonoUs, agreement: Agreement) {
        let Agreement { vote, round, supporters } = agreement;
        let leader = vote.leader;
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
        let search = std::mem::replace(&mut self.phase, Phase::Settled { state, vote });
        self.refresh_message();
        if let Phase::Looking(search) = search {
            // They know only what this server meant before.
            for id in search.strangers.into_keys() {
                self.connections.tell(now, id);
            }
        }
        self.connections.settle();
        self.outcome = Some(Outcome::Elected(Elected { leader, vote, round, supporters }));
    }
}
