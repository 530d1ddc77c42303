//! Learners that came before this server knew that it leads.
//!
//! The others often know the outcome of an election a little earlier. Whoever they connect to while
//! it still looks keeps them: a Java learner that is turned away goes back to LOOKING.

use std::net::SocketAddr;

use crate::id::ServerId;
use crate::limits::{HELD_LEARNER_BYTES_MAX, HELD_LEARNERS_MAX};
use crate::peer::link::{LinkEvent, LinkId};
use crate::time::MonoUs;

#[derive(Debug)]
pub(super) struct HeldLink {
    pub(super) link: LinkId,
    pub(super) remote: SocketAddr,
    /// Which members' address that is; `None`: addresses are not looked at.
    pub(super) may_be: Option<Vec<ServerId>>,
    pub(super) received: Vec<u8>,
    since: MonoUs,
}

/// Oldest first.
#[derive(Debug, Default)]
pub(super) struct HeldLinks(Vec<HeldLink>);

impl HeldLinks {
    /// Keeps a link; answers one to be closed if there are too many: the oldest, and of no member before
    /// one of a member.
    pub(super) fn accept(
        &mut self,
        now: MonoUs,
        link: LinkId,
        remote: SocketAddr,
        may_be: Option<&[ServerId]>,
    ) -> Option<LinkId> {
        let oldest = (self.0.len() >= HELD_LEARNERS_MAX).then(|| {
            let is_stranger = |held: &HeldLink| held.may_be.as_ref().is_some_and(Vec::is_empty);
            self.0.remove(self.0.iter().position(is_stranger).unwrap_or(0)).link
        });
        let may_be = may_be.map(<[ServerId]>::to_vec);
        self.0.push(HeldLink { link, remote, may_be, received: Vec::new(), since: now });
        oldest
    }

    pub(super) fn owns(&self, link: LinkId) -> bool {
        self.0.iter().any(|held| held.link == link)
    }

    /// Keeps what arrived; answers the link if it is to be closed: it says too much.
    pub(super) fn handle(&mut self, event: LinkEvent<'_>) -> Option<LinkId> {
        let at = self.0.iter().position(|held| held.link == event.link())?;
        match event {
            LinkEvent::Received { link, bytes } => {
                let received = &mut self.0[at].received;
                if received.len() + bytes.len() > HELD_LEARNER_BYTES_MAX {
                    self.0.remove(at);
                    return Some(link);
                }
                received.extend_from_slice(bytes);
            }
            LinkEvent::Closed { .. } => {
                self.0.remove(at);
            }
            LinkEvent::Identified { may_be, .. } => self.0[at].may_be = Some(may_be.to_vec()),
            LinkEvent::Accepted { .. } | LinkEvent::Connected { .. } | LinkEvent::Sent { .. } => {}
        }
        None
    }

    /// One that was kept longer than `ms`, and is to be closed.
    pub(super) fn expire(&mut self, now: MonoUs, ms: u64) -> Option<LinkId> {
        (self.next_timeout(ms)? <= now).then(|| self.0.remove(0).link)
    }

    /// When the next one has been kept for `ms`.
    pub(super) fn next_timeout(&self, ms: u64) -> Option<MonoUs> {
        self.0.first().map(|held| held.since.plus_ms(ms))
    }

    /// All of them, to be answered or closed.
    pub(super) fn take(&mut self) -> Vec<HeldLink> {
        std::mem::take(&mut self.0)
    }
}
