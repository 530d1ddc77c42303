//! Events on links, each handed to whom its link belongs.

use super::*;

impl Member {
    /// Something happened on a link.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        self.now = now;
        let link = event.link();
        match event {
            LinkEvent::Accepted { port: Port::Election, .. } => {
                self.election.handle_link(now, event);
            }
            LinkEvent::Accepted { port: Port::Quorum, remote, may_be, .. } => {
                match &mut self.role {
                    MemberRole::Leading(leader) => leader.handle_link(now, event),
                    // Whoever votes for it shall look again, not wait.
                    MemberRole::Looking(_) if !self.stands => {
                        self.role.lasting_mut().ready.send(LinkOp::Close { link });
                    }
                    MemberRole::Looking(_) | MemberRole::Waiting { .. } => {
                        if let Some(refused) = self.held.accept(now, link, remote, may_be) {
                            self.role.lasting_mut().ready.send(LinkOp::Close { link: refused });
                        }
                    }
                    // ZooKeeper: only a leader listens on this port.
                    MemberRole::Learning(_) => {
                        self.role.lasting_mut().ready.send(LinkOp::Close { link });
                    }
                }
            }
            LinkEvent::Accepted { port: Port::ObserverMaster, .. } => {
                match self.role.lasting_mut().observers() {
                    Some((observers, view)) => observers.handle_link(now, event, view),
                    None => self.role.lasting_mut().ready.send(LinkOp::Close { link }),
                }
            }
            _ if self.role.lasting().observers.as_ref().is_some_and(|it| it.owns(link)) => {
                if let Some((observers, view)) = self.role.lasting_mut().observers() {
                    observers.handle_link(now, event, view);
                }
            }
            _ if self.election.owns(link) => self.election.handle_link(now, event),
            _ if self.held.owns(link) => {
                let me = self.role.lasting().options.me;
                if let Some(refused) = self.held.handle(now, me, event) {
                    self.role.lasting_mut().ready.send(LinkOp::Close { link: refused });
                }
            }
            _ => match &mut self.role {
                MemberRole::Leading(leader) => leader.handle_link(now, event),
                MemberRole::Learning(learner) => learner.handle_link(now, event),
                MemberRole::Looking(_) | MemberRole::Waiting { .. } => {}
            },
        }
        self.settle();
    }
}
