//! Who has which transactions in its log.
//!
//! A server's log is a prefix of the leader's, so that one zxid per server says all: it has logged
//! whatever it acknowledged, and everything before (`Proposal.addAck` keeps a set per proposal).

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::id::{ServerId, Zxid};
use crate::link::LinkId;
use crate::quorum::{Config, Oracle};

/// The newest acknowledgement of each server.
#[derive(Debug, Default)]
pub(super) struct Acks {
    own: Option<(ServerId, Zxid)>,
    of: BTreeMap<ServerId, (LinkId, Zxid)>,
    /// Up to where each server has said that its log is durable, committed or not, since it was last
    /// brought up to date, and over which link.
    vouched: BTreeMap<ServerId, (LinkId, Zxid)>,
}

impl Acks {
    /// The leader's own log reaches to `zxid`.
    pub(super) fn record_own(&mut self, me: ServerId, zxid: Zxid) {
        assert!(self.own.is_none_or(|(own, _)| own == me), "a leader is one server");
        assert!(!self.of.contains_key(&me), "no learner has this server's id");
        self.own = Some((me, zxid));
    }

    /// A server is about to be synchronised, and may cut its log for that. What it acknowledged
    /// before does not count any more, and what still comes on an older link never will.
    ///
    /// 1. A follower logs and acknowledges 7, which is not committed, and loses its connection.
    /// 2. It comes back; what is not committed is cut off its log, and sent again.
    /// 3. Another one acknowledges 7. With the first acknowledgement that were a quorum, and 7
    ///    committed, though only two logs of three hold it at that time, or one.
    ///
    /// Returns up to where it had said that its log is durable. Whoever comes back with less has a
    /// disk that loses what it has synced, or another folder: what a server has acknowledged in a
    /// reign, nothing but this leader cuts off its log. What comes late over an older link than it has
    /// acknowledged over is the word of an earlier process, and shows nothing: then [`Zxid::NONE`].
    pub(super) fn begin(&mut self, server: ServerId, link: LinkId) -> Zxid {
        assert!(self.own.is_none_or(|(me, _)| me != server), "no learner has this server's id");
        self.of.insert(server, (link, Zxid::NONE));
        assert_eq!(self.of(server), Zxid::NONE, "what it had acknowledged counts no more");
        match self.vouched.get(&server) {
            // The network numbers its links as it accepts them.
            Some((over, _)) if link > *over => {
                self.vouched.remove(&server).map_or(Zxid::NONE, |(_, zxid)| zxid)
            }
            _ => Zxid::NONE,
        }
    }

    /// A server has said over this link that its log is durable up to `zxid`.
    pub(super) fn vouch(&mut self, server: ServerId, link: LinkId, zxid: Zxid) {
        if self.of.get(&server).is_some_and(|(of, _)| *of == link) {
            let (over, known) = self.vouched.entry(server).or_insert((link, Zxid::NONE));
            (*over, *known) = (link.max(*over), zxid.max(*known));
        }
    }

    /// A server has logged everything up to `zxid`.
    pub(super) fn record(&mut self, server: ServerId, link: LinkId, zxid: Zxid) {
        assert!(zxid > Zxid::ZERO, "{zxid} is the zxid of no transaction");
        if let Some((of, acked)) = self.of.get_mut(&server)
            && *of == link
        {
            *acked = zxid.max(*acked);
        }
    }

    /// Up to where a server has logged what was proposed in this epoch.
    pub(super) fn of(&self, server: ServerId) -> Zxid {
        match self.own {
            Some((me, zxid)) if me == server => zxid,
            _ => self.of.get(&server).map_or(Zxid::NONE, |(_, zxid)| *zxid),
        }
    }

    /// Whether one of these servers has logged more than this one.
    pub(super) fn has_ahead(&self, mut servers: impl Iterator<Item = ServerId>) -> bool {
        let own = self.own.map_or(Zxid::NONE, |(_, zxid)| zxid);
        servers.any(|server| self.of(server) > own)
    }

    /// The newest zxid that a quorum of each configuration has logged.
    pub(super) fn quorum(&self, configs: &[Rc<Config>], oracle: Option<Oracle>) -> Zxid {
        assert!(!configs.is_empty(), "without a configuration everything were agreed on");
        let own = self.own.map(|(_, zxid)| zxid);
        // The witness stands for the other server, never for this one:
        //
        // 1. Server 2 acknowledges 8, which is not durable here yet, and goes away.
        // 2. With the witness alone 8 were committed, though only the server that is gone has it.
        // 3. The power goes here, and this server leads again without 8: an acknowledged write is lost.
        // ZooKeeper: QuorumOracleMaj does not look whether the leader itself is in the set.
        let has_own = |zxid: Zxid| own.is_some_and(|own| own >= zxid);
        let mut zxids: Vec<Zxid> =
            self.of.values().map(|(_, zxid)| *zxid).chain(own).filter(|z| z.0 >= 0).collect();
        zxids.sort_unstable();
        let has_quorum = |zxid: Zxid| {
            configs.iter().all(|config| {
                let agrees = |server| self.of(server) >= zxid;
                config.has_quorum_of(agrees)
                    || oracle.is_some_and(|_| {
                        if !has_own(zxid) {
                            return false;
                        }
                        let agreeing = config.voters().filter(|server| agrees(*server)).collect();
                        config.has_quorum_with(&agreeing, oracle)
                    })
            })
        };
        zxids.into_iter().rev().find(|zxid| has_quorum(*zxid)).unwrap_or(Zxid::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ids: &[i64]) -> Rc<Config> {
        let lines: String = ids.iter().map(|id| format!("server.{id}=a:1:2\n")).collect();
        Rc::new(Config::parse(&lines).unwrap())
    }

    #[test]
    fn a_quorum_has_what_its_slowest_member_has() {
        let mut acks = Acks::default();
        let configs = [config(&[1, 2, 3])];
        acks.record_own(ServerId(1), Zxid(9));
        assert_eq!(acks.quorum(&configs, None), Zxid::NONE);
        for (server, link) in [(2, 2), (3, 3), (4, 4)] {
            acks.begin(ServerId(server), LinkId::accepted(link));
        }
        // Server 4 does not vote.
        acks.record(ServerId(4), LinkId::accepted(4), Zxid(8));
        assert_eq!(acks.quorum(&configs, None), Zxid::NONE);
        acks.record(ServerId(3), LinkId::accepted(3), Zxid(5));
        acks.record(ServerId(2), LinkId::accepted(2), Zxid(7));
        assert_eq!(acks.quorum(&configs, None), Zxid(7));
        // In a configuration with 4 and 5, neither is enough.
        let both = [config(&[1, 2, 3]), config(&[1, 4, 5])];
        assert_eq!(acks.quorum(&both, None), Zxid(7));
        let both = [config(&[1, 2, 3]), config(&[3, 4, 5])];
        assert_eq!(acks.quorum(&both, None), Zxid(5));
    }

    /// It went like this: a packet of a process that was gone came half a second late, and the disk was blamed.
    #[test]
    fn what_comes_late_over_an_older_link_shows_no_loss() {
        let mut acks = Acks::default();
        let (server, old, new) = (ServerId(2), LinkId::accepted(1), LinkId::accepted(2));
        assert_eq!(acks.begin(server, new), Zxid::NONE);
        acks.vouch(server, new, Zxid(7));
        assert_eq!(acks.begin(server, old), Zxid::NONE);
        // The next process is asked all the same.
        assert_eq!(acks.begin(server, LinkId::accepted(3)), Zxid(7));
        assert_eq!(acks.begin(server, LinkId::accepted(4)), Zxid::NONE);
    }

    #[test]
    fn what_a_server_acknowledged_before_it_came_again_does_not_count() {
        let mut acks = Acks::default();
        let configs = [config(&[1, 2, 3])];
        let (old, new) = (LinkId::accepted(1), LinkId::accepted(2));
        acks.record_own(ServerId(1), Zxid(7));
        acks.begin(ServerId(2), old);
        acks.record(ServerId(2), old, Zxid(7));
        acks.begin(ServerId(2), new);
        acks.record(ServerId(2), old, Zxid(7));
        assert_eq!(acks.quorum(&configs, None), Zxid::NONE);
        acks.record(ServerId(2), new, Zxid(6));
        assert_eq!(acks.quorum(&configs, None), Zxid(6));
    }

    #[test]
    fn a_witness_stands_for_the_other_one_of_two() {
        let mut acks = Acks::default();
        acks.record_own(ServerId(1), Zxid(7));
        let configs = [config(&[1, 2])];
        let yes = Some(Oracle { needed: true, says_yes: true });
        assert_eq!(acks.quorum(&configs, yes), Zxid(7));
        assert_eq!(
            acks.quorum(&configs, Some(Oracle { needed: false, says_yes: true })),
            Zxid::NONE
        );
    }

    #[test]
    fn a_witness_does_not_stand_for_this_servers_own_disk() {
        let mut acks = Acks::default();
        let configs = [config(&[1, 2])];
        let link = LinkId::accepted(2);
        acks.record_own(ServerId(1), Zxid(7));
        acks.begin(ServerId(2), link);
        acks.record(ServerId(2), link, Zxid(8));
        let yes = Some(Oracle { needed: true, says_yes: true });
        assert_eq!(acks.quorum(&configs, yes), Zxid(7));
        acks.record_own(ServerId(1), Zxid(8));
        assert_eq!(acks.quorum(&configs, yes), Zxid(8));
    }

    #[test]
    fn who_comes_back_is_compared_with_what_it_said_last() {
        let mut acks = Acks::default();
        let (old, new) = (LinkId::accepted(1), LinkId::accepted(2));
        assert_eq!(acks.begin(ServerId(2), old), Zxid::NONE);
        acks.vouch(ServerId(2), old, Zxid(7));
        acks.vouch(ServerId(2), old, Zxid(6));
        assert_eq!(acks.begin(ServerId(2), new), Zxid(7));
        // It may have been cut since.
        acks.vouch(ServerId(2), old, Zxid(9));
        assert_eq!(acks.begin(ServerId(2), new), Zxid::NONE);
    }
}
