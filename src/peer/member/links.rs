//! Events on links, each handed to the owner of its link.
//!
//! A link has one owner from its first moment to its last: the port on which it was accepted, or for which it was
//! opened, says which. So one lookup finds the owner, and no other part is asked.

use hashbrown::HashMap;

use super::{Member, MemberRole};
use crate::link::{LinkEvent, LinkId, LinkLogin, LinkOp, Port};
use crate::peer::gate::Effect;
use crate::sasl::Step;
use crate::time::MonoUs;

/// The part that handles the events of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkOwner {
    /// The election, which opens links as well as it accepts them.
    Election,
    /// The leader that this server is, or whatever keeps learners for it until it leads.
    Learners,
    /// The observer master, for an observer.
    Observers,
    /// The learner that this server is: the link to its leader.
    Learner,
}

/// The owner of each link that the network has.
///
/// Invariant: a link is here from `Accepted` or `Connect` until `Closed` or `Close`.
#[derive(Debug, Default)]
pub(super) struct LinkOwners(HashMap<LinkId, LinkOwner>);

impl LinkOwners {
    /// Notes the links that the network is told to open and to close.
    pub(super) fn note(&mut self, ops: &[LinkOp]) {
        for op in ops {
            match op {
                LinkOp::Connect { link, port, .. } => {
                    let owner = match port {
                        Port::Election => LinkOwner::Election,
                        Port::Quorum | Port::ObserverMaster => LinkOwner::Learner,
                    };
                    assert!(!link.is_accepted(), "this server opens it");
                    let before = self.0.insert(*link, owner);
                    assert!(before.is_none(), "a link is opened once");
                }
                LinkOp::Close { link } => {
                    self.0.remove(link);
                }
                LinkOp::Listen { .. } | LinkOp::Members { .. } | LinkOp::Send { .. } => {}
            }
        }
    }

    /// Whether the election owns the link. `None`: nobody owns it.
    fn is_of_election(&self, link: LinkId) -> Option<bool> {
        self.0.get(&link).map(|owner| *owner == LinkOwner::Election)
    }

    /// The owner of the link of this event; `None`: this server has closed it, and the network did not know that yet.
    fn owner_for(&mut self, event: &LinkEvent<'_>) -> Option<LinkOwner> {
        match event {
            LinkEvent::Accepted { link, port, .. } => {
                assert!(link.is_accepted(), "the other side opened it");
                let owner = match port {
                    Port::Election => LinkOwner::Election,
                    Port::Quorum => LinkOwner::Learners,
                    Port::ObserverMaster => LinkOwner::Observers,
                };
                let before = self.0.insert(*link, owner);
                assert!(before.is_none(), "a link is accepted once");
                Some(owner)
            }
            LinkEvent::Closed { link, .. } => self.0.remove(link),
            LinkEvent::Identified { link, .. }
            | LinkEvent::Connected { link, .. }
            | LinkEvent::Received { link, .. }
            | LinkEvent::Sent { link, .. } => self.0.get(link).copied(),
        }
    }
}

impl Member {
    /// Handles an event of the network: the owner of its link gets it, where servers log in at each other as soon as
    /// the login on the link is over.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        self.now = now;
        match self.gate.is_some() {
            true => self.pass_gate(event),
            false => self.deliver(event),
        }
        self.settle();
    }

    /// The edge has done what it was to do for the login on a link ([`Member::take_logins`]).
    pub fn handle_login(&mut self, now: MonoUs, link: LinkId, step: Step) {
        self.now = now;
        if let Some(gate) = &mut self.gate {
            gate.handle_login(now, link, step);
        }
        self.carry_out_gate();
        self.settle();
    }

    /// Takes what the edge is to do for logins between servers.
    pub fn take_logins(&mut self) -> Vec<LinkLogin> {
        self.gate.as_mut().map_or_else(Vec::new, |gate| gate.take_logins())
    }

    fn pass_gate(&mut self, event: LinkEvent<'_>) {
        let link = event.link();
        let refuses = match event {
            LinkEvent::Accepted { port, .. } => self.refuses(port),
            _ => false,
        };
        let is_of_election = self.links.is_of_election(link);
        // This server has closed the link, and the network did not know that yet.
        let is_gone = is_of_election.is_none() && !link.is_accepted();
        let now = self.now;
        let event = match &mut self.gate {
            Some(gate) if !refuses && !is_gone => {
                gate.handle(now, is_of_election == Some(true), event)
            }
            Some(_) | None => Some(event),
        };
        self.carry_out_gate();
        if let Some(event) = event {
            self.deliver(event);
            self.settle();
        }
        if let Some(gate) = &mut self.gate {
            gate.on_event_handled(link);
        }
    }

    /// Does what follows at the gate, and draws the consequences of each event for an owner before the next one.
    pub(super) fn carry_out_gate(&mut self) {
        // Without logins nothing follows.
        let Some(gate) = &mut self.gate else { return };
        for effect in gate.take() {
            match effect {
                Effect::Op(op) => self.role.lasting_mut().ready.send(op),
                Effect::Accepted { link, port, remote, may_be } => {
                    self.deliver(LinkEvent::Accepted {
                        link,
                        port,
                        remote,
                        may_be: may_be.as_deref(),
                    });
                }
                Effect::Connected { link, remote } => {
                    self.deliver(LinkEvent::Connected { link, remote });
                }
                Effect::Received { link, bytes } => {
                    self.deliver(LinkEvent::Received { link, bytes: &bytes });
                }
                Effect::Closed { link, reason } => {
                    self.deliver(LinkEvent::Closed { link, reason: &reason });
                }
            }
            self.settle();
        }
    }

    /// Whether a link that is accepted on this port now is refused at once, whoever opens it.
    fn refuses(&self, port: Port) -> bool {
        match port {
            Port::Election => false,
            Port::ObserverMaster => self.role.lasting().observers.is_none(),
            Port::Quorum => match &self.role {
                MemberRole::Looking(_) => !self.stands,
                MemberRole::Learning(_) => true,
                MemberRole::Waiting { .. } | MemberRole::Leading(_) => false,
            },
        }
    }

    /// The owner of its link gets an event.
    fn deliver(&mut self, event: LinkEvent<'_>) {
        let now = self.now;
        // A link keeps its owner when the role changes: an event for a role that has ended has no effect.
        match self.links.owner_for(&event) {
            Some(LinkOwner::Election) => self.election.handle_link(now, event),
            Some(LinkOwner::Learners) => self.on_learners_link(event),
            Some(LinkOwner::Observers) => match self.role.lasting_mut().observers() {
                Some((observers, view)) => observers.handle_link(now, event, view),
                None => self.refuse_new(event),
            },
            Some(LinkOwner::Learner) => {
                // After the role, only the network still speaks of its link.
                if let MemberRole::Learning(learner) = &mut self.role {
                    learner.handle_link(now, event);
                }
            }
            // This server has closed the link, and the network did not know that yet.
            None => {}
        }
    }

    /// A learner has come to this server, which may not know yet that it leads, or has said something.
    fn on_learners_link(&mut self, event: LinkEvent<'_>) {
        match &mut self.role {
            MemberRole::Leading(leader) => leader.handle_link(self.now, event),
            // A server that votes for this one shall look again, not wait.
            MemberRole::Looking(_) if !self.stands => self.refuse_new(event),
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => self.on_held_link(event),
            // ZooKeeper: only a leader listens on this port.
            MemberRole::Learning(_) => self.refuse_new(event),
        }
    }

    /// A learner's link is kept until it is known who leads.
    fn on_held_link(&mut self, event: LinkEvent<'_>) {
        if let Some(link) = self.held.handle(self.now, self.me(), event) {
            self.role.lasting_mut().ready.send(LinkOp::Close { link });
        }
    }

    /// Closes a link that was just accepted: this server is not what the other side takes it for. What still comes
    /// over such a link before it is closed says nothing to this server.
    fn refuse_new(&mut self, event: LinkEvent<'_>) {
        if let LinkEvent::Accepted { link, .. } = event {
            self.role.lasting_mut().ready.send(LinkOp::Close { link });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::id::ServerId;

    #[test]
    fn a_link_belongs_to_the_owner_of_its_port_until_either_side_closes_it() {
        let mut owners = LinkOwners::default();
        let remote = SocketAddr::from(([10, 0, 0, 3], 40_000));
        let received = |link| LinkEvent::Received { link, bytes: b"x" };
        for (number, port, owner) in [
            (1, Port::Election, LinkOwner::Election),
            (2, Port::Quorum, LinkOwner::Learners),
            (3, Port::ObserverMaster, LinkOwner::Observers),
        ] {
            let link = LinkId::accepted(number);
            assert_eq!(owners.owner_for(&received(link)), None);
            let accepted = LinkEvent::Accepted { link, port, remote, may_be: None };
            assert_eq!(owners.owner_for(&accepted), Some(owner));
            assert_eq!(owners.owner_for(&received(link)), Some(owner));
            let closed = LinkEvent::Closed { link, reason: "closed by the test" };
            assert_eq!(owners.owner_for(&closed), Some(owner));
            assert_eq!(owners.owner_for(&received(link)), None);
        }
        for (number, port, owner) in [
            (1, Port::Election, LinkOwner::Election),
            (2, Port::Quorum, LinkOwner::Learner),
            (3, Port::ObserverMaster, LinkOwner::Learner),
        ] {
            let link = LinkId::opened(number);
            let (server, to) = (ServerId(2), Vec::new());
            owners.note(&[LinkOp::Connect { link, port, server, to, timeout_ms: 1 }]);
            assert_eq!(owners.owner_for(&LinkEvent::Connected { link, remote }), Some(owner));
            owners.note(&[LinkOp::Close { link }]);
            assert_eq!(owners.owner_for(&received(link)), None);
        }
        assert!(owners.0.is_empty());
    }
}
