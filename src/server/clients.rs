//! How an executor carries clients: it accepts connections, and closes them at the end.

use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::host::Deliver;
use crate::net::{self, Accepting, Budget, Census, Connections, Core, NetOptions};
use crate::replica::Outgoing;
use crate::runtime::Reactor;

/// How often the server looks for connections without a first frame.
const SILENCE_CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long the server waits for clients to take their last bytes when it stops.
pub const FAREWELL: Duration = Duration::from_millis(200);

/// The options and bounds of connections, the same on every executor.
#[derive(Clone)]
pub struct Clients {
    /// `clientTcpKeepAlive`.
    pub keep_alive: bool,
    /// The options of each session core.
    pub options: NetOptions,
    /// Bounds how many connections there are.
    pub census: Census,
    /// Bounds what connections hold together.
    pub budget: Budget,
}

impl Clients {
    /// An empty table of connections.
    pub fn connections(&self, core: u8, reactor: &Reactor) -> Connections {
        Connections::new(core, self.options, self.census.clone(), &self.budget, reactor.clone())
    }

    /// Accepts clients until the result is dropped.
    pub fn accept(
        &self,
        sockets: Vec<TcpListener>,
        connections: &Connections,
        core: &Rc<dyn Core>,
    ) -> Vec<Accepting> {
        let serve =
            |socket| match net::serve(socket, self.keep_alive, connections.clone(), core.clone()) {
                Ok(accepting) => Some(accepting),
                Err(error) => {
                    tracing::error!("cannot listen for clients: {error}");
                    None
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

/// From now on closes connections that open no session.
pub fn watch_silence(connections: Connections, reactor: &Reactor) {
    let then = reactor.clone();
    let look = move || {
        connections.close_silent(Instant::now());
        watch_silence(connections, &then);
    };
    reactor.after(SILENCE_CHECK_EVERY, look).detach();
}

/// Closes all connections, and gives their clients time to take the last bytes.
pub fn farewell(connections: &Connections, reactor: &Reactor) {
    connections.stop();
    let until = Instant::now() + FAREWELL;
    while !connections.is_empty() && Instant::now() < until {
        if reactor.dispatch().is_err() || reactor.sleep(Some(until)).is_err() {
            return;
        }
    }
}
