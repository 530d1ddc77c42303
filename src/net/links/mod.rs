//! Connections to other servers: executes [`LinkOp`]s and reports [`LinkEvent`]s.
//!
//! All of it lives on the replica's executor, so that a proposal or an ACK crosses no core: input goes to the replica
//! directly from the receive buffer; output is written by the turn that produced it, with one system call per link,
//! and only bytes that the socket does not accept wait. Separate threads resolve names and connect, because both may
//! take seconds.
//!
//! This module does not know the meaning of the bytes. The owner of a link has to close it if it is silent or sends
//! wrong data.
//!
//! ```text
//! LinkOp::Connect ─▶ helpers: names, dial ────────────┐
//! LinkOp::Listen  ─▶ helpers: bind ─▶ listen ─▶       ├─▶ open: a Link ─▶ greeting: TLS, if servers use it
//!                    incoming: whose address is it? ──┘     ─▶ LinkEvent::Connected or Accepted
//! LinkOp::Send    ─▶ Link::push, then Links::flush ─▶ socket
//! socket          ─▶ LinkCore::link_received ─▶ Replica
//! ```
//! It does the work of three of ZooKeeper's classes, whose threads block on their sockets: `QuorumCnxManager`
//! (election port), `LearnerHandler` and `Learner` (quorum port).

mod dial;
mod event;
mod greeting;
mod helpers;
mod incoming;
mod link;
mod listen;
mod members;
mod names;
mod secure;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::id::ServerId;
use crate::limits;
use crate::link::{Endpoint, LinkEvent, LinkId, LinkOp, Port};
use crate::log::Limiter;
use crate::net::socket::Records;
use crate::runtime::{Clock, Doorbell, Reactor};

use dial::Reached;
use event::Event;
use helpers::{Helpers, Job, Outcome};
use link::Link;
use listen::Listener;
use members::Members;
pub use members::PeerAddressCheck;
use names::Names;
pub use secure::{LinkSides, LinkTls};

/// The receiver of link events: the replica's host.
pub trait LinkCore {
    /// There are events for [`Links::deliver`].
    fn link_events(&self);
    /// Bytes arrived, after all earlier events. They are not kept: what the receiver does not use at once, it copies.
    fn link_received(&self, link: LinkId, bytes: &[u8]);
    /// The server cannot continue.
    fn link_fatal(&self, reason: String);
    /// Whether nothing more may be read from this link for now; [`Links::resume`] has it asked again.
    fn has_enough_of(&self, link: LinkId) -> bool;
}

/// Options of links.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkOptions {
    /// The kernel detects dead connections (`tcpKeepAlive`).
    pub keep_alive: bool,
    /// How often a failed attempt to listen at an address is repeated before the server stops, so that its supervisor
    /// can act (`electionPortBindRetry`). `None`: it keeps trying.
    pub bind_attempts_max: Option<u32>,
    /// Which servers may connect (`ringkeeper.peerAddressCheck`).
    pub peer_address_check: PeerAddressCheck,
}

/// Why a server could not listen for other servers at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Another process has the port.
    Taken,
    /// Another reason, in words for an operator.
    Other(String),
}

/// Why a server could not listen for other servers at this endpoint at this moment. It tries, and stops listening at
/// once; it blocks while a name is resolved.
pub fn obstacle(at: &Endpoint) -> Option<Obstacle> {
    let (kind, reason) = helpers::try_listen(at, &Names::default()).err()?;
    Some(match kind {
        ErrorKind::AddrInUse => Obstacle::Taken,
        // The reason says what to do.
        ErrorKind::PermissionDenied => Obstacle::Other(reason),
        _ => Obstacle::Other(format!("{reason}. {}", listen::WAY_OUT)),
    })
}

/// Resolves all of these hosts at once, and returns the errors of those that do not resolve by `until`.
pub fn unresolved(hosts: &[Endpoint], until: Instant) -> Vec<(Endpoint, String)> {
    let names = Names::default();
    let asked: Vec<_> = hosts.iter().map(|at| (at, names.ask(at))).collect();
    let failed = |(at, lookup): (&Endpoint, names::Lookup)| {
        lookup.answer_until(until).err().map(|reason| (at.clone(), reason))
    };
    asked.into_iter().filter_map(failed).collect()
}

/// All links of a server. Clones are the same.
#[derive(Clone)]
pub struct Links {
    shared: Rc<Shared>,
}

struct Shared {
    options: LinkOptions,
    /// None: no link uses TLS.
    tls: Option<Arc<LinkTls>>,
    /// Buffers for TLS.
    records: RefCell<Records>,
    reactor: Reactor,
    /// The receiver of events. Weak: it owns the links.
    core: RefCell<Option<Weak<dyn LinkCore>>>,
    /// Links that their owner has opened, or got, and that have not ended for it.
    links: RefCell<BTreeMap<LinkId, Slot>>,
    /// One for each address at which this server listens, or tries to.
    listeners: RefCell<Vec<Listener>>,
    /// Threads for what may take seconds.
    helpers: Helpers,
    /// The jobs of the helpers that are not finished, by number, each with its purpose.
    jobs: RefCell<BTreeMap<u64, Waiting>>,
    /// Events for the next [`Links::deliver`], oldest first.
    events: RefCell<VecDeque<Event>>,
    /// Links with output for the end of the turn.
    dirty: RefCell<Vec<Rc<Link>>>,
    /// Links that are not read because the replica is behind.
    paused: RefCell<Vec<Rc<Link>>>,
    /// Links of strangers with more input than strangers may bring in one turn, in reading order.
    strangers: RefCell<VecDeque<Rc<Link>>>,
    /// Bytes that strangers may still bring in this turn.
    strangers_left: Cell<usize>,
    /// Whose address is whose.
    members: RefCell<Members>,
    /// Connections that wait until their address is matched to members.
    unplaced: RefCell<VecDeque<(TcpStream, Port, SocketAddr)>>,
    /// The members have changed, and links accepted before are to be checked again.
    is_identifying: Cell<bool>,
    /// For the lines about failures.
    clock: Clock,
    /// Lines about refused connections: strangers may connect by the thousands.
    refusals: RefCell<Limiter>,
    /// Lines about TLS handshakes that failed with servers to which this one connects.
    failed_calls: RefCell<Limiter>,
    /// Number of accepted links by remote address. Invariant: no count is 0.
    remotes: RefCell<BTreeMap<IpAddr, u32>>,
    /// The number of the next accepted link: its id is made of it.
    accepted: Cell<u64>,
    /// Read into by all links in turn.
    scratch: RefCell<Box<[u8]>>,
    /// Emptied buffers.
    spare: RefCell<Vec<Vec<u8>>>,
    /// Closed links that still write their last bytes.
    ending: Cell<usize>,
}

/// The state of a link for its owner.
enum Slot {
    /// A helper is connecting it.
    Connecting,
    /// It has a socket.
    Open(Rc<Link>),
}

/// The purpose of a job of the helpers.
enum Waiting {
    /// A link that is being connected.
    Link(LinkId),
    /// An attempt to listen.
    Listener(Rc<listen::Inner>),
    /// The names of the members.
    Members,
}

/// Bytes read at once.
const SCRATCH_BYTES: usize = 256 << 10;

/// From this many sent bytes on, the owner is notified at once, because more of a tree may follow. Fewer are reported
/// with the next turn.
const SENT_BYTES_TOLD_AT_ONCE: u64 = 32 << 10;

/// Buffers kept for later turns.
const SPARE_BUFFERS_MAX: usize = 16;

impl Links {
    /// An empty set of links for the thread of `reactor`, which `bell` wakes.
    pub fn new(
        options: LinkOptions,
        tls: Option<Arc<LinkTls>>,
        bell: Doorbell,
        reactor: Reactor,
    ) -> Links {
        Links {
            shared: Rc::new(Shared {
                options,
                tls,
                records: RefCell::default(),
                reactor,
                core: RefCell::new(None),
                members: RefCell::new(Members::new(options.peer_address_check)),
                unplaced: RefCell::default(),
                is_identifying: Cell::new(false),
                clock: Clock::start(),
                refusals: RefCell::new(Limiter::one_in_seconds(limits::LOG_REFUSALS_SECONDS)),
                failed_calls: RefCell::new(Limiter::one_in_seconds(limits::LOG_REFUSALS_SECONDS)),
                links: RefCell::default(),
                listeners: RefCell::default(),
                helpers: Helpers::new(bell),
                jobs: RefCell::default(),
                events: RefCell::default(),
                dirty: RefCell::default(),
                paused: RefCell::default(),
                strangers: RefCell::default(),
                strangers_left: Cell::new(limits::STRANGERS_READ_BYTES_PER_TURN),
                remotes: RefCell::default(),
                accepted: Cell::new(0),
                scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
                spare: RefCell::default(),
                ending: Cell::new(0),
            }),
        }
    }

    /// Sets the receiver of events.
    pub fn set_core(&self, core: Weak<dyn LinkCore>) {
        *self.shared.core.borrow_mut() = Some(core);
    }

    /// Executes an op. Bytes to be sent leave with [`Links::flush`].
    pub fn perform(&self, op: LinkOp) {
        match op {
            LinkOp::Listen { on } => self.listen(&on),
            LinkOp::Members { hosts } => self.set_members(hosts),
            LinkOp::Connect { link, port, server, to, timeout_ms } => {
                tracing::debug!(?port, server = server.0, ?to, "connecting");
                self.connect(link, to, Duration::from_millis(timeout_ms));
            }
            LinkOp::Send { link, bytes } => {
                // The link is gone: its owner will get the event, or has closed it.
                let found = self.shared.links.borrow().get(&link).and_then(Slot::open).cloned();
                let Some(link) = found.filter(|link| link.is_known()) else { return };
                if link.push(bytes, &self.shared) {
                    self.shared.dirty.borrow_mut().push(link);
                }
            }
            LinkOp::Close { link } => self.close(link),
        }
    }

    /// Writes the output of the turn.
    pub fn flush(&self) {
        let mut dirty = self.shared.dirty.borrow_mut();
        for link in dirty.drain(..) {
            link.flush();
        }
    }

    /// Passes on the events since the last call, except bytes, which never wait.
    pub fn deliver(&self, mut tell: impl FnMut(LinkEvent<'_>)) {
        self.poll_helpers();
        // The callback may not change the queue; it only calls the replica.
        let mut events = self.shared.events.borrow_mut();
        for event in events.drain(..) {
            tell(event.told());
        }
    }

    /// A turn is over: strangers may bring the same number of bytes again.
    pub fn end_turn(&self) {
        const READS: usize = limits::STRANGERS_READ_BYTES_PER_TURN / link::STRANGER_READ_BYTES;
        self.shared.strangers_left.set(limits::STRANGERS_READ_BYTES_PER_TURN);
        let mut waiting = self.shared.strangers.borrow_mut();
        let few = waiting.len().min(READS);
        for link in waiting.drain(..few) {
            link.take_turn();
        }
        if !waiting.is_empty() {
            // Those that are woken may have nothing to read.
            self.shared.reactor.stir();
        }
    }

    /// The replica is no longer behind.
    pub fn resume(&self) {
        let mut paused = self.shared.paused.borrow_mut();
        for link in paused.drain(..) {
            link.wake();
        }
    }

    /// Closes everything; done when the last bytes have left, or after `patience`.
    pub fn stop(&self, patience: Duration) {
        self.shared.listeners.borrow_mut().clear();
        self.flush();
        let links: Vec<LinkId> = self.shared.links.borrow().keys().copied().collect();
        for link in links {
            self.close(link);
        }
        let until = Instant::now() + patience;
        let reactor = &self.shared.reactor;
        while self.shared.ending.get() > 0 && Instant::now() < until {
            if reactor.dispatch().is_err() || reactor.sleep(Some(until)).is_err() {
                return;
            }
        }
    }

    /// Links that are open, or are being connected.
    pub fn count(&self) -> usize {
        self.shared.links.borrow().len()
    }

    /// Listens at exactly these endpoints from now on: stops where it should not, and begins where it does not yet. A
    /// listener that stays keeps its socket.
    fn listen(&self, on: &[(Port, Endpoint)]) {
        let mut listeners = self.shared.listeners.borrow_mut();
        listeners.retain(|listener| on.iter().any(|(port, at)| listener.is(*port, at)));
        for (port, at) in on {
            if !listeners.iter().any(|listener| listener.is(*port, at)) {
                listeners.push(Listener::start(self.clone(), *port, at.clone()));
            }
        }
    }

    /// Begins to connect a link to whichever of the endpoints answers first.
    ///
    /// # Panics
    /// If there is a link with this id.
    fn connect(&self, link: LinkId, to: Vec<Endpoint>, timeout: Duration) {
        let before = self.shared.links.borrow_mut().insert(link, Slot::Connecting);
        assert!(before.is_none(), "{link:?} is used a second time");
        let Some(job) = self.shared.helpers.start(Job::Connect { to, timeout }) else {
            return self.ended(link, "too many connections are being made".to_owned());
        };
        self.shared.jobs.borrow_mut().insert(job, Waiting::Link(link));
        // A resolver may hang longer than the timeout.
        let links = self.clone();
        let give_up = move || {
            let connecting =
                matches!(links.shared.links.borrow().get(&link), Some(Slot::Connecting));
            if connecting {
                links.ended(link, format!("no answer within {} ms", timeout.as_millis()));
            }
        };
        self.shared.reactor.after(timeout + Duration::from_millis(50), give_up).detach();
    }

    /// Closes a link for its owner, who gets no event of it any more, not even one that waits.
    fn close(&self, link: LinkId) {
        let slot = self.shared.links.borrow_mut().remove(&link);
        self.shared.events.borrow_mut().retain(|event| event.link() != link);
        match slot {
            Some(Slot::Open(open)) => {
                open.flush();
                open.close_after_output();
                self.shared.ending.set(self.shared.ending.get() + 1);
            }
            Some(Slot::Connecting) | None => {}
        }
    }

    /// Handles finished jobs of the helpers.
    fn poll_helpers(&self) {
        while let Some((job, outcome)) = self.shared.helpers.finished() {
            let waiting = self.shared.jobs.borrow_mut().remove(&job);
            match (waiting, outcome) {
                (Some(Waiting::Link(link)), Outcome::Connected(result)) => {
                    self.on_connected(link, result);
                }
                (Some(Waiting::Listener(listener)), Outcome::Bound(result)) => {
                    listener.on_bound(result);
                }
                (Some(Waiting::Members), Outcome::Resolved(answers)) => {
                    self.shared.members.borrow_mut().handle_answers(Instant::now(), answers);
                    self.place();
                }
                (Some(_) | None, _) => unreachable!("an outcome of another job"),
            }
        }
    }

    /// A helper has connected a link, or has failed to.
    fn on_connected(&self, link: LinkId, result: Result<Reached, String>) {
        // Closed meanwhile, or too late.
        if !matches!(self.shared.links.borrow().get(&link), Some(Slot::Connecting)) {
            return;
        }
        match result {
            Err(reason) => self.ended(link, reason),
            Ok(Reached { socket, remote, host }) => match self.open(link, socket, remote, None) {
                Ok(opened) => self.on_opened(&opened, &host),
                Err(error) => self.ended(link, error.to_string()),
            },
        }
    }

    /// A link to this host has a socket.
    fn on_opened(&self, link: &Rc<Link>, host: &str) {
        match self.shared.tls.as_ref().filter(|tls| tls.opens_with) {
            None => self.tell(Event::Connected { link: link.id, remote: link.remote }),
            Some(tls) => {
                tls.handshakes.enter();
                if let Err(reason) = link.call_with_tls(host) {
                    link.fail(reason);
                }
            }
        }
    }

    /// Makes a link of a connected socket and has it watched. `accepted`: the port that has accepted it, and the
    /// members that may have opened it; `None` for a link that this server has opened.
    ///
    /// # Errors
    /// The system's, from setting options of the socket.
    fn open(
        &self,
        id: LinkId,
        stream: TcpStream,
        remote: SocketAddr,
        accepted: Option<(Port, Option<Vec<ServerId>>)>,
    ) -> io::Result<Rc<Link>> {
        stream.set_nodelay(true)?;
        if self.shared.options.keep_alive {
            socket2::SockRef::from(&stream).set_keepalive(true)?;
        }
        let link = Rc::new(Link::new(id, stream, self.clone(), remote, accepted)?);
        self.shared.links.borrow_mut().insert(id, Slot::Open(link.clone()));
        if let Some(remote) = link.accepted_from {
            *self.shared.remotes.borrow_mut().entry(remote).or_default() += 1;
        }
        link.clone().run();
        Ok(link)
    }

    /// A closed link has written its last bytes.
    fn departed(&self) {
        self.shared.ending.set(self.shared.ending.get().saturating_sub(1));
    }

    /// A link has ended without its owner closing it.
    fn ended(&self, link: LinkId, reason: String) {
        self.shared.links.borrow_mut().remove(&link);
        self.tell(Event::Closed { link, reason });
    }

    /// Keeps an event for [`Links::deliver`], and says that there is one.
    fn tell(&self, event: Event) {
        self.shared.events.borrow_mut().push_back(event);
        if let Some(core) = self.core() {
            core.link_events();
        }
    }

    /// The receiver of events; `None` before it is set and after its end.
    fn core(&self) -> Option<Rc<dyn LinkCore>> {
        self.shared.core.borrow().as_ref().and_then(Weak::upgrade)
    }
}

impl Slot {
    /// The link, if it has a socket.
    fn open(&self) -> Option<&Rc<Link>> {
        match self {
            Slot::Connecting => None,
            Slot::Open(link) => Some(link),
        }
    }
}

impl Shared {
    /// Bytes of a link have gone to the kernel.
    fn sent(&self, link: LinkId, bytes: u64) {
        if bytes == 0 || !self.links.borrow().contains_key(&link) {
            return;
        }
        let mut events = self.events.borrow_mut();
        match events.back_mut() {
            Some(Event::Sent { link: last, bytes: before }) if *last == link => *before += bytes,
            _ => events.push_back(Event::Sent { link, bytes }),
        }
        drop(events);
        if bytes >= SENT_BYTES_TOLD_AT_ONCE
            && let Some(core) = self.core.borrow().as_ref().and_then(Weak::upgrade)
        {
            core.link_events();
        }
    }

    /// Keeps an emptied buffer for later, unless there are enough.
    fn recycle(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
