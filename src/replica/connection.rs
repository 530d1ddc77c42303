//! Connections: what the replica knows about each, and the table that holds them.

use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use super::audit::{Asked, AuditClient};
use super::early::Early;
use super::owed::{Expected, Owed};
use super::stats::{ConnectionFacts, Latency};
use super::waiting::Queue;
use crate::acl::{Identity, ip_identity};
use crate::error::ErrorCode;
use crate::id::{ConnectionId, Epoch, SessionId, Zxid};
use crate::limits;
use crate::proto::OpCode;
use crate::sasl::Exchange;
use crate::session::Tenure;
use crate::time::{MonoUs, Now, WallMs};
use crate::zab::SessionScope;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its first frame has not arrived yet.
    New,
    /// Its session is being created; frames that arrive meanwhile wait in [`Connection::early`].
    Connecting,
    /// The leader is asked whether the session that the client takes up again is alive; frames wait in `early`, too.
    Reopening,
    /// It has a session, and its requests are carried out.
    Ready,
    /// Its client has asked for the end of its session; what still arrives is dropped.
    Ending,
    /// It will be removed once its bytes are handed out; nothing more is written to it.
    Closed,
}

/// One step of a connection's queue. The queue keeps the order of the session's replies; it is empty while the session
/// waits for nothing.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The reply to a write whose transaction this server has proposed; [`InFlight`](super::pipeline::InFlight) knows
    /// the request.
    Write,
    /// On a learner: the reply to a request that was passed on to the leader.
    Forwarded(Box<Forwarded>),
    /// A read that waits for the steps before it, and is carried out when it comes to the front.
    Request {
        /// Header and body, without the length.
        frame: Box<[u8]>,
        /// When it arrived, for its latency.
        arrived: MonoUs,
        /// The transaction that has to be applied first.
        after: Zxid,
        /// What its reply is expected to take; counted in [`Owed::expected`] while it waits.
        expected: Expected,
        /// How many identities its connection had when it arrived: it is carried out with those.
        // ZooKeeper: a Request has a copy of its connection's identities.
        identities: usize,
    },
    /// An answer that is certain already.
    Answer {
        /// What it says.
        answer: Answer,
        /// When the request arrived, for its latency.
        arrived: MonoUs,
        /// The transaction that has to be applied first.
        after: Zxid,
    },
}

impl Waiting {
    /// Whether it counts as held (`Clients::requests_held`): it waits only for steps and transactions before it.
    pub fn is_held(&self) -> bool {
        matches!(self, Waiting::Request { .. } | Waiting::Answer { .. })
    }

    /// Whether it is a write whose outcome is open.
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
    /// The client's xid; 0 for the creation of its session.
    pub xid: i32,
    /// The operation. `Error`: it is unknown, for the connection that asked for it is gone.
    pub op: OpCode,
    /// Header and body, to be passed on again to another leader.
    pub frame: Box<[u8]>,
    /// Bytes that were passed on, which count in `PassedOn`.
    pub passed_bytes: usize,
    /// When it arrived, for its latency.
    pub arrived: MonoUs,
    /// Bytes of the request if it counts as large, otherwise 0; claimed from `Clients::large_bytes`.
    pub large: u32,
    /// The number of a sync. `None`: it is no sync, and a transaction comes back for it.
    pub sync: Option<u64>,
    /// The error that the client is told if the request fails, instead of the leader's.
    pub instead: Option<ErrorCode>,
    /// Nobody is told the outcome: a connection of the session that is gone has asked for it.
    pub silent: bool,
    /// How many identities its connection had when it arrived: it is passed on again with those.
    pub identities: usize,
    /// It was passed on before, to a leader that is lost.
    pub again: bool,
    /// Its leader was lost, perhaps because of this request: it is not passed on any more.
    pub suspect: bool,
    /// What the audit log is told once the outcome is certain.
    pub audit: Option<Box<Asked>>,
}

#[cfg(test)]
impl Forwarded {
    /// A request that a test counts, with empty content.
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
            audit: None,
        }
    }
}

/// A client's request, as far as its header tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientRequest<'a> {
    /// The client's number for it; 0 for the creation of its session.
    pub xid: i32,
    /// The operation.
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
    /// The request's xid.
    pub xid: i32,
    /// The request's operation, for the counters. `None`: it is unknown.
    pub op: Option<OpCode>,
    /// The error code of the reply's header; 0 for success.
    pub err: i32,
    /// The zxid of the reply's header. `None`: the newest.
    pub zxid: Option<Zxid>,
    /// The connection is closed behind this answer, for the operation is unknown.
    pub unknown: bool,
    /// Bytes of the request if it counts as large, otherwise 0; claimed from `Clients::large_bytes`.
    pub large: u32,
    /// The session is over behind this answer: its client has closed a local session.
    pub ends: bool,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// The name by which the edge and the watches know it.
    pub id: ConnectionId,
    /// Its client's address, for identities and the log.
    pub remote: SocketAddr,
    /// How far it has come: what may arrive, and whether it may be written to.
    pub state: State,
    /// Its session; `NONE` before its client has asked for one.
    ///
    /// Invariant: `Clients::by_session` leads from the session to no other open connection while this one is `Ready`.
    pub session: SessionId,
    /// The session's timeout as negotiated: after so much silence the connection is closed.
    pub timeout_ms: i32,
    /// Only this server knows its session.
    pub local: bool,
    /// A request was dropped because the session was being closed. If that end is given up, so is the connection:
    /// its client would get the next answer without the one before it.
    pub dropped: bool,
    /// Until when it waits for a leader; what arrives waits in `early`. `None`: it does not wait for one.
    pub parked: Option<MonoUs>,
    /// Since when this connection holds the session: a transaction up to then belongs to an earlier connection. `None`:
    /// its leader keeps no tenures, or has not given it one yet.
    pub tenure: Option<Tenure>,
    /// The epoch in which its requests are passed on, or proposed.
    pub epoch: Epoch,
    /// The field `readOnly` of the connect request; the response has the field if the request had it.
    pub read_only: Option<bool>,
    /// Its client is logging in by SASL.
    pub login: Option<Box<Exchange>>,
    /// The xid of a token of its login that the edge checks; frames behind it wait in `early`. `None`: the edge checks
    /// none.
    ///
    /// Invariant: the edge owes the answer, which `Replica::handle_login` takes; `login` is there.
    pub awaits_login: Option<i32>,
    /// How many of its logins have failed.
    ///
    /// Invariant: below [`limits::LOGINS_FAILED_MAX`] while it is open.
    pub logins_failed: u32,
    /// The identities that its client has proved, and its address: permissions are checked with them.
    pub identities: Vec<Identity>,
    /// What the audit log says of its client while it has so many identities. `None`: nothing was told yet.
    pub audited: Option<(usize, Arc<AuditClient>)>,
    /// How many paths of the `setWatches` at the front of `queue` earlier turns have handled.
    pub watches_set: usize,
    /// Bytes for the client that are not handed out yet.
    pub out: Vec<u8>,
    /// Bytes that its client has not read, besides `out`, and the replies still to be made.
    pub owed: Owed,
    /// Its client will send nothing more; the connection is closed when everything is answered.
    pub input_over: bool,
    /// Its requests wait, in `early` and `queue`: until its client has read, until there is memory, or for their turn.
    pub waits_to_be_read: bool,
    /// It waits for memory.
    ///
    /// Invariant: it stands in the list of [`Memory`](super::memory::Memory) exactly if this is set.
    pub starves: bool,
    /// Its requests wait for their turn.
    ///
    /// Invariant: it stands in one of the lines of [`Work`](super::work::Work) exactly if this is set.
    pub in_line: bool,
    /// When its client last did something: sent, read, or got its session.
    pub heard: MonoUs,
    /// Requests finished since the last output entry, all older ones being finished too: the edge may read so many
    /// more.
    pub answered: u32,
    /// Requests that were finished before older ones in the queue. They are reported when the queue is empty, because
    /// the edge takes a finished request for the oldest that it has handed on, and for the bytes of that one.
    ///
    /// Invariant: 0 when output is taken while `queue` is empty.
    pub answered_early: u32,
    /// It has bytes or an end for the next output.
    ///
    /// Invariant: it stands in `Clients::dirty`, once, exactly if this is set.
    pub dirty: bool,
    /// What waits, in the order of the session's replies.
    pub queue: Queue,
    /// Bytes of the longest write since the queue was last empty: a read behind it may return as many.
    pub longest_write: usize,
    /// How many events it got while the server was behind, and since when the server was behind then:
    /// [`Connection::gets_too_much`] bounds them.
    behind: (MonoUs, usize),
    /// Reads are not answered before this is applied: the session's last write of an earlier connection, which was
    /// still on its way when this connection took the session up.
    pub floor: Zxid,
    /// All its syncs so far have numbers below this.
    pub asked_syncs: u64,
    /// Syncs in `queue` whose numbers are below this are done.
    ///
    /// Invariant: never falls.
    pub synced: u64,
    /// Bytes of the frames in `queue` and `early`, for the bound on a connection.
    ///
    /// Invariant: their sum between two events.
    pub held_bytes: usize,
    /// Whole frames that are not handled yet.
    pub early: Early,
    /// When the socket was accepted (`cons`).
    pub established: WallMs,
    /// Frames received (`cons`).
    pub received: u64,
    /// Frames sent (`cons`).
    pub sent: u64,
    /// The operation answered last (`cons`).
    pub last_op: Option<OpCode>,
    /// The xid answered last (`cons`).
    pub last_cxid: i32,
    /// The zxid of the last reply (`cons`).
    pub last_zxid: Zxid,
    /// When the last reply was written (`cons`).
    pub last_response: WallMs,
    /// How long requests took (`cons`).
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
            login: None,
            awaits_login: None,
            logins_failed: 0,
            // ZooKeeper: every connection has its address as an identity from the start.
            identities: vec![ip_identity(remote.ip())],
            audited: None,
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

    /// Bytes of answers that it holds, made or to be made: the one number that a bound on the memory of one connection,
    /// or of all, has to look at.
    pub fn output_bytes(&self) -> usize {
        self.unread_bytes() + self.owed.expected.now
    }

    /// Bytes of answers that are made and that its client has not read.
    pub fn unread_bytes(&self) -> usize {
        self.out.len() + self.owed.unread()
    }

    /// What the leader is told about its session.
    pub fn scope(&self) -> SessionScope {
        if self.local { SessionScope::Local } else { SessionScope::Global }
    }

    /// Whether everything that its client asked for is answered.
    pub fn is_done(&self) -> bool {
        let settled = matches!(self.state, State::Ready | State::Ending);
        settled
            && self.queue.is_empty()
            && self.early.is_empty()
            && self.parked.is_none()
            && self.awaits_login.is_none()
    }

    /// Whether its frames wait, whatever they are, or are of no use any more.
    pub fn takes_no_frames(&self) -> bool {
        self.parked.is_some() || self.awaits_login.is_some() || self.state == State::Closed
    }

    /// Counts the reply to the oldest request.
    pub fn note_reply(&mut self, now: WallMs, xid: i32, op: Option<OpCode>, zxid: Zxid) {
        self.answered += 1;
        self.sent += 1;
        self.last_op = op;
        self.last_cxid = xid;
        self.last_zxid = zxid;
        self.last_response = now;
    }

    /// Counts a request that is finished at once, even if older ones are not.
    pub fn count_answered_at_once(&mut self) {
        if self.queue.is_empty() {
            self.answered += 1;
        } else {
            self.answered_early += 1;
        }
    }

    /// Counts an event of so many bytes for a connection while the server is behind, and has been since `since`.
    /// Whether these are too many.
    pub fn gets_too_much(&mut self, since: MonoUs, bytes: usize) -> bool {
        if self.behind.0 != since {
            self.behind = (since, 0);
        }
        self.behind.1 += 1 + bytes / limits::EVENT_BEHIND_BYTES;
        self.behind.1 > limits::EVENTS_BEHIND_MAX
    }

    /// Whether bytes may still be written to the connection.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether the outcome of one of its writes is open.
    pub fn awaits_writes(&self) -> bool {
        let has_writes = self.queue.has_writes();
        assert!(!has_writes || !self.queue.is_empty(), "an empty queue holds no write");
        has_writes
    }

    /// What `cons` and the admin server show.
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

    /// Clears the counters that `crst` clears.
    pub fn reset_stats(&mut self) {
        self.received = 0;
        self.sent = 0;
        self.latency_ms = Latency::default();
    }
}

/// A connection's place in [`Connections`], and its id, which tells it from a later connection in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The place in `Connections::slots`.
    index: usize,
    /// The connection's id.
    pub id: ConnectionId,
}

/// All connections that are open or still have bytes to send.
///
/// [`Replica`](super::Replica) owns them and lends one at a time to [`Service`](super::service::Service). A connection
/// keeps its place until it is removed; then the place is free for another, which has another id.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// The connections by place. `None`: the place is free.
    slots: Vec<Option<Box<Connection>>>,
    /// The free places.
    ///
    /// Invariant: exactly the indices at which `slots` is `None`, each once.
    free: Vec<usize>,
    /// Where the connection with an id lies.
    ///
    /// Invariant: leads to a connection with this id; has as many entries as there are connections.
    by_id: HashMap<ConnectionId, usize>,
}

impl Connections {
    /// Adds a connection. Its id was never used before.
    pub fn open(&mut self, id: ConnectionId, remote: SocketAddr, now: Now) -> Slot {
        let connection = Box::new(Connection::new(id, remote, now));
        let index = match self.free.pop() {
            Some(index) => {
                assert!(self.slots[index].is_none(), "a free place holds no connection");
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
        self.assert_places();
        Slot { index, id }
    }

    /// The slot of a connection. `None`: the connection is gone.
    pub fn find(&self, id: ConnectionId) -> Option<Slot> {
        self.by_id.get(&id).map(|&index| Slot { index, id })
    }

    /// The connection at a slot. `None`: it is gone.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.slots.get_mut(slot.index)?.as_deref_mut().filter(|found| found.id == slot.id)
    }

    /// As [`Connections::get_mut`].
    pub fn get(&self, slot: Slot) -> Option<&Connection> {
        self.slots.get(slot.index)?.as_deref().filter(|found| found.id == slot.id)
    }

    /// Removes a connection, if it is still there.
    pub fn remove(&mut self, slot: Slot) {
        if self.by_id.remove(&slot.id).is_some() {
            let removed = self.slots[slot.index].take();
            assert!(removed.is_some_and(|it| it.id == slot.id), "{} lies at its place", slot.id);
            self.free.push(slot.index);
            self.assert_places();
        }
    }

    /// # Panics
    /// If a place is neither taken nor free, or both: another connection would get it, or nobody.
    fn assert_places(&self) {
        let (places, taken, free) = (self.slots.len(), self.by_id.len(), self.free.len());
        assert!(taken + free == places, "of {places} places {taken} are taken and {free} free");
    }

    /// The slots of all connections, in the order of their places.
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
