//! Listening for other servers, on ports that may change while the server runs.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::Task;

use super::helpers::Job;
use super::{Links, Waiting};
use crate::peer::link::{Endpoint, Port};
use crate::runtime::{Event, adopt_listener, std_stream};

/// Time between two attempts to listen.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Attempts between two lines that say that it does not work.
const ATTEMPTS_PER_LINE: u32 = 30;

/// How long accepting pauses after a failure: the process may have no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// One address. Dropping it stops listening there.
pub(super) struct Listener {
    port: Port,
    at: Endpoint,
    _task: Task<()>,
}

/// Where the outcome of an attempt to bind is put.
#[derive(Default)]
pub(super) struct Bound {
    outcome: RefCell<Option<Result<TcpListener, String>>>,
    is_there: Event,
}

impl Bound {
    pub fn set(&self, outcome: Result<TcpListener, String>) {
        *self.outcome.borrow_mut() = Some(outcome);
        self.is_there.set();
    }
}

impl Listener {
    pub fn start(links: Links, port: Port, at: Endpoint) -> Listener {
        let task = glommio::spawn_local(serve(links, port, at.clone()));
        Listener { port, at, _task: task }
    }

    #[cfg(test)]
    pub fn at(&self) -> &Endpoint {
        &self.at
    }

    pub fn is(&self, port: Port, at: &Endpoint) -> bool {
        self.port == port && self.at == *at
    }
}

async fn serve(links: Links, port: Port, at: Endpoint) {
    let listener = listen(&links, port, &at).await;
    tracing::info!("listening for other servers at {}:{} ({port:?})", at.host, at.port);
    let listener = adopt_listener(listener);
    loop {
        let accepted = match listener.shared_accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("accepting a connection of another server failed: {error}");
                glommio::timer::sleep(PAUSE).await;
                continue;
            }
        };
        let peer = accepted.peer_addr();
        // Gone already: dropping the stream closes it.
        let Ok(remote) = peer else { continue };
        match std_stream(&accepted.bind_to_executor()) {
            Ok(stream) => links.accept(stream, port, remote),
            Err(error) => {
                tracing::warn!("connection from {remote} could not be used: {error}");
                glommio::timer::sleep(PAUSE).await;
            }
        }
    }
}

/// Tries until it works.
async fn listen(links: &Links, port: Port, at: &Endpoint) -> TcpListener {
    let began = Instant::now();
    for attempt in 0u32.. {
        let bound = Rc::new(Bound::default());
        let result = match links.shared.helpers.start(Job::Bind { at: at.clone() }) {
            None => Err("too many names are being resolved".to_owned()),
            Some(job) => {
                links.shared.jobs.borrow_mut().insert(job, Waiting::Listener(bound.clone()));
                bound.is_there.wait().await;
                bound.outcome.borrow_mut().take().expect("it was set")
            }
        };
        let attempts_max = links.shared.options.bind_attempts_max;
        match result {
            Ok(listener) => return listener,
            // ZooKeeper: QuorumCnxManager.Listener ends the process then.
            Err(reason) if attempts_max.is_some_and(|max| attempt >= max) => {
                if let Some(core) = links.core() {
                    core.link_fatal(format!(
                        "cannot listen for other servers at {}:{} ({port:?}) after {attempt} \
                         attempts (electionPortBindRetry): {reason}",
                        at.host, at.port
                    ));
                }
            }
            Err(reason) if attempt.is_multiple_of(ATTEMPTS_PER_LINE) => tracing::error!(
                "cannot listen for other servers at {}:{} ({port:?}): {reason}. Tried for {} s, \
                 trying on: this server takes no part in its ensemble until it works",
                at.host,
                at.port,
                began.elapsed().as_secs()
            ),
            Err(_) => {}
        }
        glommio::timer::sleep(RETRY_EVERY).await;
    }
    unreachable!("there are more attempts than seconds")
}
