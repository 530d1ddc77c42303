//! Events of links that wait for the next turn.

use std::net::SocketAddr;

use crate::id::ServerId;
use crate::link::{LinkEvent, LinkId, Port};

/// A [`LinkEvent`] that waits for the next turn. Bytes never wait.
pub(super) enum Event {
    Accepted { link: LinkId, port: Port, remote: SocketAddr, may_be: Option<Vec<ServerId>> },
    Identified { link: LinkId, may_be: Vec<ServerId> },
    Connected { link: LinkId, remote: SocketAddr },
    Sent { link: LinkId, bytes: u64 },
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
