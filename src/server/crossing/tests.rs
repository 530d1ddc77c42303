//! Conversations over the queues between threads, and full queues.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::host::Deliver;
use super::*;
use crate::net::{Budget, Census, Connections, Core, NetOptions};
use crate::runtime::{Inbox, Reactor};

/// Answers each frame with the same frame.
struct Echo {
    links: Downlinks,
    closed: Cell<u8>,
}

impl Core for Echo {
    fn open(&self, conn: ConnectionId, remote: SocketAddr) {
        assert_eq!(usize::from(remote.port()), usize::from(Connections::core_of(conn)));
    }

    fn certified(&self, _: ConnectionId, _: &str) {}

    fn frames(&self, conn: ConnectionId, frames: &[u8]) {
        let bytes = frames.to_vec();
        let _ = self.links.deliver(Outgoing { conn, bytes, answered: 1, ..Outgoing::default() });
        self.links.flush();
    }

    fn word(&self, _: ConnectionId, _: SocketAddr, _: FourLetterWord, _: Option<[u8; 8]>) {}

    fn end(&self, _: ConnectionId) {}

    fn written(&self, _: ConnectionId, _: usize) {}

    fn close(&self, _: ConnectionId) {
        self.closed.set(self.closed.get() + 1);
    }
}

const BURST: u32 = 40;

/// A round that takes longer has lost a wake-up. The bound is generous, because other tests may be using the
/// processors.
const ROUND_MAX: Duration = Duration::from_secs(30);

fn replica(ends: Vec<ReplicaEnds>, bell: Doorbell, cores: u8) {
    let reactor = Reactor::new(bell).unwrap();
    let (inbox, links) = open_all(ends, &Budget::new(u64::MAX, 1));
    let echo = Rc::new(Echo { links, closed: Cell::new(0) });
    inbox.set_core(echo.clone());
    reactor.set_inbox(inbox);
    while echo.closed.get() < cores {
        reactor.dispatch().unwrap();
        let until = Instant::now() + ROUND_MAX;
        reactor.sleep(Some(until)).unwrap();
        assert!(Instant::now() < until, "the replica was not woken");
    }
}

/// Sends bursts and single messages, and waits for each answer. The pauses in between have every length around
/// the time that a thread takes to fall asleep.
fn session(core: u8, ends: SessionEnds, bell: Doorbell, rounds: u32) {
    let reactor = Reactor::new(bell).unwrap();
    let conn = ConnectionId(u64::from(core) << 56 | 7);
    let SessionEnds { up, mut down } = ends;
    let uplink = Uplink { next: RefCell::default(), queue: RefCell::new(up) };
    uplink.open(conn, SocketAddr::from(([127, 0, 0, 1], core.into())));
    /// Only wakes the thread; the test takes the messages itself.
    struct Looks(Rc<RefCell<Receiver<Down>>>);
    impl Inbox for Looks {
        fn has_mail(&self) -> bool {
            !self.0.borrow().is_empty()
        }
        fn take_in(&self) {}
    }
    assert!(down.pop().is_none());
    let down = Rc::new(RefCell::new(down));
    reactor.set_inbox(Rc::new(Looks(down.clone())));
    for round in 0..rounds {
        let burst = if round % 50 == 0 { BURST } else { 1 };
        for number in 0..burst {
            uplink.frames(conn, &(round * BURST + number).to_be_bytes());
            if number % 7 == 3 {
                uplink.flush();
            }
        }
        uplink.flush();
        let mut answers = Vec::new();
        let until = Instant::now() + ROUND_MAX;
        while answers.len() < burst as usize {
            while let Some(message) = down.borrow_mut().pop() {
                let Down::Sends(sends) = message else { panic!("{message:?}") };
                answers.extend(sends.into_iter().map(|send| send.bytes));
            }
            if answers.len() < burst as usize {
                reactor.sleep(Some(until)).unwrap();
                reactor.dispatch().unwrap();
                assert!(Instant::now() < until, "core {core}, round {round}: no answer");
            }
        }
        let expected: Vec<Vec<u8>> =
            (0..burst).map(|number| (round * BURST + number).to_be_bytes().to_vec()).collect();
        assert_eq!(answers, expected);
        let pause = Duration::from_micros(u64::from(round * 37 % 120));
        let until = Instant::now() + pause;
        if round % 3 == 0 {
            std::thread::sleep(pause);
        } else {
            while Instant::now() < until {}
        }
    }
    uplink.close(conn);
    uplink.flush();
}

fn converse(cores: u8, rounds: u32) {
    let replica_bell = Doorbell::new().unwrap();
    let mut threads = Vec::new();
    let mut replica_ends = Vec::new();
    for core in 0..cores {
        let bell = Doorbell::new().unwrap();
        let (ends, replica) = queues(&bell, &replica_bell);
        replica_ends.push(replica);
        threads.push(std::thread::spawn(move || session(core, ends, bell, rounds)));
    }
    threads.push(std::thread::spawn(move || replica(replica_ends, replica_bell, cores)));
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn no_message_and_no_wake_up_is_lost_between_executors() {
    converse(2, 3000);
}

#[test]
fn none_is_lost_among_more_threads_than_processors_beside_busy_loops() {
    let over = Arc::new(AtomicBool::new(false));
    let processors = std::thread::available_parallelism().unwrap().get();
    let loops: Vec<_> = (0..processors)
        .map(|_| {
            let over = over.clone();
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    converse(u8::try_from((processors * 4).min(12)).unwrap(), 60);
    over.store(true, Ordering::Relaxed);
    for thread in loops {
        thread.join().unwrap();
    }
}

#[test]
fn a_full_queue_stops_neither_side_and_bounds_what_is_taken_in() {
    let bells = (Doorbell::new().unwrap(), Doorbell::new().unwrap());
    let (session, replica) = queues(&bells.0, &bells.1);
    let reactor = Reactor::new(bells.0).unwrap();
    let census = Census::new(0, 0, u32::MAX);
    let budget = Budget::new(u64::MAX, 1);
    let connections = Connections::new(0, NetOptions::default(), census, &budget, reactor);
    let (uplink, inbox) = session.open(&connections);
    let (from_session, links) = open_all(vec![replica], &budget);
    let echo = Rc::new(Echo { links: links.clone(), closed: Cell::new(0) });
    from_session.set_core(echo);
    let conn = ConnectionId(7);
    for _ in 0..QUEUE_MESSAGES * 3 {
        uplink.frames(conn, &[1; 8]);
        uplink.flush();
        from_session.take_in();
    }
    // The queue to the session core is full, so the replica takes no requests, and the other queue fills too.
    assert!(!links.is_flushed());
    assert!(!from_session.has_mail() && !uplink.can_flush());
    assert_eq!(uplink.next.borrow().events.len(), QUEUE_MESSAGES - 1);
    // Orders come after all answers, and every message arrives in the end.
    links.tell(|| Down::StopAccepting);
    while !(links.is_flushed() && uplink.next.borrow().events.is_empty()) {
        assert!(inbox.has_mail(), "the session core would sleep");
        inbox.take_in();
        uplink.flush();
        from_session.take_in();
    }
    while inbox.has_mail() || from_session.has_mail() {
        inbox.take_in();
        from_session.take_in();
    }
    assert!(matches!(inbox.order(), Some(Order::StopAccepting)));
    assert!(inbox.order().is_none());
    // The end arrives even if the queue has no room.
    let answer = || Outgoing { conn, ..Outgoing::default() };
    while links.is_flushed() {
        let _ = links.deliver(answer());
        links.flush();
    }
    links.close();
    while inbox.has_mail() {
        assert!(inbox.order().is_none());
        inbox.take_in();
    }
    assert!(matches!(inbox.order(), Some(Order::Stop)));
    assert!(inbox.order().is_none());
    // Events of clients that get their last bytes do not keep the session core from sleeping.
    while from_session.ups[0].borrow_mut().pop().is_some() {}
    uplink.written(conn, 100_000);
    assert!(uplink.can_flush() && !inbox.has_mail());
}
