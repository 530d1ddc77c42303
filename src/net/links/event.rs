//! Events of links that wait for the next turn.
//!
//! They wait because the replica handles events at one point of its turn: an event that came in the middle of a turn,
//! from a call such as [`Links::perform`](super::Links::perform), would find it half changed.

use std::net::SocketAddr;

use crate::id::ServerId;
use crate::link::{LinkEvent, LinkId, Port};

/// A [`LinkEvent`] that waits for the next turn, with what the event borrows. Bytes never wait: they go to the owner
/// from the memory into which they were read.
pub(super) enum Event {
    /// Another server, or a stranger, has connected to a port of this server.
    Accepted { link: LinkId, port: Port, remote: SocketAddr, may_be: Option<Vec<ServerId>> },
    /// Which members may have opened an accepted link has changed.
    Identified { link: LinkId, may_be: Vec<ServerId> },
    /// A link that this server opens is connected.
    Connected { link: LinkId, remote: SocketAddr },
    /// Bytes have gone to the kernel; consecutive events of one link become one.
    Sent { link: LinkId, bytes: u64 },
    /// A link has ended, and not by its owner.
    Closed { link: LinkId, reason: String },
}

impl Event {
    /// Its link.
    pub fn link(&self) -> LinkId {
        match *self {
            Event::Accepted { link, .. }
            | Event::Identified { link, .. }
            | Event::Connected { link, .. }
            | Event::Sent { link, .. }
            | Event::Closed { link, .. } => link,
        }
    }

    /// The event as its owner gets it.
    pub fn told(&self) -> LinkEvent<'_> {
        match self {
            Event::Accepted { link, port, remote, may_be } => {
                let may_be = may_be.as_deref();
                LinkEvent::Accepted { link: *link, port: *port, remote: *remote, may_be }
            }
            Event::Identified { link, may_be } => LinkEvent::Identified { link: *link, may_be },
            Event::Connected { link, remote } => {
                LinkEvent::Connected { link: *link, remote: *remote }
            }
            Event::Sent { link, bytes } => LinkEvent::Sent { link: *link, bytes: *bytes },
            Event::Closed { link, reason } => LinkEvent::Closed { link: *link, reason },
        }
    }
}
