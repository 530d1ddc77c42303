//! The queues between session cores and a replica on another core.
//!
//! Each session core has one bounded queue in each direction ([`crossing_queue`], which says why no wake-up is
//! lost). A round of one executor makes one message for another: requests of many connections in one
//! allocation, replies in the buffers in which they were made.
//!
//! No executor waits for another in the middle of its work. Each gathers what it has for another, and puts it into
//! the queue once in each round of its loop. If the queue has no room, the gathered events wait for a later round:
//!
//! * If the replica is slow, a session core gathers requests. It reads no more from its sockets than the
//!   bound on outstanding requests allows, so that bounds what it gathers.
//! * If a session core is slow, the replica gathers replies, and takes no requests from that core until the queue has
//!   room ([`ReplicaInbox`](replica::ReplicaInbox)). So it gathers at most the answers to the requests of one round,
//!   and the events of watches.
//!
//! Two executors cannot wait for each other for ever: a session core takes replies from its queue even if its
//! requests find no room, and that makes room for the replica.

mod replica;
mod session;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};

pub use replica::{Downlinks, open_all};
pub use session::{Order, SessionInbox, Uplink};

use super::clients::Port;
use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;
use crate::replica::Outgoing;
use crate::runtime::{Doorbell, Receiver, Sender, crossing_queue};

/// The messages that a queue holds: far more than the rounds of one executor during which another sleeps while both
/// are busy.
const QUEUE_MESSAGES: usize = 256;

/// The bytes that a queue holds: enough for the answers of some hundred rounds, and little beside the memory of a
/// server.
const QUEUE_BYTES: usize = 32 << 20;

/// Messages that one dispatch takes from one queue, before it is the turn of the sockets and of the other queues.
const MESSAGES_PER_DISPATCH: usize = 32;

/// A message of a session core to the replica: the events of one round.
///
/// Invariant: the lengths in its [`UpEvent::Frames`] add up to the length of `bytes`.
#[derive(Debug, Default)]
pub struct Up {
    /// The events, in the order in which they happened.
    events: Vec<UpEvent>,
    /// The frames of all events, in order, in one allocation.
    bytes: Vec<u8>,
}

/// One event of a connection: a call of [`Core`](crate::net::Core), as a value.
#[derive(Debug)]
enum UpEvent {
    /// [`Core::open`](crate::net::Core::open).
    Open { conn: ConnectionId, remote: SocketAddr },
    /// [`Core::certified`](crate::net::Core::certified).
    Certified { conn: ConnectionId, subject: Box<str> },
    /// [`Core::frames`](crate::net::Core::frames), with the length of the frames, which are in [`Up::bytes`].
    Frames { conn: ConnectionId, bytes: usize },
    /// [`Core::word`](crate::net::Core::word).
    Word { conn: ConnectionId, remote: SocketAddr, word: FourLetterWord, argument: Option<[u8; 8]> },
    /// [`Core::end`](crate::net::Core::end).
    End { conn: ConnectionId },
    /// [`Core::written`](crate::net::Core::written).
    Written { conn: ConnectionId, bytes: usize },
    /// [`Core::close`](crate::net::Core::close).
    Close { conn: ConnectionId },
}

/// A message of the replica to a session core.
#[derive(Debug)]
pub enum Down {
    /// Bytes for the core's connections.
    Sends(Vec<Outgoing>),
    /// From now on, accept the connections of this port from this socket only.
    Listen(Port, TcpListener),
    /// Accept no more connections.
    StopAccepting,
}

/// A session core's ends of its two queues, made on the main thread and moved to the executor.
pub struct SessionEnds {
    /// To the replica.
    up: Sender<Up>,
    /// From the replica.
    down: Receiver<Down>,
}

/// The replica's ends of the two queues of a session core.
pub struct ReplicaEnds {
    /// From the session core.
    up: Receiver<Up>,
    /// To the session core.
    down: Sender<Down>,
}

/// Makes the two queues between a session core and the replica. `session` and `replica` are the bells of their
/// executors: putting a message into a queue rings that of its reader.
pub fn queues(session: &Doorbell, replica: &Doorbell) -> (SessionEnds, ReplicaEnds) {
    let queue_up = crossing_queue(QUEUE_MESSAGES, QUEUE_BYTES, session.clone(), replica.clone());
    let queue_down = crossing_queue(QUEUE_MESSAGES, QUEUE_BYTES, replica.clone(), session.clone());
    (
        SessionEnds { up: queue_up.0, down: queue_down.1 },
        ReplicaEnds { up: queue_up.1, down: queue_down.0 },
    )
}
