//! Connections: what the replica keeps of each, and where they lie.

use std::net::SocketAddr;

use hashbrown::HashMap;

use super::early::Early;
use super::owed::{Expected, Owed};
use super::stats::{ConnectionFacts, Latency};
use super::waiting::Queue;
use crate::acl::{Identity, ip_identity};
use crate::error::ErrorCode;
use crate::id::{ConnectionId, Epoch, SessionId, Zxid};
use crate::limits;
use crate::proto::OpCode;
use crate::session::Tenure;
use crate::time::{MonoUs, Now, WallMs};
use crate::zab::SessionScope;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its first frame is still to come.
    New,
    /// Its session is being created; frames that arrive meanwhile wait in `early`.
    Connecting,
    /// The leader is asked whether the session that it takes up again is alive; frames wait as well.
    Reopening,
    /// Its requests are carried out.
    Ready,
    /// Its session is being closed by its own wish; what still arrives is dropped.
    Ending,
    /// To be closed once its bytes are handed out; nothing more is written to it.
    Closed,
}

/// One step of a connection's queue. The queue keeps the order of the session's replies; it is
/// empty while nothing is in flight.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The reply of a transaction on its way.
    Write,
    /// On a learner: the reply of a request that was passed on to the leader.
    Forwarded(Box<Forwarded>),
    /// A request behind it, to be looked at when it comes to the front.
    Request {
        /// Header and body, without the length.
        frame: Box<[u8]>,
        /// When it arrived.
        arrived: MonoUs,
        /// Not before this is applied.
        after: Zxid,
        /// Bytes of its reply, as far as can be told.
        expected: Expected,
        /// So many identities its connection had shown when it arrived: it is carried out with those.
        // ZooKeeper: a Request has a copy of its connection's identities.
        identities: usize,
    },
    /// An answer that is certain already.
    Answer {
        /// What it says.
        answer: Answer,
        /// When the request arrived.
        arrived: MonoUs,
        /// Not before this is applied.
        after: Zxid,
    },
}

impl Waiting {
    /// Whether it is counted as held: it waits for nothing of its own.
    pub fn is_held(&self) -> bool {
        matches!(self, Waiting::Request { .. } | Waiting::Answer { .. })
    }

    /// Whether it may still be carried out, or not.
    pub fn is_write(&self) -> bool {
        match self {
            Waiting::Write => true,
            Waiting::Forwarded(request) => request.sync.is_none(),
            Waiting::Request { .. } | Waiting::Answer { .. } => false,
        }
    }
}

/// A request that was passed on to the leader.
#[derive(Debug)]
pub(super) struct Forwarded {
    /// The client's xid; 0 for the wish for a session.
    pub xid: i32,
    pub op: OpCode,
    /// Header and body, to be passed on again to another leader.
    pub frame: Box<[u8]>,
    /// Bytes of what was passed on.
    pub passed_bytes: usize,
    /// When it arrived.
    pub arrived: MonoUs,
    /// Bytes of the request if it counts as large.
    pub large: u32,
    /// The number of a sync; of anything else a transaction comes back.
    pub sync: Option<u64>,
    /// The error to be told if it fails.
    pub instead: Option<ErrorCode>,
    /// Nobody is told: it was asked for on a connection of the session that is gone.
    pub silent: bool,
    /// As of a request that waits here.
    pub identities: usize,
    /// It was passed on before, to a leader that is lost.
    pub again: bool,
    /// Its leader was lost, and it may be the reason: nobody passes it on any more.
    pub suspect: bool,
}

#[cfg(test)]
impl Forwarded {
    /// One that a test counts, without words.
    pub fn of_test(op: OpCode, sync: Option<u64>) -> Forwarded {
        Forwarded {
            xid: 1,
            op,
            frame: Box::default(),
            passed_bytes: 0,
            arrived: MonoUs(0),
            large: 0,
            sync,
            instead: None,
            silent: false,
            identities: 0,
            again: false,
            suspect: false,
        }
    }
}

/// A client's request, as far as its header tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientRequest<'a> {
    /// The client's number of it; 0 for the wish for a session.
    pub xid: i32,
    /// What it asks for.
    pub op: OpCode,
    /// The bytes behind the header.
    pub body: &'a [u8],
    /// Bytes of the whole request if it counts as large, otherwise 0.
    ///
    /// Invariant: claimed from `Clients::large_bytes`; whoever finishes the request gives them back.
    pub large: u32,
}

impl ClientRequest<'_> {
    /// The reply that refuses it.
    pub fn refusal(&self, err: ErrorCode) -> Answer {
        Answer {
            xid: self.xid,
            op: Some(self.op),
            err: err.code(),
            zxid: None,
            unknown: false,
            large: self.large,
            ends: false,
        }
    }
}

/// The reply to a request that is refused without being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub xid: i32,
    pub op: Option<OpCode>,
    pub err: i32,
    /// What the reply has for its zxid; `None`: the newest.
    pub zxid: Option<Zxid>,
    /// Whether the connection is then closed: the answer to an operation that is not known.
    pub unknown: bool,
    /// Bytes of the request if it counts as large.
    pub large: u32,
    /// Whether the session is over then: a local one was closed.
    pub ends: bool,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub id: ConnectionId,
    pub remote: SocketAddr,
    pub state: State,
    pub session: SessionId,
    pub timeout_ms: i32,
    /// Its session is known to this server alone.
    pub local: bool,
    /// A request was dropped because the session was being closed. If that end is given up, so is the connection:
    /// its client would get the next answer without the one before it.
    pub dropped: bool,
    /// It waits for a leader, until then; what arrives waits in `early`.
    pub parked: Option<MonoUs>,
    /// Since when the session is this server's by way of this connection; `None`: its leader keeps
    /// no tenures, or it has none to keep yet.
    pub tenure: Option<Tenure>,
    /// The epoch in which its requests are passed on, or proposed.
    pub epoch: Epoch,
    /// What the connect request said; the response has the field if the request had it.
    pub read_only: Option<bool>,
    pub identities: Vec<Identity>,
    /// Paths of the `setWatches` at the front that were carried out in earlier turns.
    pub watches_set: usize,
    /// Bytes for the client, since the last time they were taken.
    pub out: Vec<u8>,
    /// What it holds of the server's memory beside `out` and the frames that wait.
    pub owed: Owed,
    /// Its client will send nothing more; it is closed when everything is answered.
    pub input_over: bool,
    /// Its requests wait until its client has read.
    pub waits_to_be_read: bool,
    /// It stands among those who wait for memory.
    pub starves: bool,
    /// It stands among those whose requests wait for their turn.
    pub in_line: bool,
    /// When its client did something last: sent, read, or got its session.
    pub heard: MonoUs,
    /// Requests finished since the last entry of the output, in their order.
    pub answered: u32,
    /// Requests that were finished before what stands in the queue. They are told of when it is empty,
    /// because the edge takes what is finished for the oldest of what it has handed on, with its bytes.
    pub answered_early: u32,
    /// Whether it is in the list of those with something to take.
    pub dirty: bool,
    pub queue: Queue,
    /// Bytes of the longest write since the queue was last empty: what is read behind it may be as long.
    pub longest_write: usize,
    /// See [`Connection::gets_too_much`].
    behind: (MonoUs, usize),
    /// Reads are not answered before this is applied: the session's last write of an earlier
    /// connection that was still on its way when this one took the session up.
    pub floor: Zxid,
    /// All its syncs so far have numbers below this.
    pub asked_syncs: u64,
    /// Syncs in `queue` whose numbers are below this are done.
    pub synced: u64,
    /// Bytes of frames in `queue` and `early`.
    pub held_bytes: usize,
    /// Whole frames that are not looked at yet.
    pub early: Early,
    pub established: WallMs,
    pub received: u64,
    pub sent: u64,
    pub last_op: Option<OpCode>,
    pub last_cxid: i32,
    pub last_zxid: Zxid,
    pub last_response: WallMs,
    pub latency_ms: Latency,
}

impl Connection {
    fn new(id: ConnectionId, remote: SocketAddr, now: Now) -> Connection {
        Connection {
            id,
            remote,
            state: State::New,
            session: SessionId::NONE,
            timeout_ms: 0,
            local: false,
            dropped: false,
            parked: None,
            tenure: None,
            epoch: Epoch(-1),
            read_only: None,
            // ZooKeeper: every connection is its address from the start.
            identities: vec![ip_identity(remote.ip())],
            watches_set: 0,
            out: Vec::new(),
            owed: Owed::default(),
            input_over: false,
            waits_to_be_read: false,
            starves: false,
            in_line: false,
            heard: now.mono,
            answered: 0,
            answered_early: 0,
            longest_write: 0,
            behind: (MonoUs(0), 0),
            dirty: false,
            queue: Queue::default(),
            floor: Zxid::ZERO,
            asked_syncs: 0,
            synced: 0,
            held_bytes: 0,
            early: Early::default(),
            established: now.wall,
            received: 0,
            sent: 0,
            last_op: None,
            last_cxid: 0,
            last_zxid: Zxid::ZERO,
            last_response: WallMs(0),
            latency_ms: Latency::default(),
        }
    }

    /// Bytes of answers that it holds, made or to be made: the one number that a bound on a
    /// connection's memory, or on that of all of them, has to look at.
    pub fn output_bytes(&self) -> usize {
        self.unread_bytes() + self.owed.expected.now
    }

    /// Bytes of answers that are made, and that its client has not read.
    pub fn unread_bytes(&self) -> usize {
        self.out.len() + self.owed.unread()
    }

    /// What is said of its session to the leader.
    pub fn scope(&self) -> SessionScope {
        if self.local { SessionScope::Local } else { SessionScope::Global }
    }

    /// Whether everything that it asked for is answered.
    pub fn is_done(&self) -> bool {
        let settled = matches!(self.state, State::Ready | State::Ending);
        settled && self.queue.is_empty() && self.early.is_empty() && self.parked.is_none()
    }

    /// The reply to the oldest request is written.
    pub fn note_reply(&mut self, now: WallMs, xid: i32, op: Option<OpCode>, zxid: Zxid) {
        self.answered += 1;
        self.sent += 1;
        self.last_op = op;
        self.last_cxid = xid;
        self.last_zxid = zxid;
        self.last_response = now;
    }

    /// A request is finished the moment it is looked at, whatever is before it.
    pub fn count_answered_at_once(&mut self) {
        if self.queue.is_empty() {
            self.answered += 1;
        } else {
            self.answered_early += 1;
        }
    }

    /// It gets an event of so many bytes while the server is behind, since then: whether that are too many.
    pub fn gets_too_much(&mut self, since: MonoUs, bytes: usize) -> bool {
        if self.behind.0 != since {
            self.behind = (since, 0);
        }
        self.behind.1 += 1 + bytes / limits::EVENT_BEHIND_BYTES;
        self.behind.1 > limits::EVENTS_BEHIND_MAX
    }

    /// Whether bytes may still be written to it.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether what it asked for may still be carried out, or not.
    pub fn awaits_writes(&self) -> bool {
        self.queue.has_writes()
    }

    pub fn facts(&self) -> ConnectionFacts {
        ConnectionFacts {
            conn: self.id,
            remote: self.remote,
            session: (self.session != SessionId::NONE).then_some(self.session),
            timeout_ms: self.timeout_ms,
            established: self.established,
            queued: self.queue.len(),
            received: self.received,
            sent: self.sent,
            last_op: self.last_op.map_or("NA", crate::processor::finish::short_name),
            last_cxid: self.last_cxid,
            last_zxid: self.last_zxid,
            last_response: self.last_response,
            latency_ms: self.latency_ms,
        }
    }

    pub fn reset_stats(&mut self) {
        self.received = 0;
        self.sent = 0;
        self.latency_ms = Latency::default();
    }
}

/// A connection's place, and its id to tell it from a later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    index: usize,
    pub id: ConnectionId,
}

/// All connections.
///
/// One that is worked on is taken out, so that everything else of the replica can be used at the
/// same time; it must be put back before the next event.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    by_id: HashMap<ConnectionId, usize>,
}

impl Connections {
    /// A new connection. Its id was never used before.
    pub fn open(&mut self, id: ConnectionId, remote: SocketAddr, now: Now) -> Slot {
        let connection = Box::new(Connection::new(id, remote, now));
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = Some(connection);
                index
            }
            None => {
                self.slots.push(Some(connection));
                self.slots.len() - 1
            }
        };
        let before = self.by_id.insert(id, index);
        assert!(before.is_none(), "connection {id} was opened twice");
        Slot { index, id }
    }

    pub fn find(&self, id: ConnectionId) -> Option<Slot> {
        self.by_id.get(&id).map(|&index| Slot { index, id })
    }

    /// `None`: it is gone, or taken out.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.slots.get_mut(slot.index)?.as_deref_mut().filter(|found| found.id == slot.id)
    }

    pub fn get(&self, slot: Slot) -> Option<&Connection> {
        self.slots.get(slot.index)?.as_deref().filter(|found| found.id == slot.id)
    }

    pub fn remove(&mut self, slot: Slot) {
        if self.by_id.remove(&slot.id).is_some() {
            self.slots[slot.index] = None;
            self.free.push(slot.index);
        }
    }

    /// The places of all that are there, in the order of the places.
    pub fn slots(&self) -> Vec<Slot> {
        let places = self.slots.iter().enumerate();
        places
            .filter_map(|(index, slot)| slot.as_ref().map(|found| Slot { index, id: found.id }))
            .collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| slot.as_deref())
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.slots.iter_mut().filter_map(|slot| slot.as_deref_mut())
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }
}
