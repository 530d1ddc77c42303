//! The addresses on which this server listens, and those at which it finds its leader. Both follow from the
//! configurations; this file tells the network of changes and opens nothing itself.

use crate::id::ServerId;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Member;
use crate::link::{Endpoint, LinkOp, MemberHosts, Port};
use crate::quorum::Config;
use crate::zab::learner::{LearnerKind, LearnerTarget};

/// Every address of the machine, of both families.
const ANY_HOST: &str = "::";

impl Member {
    /// Tells the network the hosts of the other members, if they have changed: for each, those of the active and of
    /// the last configuration seen. The network compares the address of each accepted connection with them.
    fn name_members(&mut self) {
        let mut hosts: BTreeMap<ServerId, Vec<String>> = BTreeMap::new();
        let lasting = self.role.lasting();
        // Of both: members of a proposed configuration may connect before it is active.
        for config in [&lasting.config, &lasting.last_seen] {
            for (id, member) in config.members.iter().filter(|(id, _)| **id != self.me()) {
                let known = hosts.entry(*id).or_default();
                for address in &member.addresses {
                    if !known.contains(&address.host) {
                        known.push(address.host.clone());
                    }
                }
            }
        }
        assert!(!hosts.contains_key(&self.me()), "the network knows which addresses are its own");
        let hosts: MemberHosts = hosts.into_iter().collect();
        if hosts != self.hosts {
            self.hosts.clone_from(&hosts);
            self.role.lasting_mut().ready.send(LinkOp::Members { hosts });
        }
    }

    /// Tells the network where to listen, if that has changed, and the hosts of the other members. A server listens
    /// on its quorum port also while it does not lead, because learners may come before it knows that it does.
    pub(super) fn listen(&mut self) {
        self.name_members();
        let lasting = self.role.lasting();
        let me = lasting.options.me;
        let known = lasting.config.members.get(&me).or_else(|| lasting.last_seen.members.get(&me));
        // A server that was removed from the ensemble goes on listening where it does.
        let Some(known) = known else { return };
        let any = |mut endpoint: Endpoint| {
            if lasting.options.listen_on_all_ips {
                ANY_HOST.clone_into(&mut endpoint.host);
            }
            endpoint
        };
        let quorum = known.quorum_endpoints().into_iter().map(|at| (Port::Quorum, any(at)));
        let election = known.election_endpoints().into_iter().map(|at| (Port::Election, any(at)));
        // ZooKeeper: it listens for observers only while it follows; other servers refuse them.
        let observers = lasting.observers.as_ref().and(lasting.options.observer_master.clone());
        let observers = observers.map(|at| (Port::ObserverMaster, at));
        let mut on: Vec<(Port, Endpoint)> = Vec::new();
        for place in quorum.chain(election).chain(observers) {
            if !on.contains(&place) {
                on.push(place);
            }
        }
        if on != self.listening {
            self.listening.clone_from(&on);
            self.role.lasting_mut().ready.send(LinkOp::Listen { on });
        }
    }

    /// The server to learn from while `leader` leads. `None`: neither configuration has its address.
    ///
    /// An observer that learns from followers gets another one with each call, in turn, and at last the leader.
    pub(super) fn target(&mut self, leader: ServerId) -> Option<LearnerTarget> {
        assert!(leader != self.me(), "a server does not learn from itself");
        let voted = self.election.vote().peer_epoch;
        let lasting = self.role.lasting();
        let kind = if lasting.is_observer { LearnerKind::Observer } else { LearnerKind::Follower };
        if let Some(port) = lasting.options.observer_master_port.filter(|_| lasting.is_observer) {
            // ZooKeeper: QuorumPeer.nextObserverMaster, in a random order. It also asks the leader on that port, and is
            // refused; here the leader is the last resort, on its own port.
            let masters: Vec<ServerId> =
                lasting.config.voters().filter(|id| *id != leader).collect();
            let at = self.next_master % (masters.len() + 1);
            self.next_master = at + 1;
            if let Some(master) = masters.get(at).copied() {
                assert!(master != leader, "the leader is the last resort");
                let member = &lasting.config.members[&master];
                let at = |endpoint: Endpoint| Endpoint { port, ..endpoint };
                let to = member.quorum_endpoints().into_iter().map(at).collect();
                return Some(LearnerTarget {
                    leader,
                    master,
                    to,
                    port: Port::ObserverMaster,
                    kind,
                    voted,
                });
            }
        }
        let members = |config: &Rc<Config>| config.members.get(&leader).cloned();
        let member = members(&lasting.config).or_else(|| members(&lasting.last_seen))?;
        let to = member.quorum_endpoints();
        Some(LearnerTarget { leader, master: leader, to, port: Port::Quorum, kind, voted })
    }
}
