//! Requests of learners that wait in a leader: for room on the disk, or for their turn.
//!
//! Each session's are kept in their order, its syncs among them, and sessions stand in line as connections do here
//! ([`work`](super::work)): those whose next request is light in one, the others in another. A learner of Apache
//! ZooKeeper expects commits of its own and answers to its syncs in the order in which it has asked, whichever sessions
//! they are of (`CommitProcessor.queuedWriteRequests`): all that it passes on is one lane here, as a session's is. Its
//! syncs are answered when everything is proposed that came before them.
//!
//! ```text
//! 1. A follower of Apache ZooKeeper passes on a write and a sync of one session.
//! 2. The write waits here; the sync is answered.
//! 3. The follower takes the answer for one that belongs to no request at the head of the session's queue, and
//!    the sync that stands there waits for ever.
//! ```

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashMap;

use super::work::Weight;
use crate::acl;
use crate::id::{ServerId, SessionId};
use crate::limits;
use crate::link::LinkId;
use crate::zab::{ForwardedRequest, SessionScope};

/// What a session has asked for.
enum Kept {
    /// A request, and what it costs.
    Request { number: u64, units: u32, request: ForwardedRequest },
    /// A sync: what comes behind it waits until that is answered.
    Sync,
}

impl Kept {
    /// In which line its session stands; in none while it is a sync.
    fn weight(&self) -> Option<Weight> {
        match self {
            Kept::Request { units, .. } => Some(Weight::of(*units)),
            Kept::Sync => None,
        }
    }
}

/// What is kept in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lane {
    /// Of a session, at a learner that is a Ringkeeper.
    Session(SessionId),
    /// All of one that is not.
    Link(LinkId),
}

impl Lane {
    fn of(request: &ForwardedRequest) -> Lane {
        match request.scope {
            SessionScope::Unsaid => Lane::Link(request.link),
            SessionScope::Local | SessionScope::Global => Lane::Session(request.session),
        }
    }
}

/// Where a sync is answered.
struct Sync {
    /// The number of the first request that came behind it.
    number: u64,
    link: LinkId,
    lane: Lane,
}

/// What a request takes while it waits, and took on its link.
fn bytes_of(request: &ForwardedRequest) -> usize {
    request.body.len() + acl::bytes_of(&request.identities)
}

#[derive(Default)]
pub(super) struct Deferred {
    /// None is empty.
    lanes: HashMap<Lane, VecDeque<Kept>>,
    /// Each of the lanes, once, but for those whose next is a sync.
    light: VecDeque<Lane>,
    heavy: VecDeque<Lane>,
    /// The numbers of what each session has asked for at each server; none is empty.
    of_sessions: HashMap<(SessionId, ServerId), BTreeSet<u64>>,
    bytes: usize,
    /// The number of the next one that comes.
    next: u64,
    /// Numbers of those that wait.
    numbers: BTreeSet<u64>,
    /// How many requests, syncs and fences came over each link, and their bytes; none is empty.
    links: HashMap<LinkId, (usize, usize)>,
    /// In their order.
    syncs: VecDeque<Sync>,
    /// How many of them came over each link; none is 0.
    syncs_of: HashMap<LinkId, usize>,
    /// Links that wait until nothing is left that came before this number; in their order.
    fences: VecDeque<(u64, LinkId)>,
}

impl Deferred {
    pub fn push(&mut self, request: ForwardedRequest, units: u32) {
        let number = self.next;
        self.next += 1;
        self.numbers.insert(number);
        let asked_at = (request.session, request.server);
        self.of_sessions.entry(asked_at).or_default().insert(number);
        self.count(request.link, bytes_of(&request));
        self.keep(Lane::of(&request), Kept::Request { number, units, request });
    }

    fn count(&mut self, link: LinkId, bytes: usize) {
        let of_link = self.links.entry(link).or_default();
        of_link.0 += 1;
        of_link.1 += bytes;
        self.bytes += bytes;
    }

    fn discount(&mut self, link: LinkId, bytes: usize) {
        let of_link = self.links.get_mut(&link).expect("it was counted as it came");
        of_link.0 -= 1;
        of_link.1 -= bytes;
        if of_link.0 == 0 {
            self.links.remove(&link);
        }
        self.bytes -= bytes;
    }

    pub fn push_sync(&mut self, sync: &ForwardedRequest) {
        let (link, lane) = (sync.link, Lane::of(sync));
        self.count(link, 0);
        self.syncs.push_back(Sync { number: self.next, link, lane });
        *self.syncs_of.entry(link).or_default() += 1;
        self.keep(lane, Kept::Sync);
    }

    fn keep(&mut self, lane: Lane, kept: Kept) {
        let weight = kept.weight();
        let of_lane = self.lanes.entry(lane).or_default();
        of_lane.push_back(kept);
        if of_lane.len() == 1 {
            self.stand_in_line(lane, weight);
        }
    }

    pub fn push_fence(&mut self, link: LinkId) {
        self.count(link, 0);
        self.fences.push_back((self.next, link));
    }

    /// A link whose fence has nothing before it any more.
    pub fn pop_fence(&mut self) -> Option<LinkId> {
        let first = self.numbers.first().copied().unwrap_or(self.next);
        let (_, link) = self.fences.pop_front_if(|(number, _)| *number <= first)?;
        self.discount(link, 0);
        Some(link)
    }

    /// Whether a sync waits that came over this link.
    pub fn has_sync_of(&self, link: LinkId) -> bool {
        self.syncs_of.contains_key(&link)
    }

    fn line(&mut self, weight: Weight) -> &mut VecDeque<Lane> {
        match weight {
            Weight::Light => &mut self.light,
            Weight::Heavy => &mut self.heavy,
        }
    }

    fn stand_in_line(&mut self, lane: Lane, weight: Option<Weight>) {
        if let Some(weight) = weight {
            self.line(weight).push_back(lane);
        }
    }

    /// Takes the oldest of a lane, and lets the next one stand in line.
    fn take(&mut self, lane: Lane) -> Kept {
        let of_lane = self.lanes.get_mut(&lane).expect("it has something that waits");
        let kept = of_lane.pop_front().expect("no lane without anything is kept");
        match of_lane.front().map(Kept::weight) {
            Some(weight) => self.stand_in_line(lane, weight),
            None => _ = self.lanes.remove(&lane),
        }
        kept
    }

    /// The next of the one line or the other, and its cost.
    pub fn pop(&mut self, weight: Weight) -> Option<(ForwardedRequest, u32)> {
        let lane = self.line(weight).pop_front()?;
        let Kept::Request { number, units, request } = self.take(lane) else {
            unreachable!("a lane whose next is a sync stands in no line")
        };
        self.numbers.remove(&number);
        let asked_at = (request.session, request.server);
        let numbers = self.of_sessions.get_mut(&asked_at).expect("it was counted as it came");
        numbers.remove(&number);
        if numbers.is_empty() {
            self.of_sessions.remove(&asked_at);
        }
        self.discount(request.link, bytes_of(&request));
        Some((request, units))
    }

    /// A sync before which nothing waits any more.
    pub fn pop_sync(&mut self) -> Option<LinkId> {
        let first = self.numbers.first().copied().unwrap_or(self.next);
        let Sync { link, lane, .. } = self.syncs.pop_front_if(|sync| sync.number <= first)?;
        // All that came before it in its lane is proposed or answered.
        let kept = self.take(lane);
        assert!(matches!(kept, Kept::Sync), "nothing of its lane is before a sync that is next");
        self.discount(link, 0);
        let of_link = self.syncs_of.get_mut(&link).expect("it was counted as it came");
        *of_link -= 1;
        if *of_link == 0 {
            self.syncs_of.remove(&link);
        }
        Some(link)
    }

    pub fn clear(&mut self) {
        *self = Deferred::default();
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Whether a light one waits.
    pub fn has_light(&self) -> bool {
        !self.light.is_empty()
    }

    /// Whether it is more than a leader keeps.
    pub fn is_too_much(&self) -> bool {
        self.numbers.len() > limits::DEFERRED_REQUESTS_MAX
            || self.bytes > limits::DEFERRED_BYTES_MAX
    }

    /// Whether so much waits that came over this link, or over all of them, that no more should be read from it.
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        let (count, bytes) = self.links.get(&link).copied().unwrap_or_default();
        let has_a_part = |of: usize| {
            count >= limits::DEFERRED_REQUESTS_PER_LINK_MAX / of
                || bytes >= limits::DEFERRED_BYTES_PER_LINK_MAX / of
        };
        has_a_part(1) || (self.is_half_full() && has_a_part(16)) || self.is_too_much()
    }

    fn is_half_full(&self) -> bool {
        self.numbers.len() >= limits::DEFERRED_REQUESTS_MAX / 2
            || self.bytes >= limits::DEFERRED_BYTES_MAX / 2
    }

    /// The number of the next request that comes.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether something waits that this session asked for at this server, of the requests before `number`.
    pub fn has_of(&self, session: SessionId, server: ServerId, number: u64) -> bool {
        let numbers = self.of_sessions.get(&(session, server));
        numbers.and_then(BTreeSet::first).is_some_and(|first| *first < number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Identity;
    use crate::id::ServerId;
    use crate::zab::SessionScope;

    fn request(session: i64, cxid: i32) -> ForwardedRequest {
        ForwardedRequest {
            link: LinkId::accepted(1),
            server: ServerId(2),
            session: SessionId(session),
            scope: SessionScope::Global,
            cxid,
            op: 1,
            body: vec![0; 10].into(),
            identities: Vec::new(),
        }
    }

    fn sync(link: LinkId, session: i64) -> ForwardedRequest {
        ForwardedRequest { link, ..request(session, 1) }
    }

    /// A learner of Apache ZooKeeper takes a commit that is not its oldest request for somebody else's, and waits for ever.
    #[test]
    fn what_apache_zookeeper_passes_on_keeps_its_order_across_sessions() {
        let mut deferred = Deferred::default();
        let link = LinkId::accepted(5);
        let unsaid = |session, cxid| ForwardedRequest {
            link,
            scope: SessionScope::Unsaid,
            ..request(session, cxid)
        };
        let heavy = limits::HEAVY_WORK_UNITS + 1;
        for (session, cxid, units) in [(1, 1, 1), (1, 2, heavy), (2, 1, 1)] {
            deferred.push(unsaid(session, cxid), units);
        }
        deferred.push_sync(&unsaid(3, 1));
        deferred.push(unsaid(2, 2), 1);
        deferred.push(request(9, 1), 1);
        assert_eq!(pop(&mut deferred, Weight::Light), Some((1, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((9, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), None, "the next of the link is heavy");
        assert_eq!(pop(&mut deferred, Weight::Heavy), Some((1, 2)));
        assert_eq!(deferred.pop_sync(), None);
        assert_eq!(pop(&mut deferred, Weight::Light), Some((2, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), None, "it is behind a sync");
        assert_eq!(deferred.pop_sync(), Some(link));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((2, 2)));
        assert!(deferred.is_empty() && deferred.of_sessions.is_empty());
    }

    fn pop(deferred: &mut Deferred, weight: Weight) -> Option<(i64, i32)> {
        deferred.pop(weight).map(|(request, _)| (request.session.0, request.cxid))
    }

    #[test]
    fn a_link_has_enough_when_many_of_its_requests_or_bytes_wait_and_others_have_not() {
        let (flood, other) = (LinkId::accepted(1), LinkId::accepted(2));
        for body in [0, limits::DEFERRED_BYTES_PER_LINK_MAX / 10] {
            let mut deferred = Deferred::default();
            let mut count = 0;
            while !deferred.has_enough_of(flood) {
                deferred.push(ForwardedRequest { body: vec![0; body].into(), ..request(7, 1) }, 1);
                count += 1;
            }
            let expected = if body == 0 { limits::DEFERRED_REQUESTS_PER_LINK_MAX } else { 11 };
            assert!(count == expected || count == 10, "{count}");
            assert!(!deferred.has_enough_of(other) && !deferred.is_too_much());
            pop(&mut deferred, Weight::Light).unwrap();
            assert!(!deferred.has_enough_of(flood));
        }
        // What comes with a request counts as its body does.
        let mut deferred = Deferred::default();
        let identities = vec![Identity::new("digest", &"u".repeat(1 << 20))];
        for count in 0.. {
            if deferred.has_enough_of(flood) {
                assert_eq!(count, limits::DEFERRED_BYTES_PER_LINK_MAX >> 20);
                break;
            }
            deferred.push(ForwardedRequest { identities: identities.clone(), ..request(7, 1) }, 1);
        }
        pop(&mut deferred, Weight::Light).unwrap();
        assert!(!deferred.has_enough_of(flood));
        // Syncs and fences count too: whoever has the port may send nothing else.
        let mut deferred = Deferred::default();
        deferred.push(request(7, 1), 1);
        for _ in 0..limits::DEFERRED_REQUESTS_PER_LINK_MAX / 2 {
            deferred.push_sync(&sync(flood, 8));
            deferred.push_fence(flood);
        }
        assert!(deferred.has_enough_of(flood) && !deferred.has_enough_of(other));
    }

    #[test]
    fn sessions_take_turns_and_each_keeps_its_order() {
        let mut deferred = Deferred::default();
        let fence = LinkId::accepted(8);
        let heavy = limits::HEAVY_WORK_UNITS + 1;
        for (session, cxid, units) in
            [(1, 1, 1), (1, 2, heavy), (1, 3, 1), (2, 1, heavy), (3, 1, 1), (3, 2, 1)]
        {
            deferred.push(request(session, cxid), units);
        }
        deferred.push_sync(&sync(LinkId::accepted(7), 5));
        // What comes behind a sync of its own session waits for it; others do not.
        deferred.push(request(5, 2), 1);
        deferred.push(request(4, 1), 1);
        assert_eq!(pop(&mut deferred, Weight::Light), Some((1, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((3, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((4, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((3, 2)));
        assert_eq!(pop(&mut deferred, Weight::Light), None);
        deferred.push_fence(fence);
        assert_eq!(deferred.pop_fence(), None, "requests wait that came before it");
        let (server, last) = (ServerId(2), u64::MAX);
        let has_of = |session, server, last| deferred.has_of(SessionId(session), server, last);
        assert!(has_of(1, server, last) && !has_of(3, server, last));
        assert!(!has_of(1, ServerId(3), last), "at another server");
        assert!(!has_of(1, server, 1), "what is left came later");
        assert_eq!(pop(&mut deferred, Weight::Heavy), Some((2, 1)));
        assert_eq!(pop(&mut deferred, Weight::Heavy), Some((1, 2)));
        assert_eq!(pop(&mut deferred, Weight::Heavy), None);
        assert_eq!(deferred.pop_sync(), None, "something waits that came before it");
        assert_eq!(pop(&mut deferred, Weight::Light), Some((1, 3)));
        assert!(deferred.has_sync_of(LinkId::accepted(7)));
        assert_eq!(deferred.pop_sync(), Some(LinkId::accepted(7)));
        assert!(!deferred.has_sync_of(LinkId::accepted(7)));
        assert_eq!(deferred.pop_fence(), None, "the last one waits");
        assert_eq!(pop(&mut deferred, Weight::Light), Some((5, 2)));
        assert_eq!(deferred.pop_fence(), Some(fence));
        assert!(deferred.is_empty() && deferred.bytes == 0 && deferred.links.is_empty());
    }
}
