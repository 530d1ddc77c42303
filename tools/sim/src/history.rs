//! What clients asked for, and what servers told them: the material of the checkers.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::proto::data::Stat;
use ringkeeper::proto::event::EventType;

use super::acl::List;
use super::plan::SECOND;

/// One part of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// See [`Request::Set`].
    Set {
        /// The node.
        path: String,
        /// Its new data.
        data: Vec<u8>,
        /// The version expected, -1 for any.
        version: i32,
    },
    /// Checks the version of a node.
    Check {
        /// The node.
        path: String,
        /// The version expected.
        version: i32,
    },
    /// See [`Request::Create`]; neither ephemeral nor sequential.
    Create {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
    },
    /// See [`Request::CreateWith`].
    CreateWith {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Its ACL.
        acl: List,
    },
    /// See [`Request::Delete`].
    Delete {
        /// The node.
        path: String,
        /// The version expected, -1 for any.
        version: i32,
    },
}

/// One part of a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Reads data and Stat.
    Get(String),
    /// Reads the names of the children.
    Children(String),
}

/// The answer to one part of a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Data and Stat.
    Data(Option<Vec<u8>>, Stat),
    /// Names in order.
    Children(Vec<String>),
    /// An error.
    Error(i32),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Creates a node.
    Create {
        /// The node; for a sequential one, the path without the number.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Whether it goes with the session.
        ephemeral: bool,
        /// Whether its name ends in a number of its own.
        sequential: bool,
    },
    /// Creates a node that goes some time after its last child.
    CreateContainer {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
    },
    /// Creates a node that goes when it has had neither children nor new data for a time.
    CreateTtl {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// That time.
        ttl_ms: i64,
    },
    /// Creates a node with an ACL of its own; neither ephemeral nor sequential.
    CreateWith {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Its ACL.
        acl: List,
    },
    /// Replaces the ACL.
    SetAcl {
        /// The node.
        path: String,
        /// Its new ACL.
        acl: List,
        /// The version of the ACL expected, -1 for any.
        version: i32,
    },
    /// Reads the ACL and the Stat.
    GetAcl {
        /// The node.
        path: String,
    },
    /// Authenticates the client.
    Auth {
        /// The scheme of the authentication.
        scheme: String,
        /// The proof, such as a password.
        secret: Option<String>,
    },
    /// Reads several nodes at once.
    MultiRead(Vec<Look>),
    /// Replaces the data.
    Set {
        /// The node.
        path: String,
        /// Its new data.
        data: Vec<u8>,
        /// The version expected, -1 for any.
        version: i32,
    },
    /// Deletes a node.
    Delete {
        /// The node.
        path: String,
        /// The version expected, -1 for any.
        version: i32,
    },
    /// Several changes, of which all happen or none.
    Multi(Vec<Part>),
    /// Reads data and Stat.
    Get {
        /// The node.
        path: String,
        /// Whether it sets a watch.
        watch: bool,
    },
    /// Reads the Stat.
    Exists {
        /// The node.
        path: String,
        /// Whether it sets a watch.
        watch: bool,
    },
    /// Reads the names of the children, and the Stat.
    Children {
        /// The node.
        path: String,
        /// Whether it sets a watch.
        watch: bool,
    },
    /// Makes later reads see everything that was acknowledged before.
    Sync {
        /// Any path.
        path: String,
    },
    /// Sets watches again.
    SetWatches {
        /// The newest zxid seen.
        relative: Zxid,
        /// What was watched, by path and kind.
        watches: Vec<(String, Watched)>,
    },
    /// Sets a watch that stays until it is removed.
    AddWatch {
        /// The node, which need not exist.
        path: String,
        /// Whether the watch is for everything below as well.
        recursive: bool,
    },
    /// Asks whether there are watches, or removes them.
    Watches {
        /// The node.
        path: String,
        /// The kind of watches, as the request numbers them.
        kind: i32,
        /// Whether the watches are removed.
        remove: bool,
    },
    /// Changes the ensemble; the texts are those of the request.
    Reconfig {
        /// Members that join or change.
        joining: Option<String>,
        /// Members that leave.
        leaving: Option<String>,
        /// All members from now on.
        members: Option<String>,
        /// The version of the configuration expected, -1 for any.
        version: i64,
    },
    /// Ends the session.
    Close,
}

impl Request {
    /// Whether it makes a transaction.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Request::Create { .. }
                | Request::CreateWith { .. }
                | Request::SetAcl { .. }
                | Request::CreateContainer { .. }
                | Request::CreateTtl { .. }
                | Request::Set { .. }
                | Request::Delete { .. }
                | Request::Multi(_)
                | Request::Reconfig { .. }
                | Request::Close
        )
    }
}

/// What a watch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// Data of an existing node.
    Data,
    /// A missing node.
    Missing,
    /// The children.
    Children,
    /// All of that, until it is taken away.
    Persistent,
    /// Data and existence of the node and of everything below, until it is taken away.
    Recursive,
}

/// The content of a reply behind its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, or nothing that a checker looks at.
    Nothing,
    /// A path.
    Path(String),
    /// A path and the Stat of the new node.
    Created(String, Stat),
    /// Data and Stat.
    Data(Option<Vec<u8>>, Stat),
    /// A Stat.
    Stat(Stat),
    /// For a multi: the error of the part that failed, 0 if none did.
    Multi(i32),
    /// Names in order, and the Stat.
    Children(Vec<String>, Stat),
    /// An ACL, and the Stat.
    Acl(List, Stat),
    /// The answers to the parts of a multiRead.
    Found(Vec<Found>),
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No reply has come yet, or none ever will, because the connection was lost.
    Unknown,
    /// There was a reply.
    Replied {
        /// The time of the reply, in µs.
        at: u64,
        /// The zxid in its header.
        zxid: Zxid,
        /// 0, or an error.
        err: i32,
        /// The content behind the header.
        answer: Answer,
    },
}

/// A request and its outcome.
#[derive(Clone, Debug)]
pub struct Call {
    /// The client that asked.
    pub client: usize,
    /// The session of the request.
    pub session: SessionId,
    /// The number of the client's connection.
    pub connection: u64,
    /// Its xid, unique on its connection.
    pub xid: i32,
    /// What the client asked for.
    pub request: Request,
    /// The time of the request, in µs.
    pub invoked: u64,
    /// Its outcome.
    pub outcome: Outcome,
}

/// The content of a frame that arrived.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A session was begun or taken up again.
    Connected,
    /// The reply of a call, by the index of the call.
    Reply(usize),
    /// The reply of a ping.
    Pong,
    /// A watch event.
    Event {
        /// What happened.
        event: EventType,
        /// The node that it happened to.
        path: String,
    },
}

/// A frame, and the connection on which it arrived.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The client that received it.
    pub client: usize,
    /// The number of the client's connection.
    pub connection: u64,
    /// The session of the connection.
    pub session: SessionId,
    /// The zxid in its header.
    pub zxid: Zxid,
    /// Its content.
    pub seen: Seen,
}

/// A connect request of a client, which begins or takes up a session.
#[derive(Clone, Copy, Debug)]
pub struct Greeting {
    /// The client.
    pub client: usize,
    /// The number of the client's connection.
    pub connection: u64,
    /// The server.
    pub server: usize,
    /// The session that is to be taken up.
    pub session: SessionId,
    /// The time at which it was sent, in µs.
    pub sent: u64,
    /// Whether a server has answered.
    pub is_answered: bool,
}

/// Everything that all clients saw.
#[derive(Debug, Default)]
pub struct History {
    /// The calls, by their times.
    pub calls: Vec<Call>,
    /// The frames, by arrival.
    pub frames: Vec<Frame>,
    /// The connect requests, by the times at which they were sent.
    pub greetings: Vec<Greeting>,
    /// Every session that a client ever had.
    pub leases: BTreeMap<SessionId, Lease>,
    /// Times in which a disk had no room: the server, the beginning and the end.
    pub full: Vec<(usize, u64, u64)>,
    /// Connections, by client and number, to servers that had no leader.
    pub readers: BTreeSet<(usize, u64)>,
}

/// What a client knows about its session.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Its client.
    pub client: usize,
    /// The client's connection with which it began.
    pub connection: u64,
    /// The times at which the client asked for the session and at which it got the answer.
    pub began: (u64, u64),
    /// The timeout agreed on.
    pub timeout_ms: i32,
    /// The time at which the client sent the last thing that a server has answered; the session lived then.
    pub heard: u64,
    /// The time at which its client was told that it has expired.
    pub expired: Option<u64>,
}

/// How long a request to take up a session may be on its way, with a server that stands still and a
/// question to a leader that waits.
const GREETING_LASTS: u64 = 60 * SECOND;

/// How long a server may take to notice that there is room again: it tries each second, its disk may
/// be slow, and it may stand still for ten seconds.
const ROOM_UNNOTICED: u64 = 20 * SECOND;

impl History {
    /// Whether a call went to a server that had no leader.
    pub fn is_readers(&self, call: &Call) -> bool {
        self.readers.contains(&(call.client, call.connection))
    }

    /// Whether something else than the connection of a call may have the call's session by now: a
    /// connection that the client gave up before a server had answered it.
    pub fn may_have_moved(&self, call: &Call) -> bool {
        self.greetings.iter().any(|greeting| {
            greeting.session == call.session
                && greeting.client == call.client
                && greeting.connection != call.connection
                && !greeting.is_answered
                && greeting.sent < call.invoked
                && greeting.sent + GREETING_LASTS > call.invoked
        })
    }

    /// Notes that a disk has no room from now on.
    pub fn disk_is_full(&mut self, server: usize, now: u64) {
        self.full.push((server, now, u64::MAX));
    }

    /// Notes that a disk has room again.
    pub fn disk_has_room(&mut self, server: usize, now: u64) {
        for (_, _, until) in self.full.iter_mut().filter(|(of, ..)| *of == server) {
            *until = now.min(*until);
        }
    }

    /// Whether the server of a client's connection may not have had room at some time from `since` to
    /// `until`.
    fn lacked_room(&self, call: (usize, u64), since: u64, until: u64) -> bool {
        let its = |greeting: &&Greeting| (greeting.client, greeting.connection) == call;
        let Some(asked) = self.greetings.iter().find(its) else { return false };
        self.full.iter().any(|(server, from, to)| {
            *server == asked.server && *from <= until && since <= to.saturating_add(ROOM_UNNOTICED)
        })
    }

    /// Whether some server may not have had room at that time; a write also fails because of the leader's disk.
    pub fn somebody_lacked_room(&self, since: u64, until: u64) -> bool {
        let mut full = self.full.iter();
        full.any(|(_, from, to)| *from <= until && since <= to.saturating_add(ROOM_UNNOTICED))
    }

    /// Whether a session may have begun without a transaction because its server, which was on its own,
    /// had no room for one.
    pub fn began_without_room(&self, id: SessionId) -> bool {
        self.leases.get(&id).is_some_and(|lease| {
            let (sent, answered) = lease.began;
            self.lacked_room((lease.client, lease.connection), sent, answered)
        })
    }

    /// Notes that a session was begun or taken up again, by a request sent at `sent`.
    pub fn session_is_alive(
        &mut self,
        id: SessionId,
        (client, connection): (usize, u64),
        timeout_ms: i32,
        (sent, now): (u64, u64),
    ) {
        let lease = self.leases.entry(id).or_insert(Lease {
            client,
            connection,
            began: (sent, now),
            timeout_ms,
            heard: sent,
            expired: None,
        });
        lease.heard = lease.heard.max(sent);
        lease.timeout_ms = timeout_ms;
    }

    /// Notes that a server answered something that was sent at `sent`.
    pub fn session_was_heard(&mut self, id: SessionId, sent: u64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.heard = lease.heard.max(sent);
        }
    }

    /// Notes that a client was told that its session has expired.
    pub fn told_expired(&mut self, id: SessionId, now: u64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.expired = Some(now);
        }
    }
}
