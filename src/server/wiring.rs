//! Executors, and what runs on which.
//!
//! On a small machine everything runs on one executor: a request then crosses no core, and a core
//! crossing costs as much as a disk write there. On a larger one the replica has a core to itself
//! and session cores carry the sockets. The parts are the same; only [`Core`] and [`Deliver`] are
//! other implementations.
//!
//! An executor is a thread that glommio makes, names and binds to its processor. It has one task,
//! which is a plain loop: it never gives glommio's reactor the thread back, but sleeps in a ring of
//! ours ([`Reactor`]). So nothing that glommio counts, wakes or waits for is on the way of a request
//! or of the start, and nothing here may wait for one of glommio's timers, channels or tasks: they
//! would never be heard of.
//!
//! Executors do not wait for each other at the start. Their queues are there before they are; a
//! session core that gets its processor late finds the order to listen in its queue.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::again::Failure;
use super::crossing::{self, Down, Downlinks, ReplicaEnds};
use super::host::{Deliver, Host};
use super::session_core::SessionCore;
use super::turns::{self, Ended, Patience};
use crate::net::{self, Accepting, Budget, Census, Connections, Core, NetOptions};
use crate::replica::Outgoing;
use crate::runtime::{Doorbell, Reactor, RingError, StopFlag};

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
    /// Why none is bound, for the start-up screen; empty where they are.
    unbound: String,
    /// How the log, other servers and other executors are waited for.
    pub patience: Patience,
}

impl Wiring {
    /// The wiring for so many cores of the processors this process may use.
    pub fn choose(
        cores: Option<u32>,
        pin: bool,
        spin: Option<Duration>,
        allowed: &[usize],
        quota: Option<u32>,
    ) -> Wiring {
        let machine = u32::try_from(allowed.len()).unwrap_or(u32::MAX).max(1);
        // What an operator says overrules it.
        let quota = quota.filter(|&quota| cores.is_none() && quota < machine);
        let cores = cores.or(quota).unwrap_or(machine);
        let session_cores = if cores <= 2 { 0 } else { (cores - 1).min(SESSION_CORES_MAX) };
        // One executor is left to the scheduler: bound, it could not move away from a neighbour.
        let executors = session_cores as usize + 1;
        let unbound = match (pin, session_cores, quota) {
            (false, ..) => "ringkeeper.pin=false".to_owned(),
            // Whoever has the rest uses the same processors, and bound, no executor could make way.
            (true, _, Some(quota)) => format!(
                "a quota, cpu.max, leaves this process {quota} of the {machine} processors that it may \
                 use; set ringkeeper.cores to overrule that"
            ),
            (true, 0, None) => {
                "a single one is left to the scheduler, also with ringkeeper.pin=true; \
                          ringkeeper.cores=3 or more makes several"
                    .to_owned()
            }
            (true, _, None) if executors > allowed.len() => format!(
                "{executors} executors, as ringkeeper.cores says, and this process may use {machine} \
                 processors"
            ),
            (true, _, None) => String::new(),
        };
        let bound = unbound.is_empty();
        let processors = if bound { allowed[..executors].to_vec() } else { Vec::new() };
        let look = spin.unwrap_or(LOG_LOOK);
        let cores = match session_cores {
            0 => Duration::ZERO,
            _ => look.min(CORES_LOOK),
        };
        Wiring { session_cores, processors, unbound, patience: Patience::new(look, cores) }
    }

    /// In words, for the start-up screen.
    pub fn describe(&self) -> String {
        let bound = if self.processors.is_empty() {
            format!(", bound to no processor ({})", self.unbound)
        } else {
            format!(", bound to processors {:?}", self.processors)
        };
        match self.session_cores {
            0 => format!("one executor for connections and state{bound}"),
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
    }
}

/// How long an executor looks for what others have for it before it sleeps.
const CORES_LOOK: Duration = Duration::from_micros(50);

/// Looking at the ring catches a write of a fast disk; a slower one is slept for. 500 µs did best of
/// 0, 150, 500 and 1000 (docs/experiments.md).
const LOG_LOOK: Duration = Duration::from_micros(500);

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

/// What executors tell the main thread.
#[derive(Debug)]
pub enum News {
    /// One of them runs.
    Up,
    /// The replica is there, and serves as soon as it is told to.
    Ready,
    /// It has ended.
    Ended(Ended),
    /// One cannot do its work.
    Failed(Failure),
    /// The thread of this number was given up before it began.
    NotMade(usize),
}

/// Makes the host on its own executor, for a replica does not move between threads.
pub type MakeHost =
    Box<dyn FnOnce(Box<dyn Deliver>, Doorbell, Reactor) -> Result<Rc<Host>, Failure> + Send>;

/// What the executors need.
pub struct Start {
    /// One socket per session core, at least one.
    pub sockets: Vec<TcpListener>,
    /// How clients are carried.
    pub clients: Clients,
    /// Makes the host.
    pub make_host: MakeHost,
    /// The bell of the replica's executor.
    pub bell: Doorbell,
    /// Whether to stop.
    pub stop: StopFlag,
    /// Where to tell.
    pub news: Sender<News>,
    /// Says that clients may be served, after [`News::Ready`].
    pub serve: Receiver<()>,
}

/// The executors' threads, by the numbers in [`News::NotMade`].
pub type Threads = Vec<ExecutorJoinHandle<()>>;

/// Starts the executors.
///
/// # Errors
/// An executor could not be made, in glommio's words.
pub fn start(wiring: &Wiring, start: Start) -> Result<Threads, String> {
    if wiring.session_cores == 0 { start_one(wiring, start) } else { start_many(wiring, start) }
}

/// Says so if what it goes into is dropped before it runs: glommio ends a thread whose executor it
/// cannot make, and nobody would hear of it.
struct Promise {
    number: usize,
    news: Sender<News>,
    is_kept: bool,
}

impl Promise {
    fn new(number: usize, news: &Sender<News>) -> Promise {
        Promise { number, news: news.clone(), is_kept: false }
    }

    fn keep(mut self) -> Sender<News> {
        self.is_kept = true;
        self.news.clone()
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.is_kept {
            tell(&self.news, News::NotMade(self.number));
        }
    }
}

fn tell(news: &Sender<News>, what: News) {
    // The main thread listens until the process ends.
    let _ = news.send(what);
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

fn no_reactor(error: &RingError) -> News {
    News::Failed(Failure::of_ring("the ring of the sockets", error))
}

fn start_one(wiring: &Wiring, start: Start) -> Result<Threads, String> {
    let patience = wiring.patience;
    let promise = Promise::new(0, &start.news);
    let executor = wiring.executor(0, "rk-server").spawn(move || async move {
        let news = promise.keep();
        let Start { sockets, clients, make_host, bell, stop, news: _, serve } = start;
        let reactor = match Reactor::new(bell.clone()) {
            Ok(reactor) => reactor,
            Err(error) => return tell(&news, no_reactor(&error)),
        };
        tell(&news, News::Up);
        let connections = clients.connections(0, &reactor);
        let host = match make_host(Box::new(connections.clone()), bell, reactor.clone()) {
            Ok(host) => host,
            Err(error) => return tell(&news, News::Failed(error)),
        };
        tell(&news, News::Ready);
        if serve.recv().is_err() {
            return;
        }
        let core: Rc<dyn Core> = host.clone();
        watch_silence(connections.clone(), &reactor);
        let accepting = RefCell::new(clients.accept(sockets, &connections, &core));
        let stop_accepting = || accepting.borrow_mut().clear();
        let listen = |sockets| {
            let new = clients.accept(sockets, &connections, &core);
            *accepting.borrow_mut() = new;
        };
        let ended = turns::turn(host.clone(), patience, stop, stop_accepting, listen);
        host.links().stop(FAREWELL);
        farewell(&connections, &reactor);
        tell(&news, News::Ended(ended));
    });
    Ok(vec![executor.map_err(|error| error.to_string())?])
}

fn start_many(wiring: &Wiring, start: Start) -> Result<Threads, String> {
    let mut threads = Vec::new();
    let mut replica_ends = Vec::new();
    let sockets = start.sockets.len();
    assert_eq!(sockets, wiring.session_cores as usize, "each session core has its socket");
    let mut sessions = Vec::new();
    for number in 0..sockets {
        let bell = Doorbell::new().map_err(|error| format!("an eventfd: {error}"))?;
        let (ends, replica) = crossing::queues(&bell, &start.bell);
        replica_ends.push(replica);
        let number = u8::try_from(number).expect("a dozen session cores");
        let (clients, look) = (start.clients.clone(), wiring.patience.cores);
        sessions.push(SessionCore { number, ends, bell, clients, look });
    }
    let (patience, promise) = (wiring.patience, Promise::new(0, &start.news));
    let news = start.news.clone();
    let executor = wiring.executor(0, "rk-replica").spawn(move || async move {
        let news = promise.keep();
        replica_core(replica_ends, start, &news, patience);
    });
    threads.push(executor.map_err(|error| error.to_string())?);
    for (index, session) in sessions.into_iter().enumerate() {
        let promise = Promise::new(index + 1, &news);
        let executor = wiring.executor(index + 1, &format!("rk-session-{index}"));
        let executor = executor.spawn(move || async move {
            let news = promise.keep();
            if let Err(error) = session.run(|| tell(&news, News::Up)) {
                tell(&news, no_reactor(&error));
            }
        });
        threads.push(executor.map_err(|error| error.to_string())?);
    }
    Ok(threads)
}

fn replica_core(ends: Vec<ReplicaEnds>, start: Start, news: &Sender<News>, patience: Patience) {
    let Start { sockets, clients, make_host, bell, stop, news: _, serve } = start;
    let reactor = match Reactor::new(bell.clone()) {
        Ok(reactor) => reactor,
        Err(error) => return tell(news, no_reactor(&error)),
    };
    tell(news, News::Up);
    let (inbox, downlinks) = crossing::open_all(ends, &clients.budget);
    let host = match make_host(Box::new(downlinks.clone()), bell, reactor.clone()) {
        Ok(host) => host,
        Err(error) => return tell(news, News::Failed(error)),
    };
    inbox.set_core(host.clone());
    reactor.set_inbox(inbox);
    tell(news, News::Ready);
    if serve.recv().is_err() {
        return;
    }
    downlinks.listen(sockets);
    let stop_accepting = || downlinks.tell(|| Down::StopAccepting);
    let listen = |sockets| downlinks.listen(sockets);
    let ended = turns::turn(host.clone(), patience, stop, stop_accepting, listen);
    host.links().stop(FAREWELL);
    let_go(&downlinks, &reactor);
    tell(news, News::Ended(ended));
}

/// Ends the session cores. One that takes nothing any more is not waited for: it ends by itself when
/// it has taken what was there.
fn let_go(downlinks: &Downlinks, reactor: &Reactor) {
    let until = Instant::now() + FAREWELL;
    while !downlinks.is_flushed() && Instant::now() < until {
        if reactor.dispatch().is_err() || reactor.sleep(Some(until)).is_err() {
            break;
        }
    }
    downlinks.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_get_one_executor_and_larger_ones_a_replica_core() {
        let small = Wiring::choose(None, true, None, &[0, 1], None);
        assert_eq!((small.session_cores, small.processors.len()), (0, 0));
        assert_eq!(small.patience.cores, Duration::ZERO);
        let large = Wiring::choose(None, true, None, &[0, 1, 2, 3], None);
        assert_eq!((large.session_cores, &large.processors[..]), (3, &[0, 1, 2, 3][..]));
        assert!(large.patience.cores > Duration::ZERO);
        assert_eq!(
            Wiring::choose(None, true, None, &(0..64).collect::<Vec<_>>(), None).session_cores,
            12
        );
    }

    /// A session core that has slept through a full queue, and wakes after the replica's end.
    #[test]
    fn a_session_core_that_took_nothing_for_long_ends_all_the_same() {
        let replica_bell = Doorbell::new().unwrap();
        let bell = Doorbell::new().unwrap();
        let (ends, replica) = crossing::queues(&bell, &replica_bell);
        let reactor = Reactor::new(replica_bell).unwrap();
        let (_inbox, downlinks) = crossing::open_all(vec![replica], &Budget::new(u64::MAX, 1));
        while downlinks.is_flushed() {
            downlinks.tell(|| Down::StopAccepting);
        }
        let_go(&downlinks, &reactor);
        let (ended, has_ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let options = NetOptions::default();
            let (census, budget) = (Census::new(0, 0, 10), Budget::new(u64::MAX, 1));
            let clients = Clients { keep_alive: false, options, census, budget };
            let core = SessionCore { number: 0, ends, bell, clients, look: Duration::ZERO };
            ended.send(core.run(|| {}).is_ok()).unwrap();
        });
        assert_eq!(has_ended.recv_timeout(Duration::from_secs(10)), Ok(true));
    }

    #[test]
    fn more_executors_than_processors_are_not_bound() {
        let wiring = Wiring::choose(Some(3), true, None, &[0, 1], None);
        assert_eq!((wiring.session_cores, wiring.processors.len()), (2, 0));
        let said = wiring.describe();
        assert!(said.ends_with("and this process may use 2 processors)"), "{said}");
    }

    #[test]
    fn a_quota_makes_fewer_executors_unless_somebody_says_how_many() {
        let all: Vec<usize> = (0..64).collect();
        let chosen = |cores, quota| Wiring::choose(cores, true, None, &all, quota);
        for (quota, session_cores) in [(1, 0), (2, 0), (3, 2), (4, 3), (40, 12)] {
            let wiring = chosen(None, Some(quota));
            assert_eq!((wiring.session_cores, wiring.processors.len()), (session_cores, 0));
            let said = wiring.describe();
            let part =
                format!("a quota, cpu.max, leaves this process {quota} of the 64 processors");
            assert!(said.contains(&part), "{said}");
        }
        assert_eq!(chosen(Some(5), Some(1)), chosen(Some(5), None));
        assert_eq!(chosen(None, Some(64)), chosen(None, None));
    }

    #[test]
    fn a_line_says_what_was_bound_or_why_nothing_was() {
        let said = |cores, pin, allowed| Wiring::choose(cores, pin, None, allowed, None).describe();
        for (cores, pin, allowed, part) in [
            (
                None,
                true,
                &[0, 1][..],
                "bound to no processor (a single one is left to the scheduler",
            ),
            (None, false, &[0, 1][..], "bound to no processor (ringkeeper.pin=false)"),
            (Some(3), false, &[0, 1, 2][..], "bound to no processor (ringkeeper.pin=false)"),
            (Some(3), true, &[4, 5, 6][..], "bound to processors [4, 5, 6]"),
        ] {
            let said = said(cores, pin, allowed);
            assert!(said.contains(part), "{said}");
        }
    }
}
