//! Whether this server keeps up with what other servers send it.

use super::Replica;
use super::cost::Weight;
use super::service::Service;
use crate::link::LinkId;

impl Service {
    /// Whether the requests that wait here cannot go on before an acknowledgement arrives that may stand in this link,
    /// behind requests of the same learner. A leader that read no more from this link would block itself:
    ///
    /// 1. The leader has proposed as much as it may, and one server of three is down.
    /// 2. The other follower has passed on more than may wait here, and the leader reads no more from it.
    /// 3. So the leader does not read this follower's acknowledgement of what is proposed. Nothing is committed until
    ///    the leader gives the follower up, and with it the lead.
    fn is_held_up_by(&self, link: LinkId) -> bool {
        let next = match self.ensemble.deferred.has_light() {
            true => Weight::Light,
            false => Weight::Heavy,
        };
        !self.may_write(next) && self.ensemble.peer.awaits_ack_over(link)
    }
}

impl Replica {
    /// Whether nothing more should be read from this link for now: too many of the requests that came over it wait for
    /// their turn, the log is behind, or far more is committed than applied.
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        // On a full disk the requests that wait cannot go on, and a learner that is not heard would be taken for dead.
        (self.service.ensemble.deferred.has_enough_of(link)
            && !self.service.pipeline.is_disk_full()
            && !self.service.is_held_up_by(link))
            || self.service.ensemble.peer.has_enough_of(link)
            || self.service.pipeline.steps.backlog.is_behind()
            || (self.service.ensemble.is_learning() && self.service.ensemble.applying.is_too_much())
    }
}
