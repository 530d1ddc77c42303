//! Listens for other servers, on ports that may change while the server runs.
//!
//! ```text
//! start ─▶ attempt ─▶ helper: name, bind ─▶ on_bound ─▶ bound: accepts until it is dropped
//!              ▲                               │ failed: a line in the log for every 30th
//!              └────────── a second ───────────┘ too often, on every address of the port: LinkCore::link_fatal
//! ```
//! A reconfiguration may move the ports of a server that runs: [`Links`] drops the listeners that are no longer
//! wanted. A port may still be taken by an earlier process of this server, and a name may not resolve yet: so a
//! failed attempt is repeated.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::helpers::Job;
use super::{Links, Waiting};
use crate::link::{Endpoint, Port};
use crate::runtime::{Readiness, Registration, SocketOwner, Timer, accept};

/// Time between two attempts to listen.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Attempts between two lines about failing to listen.
const ATTEMPTS_PER_LINE: u32 = 30;

/// Advice for an operator.
pub(super) const WAY_OUT: &str = "Another process may have the port (`ss -ltnp`), or this machine may not have the \
    address: the server.N line of this server must name one that it has";

/// The name of a port in messages.
pub(super) fn name(port: Port) -> &'static str {
    match port {
        Port::Quorum => "quorum port",
        Port::Election => "election port",
        Port::ObserverMaster => "port for observers (observerMasterPort)",
    }
}

/// How long accepting pauses after a failure: the process may have no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections accepted in a row.
const ACCEPTED_PER_TURN: usize = 16;

/// One listening address. Dropping it stops listening there.
pub(super) struct Listener {
    inner: Rc<Inner>,
}

/// The part that the reactor and the helpers reference.
pub(super) struct Inner {
    /// All links, which get the accepted connections.
    links: Links,
    /// What connects here.
    port: Port,
    /// The address, or a name that is resolved at each attempt.
    at: Endpoint,
    /// The time of the first attempt.
    began: Instant,
    /// How many attempts have ended.
    attempts: Cell<u32>,
    /// The socket, once it is bound, and the watch on it.
    bound: RefCell<Option<(Registration, Rc<TcpListener>)>>,
    /// Runs until the next attempt, or until accepting goes on.
    pause: RefCell<Option<Timer>>,
    /// The listener was dropped, and the outcome of an attempt means nothing any more.
    stopped: Cell<bool>,
}

impl Listener {
    /// Begins to listen at an endpoint; the socket is bound later, by a helper.
    pub fn start(links: Links, port: Port, at: Endpoint) -> Listener {
        let inner = Rc::new(Inner {
            links,
            port,
            at,
            began: Instant::now(),
            attempts: Cell::new(0),
            bound: RefCell::new(None),
            pause: RefCell::new(None),
            stopped: Cell::new(false),
        });
        inner.attempt();
        Listener { inner }
    }

    #[cfg(test)]
    pub fn at(&self) -> &Endpoint {
        &self.inner.at
    }

    #[cfg(test)]
    pub fn attempts(&self) -> u32 {
        self.inner.attempts.get()
    }

    #[cfg(test)]
    pub fn is_bound(&self) -> bool {
        self.inner.bound.borrow().is_some()
    }

    /// Whether it is for this port and this endpoint.
    pub fn is(&self, port: Port, at: &Endpoint) -> bool {
        self.inner.port == port && self.inner.at == *at
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.inner.stopped.set(true);
        self.inner.bound.take();
        self.inner.pause.take();
    }
}

impl Inner {
    /// Has a helper resolve the name and bind a socket; [`Inner::on_bound`] gets the outcome.
    fn attempt(self: &Rc<Self>) {
        let shared = &self.links.shared;
        match shared.helpers.start(Job::Bind { at: self.at.clone() }) {
            None => self.on_bound(Err("too many names are being resolved".to_owned())),
            Some(job) => {
                shared.jobs.borrow_mut().insert(job, Waiting::Listener(self.clone()));
            }
        }
    }

    /// Handles the outcome of an attempt. After a failure there is another attempt, a second later, even after the
    /// server was told that it cannot continue.
    pub fn on_bound(self: &Rc<Self>, outcome: Result<TcpListener, String>) {
        if self.stopped.get() {
            return;
        }
        let (port, at, before) = (self.port, &self.at, self.attempts.get());
        let attempts = before.saturating_add(1);
        self.attempts.set(attempts);
        // A socket that would block the thread is as good as none.
        let outcome = outcome.and_then(|socket| match socket.set_nonblocking(true) {
            Ok(()) => Ok(socket),
            Err(error) => Err(error.to_string()),
        });
        let reason = match outcome {
            Ok(socket) => {
                tracing::info!(
                    "listening for other servers at {}:{}, its {}",
                    at.host,
                    at.port,
                    name(port)
                );
                let socket = Rc::new(socket);
                let watch = self.links.shared.reactor.watch_unheld(socket.as_fd(), self.clone());
                *self.bound.borrow_mut() = Some((watch, socket));
                return;
            }
            Err(reason) => reason,
        };
        // A server that is reached at one of its addresses is a member that works.
        let (others_wait, other_listens) = self.others();
        let attempts_max = self.links.shared.options.bind_attempts_max;
        if attempts_max.is_some_and(|max| attempts >= max) && !others_wait && !other_listens {
            // ZooKeeper: QuorumCnxManager.Listener ends the process when it has given up its last
            // address, and continues as long as it listens at one.
            if let Some(core) = self.links.core() {
                core.link_fatal(format!(
                    "this server cannot listen at {}:{}, its {}: {reason}. It has tried {attempts} times, as \
                     electionPortBindRetry says, and listens at no other address of that port, so no \
                     other server reaches it. {WAY_OUT}",
                    at.host,
                    at.port,
                    name(port)
                ));
            }
        } else if before.is_multiple_of(ATTEMPTS_PER_LINE) {
            let so = match other_listens {
                true => "others reach this server at its other addresses",
                false => "this server takes no part in its ensemble until it works",
            };
            tracing::error!(
                "this server cannot listen at {}:{}, its {}: {reason}. It has tried for {} s and \
                 keeps trying; {so}. {WAY_OUT}",
                at.host,
                at.port,
                name(port),
                self.began.elapsed().as_secs()
            );
        }
        self.after(RETRY_EVERY, Inner::attempt);
    }

    /// The other addresses of this port: whether one may still be bound within its attempts, and
    /// whether one is bound.
    fn others(&self) -> (bool, bool) {
        let max = self.links.shared.options.bind_attempts_max.unwrap_or(u32::MAX);
        // While listeners are being made, none of them has failed for good.
        let Ok(listeners) = self.links.shared.listeners.try_borrow() else { return (true, false) };
        let inner = listeners.iter().map(|listener| &listener.inner);
        let others = inner.filter(|other| other.port == self.port && other.at != self.at);
        others.fold((false, false), |(wait, listen), other| {
            let is_bound = other.bound.borrow().is_some();
            (wait || (!is_bound && other.attempts.get() < max), listen || is_bound)
        })
    }

    /// Calls `then` after a pause, unless the listener is dropped first.
    fn after(self: &Rc<Self>, pause: Duration, then: impl FnOnce(&Rc<Self>) + 'static) {
        let this = self.clone();
        let timer = self.links.shared.reactor.after(pause, move || {
            this.pause.take();
            then(&this);
        });
        *self.pause.borrow_mut() = Some(timer);
    }

    /// Makes the reactor call it again: there may be more connections, which it does not report twice.
    fn look_again(&self) {
        if let Some((watch, _)) = &*self.bound.borrow() {
            watch.again();
        }
    }
}

impl SocketOwner for Inner {
    fn ready(self: Rc<Self>, _: Readiness) {
        // Its timer calls again.
        if self.pause.borrow().is_some() {
            return;
        }
        for _ in 0..ACCEPTED_PER_TURN {
            // Looked up each time: what follows an accepted connection may drop this listener.
            let Some(socket) = self.bound.borrow().as_ref().map(|(_, socket)| socket.clone())
            else {
                return;
            };
            match accept(&socket) {
                Ok(Some((stream, remote))) => self.links.accept(stream.into(), self.port, remote),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!("accepting a connection of another server failed: {error}");
                    return self.after(PAUSE, |this| this.look_again());
                }
            }
        }
        self.look_again();
    }
}
