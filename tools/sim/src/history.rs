//! What clients asked for and what they were told: the material of the checkers.

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
    /// The version of a node is this.
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
        /// The node; for a sequential one, all but the number.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// It goes with the session.
        ephemeral: bool,
        /// Its name ends in a number of its own.
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
    /// Shows who it is.
    Auth {
        /// How.
        scheme: String,
        /// By what.
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
    /// All or nothing.
    Multi(Vec<Part>),
    /// Reads data and Stat.
    Get {
        /// The node.
        path: String,
        /// Leaves a watch.
        watch: bool,
    },
    /// Reads the Stat.
    Exists {
        /// The node.
        path: String,
        /// Leaves a watch.
        watch: bool,
    },
    /// Reads the names of the children, and the Stat.
    Children {
        /// The node.
        path: String,
        /// Leaves a watch.
        watch: bool,
    },
    /// Everything that was acknowledged before is seen by what follows.
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
    /// Leaves a watch that stays until it is taken away.
    AddWatch {
        /// The node, there or not.
        path: String,
        /// It is for everything below as well.
        recursive: bool,
    },
    /// Asks whether there are watches, or takes them away.
    Watches {
        /// The node.
        path: String,
        /// Which, as the request numbers them.
        kind: i32,
        /// They are taken away.
        remove: bool,
    },
    /// Changes the ensemble; the texts are those of the request.
    Reconfig {
        /// Members that come, or change.
        joining: Option<String>,
        /// Members that go.
        leaving: Option<String>,
        /// All members from now on.
        members: Option<String>,
        /// The version that is to be changed, -1 for any.
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
    /// Data of a node that was there.
    Data,
    /// A node that was not there.
    Missing,
    /// The children.
    Children,
    /// All of that, until it is taken away.
    Persistent,
    /// Data and existence of the node and of everything below, until it is taken away.
    Recursive,
}

/// What a reply says beside its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing more, or nothing that is looked at.
    Nothing,
    /// A path.
    Path(String),
    /// A path and the Stat of the new node.
    Created(String, Stat),
    /// Data and Stat.
    Data(Option<Vec<u8>>, Stat),
    /// A Stat.
    Stat(Stat),
    /// Of a multi: the error of the part that failed, 0 if none did.
    Multi(i32),
    /// Names in order, and the Stat.
    Children(Vec<String>, Stat),
    /// An ACL, and the Stat.
    Acl(List, Stat),
    /// The answers to the parts of a multiRead.
    Found(Vec<Found>),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not yet, or never: the connection was lost.
    Unknown,
    /// There was a reply.
    Replied {
        /// When.
        at: u64,
        /// The zxid in its header.
        zxid: Zxid,
        /// 0, or an error.
        err: i32,
        /// The rest.
        answer: Answer,
    },
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asked.
    pub client: usize,
    /// In which session.
    pub session: SessionId,
    /// Over which of the client's connections.
    pub connection: u64,
    /// Its number, unique on its connection.
    pub xid: i32,
    /// What for.
    pub request: Request,
    /// When.
    pub invoked: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// A frame as it arrived.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A session was begun or taken up again.
    Connected,
    /// The reply of a call, by its place.
    Reply(usize),
    /// The reply of a ping.
    Pong,
    /// A watch event.
    Event {
        /// What happened.
        event: EventType,
        /// To which node.
        path: String,
    },
}

/// A frame, and where it arrived.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Whose.
    pub client: usize,
    /// On which of the client's connections.
    pub connection: u64,
    /// In which session.
    pub session: SessionId,
    /// The zxid in its header.
    pub zxid: Zxid,
    /// What it was.
    pub seen: Seen,
}

/// A connection of a client, from its request to begin or to take up a session.
#[derive(Clone, Copy, Debug)]
pub struct Greeting {
    /// Whose.
    pub client: usize,
    /// Which of the client's connections.
    pub connection: u64,
    /// To which server.
    pub server: usize,
    /// The session that is to be taken up.
    pub session: SessionId,
    /// When it was sent.
    pub sent: u64,
    /// A server has answered.
    pub is_answered: bool,
}

/// Everything that all clients saw.
#[derive(Debug, Default)]
pub struct History {
    /// By invocation.
    pub calls: Vec<Call>,
    /// By arrival.
    pub frames: Vec<Frame>,
    /// By the time at which they were sent.
    pub greetings: Vec<Greeting>,
    /// Every session that a client ever had.
    pub leases: BTreeMap<SessionId, Lease>,
    /// Disks without room: whose, from when, until when.
    pub full: Vec<(usize, u64, u64)>,
    /// Connections, by client and number, to servers that had no leader.
    pub readers: BTreeSet<(usize, u64)>,
}

/// What is known about a session from its client.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Its client.
    pub client: usize,
    /// The client's connection with which it began.
    pub connection: u64,
    /// When that was asked for, and when it was answered.
    pub began: (u64, u64),
    /// The timeout agreed on.
    pub timeout_ms: i32,
    /// When the last thing was sent that a server has answered: it was alive then.
    pub heard: u64,
    /// When its client was told that it has expired.
    pub expired: Option<u64>,
}

/// How long a request to take up a session may be on its way, with a server that stands still and a
/// question to a leader that waits.
const GREETING_LASTS: u64 = 60 * SECOND;

/// How long a server may take to notice that there is room again: it tries each second, its disk may
/// be slow, and it may stand still for ten seconds.
const ROOM_UNNOTICED: u64 = 20 * SECOND;

impl History {
    /// Whether a call was asked of a server that had no leader.
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

    /// A disk has no room from now on.
    pub fn disk_is_full(&mut self, server: usize, now: u64) {
        self.full.push((server, now, u64::MAX));
    }

    /// A disk has room.
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

    /// Whether some server may not have had room then: a write fails for its leader's disk, too.
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

    /// A session was begun or taken up again, by something sent at `sent`.
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

    /// Something that was sent at `sent` was answered.
    pub fn session_was_heard(&mut self, id: SessionId, sent: u64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.heard = lease.heard.max(sent);
        }
    }

    /// A client was told that its session has expired.
    pub fn told_expired(&mut self, id: SessionId, now: u64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.expired = Some(now);
        }
    }
}
