//! One round of an election: the votes received, and when they suffice (`FastLeaderElection`).
//!
//! ```text
//! received  votes of this round: of servers that look, and of those that have just decided in it
//! outside   votes of servers that have a leader, of any round (ZooKeeper's `outofelection`)
//! ```
//! A newer round replaces an older one and its votes. A vote of an older round is answered, not counted. While a new
//! configuration is proposed, its members vote too, but only members of the active configuration can be elected. A
//! server joins an established leader when a quorum follows that leader *and the leader itself says that it leads*:
//! otherwise servers would elect a leader that has just died over and over.
//!
//! A [`Round`] decides from votes alone: it knows no connection and no time. [`Election`](super::Election) owns it,
//! and acts on the [`Consequence`] of each vote.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Vote;
use super::notification::Ballot;
use crate::id::{Epoch, ServerId, Zxid};
use crate::proto::quorum::ServerState;
use crate::quorum::{AckTracker, Config, Oracle};

/// The servers that vote, and the rule for a quorum. It is the same for all rounds until the configuration changes.
#[derive(Debug, Clone)]
pub(super) struct Electorate {
    /// This server, which need not be a voter.
    pub(super) me: ServerId,
    /// The active configuration: only its voters can be elected.
    pub(super) active: Rc<Config>,
    /// The last configuration that was proposed or seen. While it is newer than `active`, an election needs its
    /// quorum, too.
    pub(super) last_seen: Rc<Config>,
    /// The answer of the outside witness; `None`: there is no witness.
    pub(super) oracle: Option<bool>,
}

impl Electorate {
    /// The configuration that shall replace the active one, if there is one.
    fn next(&self) -> Option<&Config> {
        (self.last_seen.version > self.active.version).then_some(&*self.last_seen)
    }

    /// Whether the server votes, in the active or in the next configuration (`FastLeaderElection.validVoter`).
    pub(super) fn is_voter(&self, id: ServerId) -> bool {
        self.active.is_voter(id) || self.next().is_some_and(|next| next.is_voter(id))
    }

    /// Whether the server can be elected: only if it votes in the active configuration. Not every voter knows a
    /// proposed configuration, and those that do not would never vote for a server that it adds: this server would
    /// wait for them for ever.
    fn may_lead(&self, id: ServerId) -> bool {
        self.active.is_voter(id)
    }

    /// The voters of the active and the next configuration, this server included if it votes.
    pub(super) fn voters(&self) -> BTreeSet<ServerId> {
        let next = self.next().into_iter().flat_map(Config::voters);
        self.active.voters().chain(next).collect()
    }

    /// The weight of a server: as in the active configuration, or, if only the next one has the server, as in that.
    fn weight(&self, id: ServerId) -> i64 {
        match self.next() {
            Some(next) if !self.active.members.contains_key(&id) => next.weight(id),
            _ => self.active.weight(id),
        }
    }

    /// Whether `new` beats `old`: the newer history wins, and the larger id among equal histories
    /// (`FastLeaderElection.totalOrderPredicate`). A server without weight never wins, and always loses, so that it
    /// does not keep voting for itself when its history happens to be the newest.
    pub(super) fn is_better(&self, new: Vote, old: Vote) -> bool {
        let rank = |vote: Vote| (vote.peer_epoch, vote.zxid, vote.leader);
        self.weight(new.leader) != 0 && (self.weight(old.leader) == 0 || rank(new) > rank(old))
    }

    /// The given servers, to be counted under both configurations.
    fn tracker(&self, agreeing: impl Iterator<Item = ServerId>) -> AckTracker {
        let mut tracker = AckTracker::of_both(&self.active, &self.last_seen);
        for id in agreeing {
            tracker.add(id);
        }
        tracker
    }

    /// Whether the tracked servers are a quorum of each configuration, or the witness replaces the second of two
    /// voters.
    fn has_all_quorums(&self, tracker: &AckTracker) -> bool {
        // While a server looks for a leader, it has no followers: the witness is needed.
        let oracle = self.oracle.map(|says_yes| Oracle { needed: true, says_yes });
        tracker.has_all_quorums_with(oracle)
    }

    /// Whether there is a witness that decides here, and it has chosen the other server.
    fn oracle_is_with_the_other(&self) -> bool {
        self.oracle == Some(false) && self.voters().len() <= 2
    }
}

/// A leader on which a quorum agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreement {
    /// The vote for the leader.
    pub(super) vote: Vote,
    /// The round in which the quorum has elected it.
    pub(super) round: i64,
    /// The servers that agree.
    ///
    /// Invariant: not empty.
    pub(super) supporters: BTreeSet<ServerId>,
}

/// What the election shall do after a vote was counted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Nothing but decide again, because the vote may complete a quorum.
    Noted,
    /// Send our vote to the sender, because its vote is of an older round.
    Answer,
    /// Send our vote to all voters, because it or its round has changed.
    Proposes,
    /// Follow, or lead, the established leader.
    Joins(Agreement),
}

/// The votes that count in one search, and this server's own vote.
#[derive(Debug)]
pub(super) struct Round {
    /// The round. It rises when a voter is in a later one, and becomes the leader's round when this server joins an
    /// established leader. Otherwise it falls only if this server does not stand for election and has voted for no
    /// server.
    pub(super) number: i64,
    /// The vote with which this server begins each round: for itself, or for no server.
    initial: Vote,
    /// This server's present vote.
    ///
    /// Invariant: `initial`, or one that [`Round::may_vote`] allows.
    pub(super) proposed: Vote,
    /// Set if this server does not stand for election: then it votes only for another server with at least this
    /// history.
    floor: Option<(Epoch, Zxid)>,
    /// The newest vote of each voter in this round, its own included.
    ///
    /// Invariant: every key is a voter.
    received: BTreeMap<ServerId, Ballot>,
    /// The newest vote of each voter that has a leader, whatever its round. It stays when a newer round begins.
    outside: BTreeMap<ServerId, Ballot>,
}

impl Round {
    /// A round in which this server votes `initial`.
    pub(super) fn new(electorate: &Electorate, number: i64, initial: Vote) -> Round {
        let (received, outside) = (BTreeMap::new(), BTreeMap::new());
        let mut round =
            Round { number, initial, proposed: initial, floor: None, received, outside };
        round.propose(electorate, initial);
        round
    }

    /// A round in which this server votes, and cannot be elected. It votes for `nobody` until it hears of a server
    /// whose history is not older than `floor`, its own history.
    pub(super) fn without_standing(
        electorate: &Electorate,
        number: i64,
        nobody: Vote,
        floor: (Epoch, Zxid),
    ) -> Round {
        Round { floor: Some(floor), ..Round::new(electorate, number, nobody) }
    }

    /// Whether this server may cast this vote: any, unless it does not stand for election.
    fn may_vote(&self, electorate: &Electorate, vote: Vote) -> bool {
        self.floor.is_none_or(|floor| {
            vote.leader != electorate.me && (vote.peer_epoch, vote.zxid) >= floor
        })
    }

    /// Makes `vote` this server's vote, and counts it.
    fn propose(&mut self, electorate: &Electorate, vote: Vote) {
        assert!(self.may_vote(electorate, vote) || vote == self.initial, "a vote that it may cast");
        self.proposed = vote;
        // ZooKeeper: FastLeaderElection sends a server its own vote. Here the vote is counted at once. Only a voter
        // does so, and the others would not accept its vote for no server.
        if electorate.is_voter(electorate.me) && electorate.may_lead(vote.leader) {
            let (state, round) = (ServerState::Looking, self.number);
            let own = Ballot { state, vote, round, is_versioned: true };
            self.received.insert(electorate.me, own);
        }
    }

    /// Begins a newer round with `vote`. The votes of the older round are void.
    fn begin(&mut self, electorate: &Electorate, number: i64, vote: Vote) {
        self.number = number;
        self.received.clear();
        self.propose(electorate, vote);
        assert!(self.received.len() <= 1, "votes of older rounds are void");
    }

    /// Counts the vote of another server (the loop of `FastLeaderElection.lookForLeader`), and says what follows from
    /// it.
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
                // ZooKeeper: FastLeaderElection.receivedLeadingNotification (ZOOKEEPER-3922). Of two servers, the
                // witness has chosen the other one, which leads without a quorum.
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

    /// Handles the vote of a voter for a server that cannot lead, such as the vote for no server. The vote does not
    /// count, but its round does:
    ///
    /// 1. A server that only the proposed configuration names looks for a leader for the second time, and votes for
    ///    no server. This server is in round 1, and needs a quorum of that configuration.
    /// 2. For that server, the vote of this server is of an older round, so it answers the vote and does not count
    ///    it.
    /// 3. If its answer changed nothing here, as in ZooKeeper, both would look for a leader for ever.
    fn consider_undecided(&mut self, electorate: &Electorate, ballot: Ballot) -> Consequence {
        if ballot.state != ServerState::Looking || ballot.round <= self.number {
            return Consequence::Noted;
        }
        self.begin(electorate, ballot.round, self.initial);
        Consequence::Proposes
    }

    /// Counts the vote of a server that looks for a leader. A vote of a newer round makes this server join that
    /// round; a better vote of the same round becomes its own vote.
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
            // A server that votes for no server has not voted in its round, so it may go back to an older one.
            // ZooKeeper: FastLeaderElection ignores votes of older rounds; the server would wait until the others
            // reach its round.
            self.begin(electorate, ballot.round, self.initial);
        }
        // A server without a database votes for no server and gets no votes; it waits until the others have a leader.
        if self.initial.zxid == Zxid::NONE || ballot.vote.zxid == Zxid::NONE {
            return Consequence::Noted;
        }
        let may_vote = self.may_vote(electorate, ballot.vote);
        // As in a new search, this server compares the vote with its initial one, not with one of the older round.
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

    /// Counts the vote of a server that has a leader. If a quorum agrees on that leader, and the leader confirms it,
    /// this server joins: first by the votes of its own round, then by those of servers that have a leader.
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
                    // ZooKeeper: FastLeaderElection stores these votes without their version and then compares with
                    // Vote.equals, which compares the epoch only if the versions agree.
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
        // ZooKeeper: Vote.equals. Zxids and rounds of established votes differ for good reasons (ZOOKEEPER-1805), and
        // so do epochs of servers before ZOOKEEPER-1732.
        let agree = self.outside.iter().filter(|(_, other)| {
            other.vote.leader == vote.leader
                && (other.is_versioned != ballot.is_versioned
                    || other.vote.peer_epoch == vote.peer_epoch)
        });
        // ZooKeeper: FastLeaderElection needs a quorum of the proposed configuration here, too; this server does not.
        // If no leader completed the proposal, the present leader and followers do not know it, and its quorum may
        // need the vote of this very server, which would look for a leader for ever. If a leader did complete it, a
        // leader without its quorum gets no further than discovery.
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

    /// Whether the leader itself says that it leads (`FastLeaderElection.checkLeader`).
    fn leader_confirms(
        &self,
        electorate: &Electorate,
        votes: &BTreeMap<ServerId, Ballot>,
        ballot: Ballot,
    ) -> bool {
        let leader = ballot.vote.leader;
        if leader == electorate.me {
            // All the others take this server for the leader. It is, if they mean this round, if it has a history,
            // and if it stands for election.
            return ballot.round == self.number
                && self.initial.zxid != Zxid::NONE
                && self.floor.is_none();
        }
        votes.get(&leader).is_some_and(|vote| vote.state == ServerState::Leading)
    }

    /// The agreement of a quorum with this server's own vote, if there is one (`FastLeaderElection.termPredicate`).
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
        // The witness replaces a second vote, never the first.
        let agrees = !tracker.acks().is_empty() && electorate.has_all_quorums(&tracker);
        (electorate.may_lead(vote.leader) && agrees).then(|| Agreement {
            vote,
            round,
            supporters: tracker.acks().clone(),
        })
    }

    /// Whether no better vote can come: every voter that could win has voted in this round, or `is_unreachable` holds
    /// for it. ZooKeeper: FastLeaderElection does not check this, and waits for `finalizeWait` each time.
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

    /// Whether the server has voted in this round, or has sent the leader that it has.
    pub(super) fn has_heard(&self, id: ServerId) -> bool {
        self.received.contains_key(&id) || self.outside.contains_key(&id)
    }
}
