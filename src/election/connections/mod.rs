//! One connection to each other server, and the newest vote on it (`QuorumCnxManager`).
//!
//! Of two servers, the one with the larger id opens the connection that stays. A server with the smaller id that
//! wants to talk connects, sends its id and address, and closes that connection; the other server connects back.
//!
//! ```text
//! smaller                      larger
//!    ──connect, handshake, close──▶     closes the old connection, if there is one
//!    ◀──connect, handshake─────────
//!    ◀──votes──────────────────────▶
//! ```
//! A server only ever sends its present vote, so nothing queues: a server is *owed* the vote or it is not. ZooKeeper
//! has a queue of one message, and repeats the last message on a new connection.
//!
//! This module finds messages in the stream of bytes; it does not read a vote. `incoming` handles connections until
//! their sender is known, `outgoing` decides when to connect, and `established` moves the messages.

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
    ELECTION_STRANGERS_MAX, ELECTION_UNSENT_BYTES_MAX, UNREACHABLE_REASON_CHARS_MAX,
};
use crate::link::{Endpoint, LinkEvent, LinkId, LinkIds, LinkOp, Port, forgery, is_forged};
use crate::quorum::Config;
use crate::time::MonoUs;
use crate::zab::kept_out::{self, Reason};

/// The shortest and the longest time between two attempts to reach a server, in ms. The first is the least time that
/// a restart takes. The last keeps the load small while a server is away for long, and still lets it return quickly.
const RETRY_MS: (u64, u64) = (50, 1000);
/// The same after a server with a larger id was asked to connect back. It needs two round trips, and another request
/// would break the connection that it has just made.
const CALL_BACK_MS: (u64, u64) = (500, 4000);
/// How long the first attempt may take, in ms, and how long each later one, both up to `cnxTimeout`. The kernel
/// repeats a lost packet after 1, 3 and 7 s, so a new attempt is faster if the other machine, or the network, has
/// come back meanwhile.
const CONNECT_MS: (u64, u64) = (1000, 2000);
/// The age of an attempt, in ms, from which a new one replaces it when its server asks for a connection.
const ATTEMPT_STALE_MS: u64 = 200;
/// A connection younger than this, in ms, to a server with a smaller id stays when that server asks for one: its
/// request and the connection have crossed.
const CROSSING_MS: u64 = 100;
/// A server that sent a message within this time, in ms, is alive: no other connection that claims its id replaces
/// its connection.
const ALIVE_MS: u64 = 1000;
/// How many times, within [`DISPLACED_MS`], a connection over which a server was heard must be replaced until a line
/// is logged. An operator who restarts a server twice in a minute does not get the line.
const DISPLACED_SAID_FROM: u32 = 3;
/// The time within which replacements are counted together, in ms.
const DISPLACED_MS: u64 = 60_000;
/// A connection that closes earlier than this, in ms, delays the next attempt; if nothing was received on it, it
/// counts as a failed attempt.
const SHORT_LIVED_MS: u64 = 1000;
/// How many attempts a server makes outside an election to send its vote to another one. If the other one wants an
/// answer, it asks again.
const SETTLED_ATTEMPTS_MAX: u32 = 3;

/// What came from another server in one event, for the election.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A connection to this server was established. It has not got the vote yet.
    Up(ServerId),
    /// An attempt to reach a server has failed, or a connection broke at once: an election may be over, because no
    /// better vote can come.
    Failed,
    /// A message of this server, without its length.
    ///
    /// Invariant: at least [`notification::BYTES_MIN`] bytes, at most [`ELECTION_MESSAGE_BYTES_MAX`].
    Message(ServerId, Vec<u8>),
}

/// An established connection.
#[derive(Debug)]
struct Open {
    /// The link that carries it. Invariant: its use in `Connections::links` is [`LinkUse::Open`].
    link: LinkId,
    /// The address of the other side.
    remote: SocketAddr,
    /// The time at which it was established.
    since: MonoUs,
    /// The bytes of a message that has not come completely, with its length.
    buffer: Vec<u8>,
    /// How many bytes were given to the network that it has not sent yet.
    unsent: u64,
    /// The time of the last whole message; `None`: there was none.
    heard_at: Option<MonoUs>,
}

/// A connection that is being opened.
#[derive(Debug)]
struct Attempt {
    /// The link. Invariant: its use in `Connections::links` is [`LinkUse::Attempt`].
    link: LinkId,
    /// The time at which the attempt began.
    since: MonoUs,
}

/// What is known about one other server. Default: nothing.
///
/// Invariant: `open` and `attempt` are never both set.
#[derive(Debug, Default)]
struct Channel {
    /// The connection, if there is one.
    open: Option<Open>,
    /// The attempt that is under way, if there is one.
    attempt: Option<Attempt>,
    /// The addresses from its last handshake that this server may call; tried before those of the configuration.
    said: Vec<Endpoint>,
    /// Whether it is to get the present vote, and has not got it.
    is_owed: bool,
    /// Whether it has asked this server to connect, and this server has not done so yet.
    is_called: bool,
    /// Whether an attempt has failed since the last connection or request of this server, or since the election
    /// began.
    is_unreachable: bool,
    /// Why the last attempt failed, cut off; empty: none has.
    failure: String,
    /// The number of attempts that failed in a row. It decides when the next one begins, and at which address.
    failures: u32,
    /// How many times in a row it was asked to connect back without doing so.
    asked: u32,
    /// The time before which no attempt begins.
    not_before: MonoUs,
    /// Since when, and how often since then, another connection has replaced one over which this server was heard.
    displaced: (MonoUs, u32),
}

/// What a link of the election port is for.
#[derive(Clone, Copy, Debug)]
enum LinkUse {
    /// It was accepted, and the other side has not sent its id.
    Unknown,
    /// It is being opened to this server.
    Attempt(ServerId),
    /// It is the established connection of this server.
    Open(ServerId),
}

/// An accepted connection whose server is not known yet.
#[derive(Debug)]
struct Unknown {
    /// The bytes received so far. Invariant: not yet a whole handshake.
    buffer: Vec<u8>,
    /// The time at which it is closed unless the handshake has come.
    until: MonoUs,
    /// The address of the other side.
    remote: SocketAddr,
    /// The members that have this address, empty for a stranger's; `None`: addresses are not checked.
    may_be: Option<Vec<ServerId>>,
}

impl Unknown {
    /// Whether no member has this address.
    fn is_stranger(&self) -> bool {
        self.may_be.as_ref().is_some_and(Vec::is_empty)
    }
}

/// The connections of the election port.
///
/// Invariant: each key of `unknown`, and the link of each `open` and each `attempt`, is a key of `links`, which says
/// so.
#[derive(Debug)]
pub(super) struct Connections {
    /// This server.
    me: ServerId,
    /// The longest time that an attempt may take, in ms (`cnxTimeout`).
    connect_ms: u64,
    /// How long an accepted connection may take to send its handshake, in ms (`quorumCnxnTimeoutMs`).
    handshake_ms: u64,
    /// Whether the handshake carries all addresses of this server (`multiAddress.enabled`).
    multi_address: bool,
    /// Names the links that this server opens.
    ids: LinkIds,
    /// The election addresses of each member, this server included: of the active configuration, then those that only
    /// the next one has.
    members: BTreeMap<ServerId, Vec<Endpoint>>,
    /// The servers to which this server stays connected during an election; empty outside one.
    ///
    /// Invariant: this server is not among them.
    wanted: Vec<ServerId>,
    /// What is known about each other server, members and strangers. Observers without an id have negative ids.
    ///
    /// Invariant: this server is no key.
    channels: BTreeMap<ServerId, Channel>,
    /// What each open link is for. An event of any other link comes too late and is ignored.
    links: BTreeMap<LinkId, LinkUse>,
    /// The accepted connections whose server is not known yet.
    ///
    /// Invariant: at most [`ELECTION_HANDSHAKES_MAX`].
    unknown: BTreeMap<LinkId, Unknown>,
    /// What this server sends first on each connection that it opens.
    handshake: Bytes,
    /// The present vote, with its length; empty until [`Connections::set_message`].
    message: Bytes,
    /// Whether the network checks the addresses of connections. Set when it first says whose address a connection
    /// has.
    sees_addresses: bool,
    /// The id for the next observer without one. It falls by one each time, from -1.
    next_observer: i64,
    /// What was logged about each server whose attempts repeat, and when.
    said: kept_out::Said,
    /// The operations for the network that were not taken yet, in order.
    ops: Vec<LinkOp>,
}

impl Connections {
    /// No connections. The vote must be set before one is established.
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

    /// Sets the members and their addresses, from the active configuration and the next one. Connections of servers
    /// that are no members any more stay.
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

    /// Sets the vote that this server sends from now on. It sends nothing yet.
    pub(super) fn set_message(&mut self, message: Bytes) {
        assert!(!message.is_empty(), "a vote is a message");
        self.message = message;
    }

    /// Begins an election: connects to the `wanted` servers, and forgets earlier failures to do so.
    pub(super) fn look(&mut self, now: MonoUs, wanted: impl Iterator<Item = ServerId>) {
        self.wanted = wanted.filter(|id| *id != self.me).collect();
        assert!(!self.channels.contains_key(&self.me), "a server has no connection to itself");
        for id in self.wanted.clone() {
            let channel = self.channels.entry(id).or_default();
            channel.is_unreachable = false;
            // A server that was asked to connect back still gets the time for that.
            let wait = if channel.asked == 0 { RETRY_MS.0 } else { CALL_BACK_MS.0 };
            channel.not_before = channel.not_before.min(now.plus_ms(wait));
            (channel.failures, channel.asked) = (0, 0);
        }
        self.maintain(now);
    }

    /// Ends an election: gives up the attempts to reach servers that are neither owed the vote nor wait for a
    /// connection. Established connections stay.
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

    /// Sends the present vote to a server, as soon as it is connected and has room.
    pub(super) fn tell(&mut self, now: MonoUs, id: ServerId) {
        assert!(id != self.me, "a server needs no connection to know its own vote");
        self.channels.entry(id).or_default().is_owed = true;
        self.flush(id);
        self.maintain(now);
    }

    /// Whether the link is one of this port's, and open.
    #[cfg(test)]
    pub(super) fn owns(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    /// Whether a configuration from this server counts: if addresses are checked, only one from a member.
    pub(super) fn may_name_members(&self, id: ServerId) -> bool {
        !self.sees_addresses || self.members.contains_key(&id)
    }

    /// Whether the server is not connected, and an attempt to reach it has failed since the election began and since it
    /// last connected.
    pub(super) fn is_unreachable(&self, id: ServerId) -> bool {
        self.channels.get(&id).is_some_and(|c| c.is_unreachable && c.open.is_none())
    }

    /// Why the last attempt to reach the server failed, for the log.
    pub(super) fn failure(&self, id: ServerId) -> &str {
        self.channels.get(&id).map_or("", |channel| &channel.failure)
    }

    /// Replaces the connection of a server if nothing was received on it for `silence_ms`: it may be dead although no
    /// error says so.
    pub(super) fn renew_if_silent(&mut self, now: MonoUs, id: ServerId, silence_ms: u64) {
        // Neither side has ever called the other.
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

    /// Handles an event of the network. Adds to `arrivals` what it means for the election.
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

    /// Closes accepted connections whose handshake is late, and begins the attempts that are due.
    pub(super) fn handle_timeout(&mut self, now: MonoUs) {
        let late: Vec<LinkId> =
            self.unknown.iter().filter(|(_, u)| u.until <= now).map(|(link, _)| *link).collect();
        for link in late {
            self.refuse(link, "it did not send its id");
        }
        self.maintain(now);
    }

    /// The next time at which [`Connections::handle_timeout`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<MonoUs> {
        let handshakes = self.unknown.values().map(|unknown| unknown.until);
        let attempts = self
            .channels
            .iter()
            .filter(|(id, channel)| self.is_to_be_called(**id, channel))
            .map(|(_, channel)| channel.not_before);
        handshakes.chain(attempts).min()
    }

    /// Moves the operations for the network to the end of `ops`.
    pub(super) fn take(&mut self, ops: &mut Vec<LinkOp>) {
        ops.append(&mut self.ops);
    }
}
