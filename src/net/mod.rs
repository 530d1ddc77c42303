//! Client connections: listening, framing, four-letter words, back-pressure, coalesced sends. And [`links`]:
//! connections to other servers.
//!
//! A connection belongs to one session core for its whole life. Its bytes go to the core of the server, through the
//! [`Core`] trait, as whole frames; the core answers with at most one [`Outgoing`](crate::replica::Outgoing) per
//! connection and turn. This module does not know the meaning of a frame, and decides no request: it only counts
//! frames and bytes.
//!
//! ```text
//! listener ─▶ census: too many? ─▶ table: a slot, an id ─▶ connection
//! socket   ─▶ input ─▶ frames ─▶ Core::frames ─▶ Replica::handle_frames           or Core::word ─▶ admin
//! replica  ─▶ Connections::deliver ─▶ output ─▶ socket, or the queue of unsent bytes
//! ```
//! What it imitates are ZooKeeper's `NIOServerCnxnFactory` and `NIOServerCnxn`, whose threads for accepting,
//! selecting and working are one thread here.

mod budget;
mod census;
mod connection;
pub mod frame;
mod handshakes;
mod input;
pub mod links;
mod listener;
mod outstanding;
pub mod socket;
mod stranger;
mod table;

pub use budget::{Budget, Share};
pub use census::{Census, Refusal};
pub use handshakes::{Door, Handshakes, TlsPort};
pub use listener::{Accepting, BACKLOG, bind, serve, share};
pub use table::{Connections, NetOptions};

use std::net::SocketAddr;

use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;

/// The events of connections for the core of the server. One implementation is the replica itself, on
/// the same executor; another passes events to a replica on another core.
pub trait Core {
    /// A connection was accepted; one with TLS, when its handshake is over. It is the first event of its connection.
    fn open(&self, conn: ConnectionId, remote: SocketAddr);
    /// The client has shown a certificate, which was verified, with this subject in the form of RFC 2253. Said at once
    /// after [`Core::open`], and before any frame.
    fn certified(&self, conn: ConnectionId, subject: &str);
    /// One or more whole frames arrived, each with its length in front.
    fn frames(&self, conn: ConnectionId, frames: &[u8]);
    /// A four-letter word arrived instead of a first frame. Its answer closes the connection.
    /// `argument` holds the bytes after `stmk`.
    fn word(
        &self,
        conn: ConnectionId,
        remote: SocketAddr,
        word: FourLetterWord,
        argument: Option<[u8; 8]>,
    );
    /// Whether clients wait for their turn: then a connection with waiting requests is not read.
    fn is_busy(&self) -> bool {
        false
    }
    /// The client will send nothing more, and may still read: the core closes the connection when it
    /// has answered its requests.
    fn end(&self, conn: ConnectionId);
    /// The client has taken these bytes: the [reported](crate::replica::Outgoing::reported_bytes) ones of
    /// one send or several.
    fn written(&self, conn: ConnectionId, bytes: usize);
    /// The connection is gone, or unusable: the last event of its connection.
    fn close(&self, conn: ConnectionId);
}
