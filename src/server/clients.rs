//! How an executor carries clients: their connections, accepting them, and their end.

use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::host::Deliver;
use crate::net::{self, Accepting, Budget, Census, Connections, Core, NetOptions};
use crate::replica::Outgoing;
use crate::runtime::Reactor;

/// How often connections without a first frame are looked for.
const SILENCE_CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long connections may take to get their last bytes when the server stops.
pub const FAREWELL: Duration = Duration::from_millis(200);

/// How clients are carried, on whichever executor.
#[derive(Clone)]
pub struct Clients {
    /// `clientTcpKeepAlive`.
    pub keep_alive: bool,
    /// Options of each session core.
    pub options: NetOptions,
    /// Bounds on connections.
    pub census: Census,
    /// What connections may hold together.
    pub budget: Budget,
}

impl Clients {
    /// An empty table of connections.
    pub fn connections(&self, core: u8, reactor: &Reactor) -> Connections {
        Connections::new(core, self.options, self.census.clone(), &self.budget, reactor.clone())
    }

    /// Accepts clients as long as the result lives.
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
                    tracing::error!("clients cannot be listened for: {error}");
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

/// Closes connections that open no session, for ever.
pub fn watch_silence(connections: Connections, reactor: &Reactor) {
    let then = reactor.clone();
    let look = move || {
        connections.close_silent(Instant::now());
        watch_silence(connections, &then);
    };
    reactor.after(SILENCE_CHECK_EVERY, look).detach();
}

/// Lets connections get their last bytes.
pub fn farewell(connections: &Connections, reactor: &Reactor) {
    connections.stop();
    let until = Instant::now() + FAREWELL;
    while !connections.is_empty() && Instant::now() < until {
        if reactor.dispatch().is_err() || reactor.sleep(Some(until)).is_err() {
            return;
        }
    }
}
