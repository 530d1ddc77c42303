//! Whether this server keeps up with what other servers send.

use super::Replica;
use super::cost::Weight;
use super::service::Service;
use crate::link::LinkId;

impl Service {
    /// Whether what waits here cannot go on before an acknowledgement comes that may stand in this link, behind the
    /// requests in it:
    ///
    /// 1. As much is proposed as may be, and one server of three is down.
    /// 2. The other follower has passed on more than may wait here, and is read no more.
    /// 3. Its acknowledgement of what is proposed is not read: nothing is committed until the leader gives it up, and
    ///    with it the lead.
    fn is_held_up_by(&self, link: LinkId) -> bool {
        let next = match self.ensemble.deferred.has_light() {
            true => Weight::Light,
            false => Weight::Heavy,
        };
        !self.may_write(next) && self.ensemble.peer.awaits_ack_over(link)
    }
}

impl Replica {
    /// Whether nothing more should be read from this link for now: so many of the requests that it has brought
    /// wait for their turn, the log is behind, or far more is committed than applied.
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        // On a full disk nothing goes on, and a learner that is not heard is taken for dead.
        (self.service.ensemble.deferred.has_enough_of(link)
            && !self.service.pipeline.is_disk_full()
            && !self.service.is_held_up_by(link))
            || self.service.ensemble.peer.has_enough_of(link)
            || self.service.pipeline.steps.backlog.is_behind()
            || (self.service.ensemble.is_learning() && self.service.ensemble.applying.is_too_much())
    }
}
