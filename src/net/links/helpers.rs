//! Threads for work that may take seconds: connecting, and binding to addresses that may be names.
//!
//! One thread per job, because a server that does not answer must not delay the connection to one
//! that does; an ensemble is small, and connections between its servers are made rarely.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::dial;
use super::names::{Lookup, Names};
use crate::limits;
use crate::link::Endpoint;
use crate::net::bind;
use crate::runtime::Doorbell;

/// Connections of other servers that the kernel may hold while we are busy.
const BACKLOG: u32 = 128;

/// How long to wait for a resolver before an attempt to listen fails, or an accepted connection
/// counts as a non-member's; the next attempt asks again.
const NAME_PATIENCE: Duration = Duration::from_secs(5);

/// A job that may take a while.
pub(super) enum Job {
    /// Connect to the first of these endpoints that answers.
    Connect { to: Vec<Endpoint>, timeout: Duration },
    /// Listen at an endpoint.
    Bind { at: Endpoint },
    /// Ask for the addresses of these names.
    Resolve { hosts: Vec<String> },
}

/// The result of a job; failures are texts for an operator.
pub(super) enum Outcome {
    /// The connected socket.
    Connected(Result<dial::Reached, String>),
    /// The listening socket.
    Bound(Result<TcpListener, String>),
    /// For each name its addresses, or why there are none.
    Resolved(Vec<(String, Result<Vec<IpAddr>, String>)>),
}

/// The threads at work.
pub(super) struct Helpers {
    /// Wakes the replica's executor for a finished job.
    bell: Doorbell,
    /// Each thread has a clone of it.
    done: Sender<(u64, Outcome)>,
    /// Finished jobs, by number.
    outcomes: Receiver<(u64, Outcome)>,
    /// The number of the next job.
    next: Cell<u64>,
    /// Jobs that are not finished. Invariant: at most [`limits::LINK_JOBS_MAX`].
    at_work: Cell<usize>,
    /// Shared by all threads, so that a name is asked for once.
    names: Names,
}

impl Helpers {
    /// No threads yet.
    pub fn new(bell: Doorbell) -> Helpers {
        let (done, outcomes) = channel();
        let names = Names::default();
        Helpers { bell, done, outcomes, next: Cell::new(0), at_work: Cell::new(0), names }
    }

    /// Begins a job; `None`: there are too many jobs, or the system gives no thread.
    pub fn start(&self, job: Job) -> Option<u64> {
        if self.at_work.get() >= limits::LINK_JOBS_MAX {
            return None;
        }
        let number = self.next.get();
        let (bell, done, names) = (self.bell.clone(), self.done.clone(), self.names.clone());
        let work = move || {
            let outcome = match job {
                Job::Connect { to, timeout } => {
                    Outcome::Connected(dial::connect(&to, timeout, &names))
                }
                Job::Bind { at } => Outcome::Bound(listen(&at, &names)),
                Job::Resolve { hosts } => Outcome::Resolved(resolve(hosts, &names)),
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

    /// The next finished job.
    pub fn finished(&self) -> Option<(u64, Outcome)> {
        if self.at_work.get() == 0 {
            return None;
        }
        let finished = self.outcomes.try_recv().ok()?;
        self.at_work.set(self.at_work.get() - 1);
        Some(finished)
    }
}

/// Resolves all of these at once.
fn resolve(hosts: Vec<String>, names: &Names) -> Vec<(String, Result<Vec<IpAddr>, String>)> {
    let until = Instant::now() + NAME_PATIENCE;
    let asked: Vec<_> = hosts
        .into_iter()
        .map(|host| (names.ask(&Endpoint { host: host.clone(), port: 0 }), host))
        .collect();
    let answer = |lookup: Lookup| {
        let addresses = lookup.answer_until(until)?;
        Ok(addresses.iter().map(SocketAddr::ip).collect())
    };
    asked.into_iter().map(|(lookup, host)| (host, answer(lookup))).collect()
}

/// Listens at an endpoint.
///
/// # Errors
/// A text for an operator.
pub(super) fn listen(at: &Endpoint, names: &Names) -> Result<TcpListener, String> {
    try_listen(at, names).map_err(|(_, reason)| reason)
}

/// Listens at the first address of an endpoint. Waits [`NAME_PATIENCE`] for its name at most.
///
/// # Errors
/// The kind of the failure, and a text for an operator.
pub(super) fn try_listen(at: &Endpoint, names: &Names) -> Result<TcpListener, (ErrorKind, String)> {
    let no_address = |reason| (ErrorKind::NotFound, reason);
    let addresses =
        names.ask(at).answer_until(Instant::now() + NAME_PATIENCE).map_err(no_address)?;
    // ZooKeeper: it uses the first one of several addresses of a name.
    let first = *addresses.first().ok_or_else(|| no_address("it has no address".to_owned()))?;
    let bound = match bind(first, BACKLOG, false) {
        // A machine without IPv6 still has its IPv4 addresses.
        Err(_) if first.is_ipv6() && first.ip().is_unspecified() => {
            bind((Ipv4Addr::UNSPECIFIED, first.port()).into(), BACKLOG, false)
        }
        bound => bound,
    };
    bound.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => {
                " (ports below 1024 need CAP_NET_BIND_SERVICE, `AmbientCapabilities=` in a systemd unit)"
            }
            _ => "",
        };
        (error.kind(), format!("{first}: {error}{hint}"))
    })
}
