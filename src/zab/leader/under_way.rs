//! The requests of an observer master's observers that the leader has still to handle, as far as the master knows.
//!
//! The requests share the connection to the leader with the master's acknowledgements, so that a flood of them must
//! not delay the acknowledgements. After some requests the master sends a [fence](crate::zab::packets::put_fence),
//! which the leader answers when it has handled everything before.
//!
//! ```text
//! observer A ──┐ a flood: held at half of what its kind may have, or at less while that much of its kind is under way
//! observer B ──┤ a little now and then: read unless its kind has all that it may
//!              └─→ master ─→ r r r r F r r r r F r r ─→ leader
//!                            └ fenced ┘        └ open: fewer than a fence is put behind
//! ```
//! Members of the ensemble are one kind and have half of the room; strangers, which may come as observers, are the
//! other.
//!
//! Invariant: while a link is held, a fence is under way whose answer may free it. What is open is less than what a
//! link must have under way to be held.

use hashbrown::HashMap;

use crate::limits::{OBSERVERS_BYTES_MAX, OBSERVERS_REQUESTS_MAX};
use crate::link::LinkId;

/// One part in so many of the room: as much as stands before a fence, and as much as each link may have under way
/// unless its kind has used up all of its room.
const PART: usize = 16;

/// A number of requests, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    requests: usize,
    bytes: usize,
    /// The number of requests that are not syncs.
    writes: usize,
}

impl Amount {
    fn add(&mut self, other: Amount) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.writes += other.writes;
    }

    fn remove(&mut self, other: Amount) {
        assert!(self.requests >= other.requests, "what is taken away was added");
        assert!(self.bytes >= other.bytes, "what is taken away was added");
        assert!(self.writes >= other.writes, "what is taken away was added");
        self.requests -= other.requests;
        self.bytes -= other.bytes;
        self.writes -= other.writes;
        assert!(self.writes <= self.requests, "a write is a request");
    }

    /// Whether it is at least one part in `of` of the room.
    fn is_a_part(self, of: usize) -> bool {
        self.requests >= OBSERVERS_REQUESTS_MAX / of || self.bytes >= OBSERVERS_BYTES_MAX / of
    }
}

/// The requests that stand before one fence and after the one before, by link.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fence(HashMap<LinkId, Amount>);

/// The requests of one link that are under way.
#[derive(Debug, Default, PartialEq, Eq)]
struct OfLink {
    amount: Amount,
    is_member: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// The requests of all members.
    of_members: Amount,
    /// The requests of all strangers.
    of_strangers: Amount,
    /// The requests of each link.
    ///
    /// Invariant: no entry is empty; their sums are the two fields above.
    of: HashMap<LinkId, OfLink>,
    /// The requests after the last fence.
    open: Fence,
    /// The sum of those.
    open_of_all: Amount,
}

impl UnderWay {
    /// Adds a request: of so many bytes, or a sync (`None`). `Some`: a fence has to follow it.
    pub fn add(&mut self, link: LinkId, is_member: bool, bytes: Option<usize>) -> Option<Fence> {
        let writes = usize::from(bytes.is_some());
        let one = Amount { requests: 1, bytes: bytes.unwrap_or(0), writes };
        // A stranger that becomes a member changes its kind when none of its requests is under way.
        let of_link =
            self.of.entry(link).or_insert(OfLink { amount: Amount::default(), is_member });
        of_link.amount.add(one);
        let is_member = of_link.is_member;
        let own = of_link.amount;
        self.kind_mut(is_member).add(one);
        assert!(own.requests <= self.kind_mut(is_member).requests, "a link is part of its kind");
        self.open.0.entry(link).or_default().add(one);
        self.open_of_all.add(one);
        self.open_of_all.is_a_part(PART).then(|| self.fence())
    }

    fn kind_mut(&mut self, is_member: bool) -> &mut Amount {
        if is_member { &mut self.of_members } else { &mut self.of_strangers }
    }

    /// Puts a fence after all requests, however few have come since the last one.
    pub fn fence(&mut self) -> Fence {
        self.open_of_all = Amount::default();
        let fence = std::mem::take(&mut self.open);
        assert!(self.is_fenced(), "a fence stands after every request");
        fence
    }

    /// Whether a fence stands after every request.
    pub fn is_fenced(&self) -> bool {
        self.open.0.is_empty()
    }

    /// Whether no request of this link is under way, syncs aside.
    pub fn has_no_writes_of(&self, link: LinkId) -> bool {
        self.of.get(&link).is_none_or(|of_link| of_link.amount.writes == 0)
    }

    /// The leader has handled everything before a fence.
    pub fn remove(&mut self, fence: &Fence) {
        for (link, amount) in &fence.0 {
            let of_link = self.of.get_mut(link).expect("what is fenced was added");
            of_link.amount.remove(*amount);
            let (is_member, is_over) = (of_link.is_member, of_link.amount == Amount::default());
            self.kind_mut(is_member).remove(*amount);
            if is_over {
                self.of.remove(link);
            }
        }
    }

    /// Whether this link is held: no more requests are taken from it for now.
    pub fn holds(&self, link: LinkId, is_member: bool) -> bool {
        let of_link = self.of.get(&link);
        let own = of_link.map(|it| it.amount).unwrap_or_default();
        let kind = match of_link.map_or(is_member, |it| it.is_member) {
            true => self.of_members,
            false => self.of_strangers,
        };
        kind.is_a_part(2) || own.is_a_part(4) || kind.is_a_part(4) && own.is_a_part(PART)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const FLOOD: LinkId = LinkId::accepted(1);
    const CALM: LinkId = LinkId::accepted(2);
    const MEMBER: LinkId = LinkId::accepted(3);

    #[test]
    fn a_flood_leaves_room_for_who_asks_for_little() {
        for bytes in [1, OBSERVERS_BYTES_MAX / 100, OBSERVERS_BYTES_MAX / 3] {
            let mut under_way = UnderWay::default();
            let mut fences = VecDeque::new();
            for _ in 0..10 {
                while !under_way.holds(FLOOD, false) {
                    fences.extend(under_way.add(FLOOD, false, Some(bytes)));
                }
                // The longest request alone is more than a half.
                assert!(!under_way.holds(CALM, false) || bytes > OBSERVERS_BYTES_MAX / 4);
                assert!(!under_way.holds(MEMBER, true), "{bytes}");
                assert!(!fences.is_empty(), "its answer frees who is held");
                fences.extend(under_way.add(MEMBER, true, Some(1)));
                under_way.remove(&fences.pop_front().unwrap());
            }
        }
    }

    #[test]
    fn all_strangers_together_are_bounded_and_leave_room_for_members() {
        let mut under_way = UnderWay::default();
        let mut fences = Vec::new();
        let links: Vec<LinkId> = (0..100).map(LinkId::accepted).collect();
        let mut asked = 0;
        while let Some(link) = links.iter().find(|link| !under_way.holds(**link, false)) {
            fences.extend(under_way.add(*link, false, Some(10)));
            asked += 1;
        }
        assert_eq!(asked, OBSERVERS_REQUESTS_MAX / 2);
        let member = LinkId::accepted(100);
        while !under_way.holds(member, true) {
            fences.extend(under_way.add(member, true, None));
            asked += 1;
        }
        assert_eq!(asked, OBSERVERS_REQUESTS_MAX * 3 / 4);
        fences.iter().for_each(|fence| under_way.remove(fence));
        assert!(links.iter().all(|link| !under_way.holds(*link, false)));
        assert!(under_way.has_no_writes_of(member), "syncs are none");
        let rest = under_way.fence();
        assert!(under_way.is_fenced());
        under_way.remove(&rest);
        assert!(under_way.of.is_empty() && under_way.has_no_writes_of(links[0]));
        let none = Amount::default();
        assert_eq!((under_way.of_members, under_way.of_strangers), (none, none));
    }
}
