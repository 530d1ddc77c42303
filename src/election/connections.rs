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

#[derive(Debug)]
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
    }

    /// Sets the vote that this server sends from now on.
    pub(super) fn set_message(&mut self, message: Bytes) {
        self.message = message;
    }

    /// An election begins: connects to these servers, and forgets earlier failures.
    pub(super) fn look(&mut self, now: MonoUs, wanted: impl Iterator<Item = ServerId>) {
        self.wanted = wanted.filter(|id| *id != self.me).collect();
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
                self.links.remove(&attempt.link);
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
        match event {
            LinkEvent::Accepted { link, remote, may_be, .. } => {
                tracing::debug!(%remote, "connection on the election port");
                self.on_accepted(now, link, remote, may_be);
            }
            LinkEvent::Identified { link, may_be } => self.on_identified(link, may_be),
            LinkEvent::Connected { link, remote } => {
                self.on_connected(now, (link, remote), arrivals);
            }
            LinkEvent::Received { link, bytes } => self.on_received(now, link, bytes, arrivals),
            LinkEvent::Sent { link, bytes } => {
                if let Some(LinkUse::Open(id)) = self.links.get(&link) {
                    let id = *id;
                    if let Some(open) = self.channels.get_mut(&id).and_then(|c| c.open.as_mut()) {
                        open.unsent = open.unsent.saturating_sub(bytes);
                    }
                    self.flush(id);
                }
            }
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

    // ---- incoming connections

    fn on_accepted(
        &mut self,
        now: MonoUs,
        link: LinkId,
        remote: SocketAddr,
        may_be: Option<&[ServerId]>,
    ) {
        if self.unknown.len() >= ELECTION_HANDSHAKES_MAX {
            // A server of the ensemble sends its id at once, so the connection that waits longest is closed.
            // Those of strangers are closed before those of members.
            let oldest = self.unknown.iter().min_by_key(|(_, it)| (!it.is_stranger(), it.until));
            let oldest = *oldest.expect("there are some").0;
            self.refuse(oldest, "too many connections have not sent their id");
        }
        self.links.insert(link, LinkUse::Unknown);
        let until = now.plus_ms(self.handshake_ms.max(1));
        self.sees_addresses |= may_be.is_some();
        let may_be = may_be.map(<[ServerId]>::to_vec);
        self.unknown.insert(link, Unknown { buffer: Vec::new(), until, remote, may_be });
    }

    /// The members have changed: a connection may name the id of a member from another address.
    fn on_identified(&mut self, link: LinkId, may_be: &[ServerId]) {
        match self.links.get(&link) {
            Some(LinkUse::Unknown) => {
                let unknown = self.unknown.get_mut(&link).expect("its use says so");
                unknown.may_be = Some(may_be.to_vec());
            }
            Some(LinkUse::Open(id))
                if self.members.contains_key(id) && is_forged(Some(may_be), *id) =>
            {
                let id = *id;
                tracing::warn!(
                    server = id.0,
                    "closing an election connection: this server is a member now, and has other addresses"
                );
                self.close_open(id);
            }
            Some(LinkUse::Open(_) | LinkUse::Attempt(_)) | None => {}
        }
    }

    /// Refuses a connection that is tried again and again, and logs it from time to time.
    fn refuse_once(
        &mut self,
        now: MonoUs,
        link: LinkId,
        (said, reason): (ServerId, Reason),
        text: &str,
    ) {
        if self.said.is_due(now, said, reason) {
            self.refuse(link, text);
        } else {
            self.close_unknown(link);
        }
    }

    fn refuse(&mut self, link: LinkId, reason: &str) {
        let remote = self.unknown.get(&link).map(|unknown| tracing::field::display(unknown.remote));
        tracing::warn!(remote, reason, "closing a connection on the election port");
        self.close_unknown(link);
    }

    fn close_unknown(&mut self, link: LinkId) {
        self.unknown.remove(&link);
        self.links.remove(&link);
        self.ops.push(LinkOp::Close { link });
    }

    /// The beginning of an accepted connection.
    fn on_beginning(
        &mut self,
        now: MonoUs,
        link: LinkId,
        bytes: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        let unknown = self.unknown.get_mut(&link).expect("its use says so");
        unknown.buffer.extend_from_slice(bytes);
        match handshake::read(&unknown.buffer) {
            Reading::Partial => {}
            Reading::Refused(reason) => self.refuse(link, &reason),
            Reading::Learner(said) => {
                let text = kept_out::ports_exchanged(self.me, said, unknown.remote, Port::Election);
                self.refuse_once(now, link, (said, Reason::PortsExchanged), &text);
            }
            Reading::Whole(caller, length) => {
                let mut unknown = self.unknown.remove(&link).expect("its use says so");
                let rest = unknown.buffer.split_off(length);
                self.on_caller(now, link, caller, &unknown, &rest, arrivals);
            }
        }
    }

    fn on_caller(
        &mut self,
        now: MonoUs,
        link: LinkId,
        caller: Caller,
        from: &Unknown,
        rest: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        let Caller { mut id, addresses } = caller;
        if id == ServerId(i64::MAX) {
            id = ServerId(self.next_observer);
            self.next_observer -= 1;
        }
        if id == self.me {
            let text = format!(
                "another server has connected from {} and says that it is server {id}, which this one is: two \
                 servers have the same myid, look at the file myid in the dataDir of both",
                from.remote
            );
            self.refuse_once(now, link, (id, Reason::NameTaken), &text);
            return;
        }
        let is_member = self.members.contains_key(&id);
        if is_member && is_forged(from.may_be.as_deref(), id) {
            self.refuse(link, &forgery(from.remote, id));
            return;
        }
        if let Some(living) = self.living(now, id) {
            let text = kept_out::name_taken(id, living, from.remote);
            self.refuse_once(now, link, (id, Reason::NameTaken), &text);
            return;
        }
        if !self.has_room_for(id) {
            self.refuse(link, "too many servers that are not in the configuration");
            return;
        }
        let is_ours_to_open = ServerId(0) <= id && id < self.me;
        let channel = self.channels.entry(id).or_default();
        channel.is_unreachable = false;
        channel.said = match from.may_be {
            // ZooKeeper: QuorumCnxManager connects wherever the handshake says.
            None => addresses,
            // The configuration has its address.
            Some(_) if is_member => Vec::new(),
            // It can be called only at the host from which it connected.
            Some(_) => {
                let port = addresses.first().map(|said| said.port);
                let host = from.remote.ip().to_string();
                port.map(|port| Endpoint { host, port }).into_iter().collect()
            }
        };
        if is_ours_to_open {
            self.links.remove(&link);
            self.ops.push(LinkOp::Close { link });
            self.on_called(now, id, from.remote);
        } else {
            self.open(now, id, (link, from.remote), arrivals);
            self.on_message_bytes(now, id, rest, arrivals);
        }
    }

    /// A server with a smaller id wants to talk: connects back to it, using the address that it sent last.
    fn on_called(&mut self, now: MonoUs, id: ServerId, remote: SocketAddr) {
        let channel = self.channels.get_mut(&id).expect("it has called");
        let is_young = |since: MonoUs, ms: u64| now < since.plus_ms(ms);
        if channel.open.as_ref().is_some_and(|open| is_young(open.since, CROSSING_MS)) {
            return;
        }
        if let Some(attempt) = &channel.attempt {
            if is_young(attempt.since, ATTEMPT_STALE_MS) {
                return;
            }
            self.drop_attempt(id);
        }
        self.note_displaced(now, id, remote);
        self.close_open(id);
        let channel = self.channels.get_mut(&id).expect("it has called");
        channel.is_called = true;
        channel.failures = 0;
        channel.not_before = channel.not_before.min(now.plus_ms(RETRY_MS.0));
    }

    /// The address from which the server was heard a moment ago: a connection that claims its id meanwhile
    /// is another server's, or will be repeated. Servers that have a leader are silent on this port, so a
    /// quiet connection proves nothing.
    fn living(&self, now: MonoUs, id: ServerId) -> Option<SocketAddr> {
        let open = self.channels.get(&id)?.open.as_ref()?;
        open.heard_at.is_some_and(|at| now < at.plus_ms(ALIVE_MS)).then_some(open.remote)
    }

    /// A connection from `remote` is about to replace one over which the server was heard. This happens when
    /// a server restarts, and seldom again soon.
    fn note_displaced(&mut self, now: MonoUs, id: ServerId, remote: SocketAddr) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let Some(open) = channel.open.as_ref().filter(|open| open.heard_at.is_some()) else {
            return;
        };
        let living = open.remote;
        let (since, count) = channel.displaced;
        let is_again = count > 0 && now < since.plus_ms(DISPLACED_MS);
        channel.displaced = if is_again { (since, count + 1) } else { (now, 1) };
        if channel.displaced.1 >= DISPLACED_SAID_FROM
            && self.said.is_due(now, id, Reason::NameTaken)
        {
            let reason = kept_out::name_taken(id, living, remote);
            tracing::warn!(
                reason,
                "an election connection is replaced by another one again and again"
            );
        }
    }

    /// The number of strangers is bounded; one that is not connected makes room.
    fn has_room_for(&mut self, id: ServerId) -> bool {
        if self.members.contains_key(&id) || self.channels.contains_key(&id) {
            return true;
        }
        let is_stranger = |id: &ServerId| !self.members.contains_key(id);
        let strangers = self.channels.keys().filter(|id| is_stranger(id)).count();
        if strangers < ELECTION_STRANGERS_MAX {
            return true;
        }
        let idle = self
            .channels
            .iter()
            .find(|(id, c)| is_stranger(id) && c.open.is_none() && c.attempt.is_none());
        let Some(idle) = idle.map(|(id, _)| *id) else { return false };
        self.channels.remove(&idle);
        true
    }

    // ---- outgoing connections

    fn is_to_be_called(&self, id: ServerId, channel: &Channel) -> bool {
        channel.open.is_none()
            && channel.attempt.is_none()
            && (channel.is_owed || channel.is_called || self.wanted.contains(&id))
            && id >= ServerId(0)
    }

    /// Begins the attempts that are due.
    fn maintain(&mut self, now: MonoUs) {
        let due: Vec<ServerId> = self
            .channels
            .iter()
            .filter(|(id, channel)| {
                self.is_to_be_called(**id, channel) && channel.not_before <= now
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.attempt(now, id);
        }
    }

    fn attempt(&mut self, now: MonoUs, id: ServerId) {
        let channel = self.channels.get_mut(&id).expect("it is to be called");
        let mut to = channel.said.clone();
        for endpoint in self.members.get(&id).into_iter().flatten() {
            if !to.contains(endpoint) {
                to.push(endpoint.clone());
            }
        }
        if to.is_empty() {
            // It can only call itself.
            (channel.is_owed, channel.is_called) = (false, false);
            channel.not_before = now.plus_ms(RETRY_MS.1);
            return;
        }
        if !self.members.contains_key(&id) && self.strangers_called() >= ELECTION_STRANGER_CALLS_MAX
        {
            let channel = self.channels.get_mut(&id).expect("it is to be called");
            channel.not_before = now.plus_ms(RETRY_MS.1);
            return;
        }
        let channel = self.channels.get_mut(&id).expect("it is to be called");
        // An address at which attempts time out must not keep the other addresses from being tried.
        if channel.failures % 2 == 1 {
            to.reverse();
        }
        let link = self.ids.next();
        channel.attempt = Some(Attempt { link, since: now });
        channel.not_before = now.plus_ms(RETRY_MS.0);
        let patience = if channel.failures == 0 { CONNECT_MS.0 } else { CONNECT_MS.1 };
        let timeout_ms = patience.min(self.connect_ms).max(1);
        self.links.insert(link, LinkUse::Attempt(id));
        self.ops.push(LinkOp::Connect { link, port: Port::Election, server: id, to, timeout_ms });
    }

    /// How many servers that are no members are being called.
    fn strangers_called(&self) -> usize {
        let called = self.channels.iter().filter(|(_, channel)| channel.attempt.is_some());
        called.filter(|(id, _)| !self.members.contains_key(id)).count()
    }

    fn on_connected(
        &mut self,
        now: MonoUs,
        (link, remote): (LinkId, SocketAddr),
        arrivals: &mut Vec<Arrival>,
    ) {
        let Some(LinkUse::Attempt(id)) = self.links.get(&link) else {
            self.close_stray(link);
            return;
        };
        let id = *id;
        self.ops.push(LinkOp::Send { link, bytes: self.handshake.clone() });
        let channel = self.channels.get_mut(&id).expect("its link says so");
        channel.attempt = None;
        channel.is_called = false;
        if id > self.me {
            // It has the larger id, and connects back.
            self.links.remove(&link);
            self.ops.push(LinkOp::Close { link });
            let wait = (CALL_BACK_MS.0 << channel.asked.min(10)).min(CALL_BACK_MS.1);
            channel.asked += 1;
            channel.not_before = now.plus_ms(wait);
            self.give_up_if_settled(id);
        } else {
            self.open(now, id, (link, remote), arrivals);
        }
    }

    fn on_failed(&mut self, now: MonoUs, id: ServerId, arrivals: &mut Vec<Arrival>) {
        let channel = self.channels.get_mut(&id).expect("its link says so");
        channel.is_unreachable = true;
        let wait = (RETRY_MS.0 << channel.failures.min(10)).min(RETRY_MS.1);
        channel.failures += 1;
        channel.not_before = channel.not_before.max(now.plus_ms(wait));
        self.give_up_if_settled(id);
        arrivals.push(Arrival::Failed);
    }

    fn give_up_if_settled(&mut self, id: ServerId) {
        let is_wanted = self.wanted.contains(&id);
        let channel = self.channels.get_mut(&id).expect("an attempt was made");
        if !is_wanted && channel.failures + channel.asked >= SETTLED_ATTEMPTS_MAX {
            (channel.is_owed, channel.is_called) = (false, false);
            (channel.failures, channel.asked) = (0, 0);
        }
    }

    // ---- an established connection

    fn open(
        &mut self,
        now: MonoUs,
        id: ServerId,
        (link, remote): (LinkId, SocketAddr),
        arrivals: &mut Vec<Arrival>,
    ) {
        self.note_displaced(now, id, remote);
        self.close_open(id);
        self.drop_attempt(id);
        self.links.insert(link, LinkUse::Open(id));
        let channel = self.channels.get_mut(&id).expect("its link says so");
        (channel.is_called, channel.is_unreachable, channel.asked) = (false, false, 0);
        channel.not_before = now;
        let (buffer, unsent, heard_at) = (Vec::new(), 0, None);
        channel.open = Some(Open { link, remote, since: now, buffer, unsent, heard_at });
        tracing::debug!(server = id.0, "election connection");
        arrivals.push(Arrival::Up(id));
    }

    fn close_open(&mut self, id: ServerId) {
        let channel = self.channels.get_mut(&id);
        if let Some(open) = channel.and_then(|channel| channel.open.take()) {
            self.links.remove(&open.link);
            self.ops.push(LinkOp::Close { link: open.link });
        }
    }

    fn drop_attempt(&mut self, id: ServerId) {
        let channel = self.channels.get_mut(&id);
        if let Some(attempt) = channel.and_then(|channel| channel.attempt.take()) {
            self.links.remove(&attempt.link);
            self.ops.push(LinkOp::Close { link: attempt.link });
        }
    }

    fn on_closed(&mut self, now: MonoUs, link: LinkId, reason: &str, arrivals: &mut Vec<Arrival>) {
        match self.links.remove(&link) {
            None => {}
            Some(LinkUse::Unknown) => {
                self.unknown.remove(&link);
            }
            Some(LinkUse::Attempt(id)) => {
                tracing::debug!(server = id.0, reason, "cannot connect to the election port");
                self.channels.get_mut(&id).expect("its link says so").attempt = None;
                self.on_failed(now, id, arrivals);
            }
            Some(LinkUse::Open(id)) => {
                let channel = self.channels.get_mut(&id).expect("its link says so");
                let open = channel.open.take().expect("its link says so");
                tracing::info!(server = id.0, remote = %open.remote, reason, "election connection closed");
                if open.since.plus_ms(SHORT_LIVED_MS) <= now {
                    channel.failures = 0;
                } else if open.heard_at.is_none() {
                    self.on_failed(now, id, arrivals);
                } else {
                    // The other side may be replacing the connection.
                    channel.not_before = channel.not_before.max(now.plus_ms(RETRY_MS.0));
                }
                if id < ServerId(0) {
                    self.channels.remove(&id);
                }
            }
        }
    }

    fn close_stray(&mut self, link: LinkId) {
        tracing::debug!(?link, "closing a link that belongs to no attempt");
        self.ops.push(LinkOp::Close { link });
    }

    fn on_received(
        &mut self,
        now: MonoUs,
        link: LinkId,
        bytes: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        match self.links.get(&link) {
            Some(LinkUse::Unknown) => self.on_beginning(now, link, bytes, arrivals),
            Some(LinkUse::Open(id)) => self.on_message_bytes(now, *id, bytes, arrivals),
            // The other side must not send anything first.
            Some(LinkUse::Attempt(_)) | None => self.close_stray(link),
        }
    }

    fn on_message_bytes(
        &mut self,
        now: MonoUs,
        id: ServerId,
        bytes: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        let channel = self.channels.get_mut(&id).expect("its link says so");
        let open = channel.open.as_mut().expect("its link says so");
        open.buffer.extend_from_slice(bytes);
        let mut at = 0;
        let mut refused = None;
        while let Some(length) = open.buffer.get(at..at + 4) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            // A negative length in Java is a large one here.
            if !(1..=ELECTION_MESSAGE_BYTES_MAX).contains(&length) {
                refused = Some(length);
                break;
            }
            let length = usize::try_from(length).expect("a small number");
            let Some(body) = open.buffer.get(at + 4..at + 4 + length) else { break };
            open.heard_at = Some(now);
            channel.failures = 0;
            if body.len() >= notification::BYTES_MIN {
                arrivals.push(Arrival::Message(id, body.to_vec()));
            }
            at += 4 + length;
        }
        open.buffer.drain(..at);
        let remote = open.remote;
        if let Some(length) = refused {
            tracing::warn!(
                server = id.0, %remote, length,
                "closing an election connection: no such length"
            );
            self.close_open(id);
            self.on_failed(now, id, arrivals);
        }
    }

    /// Sends the present vote if it is owed and there is room for it.
    pub(super) fn flush(&mut self, id: ServerId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let Some(open) = channel.open.as_mut() else { return };
        if channel.is_owed && open.unsent < ELECTION_UNSENT_BYTES_MAX {
            channel.is_owed = false;
            open.unsent += u64::try_from(self.message.len()).expect("a small number");
            self.ops.push(LinkOp::Send { link: open.link, bytes: self.message.clone() });
        }
    }
}
