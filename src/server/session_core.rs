//! A session core: an executor that carries connections for a replica on another core.
//!
//! ```text
//! sockets ─▶ reactor ─▶ connections ─▶ uplink ─▶ queue ─▶ replica
//! sockets ◀─ settle  ◀─ connections ◀─ inbox  ◀─ queue ◀─ replica
//! ```
//! A round takes in bytes of the sockets and messages of the replica, sends the resulting events to the replica, and
//! sleeps when there is nothing more to do. Before it sleeps it looks for a while, unless other threads want the
//! processor ([`Crowd`]).

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::clients::{self, Clients, Port};
use super::crossing::{Order, SessionEnds, SessionInbox, Uplink};
use super::crowd::{Crowd, Crowding};
use crate::net::{Accepting, Connections, Core};
use crate::runtime::{Doorbell, Reactor, RingError, ThreadUse, set_slices};

/// Everything that a session core needs.
pub struct SessionCore {
    /// Its number, from 0. The ids of its connections contain it.
    pub number: u8,
    /// Its ends of the queues.
    pub ends: SessionEnds,
    /// The bell that wakes its thread.
    pub bell: Doorbell,
    /// The options and bounds of connections.
    pub clients: Clients,
    /// How long the core looks for events before it sleeps; zero: it never looks.
    pub look: Duration,
}

impl SessionCore {
    /// Runs until the replica stops it. Calls `up` once the ring is there.
    ///
    /// # Errors
    /// The system denies the ring on which the thread waits.
    pub fn run(self, up: impl FnOnce()) -> Result<(), RingError> {
        let SessionCore { number, ends, bell, clients, look } = self;
        let reactor = Reactor::new(bell)?;
        let connections = clients.connections(number, &reactor);
        let (uplink, inbox) = ends.open(&connections);
        reactor.set_inbox(inbox.clone());
        let (crowd, crowding) = (Crowd::new(Instant::now(), !look.is_zero()), Crowding::Nobody);
        let round = Round { reactor, connections, uplink, inbox, clients, look, crowd, crowding };
        up();
        round.repeat()
    }
}

/// Everything that a round uses.
struct Round {
    /// The ring on which the thread waits.
    reactor: Reactor,
    /// The connections of this core.
    connections: Connections,
    /// The way of events to the replica.
    uplink: Rc<Uplink>,
    /// The messages of the replica, which the reactor takes in.
    inbox: Rc<SessionInbox>,
    /// The options and bounds of connections.
    clients: Clients,
    /// How long the core looks before it sleeps.
    look: Duration,
    /// Finds out whether looking pays.
    crowd: Crowd,
    /// What the last look has found out; the time slices of the thread follow from it.
    crowding: Crowding,
}

impl Round {
    /// Repeats rounds until the replica stops this core.
    fn repeat(mut self) -> Result<(), RingError> {
        let (client, secure) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let stop_accepting = || {
            client.borrow_mut().clear();
            secure.borrow_mut().clear();
        };
        clients::watch_silence(self.connections.clone(), &self.reactor);
        loop {
            self.reactor.dispatch()?;
            self.connections.write_some();
            self.connections.settle();
            // Once in each round, so that the events of many connections make one message.
            self.uplink.flush();
            while let Some(order) = self.inbox.order() {
                match order {
                    Order::Listen(port, socket) => {
                        let accepting = match port {
                            Port::Client => &client,
                            Port::Secure => &secure,
                        };
                        *accepting.borrow_mut() = self.accept(port, socket);
                    }
                    Order::StopAccepting => stop_accepting(),
                    Order::Stop => {
                        stop_accepting();
                        clients::farewell(&self.connections, &self.reactor);
                        return Ok(());
                    }
                }
            }
            // Queued output is written in the next round, which follows at once.
            if !self.connections.has_line() && !self.finds_something() {
                self.reactor.sleep(None)?;
            }
        }
    }

    /// Accepts connections of a port from one socket.
    fn accept(&self, port: Port, socket: TcpListener) -> Vec<Accepting> {
        let core: Rc<dyn Core> = self.uplink.clone();
        self.clients.accept(port, vec![socket], &self.connections, &core)
    }

    /// Looks for events for a while, and returns whether there are any. The only system call is the yield.
    fn finds_something(&mut self) -> bool {
        let started = Instant::now();
        let crowding = self.crowd.at(started);
        // Asked of the scheduler only when it changes, because it costs a system call.
        if crowding != self.crowding {
            set_slices(crowding.slices());
            self.crowding = crowding;
        }
        let long = self.crowd.look(started, self.look);
        if long.is_zero() {
            return self.reactor.has_events();
        }
        let taken = || ThreadUse::read().preemptions;
        self.crowd.begin(taken);
        let mut last = started;
        while !self.reactor.has_events() {
            if last - started >= long {
                return false;
            }
            std::thread::yield_now();
            let before = std::mem::replace(&mut last, Instant::now());
            self.crowd.looked(before, last, taken);
        }
        true
    }
}
