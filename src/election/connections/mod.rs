//! One connection to each other server, and the newest vote on it (`QuorumCnxManager`).
//!
//! Between two servers, the connection that stays is the one opened by the server with the larger id. A
//! server with the smaller id that wants to talk connects, sends its id and address, and closes the
//! connection; the other server connects back.
//!
//! ```text
//! smaller                      larger
//!    ──connect, handshake, close──▶     closes the old connection, if there is one
//!    ◀──connect, handshake─────────
//!    ◀──votes──────────────────────▶
//! ```
//! A server only ever sends its present vote, so nothing queues: a server is *owed* the vote or it is not.
//! ZooKeeper has a queue of one message, and repeats the last message on a new connection.

mod established;
mod incoming;
mod outgoing;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

use super::ElectionOptions;
use super::handshake::{self, Caller, Reading};
use super::notification;
use crate::id::ServerId;
use crate::limits::{
    ELECTION_HANDSHAKES_MAX, ELECTION_MESSAGE_BYTES_MAX, ELECTION_STRANGER_CALLS_MAX,
    ELECTION_STRANGERS_MAX, ELECTION_UNSENT_BYTES_MAX,
};
use crate::link::{Endpoint, LinkEvent, LinkId, LinkIds, LinkOp, Port, forgery, is_forged};
use crate::quorum::Config;
use crate::time::MonoUs;
use crate::zab::kept_out::{self, Reason};

/// Shortest and longest time between two attempts to reach a server, in ms. The first is the least time that
/// a restart takes; the last keeps the load small while a server is away for long, and its return quick.
const RETRY_MS: (u64, u64) = (50, 1000);
/// The same after a server with a larger id was asked to connect back: it needs two round trips, and another
/// request breaks the connection that it has just made.
const CALL_BACK_MS: (u64, u64) = (500, 4000);
/// How long the first attempt may take, in ms, and how long the next ones, both up to `cnxTimeout`.
/// The kernel repeats a lost packet after 1, 3 and 7 s: a new attempt is faster when the other machine, or
/// the network, has come back meanwhile.
const CONNECT_MS: (u64, u64) = (1000, 2000);
/// An attempt older than this, in ms, is replaced by a new one when its server shows up.
const ATTEMPT_STALE_MS: u64 = 200;
/// A connection younger than this, in ms, to a server with a smaller id stays when that server asks for one:
/// its request and the connection have crossed.
const CROSSING_MS: u64 = 100;
/// A server that sent something within this time, in ms, is alive: no other connection replaces its
/// connection.
const ALIVE_MS: u64 = 1000;
/// After this many replacements, within the next constant, of connections over which a server was heard, a
/// line is logged: an operator who restarts a server twice in a minute does not get it.
const DISPLACED_SAID_FROM: u32 = 3;
const DISPLACED_MS: u64 = 60_000;
/// After a connection that breaks earlier than this, in ms, the server does not connect again at once; if
/// nothing was received on it, it counts as a failed attempt.
const SHORT_LIVED_MS: u64 = 1000;
/// Attempts to send the vote to a server outside an election. If that server wants an answer, it asks again.
const SETTLED_ATTEMPTS_MAX: u32 = 3;

/// An arrival from another server.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A connection was established.
    Up(ServerId),
    /// No connection could be made.
    Failed,
    /// A message.
    Message(ServerId, Vec<u8>),
}

#[derive(Debug)]
struct Open {
    link: LinkId,
    /// The address of the other side.
    remote: SocketAddr,
    since: MonoUs,
    /// Received bytes of an incomplete message.
    buffer: Vec<u8>,
    /// Bytes given to the network that it has not sent yet.
    unsent: u64,
    /// When something was last received.
    heard_at: Option<MonoUs>,
}

#[derive(Debug)]
struct Attempt {
    link: LinkId,
    since: MonoUs,
}

/// The state about one other server. Default: nothing is known.
#[derive(Debug, Default)]
struct Channel {
    open: Option<Open>,
    attempt: Option<Attempt>,
    /// The addresses that it sent.
    said: Vec<Endpoint>,
    /// It has not got the present vote.
    is_owed: bool,
    /// It has asked this server to connect.
    is_called: bool,
    /// An attempt has failed since its last message, or since the election began.
    is_unreachable: bool,
    failures: u32,
    /// How often it was asked to connect back without doing so.
    asked: u32,
    /// No attempt before this time.
    not_before: MonoUs,
    /// How often, and since when, a connection over which it was heard was replaced by another one.
    displaced: (MonoUs, u32),
}

#[derive(Clone, Copy, Debug)]
enum LinkUse {
    /// A connection whose other side has not sent its id.
    Unknown,
    Attempt(ServerId),
    Open(ServerId),
}

#[derive(Debug)]
struct Unknown {
    buffer: Vec<u8>,
    until: MonoUs,
    remote: SocketAddr,
    /// The members that have this address; `None`: addresses are not checked.
    may_be: Option<Vec<ServerId>>,
}

impl Unknown {
    fn is_stranger(&self) -> bool {
        self.may_be.as_ref().is_some_and(Vec::is_empty)
    }
}

/// The connections of the election port. See the module.
#[derive(Debug)]
pub(super) struct Connections {
    me: ServerId,
    connect_ms: u64,
    handshake_ms: u64,
    multi_address: bool,
    ids: LinkIds,
    /// The members and their addresses: of both configurations, where they differ.
    members: BTreeMap<ServerId, Vec<Endpoint>>,
    /// The servers to connect to during an election.
    wanted: Vec<ServerId>,
    channels: BTreeMap<ServerId, Channel>,
    links: BTreeMap<LinkId, LinkUse>,
    unknown: BTreeMap<LinkId, Unknown>,
    handshake: Bytes,
    message: Bytes,
    /// Whether the addresses of connections are checked.
    sees_addresses: bool,
    /// The next id for an observer without one.
    next_observer: i64,
    /// What was logged about each server whose attempts repeat.
    said: kept_out::Said,
    ops: Vec<LinkOp>,
}

impl Connections {
    pub(super) fn new(options: &ElectionOptions, ids: LinkIds) -> Connections {
        Connections {
            me: options.me,
            connect_ms: options.connect_ms,
            handshake_ms: options.handshake_ms,
            multi_address: options.multi_address,
            ids,
            members: BTreeMap::new(),
            wanted: Vec::new(),
            channels: BTreeMap::new(),
            links: BTreeMap::new(),
            unknown: BTreeMap::new(),
            handshake: handshake::write(options.me, &[], false),
            message: Bytes::new(),
            sees_addresses: false,
            next_observer: -1,
            said: kept_out::Said::default(),
            ops: Vec::new(),
        }
    }

    /// Sets the members and their addresses, from the active configuration and the next one.
    pub(super) fn set_members(&mut self, active: &Config, next: &Config) {
        self.members.clear();
        for (id, member) in active.members.iter().chain(&next.members) {
            let known = self.members.entry(*id).or_default();
            for endpoint in member.election_endpoints() {
                if !known.contains(&endpoint) {
                    known.push(endpoint);
                }
            }
        }
        let mine = self.members.get(&self.me).map_or(&[][..], Vec::as_slice);
        self.handshake = handshake::write(self.me, mine, self.multi_address);
        assert!(!self.handshake.is_empty(), "a server says who it is");
    }

    /// Sets the vote that this server sends from now on.
    pub(super) fn set_message(&mut self, message: Bytes) {
        assert!(!message.is_empty(), "a vote is a message");
        self.message = message;
    }

    /// An election begins: connects to these servers, and forgets earlier failures.
    pub(super) fn look(&mut self, now: MonoUs, wanted: impl Iterator<Item = ServerId>) {
        self.wanted = wanted.filter(|id| *id != self.me).collect();
        assert!(!self.channels.contains_key(&self.me), "a server has no connection to itself");
        for id in self.wanted.clone() {
            let channel = self.channels.entry(id).or_default();
            channel.is_unreachable = false;
            let wait = if channel.asked == 0 { RETRY_MS.0 } else { CALL_BACK_MS.0 };
            channel.not_before = channel.not_before.min(now.plus_ms(wait));
            (channel.failures, channel.asked) = (0, 0);
        }
        self.maintain(now);
    }

    /// The election is over: connects no more to servers that are not owed the vote.
    pub(super) fn settle(&mut self) {
        self.wanted.clear();
        for channel in self.channels.values_mut() {
            channel.failures = 0;
            if !channel.is_owed
                && !channel.is_called
                && let Some(attempt) = channel.attempt.take()
            {
                let used = self.links.remove(&attempt.link);
                assert!(matches!(used, Some(LinkUse::Attempt(_))), "it was an attempt: {used:?}");
                self.ops.push(LinkOp::Close { link: attempt.link });
            }
        }
    }

    /// Sends the present vote to a server as soon as it can be reached.
    pub(super) fn tell(&mut self, now: MonoUs, id: ServerId) {
        assert!(id != self.me, "a server needs no connection to know its own vote");
        self.channels.entry(id).or_default().is_owed = true;
        self.flush(id);
        self.maintain(now);
    }

    #[cfg(test)]
    pub(super) fn owns(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    /// Whether a configuration from this server counts: if addresses are checked, only one from a member.
    pub(super) fn may_name_members(&self, id: ServerId) -> bool {
        !self.sees_addresses || self.members.contains_key(&id)
    }

    /// Whether an attempt to reach the server has failed since the election began.
    pub(super) fn is_unreachable(&self, id: ServerId) -> bool {
        self.channels.get(&id).is_some_and(|c| c.is_unreachable && c.open.is_none())
    }

    /// Replaces the connection if nothing was received on it for this time: it may be dead without any
    /// error.
    pub(super) fn renew_if_silent(&mut self, now: MonoUs, id: ServerId, silence_ms: u64) {
        // It was never called, and has not called.
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let is_silent = channel
            .open
            .as_ref()
            .is_some_and(|open| open.heard_at.unwrap_or(open.since).plus_ms(silence_ms) <= now);
        if is_silent {
            tracing::info!(
                server = id.0,
                "nothing was received on the election connection: replacing it"
            );
            self.close_open(id);
            self.maintain(now);
        }
    }

    pub(super) fn handle_link(
        &mut self,
        now: MonoUs,
        event: LinkEvent<'_>,
        arrivals: &mut Vec<Arrival>,
    ) {
        if let LinkEvent::Accepted { link, remote, may_be, .. } = event {
            tracing::debug!(%remote, "connection on the election port");
            self.on_accepted(now, link, remote, may_be);
            self.maintain(now);
            return;
        }
        // This server has closed the link, and the network did not know that yet.
        let Some(used) = self.links.get(&event.link()).copied() else { return };
        match event {
            LinkEvent::Accepted { .. } => unreachable!("it has no use before"),
            LinkEvent::Identified { link, may_be } => self.on_identified(link, used, may_be),
            LinkEvent::Connected { link, remote } => {
                self.on_connected(now, (link, remote), used, arrivals);
            }
            LinkEvent::Received { link, bytes } => {
                self.on_received(now, link, used, bytes, arrivals);
            }
            LinkEvent::Sent { bytes, .. } => self.on_sent(used, bytes),
            LinkEvent::Closed { link, reason } => self.on_closed(now, link, reason, arrivals),
        }
        self.maintain(now);
    }

    pub(super) fn handle_timeout(&mut self, now: MonoUs) {
        let late: Vec<LinkId> =
            self.unknown.iter().filter(|(_, u)| u.until <= now).map(|(link, _)| *link).collect();
        for link in late {
            self.refuse(link, "it did not send its id");
        }
        self.maintain(now);
    }

    pub(super) fn next_timeout(&self) -> Option<MonoUs> {
        let handshakes = self.unknown.values().map(|unknown| unknown.until);
        let attempts = self
            .channels
            .iter()
            .filter(|(id, channel)| self.is_to_be_called(**id, channel))
            .map(|(_, channel)| channel.not_before);
        handshakes.chain(attempts).min()
    }

    pub(super) fn take(&mut self, ops: &mut Vec<LinkOp>) {
        ops.append(&mut self.ops);
    }
}
