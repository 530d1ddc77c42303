//! What observers of an observer master have asked for and the leader has not got to yet, as far as their master knows.
//!
//! It shares the connection to the leader with what the master acknowledges: whoever floods it must not make the leader
//! wait for that. Behind some requests the master puts a [fence](crate::zab::packets::put_fence), which the leader answers
//! when it has got there.
//!
//! ```text
//! observer A ──┐ a flood: held at half of all, or at a part of it while half of all is under way
//! observer B ──┤ a little now and then: read unless all of it is under way
//!              └─→ master ─→ r r r r F r r r r F r r ─→ leader
//!                            └ fenced ┘        └ open: fewer than a fence is put behind
//! ```
//! Invariant: whoever is held has a fence under way, whose answer may free it. What is open is less than what a link
//! must have under way to be held.

use hashbrown::HashMap;

use crate::limits::{OBSERVERS_BYTES_MAX, OBSERVERS_REQUESTS_MAX};
use crate::link::LinkId;

/// Of all that may be under way: what a fence is put behind, and what everybody may have under way unless that is all.
const PART: usize = 16;

/// So many requests of so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    requests: usize,
    bytes: usize,
}

impl Amount {
    fn add(&mut self, other: Amount) {
        self.requests += other.requests;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Amount) {
        self.requests -= other.requests;
        self.bytes -= other.bytes;
    }

    /// Whether it is one part in so many of all that may be under way, or more.
    fn is_a_part(self, of: usize) -> bool {
        self.requests >= OBSERVERS_REQUESTS_MAX / of || self.bytes >= OBSERVERS_BYTES_MAX / of
    }
}

/// What the leader has got to when it answers: since the fence before it, by link.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fence(HashMap<LinkId, Amount>);

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    all: Amount,
    of: HashMap<LinkId, Amount>,
    /// What has no fence behind it.
    open: Fence,
    open_of_all: Amount,
}

impl UnderWay {
    /// One more request, of so many bytes. `Some`: a fence is to be put behind it.
    pub fn add(&mut self, link: LinkId, bytes: usize) -> Option<Fence> {
        let one = Amount { requests: 1, bytes };
        self.all.add(one);
        self.of.entry(link).or_default().add(one);
        self.open.0.entry(link).or_default().add(one);
        self.open_of_all.add(one);
        if !self.open_of_all.is_a_part(PART) {
            return None;
        }
        self.open_of_all = Amount::default();
        Some(std::mem::take(&mut self.open))
    }

    /// The leader has got to a fence.
    pub fn remove(&mut self, fence: &Fence) {
        for (link, amount) in &fence.0 {
            self.all.remove(*amount);
            let of_link = self.of.get_mut(link).expect("what is fenced was added");
            of_link.remove(*amount);
            if *of_link == Amount::default() {
                self.of.remove(link);
            }
        }
    }

    /// Whether nothing more should be taken from this link for now.
    pub fn holds(&self, link: LinkId) -> bool {
        let own = self.of.get(&link).copied().unwrap_or_default();
        self.all.is_a_part(1) || own.is_a_part(2) || self.all.is_a_part(2) && own.is_a_part(PART)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const FLOOD: LinkId = LinkId::accepted(1);
    const CALM: LinkId = LinkId::accepted(2);

    #[test]
    fn a_flood_leaves_room_for_who_asks_for_little() {
        for bytes in [1, OBSERVERS_BYTES_MAX / 100, OBSERVERS_BYTES_MAX / 3] {
            let mut under_way = UnderWay::default();
            let mut fences = VecDeque::new();
            for _ in 0..10 {
                while !under_way.holds(FLOOD) {
                    fences.extend(under_way.add(FLOOD, bytes));
                }
                assert!(!under_way.holds(CALM), "{bytes}");
                assert!(!fences.is_empty(), "its answer frees who is held");
                fences.extend(under_way.add(CALM, 1));
                under_way.remove(&fences.pop_front().unwrap());
            }
        }
    }

    #[test]
    fn all_of_them_together_are_bounded() {
        let mut under_way = UnderWay::default();
        let mut fences = Vec::new();
        let links: Vec<LinkId> = (0..100).map(LinkId::accepted).collect();
        let mut asked = 0;
        while let Some(link) = links.iter().find(|link| !under_way.holds(**link)) {
            fences.extend(under_way.add(*link, 10));
            asked += 1;
        }
        assert_eq!(asked, OBSERVERS_REQUESTS_MAX);
        fences.iter().for_each(|fence| under_way.remove(fence));
        assert!(links.iter().all(|link| !under_way.holds(*link)));
        assert_eq!(under_way.all, under_way.open_of_all);
        assert_eq!(under_way.of, under_way.open.0);
    }
}
