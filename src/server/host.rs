//! The replica and its hands: the log ring, the disk worker, the ways to its clients.
//!
//! One object on the replica's executor. Connections (or the ends of the queues from other cores)
//! give it frames as they arrive, links to other servers their bytes; the turn task then lets the
//! replica say what is to be done, and does it: bytes to clients first, they were waited for longest;
//! then those to other servers; then operations of the disk, since a proposal that left before its own
//! write began is written here and there at the same time.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use super::client_port::ClientPort;
use super::ensemble::Teller;
use super::past::Past;
use super::recover::Opener;
use crate::admin::Desk;
use crate::admin::word::FourLetterWord;
use crate::config::dynamic::Keeper;
use crate::id::ConnectionId;
use crate::io::{Completion, Op};
use crate::net::Core;
use crate::net::links::{LinkCore, Links};
use crate::peer::ConfigChange;
use crate::peer::link::{LinkEvent, LinkId};
use crate::replica::{Output, Replica, Send};
use crate::runtime::{Clock, DataFolder, DiskWorker, Event, LogRing};
use crate::time::{MonoUs, Now};

/// Whoever carries bytes to clients: the connections of this executor, or the queues to others.
pub trait Deliver {
    /// Carries out one send; gives its buffer back if it is free again.
    fn deliver(&self, send: Send) -> Option<Vec<u8>>;
    /// Called once after each turn's sends.
    fn flush(&self) {}
}

/// See the module's words.
pub struct Host {
    replica: RefCell<Replica>,
    output: RefCell<Output>,
    ring: RefCell<LogRing>,
    worker: DiskWorker,
    desk: RefCell<Desk>,
    clock: Clock,
    clients: Box<dyn Deliver>,
    /// Something came in that the turn task has to look at.
    pub(super) pending: Event,
    /// Answers to four-letter words, which do not come out of the replica.
    answers: RefCell<Vec<Send>>,
    /// Closings that wait for the last write to their segment.
    closing: RefCell<Vec<Op>>,
    completions: RefCell<Vec<Completion>>,
    fatal: RefCell<Option<String>>,
    /// The time read at the start of this turn's first event.
    now: Cell<Option<Now>>,
    /// Keeps what becomes of the ensemble's configuration.
    keeper: RefCell<Keeper>,
    /// Says what this server is in its ensemble.
    teller: RefCell<Teller>,
    /// Where clients connect.
    client_port: RefCell<ClientPort>,
    /// Sockets at another address, for clients to connect to from now on.
    new_sockets: RefCell<Option<Vec<TcpListener>>>,
    /// Connections to other servers.
    links: Links,
    /// Reads the log for others.
    past: Past,
    /// Reads the state anew.
    opener: Opener,
    /// Holds the locks of the folders.
    _folder: DataFolder,
}

/// What a host works with.
pub struct Parts {
    /// Where the transaction log is written.
    pub ring: LogRing,
    /// Where everything else of the disk is done.
    pub worker: DiskWorker,
    /// What answers four-letter words.
    pub desk: Desk,
    /// The clocks.
    pub clock: Clock,
    /// Who carries bytes to clients.
    pub clients: Box<dyn Deliver>,
    /// Keeps what becomes of the ensemble's configuration.
    pub keeper: Keeper,
    /// Says what this server is in its ensemble.
    pub teller: Teller,
    /// Where clients connect.
    pub client_port: ClientPort,
    /// Connections to other servers.
    pub links: Links,
    /// Reads the log for others.
    pub past: Past,
    /// Reads the state anew.
    pub opener: Opener,
    /// The data.
    pub folder: DataFolder,
}

impl Host {
    /// Puts the parts together.
    pub fn new(replica: Replica, parts: Parts) -> Rc<Host> {
        let Parts {
            ring,
            worker,
            desk,
            clock,
            clients,
            keeper,
            teller,
            client_port,
            links,
            past,
            opener,
            folder,
        } = parts;
        let host = Rc::new(Host {
            replica: RefCell::new(replica),
            output: RefCell::default(),
            ring: RefCell::new(ring),
            worker,
            desk: RefCell::new(desk),
            clock,
            clients,
            pending: Event::default(),
            answers: RefCell::default(),
            closing: RefCell::default(),
            completions: RefCell::default(),
            fatal: RefCell::new(None),
            now: Cell::new(None),
            keeper: RefCell::new(keeper),
            teller: RefCell::new(teller),
            client_port: RefCell::new(client_port),
            new_sockets: RefCell::new(None),
            links,
            past,
            opener,
            _folder: folder,
        });
        let core: Rc<dyn LinkCore> = host.clone();
        host.links.set_core(Rc::downgrade(&core));
        host
    }

    /// Connections to other servers.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Where clients are to connect from now on, if that has just changed.
    pub fn new_sockets(&self) -> Option<Vec<TcpListener>> {
        self.new_sockets.borrow_mut().take()
    }

    /// What the outside witness says.
    pub fn set_oracle(&self, says_yes: bool) {
        let now = self.now();
        self.replica.borrow_mut().set_oracle(now, says_yes);
        self.pending.set();
    }

    /// The clocks, read once per batch of events: a reading costs as much as a small read request.
    fn now(&self) -> Now {
        match self.now.get() {
            Some(now) => now,
            None => {
                let now = self.clock.now();
                self.now.set(Some(now));
                now
            }
        }
    }

    /// Writes of the log in flight.
    pub fn log_writes_in_flight(&self) -> usize {
        self.ring.borrow().in_flight()
    }

    /// Takes in finished log writes without a turn; says whether there were any.
    pub fn reap(&self) -> bool {
        let mut completions = self.completions.borrow_mut();
        self.ring.borrow_mut().reap(&mut completions);
        !completions.is_empty()
    }

    /// Completions ring the executor's bell from now on; false if one is there already.
    pub fn park_log(&self) -> bool {
        self.ring.borrow_mut().ring_when_done()
    }

    /// Completions ring no bell any more.
    pub fn unpark_log(&self) {
        self.ring.borrow_mut().ring_no_more();
    }

    /// One turn: completions and time in, bytes and operations out.
    pub fn turn(&self) {
        self.reap();
        self.now.set(None);
        let now = self.now();
        let mut replica = self.replica.borrow_mut();
        for completion in self.completions.borrow_mut().drain(..) {
            replica.handle_completion(now, completion);
        }
        self.links.deliver(|event| replica.handle_link(now, event));
        self.release_closings();
        while let Some(done) = self.worker.done() {
            if let Some(opened) = done.opened {
                self.ring.borrow_mut().open_segment(opened.segment, opened.file, opened.name);
            }
            replica.handle_completion(now, done.completion);
        }
        while let Some((id, txns)) = self.past.done() {
            replica.handle_log_read(now, id, txns);
        }
        if replica.next_timeout().is_some_and(|at| at <= now.mono) {
            replica.handle_timeout(now);
        }
        let mut output = self.output.borrow_mut();
        replica.take_output(&mut output);
        self.teller.borrow_mut().tell(&replica);
        let is_behind = replica.is_behind();
        drop(replica);
        if let Some(reason) = output.fatal.take() {
            *self.fatal.borrow_mut() = Some(reason);
            return;
        }
        let mut sends = std::mem::take(&mut output.sends);
        for send in sends.drain(..).chain(self.answers.borrow_mut().drain(..)) {
            if let Some(spare) = self.clients.deliver(send) {
                output.recycle(spare);
            }
        }
        output.sends = sends;
        self.clients.flush();
        for op in output.links.drain(..) {
            self.links.perform(op);
        }
        self.links.flush();
        let mut ops = std::mem::take(&mut output.ops);
        for op in ops.drain(..) {
            self.perform(op);
        }
        output.ops = ops;
        for change in output.configs.drain(..) {
            self.keeper.borrow_mut().keep(&change);
            if let ConfigChange::Active(config) = &change
                && let Some((sockets, port)) = self.client_port.borrow_mut().follow(config)
            {
                self.desk.borrow_mut().conf.client_port = port.into();
                *self.new_sockets.borrow_mut() = Some(sockets);
            }
        }
        for wish in output.log_reads.drain(..) {
            if !self.past.submit(wish) {
                self.replica.borrow_mut().handle_log_read(now, wish.id, None);
                self.pending.set();
            }
        }
        let reload = output.reload.take();
        drop(output);
        self.now.set(None);
        if let Some(reload) = reload {
            let result = self.opener.reload(reload);
            // Reading may have taken a while.
            self.replica.borrow_mut().handle_reloaded(self.clock.now(), result);
            self.pending.set();
        }
        if !is_behind {
            self.links.resume();
        }
    }

    fn perform(&self, op: Op) {
        match op {
            Op::LogWrite { token, segment, offset, buf, bytes, sync } => {
                self.worker.note_log_write();
                let written =
                    self.ring.borrow_mut().write(token, segment, offset, buf, bytes, sync);
                if let Err(error) = written {
                    // The state of the write is unknown: as for any failed write, we stop.
                    *self.fatal.borrow_mut() =
                        Some(format!("submitting a write to the transaction log failed: {error}"));
                }
            }
            Op::SegmentClose { segment, .. } if self.ring.borrow().is_writing_to(segment) => {
                self.closing.borrow_mut().push(op);
            }
            Op::SegmentClose { segment, .. } => {
                self.ring.borrow_mut().close_segment(segment);
                self.worker.submit(op);
            }
            Op::SegmentPrepare { .. }
            | Op::SegmentName { .. }
            | Op::SnapshotCreate { .. }
            | Op::SnapshotWrite { .. }
            | Op::SnapshotCommit { .. }
            | Op::SnapshotAbandon { .. }
            | Op::FileReplace { .. }
            | Op::Remove { .. } => self.worker.submit(op),
        }
    }

    fn release_closings(&self) {
        if self.closing.borrow().is_empty() {
            return;
        }
        for op in std::mem::take(&mut *self.closing.borrow_mut()) {
            self.perform(op);
        }
    }

    /// Why the process must stop, if it must.
    pub fn fatal(&self) -> Option<String> {
        self.fatal.borrow_mut().take()
    }

    /// When the next turn is due without any event.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        self.replica.borrow().next_timeout()
    }

    /// The clock that the replica is told.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Begins to stop: see [`Replica::shutdown`].
    pub fn shutdown(&self) {
        let now = self.now();
        self.replica.borrow_mut().shutdown(now);
        self.pending.set();
    }

    /// Whether nothing is in flight any more.
    pub fn is_quiet(&self) -> bool {
        self.ring.borrow().in_flight() == 0 && self.replica.borrow().is_quiet()
    }
}

impl Core for Host {
    fn open(&self, conn: ConnectionId, remote: SocketAddr) {
        let now = self.now();
        self.replica.borrow_mut().handle_open(now, conn, remote);
    }

    fn frames(&self, conn: ConnectionId, frames: &[u8]) {
        let now = self.now();
        self.replica.borrow_mut().handle_frames(now, conn, frames);
        self.pending.set();
    }

    fn word(
        &self,
        conn: ConnectionId,
        remote: SocketAddr,
        word: FourLetterWord,
        argument: Option<[u8; 8]>,
    ) {
        let now = self.now();
        let mut replica = self.replica.borrow_mut();
        let desk = self.desk.borrow();
        let text = desk.answer(word, argument.unwrap_or_default(), &mut replica, remote, now);
        self.answers.borrow_mut().push(Send {
            conn,
            bytes: text.into_bytes(),
            answered: 0,
            close: true,
        });
        self.pending.set();
    }

    fn close(&self, conn: ConnectionId) {
        let now = self.now();
        self.replica.borrow_mut().handle_close(now, conn);
        self.pending.set();
    }
}

impl LinkCore for Host {
    fn link_events(&self) {
        self.pending.set();
    }

    fn link_received(&self, link: LinkId, bytes: &[u8]) {
        let now = self.now();
        let mut replica = self.replica.borrow_mut();
        // That the link is there comes before what it says.
        self.links.deliver(|event| replica.handle_link(now, event));
        replica.handle_link(now, LinkEvent::Received { link, bytes });
        self.pending.set();
    }

    fn link_fatal(&self, reason: String) {
        *self.fatal.borrow_mut() = Some(reason);
        self.pending.set();
    }

    fn is_behind(&self) -> bool {
        self.replica.borrow().is_behind()
    }
}
