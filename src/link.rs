//! The words between those who decide what servers say to each other and those who carry it.
//!
//! A [`LinkOp`] is a wish, a [`LinkEvent`] is what happened. Nothing here performs anything: the
//! network does, and so does the simulated one. A link is one TCP connection between two servers,
//! on any of the ports; bytes on it arrive in order or not at all. Whoever connects names the
//! link; the network names those that it accepts.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;

use crate::id::ServerId;

/// One connection between servers, unique while the process lives and never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LinkId(u64);

const ACCEPTED: u64 = 1 << 63;

impl LinkId {
    /// The `number`th link that this server opened.
    pub const fn opened(number: u64) -> LinkId {
        assert!(number < ACCEPTED, "there are not so many links");
        LinkId(number)
    }

    /// The `number`th link that the network accepted for this server.
    pub const fn accepted(number: u64) -> LinkId {
        assert!(number < ACCEPTED, "there are not so many links");
        LinkId(number | ACCEPTED)
    }

    /// Whether the other side opened it.
    pub const fn is_accepted(self) -> bool {
        self.0 & ACCEPTED != 0
    }
}

/// Hands out the names of the links that this server opens. Clones share one counter.
#[derive(Clone, Debug, Default)]
pub struct LinkIds {
    opened: Rc<Cell<u64>>,
}

impl LinkIds {
    /// A name that no link had before.
    pub fn next(&self) -> LinkId {
        let number = self.opened.get();
        self.opened.set(number + 1);
        LinkId::opened(number)
    }
}

/// What a link is for: the port on which it was accepted, or to which it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Port {
    /// Between learners and their leader.
    Quorum,
    /// Elections.
    Election,
    /// Between observers and the follower that they learn from (`observerMasterPort`).
    ObserverMaster,
}

/// A host, as it stands in the configuration, and a port. The name is resolved by the network,
/// afresh at each attempt: addresses change.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Endpoint {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The hosts of each member, as they stand in the configuration.
pub type MemberHosts = Vec<(ServerId, Vec<String>)>;

/// Whether a connection that may be one of these members, by its address, may not be the member that it
/// says. `None`: addresses are not looked at.
pub fn is_forged(may_be: Option<&[ServerId]>, member: ServerId) -> bool {
    may_be.is_some_and(|ids| !ids.contains(&member))
}

/// What an operator is told of a connection that says so.
pub fn forgery(remote: SocketAddr, member: ServerId) -> String {
    format!(
        "it says that it is server {member}, and comes from {}, which is none of the addresses of server {member} \
         in the configuration. If that is the server, it reaches this one through address translation or from an \
         address that its server.{member} line does not name: add that address to the line \
         (multiAddress.enabled), or set ringkeeper.peerAddressCheck=off behind a firewall. If not, a stranger \
         reaches this port",
        remote.ip()
    )
}

/// Something for the network to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOp {
    /// From now on this server listens exactly there; what is already listened on stays. A failure
    /// to bind is tried again by the network, with lines that say so.
    Listen {
        /// Where, and what for.
        on: Vec<(Port, Endpoint)>,
    },
    /// These are the members from now on, as far as their addresses are looked at. `Identified` follows
    /// for links that were accepted before.
    Members {
        /// Where each of the others is.
        hosts: MemberHosts,
    },
    /// Opens a connection to the first of `to` that answers: `Connected` or `Closed` follows.
    Connect {
        /// Its name, chosen by who asks.
        link: LinkId,
        /// What for.
        port: Port,
        /// To whom, for messages.
        server: ServerId,
        /// Where: the addresses of that server.
        to: Vec<Endpoint>,
        /// After which time it is given up, in ms.
        timeout_ms: u64,
    },
    /// Sends bytes behind those sent before. `Sent` follows in its time.
    Send {
        /// On which.
        link: LinkId,
        /// What.
        bytes: Bytes,
    },
    /// Closes after what was sent before has left, within a time that the network bounds. No event
    /// of this link comes any more.
    Close {
        /// Which.
        link: LinkId,
    },
}

/// Something that happened on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent<'a> {
    /// Another server, or anybody, has connected.
    Accepted {
        /// Its name.
        link: LinkId,
        /// The port on which.
        port: Port,
        /// From where.
        remote: SocketAddr,
        /// Which members' address that is; `None`: addresses are not looked at.
        may_be: Option<&'a [ServerId]>,
    },
    /// There are other members: which of them have the address of an accepted link.
    Identified {
        /// Which.
        link: LinkId,
        /// Of which members.
        may_be: &'a [ServerId],
    },
    /// A connection asked for is there.
    Connected {
        /// Which.
        link: LinkId,
        /// To where.
        remote: SocketAddr,
    },
    /// Bytes arrived.
    Received {
        /// On which.
        link: LinkId,
        /// What: a piece of the stream, of any length.
        bytes: &'a [u8],
    },
    /// The network has passed so many more of the bytes of `Send` on to the kernel.
    Sent {
        /// On which.
        link: LinkId,
        /// How many.
        bytes: u64,
    },
    /// It is over, by the other side or by the network; or it could not be opened.
    Closed {
        /// Which.
        link: LinkId,
        /// Why, in words for an operator.
        reason: &'a str,
    },
}

impl LinkEvent<'_> {
    /// Which link it is about.
    pub fn link(&self) -> LinkId {
        match *self {
            LinkEvent::Accepted { link, .. }
            | LinkEvent::Identified { link, .. }
            | LinkEvent::Connected { link, .. }
            | LinkEvent::Received { link, .. }
            | LinkEvent::Sent { link, .. }
            | LinkEvent::Closed { link, .. } => link,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_were_opened_and_accepted_never_share_a_name() {
        assert_ne!(LinkId::opened(7), LinkId::accepted(7));
        assert!(LinkId::accepted(7).is_accepted() && !LinkId::opened(7).is_accepted());
    }

    #[test]
    fn names_are_never_handed_out_twice() {
        let ids = LinkIds::default();
        let (one, other) = (ids.next(), ids.clone().next());
        assert_ne!(one, other);
        assert_ne!(ids.next(), other);
    }
}
