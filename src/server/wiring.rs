//! Executors, and what runs on which.
//!
//! On a small machine everything runs on one executor: a request then crosses no core, and a core
//! crossing costs as much as a disk write there. On a larger one the replica has a core to itself
//! and session cores carry the sockets. The parts are the same; only [`Core`] and [`Deliver`] are
//! other implementations.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::crossing::{self, Down, ReplicaEnds, SessionEnds};
use super::host::{Deliver, Host};
use super::turns::{self, Ended, Patience};
use crate::net::{self, Accepting, Census, Connections, Core, NetOptions};
use crate::replica::Send;
use crate::runtime::{Doorbell, Reactor, Sleeping, StopFlag};

/// Session cores at most: one replica core feeds no more.
const SESSION_CORES_MAX: u32 = 12;

/// Memory that glommio keeps for its own file buffers, per executor; we use none of it.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// Entries of an executor's rings.
const EXECUTOR_RING_ENTRIES: usize = 512;

/// How often connections without a first frame are looked for.
const SILENCE_CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long connections may take to get their last bytes when the server stops.
const FAREWELL: Duration = Duration::from_millis(200);

/// Which executors there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wiring {
    /// Session cores beside the replica's; 0: one executor does everything.
    pub session_cores: u32,
    /// The processors that the executors are bound to, the replica's first; empty: none is bound.
    pub processors: Vec<usize>,
    /// How long an executor without work looks for some before it sleeps.
    pub spin: Duration,
    /// How the log and other servers are waited for.
    pub patience: Patience,
}

impl Wiring {
    /// The wiring for so many cores of the processors this process may use.
    pub fn choose(
        cores: Option<u32>,
        pin: bool,
        spin: Option<Duration>,
        allowed: &[usize],
    ) -> Wiring {
        let machine = u32::try_from(allowed.len()).unwrap_or(u32::MAX).max(1);
        let cores = cores.unwrap_or(machine);
        let session_cores = if cores <= 2 { 0 } else { (cores - 1).min(SESSION_CORES_MAX) };
        // One executor is left to the scheduler: bound, it could not move away from a neighbour.
        let executors = session_cores as usize + 1;
        let bound = pin && session_cores > 0 && executors <= allowed.len();
        let processors = if bound { allowed[..executors].to_vec() } else { Vec::new() };
        let look = spin.unwrap_or(LOG_LOOK);
        // Spinning takes a processor from others unless it is ours.
        let own = bound || machine > cores;
        let spin =
            spin.unwrap_or(if own && session_cores > 0 { SPIN_IF_OURS } else { Duration::ZERO });
        Wiring { session_cores, processors, spin, patience: Patience::new(look) }
    }

    /// In words, for the start-up screen.
    pub fn describe(&self) -> String {
        let bound = if self.processors.is_empty() {
            String::new()
        } else {
            format!(", bound to processors {:?}", self.processors)
        };
        match self.session_cores {
            0 => "one executor for connections and state".to_owned(),
            1 => format!("1 session core and a replica core{bound}"),
            n => format!("{n} session cores and a replica core{bound}"),
        }
    }

    fn executor(&self, index: usize, name: &str) -> LocalExecutorBuilder {
        let placement = match self.processors.get(index) {
            Some(processor) => Placement::Fixed(*processor),
            None => Placement::Unbound,
        };
        LocalExecutorBuilder::new(placement)
            .name(name)
            .io_memory(EXECUTOR_IO_BYTES)
            .ring_depth(EXECUTOR_RING_ENTRIES)
            .spin_before_park(self.spin)
    }
}

/// A spin before sleeping that catches most messages between busy cores (measured: a round trip
/// of 13 µs instead of 50).
const SPIN_IF_OURS: Duration = Duration::from_micros(20);

/// Looking at the ring catches a write of a fast disk; a slower one is slept for. 500 µs did best of
/// 0, 150, 500 and 1000 (ARCHITECTURE.md, "Tried").
const LOG_LOOK: Duration = Duration::from_micros(500);

/// How clients are listened for.
pub struct Listening {
    /// One socket per session core, at least one.
    pub sockets: Vec<TcpListener>,
    /// `clientTcpKeepAlive`.
    pub keep_alive: bool,
    /// Options of each session core.
    pub options: NetOptions,
    /// Bounds on connections.
    pub census: Census,
}

/// What a running server tells the main thread.
#[derive(Debug)]
pub enum News {
    /// It serves.
    Serving,
    /// It has ended.
    Ended(Ended),
    /// It could not start.
    Failed(String),
}

/// Makes the host on its own executor, for a replica does not move between threads.
pub type MakeHost = Box<
    dyn FnOnce(Box<dyn Deliver>, Doorbell, Reactor) -> Result<Rc<Host>, String> + std::marker::Send,
>;

/// What the executor of the replica needs.
pub struct Start {
    /// Makes the host.
    pub make_host: MakeHost,
    /// The bell of the replica's executor.
    pub bell: Doorbell,
    /// Whether to stop.
    pub stop: StopFlag,
    /// Where to tell.
    pub news: Sender<News>,
}

/// The executors' threads.
pub type Threads = Vec<ExecutorJoinHandle<()>>;

/// Starts the executors.
///
/// # Errors
/// An executor could not be made, in glommio's words.
pub fn start(wiring: &Wiring, listening: Listening, start: Start) -> Result<Threads, String> {
    if wiring.session_cores == 0 {
        start_one(wiring, listening, start)
    } else {
        start_many(wiring, listening, start)
    }
}

impl Deliver for Connections {
    fn deliver(&self, send: Send) -> Option<Vec<u8>> {
        Connections::deliver(self, send)
    }
}

/// Closes connections that open no session, for ever.
fn watch_silence(connections: Connections, reactor: &Reactor) {
    let then = reactor.clone();
    let look = move || {
        connections.close_silent(Instant::now());
        watch_silence(connections, &then);
    };
    reactor.after(SILENCE_CHECK_EVERY, look).detach();
}

fn accept_all(
    sockets: Vec<TcpListener>,
    keep_alive: bool,
    connections: &Connections,
    core: &Rc<dyn Core>,
) -> Vec<Accepting> {
    let serve = |socket| match net::serve(socket, keep_alive, connections.clone(), core.clone()) {
        Ok(accepting) => Some(accepting),
        Err(error) => {
            tracing::error!("clients cannot be listened for: {error}");
            None
        }
    };
    sockets.into_iter().filter_map(serve).collect()
}

/// Lets connections get their last bytes.
async fn farewell(connections: &Connections, reactor: &Reactor) {
    connections.stop();
    let until = Instant::now() + FAREWELL;
    while !connections.is_empty() && Instant::now() < until {
        if reactor.dispatch().is_err() || reactor.sleep(Some(until)).await.is_err() {
            return;
        }
    }
}

fn start_one(wiring: &Wiring, listening: Listening, start: Start) -> Result<Threads, String> {
    let Listening { sockets, keep_alive, options, census } = listening;
    let patience = wiring.patience;
    let executor = wiring.executor(0, "rk-server").spawn(move || async move {
        let Start { make_host, bell, stop, news } = start;
        let reactor = match Reactor::new(bell.clone(), Sleeping::Alone) {
            Ok(reactor) => reactor,
            Err(error) => return tell(&news, no_reactor(&error)),
        };
        let connections = Connections::new(0, options, census, reactor.clone());
        let host = match make_host(Box::new(connections.clone()), bell, reactor.clone()) {
            Ok(host) => host,
            Err(error) => return tell(&news, News::Failed(error)),
        };
        let core: Rc<dyn Core> = host.clone();
        watch_silence(connections.clone(), &reactor);
        let accept = |sockets| accept_all(sockets, keep_alive, &connections, &core);
        let accepting = RefCell::new(accept(sockets));
        tell(&news, News::Serving);
        let stop_accepting = async || accepting.borrow_mut().clear();
        let listen = async |sockets| {
            let new = accept(sockets);
            *accepting.borrow_mut() = new;
        };
        let ended = turns::turn(host.clone(), patience, stop, stop_accepting, listen).await;
        host.links().stop(FAREWELL).await;
        farewell(&connections, &reactor).await;
        tell(&news, News::Ended(ended));
    });
    Ok(vec![executor.map_err(|error| error.to_string())?])
}

fn start_many(wiring: &Wiring, listening: Listening, start: Start) -> Result<Threads, String> {
    let Listening { sockets, keep_alive, options, census } = listening;
    let patience = wiring.patience;
    let mut threads = Vec::new();
    let mut replica_ends = Vec::new();
    assert_eq!(sockets.len(), wiring.session_cores as usize, "each session core has its socket");
    for (index, socket) in sockets.into_iter().enumerate() {
        let (session, replica) = crossing::queues();
        replica_ends.push(replica);
        let census = census.clone();
        let core = u8::try_from(index).expect("a dozen session cores");
        let executor = wiring.executor(index + 1, &format!("rk-session-{index}"));
        let executor = executor
            .spawn(move || session_core(core, session, socket, keep_alive, options, census));
        threads.push(executor.map_err(|error| error.to_string())?);
    }
    let executor =
        wiring.executor(0, "rk-replica").spawn(move || replica_core(replica_ends, start, patience));
    threads.push(executor.map_err(|error| error.to_string())?);
    Ok(threads)
}

async fn session_core(
    core: u8,
    ends: SessionEnds,
    socket: TcpListener,
    keep_alive: bool,
    options: NetOptions,
    census: Census,
) {
    let bell = Doorbell::new();
    let reactor = match bell.and_then(|bell| Reactor::new(bell, Sleeping::Among)) {
        Ok(reactor) => reactor,
        Err(error) => return tracing::error!("a session core cannot wait for sockets: {error}"),
    };
    let connections = Connections::new(core, options, census, reactor.clone());
    // Waits until the replica is there: it connects when the files are read.
    let (uplink, down) = ends.connect().await;
    let uplink: Rc<dyn Core> = uplink;
    watch_silence(connections.clone(), &reactor);
    let accept = |socket| accept_all(vec![socket], keep_alive, &connections, &uplink);
    let told = crossing::receive_down(down, connections.clone(), socket, accept);
    let served = serve_sockets(&reactor);
    futures_lite::future::or(told, served).await;
    farewell(&connections, &reactor).await;
}

/// Tells connections what has happened, for ever.
async fn serve_sockets(reactor: &Reactor) {
    loop {
        let served = match reactor.dispatch() {
            Ok(()) => reactor.sleep(None).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            return tracing::error!("the ring of the sockets cannot be used: {error}");
        }
    }
}

fn no_reactor(error: &std::io::Error) -> News {
    News::Failed(format!("the ring of the sockets: {error}"))
}

async fn replica_core(ends: Vec<ReplicaEnds>, start: Start, patience: Patience) {
    let Start { make_host, bell, stop, news } = start;
    let (ups, downlinks) = crossing::connect_all(ends).await;
    let reactor = match Reactor::new(bell.clone(), Sleeping::Among) {
        Ok(reactor) => reactor,
        Err(error) => return tell(&news, no_reactor(&error)),
    };
    let host = match make_host(Box::new(downlinks.clone()), bell, reactor) {
        Ok(host) => host,
        Err(error) => return tell(&news, News::Failed(error)),
    };
    for up in ups {
        glommio::spawn_local(crossing::receive_up(up, host.clone())).detach();
    }
    tell(&news, News::Serving);
    let stop_accepting = async || downlinks.tell(|| Down::StopAccepting).await;
    let listen = async |sockets| downlinks.listen(sockets).await;
    let ended = turns::turn(host.clone(), patience, stop, stop_accepting, listen).await;
    host.links().stop(FAREWELL).await;
    downlinks.tell(|| Down::Stop).await;
    tell(&news, News::Ended(ended));
}

fn tell(news: &Sender<News>, what: News) {
    // The main thread listens until the process ends.
    let _ = news.send(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_get_one_executor_and_larger_ones_a_replica_core() {
        let small = Wiring::choose(None, true, None, &[0, 1]);
        assert_eq!((small.session_cores, small.processors.len()), (0, 0));
        assert_eq!(small.spin, Duration::ZERO);
        let large = Wiring::choose(None, true, None, &[0, 1, 2, 3]);
        assert_eq!((large.session_cores, &large.processors[..]), (3, &[0, 1, 2, 3][..]));
        assert!(large.spin > Duration::ZERO);
        assert_eq!(
            Wiring::choose(None, true, None, &(0..64).collect::<Vec<_>>()).session_cores,
            12
        );
    }

    #[test]
    fn more_executors_than_processors_are_not_bound_and_do_not_spin() {
        let wiring = Wiring::choose(Some(3), true, None, &[0, 1]);
        assert_eq!((wiring.session_cores, wiring.processors.len()), (2, 0));
        assert_eq!(wiring.spin, Duration::ZERO);
    }
}
