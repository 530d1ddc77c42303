//! What crosses between session cores and a replica on another core.
//!
//! One bounded queue in each direction and per session core ([`crossing_queue`], which tells why no
//! wake-up is lost). What a turn of one executor has for the other crosses as one message: requests of
//! many connections in one allocation, replies as the buffers they were made in.
//!
//! Nobody waits for anybody in the middle of something. Each executor gathers what it has for another,
//! and puts it into the queue once in each round of its loop. What finds no room stays gathered, and
//! the round in which there is room takes it along:
//!
//! * A session core that the replica does not keep up with gathers requests. It reads no more from
//!   its sockets than the bound of what is outstanding allows, so that is what it gathers at most.
//! * A replica that a session core does not keep up with gathers replies, and takes no more requests
//!   of that core until the queue has room ([`ReplicaInbox`](replica::ReplicaInbox)): so it gathers no more than the
//!   answers to what one round took in, and the events of watches.
//!
//! Two executors that wait for room of each other: would that be for ever? No: a session core takes
//! what comes down whether or not it finds room for what goes up, and that makes room for the replica.

mod replica;
mod session;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};

pub use replica::{Downlinks, open_all};
pub use session::{Order, SessionInbox, Uplink};

use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;
use crate::replica::Outgoing;
use crate::runtime::{Doorbell, Receiver, Sender, crossing_queue};

/// Messages that a queue holds: far more than rounds of one executor that another may sleep through
/// while both are busy.
const QUEUE_MESSAGES: usize = 256;

/// Bytes that a queue holds: the answers of some hundred rounds, and still memory that a server has.
const QUEUE_BYTES: usize = 32 << 20;

/// Messages that one dispatch takes from one queue; the sockets and the other queues have their turn
/// in between.
const MESSAGES_PER_DISPATCH: usize = 32;

/// What a session core tells the replica: the events of one round.
#[derive(Debug, Default)]
pub struct Up {
    events: Vec<UpEvent>,
    /// The frames of all events, one after the other.
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum UpEvent {
    Open { conn: ConnectionId, remote: SocketAddr },
    Frames { conn: ConnectionId, bytes: usize },
    Word { conn: ConnectionId, remote: SocketAddr, word: FourLetterWord, argument: Option<[u8; 8]> },
    End { conn: ConnectionId },
    Written { conn: ConnectionId, bytes: usize },
    Close { conn: ConnectionId },
}

/// What the replica tells a session core.
#[derive(Debug)]
pub enum Down {
    /// Bytes for its connections.
    Sends(Vec<Outgoing>),
    /// Accept connections there from now on, and nowhere else.
    Listen(TcpListener),
    /// Accept no more connections.
    StopAccepting,
}

/// The ends of both queues that a session core holds.
pub struct SessionEnds {
    up: Sender<Up>,
    down: Receiver<Down>,
}

/// The ends that the replica's core holds.
pub struct ReplicaEnds {
    up: Receiver<Up>,
    down: Sender<Down>,
}

/// Makes the two queues of one session core between the executors with these bells.
pub fn queues(session: &Doorbell, replica: &Doorbell) -> (SessionEnds, ReplicaEnds) {
    let queue_up = crossing_queue(QUEUE_MESSAGES, QUEUE_BYTES, session.clone(), replica.clone());
    let queue_down = crossing_queue(QUEUE_MESSAGES, QUEUE_BYTES, replica.clone(), session.clone());
    (
        SessionEnds { up: queue_up.0, down: queue_down.1 },
        ReplicaEnds { up: queue_up.1, down: queue_down.0 },
    )
}
