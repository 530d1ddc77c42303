//! The way in to the replica for everything that happens between turns: events of connections, bytes of links,
//! timers. It is shared with them, so its fields are behind cells; the rest of the host is not.
//!
//! The replica handles each event at once, in the order in which they come; what it wants done waits for the turn.
//! Each event here costs one borrow of the replica's cell, which ends with the event.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use super::super::again::Failure;
use super::client_side::Asked;
use super::watch::Watch;
use crate::admin::Asking;
use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;
use crate::link::{LinkEvent, LinkId};
use crate::net::Core;
use crate::net::links::{LinkCore, Links};
use crate::replica::Replica;
use crate::runtime::Reactor;
use crate::time::Now;

/// The shared part of a host. Each event stirs the reactor, so that a turn follows.
pub struct Entrance {
    /// The replica.
    pub(super) replica: RefCell<Replica>,
    /// The connections to other servers.
    pub(super) links: Links,
    /// The clock, and the watch on whether the thread runs when it should.
    pub(super) watch: RefCell<Watch>,
    /// The four-letter words that wait for the next turn.
    pub(super) words: RefCell<VecDeque<Asked>>,
    /// Why the process must stop, if it must.
    pub(super) failure: RefCell<Option<Failure>>,
    /// The reactor of this thread.
    pub(super) reactor: Reactor,
}

impl Entrance {
    /// Makes the entrance, and lets the links use it.
    pub(super) fn open(
        replica: Replica,
        links: Links,
        watch: Watch,
        reactor: Reactor,
    ) -> Rc<Entrance> {
        let entrance = Rc::new(Entrance {
            replica: RefCell::new(replica),
            links,
            watch: RefCell::new(watch),
            words: RefCell::default(),
            failure: RefCell::default(),
            reactor,
        });
        // Weak, because the entrance owns the links.
        let core: Rc<dyn LinkCore> = entrance.clone();
        entrance.links.set_core(Rc::downgrade(&core));
        entrance
    }

    /// The reactor of this thread.
    pub fn reactor(&self) -> Reactor {
        self.reactor.clone()
    }

    /// Sets the answer of the outside witness.
    pub fn set_oracle(&self, says_yes: bool) {
        let now = self.now();
        self.replica.borrow_mut().set_oracle(now, says_yes);
        self.reactor.stir();
    }

    /// Begins to stop: see [`Replica::shutdown`].
    pub(super) fn shutdown(&self) {
        let now = self.now();
        self.replica.borrow_mut().shutdown(now);
        self.reactor.stir();
    }

    /// Makes the process stop after this turn. A later reason replaces an earlier one.
    pub(super) fn stop_for(&self, failure: Failure) {
        *self.failure.borrow_mut() = Some(failure);
    }

    /// The time of the events until the next turn, read once for all of them.
    fn now(&self) -> Now {
        self.watch.borrow_mut().now()
    }

    /// Sets the next beat of the watch, if turns had something to do and no beat is set.
    pub(super) fn maybe_set_beat(self: &Rc<Self>) {
        let Some(period) = self.watch.borrow_mut().begin_beat() else { return };
        // Weak, so that a timer does not keep a host that has ended.
        let this = Rc::downgrade(self);
        let beat = self.reactor.after(period, move || {
            if let Some(this) = this.upgrade() {
                this.watch.borrow_mut().on_beat();
                this.maybe_set_beat();
            }
        });
        self.watch.borrow_mut().keep_beat(beat);
    }
}

impl Core for Entrance {
    /// Passes on a new connection.
    fn open(&self, conn: ConnectionId, remote: SocketAddr) {
        let now = self.now();
        self.replica.borrow_mut().handle_open(now, conn, remote);
        self.watch.borrow_mut().work().opened += 1;
        self.reactor.stir();
    }

    fn certified(&self, conn: ConnectionId, subject: &str) {
        let now = self.now();
        self.replica.borrow_mut().handle_certificate(now, conn, subject);
        self.reactor.stir();
    }

    /// Passes on whole frames, and counts them as work of the span.
    fn frames(&self, conn: ConnectionId, frames: &[u8]) {
        let now = self.now();
        self.replica.borrow_mut().handle_frames(now, conn, frames);
        let mut watch = self.watch.borrow_mut();
        let work = watch.work();
        work.batches += 1;
        work.bytes_in += frames.len() as u64;
        drop(watch);
        self.reactor.stir();
    }

    /// Keeps the word until a turn answers it.
    fn word(
        &self,
        conn: ConnectionId,
        remote: SocketAddr,
        word: FourLetterWord,
        argument: Option<[u8; 8]>,
    ) {
        // Reads the clock, so that the time of the turn counts from here.
        self.now();
        let asking = Asking { conn: Some(conn), remote };
        let argument = argument.unwrap_or_default();
        self.words.borrow_mut().push_back(Asked { asking, word, argument });
        self.reactor.stir();
    }

    /// Whether clients wait for their turn.
    fn is_busy(&self) -> bool {
        self.replica.borrow().has_somebody_in_line()
    }

    fn end(&self, conn: ConnectionId) {
        let now = self.now();
        self.replica.borrow_mut().handle_end(now, conn);
        self.reactor.stir();
    }

    /// Passes on that a client has taken bytes.
    fn written(&self, conn: ConnectionId, bytes: usize) {
        let now = self.now();
        self.replica.borrow_mut().handle_written(now, conn, bytes);
        self.reactor.stir();
    }

    fn close(&self, conn: ConnectionId) {
        let now = self.now();
        self.replica.borrow_mut().handle_close(now, conn);
        self.watch.borrow_mut().work().closed += 1;
        self.reactor.stir();
    }
}

impl LinkCore for Entrance {
    /// Links have events: the turn takes them.
    fn link_events(&self) {
        self.reactor.stir();
    }

    /// Passes bytes of a link on at once, after the events of links that came before them.
    fn link_received(&self, link: LinkId, bytes: &[u8]) {
        let now = self.now();
        let mut replica = self.replica.borrow_mut();
        // The replica must know of the link before it gets the link's bytes.
        self.links.deliver(|event| replica.handle_link(now, event));
        replica.handle_link(now, LinkEvent::Received { link, bytes });
        self.reactor.stir();
    }

    /// A port between servers cannot be used: the process stops.
    fn link_fatal(&self, reason: String) {
        self.stop_for(reason.into());
        self.reactor.stir();
    }

    fn has_enough_of(&self, link: LinkId) -> bool {
        self.replica.borrow().has_enough_of(link)
    }
}
