//! The executors: their start, what each of them runs, and their end.
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
use std::time::Instant;

use glommio::ExecutorJoinHandle;

use super::again::Failure;
use super::clients::{Clients, FAREWELL, farewell, watch_silence};
use super::crossing::{self, Down, Downlinks, ReplicaEnds};
use super::host::{Deliver, Host};
use super::session_core::SessionCore;
use super::turns::{self, Ended, Patience};
use super::wiring::Wiring;
use crate::net::Core;
use crate::runtime::{Doorbell, Reactor, StopFlag};

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

fn no_reactor(error: &std::io::Error) -> News {
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
    use std::time::Duration;

    use super::*;
    use crate::net::{Budget, Census, NetOptions};

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
}
