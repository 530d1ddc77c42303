//! The epochs that learners say they have accepted, and which of them the next epoch must be later than.
//!
//! One packet says such a number, and nothing in it can be checked. An epoch is a promise, so a leader
//! has to respect what its voters have promised; but there are only 2³¹ epochs, and the disks of a
//! quorum keep the highest one. So one voice may raise the epoch a little, and only a quorum may raise
//! it far: then no ensemble could be had without those servers anyway.
// ZooKeeper: Leader.getEpochToPropose takes the highest number that anybody says.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Epoch, ServerId};
use crate::limits::EPOCH_LEAD_MAX;

/// Whether the epoch is further ahead than failed elections explain.
pub fn is_far(epoch: Epoch, known: Epoch) -> bool {
    epoch.0 > known.0.saturating_add(EPOCH_LEAD_MAX)
}

/// What members have said since this server was elected.
#[derive(Debug)]
pub(super) struct Claims {
    /// What this server has accepted.
    own: Epoch,
    /// Of voters, this server included.
    near: BTreeMap<ServerId, Epoch>,
    /// Of voters that have said nothing else.
    far: BTreeMap<ServerId, Epoch>,
    /// The highest of members that do not vote.
    others: Epoch,
}

impl Claims {
    pub(super) fn new(own: Epoch, me: Option<ServerId>) -> Claims {
        let near = me.map(|me| (me, own)).into_iter().collect();
        Claims { own, near, far: BTreeMap::new(), others: own }
    }

    /// Whether the epoch is further ahead of this server's than one voice may raise it.
    pub(super) fn is_far(&self, accepted: Epoch) -> bool {
        is_far(accepted, self.own)
    }

    /// What a voter says. What it has said over another connection counts as well, unless that was
    /// incredible: a stranger may have used its name.
    pub(super) fn voter(&mut self, server: ServerId, accepted: Epoch) {
        if !self.is_far(accepted) {
            self.far.remove(&server);
            let said = self.near.entry(server).or_insert(accepted);
            *said = accepted.max(*said);
        } else if !self.near.contains_key(&server) {
            let said = self.far.entry(server).or_insert(accepted);
            *said = accepted.max(*said);
        }
        let is_twice = self.near.contains_key(&server) && self.far.contains_key(&server);
        assert!(!is_twice, "a voter's word is believed or doubted");
    }

    /// What a member without a vote says: it shall be able to learn, too.
    pub(super) fn other(&mut self, accepted: Epoch) {
        if !self.is_far(accepted) {
            self.others = self.others.max(accepted);
        }
    }

    /// The next epoch, once enough have come: `has_quorums` with this server, or with the servers alone
    /// whose epochs are far ahead.
    pub(super) fn epoch(
        &self,
        has_quorums: impl Fn(&BTreeSet<ServerId>) -> bool,
        is_quorum_alone: impl Fn(&BTreeSet<ServerId>) -> bool,
    ) -> Option<Epoch> {
        let highest = |said: &BTreeMap<ServerId, Epoch>| said.values().copied().max();
        let near = self.near.keys().copied().collect();
        if has_quorums(&near) {
            let highest = highest(&self.near).max(Some(self.others)).max(Some(self.own));
            assert!(highest >= Some(self.own), "this server has accepted {}", self.own);
            return highest.map(|epoch| Epoch(epoch.0 + 1));
        }
        let far = self.far.keys().copied().collect();
        if is_quorum_alone(&far) {
            let highest = highest(&self.far);
            assert!(highest > Some(self.own), "what is far ahead is later than {}", self.own);
            return highest.map(|epoch| Epoch(epoch.0 + 1));
        }
        None
    }

    /// Voters whose word counts so far.
    pub(super) fn counted(&self) -> BTreeSet<ServerId> {
        self.near.keys().copied().collect()
    }

    /// Voters whose epoch nobody else has come near to.
    pub(super) fn doubted(&self) -> impl Iterator<Item = (ServerId, Epoch)> + '_ {
        self.far.iter().map(|(server, epoch)| (*server, *epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ServerId = ServerId(1);
    const FAR: Epoch = Epoch(2_000_000_000);

    fn claims(said: &[(i64, i64)]) -> Claims {
        let mut claims = Claims::new(Epoch(5), Some(ME));
        for (server, epoch) in said {
            claims.voter(ServerId(*server), Epoch(*epoch));
        }
        claims
    }

    /// Of three voters.
    fn epoch(claims: &Claims) -> Option<Epoch> {
        let is_quorum = |servers: &BTreeSet<ServerId>| servers.len() >= 2;
        claims.epoch(|servers| servers.contains(&ME) && is_quorum(servers), is_quorum)
    }

    #[test]
    fn the_next_epoch_is_later_than_what_a_quorum_has_accepted() {
        assert_eq!(epoch(&claims(&[])), None);
        assert_eq!(epoch(&claims(&[(2, 3)])), Some(Epoch(6)));
        assert_eq!(epoch(&claims(&[(2, 7)])), Some(Epoch(8)));
        assert_eq!(epoch(&claims(&[(2, 5 + EPOCH_LEAD_MAX)])), Some(Epoch(6 + EPOCH_LEAD_MAX)));
        let mut with_observer = claims(&[(2, 3)]);
        with_observer.other(Epoch(9));
        with_observer.other(FAR);
        assert_eq!(epoch(&with_observer), Some(Epoch(10)));
    }

    #[test]
    fn one_voice_does_not_raise_the_epoch_far_and_a_quorum_does() {
        assert_eq!(epoch(&claims(&[(2, FAR.0)])), None);
        assert_eq!(epoch(&claims(&[(2, 6 + EPOCH_LEAD_MAX)])), None);
        assert_eq!(epoch(&claims(&[(2, FAR.0), (3, 4)])), Some(Epoch(6)));
        assert_eq!(epoch(&claims(&[(2, FAR.0), (2, FAR.0 + 1)])), None, "one voice twice");
        assert_eq!(epoch(&claims(&[(2, FAR.0), (3, FAR.0)])), Some(Epoch(FAR.0 + 1)));
    }

    #[test]
    fn a_stranger_who_speaks_first_or_last_does_not_silence_a_voter() {
        assert_eq!(epoch(&claims(&[(2, FAR.0), (2, 6)])), Some(Epoch(7)));
        assert_eq!(epoch(&claims(&[(2, 6), (2, FAR.0)])), Some(Epoch(7)));
    }
}
