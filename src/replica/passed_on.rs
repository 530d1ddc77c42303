//! What a learner has passed on to its leader and has not heard of.
//!
//! A leader that has got enough from a learner reads no more from it, and then what the learner acknowledges waits
//! behind what it passes on. So a learner passes on less than that, and what is more waits here, where
//! those who ask for little go first ([`work`](super::work)).
//!
//! ```text
//! client ─→ learner ─→ passed on: at most some MiB ─→ leader: light line, heavy line
//!           └─ writers in line, while that is under way
//! ```
//! A request counts until what became of it is applied here, its client gone or not: whoever asks for much, leaves
//! and comes back has as much under way as whoever stays.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::connection::Forwarded;
use super::cost::Weight;
use crate::id::SessionId;
use crate::limits;

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct PassedOn {
    /// In the queues of connections, syncs with them.
    requests: usize,
    /// What is no sync among those, and its bytes.
    writes: Sum,
    /// Of sessions whose connection is gone: what they read on their next one comes after these.
    orphans: HashMap<SessionId, VecDeque<Orphan>>,
    /// All of them.
    orphaned: Sum,
}

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
        self.count -= 1;
        self.bytes -= bytes;
    }
}

/// A request whose connection is gone. It is no sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    pub xid: i32,
    /// Its length as it was passed on.
    pub bytes: usize,
}

impl PassedOn {
    /// A request stands in a connection's queue now.
    pub fn add(&mut self, request: &Forwarded) {
        self.requests += 1;
        if request.sync.is_none() {
            self.writes.add(request.passed_bytes);
        }
    }

    /// It stands there no more.
    pub fn remove(&mut self, request: &Forwarded) {
        self.requests -= 1;
        if request.sync.is_none() {
            self.writes.remove(request.passed_bytes);
        }
    }

    /// How many stand in the queues of connections.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// Whether nothing is under way but syncs, of connections that are here or gone.
    pub fn is_empty(&self) -> bool {
        self.writes == Sum::default() && self.orphaned == Sum::default() && self.orphans.is_empty()
    }

    /// Whether one more may be passed on, to the leader itself or by a follower (`by_master`). Where those that take long
    /// wait, light ones still find room.
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

    /// A connection of this session goes while these are under way.
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

    /// What became of a request of this session has come; it has no connection here.
    pub fn on_orphan_done(&mut self, session: SessionId, xid: i32) {
        let Some(of_session) = self.orphans.get_mut(&session) else { return };
        let Some(done) = of_session.pop_front_if(|request| request.xid == xid) else { return };
        self.orphaned.remove(done.bytes);
        if of_session.is_empty() {
            self.orphans.remove(&session);
        }
    }

    /// All of this session's: it has a connection again, or it is over.
    pub fn take_orphans(&mut self, session: SessionId) -> VecDeque<Orphan> {
        let taken = self.orphans.remove(&session).unwrap_or_default();
        taken.iter().for_each(|request| self.orphaned.remove(request.bytes));
        taken
    }

    /// Their leader is lost: they are in the history that is applied next, or will never be.
    pub fn clear_orphans(&mut self) {
        self.orphans.clear();
        self.orphaned = Sum::default();
    }
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
        passed_on.orphan(session, (0..4).map(|xid| Orphan { xid, bytes }));
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
