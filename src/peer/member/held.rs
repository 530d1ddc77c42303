//! Learners that have connected before this server knows that it leads.
//!
//! The others often know the outcome of an election a little earlier. A server that still looks for a leader keeps
//! their connections, because a Java learner that is turned away goes back to LOOKING. When the server leads, the
//! leader gets each connection with its bytes, as if both came at that moment; when it follows another one, all are
//! closed.
//!
//! Any host can connect, so number, bytes and time are bounded.

use std::net::SocketAddr;

use crate::id::ServerId;
use crate::limits::{HELD_LEARNER_BYTES_MAX, HELD_LEARNERS_MAX};
use crate::link::{LinkEvent, LinkId, Port};
use crate::time::MonoUs;
use crate::zab::kept_out::{self, Reason, Said};
use crate::zab::packets::election_caller;

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct HeldLink {
    /// The connection.
    pub(super) link: LinkId,
    /// The address of the other side.
    pub(super) remote: SocketAddr,
    /// The members that have this address; `None`: addresses are not checked.
    pub(super) may_be: Option<Vec<ServerId>>,
    /// The bytes that came, for the leader that this server may become.
    pub(super) received: Vec<u8>,
    /// The time at which it was accepted. It is closed after `initLimit`.
    since: MonoUs,
}

/// The connections that are kept.
#[derive(Debug, Default)]
pub(super) struct HeldLinks {
    /// The connections, oldest first.
    ///
    /// Invariant: at most [`HELD_LEARNERS_MAX`].
    links: Vec<HeldLink>,
    /// The servers of which the log has said that they take this port for the election port, so that it does not say
    /// so each second.
    ports_exchanged: Said,
}

impl HeldLinks {
    /// Handles an event of a held link, or of one that shall be held. The result is a link to be closed.
    pub(super) fn handle(
        &mut self,
        now: MonoUs,
        me: ServerId,
        event: LinkEvent<'_>,
    ) -> Option<LinkId> {
        match event {
            LinkEvent::Accepted { link, remote, may_be, .. } => {
                self.accept(now, link, remote, may_be)
            }
            LinkEvent::Received { link, bytes } => self.on_received(now, me, link, bytes),
            LinkEvent::Closed { link, .. } => {
                self.links.retain(|held| held.link != link);
                None
            }
            LinkEvent::Identified { link, may_be } => {
                if let Some(held) = self.links.iter_mut().find(|held| held.link == link) {
                    held.may_be = Some(may_be.to_vec());
                }
                None
            }
            LinkEvent::Connected { .. } | LinkEvent::Sent { .. } => None,
        }
    }

    /// Keeps a link. If there are too many, the result is the oldest one, to be closed; those of strangers are closed
    /// before those of members.
    fn accept(
        &mut self,
        now: MonoUs,
        link: LinkId,
        remote: SocketAddr,
        may_be: Option<&[ServerId]>,
    ) -> Option<LinkId> {
        // A learner of the ensemble sends its first packet at once, and the result of an election is known soon. So
        // the link that has waited longest is the least likely to be needed.
        let oldest = (self.links.len() >= HELD_LEARNERS_MAX).then(|| {
            let is_stranger = |held: &HeldLink| held.may_be.as_ref().is_some_and(Vec::is_empty);
            self.links.remove(self.links.iter().position(is_stranger).unwrap_or(0)).link
        });
        let may_be = may_be.map(<[ServerId]>::to_vec);
        assert!(self.links.last().is_none_or(|last| last.since <= now), "the oldest is the first");
        self.links.push(HeldLink { link, remote, may_be, received: Vec::new(), since: now });
        assert!(self.links.len() <= HELD_LEARNERS_MAX, "their number has a bound");
        oldest
    }

    /// Whether the link is kept.
    #[cfg(test)]
    fn holds(&self, link: LinkId) -> bool {
        self.links.iter().any(|held| held.link == link)
    }

    /// Keeps bytes that arrived. The result is the link, to be closed, if it brings too much, or bytes that no learner
    /// sends. `me` is this server.
    fn on_received(
        &mut self,
        now: MonoUs,
        me: ServerId,
        link: LinkId,
        bytes: &[u8],
    ) -> Option<LinkId> {
        // This server has closed the link, and the network did not know that yet.
        let at = self.links.iter().position(|held| held.link == link)?;
        let received = &mut self.links[at].received;
        // A learner sends one small packet and then waits for the leader.
        if received.len() + bytes.len() > HELD_LEARNER_BYTES_MAX {
            self.links.remove(at);
            return Some(link);
        }
        received.extend_from_slice(bytes);
        assert!(received.len() <= HELD_LEARNER_BYTES_MAX, "a stranger does not fill the memory");
        // An election handshake on this port: whoever sends it would wait here for the whole `initLimit`.
        if let Some(said) = election_caller(received) {
            let held = self.links.remove(at);
            if self.ports_exchanged.is_due(now, said, Reason::PortsExchanged) {
                let reason = kept_out::ports_exchanged(me, said, held.remote, Port::Quorum);
                tracing::warn!(reason, "closing a connection on the quorum port");
            }
            return Some(link);
        }
        None
    }

    /// A link that was kept longer than `ms`, to be closed.
    pub(super) fn expire(&mut self, now: MonoUs, ms: u64) -> Option<LinkId> {
        (self.next_timeout(ms)? <= now).then(|| self.links.remove(0).link)
    }

    /// The time at which the oldest link has been kept for `ms`.
    pub(super) fn next_timeout(&self, ms: u64) -> Option<MonoUs> {
        self.links.first().map(|held| held.since.plus_ms(ms))
    }

    /// Whether none is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Takes all links, to be answered or closed.
    pub(super) fn take(&mut self) -> Vec<HeldLink> {
        std::mem::take(&mut self.links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_the_port_for_the_one_of_elections_is_not_kept() {
        let mut held = HeldLinks::default();
        let (now, me, remote) = (MonoUs(0), ServerId(1), SocketAddr::from(([10, 0, 0, 3], 40_000)));
        let (election, learner) = (LinkId::accepted(0), LinkId::accepted(1));
        held.accept(now, election, remote, None);
        held.accept(now, learner, remote, None);
        let mut say = |link: LinkId, first: i64, from: usize, to: usize| {
            let bytes = [first.to_be_bytes(), 3_i64.to_be_bytes()].concat();
            held.handle(now, me, LinkEvent::Received { link, bytes: &bytes[from..to] })
        };
        assert_eq!(say(election, -65536, 0, 12), None);
        assert_eq!(say(election, -65536, 12, 16), Some(election));
        assert_eq!(say(learner, 11 << 32, 0, 16), None);
        assert!(!held.holds(election) && held.holds(learner));
    }
}
