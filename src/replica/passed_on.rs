//! The requests that a learner has passed on to its leader and whose outcome it has not seen.
//!
//! A leader that holds enough requests of a learner reads no more from that learner. The learner's acknowledgements
//! then wait behind the requests that it passes on. So a learner passes on less than that, and further requests wait at
//! the learner, where clients that ask for little go first ([`work`](super::work)).
//!
//! ```text
//! client ─→ learner ─→ passed on: at most some MiB ─→ leader: light line, heavy line
//!           └─ writers in line, while that is under way
//! ```
//! A request counts until its outcome is applied here, even if its client is gone: a client that asks for much, leaves
//! and comes back has as much under way as one that stays.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::audit::Asked;
use super::connection::Forwarded;
use super::cost::Weight;
use crate::id::SessionId;
use crate::limits;

/// How much a learner has passed on.
#[derive(Debug, Default)]
pub(super) struct PassedOn {
    /// Requests in the queues of connections, syncs included.
    requests: usize,
    /// Those of `requests` that are not syncs.
    writes: Sum,
    /// Requests whose connection is gone, by session, oldest first: what a session reads on its next connection comes
    /// after these.
    ///
    /// Invariant: no session has an empty list.
    orphans: HashMap<SessionId, VecDeque<Orphan>>,
    /// All of `orphans` together.
    orphaned: Sum,
    /// Writes that the audit log has not been told of and whose outcome will not be heard of, since they were last
    /// taken.
    untold: u64,
}

/// A number of requests, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: usize,
    bytes: usize,
}

impl Sum {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        assert!(self.count > 0, "a request that is over was counted when it was passed on");
        assert!(bytes <= self.bytes, "a request is over with the length it was passed on with");
        self.count -= 1;
        self.bytes -= bytes;
    }
}

/// A request whose connection is gone. It is not a sync.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    /// The client's xid.
    pub xid: i32,
    /// The request's length as it was passed on.
    pub bytes: usize,
    /// What the audit log is told once the outcome is certain.
    pub audit: Option<Box<Asked>>,
}

impl PassedOn {
    /// A request joins a connection's queue.
    pub fn add(&mut self, request: &Forwarded) {
        self.requests += 1;
        if request.sync.is_none() {
            self.writes.add(request.passed_bytes);
        }
    }

    /// A request leaves a connection's queue. If it still has what the audit log is to be told, nobody will tell it.
    pub fn remove(&mut self, request: &Forwarded) {
        self.untold += u64::from(request.audit.is_some());
        assert!(self.requests > 0, "a request that leaves a queue has joined it");
        self.requests -= 1;
        if request.sync.is_none() {
            self.writes.remove(request.passed_bytes);
        }
        assert!(self.writes.count <= self.requests, "every write is a request");
    }

    /// How many requests are in the queues of connections.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// Whether nothing but syncs is under way, of connections that are here or gone.
    pub fn is_empty(&self) -> bool {
        self.writes == Sum::default() && self.orphaned == Sum::default() && self.orphans.is_empty()
    }

    /// Whether one more request may be passed on, to the leader itself or by way of a follower (`by_master`). Light
    /// requests find room where heavy ones already wait.
    pub fn has_room(&self, weight: Weight, by_master: bool) -> bool {
        let (requests_max, bytes_max) = match (weight, by_master) {
            (Weight::Light, false) => (limits::PASSED_ON_REQUESTS_MAX, limits::PASSED_ON_BYTES_MAX),
            (Weight::Heavy, false) => {
                (limits::PASSED_ON_REQUESTS_MAX, limits::PASSED_ON_HEAVY_BYTES_MAX)
            }
            (Weight::Light, true) => {
                (limits::PASSED_ON_BY_MASTER_REQUESTS_MAX, limits::PASSED_ON_BY_MASTER_BYTES_MAX)
            }
            (Weight::Heavy, true) => (
                limits::PASSED_ON_BY_MASTER_REQUESTS_MAX,
                limits::PASSED_ON_BY_MASTER_HEAVY_BYTES_MAX,
            ),
        };
        self.writes.count + self.orphaned.count < requests_max
            && self.writes.bytes + self.orphaned.bytes < bytes_max
    }

    /// The session's connection goes while these requests are under way.
    pub fn orphan(&mut self, session: SessionId, requests: impl Iterator<Item = Orphan>) {
        let mut requests = requests.peekable();
        if requests.peek().is_none() {
            return;
        }
        let of_session = self.orphans.entry(session).or_default();
        for request in requests {
            self.orphaned.add(request.bytes);
            of_session.push_back(request);
        }
    }

    /// A transaction of a session that has no connection here was applied: perhaps the outcome of an orphan. Returns
    /// what the audit log is told of it.
    pub fn on_orphan_done(&mut self, session: SessionId, xid: i32) -> Option<Box<Asked>> {
        // The session passed nothing on from here.
        let of_session = self.orphans.get_mut(&session)?;
        // The leader takes a session's requests in order, so any other xid is another server's.
        let done = of_session.pop_front_if(|request| request.xid == xid)?;
        self.orphaned.remove(done.bytes);
        if of_session.is_empty() {
            self.orphans.remove(&session);
        }
        self.assert_orphans();
        done.audit
    }

    /// Takes the orphans of a session that has a connection again.
    pub fn take_orphans(&mut self, session: SessionId) -> VecDeque<Orphan> {
        let taken = self.orphans.remove(&session).unwrap_or_default();
        taken.iter().for_each(|request| self.orphaned.remove(request.bytes));
        self.assert_orphans();
        taken
    }

    /// Forgets the orphans of a session: their outcome will not arrive.
    pub fn drop_orphans(&mut self, session: SessionId) {
        self.untold += untold(&self.take_orphans(session));
    }

    /// How many writes the audit log lacks since the last call.
    pub fn take_untold(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    fn assert_orphans(&self) {
        let has_orphans = !self.orphans.is_empty();
        assert!(has_orphans == (self.orphaned.count > 0), "every orphan is counted once");
    }

    /// The leader of the orphans is lost: they are in the history that is applied next, or will never be.
    pub fn clear_orphans(&mut self) {
        self.untold += self.orphans.values().map(untold).sum::<u64>();
        self.orphans.clear();
        self.orphaned = Sum::default();
    }
}

/// How many of the orphans the audit log is to be told of.
fn untold(orphans: &VecDeque<Orphan>) -> u64 {
    orphans.iter().map(|orphan| u64::from(orphan.audit.is_some())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::OpCode;

    fn request(bytes: usize, sync: Option<u64>) -> Forwarded {
        Forwarded { passed_bytes: bytes, ..Forwarded::of_test(OpCode::Multi, sync) }
    }

    #[test]
    fn whoever_leaves_has_as_much_under_way_as_whoever_stays() {
        let mut passed_on = PassedOn::default();
        let bytes = limits::PASSED_ON_HEAVY_BYTES_MAX / 4;
        for _ in 0..4 {
            assert!(passed_on.has_room(Weight::Heavy, false));
            passed_on.add(&request(bytes, None));
        }
        assert!(
            !passed_on.has_room(Weight::Heavy, false) && passed_on.has_room(Weight::Light, false)
        );
        let session = SessionId(7);
        passed_on.orphan(session, (0..4).map(|xid| Orphan { xid, bytes, audit: None }));
        (0..4).for_each(|_| passed_on.remove(&request(bytes, None)));
        assert!(!passed_on.has_room(Weight::Heavy, false) && passed_on.requests() == 0);
        passed_on.on_orphan_done(session, 1);
        assert!(!passed_on.has_room(Weight::Heavy, false), "the one before it is under way");
        passed_on.on_orphan_done(SessionId(8), 0);
        assert!(!passed_on.has_room(Weight::Heavy, false), "it is another session's");
        passed_on.on_orphan_done(session, 0);
        assert!(passed_on.has_room(Weight::Heavy, false));
        assert_eq!(passed_on.take_orphans(session).len(), 3);
        assert_eq!((passed_on.orphaned, passed_on.writes), (Sum::default(), Sum::default()));
    }

    #[test]
    fn light_requests_are_bounded_and_syncs_take_no_room() {
        let mut passed_on = PassedOn::default();
        for _ in 0..limits::PASSED_ON_REQUESTS_MAX {
            assert!(
                passed_on.has_room(Weight::Light, false)
                    && passed_on.has_room(Weight::Heavy, false)
            );
            passed_on.add(&request(1, None));
            passed_on.add(&request(limits::PASSED_ON_BYTES_MAX, Some(1)));
        }
        assert!(
            !passed_on.has_room(Weight::Light, false) && !passed_on.has_room(Weight::Heavy, false)
        );
    }

    #[test]
    fn an_observer_passes_on_less_than_its_master_takes() {
        let mut passed_on = PassedOn::default();
        for _ in 0..limits::PASSED_ON_BY_MASTER_REQUESTS_MAX {
            assert!(
                passed_on.has_room(Weight::Light, true) && passed_on.has_room(Weight::Heavy, true)
            );
            passed_on.add(&request(1, None));
        }
        assert!(
            !passed_on.has_room(Weight::Light, true) && passed_on.has_room(Weight::Light, false)
        );
        let mut passed_on = PassedOn::default();
        passed_on.add(&request(limits::FRAME_BYTES_MAX as usize, None));
        let is_taken = limits::FRAME_BYTES_MAX as usize
            + limits::PASSED_ON_BY_MASTER_HEAVY_BYTES_MAX
            < limits::OBSERVERS_BYTES_MAX / 4;
        assert!(is_taken && !passed_on.has_room(Weight::Heavy, true));
    }
}
