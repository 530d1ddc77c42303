//! Threads for what may take seconds: resolving names, making connections.
//!
//! One thread per job, since a server that does not answer must not hold up the connection to one
//! that does; an ensemble is small, and connections between its servers are made rarely.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::limits;
use crate::net::bind;
use crate::peer::link::Endpoint;
use crate::runtime::Doorbell;

/// Connections of other servers that the kernel may hold while we are busy.
const BACKLOG: u32 = 128;

/// Something that may take a while.
pub(super) enum Job {
    Connect { to: Vec<Endpoint>, timeout: Duration },
    Bind { at: Endpoint },
}

/// What became of it, in words for an operator if nothing.
pub(super) enum Outcome {
    Connected(Result<(TcpStream, SocketAddr), String>),
    Bound(Result<TcpListener, String>),
}

/// Those at work.
pub(super) struct Helpers {
    bell: Doorbell,
    done: Sender<(u64, Outcome)>,
    outcomes: Receiver<(u64, Outcome)>,
    next: Cell<u64>,
    at_work: Cell<usize>,
}

impl Helpers {
    pub fn new(bell: Doorbell) -> Helpers {
        let (done, outcomes) = channel();
        Helpers { bell, done, outcomes, next: Cell::new(0), at_work: Cell::new(0) }
    }

    /// Begins a job; `None`: there are too many.
    pub fn start(&self, job: Job) -> Option<u64> {
        if self.at_work.get() >= limits::LINK_JOBS_MAX {
            return None;
        }
        let number = self.next.get();
        let (bell, done) = (self.bell.clone(), self.done.clone());
        let work = move || {
            let outcome = match job {
                Job::Connect { to, timeout } => Outcome::Connected(connect(&to, timeout)),
                Job::Bind { at } => Outcome::Bound(listen(&at)),
            };
            // The server may have ended meanwhile.
            let _ = done.send((number, outcome));
            bell.ring();
        };
        std::thread::Builder::new().name("rk-connect".into()).spawn(work).ok()?;
        self.next.set(number + 1);
        self.at_work.set(self.at_work.get() + 1);
        Some(number)
    }

    /// A job that is done.
    pub fn finished(&self) -> Option<(u64, Outcome)> {
        if self.at_work.get() == 0 {
            return None;
        }
        let finished = self.outcomes.try_recv().ok()?;
        self.at_work.set(self.at_work.get() - 1);
        Some(finished)
    }
}

fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
    let Endpoint { host, port } = endpoint;
    match (host.as_str(), *port).to_socket_addrs() {
        Ok(addresses) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() { Err(format!("{host} has no address")) } else { Ok(addresses) }
        }
        Err(error) => Err(format!("{host} cannot be resolved: {error}")),
    }
}

/// Tries all addresses of all endpoints, in order, within the time.
fn connect(to: &[Endpoint], timeout: Duration) -> Result<(TcpStream, SocketAddr), String> {
    let until = Instant::now() + timeout;
    let mut reasons: Vec<String> = Vec::new();
    for (index, endpoint) in to.iter().enumerate() {
        let addresses = match resolve(endpoint) {
            Ok(addresses) => addresses,
            Err(reason) => {
                reasons.push(reason);
                continue;
            }
        };
        for (at, address) in addresses.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            // What is behind this one gets its share.
            let others = addresses.len() - at + to.len() - index - 1;
            let share = left / u32::try_from(others).unwrap_or(u32::MAX);
            if share.is_zero() {
                reasons.push("no time was left".to_owned());
                return Err(reasons.join("; "));
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => return Ok((stream, *address)),
                Err(error) => reasons.push(format!("{address}: {error}")),
            }
        }
    }
    if reasons.is_empty() {
        reasons.push("there is no address to connect to".to_owned());
    }
    Err(reasons.join("; "))
}

fn listen(at: &Endpoint) -> Result<TcpListener, String> {
    let addresses = resolve(at)?;
    // ZooKeeper: of a name with several addresses the first one counts.
    let first = addresses[0];
    let bound = match bind(first, BACKLOG, false) {
        // A machine without IPv6 has its other addresses all the same.
        Err(_) if first.is_ipv6() && first.ip().is_unspecified() => {
            bind((Ipv4Addr::UNSPECIFIED, first.port()).into(), BACKLOG, false)
        }
        bound => bound,
    };
    bound.map_err(|error| format!("{first}: {error}"))
}
