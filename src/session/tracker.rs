//! When sessions expire (`SessionTrackerImpl`, `ExpiryQueue`).
//!
//! Time is cut into ticks. A session expires at the first tick boundary after its timeout has passed since
//! its last sign of life: never early, at most one tick late.
//!
//! ```text
//! touch at t ──────── timeout ────────┐
//! ───┼────────┼────────┼────────┼─────┴──┼────────   tick boundaries
//!                                        └ expires here
//! ```
//!
//! A touch is by far the most frequent call and only writes the session's own time: a session stays in its
//! bucket, and is moved to a later one when the time of that bucket has come.

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::error::ErrorCode;
use crate::id::{ServerId, SessionId};
use crate::limits::EXPIRY_LOOK_MS;
use crate::time::MonoUs;

use super::Tenure;

/// Finding that a session is alive costs a fiftieth of ending one.
const LOOKS_PER_EXPIRED: usize = 20;

/// One session. Its times are tick boundaries:
/// ```text
/// ──┼──────────────────────┼──────────────────────┼─────→
///   now                bucket_ms              expires_ms
///              looked at again here       ends here, if nothing is heard of it
/// ```
/// Invariant: `bucket_ms ≤ expires_ms`. A touch moves only the second; the look moves the first behind it.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    /// The timeout with which it began: a connection may negotiate another one for itself.
    timeout_ms: i32,
    /// The tick boundary at which it expires without a sign of life.
    expires_ms: u64,
    /// The bucket that counts for it; entries of it in other buckets are left over and mean nothing. Invariant: unless
    /// it is closing, that bucket contains it.
    bucket_ms: u64,
    /// Whether its end is in progress: then it may make no more requests, and does not expire again.
    closing: bool,
    /// The server to which its client is connected, and the tenure; `None` until a server asks.
    owner: Option<(ServerId, Tenure)>,
}

impl Tracked {
    fn assert_order(&self) {
        assert!(self.bucket_ms <= self.expires_ms, "a session is looked at before it expires");
    }
}

/// The sessions of this ensemble (or of this server, if local) and when each expires.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// The distance of tick boundaries. Invariant: not 0.
    tick_ms: u64,
    /// Every session, also those that are closing.
    sessions: HashMap<SessionId, Tracked, FixedState>,
    /// The sessions to look at, by tick boundary. May hold sessions that are gone, or that have shown a sign of life
    /// since.
    buckets: BTreeMap<u64, VecDeque<SessionId>>,
}

impl Tracker {
    /// A tracker without sessions. `tick_ms` is the configuration's `tickTime`.
    pub fn new(tick_ms: u32) -> Tracker {
        assert!(tick_ms > 0, "tickTime is positive");
        Tracker {
            tick_ms: u64::from(tick_ms),
            sessions: HashMap::default(),
            buckets: BTreeMap::new(),
        }
    }

    /// `ExpiryQueue.roundToNextInterval`: a time on a boundary is also rounded up to the next one.
    fn boundary_after(&self, now: MonoUs, timeout_ms: i32) -> u64 {
        let due = now.as_ms().saturating_add(u64::try_from(timeout_ms).unwrap_or(0));
        let boundary = (due / self.tick_ms + 1).saturating_mul(self.tick_ms);
        assert!(boundary > due, "a session outlives its timeout");
        boundary
    }

    /// The bucket in which to check a session that expires at `expires_ms`: a session that is gone by then
    /// must not stay in it for long.
    fn bucket_of(tick_ms: u64, now: MonoUs, expires_ms: u64) -> u64 {
        let look_ms = now.as_ms().saturating_add(EXPIRY_LOOK_MS);
        expires_ms.min((look_ms / tick_ms + 1).saturating_mul(tick_ms))
    }

    /// Tracks a session, or touches it with this timeout if it is tracked; true if it is new.
    pub fn add(&mut self, id: SessionId, timeout_ms: i32, now: MonoUs) -> bool {
        let boundary = self.boundary_after(now, timeout_ms);
        if self.sessions.contains_key(&id) {
            self.reschedule(id, boundary);
            return false;
        }
        let bucket = Tracker::bucket_of(self.tick_ms, now, boundary);
        let session = Tracked {
            timeout_ms,
            expires_ms: boundary,
            bucket_ms: bucket,
            closing: false,
            owner: None,
        };
        session.assert_order();
        assert!(session.expires_ms.is_multiple_of(self.tick_ms), "sessions end at ticks");
        self.sessions.insert(id, session);
        self.buckets.entry(bucket).or_default().push_back(id);
        true
    }

    /// The session showed a sign of life. False if it is unknown or being closed.
    pub fn touch(&mut self, id: SessionId, now: MonoUs) -> bool {
        match self.sessions.get(&id) {
            Some(session) => self.touch_with(id, session.timeout_ms, now),
            None => false,
        }
    }

    /// The session showed a sign of life on a connection that negotiated another timeout.
    pub fn touch_with(&mut self, id: SessionId, timeout_ms: i32, now: MonoUs) -> bool {
        let boundary = self.boundary_after(now, timeout_ms);
        match self.sessions.get(&id) {
            Some(session) if !session.closing => {
                self.reschedule(id, boundary);
                true
            }
            _ => false,
        }
    }

    fn reschedule(&mut self, id: SessionId, boundary: u64) {
        let session = self.sessions.get_mut(&id).expect("the caller found it");
        session.expires_ms = boundary;
        if boundary < session.bucket_ms {
            session.bucket_ms = boundary;
            self.buckets.entry(boundary).or_default().push_back(id);
        }
        session.assert_order();
    }

    /// Marks a session as being closed: it can no longer be touched.
    pub fn set_closing(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closing = true;
        }
    }

    /// A session whose end was abandoned lives on for its whole timeout, with the same owner.
    pub fn revive(&mut self, id: SessionId, now: MonoUs) {
        // The session may be gone by another way since its end was abandoned.
        let Some(timeout_ms) = self.timeout_ms(id) else { return };
        let boundary = self.boundary_after(now, timeout_ms);
        let bucket = Tracker::bucket_of(self.tick_ms, now, boundary);
        let session = self.sessions.get_mut(&id).expect("it has a timeout");
        session.closing = false;
        session.expires_ms = boundary;
        // Its bucket may no longer exist.
        session.bucket_ms = bucket;
        session.assert_order();
        self.buckets.entry(bucket).or_default().push_back(id);
    }

    /// Forgets a session; false if it was unknown.
    pub fn remove(&mut self, id: SessionId) -> bool {
        self.sessions.remove(&id).is_some()
    }

    /// Appends the sessions that expire, each once, and marks them as being closed. After `max` of them, or
    /// after checking many more, the rest waits for the next call, which [`Tracker::next_expiry`] then asks
    /// for at once: thousands of clients that disappear together must not make the others wait. A session
    /// that shows a sign of life until then lives on.
    pub fn expire(&mut self, now: MonoUs, max: usize, expired: &mut Vec<SessionId>) {
        let mut looks = max.saturating_mul(LOOKS_PER_EXPIRED);
        let mut left = max;
        while left > 0
            && looks > 0
            && let Some(mut bucket) = self.buckets.first_entry()
        {
            let boundary = *bucket.key();
            if boundary > now.as_ms() {
                return;
            }
            let Some(id) = bucket.get_mut().pop_front() else {
                bucket.remove();
                continue;
            };
            looks -= 1;
            assert!(boundary.is_multiple_of(self.tick_ms), "buckets lie at ticks");
            // A session that is gone stays in its bucket until then.
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if session.bucket_ms != boundary || session.closing {
                continue;
            }
            if session.expires_ms > boundary {
                let bucket = Tracker::bucket_of(self.tick_ms, now, session.expires_ms);
                session.bucket_ms = bucket;
                self.buckets.entry(bucket).or_default().push_back(id);
            } else {
                assert_eq!(session.expires_ms, boundary, "a session expires in its last bucket");
                session.closing = true;
                expired.push(id);
                left -= 1;
            }
        }
    }

    /// When to call [`Tracker::expire`] next; may turn out to be too early, never too late.
    pub fn next_expiry(&self) -> Option<MonoUs> {
        let (&boundary, _) = self.buckets.first_key_value()?;
        Some(MonoUs(boundary.saturating_mul(1000)))
    }

    /// Whether a request of the session that arrived through the server `owner` may be executed. The first
    /// server that asks becomes the owner.
    ///
    /// # Errors
    /// `UnknownSession`, `SessionExpired` (it is being closed) or `SessionMoved`.
    pub fn check(&mut self, id: SessionId, owner: ServerId) -> Result<(), ErrorCode> {
        let session = self.sessions.get_mut(&id).ok_or(ErrorCode::UnknownSession)?;
        if session.closing {
            return Err(ErrorCode::SessionExpired);
        }
        match session.owner {
            None => {
                session.owner = Some((owner, Tenure::default()));
                Ok(())
            }
            Some((known, _)) if known == owner => Ok(()),
            Some(_) => Err(ErrorCode::SessionMoved),
        }
    }

    /// The session's client has connected to the server `owner`, which replaces the former owner.
    ///
    /// # Errors
    /// `SessionExpired`: it is unknown or being closed.
    pub fn set_owner(
        &mut self,
        id: SessionId,
        owner: ServerId,
        tenure: Tenure,
    ) -> Result<(), ErrorCode> {
        match self.sessions.get_mut(&id) {
            Some(session) if !session.closing => {
                session.owner = Some((owner, tenure));
                Ok(())
            }
            _ => Err(ErrorCode::SessionExpired),
        }
    }

    /// The session's client has connected to the server `owner`, in the turn that `tenure` names. Returns
    /// the tenure of that connection. If the client has connected elsewhere in a later turn, the session
    /// stays there, and the tenure of this connection is the smaller one.
    ///
    /// # Errors
    /// `SessionExpired`: it is unknown or being closed.
    pub fn claim(
        &mut self,
        id: SessionId,
        owner: ServerId,
        tenure: Tenure,
    ) -> Result<Tenure, ErrorCode> {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.closing) else {
            return Err(ErrorCode::SessionExpired);
        };
        // Each leader counts its turns, in an epoch of its own.
        if let Some((_, later)) = session.owner
            && later.since.epoch() == tenure.since.epoch()
            && later.turn > tenure.turn
        {
            return Ok(Tenure { since: later.since, turn: tenure.turn });
        }
        session.owner = Some((owner, tenure));
        Ok(tenure)
    }

    /// Whether the connection that owns the session is the one with this tenure.
    pub fn is_owned_since(&self, id: SessionId, tenure: Tenure) -> bool {
        let owner = self.sessions.get(&id).and_then(|session| session.owner);
        owner.is_some_and(|(_, since)| since == tenure)
    }

    /// The server `owner` has held a connection of the session since `tenure`, under another leader.
    /// False: a later connection is known, or the session is unknown or being closed.
    pub fn keep_owner(&mut self, id: SessionId, owner: ServerId, tenure: Tenure) -> bool {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.closing) else {
            return false;
        };
        match session.owner {
            Some((known, since)) if known == owner => {
                session.owner = Some((owner, since.max(tenure)));
                true
            }
            Some((_, since)) if since >= tenure => false,
            Some(_) | None => {
                session.owner = Some((owner, tenure));
                true
            }
        }
    }

    /// Whether the session is known, even if being closed.
    pub fn contains(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// Whether the session is known and being closed.
    pub fn is_closing(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.closing)
    }

    /// The timeout with which a session was first tracked, in ms.
    pub fn timeout_ms(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).map(|session| session.timeout_ms)
    }

    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The sessions by the time at which they expire without a sign of life, for `dump`.
    pub fn by_expiry(&self) -> BTreeMap<MonoUs, Vec<SessionId>> {
        let mut result: BTreeMap<MonoUs, Vec<SessionId>> = BTreeMap::new();
        for (&id, session) in self.sessions.iter().filter(|(_, session)| !session.closing) {
            result.entry(MonoUs(session.expires_ms.saturating_mul(1000))).or_default().push(id);
        }
        for ids in result.values_mut() {
            ids.sort_unstable();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, Zxid};

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);

    fn at(ms: u64) -> MonoUs {
        MonoUs(ms * 1000)
    }

    fn expired(tracker: &mut Tracker, ms: u64) -> Vec<SessionId> {
        let mut expired = Vec::new();
        tracker.expire(at(ms), usize::MAX, &mut expired);
        expired
    }

    #[test]
    fn a_session_lives_its_timeout_and_up_to_a_tick_more() {
        for start in 0..200 {
            let mut tracker = Tracker::new(100);
            tracker.add(A, 250, at(start));
            let mut now = start;
            while expired(&mut tracker, now).is_empty() {
                now += 1;
            }
            assert!(now > start + 250, "not before its timeout");
            assert!(now <= start + 350, "not more than a tick late");
            assert_eq!(now % 100, 0, "at a tick boundary");
            assert_eq!(now, ((start + 250) / 100 + 1) * 100, "at ZooKeeper's moment");
        }
    }

    #[test]
    fn a_touch_postpones_the_end() {
        let mut tracker = Tracker::new(100);
        tracker.add(A, 250, at(0));
        tracker.add(B, 250, at(0));
        assert_eq!(tracker.next_expiry(), Some(at(300)));
        assert!(tracker.touch(A, at(200)));
        assert_eq!(expired(&mut tracker, 299), []);
        assert_eq!(expired(&mut tracker, 300), [B]);
        assert_eq!(tracker.next_expiry(), Some(at(500)));
        assert_eq!(expired(&mut tracker, 499), []);
        assert_eq!(expired(&mut tracker, 500), [A]);
        assert_eq!(tracker.next_expiry(), None);
    }

    #[test]
    fn many_that_end_together_do_so_in_portions_and_who_is_heard_of_meanwhile_lives_on() {
        let mut tracker = Tracker::new(100);
        for id in 1..=50 {
            tracker.add(SessionId(id), 100, at(0));
        }
        let mut portion = Vec::new();
        tracker.expire(at(200), 20, &mut portion);
        assert_eq!(portion, (1..=20).map(SessionId).collect::<Vec<_>>());
        assert_eq!(tracker.next_expiry(), Some(at(200)), "the rest is due");
        assert!(tracker.touch(SessionId(50), at(200)));
        assert!(!tracker.touch(SessionId(20), at(200)));
        portion.clear();
        tracker.expire(at(200), 20, &mut portion);
        tracker.expire(at(200), 20, &mut portion);
        assert_eq!(portion, (21..=49).map(SessionId).collect::<Vec<_>>());
        assert_eq!(expired(&mut tracker, 400), [SessionId(50)]);
    }

    #[test]
    fn sessions_that_were_heard_of_count_less_and_still_count() {
        let mut tracker = Tracker::new(100);
        for id in 1..=LOOKS_PER_EXPIRED + 1 {
            tracker.add(SessionId(i64::try_from(id).unwrap()), 100, at(0));
            assert!(tracker.touch(SessionId(i64::try_from(id).unwrap()), at(150)));
        }
        let mut portion = Vec::new();
        tracker.expire(at(200), 1, &mut portion);
        assert_eq!(tracker.next_expiry(), Some(at(200)), "one was not looked at");
        tracker.expire(at(200), 1, &mut portion);
        assert_eq!((portion.len(), tracker.next_expiry()), (0, Some(at(300))));
    }

    #[test]
    fn a_shorter_timeout_after_a_reconnect_brings_the_end_nearer() {
        let mut tracker = Tracker::new(100);
        tracker.add(A, 1000, at(0));
        assert!(tracker.touch_with(A, 100, at(0)));
        assert_eq!(tracker.timeout_ms(A), Some(1000));
        assert_eq!(expired(&mut tracker, 200), [A]);
        assert_eq!(expired(&mut tracker, 5000), []);
    }

    #[test]
    fn an_expired_session_is_closing_and_expires_once() {
        let mut tracker = Tracker::new(100);
        tracker.add(A, 100, at(0));
        assert_eq!(expired(&mut tracker, 1000), [A]);
        assert!(tracker.is_closing(A));
        assert!(!tracker.touch(A, at(1000)));
        assert_eq!(tracker.check(A, ServerId(1)), Err(ErrorCode::SessionExpired));
        let set = tracker.set_owner(A, ServerId(1), Tenure::default());
        assert_eq!(set, Err(ErrorCode::SessionExpired));
        assert!(!tracker.keep_owner(A, ServerId(1), Tenure::default()));
        assert_eq!(expired(&mut tracker, 9000), []);
        assert!(tracker.remove(A));
        assert!(!tracker.remove(A));
        assert!(tracker.is_empty());
    }

    #[test]
    fn a_session_whose_end_was_given_up_lives_on_as_whose_it_was() {
        let mut tracker = Tracker::new(100);
        tracker.add(A, 100, at(0));
        assert_eq!(tracker.set_owner(A, ServerId(2), Tenure::default()), Ok(()));
        assert_eq!(expired(&mut tracker, 1000), [A]);
        tracker.revive(A, at(1000));
        assert_eq!(tracker.check(A, ServerId(1)), Err(ErrorCode::SessionMoved));
        assert_eq!(tracker.check(A, ServerId(2)), Ok(()));
        assert_eq!(expired(&mut tracker, 1100), []);
        assert_eq!(expired(&mut tracker, 1200), [A]);
        assert_eq!(expired(&mut tracker, 9000), []);
        tracker.revive(B, at(9000));
        assert!(!tracker.contains(B));
    }

    #[test]
    fn a_removed_session_does_not_expire_even_if_it_comes_back() {
        let mut tracker = Tracker::new(100);
        tracker.add(A, 100, at(0));
        tracker.remove(A);
        tracker.add(A, 900, at(50));
        assert_eq!(expired(&mut tracker, 200), []);
        assert_eq!(expired(&mut tracker, 1000), [A]);
    }

    #[test]
    fn the_first_server_that_asks_owns_the_session_until_it_moves() {
        let mut tracker = Tracker::new(100);
        assert_eq!(tracker.check(A, ServerId(1)), Err(ErrorCode::UnknownSession));
        tracker.add(A, 100, at(0));
        assert_eq!(tracker.check(A, ServerId(1)), Ok(()));
        assert_eq!(tracker.check(A, ServerId(2)), Err(ErrorCode::SessionMoved));
        assert_eq!(tracker.set_owner(A, ServerId(2), Tenure::default()), Ok(()));
        assert_eq!(tracker.check(A, ServerId(2)), Ok(()));
    }

    #[test]
    fn of_two_connections_the_later_one_keeps_the_session() {
        let tenure = |since, turn| Tenure { since: Zxid(since), turn };
        for later in [tenure(8, 1), tenure(7, 2)] {
            for later_comes_first in [true, false] {
                let mut tracker = Tracker::new(100);
                tracker.add(A, 100, at(0));
                if later_comes_first {
                    assert!(tracker.keep_owner(A, ServerId(2), later));
                    assert!(!tracker.keep_owner(A, ServerId(1), tenure(7, 1)));
                } else {
                    assert!(tracker.keep_owner(A, ServerId(1), tenure(7, 1)));
                    assert!(tracker.keep_owner(A, ServerId(2), later));
                }
                assert_eq!(tracker.check(A, ServerId(2)), Ok(()));
                assert_eq!(tracker.check(A, ServerId(1)), Err(ErrorCode::SessionMoved));
            }
        }
        assert!(!Tracker::new(100).keep_owner(B, ServerId(1), tenure(7, 1)), "it is unknown");
    }

    #[test]
    fn who_asked_first_and_is_answered_last_does_not_get_the_session() {
        let tenure = |since, turn| Tenure { since: Zxid(since), turn };
        let mut tracker = Tracker::new(100);
        tracker.add(A, 100, at(0));
        assert_eq!(tracker.claim(A, ServerId(2), tenure(7, 2)), Ok(tenure(7, 2)));
        assert_eq!(tracker.claim(A, ServerId(1), tenure(9, 1)), Ok(tenure(7, 1)));
        assert!(
            !tracker.is_owned_since(A, tenure(7, 1)) && tracker.is_owned_since(A, tenure(7, 2))
        );
        assert_eq!(tracker.check(A, ServerId(1)), Err(ErrorCode::SessionMoved));
        assert_eq!(tracker.claim(A, ServerId(3), tenure(9, 3)), Ok(tenure(9, 3)));
        assert_eq!(tracker.check(A, ServerId(3)), Ok(()));
        // The next leader counts from the beginning.
        let next = Tenure { since: Zxid::new(Epoch(1), 0), turn: 1 };
        assert_eq!(tracker.claim(A, ServerId(1), next), Ok(next));
        assert_eq!(tracker.check(A, ServerId(1)), Ok(()));
        tracker.set_closing(A);
        assert_eq!(tracker.claim(A, ServerId(1), next), Err(ErrorCode::SessionExpired));
    }

    #[test]
    fn sessions_are_listed_by_their_end() {
        let mut tracker = Tracker::new(100);
        tracker.add(B, 100, at(0));
        tracker.add(A, 100, at(10));
        tracker.touch_with(A, 900, at(10));
        tracker.add(SessionId(3), 150, at(0));
        let lists = tracker.by_expiry();
        let lists: Vec<_> = lists.iter().map(|(end, ids)| (end.as_ms(), ids.len())).collect();
        assert_eq!(lists, [(200, 2), (1000, 1)]);
    }

    #[test]
    fn twenty_thousand_sessions_that_are_touched_never_expire() {
        let mut tracker = Tracker::new(2000);
        for id in 0..20_000 {
            tracker.add(SessionId(id), 10_000, at(0));
        }
        for round in 1..20 {
            for id in (0..20_000).filter(|id| id % 1000 != 7) {
                tracker.touch(SessionId(id), at(round * 3000));
            }
            let gone = expired(&mut tracker, round * 3000);
            assert_eq!(gone.len(), if round == 4 { 20 } else { 0 }, "round {round}");
        }
    }

    /// A client that opens and closes sessions in a loop leaves nothing behind for hours.
    #[test]
    fn sessions_that_are_gone_are_forgotten_long_before_their_timeout() {
        let mut tracker = Tracker::new(2000);
        let hours = 24 * 3_600_000;
        let at = |seconds: i64| MonoUs(seconds.unsigned_abs() * 1_000_000);
        let mut expired = Vec::new();
        tracker.add(SessionId(1), hours, at(0));
        tracker.touch(SessionId(1), at(1));
        for second in 2..300 {
            tracker.add(SessionId(second), hours, at(second));
            tracker.remove(SessionId(second));
            tracker.expire(at(second), 100, &mut expired);
        }
        let kept: usize = tracker.buckets.values().map(VecDeque::len).sum();
        assert!(kept <= 90, "{kept}");
        let day = 86_400;
        for second in (300..day).step_by(10) {
            tracker.expire(at(second), 100, &mut expired);
        }
        assert_eq!(expired, []);
        tracker.expire(at(day + 4), 100, &mut expired);
        assert_eq!(expired, [SessionId(1)]);
    }
}
