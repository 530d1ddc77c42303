//! Starts the executors, runs the replica and the session cores on them, and ends them.
//!
//! An executor is a thread that glommio makes, names and binds to a processor. It has one task, a plain loop that
//! never returns to glommio's reactor, but sleeps in the server's own ring ([`Reactor`]). So glommio costs no
//! request anything. The rule that is easy to break: never wait here for a timer, a channel or a task of glommio,
//! because none of them would ever wake the thread.
//!
//! Executors do not wait for each other at the start. Their queues exist before they do; a session core that gets
//! its processor late finds the order to listen in its queue.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use glommio::ExecutorJoinHandle;

use super::again::Failure;
use super::clients::{Clients, FAREWELL, Port, farewell, watch_silence};
use super::crossing::{self, Down, Downlinks, ReplicaEnds};
use super::host_maker::HostMaker;
use super::session_core::SessionCore;
use super::turns::{self, Ended, Patience};
use super::wiring::Wiring;
use crate::net::Core;
use crate::runtime::{Doorbell, Reactor, RingError, StopFlag};

/// A message of an executor to the main thread, which `start` follows.
#[derive(Debug)]
pub enum News {
    /// An executor runs.
    Up,
    /// The replica has read its data, and waits for the permission to serve ([`Start::serve`]).
    Ready,
    /// The replica has ended.
    Ended(Ended),
    /// An executor cannot do its work, so the process ends.
    Failed(Failure),
    /// The thread with this number ended before its executor began.
    NotMade(usize),
}

/// Everything that the executors need to start. Each session core gets a clone of `clients`; the replica's executor
/// gets the rest.
pub struct Start {
    /// One socket for each session core, at least one.
    pub sockets: Vec<TcpListener>,
    /// The same for `secureClientPort`; none without it.
    pub secure_sockets: Vec<TcpListener>,
    /// The options and bounds of connections.
    pub clients: Clients,
    /// Makes the host.
    pub host_maker: HostMaker,
    /// The bell of the replica's executor.
    pub bell: Doorbell,
    /// Set when the server should stop.
    pub stop: StopFlag,
    /// The way to the main thread.
    pub news: Sender<News>,
    /// The permission to serve clients, which follows [`News::Ready`].
    pub serve: Receiver<()>,
}

/// The executors' threads, by the numbers in [`News::NotMade`]: the replica's first.
pub type Threads = Vec<ExecutorJoinHandle<()>>;

/// Starts the executors and returns at once. Each reports [`News::Up`] when it runs.
///
/// # Errors
/// A thread could not be made; the reason is glommio's.
pub fn start(wiring: &Wiring, start: Start) -> Result<Threads, String> {
    if wiring.session_cores == 0 { start_one(wiring, start) } else { start_many(wiring, start) }
}

/// Tells the main thread if it is dropped before its executor runs: glommio silently ends a thread whose executor
/// it cannot make.
struct Promise {
    /// The number of its thread.
    number: usize,
    /// The way to the main thread.
    news: Sender<News>,
    /// Whether the executor runs.
    is_kept: bool,
}

impl Promise {
    /// The promise that the executor of thread `number` will run.
    fn new(number: usize, news: &Sender<News>) -> Promise {
        Promise { number, news: news.clone(), is_kept: false }
    }

    /// The executor runs. Returns the way to the main thread.
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

/// Sends a message to the main thread.
fn tell(news: &Sender<News>, what: News) {
    // The main thread listens until the process ends.
    let _ = news.send(what);
}

/// The message that the ring of the sockets cannot be made.
fn no_reactor(error: &RingError) -> News {
    News::Failed(Failure::of_ring("the ring of the sockets", error))
}

/// Starts one executor for everything: its connections call the host directly.
fn start_one(wiring: &Wiring, start: Start) -> Result<Threads, String> {
    let patience = wiring.patience;
    let promise = Promise::new(0, &start.news);
    let executor = wiring.executor(0, "rk-server").spawn(move || async move {
        // From here on the executor itself reports why it ends.
        let news = promise.keep();
        let Start { sockets, secure_sockets, clients, host_maker, bell, stop, news: _, serve } =
            start;
        // Made on its own thread, on which alone it may be used.
        let reactor = match Reactor::new(bell.clone()) {
            Ok(reactor) => reactor,
            Err(error) => return tell(&news, no_reactor(&error)),
        };
        tell(&news, News::Up);
        let connections = clients.connections(0, &reactor);
        let carrier = Box::new(connections.clone());
        let mut host = match host_maker.make(carrier, bell, reactor.clone()) {
            Ok(host) => host,
            Err(error) => return tell(&news, News::Failed(error)),
        };
        // The data is read. The main thread says when clients may come, so that its log lines have the right order.
        tell(&news, News::Ready);
        // The main thread has given up, for a reason that it has logged.
        if serve.recv().is_err() {
            return;
        }
        let core: Rc<dyn Core> = host.entrance().clone();
        watch_silence(connections.clone(), &reactor);
        let accept = |port, sockets| clients.accept(port, sockets, &connections, &core);
        let accepting = RefCell::new(accept(Port::Client, sockets));
        let secure = RefCell::new(accept(Port::Secure, secure_sockets));
        // Dropping what `accept` has returned ends accepting.
        let stop_accepting = || {
            accepting.borrow_mut().clear();
            secure.borrow_mut().clear();
        };
        let listen = |sockets| {
            let new = accept(Port::Client, sockets);
            *accepting.borrow_mut() = new;
        };
        let ended = turns::turn(&mut host, patience, stop, stop_accepting, listen);
        host.links().stop(FAREWELL);
        farewell(&connections, &reactor);
        tell(&news, News::Ended(ended));
    });
    Ok(vec![executor.map_err(|error| error.to_string())?])
}

/// Starts the replica's executor and the session cores, with a queue in each direction between them.
fn start_many(wiring: &Wiring, start: Start) -> Result<Threads, String> {
    let mut threads = Vec::new();
    let mut replica_ends = Vec::new();
    let sockets = start.sockets.len();
    assert_eq!(sockets, wiring.session_cores as usize, "each session core has its socket");
    let mut sessions = Vec::new();
    for number in 0..sockets {
        let bell = Doorbell::new().map_err(|error| format!("cannot create an eventfd: {error}"))?;
        // The queues exist before the threads, so no executor has to wait for another one.
        let (ends, replica) = crossing::queues(&bell, &start.bell);
        replica_ends.push(replica);
        // The number is a byte of the ids of connections.
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

/// Runs the replica on an executor of its own, and returns when it has ended.
fn replica_core(ends: Vec<ReplicaEnds>, start: Start, news: &Sender<News>, patience: Patience) {
    let Start { sockets, secure_sockets, clients, host_maker, bell, stop, news: _, serve } = start;
    let reactor = match Reactor::new(bell.clone()) {
        Ok(reactor) => reactor,
        Err(error) => return tell(news, no_reactor(&error)),
    };
    tell(news, News::Up);
    let (inbox, downlinks) = crossing::open_all(ends, &clients.budget);
    let carrier = Box::new(downlinks.clone());
    let mut host = match host_maker.make(carrier, bell, reactor.clone()) {
        Ok(host) => host,
        Err(error) => return tell(news, News::Failed(error)),
    };
    // Only now, because events need a replica; session cores that were faster have left theirs in the queues.
    inbox.set_core(host.entrance().clone());
    reactor.set_inbox(inbox);
    tell(news, News::Ready);
    if serve.recv().is_err() {
        return;
    }
    downlinks.listen(Port::Client, sockets);
    downlinks.listen(Port::Secure, secure_sockets);
    let stop_accepting = || downlinks.tell(|| Down::StopAccepting);
    let listen = |sockets| downlinks.listen(Port::Client, sockets);
    let ended = turns::turn(&mut host, patience, stop, stop_accepting, listen);
    host.links().stop(FAREWELL);
    let_go(&downlinks, &reactor);
    tell(news, News::Ended(ended));
}

/// Ends the session cores. It waits only briefly for a session core that no longer takes messages: that core ends
/// by itself when it has taken those in its queue.
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
    use std::time::Duration;

    use super::super::clients::Doors;
    use super::*;
    use crate::net::{Budget, Census, Door, NetOptions};

    /// The session core sleeps while its queue fills up, and wakes after the replica's end.
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
            let doors = Doors { client: Door::Plain, secure: Door::Plain };
            let clients = Clients { keep_alive: false, options, doors, census, budget };
            let core = SessionCore { number: 0, ends, bell, clients, look: Duration::ZERO };
            ended.send(core.run(|| {}).is_ok()).unwrap();
        });
        assert_eq!(has_ended.recv_timeout(Duration::from_secs(10)), Ok(true));
    }
}
