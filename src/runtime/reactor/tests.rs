//! Sockets, timers, the bell and the inbox.

use std::time::Duration;

use super::registration::ROOM_AGAIN;
use super::*;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use std::os::fd::{AsFd, OwnedFd};

/// An owner that reads the available bytes, as connections do, and records how the reactor calls it.
struct Reader {
    socket: OwnedFd,
    received: RefCell<Vec<u8>>,
    told: RefCell<Vec<Readiness>>,
    ended: Cell<bool>,
    watch: RefCell<Option<Registration>>,
}

impl Reader {
    fn new(reactor: &Reactor) -> (Rc<Reader>, OwnedFd) {
        Reader::with(|reader| reactor.watch(reader.socket.as_fd(), reader.clone()))
    }

    fn unheld(reactor: &Reactor) -> (Rc<Reader>, OwnedFd) {
        Reader::with(|reader| reactor.watch_unheld(reader.socket.as_fd(), reader.clone()))
    }

    fn with(watch: impl FnOnce(&Rc<Reader>) -> Registration) -> (Rc<Reader>, OwnedFd) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, other) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let reader = Rc::new(Reader {
            socket,
            received: RefCell::default(),
            told: RefCell::default(),
            ended: Cell::new(false),
            watch: RefCell::new(None),
        });
        let watch = watch(&reader);
        *reader.watch.borrow_mut() = Some(watch);
        (reader, other)
    }

    fn received(&self) -> usize {
        self.received.borrow().len()
    }
}

impl SocketOwner for Reader {
    fn ready(self: Rc<Self>, what: Readiness) {
        self.told.borrow_mut().push(what);
        let mut chunk = [0; 512];
        // The reader reads once in a call, and asks to be called again if it wants more.
        match recv(&self.socket, &mut chunk, RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.ended.set(true),
            Ok((bytes, _)) => {
                self.received.borrow_mut().extend_from_slice(&chunk[..bytes]);
                if bytes == chunk.len() || what.hung_up {
                    self.watch.borrow().as_ref().unwrap().again();
                }
            }
            Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn alone() -> Reactor {
    Reactor::new(Doorbell::new().unwrap()).unwrap()
}

/// Sleeps and dispatches until `done`, and returns how often the reactor slept.
fn until(reactor: &Reactor, done: impl Fn() -> bool) -> u32 {
    let patience = Instant::now() + Duration::from_secs(20);
    let mut slept = 0;
    while !done() {
        assert!(Instant::now() < patience, "it does not come");
        reactor.sleep(Some(patience)).unwrap();
        reactor.dispatch().unwrap();
        slept += 1;
    }
    slept
}

#[test]
fn bytes_are_told_whenever_they_come_and_the_end_behind_them() {
    let reactor = &alone();
    for (reader, other) in [Reader::new(reactor), Reader::unheld(reactor)] {
        send(&other, b"before the first sleep", SendFlags::empty()).unwrap();
        until(reactor, || reader.received() == 22);
        for round in 1..=200usize {
            send(&other, &vec![7; round * 10], SendFlags::empty()).unwrap();
            let expected = 22 + round * (round + 1) * 5;
            until(reactor, || reader.received() == expected);
        }
        // The last bytes and the end come as one event.
        send(&other, &[1; 100], SendFlags::empty()).unwrap();
        drop(other);
        until(reactor, || reader.ended.get());
        assert_eq!(reader.received(), 22 + 200 * 201 * 5 + 100);
    }
}

#[test]
fn room_for_one_who_sends_nothing_more_is_looked_for_now_and_then() {
    let reactor = &alone();
    let (reader, other) = Reader::new(reactor);
    while send(&reader.socket, &[7; 4096], SendFlags::NOSIGNAL).is_ok() {}
    rustix::net::shutdown(&other, rustix::net::Shutdown::Write).unwrap();
    until(reactor, || reader.ended.get());
    let begun = Instant::now();
    let mut looked = 0;
    while begun.elapsed() < 5 * ROOM_AGAIN {
        if send(&reader.socket, &[7; 4096], SendFlags::NOSIGNAL).is_ok() {
            break;
        }
        looked += 1;
        reader.watch.borrow().as_ref().unwrap().want_room();
        let told = reader.told.borrow().len();
        until(reactor, || reader.told.borrow().len() > told);
        if looked == 3 {
            // The other end reads everything, which makes room.
            while recv(&other, &mut [0; 4096], RecvFlags::DONTWAIT).is_ok() {}
        }
    }
    assert!((3..=5).contains(&looked), "{looked} times");
    // No owner is called after its watch is gone.
    reader.watch.borrow().as_ref().unwrap().want_room();
    drop(reader.watch.take());
    let told = reader.told.borrow().len();
    reactor.sleep(Some(Instant::now() + 2 * ROOM_AGAIN)).unwrap();
    reactor.dispatch().unwrap();
    assert_eq!(reader.told.borrow().len(), told);
}

#[test]
fn nobody_is_told_of_a_socket_whose_watch_is_gone_and_its_place_is_used_again() {
    let reactor = &alone();
    let (gone, other) = Reader::new(reactor);
    until(reactor, || {
        send(&other, b"x", SendFlags::empty()).unwrap();
        gone.received() > 0
    });
    let before = gone.told.borrow().len();
    send(&other, b"never read", SendFlags::empty()).unwrap();
    gone.watch.take();
    let (next, other_of_next) = Reader::new(reactor);
    assert_eq!(next.watch.borrow().as_ref().unwrap().key.slot, 0);
    send(&other_of_next, b"read", SendFlags::empty()).unwrap();
    until(reactor, || next.received() == 4);
    assert_eq!(gone.told.borrow().len(), before);
    // The reactor keeps neither the owner nor the file.
    assert_eq!(Rc::strong_count(&gone), 1);
    drop(gone);
    until(reactor, || {
        reactor.stir();
        send(&other, b"y", SendFlags::NOSIGNAL) == Err(rustix::io::Errno::PIPE)
    });
}

#[test]
fn room_to_write_is_told_once_it_is_there() {
    let reactor = &alone();
    let (writer, other) = Reader::new(reactor);
    let chunk = [5; 4096];
    let mut written = 0;
    while let Ok(bytes) = send(&writer.socket, &chunk, SendFlags::DONTWAIT) {
        written += bytes;
    }
    let room = || writer.told.borrow().iter().filter(|what| what.room).count();
    writer.watch.borrow().as_ref().unwrap().want_room();
    writer.watch.borrow().as_ref().unwrap().want_room();
    reactor.sleep(Some(Instant::now() + Duration::from_millis(20))).unwrap();
    reactor.dispatch().unwrap();
    assert_eq!(room(), 0);
    let mut rest = vec![0; written];
    while written > 0 {
        written -= recv(&other, &mut rest[..], RecvFlags::empty()).unwrap().0;
    }
    until(reactor, || room() == 1);
    // The writer asked for room once, so the reactor reports room once.
    until(reactor, || {
        send(&other, b"z", SendFlags::empty()).unwrap();
        writer.received() > 0
    });
    assert_eq!(room(), 1);
}

#[test]
fn more_sockets_than_the_ring_has_places_are_all_told() {
    let reactor = alone();
    let count = SUBMISSIONS as usize + COMPLETIONS_PER_DISPATCH + 77;
    let mut pairs: Vec<_> = (0..count).map(|_| Reader::new(&reactor)).collect();
    for round in 1..=3 {
        for (_, other) in &pairs {
            send(other, b"1", SendFlags::empty()).unwrap();
        }
        until(&reactor, || pairs.iter().all(|(one, _)| one.received() == round));
    }
    for (reader, _) in pairs.drain(..count / 2) {
        reader.watch.take();
    }
    for (_, other) in &pairs {
        send(other, b"1", SendFlags::empty()).unwrap();
    }
    until(&reactor, || pairs.iter().all(|(one, _)| one.received() == 4));
}

#[test]
fn a_poll_that_the_kernel_ends_is_armed_again() {
    let reactor = alone();
    // More completions than the ring holds: one for each byte of each socket.
    let count = COMPLETIONS as usize + 200;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    assert!(limit.current.is_none_or(|max| max > 2 * count as u64 + 100), "ulimit -n");
    let pairs: Vec<_> = (0..count).map(|_| Reader::new(&reactor)).collect();
    reactor.dispatch().unwrap();
    for round in 1..=2 {
        for (_, other) in &pairs {
            send(other, b"1", SendFlags::empty()).unwrap();
        }
        until(&reactor, || pairs.iter().all(|(one, _)| one.received() == round));
    }
}

#[test]
fn timers_ring_in_order_and_not_when_they_are_dropped() {
    let reactor = &alone();
    let rung = Rc::new(RefCell::new(Vec::new()));
    let ring = |ms: u64| {
        let rung = rung.clone();
        reactor.after(Duration::from_millis(ms), move || rung.borrow_mut().push(ms))
    };
    // The first one is so late that a thread which is held off between the calls does not change the order.
    let began = Instant::now();
    let (_late, _early, dropped) = (ring(400), ring(5), ring(10));
    drop(dropped);
    ring(15).detach();
    until(reactor, || rung.borrow().len() == 3);
    assert_eq!(*rung.borrow(), [5, 15, 400]);
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_timer_may_make_another_and_drop_itself() {
    let reactor = &alone();
    let kept: Rc<RefCell<Option<Timer>>> = Rc::default();
    let rung = Rc::new(Cell::new(0));
    let (own, then, count) = (kept.clone(), reactor.clone(), rung.clone());
    let first = reactor.after(Duration::ZERO, move || {
        own.take();
        count.set(count.get() + 1);
        let count = count.clone();
        then.after(Duration::ZERO, move || count.set(count.get() + 1)).detach();
    });
    *kept.borrow_mut() = Some(first);
    until(reactor, || rung.get() == 2);
}

#[test]
fn a_sleeping_thread_hears_every_ring_of_its_bell() {
    let bell = Doorbell::new().unwrap();
    let (sent, heard) = std::sync::mpsc::channel();
    let own = bell.clone();
    let thread = std::thread::spawn(move || {
        let reactor = Reactor::new(own).unwrap();
        for round in 0..200u32 {
            while !reactor.take_stirred() {
                reactor.sleep(None).unwrap();
                reactor.dispatch().unwrap();
            }
            sent.send(round).unwrap();
        }
    });
    for round in 0..200 {
        bell.ring();
        assert_eq!(heard.recv_timeout(Duration::from_secs(10)).unwrap(), round);
    }
    thread.join().unwrap();
}

#[test]
fn a_look_finds_what_a_dispatch_would_tell() {
    let reactor = alone();
    let (reader, other) = Reader::new(&reactor);
    assert!(reactor.has_events(), "the poll is to be handed in");
    reactor.dispatch().unwrap();
    assert!(!reactor.has_events());
    send(&other, b"x", SendFlags::empty()).unwrap();
    assert!(reactor.has_events());
    reactor.dispatch().unwrap();
    assert_eq!(reader.received(), 1);
    assert!(!reactor.has_events());
    reader.watch.borrow().as_ref().unwrap().again();
    assert!(reactor.has_events());
}

/// An owner with a name, which it records when the reactor calls it.
struct Named {
    name: &'static str,
    told: Rc<RefCell<Vec<&'static str>>>,
}

impl SocketOwner for Named {
    fn ready(self: Rc<Self>, _: Readiness) {
        self.told.borrow_mut().push(self.name);
    }
}

#[test]
fn who_comes_first_is_told_before_others_whatever_came_first() {
    let reactor = alone();
    let told: Rc<RefCell<Vec<&'static str>>> = Rc::default();
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let pairs: Vec<_> = (0..3)
        .map(|_| socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap())
        .collect();
    let named = |name| Rc::new(Named { name, told: told.clone() });
    let client = reactor.watch(pairs[0].0.as_fd(), named("client"));
    let leader = reactor.watch_first(pairs[1].0.as_fd(), named("leader"));
    let woken = reactor.watch(pairs[2].0.as_fd(), named("woken"));
    reactor.dispatch().unwrap();
    woken.again();
    for (_, other) in &pairs[..2] {
        send(other, b"x", SendFlags::empty()).unwrap();
    }
    until(&reactor, || told.borrow().len() == 3);
    assert_eq!(*told.borrow(), ["leader", "woken", "client"]);
    drop(leader);
    assert_eq!(reactor.inner.urgent.get(), 0);
    drop((client, woken));
}
