//! One round of an election: the votes received, and when they suffice (`FastLeaderElection`).
//!
//! ```text
//! received  votes of this round: of servers that look, and of those that have just decided in it
//! outside   votes of servers that have a leader, of any round (ZooKeeper's `outofelection`)
//! ```
//! A newer round replaces an older one and its votes; a vote of an older round is answered, not
//! counted. While a new configuration is proposed, its members vote too, but only those of the
//! active one can be elected. An established leader is joined when a quorum follows it *and it says
//! itself that it leads*: otherwise a leader that has just died would be elected over and over.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Vote;
use super::notification::Ballot;
use crate::id::{Epoch, ServerId, Zxid};
use crate::proto::quorum::ServerState;
use crate::quorum::{AckTracker, Config, Oracle};

/// The voters, and the rule for a quorum.
#[derive(Debug, Clone)]
pub(super) struct Electorate {
    pub(super) me: ServerId,
    pub(super) active: Rc<Config>,
    /// Counts besides `active` while it is newer.
    pub(super) last_seen: Rc<Config>,
    /// The answer of the outside witness, if there is one.
    pub(super) oracle: Option<bool>,
}

impl Electorate {
    fn next(&self) -> Option<&Config> {
        (self.last_seen.version > self.active.version).then_some(&*self.last_seen)
    }

    /// Whether the server votes in the active or in the next configuration.
    pub(super) fn is_voter(&self, id: ServerId) -> bool {
        self.active.is_voter(id) || self.next().is_some_and(|next| next.is_voter(id))
    }

    /// Whether the server can be elected: only by the configuration that is active. A proposed
    /// configuration is not known to all voters, and the others would never vote for a server that it
    /// adds: this server would wait for them for ever.
    fn may_lead(&self, id: ServerId) -> bool {
        self.active.is_voter(id)
    }

    /// All of them, this server included.
    pub(super) fn voters(&self) -> BTreeSet<ServerId> {
        let next = self.next().into_iter().flat_map(Config::voters);
        self.active.voters().chain(next).collect()
    }

    fn weight(&self, id: ServerId) -> i64 {
        match self.next() {
            Some(next) if !self.active.members.contains_key(&id) => next.weight(id),
            _ => self.active.weight(id),
        }
    }

    /// Whether `new` beats `old`: the newer history wins, the larger id among equals
    /// (`totalOrderPredicate`). A server without weight never wins, and always loses, so that it does
    /// not keep voting for itself when its history happens to be the newest.
    pub(super) fn is_better(&self, new: Vote, old: Vote) -> bool {
        let rank = |vote: Vote| (vote.peer_epoch, vote.zxid, vote.leader);
        self.weight(new.leader) != 0 && (self.weight(old.leader) == 0 || rank(new) > rank(old))
    }

    fn tracker(&self, agreeing: impl Iterator<Item = ServerId>) -> AckTracker {
        let mut tracker = AckTracker::of_both(&self.active, &self.last_seen);
        for id in agreeing {
            tracker.add(id);
        }
        tracker
    }

    fn has_all_quorums(&self, tracker: &AckTracker) -> bool {
        // While a server looks for a leader, it has no followers: the witness is needed.
        let oracle = self.oracle.map(|says_yes| Oracle { needed: true, says_yes });
        tracker.has_all_quorums_with(oracle)
    }

    /// Whether a witness exists, decides here, and has chosen the other server.
    fn oracle_is_with_the_other(&self) -> bool {
        self.oracle == Some(false) && self.voters().len() <= 2
    }
}

/// A leader, and the servers that support it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreement {
    pub(super) vote: Vote,
    pub(super) round: i64,
    pub(super) supporters: BTreeSet<ServerId>,
}

/// The consequence of a vote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// None, except that the vote may count.
    Noted,
    /// It is of an older round: the sender gets ours.
    Answer,
    /// Our own vote has changed: all servers get it.
    Proposes,
    /// There already is a leader.
    Joins(Agreement),
}

/// One search. See the module.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) number: i64,
    /// The initial vote of this server.
    initial: Vote,
    /// Its present vote.
    pub(super) proposed: Vote,
    /// This server does not stand for election, and votes only for a server with at least this
    /// history.
    floor: Option<(Epoch, Zxid)>,
    received: BTreeMap<ServerId, Ballot>,
    outside: BTreeMap<ServerId, Ballot>,
}

impl Round {
    pub(super) fn new(electorate: &Electorate, number: i64, initial: Vote) -> Round {
        let (received, outside) = (BTreeMap::new(), BTreeMap::new());
        let mut round =
            Round { number, initial, proposed: initial, floor: None, received, outside };
        round.propose(electorate, initial);
        round
    }

    /// A round in which this server votes, and cannot be elected. Until it hears of a server whose
    /// history is not older than its own, given as epoch and zxid, it votes for `nobody`.
    pub(super) fn without_standing(
        electorate: &Electorate,
        number: i64,
        nobody: Vote,
        floor: (Epoch, Zxid),
    ) -> Round {
        Round { floor: Some(floor), ..Round::new(electorate, number, nobody) }
    }

    /// Whether this server may cast this vote.
    fn may_vote(&self, electorate: &Electorate, vote: Vote) -> bool {
        self.floor.is_none_or(|floor| {
            vote.leader != electorate.me && (vote.peer_epoch, vote.zxid) >= floor
        })
    }

    /// Changes its vote, and records it.
    fn propose(&mut self, electorate: &Electorate, vote: Vote) {
        assert!(self.may_vote(electorate, vote) || vote == self.initial, "a vote that it may cast");
        self.proposed = vote;
        // ZooKeeper sends its own vote to itself. Only a voter does so, and its vote for no server
        // would not be accepted.
        if electorate.is_voter(electorate.me) && electorate.may_lead(vote.leader) {
            let (state, round) = (ServerState::Looking, self.number);
            let own = Ballot { state, vote, round, is_versioned: true };
            self.received.insert(electorate.me, own);
        }
    }

    /// Begins a newer round: votes of older rounds are void.
    fn begin(&mut self, electorate: &Electorate, number: i64, vote: Vote) {
        self.number = number;
        self.received.clear();
        self.propose(electorate, vote);
        assert!(self.received.len() <= 1, "votes of older rounds are void");
    }

    /// Handles the vote of a voter.
    pub(super) fn consider(
        &mut self,
        electorate: &Electorate,
        from: ServerId,
        ballot: Ballot,
    ) -> Consequence {
        let leader = ballot.vote.leader;
        if !electorate.is_voter(from) {
            tracing::debug!(server = from.0, leader = leader.0, "vote of a server without a vote");
            return Consequence::Noted;
        }
        if !electorate.may_lead(leader) {
            tracing::debug!(server = from.0, leader = leader.0, "vote for one that cannot lead");
            return self.consider_undecided(electorate, ballot);
        }
        match ballot.state {
            ServerState::Looking => self.consider_looking(electorate, from, ballot),
            ServerState::Following => self.consider_established(electorate, from, ballot),
            ServerState::Leading => {
                let consequence = self.consider_established(electorate, from, ballot);
                // ZooKeeper: FastLeaderElection.receivedLeadingNotification (ZOOKEEPER-3922). The
                // witness has chosen the other one of two servers, which leads without a quorum.
                if consequence == Consequence::Noted && electorate.oracle_is_with_the_other() {
                    let supporters = BTreeSet::from([from]);
                    let Ballot { vote, round, .. } = ballot;
                    return Consequence::Joins(Agreement { vote, round, supporters });
                }
                consequence
            }
            ServerState::Observing => Consequence::Noted,
        }
    }

    /// A voter names no server that could lead. Its vote does not count, but its round does:
    ///
    /// 1. A server that only the proposed configuration names looks for a leader for the second time,
    ///    and votes for no server. This server is in round 1, and needs a quorum of that
    ///    configuration.
    /// 2. For that server, the vote of this server is of an older round: it is answered, not counted.
    /// 3. If the answer changed nothing here, as in ZooKeeper, both would look for a leader for ever.
    fn consider_undecided(&mut self, electorate: &Electorate, ballot: Ballot) -> Consequence {
        if ballot.state != ServerState::Looking || ballot.round <= self.number {
            return Consequence::Noted;
        }
        self.begin(electorate, ballot.round, self.initial);
        Consequence::Proposes
    }

    fn consider_looking(
        &mut self,
        electorate: &Electorate,
        from: ServerId,
        ballot: Ballot,
    ) -> Consequence {
        let is_undecided = !electorate.may_lead(self.proposed.leader);
        if ballot.round < self.number {
            if self.floor.is_none() || !is_undecided || !self.may_vote(electorate, ballot.vote) {
                return Consequence::Answer;
            }
            // A server that voted for no server has not voted in its round. ZooKeeper:
            // FastLeaderElection ignores such votes, and their round with them: it would not reach
            // the newer round.
            self.begin(electorate, ballot.round, self.initial);
        }
        // A server without a database votes for no server, and gets no votes; it waits until others
        // have a leader.
        if self.initial.zxid == Zxid::NONE || ballot.vote.zxid == Zxid::NONE {
            return Consequence::Noted;
        }
        let may_vote = self.may_vote(electorate, ballot.vote);
        let proposes = if ballot.round > self.number {
            let better = may_vote && electorate.is_better(ballot.vote, self.initial);
            let vote = if better { ballot.vote } else { self.initial };
            self.begin(electorate, ballot.round, vote);
            true
        } else if may_vote && electorate.is_better(ballot.vote, self.proposed) {
            self.propose(electorate, ballot.vote);
            true
        } else {
            false
        };
        assert_eq!(ballot.round, self.number, "votes of one round are counted together");
        assert!(electorate.is_voter(from), "only votes of voters are kept");
        self.received.insert(from, ballot);
        if proposes { Consequence::Proposes } else { Consequence::Noted }
    }

    fn consider_established(
        &mut self,
        electorate: &Electorate,
        from: ServerId,
        ballot: Ballot,
    ) -> Consequence {
        let Ballot { vote, round, .. } = ballot;
        assert!(ballot.state != ServerState::Looking, "its sender has a leader, or leads");
        assert!(electorate.may_lead(vote.leader), "a leader that cannot lead is not joined");
        if round == self.number {
            self.received.insert(from, ballot);
            let agree = self.received.iter().filter(|(_, other)| {
                if other.state == ServerState::Looking {
                    other.vote == vote && other.round == round
                } else {
                    // ZooKeeper: it stores these votes without their version, and then compares
                    // with Vote.equals, which compares the epoch only if the versions agree.
                    other.vote.leader == vote.leader
                        && (ballot.is_versioned || other.vote.peer_epoch == vote.peer_epoch)
                }
            });
            let tracker = electorate.tracker(agree.map(|(id, _)| *id));
            if electorate.has_all_quorums(&tracker)
                && self.leader_confirms(electorate, &self.received, ballot)
            {
                let supporters = tracker.acks().clone();
                return Consequence::Joins(Agreement { vote, round, supporters });
            }
        }
        self.outside.insert(from, ballot);
        // ZooKeeper: Vote.equals. Zxids and rounds of established votes differ for good reasons
        // (ZOOKEEPER-1805), and so do epochs of servers before ZOOKEEPER-1732.
        let agree = self.outside.iter().filter(|(_, other)| {
            other.vote.leader == vote.leader
                && (other.is_versioned != ballot.is_versioned
                    || other.vote.peer_epoch == vote.peer_epoch)
        });
        // A configuration that was proposed to this server need not count here, as it does in
        // ZooKeeper. If no leader completed it, the present leader and followers do not know it, and
        // it may need the vote of this very server, which would look for a leader for ever. If a
        // leader did complete it, a leader without its quorum gets no further than discovery.
        let mut tracker = AckTracker::new(electorate.active.clone());
        for (id, _) in agree {
            tracker.add(*id);
        }
        if !tracker.acks().is_empty()
            && electorate.has_all_quorums(&tracker)
            && self.leader_confirms(electorate, &self.outside, ballot)
        {
            self.number = round;
            let supporters = tracker.acks().clone();
            return Consequence::Joins(Agreement { vote, round, supporters });
        }
        Consequence::Noted
    }

    /// Whether the leader itself says that it leads (`checkLeader`).
    fn leader_confirms(
        &self,
        electorate: &Electorate,
        votes: &BTreeMap<ServerId, Ballot>,
        ballot: Ballot,
    ) -> bool {
        let leader = ballot.vote.leader;
        if leader == electorate.me {
            // All the others take this server for the leader. It is, if they mean this round, and if
            // it has a history.
            return ballot.round == self.number
                && self.initial.zxid != Zxid::NONE
                && self.floor.is_none();
        }
        votes.get(&leader).is_some_and(|vote| vote.state == ServerState::Leading)
    }

    /// The agreement of a quorum on this server's own vote, if there is one (`termPredicate`).
    pub(super) fn agreement(&self, electorate: &Electorate) -> Option<Agreement> {
        if self.initial.zxid == Zxid::NONE {
            return None;
        }
        let agree = self
            .received
            .iter()
            .filter(|(_, other)| other.vote == self.proposed && other.round == self.number);
        let tracker = electorate.tracker(agree.map(|(id, _)| *id));
        let (vote, round) = (self.proposed, self.number);
        assert!(tracker.acks().len() <= self.received.len(), "every supporter has voted");
        // The outside witness replaces a second vote, and never the first.
        let agrees = !tracker.acks().is_empty() && electorate.has_all_quorums(&tracker);
        (electorate.may_lead(vote.leader) && agrees).then(|| Agreement {
            vote,
            round,
            supporters: tracker.acks().clone(),
        })
    }

    /// Whether no better vote can come: every server that could win has voted in this round, or
    /// `is_unreachable` holds for it.
    pub(super) fn is_complete(
        &self,
        electorate: &Electorate,
        is_unreachable: impl Fn(ServerId) -> bool,
    ) -> bool {
        electorate.voters().into_iter().all(|id| {
            id == electorate.me
                || self.received.contains_key(&id)
                || electorate.weight(id) == 0
                || is_unreachable(id)
        })
    }

    /// Whether the server has voted in this round, or sent the leader that it has elected.
    pub(super) fn has_heard(&self, id: ServerId) -> bool {
        self.received.contains_key(&id) || self.outside.contains_key(&id)
    }
}
