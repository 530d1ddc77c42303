//! How an executor carries clients: it accepts connections, and closes them at the end. The executor of a small
//! server and each session core use it alike; what connections do in between is in `net`.

use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::host::Deliver;
use crate::net::{self, Accepting, Budget, Census, Connections, Core, Door, NetOptions};
use crate::replica::Outgoing;
use crate::runtime::Reactor;

/// The time between two searches for connections that have sent no first frame in time.
const SILENCE_CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long a stopping server waits for clients to take their last bytes. The same time is given to links between
/// servers, and to queues between executors.
pub const FAREWELL: Duration = Duration::from_millis(200);

/// The options and bounds of connections, the same on every executor.
#[derive(Clone)]
pub struct Clients {
    /// Whether the kernel checks idle connections (`clientTcpKeepAlive`).
    pub keep_alive: bool,
    /// The options of each session core.
    pub options: NetOptions,
    /// What clients speak.
    pub doors: Doors,
    /// Bounds how many connections there are. All executors share it.
    pub census: Census,
    /// Bounds what connections hold together. All executors share it.
    pub budget: Budget,
}

/// What clients speak on each of the two ports.
#[derive(Clone)]
pub struct Doors {
    /// `clientPort`.
    pub client: Door,
    /// `secureClientPort`.
    pub secure: Door,
}

/// One of the ports of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// `clientPort`.
    Client,
    /// `secureClientPort`.
    Secure,
}

impl Clients {
    /// An empty table of connections for the executor with this number.
    pub fn connections(&self, core: u8, reactor: &Reactor) -> Connections {
        Connections::new(core, self.options, self.census.clone(), &self.budget, reactor.clone())
    }

    /// Accepts clients of a port from `sockets`, until the result is dropped, and passes their events to `core`. A socket
    /// that cannot be used is logged and left out.
    pub fn accept(
        &self,
        port: Port,
        sockets: Vec<TcpListener>,
        connections: &Connections,
        core: &Rc<dyn Core>,
    ) -> Vec<Accepting> {
        let serve = |socket| {
            let door = match port {
                Port::Client => self.doors.client.clone(),
                Port::Secure => self.doors.secure.clone(),
            };
            let (table, core) = (connections.clone(), core.clone());
            match net::serve(socket, self.keep_alive, door, table, core) {
                Ok(accepting) => Some(accepting),
                Err(error) => {
                    tracing::error!("cannot listen for clients: {error}");
                    None
                }
            }
        };
        sockets.into_iter().filter_map(serve).collect()
    }
}

impl Deliver for Connections {
    fn deliver(&self, send: Outgoing) -> Option<Vec<u8>> {
        Connections::deliver(self, send)
    }

    fn flush(&self) {
        self.settle();
    }
}

/// From now on, closes connections that open no session in time, once in each [`SILENCE_CHECK_EVERY`].
pub fn watch_silence(connections: Connections, reactor: &Reactor) {
    let then = reactor.clone();
    let look = move || {
        connections.close_silent(Instant::now());
        watch_silence(connections, &then);
    };
    reactor.after(SILENCE_CHECK_EVERY, look).detach();
}

/// Closes all connections, and waits up to [`FAREWELL`] for their clients to take the last bytes.
pub fn farewell(connections: &Connections, reactor: &Reactor) {
    // No new frame is read from here on.
    connections.stop();
    let until = Instant::now() + FAREWELL;
    while !connections.is_empty() && Instant::now() < until {
        // The process ends anyway, so an error of the ring changes nothing.
        if reactor.dispatch().is_err() || reactor.sleep(Some(until)).is_err() {
            return;
        }
    }
}
