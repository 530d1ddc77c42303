//! The epochs that learners claim to have accepted, and the next epoch that follows from them.
//!
//! A learner claims its epoch in one packet, and nothing in that packet can be checked. An accepted epoch is a
//! promise, so a leader has to respect the claims of its voters; but there are only 2³¹ epochs, and the disks of a
//! quorum keep the highest one for ever. So one server may raise the epoch a little, and only a quorum may raise it
//! far: without the servers of that quorum there would be no ensemble anyway.
// ZooKeeper: Leader.getEpochToPropose takes the highest number that any learner claims.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Epoch, ServerId};
use crate::limits::EPOCH_LEAD_MAX;

/// Whether failed elections cannot explain how far ahead this epoch is.
pub fn is_far(epoch: Epoch, known: Epoch) -> bool {
    epoch.0 > known.0.saturating_add(EPOCH_LEAD_MAX)
}

/// The claims of members since this server was elected.
///
/// Invariant: no voter is both in `near` and in `far`.
#[derive(Debug)]
pub(super) struct Claims {
    /// The epoch that this server has accepted.
    own: Epoch,
    /// The claims of voters that one server may make, this server included.
    near: BTreeMap<ServerId, Epoch>,
    /// The claims of voters that only a quorum may make. A voter is here until it makes a nearer claim.
    far: BTreeMap<ServerId, Epoch>,
    /// The highest claim of members that do not vote.
    others: Epoch,
}

impl Claims {
    pub(super) fn new(own: Epoch, me: Option<ServerId>) -> Claims {
        let near = me.map(|me| (me, own)).into_iter().collect();
        Claims { own, near, far: BTreeMap::new(), others: own }
    }

    /// Whether one server may not raise the epoch so far above this server's.
    pub(super) fn is_far(&self, accepted: Epoch) -> bool {
        is_far(accepted, self.own)
    }

    /// A voter claims to have accepted an epoch. Its claims over other connections count as well, unless they were far
    /// ahead: a stranger may have used its name.
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

    /// A member without a vote claims to have accepted an epoch. It shall be able to follow the next leader, too.
    pub(super) fn other(&mut self, accepted: Epoch) {
        if !self.is_far(accepted) {
            self.others = self.others.max(accepted);
        }
    }

    /// The next epoch, once a quorum has come: this server and others, or only servers whose epochs are far ahead.
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

    /// The voters whose claims count so far.
    pub(super) fn counted(&self) -> BTreeSet<ServerId> {
        self.near.keys().copied().collect()
    }

    /// The voters whose claims are doubted, because no quorum makes the like.
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
