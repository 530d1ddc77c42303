//! Requests of learners that wait at a leader: for room on the disk, or for their turn.
//!
//! The requests of one session, syncs included, are kept in their order, in a lane. Lanes stand in line as the leader's
//! own connections do ([`work`](super::work)): those whose next request is light in one line, the others in another. A
//! learner of Apache ZooKeeper expects the commits of its own requests and the answers to its syncs in the order in
//! which it has asked, whichever sessions they are of (`CommitProcessor.queuedWriteRequests`): so all that it passes on
//! is one lane. A sync is answered when everything before it in its lane is proposed, and a fence when everything that
//! came before it over its link is proposed: no server waits for the requests of another.
//!
//! ```text
//! 1. A follower of Apache ZooKeeper passes on a write and a sync of one session.
//! 2. The write waits here; the sync is answered.
//! 3. The follower takes the answer for one that does not belong to the request at the head of the session's queue, and
//!    the sync in that queue waits for ever.
//! ```

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashMap;

use super::cost::Weight;
use crate::acl;
use crate::id::{ServerId, SessionId};
use crate::limits;
use crate::link::LinkId;
use crate::zab::{ForwardedRequest, SessionScope};

/// What waits in a lane.
enum Kept {
    /// A request, its number among all, and what it costs.
    Request { number: u64, units: u32, request: ForwardedRequest },
    /// A sync that came over this link: what stands behind it waits until the sync is answered.
    Sync(LinkId),
}

impl Kept {
    /// In which line its lane stands while this is the next. `None`: in no line, because this is a sync.
    fn weight(&self) -> Option<Weight> {
        match self {
            Kept::Request { units, .. } => Some(Weight::of(*units)),
            Kept::Sync(_) => None,
        }
    }
}

/// What is kept in one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lane {
    /// The requests of a session, from a learner that is a Ringkeeper.
    Session(SessionId),
    /// All requests of another learner.
    Link(LinkId),
}

impl Lane {
    /// The lane in which a request waits.
    fn of(request: &ForwardedRequest) -> Lane {
        match request.scope {
            SessionScope::Unsaid => Lane::Link(request.link),
            SessionScope::Local | SessionScope::Global => Lane::Session(request.session),
        }
    }
}

/// Counts and order of what came over a link and waits.
#[derive(Default)]
struct OfLink {
    /// Number of requests, syncs and fences.
    ///
    /// Invariant: never 0 between two calls, for the entry is then removed.
    count: usize,
    /// Bytes of its requests.
    bytes: usize,
    /// The numbers of its requests: a fence waits for those below its own.
    numbers: BTreeSet<u64>,
    /// The lanes of its syncs, in the order in which they came and are answered.
    syncs: VecDeque<Lane>,
    /// Its fences: for each the number of the first request that came behind it.
    ///
    /// Invariant: these do not fall.
    fences: VecDeque<u64>,
}

/// What a leader has to answer now, because nothing is before it any more, and over which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Sync(LinkId),
    Fence(LinkId),
}

/// Bytes that a request takes while it waits, and took on its link.
fn bytes_of(request: &ForwardedRequest) -> usize {
    request.body.len() + acl::bytes_of(&request.identities)
}

/// What learners have asked for and this leader has not proposed or answered.
#[derive(Default)]
pub(super) struct Deferred {
    /// What waits, by lane, oldest first.
    ///
    /// Invariant: no lane is empty.
    lanes: HashMap<Lane, VecDeque<Kept>>,
    /// The lanes whose next request is light, in the order of their turns.
    ///
    /// Invariant: each lane whose next is a request stands, once, in `light` or `heavy`; other lanes stand in neither.
    light: VecDeque<Lane>,
    /// The lanes whose next request is heavy, in the order of their turns.
    heavy: VecDeque<Lane>,
    /// The numbers of the requests of each session at each server: a question about the session waits for them.
    ///
    /// Invariant: no set is empty.
    of_sessions: HashMap<(SessionId, ServerId), BTreeSet<u64>>,
    /// Bytes of all requests that wait.
    ///
    /// Invariant: the sum over `links`.
    bytes: usize,
    /// The number of the next request that comes.
    next: u64,
    /// Number of requests that wait.
    requests: usize,
    /// What waits, by the link over which it came.
    ///
    /// Invariant: no entry is empty.
    links: HashMap<LinkId, OfLink>,
    /// Syncs and fences that have to be answered, in this order.
    due: VecDeque<Due>,
}

impl Deferred {
    /// Adds a request, which costs so many units.
    pub fn push(&mut self, request: ForwardedRequest, units: u32) {
        let number = self.next;
        self.next += 1;
        self.requests += 1;
        let asked_at = (request.session, request.server);
        let is_first = self.of_sessions.entry(asked_at).or_default().insert(number);
        assert!(is_first, "no request of a session has the number of another");
        let is_first = self.count(request.link, bytes_of(&request)).numbers.insert(number);
        assert!(is_first, "no request over a link has the number of another");
        self.keep(Lane::of(&request), Kept::Request { number, units, request });
    }

    /// Counts something that came over a link and waits.
    fn count(&mut self, link: LinkId, bytes: usize) -> &mut OfLink {
        self.bytes += bytes;
        let of_link = self.links.entry(link).or_default();
        of_link.count += 1;
        of_link.bytes += bytes;
        of_link
    }

    /// Takes back what [`Deferred::count`] has counted: it waits no longer.
    fn discount(&mut self, link: LinkId, bytes: usize) {
        let of_link = self.links.get_mut(&link).expect("it was counted as it came");
        assert!(of_link.count > 0, "what waits is counted at its link");
        of_link.count -= 1;
        assert!(of_link.bytes >= bytes, "the bytes of what waits are counted at its link");
        of_link.bytes -= bytes;
        if of_link.count == 0 {
            let OfLink { bytes, numbers, syncs, fences, .. } = &*of_link;
            let is_empty =
                *bytes == 0 && numbers.is_empty() && syncs.is_empty() && fences.is_empty();
            assert!(is_empty, "everything that waits is counted");
            self.links.remove(&link);
        }
        assert!(self.bytes >= bytes, "the bytes of what waits are counted");
        self.bytes -= bytes;
    }

    /// Adds a sync. It is due at once if nothing in its lane and no sync of its link waits before it.
    pub fn push_sync(&mut self, sync: &ForwardedRequest) {
        let (link, lane) = (sync.link, Lane::of(sync));
        self.count(link, 0).syncs.push_back(lane);
        self.keep(lane, Kept::Sync(link));
        self.look_at_syncs(link);
    }

    /// Makes the syncs of this link due that are the next in their lanes, in their order.
    fn look_at_syncs(&mut self, link: LinkId) {
        let mut links = vec![link];
        while let Some(link) = links.pop() {
            while let Some(&lane) = self.links.get(&link).and_then(|it| it.syncs.front()) {
                let next = self.lanes.get(&lane).and_then(VecDeque::front);
                match next.expect("a sync that waits is in its lane") {
                    Kept::Sync(of) if *of == link => {}
                    Kept::Sync(_) | Kept::Request { .. } => break,
                }
                self.take(lane);
                self.links.get_mut(&link).expect("its sync waits").syncs.pop_front();
                self.discount(link, 0);
                self.due.push_back(Due::Sync(link));
                // If the session has moved, the next sync of its lane may have come over another link.
                if let Some(Kept::Sync(other)) = self.lanes.get(&lane).and_then(VecDeque::front)
                    && *other != link
                {
                    links.push(*other);
                }
            }
        }
    }

    /// Adds something at the end of a lane.
    fn keep(&mut self, lane: Lane, kept: Kept) {
        let weight = kept.weight();
        let of_lane = self.lanes.entry(lane).or_default();
        of_lane.push_back(kept);
        if of_lane.len() == 1 {
            self.stand_in_line(lane, weight);
        }
    }

    /// Adds a fence. It waits until no request is left that came over its link before it; if there is none, it is due
    /// at once.
    pub fn push_fence(&mut self, link: LinkId) {
        let next = self.next;
        self.count(link, 0).fences.push_back(next);
        self.look_at_fences(link);
    }

    /// Makes the fences of this link due that have no request before them.
    fn look_at_fences(&mut self, link: LinkId) {
        while let Some(of_link) = self.links.get_mut(&link) {
            let first = of_link.numbers.first().copied().unwrap_or(u64::MAX);
            if of_link.fences.pop_front_if(|number| *number <= first).is_none() {
                return;
            }
            self.discount(link, 0);
            self.due.push_back(Due::Fence(link));
        }
    }

    /// Takes the next sync or fence that has to be answered.
    pub fn pop_due(&mut self) -> Option<Due> {
        self.due.pop_front()
    }

    /// Whether a sync waits that came over this link.
    pub fn has_sync_of(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|of_link| !of_link.syncs.is_empty())
    }

    /// The line of requests of this weight.
    fn line(&mut self, weight: Weight) -> &mut VecDeque<Lane> {
        match weight {
            Weight::Light => &mut self.light,
            Weight::Heavy => &mut self.heavy,
        }
    }

    /// Lets a lane stand in the line for its next request. `None`: its next is a sync, and it stands in none.
    fn stand_in_line(&mut self, lane: Lane, weight: Option<Weight>) {
        if let Some(weight) = weight {
            self.line(weight).push_back(lane);
        }
    }

    /// Takes the oldest of a lane, and lets the lane stand in line for its next.
    fn take(&mut self, lane: Lane) -> Kept {
        let of_lane = self.lanes.get_mut(&lane).expect("it has something that waits");
        let kept = of_lane.pop_front().expect("no lane without anything is kept");
        match of_lane.front().map(Kept::weight) {
            Some(weight) => self.stand_in_line(lane, weight),
            None => _ = self.lanes.remove(&lane),
        }
        kept
    }

    /// Takes the next request of a line, with its cost. `None`: the line is empty.
    pub fn pop(&mut self, weight: Weight) -> Option<(ForwardedRequest, u32)> {
        let lane = self.line(weight).pop_front()?;
        let Kept::Request { number, units, request } = self.take(lane) else {
            unreachable!("a lane whose next is a sync stands in no line")
        };
        assert!(Weight::of(units) == weight, "a lane stands in the line of its next request");
        assert!(self.requests > 0, "a request that waits is counted");
        self.requests -= 1;
        let asked_at = (request.session, request.server);
        let numbers = self.of_sessions.get_mut(&asked_at).expect("it was counted as it came");
        assert!(numbers.remove(&number), "its session noted its number as it came");
        if numbers.is_empty() {
            self.of_sessions.remove(&asked_at);
        }
        let link = request.link;
        let of_link = self.links.get_mut(&link).expect("it was counted as it came");
        assert!(of_link.numbers.remove(&number), "its number was noted as it came");
        self.look_at_fences(link);
        self.discount(link, bytes_of(&request));
        if let Some(Kept::Sync(of)) = self.lanes.get(&lane).and_then(VecDeque::front) {
            self.look_at_syncs(*of);
        }
        Some((request, units))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Deferred::default();
    }

    /// Whether nothing waits but fences, and what is due.
    pub fn is_empty(&self) -> bool {
        let is_empty = self.lanes.is_empty();
        assert!(!is_empty || self.requests == 0, "a request that waits stands in a lane");
        is_empty
    }

    /// Whether a light request waits for its turn.
    pub fn has_light(&self) -> bool {
        !self.light.is_empty()
    }

    /// Whether more waits than a leader keeps.
    pub fn is_too_much(&self) -> bool {
        self.requests > limits::DEFERRED_REQUESTS_MAX || self.bytes > limits::DEFERRED_BYTES_MAX
    }

    /// Whether so much waits that came over this link, or over all links, that no more should be read from this one.
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        let (count, bytes) = self.links.get(&link).map_or((0, 0), |it| (it.count, it.bytes));
        let has_a_part = |of: usize| {
            count >= limits::DEFERRED_REQUESTS_PER_LINK_MAX / of
                || bytes >= limits::DEFERRED_BYTES_PER_LINK_MAX / of
        };
        has_a_part(1) || (self.is_half_full() && has_a_part(16)) || self.is_too_much()
    }

    /// Whether half of what a leader keeps waits: then each link has a smaller share.
    fn is_half_full(&self) -> bool {
        self.requests >= limits::DEFERRED_REQUESTS_MAX / 2
            || self.bytes >= limits::DEFERRED_BYTES_MAX / 2
    }

    /// The number that the next request gets.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether a request of this session at this server waits, with a number below `number`.
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

    /// A learner of Apache ZooKeeper takes a commit that is not its oldest request for another server's, and waits for
    /// ever.
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
        assert_eq!(deferred.pop_due(), None);
        assert_eq!(pop(&mut deferred, Weight::Light), Some((2, 1)));
        assert_eq!(deferred.pop_due(), Some(Due::Sync(link)), "it is answered before what follows");
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
            deferred.push_sync(&sync(flood, 7));
            deferred.push_fence(flood);
        }
        assert!(deferred.has_enough_of(flood) && !deferred.has_enough_of(other));
    }

    #[test]
    fn sessions_take_turns_and_each_keeps_its_order() {
        let mut deferred = Deferred::default();
        let (theirs, other) = (LinkId::accepted(1), LinkId::accepted(8));
        let heavy = limits::HEAVY_WORK_UNITS + 1;
        for (session, cxid, units) in
            [(1, 1, 1), (1, 2, heavy), (1, 3, 1), (2, 1, heavy), (3, 1, 1), (3, 2, 1)]
        {
            deferred.push(request(session, cxid), units);
        }
        deferred.push_fence(other);
        assert_eq!(deferred.pop_due(), Some(Due::Fence(other)), "it waits for no other link");
        // What comes behind a sync of its own session waits for it; others do not.
        deferred.push_sync(&sync(other, 1));
        deferred.push(request(1, 4), 1);
        deferred.push_sync(&sync(theirs, 1));
        deferred.push(request(4, 1), 1);
        assert_eq!(pop(&mut deferred, Weight::Light), Some((1, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((3, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((4, 1)));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((3, 2)));
        assert_eq!(pop(&mut deferred, Weight::Light), None);
        deferred.push_fence(theirs);
        assert_eq!(deferred.pop_due(), None, "requests wait that came before it");
        let (server, last) = (ServerId(2), u64::MAX);
        let has_of = |session, server, last| deferred.has_of(SessionId(session), server, last);
        assert!(has_of(1, server, last) && !has_of(3, server, last));
        assert!(!has_of(1, ServerId(3), last), "at another server");
        assert!(!has_of(1, server, 1), "what is left came later");
        assert_eq!(pop(&mut deferred, Weight::Heavy), Some((2, 1)));
        assert_eq!(pop(&mut deferred, Weight::Heavy), Some((1, 2)));
        assert_eq!(pop(&mut deferred, Weight::Heavy), None);
        assert_eq!(deferred.pop_due(), None, "something of its session waits");
        assert!(deferred.has_sync_of(other));
        assert_eq!(pop(&mut deferred, Weight::Light), Some((1, 3)));
        assert_eq!(deferred.pop_due(), Some(Due::Sync(other)));
        assert!(!deferred.has_sync_of(other));
        assert_eq!(deferred.pop_due(), None, "(1, 4) waits");
        assert_eq!(pop(&mut deferred, Weight::Light), Some((1, 4)));
        assert_eq!(deferred.pop_due(), Some(Due::Fence(theirs)));
        assert_eq!(deferred.pop_due(), Some(Due::Sync(theirs)));
        assert!(deferred.is_empty() && deferred.bytes == 0 && deferred.links.is_empty());
    }

    #[test]
    fn syncs_of_a_link_are_answered_in_their_order() {
        let mut deferred = Deferred::default();
        let (one, two) = (LinkId::accepted(1), LinkId::accepted(2));
        deferred.push(request(7, 1), 1);
        // The session has moved: syncs of two links, one behind the other.
        deferred.push_sync(&sync(one, 7));
        deferred.push_sync(&sync(two, 7));
        // Nothing is before these in their lanes, but the others of their links are.
        deferred.push_sync(&sync(one, 8));
        deferred.push_sync(&sync(two, 9));
        assert_eq!(deferred.pop_due(), None);
        pop(&mut deferred, Weight::Light).unwrap();
        let due: Vec<Due> = std::iter::from_fn(|| deferred.pop_due()).collect();
        let expected = [one, one, two, two].map(Due::Sync);
        assert_eq!(due, expected);
        assert!(deferred.is_empty() && deferred.links.is_empty());
    }
}
