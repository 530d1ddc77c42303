//! The types with which the agreement modules and the network exchange requests and events.
//!
//! A [`LinkOp`] is a request to the network, and a [`LinkEvent`] is an event from it. This module
//! performs nothing: the network does, or the simulated network. A link is one TCP connection between
//! two servers, on any of the ports; bytes on it arrive in order or not at all. The core names the
//! links that it opens; the network names those that it accepts.

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

/// Generates the ids of the links that this server opens. Clones share one counter.
#[derive(Clone, Debug, Default)]
pub struct LinkIds {
    opened: Rc<Cell<u64>>,
}

impl LinkIds {
    /// An id that no link had before.
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

/// A host, as in the configuration, and a port. The network resolves the name again at each attempt,
/// because addresses change.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Endpoint {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The hosts of each member, as in the configuration.
pub type MemberHosts = Vec<(ServerId, Vec<String>)>;

/// Whether a connection whose address is that of these members claims to be another member. `None`:
/// addresses are not checked.
pub fn is_forged(may_be: Option<&[ServerId]>, member: ServerId) -> bool {
    may_be.is_some_and(|ids| !ids.contains(&member))
}

/// The log's text about such a connection.
pub fn forgery(remote: SocketAddr, member: ServerId) -> String {
    format!(
        "it says that it is server {member}, and comes from {}, which is none of the addresses of server {member} \
         in the configuration, or shows a certificate that names none of the hosts of that line. If that is the \
         server, it reaches this one through address translation or from an address that its server.{member} line does not \
         name: add that address to the line (multiAddress.enabled), or set ringkeeper.peerAddressCheck=off behind a \
         firewall; or it needs a certificate with its host. If not, a stranger reaches this port",
        remote.ip()
    )
}

/// A request to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOp {
    /// From now on this server listens exactly on these endpoints; those already open stay open. If
    /// binding fails, the network logs it and tries again.
    Listen {
        /// The ports and endpoints.
        on: Vec<(Port, Endpoint)>,
    },
    /// Sets the members, for the check of addresses. `Identified` follows for links that were accepted
    /// before.
    Members {
        /// The hosts of each other member.
        hosts: MemberHosts,
    },
    /// Opens a connection to the first of `to` that answers: `Connected` or `Closed` follows.
    Connect {
        /// Its id, chosen by the caller.
        link: LinkId,
        /// Its purpose.
        port: Port,
        /// The server, for messages.
        server: ServerId,
        /// The addresses of that server.
        to: Vec<Endpoint>,
        /// The timeout, in ms.
        timeout_ms: u64,
    },
    /// Sends bytes after those sent before. `Sent` follows later.
    Send {
        /// The link.
        link: LinkId,
        /// The bytes.
        bytes: Bytes,
    },
    /// Closes after earlier bytes have left, within a time that the network bounds. No further event of
    /// this link follows.
    Close {
        /// The link.
        link: LinkId,
    },
}

/// What the edge is to do for a login between servers whose tokens it makes and checks. Each but `Forget` is answered
/// with a step of the login; a link has one under way at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkLogin {
    /// Check a token of a server that has opened the link.
    Check {
        /// The link.
        link: LinkId,
        /// Whether a login begins with it.
        is_first: bool,
        /// The token.
        token: Vec<u8>,
    },
    /// Make the first token of this server, for a link that it has opened.
    Begin {
        /// The link.
        link: LinkId,
        /// The principal of the other server, without its realm.
        service: String,
    },
    /// Make the answer to a token of the other server.
    Respond {
        /// The link.
        link: LinkId,
        /// That token.
        token: Vec<u8>,
    },
    /// Forget the login on a link. The edge may have forgotten it already.
    Forget {
        /// The link.
        link: LinkId,
    },
}

impl LinkLogin {
    /// The link.
    pub fn link(&self) -> LinkId {
        match *self {
            LinkLogin::Check { link, .. }
            | LinkLogin::Begin { link, .. }
            | LinkLogin::Respond { link, .. }
            | LinkLogin::Forget { link } => link,
        }
    }
}

/// An event on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent<'a> {
    /// Another server, or any other host, has connected.
    Accepted {
        /// Its name.
        link: LinkId,
        /// The port that accepted it.
        port: Port,
        /// The address of the other side.
        remote: SocketAddr,
        /// The members that have this address; `None`: addresses are not checked.
        may_be: Option<&'a [ServerId]>,
    },
    /// The members have changed: tells which of them have the address of an accepted link.
    Identified {
        /// The link.
        link: LinkId,
        /// The members with that address.
        may_be: &'a [ServerId],
    },
    /// A requested connection is established.
    Connected {
        /// The link.
        link: LinkId,
        /// The address of the other side.
        remote: SocketAddr,
    },
    /// Bytes arrived.
    Received {
        /// The link.
        link: LinkId,
        /// A piece of the stream, of any length.
        bytes: &'a [u8],
    },
    /// The network has passed more bytes of `Send` to the kernel.
    Sent {
        /// The link.
        link: LinkId,
        /// The number of these bytes.
        bytes: u64,
    },
    /// The other side or the network has closed the link, or it could not be opened.
    Closed {
        /// The link.
        link: LinkId,
        /// The reason, in words for an operator.
        reason: &'a str,
    },
}

impl LinkEvent<'_> {
    /// The link of the event.
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
