//! The replica and its hands: the disk, the clients, the links to other servers.
//!
//! [`Host`] belongs to the turn loop of the replica's executor. Between turns, connections and links
//! pass events to the replica through the [`Entrance`], which both share with the host. In a turn the
//! host lets the replica decide what to do, and does it: bytes to clients first, because clients have
//! waited longest; then bytes to other servers; then operations of the disk, because other servers write a
//! proposal that leaves early while this server writes it too.

mod client_side;
mod disk;
mod entrance;
mod watch;

use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub use client_side::{ClientSide, Deliver, TlsFigures};
pub use disk::Disk;
pub use entrance::Entrance;

use watch::Watch;

use super::again::{Failure, Lack};
use super::membership::Teller;
use super::stalls::TurnPart;
use crate::config::dynamic::Keeper;
use crate::logins::LinkLogins;
use crate::net::links::Links;
use crate::replica::{Fatal, Output, Replica};
use crate::runtime::{Clock, Reactor};
use crate::time::{MonoUs, Now};
use crate::zab::ConfigChange;

/// If a turn has more bytes for clients than this, bytes for other servers leave first: a client that asks for
/// megabytes does not notice, and a follower must not wait for clients.
const CLIENTS_FIRST_BYTES_MAX: usize = 256 * 1024;

/// The replica's hands. Everything that only a turn uses is here, and is not shared.
pub struct Host {
    /// The part that connections, links and timers share with the turn; it owns the replica.
    entrance: Rc<Entrance>,
    /// What the replica wants done; kept between turns for its buffers.
    output: Output,
    /// The side of the clients.
    clients: ClientSide,
    /// The edge's part of logins between servers.
    link_logins: Option<LinkLogins>,
    /// The side of the disk.
    disk: Disk,
    /// Keeps the files of the ensemble's configuration.
    keeper: Keeper,
    /// Logs the role of this server in its ensemble.
    teller: Teller,
}

/// The parts of a host, each made by [`HostMaker`](super::host_maker::HostMaker).
pub struct Parts {
    /// The log, the other files, and the locks of their folders.
    pub disk: Disk,
    /// Everything that bytes for clients need.
    pub clients: ClientSide,
    /// Connections to other servers.
    pub links: Links,
    /// The edge's part of the logins on these connections. `None`: servers do not log in.
    pub link_logins: Option<LinkLogins>,
    /// Keeps the files of the ensemble's configuration.
    pub keeper: Keeper,
    /// Logs the role of this server in its ensemble.
    pub teller: Teller,
    /// The clocks.
    pub clock: Clock,
    /// The reactor of this thread.
    pub reactor: Reactor,
    /// The length from which a pause of the thread is a stall, in ms; 0: none is recorded (`ringkeeper.stallMillis`).
    pub stall_ms: u32,
}

impl Host {
    /// Puts the parts together.
    pub fn new(mut replica: Replica, parts: Parts) -> Host {
        let Parts { disk, clients, links, link_logins, keeper, teller, clock, reactor, stall_ms } =
            parts;
        replica.set_output_room(clients.room());
        let watch = Watch::new(stall_ms, clock);
        let entrance = Entrance::open(replica, links, watch, reactor);
        Host { entrance, output: Output::default(), clients, link_logins, disk, keeper, teller }
    }

    /// One turn: completions and the time go in, bytes and operations come out. Returns the time of its end.
    pub fn turn(&mut self) -> MonoUs {
        let has_completions = self.disk.reap();
        let (now, held_us) = self.entrance.watch.borrow_mut().begin_turn(has_completions);
        self.entrance.replica.borrow_mut().note_held(held_us);
        let last = self.steps(now);
        let ended = self.entrance.watch.borrow_mut().end_turn(last);
        self.entrance.maybe_set_beat();
        ended
    }

    /// The steps of a turn. Returns the last one, to which the time at the end belongs.
    fn steps(&mut self, now: Now) -> TurnPart {
        let is_behind = self.take_in(now);
        if let Some(Fatal { reason, lacks_room }) = self.output.fatal.take() {
            let lack = lacks_room.then_some(Lack::Room);
            self.entrance.stop_for(Failure { reason, lack });
            return TurnPart::Core;
        }
        // An error that ends the process was handled above, before anything of this turn is said.
        // Before the answers: a client that ends the server must not overtake what it did.
        self.clients.audit(&mut self.output);
        self.clients.log_in(&mut self.output);
        for op in self.output.link_logins.drain(..) {
            if let Some(logins) = &self.link_logins {
                logins.put(op);
            }
        }
        self.send();
        self.use_disk(now);
        // After the disk has got its operations: a reload waits for the disk, and is the last step of the turn.
        let reload = self.output.reload.take();
        self.entrance.watch.borrow_mut().forget_now();
        let mut last = TurnPart::Disk;
        if let Some(reload) = reload {
            self.mark(last);
            last = TurnPart::Reload;
            let result = self.disk.reload(reload);
            // Reading may have taken a while.
            let now = self.clock().now();
            self.entrance.replica.borrow_mut().handle_reloaded(now, result);
            self.entrance.reactor.stir();
        }
        // Reading from links goes on only if the replica keeps up.
        self.entrance.links.end_turn();
        if !is_behind {
            self.entrance.links.resume();
        }
        last
    }

    /// Gives the replica the events since the last turn, and takes its output. Returns whether the replica is behind,
    /// so that links bring nothing more for now.
    fn take_in(&mut self, now: Now) -> bool {
        let Entrance { replica, links, watch, words, reactor, failure: _ } = &*self.entrance;
        let mut replica = replica.borrow_mut();
        // The difference after the turn is the work that the watch counts for this span.
        let before = (replica.stats().sessions_expired, replica.stats().txns_applied);
        self.disk.hand_over_log_writes(now, &mut replica);
        links.deliver(|event| {
            watch.borrow_mut().note_cause();
            replica.handle_link(now, event);
        });
        if self.disk.hand_over_files(now, &mut replica) {
            let mut watch = watch.borrow_mut();
            watch.note_cause();
            watch.mark(TurnPart::Files);
        }
        if replica.next_timeout().is_some_and(|at| at <= now.mono) {
            let mut watch = watch.borrow_mut();
            watch.note_cause();
            watch.mark(TurnPart::Core);
            replica.handle_timeout(now);
            watch.mark(TurnPart::Timers);
        }
        self.clients.hand_over_logins(now, &mut replica);
        if let Some(logins) = &self.link_logins {
            while let Some((link, step)) = logins.done() {
                replica.handle_link_login(now, link, step);
            }
        }
        replica.take_output(&mut self.output);
        let mut watch = watch.borrow_mut();
        watch.mark(TurnPart::Core);
        watch.note_work(&replica, before, &self.output);
        let mut words = words.borrow_mut();
        self.clients.answer_words(&mut words, now, &mut replica, &mut watch.counted);
        let inquiries_wait = self.clients.answer_inquiries(now, &mut replica, &mut watch.counted);
        // What is left gets a turn of its own, although no event may come.
        if inquiries_wait || !words.is_empty() {
            reactor.stir();
        }
        // After the timers, which may have changed the role.
        self.teller.tell(&replica);
        self.disk.note_log_waits(replica.txnlog().is_short_of_room());
        replica.is_behind()
    }

    /// Sends bytes to clients and to other servers.
    fn send(&mut self) {
        let bytes: usize = self.output.sends.iter().map(|send| send.bytes.len()).sum();
        if bytes > CLIENTS_FIRST_BYTES_MAX {
            self.send_to_servers();
        }
        self.clients.send(&mut self.output);
        self.entrance.replica.borrow_mut().set_output_room(self.clients.room());
        self.send_to_servers();
        self.mark(TurnPart::Sends);
    }

    /// Hands the operations of links to the network, and what they send to the kernel.
    fn send_to_servers(&mut self) {
        for op in self.output.links.drain(..) {
            self.entrance.links.perform(op);
        }
        self.entrance.links.flush();
    }

    /// Starts the operations of the disk, writes configurations, and lets clients connect where the active
    /// configuration says.
    fn use_disk(&mut self, now: Now) {
        for op in self.output.ops.drain(..) {
            if let Err(reason) = self.disk.perform(op) {
                self.entrance.stop_for(reason.into());
            }
        }
        for change in self.output.configs.drain(..) {
            // The files first: if the process dies now, the next start knows of the configuration.
            self.keeper.keep(&change);
            if let ConfigChange::Active(config) = &change {
                self.clients.follow(config, self.disk.bell());
            }
        }
        self.clients.settle();
        for wish in self.output.log_reads.drain(..) {
            let id = wish.id;
            if !self.disk.read_log(wish) {
                self.entrance.replica.borrow_mut().handle_log_read(now, id, None);
                self.entrance.reactor.stir();
            }
        }
    }

    /// Counts the time since the last mark as time of `part`.
    fn mark(&self, part: TurnPart) {
        self.entrance.watch.borrow_mut().mark(part);
    }

    /// Takes in finished log writes without a turn. Returns whether there are any.
    pub fn reap(&mut self) -> bool {
        self.disk.reap()
    }

    /// Sets who writes the log: a thread, if other threads want the processors, or the kernel for the ring.
    pub fn write_log_by_thread(&mut self, by_thread: bool) {
        self.disk.write_log_by_thread(by_thread);
    }

    /// From now on, the next completion rings the executor's bell. Returns false if the executor must not sleep.
    pub fn park_log(&mut self) -> bool {
        self.disk.park_log()
    }

    /// From now on, completions do not ring the bell.
    pub fn unpark_log(&mut self) {
        self.disk.unpark_log();
    }

    /// Takes the sockets at the new address of the clients, if it has just changed.
    pub fn new_sockets(&mut self) -> Option<Vec<TcpListener>> {
        self.clients.new_sockets()
    }

    /// Logs the answer to the four-letter word `srvr`, whether or not clients may use that word.
    pub fn say_state(&mut self) {
        // A new reading, not that of this turn: the next turn may be far off, and would take this moment for its own.
        let now = self.clock().now();
        let mut replica = self.entrance.replica.borrow_mut();
        for line in self.clients.state(&mut replica, now).lines() {
            tracing::info!("state: {line}");
        }
        let waiting = self.disk.log_writes_in_flight();
        tracing::info!("state: log writes in flight: {waiting}");
    }

    /// Begins to stop: see [`Replica::shutdown`].
    pub fn shutdown(&self) {
        self.entrance.shutdown();
    }

    /// The way in for events of connections and timers.
    pub fn entrance(&self) -> &Rc<Entrance> {
        &self.entrance
    }

    /// The connections to other servers.
    pub fn links(&self) -> &Links {
        &self.entrance.links
    }

    /// The number of log writes in flight.
    pub fn log_writes_in_flight(&self) -> usize {
        self.disk.log_writes_in_flight()
    }

    /// Whether a client waits for an answer of other servers.
    pub fn awaits_others(&self) -> bool {
        self.entrance.replica.borrow().awaits_others()
    }

    /// Notes that the next turn follows without sleep; `ended` is the end of the last one.
    pub fn goes_on(&self, ended: MonoUs) {
        self.entrance.watch.borrow_mut().goes_on(ended);
    }

    /// Notes that this thread was awake at `last`, the last time that it looked for something, and does not sleep
    /// before the next turn.
    pub fn was_awake(&self, last: Instant) {
        self.entrance.watch.borrow_mut().was_awake(last);
    }

    /// The length from which a pause of this thread is a stall; `None`: no stalls are recorded.
    pub fn stall_threshold(&self) -> Option<Duration> {
        self.entrance.watch.borrow().threshold()
    }

    /// Notes that this thread looked for a log write at `from`, and could not look again before `to`.
    pub fn was_held(&self, from: Instant, to: Instant) {
        self.entrance.watch.borrow_mut().was_held(from, to);
    }

    /// Takes the reason why the process must stop, if it must.
    pub fn fatal(&self) -> Option<Failure> {
        self.entrance.failure.borrow_mut().take()
    }

    /// The time at which the next turn is due without any event; `None`: only an event makes one.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        self.entrance.replica.borrow().next_timeout()
    }

    /// The clock whose readings the replica gets.
    pub fn clock(&self) -> Clock {
        self.entrance.watch.borrow().clock()
    }

    /// Whether nothing is in flight any more, so that the process may end.
    pub fn is_quiet(&self) -> bool {
        self.disk.log_writes_in_flight() == 0 && self.entrance.replica.borrow().is_quiet()
    }
}
