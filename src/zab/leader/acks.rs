//! How far the log of each server reaches.
//!
//! A server's log is a prefix of the leader's, so that one zxid per server is enough: the server has logged the
//! transaction that it acknowledged last, and everything before it (`Proposal.addAck` keeps a set per proposal).

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::id::{ServerId, Zxid};
use crate::link::LinkId;
use crate::quorum::{Config, Oracle};

/// The newest acknowledgement of each server.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// The leader itself, and the end of its durable log.
    own: Option<(ServerId, Zxid)>,
    /// For each follower, the link over which it was last brought up to date, and the newest proposal that it has
    /// acknowledged over that link. Commits are counted with it.
    ///
    /// Invariant: the leader itself is not among them.
    of: BTreeMap<ServerId, (LinkId, Zxid)>,
    /// For each follower, the end of its durable log as it said last, and over which link. A follower that comes back
    /// with less shows that its disk loses data.
    vouched: BTreeMap<ServerId, (LinkId, Zxid)>,
}

impl Acks {
    /// The leader's own log reaches to `zxid`.
    pub(super) fn record_own(&mut self, me: ServerId, zxid: Zxid) {
        assert!(self.own.is_none_or(|(own, _)| own == me), "a leader is one server");
        assert!(!self.of.contains_key(&me), "no learner has this server's id");
        self.own = Some((me, zxid));
    }

    /// A server is about to be brought up to date, and may cut its log for that. Its earlier acknowledgements do not
    /// count any more, and those that still arrive over an older link never will.
    ///
    /// 1. A follower logs and acknowledges 7, which is not committed, and loses its connection.
    /// 2. The follower comes back; the leader has it cut off what is not committed, and sends that again.
    /// 3. Another follower acknowledges 7. With the first acknowledgement this would be a quorum, and 7 would be
    ///    committed, although only two of three logs hold it at that time, or only one.
    ///
    /// Returns the end of the server's durable log as it said last. A server that comes back with less has a disk that
    /// loses synced data, or has got another folder: during its reign nobody but this leader cuts a follower's log. A
    /// packet that comes late over an older link is from an earlier process of the server and proves nothing; then the
    /// result is [`Zxid::NONE`].
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
        assert!(!configs.is_empty(), "a decision needs a configuration");
        let own = self.own.map(|(_, zxid)| zxid);
        // The witness stands for the other server, never for this one:
        //
        // 1. Server 2 acknowledges 8, which is not durable here yet, and goes away.
        // 2. With the witness alone, 8 would be committed, although only the absent server has it.
        // 3. This server loses power and leads again without 8: an acknowledged write is lost.
        // ZooKeeper: QuorumOracleMaj does not check that the leader itself is in the set.
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

    /// A packet of a process that had ended came half a second late, and the log blamed the disk.
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
