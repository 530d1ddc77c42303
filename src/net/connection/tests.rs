//! Connections over pairs of sockets, with a core that answers nothing.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::super::table::OUTPUT_STALL;
use super::super::{Budget, Census, NetOptions};
use super::*;
use crate::admin::word::FourLetterWord;
use crate::replica::Outgoing;
use crate::runtime::{Doorbell, Reactor};

/// A core that answers nothing, and counts its events.
#[derive(Default)]
struct Silent {
    frame_bytes: Cell<usize>,
    ended: Cell<bool>,
    written: RefCell<Vec<usize>>,
    words: Cell<usize>,
    closed: Cell<bool>,
}

impl Core for Silent {
    fn open(&self, _: ConnectionId, _: SocketAddr) {}
    fn certified(&self, _: ConnectionId, _: &str) {}
    fn frames(&self, _: ConnectionId, frames: &[u8]) {
        self.frame_bytes.set(self.frame_bytes.get() + frames.len());
    }
    fn word(&self, _: ConnectionId, _: SocketAddr, _: FourLetterWord, _: Option<[u8; 8]>) {
        self.words.set(self.words.get() + 1);
    }
    fn end(&self, _: ConnectionId) {
        self.ended.set(true);
    }
    fn written(&self, _: ConnectionId, bytes: usize) {
        self.written.borrow_mut().push(bytes);
    }
    fn close(&self, _: ConnectionId) {
        self.closed.set(true);
    }
}

fn budget() -> Budget {
    Budget::new(1 << 40, 1)
}

fn table(reactor: &Reactor) -> Connections {
    let options = NetOptions { requests_outstanding_max: 10, ..NetOptions::default() };
    Connections::new(0, options, Census::new(0, 0, 100), &budget(), reactor.clone())
}

fn connect(table: &Connections, core: &Rc<Silent>) -> (Rc<Connection>, UnixStream) {
    let (ours, client) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (enter(table, core, ours.into()), client)
}

fn enter(table: &Connections, core: &Rc<Silent>, socket: OwnedFd) -> Rc<Connection> {
    let remote: SocketAddr = "127.0.0.1:4000".parse().unwrap();
    table.shared.census.enter(remote.ip()).unwrap();
    let make = |id| Connection::new(id, remote, socket, Door::Plain, table.clone(), core.clone());
    table.insert(make).unwrap()
}

/// Sleeps and dispatches until `done`.
fn until(reactor: &Reactor, what: &str, done: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < patience, "{what}: it does not come");
        reactor.sleep(Some(Instant::now() + Duration::from_millis(10))).unwrap();
        reactor.dispatch().unwrap();
    }
}

#[test]
fn the_core_hears_of_the_bytes_that_it_counts_and_of_no_others_however_many() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (table, core) = (table(&reactor), Rc::default());
    let (connection, mut client) = connect(&table, &core);
    let bytes = vec![7; 8 << 20];
    for is_reported in [false, true, false] {
        let send = Outgoing {
            conn: connection.id,
            bytes: bytes.clone(),
            is_reported,
            ..Outgoing::default()
        };
        table.deliver(send);
    }
    let mut left = 3 * bytes.len();
    let mut chunk = vec![0; 1 << 20];
    while left > 0 {
        assert!(core.written.borrow().is_empty() || left < 2 * bytes.len(), "{left} left");
        left -= client.read(&mut chunk).unwrap();
        connection.flush(connection.unsent.borrow_mut(), usize::MAX).0.unwrap();
    }
    assert_eq!(*core.written.borrow(), [bytes.len()]);
    assert_eq!((connection.unsent_bytes(), connection.unsent.borrow().reported), (0, 0));
}

/// The length of an empty frame.
const FRAME: [u8; 4] = [0; 4];

#[test]
fn the_end_of_a_stream_that_came_while_it_was_not_read_is_heard_of_afterwards() {
    // The server does not read the connection because of the requests of others, its own requests, or its unread
    // output.
    for why in ["throttled", "waits for answers", "unread output"] {
        let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
        let (table, core) = (table(&reactor), Rc::default());
        let (connection, mut client) = connect(&table, &core);
        connection.clone().run();
        client.write_all(&FRAME).unwrap();
        until(&reactor, why, || core.frame_bytes.get() == FRAME.len());
        let conn = connection.id;
        let output = 32 << 20;
        match why {
            "throttled" => table.count(&connection, 20, 2000),
            "waits for answers" => table.count(&connection, 1, 8 << 20),
            _ => drop(table.deliver(Outgoing {
                conn,
                bytes: vec![7; output],
                ..Outgoing::default()
            })),
        }
        client.write_all(&FRAME).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        for _ in 0..3 {
            reactor.sleep(Some(Instant::now() + Duration::from_millis(5))).unwrap();
            reactor.dispatch().unwrap();
        }
        assert!(!core.ended.get() && core.frame_bytes.get() == FRAME.len(), "{why}");
        if why == "unread output" {
            let mut left = output;
            let mut chunk = vec![0; 1 << 20];
            client.set_nonblocking(true).unwrap();
            while left > 0 {
                left -= client.read(&mut chunk).unwrap_or(0);
                reactor.sleep(Some(Instant::now() + Duration::from_millis(1))).unwrap();
                reactor.dispatch().unwrap();
            }
        } else {
            table.deliver(Outgoing { conn, answered: 21, ..Outgoing::default() });
        }
        until(&reactor, why, || core.ended.get());
        assert_eq!(core.frame_bytes.get(), 2 * FRAME.len(), "{why}");
    }
}

#[test]
fn what_follows_a_word_in_a_later_read_does_not_end_the_connection_before_its_answer() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (table, core) = (table(&reactor), Rc::default());
    let (connection, mut client) = connect(&table, &core);
    connection.clone().run();
    client.write_all(b"ruok").unwrap();
    until(&reactor, "the word", || core.words.get() == 1);
    client.write_all(b"quit\nand more").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    until(&reactor, "the end of the stream", || connection.input_over.get());
    assert!(!core.closed.get() && core.words.get() == 1 && core.frame_bytes.get() == 0);
    let bytes = b"imok".to_vec();
    table.deliver(Outgoing { conn: connection.id, bytes, close: true, ..Outgoing::default() });
    let mut answer = String::new();
    until(&reactor, "the end", || core.closed.get());
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "imok");
}

#[test]
fn a_client_that_breaks_off_after_it_has_sent_its_last_is_gone() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (table, core) = (table(&reactor), Rc::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    enter(&table, &core, ours.into()).run();
    client.write_all(&FRAME).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    until(&reactor, "the end of the stream", || core.ended.get());
    assert!(!core.closed.get(), "it may still read");
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    until(&reactor, "the reset", || core.closed.get());
}

#[test]
fn a_connection_whose_client_does_not_close_its_side_counts_for_as_long_as_it_is_open() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let census = Census::new(0, 0, 8);
    let table =
        Connections::new(0, NetOptions::default(), census.clone(), &budget(), reactor.clone());
    let core = Rc::default();
    let clients: Vec<UnixStream> = (0..8)
        .map(|_| {
            let (connection, client) = connect(&table, &core);
            connection.clone().run();
            table.deliver(Outgoing { conn: connection.id, close: true, ..Outgoing::default() });
            client
        })
        .collect();
    until(&reactor, "all are over", || census.total() == 0);
    let enter = || (0..9).take_while(|_| census.enter([10, 0, 0, 1].into()).is_ok()).count();
    let leave = |count| (0..count).for_each(|_| census.leave([10, 0, 0, 1].into()));
    assert_eq!(enter(), 6, "two linger, the others are closed");
    leave(6);
    drop(clients);
    until(&reactor, "the clients have closed", || {
        let free = enter();
        leave(free);
        free == 8
    });
}

#[test]
fn long_requests_count_in_full_when_the_short_ones_before_them_are_answered() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (table, core) = (table(&reactor), Rc::default());
    let (connection, mut client) = connect(&table, &core);
    connection.clone().run();
    table.count(&connection, 100, 3000);
    for _ in 0..5 {
        table.count(&connection, 1, 1 << 20);
    }
    let conn = connection.id;
    table.deliver(Outgoing { conn, answered: 100, ..Outgoing::default() });
    assert_eq!(connection.outstanding_bytes.get(), 5 << 20);
    client.write_all(&FRAME).unwrap();
    for _ in 0..3 {
        reactor.sleep(Some(Instant::now() + Duration::from_millis(5))).unwrap();
        reactor.dispatch().unwrap();
    }
    assert_eq!(core.frame_bytes.get(), 0, "it is not read on");
    table.deliver(Outgoing { conn, answered: 1, ..Outgoing::default() });
    until(&reactor, "there is room", || core.frame_bytes.get() == FRAME.len());
}

#[test]
fn requests_of_a_client_that_does_not_read_slow_nobody_else_down() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (table, core) = (table(&reactor), Rc::default());
    let (slow, mut client) = connect(&table, &core);
    let (other, _other_client) = connect(&table, &core);
    table.count(&slow, 20, 2000);
    assert!(table.is_throttled(), "they may be requests that are being carried out");

    // The core answers one request, and the client does not read the answer, for which its other requests now wait.
    let reply = vec![7; 8 << 20];
    let length = reply.len();
    table.deliver(Outgoing { conn: slow.id, bytes: reply, answered: 1, ..Outgoing::default() });
    assert!(slow.unsent_bytes() > 0, "more than a socket holds");
    assert!(!table.is_throttled());
    table.count(&slow, 20, 2000);
    assert!(!table.is_throttled());
    table.count(&other, 11, 100);
    assert!(table.is_throttled(), "others count as ever");
    table.deliver(Outgoing { conn: other.id, answered: 11, ..Outgoing::default() });
    assert!(!table.is_throttled());

    // The client reads the answer, and the core executes its requests.
    let mut read = 0;
    let mut chunk = vec![0; 1 << 20];
    while read < length {
        read += client.read(&mut chunk).unwrap();
        slow.flush(slow.unsent.borrow_mut(), usize::MAX).0.unwrap();
    }
    assert!(table.is_throttled());
    table.deliver(Outgoing { conn: slow.id, answered: 39, ..Outgoing::default() });
    assert_eq!(table.shared.outstanding.get(), 0);
    assert_eq!(table.shared.outstanding_bytes.get(), 0);
    // A connection that ends while its requests do not count leaves no count behind.
    table.count(&other, 5, 100);
    let bytes = vec![7; 8 << 20];
    table.deliver(Outgoing { conn: other.id, bytes, answered: 1, ..Outgoing::default() });
    table.remove(&other);
    assert_eq!(table.shared.outstanding.get(), 0);
}

#[test]
fn a_frame_that_has_begun_and_does_not_end_is_given_up_unless_the_server_itself_does_not_read() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (table, core) = (table(&reactor), Rc::default());
    let (connection, mut client) = connect(&table, &core);
    connection.clone().run();
    let now = Instant::now();
    let look = |times: u32| (0..times).for_each(|_| table.close_silent(now));
    let arrives = |client: &mut UnixStream, bytes: &[u8], in_all: usize| {
        client.write_all(bytes).unwrap();
        until(&reactor, "the bytes", || connection.partial.borrow().len() == in_all);
    };
    client.write_all(&FRAME).unwrap();
    until(&reactor, "the first frame", || core.frame_bytes.get() == FRAME.len());
    // An announced frame gets more time, but no memory.
    let announced = 10 * limits::FRAME_BYTES_PER_LOOK;
    let length = u32::try_from(announced).unwrap();
    arrives(&mut client, &[&length.to_be_bytes()[..], &[7; 8000]].concat(), 8004);
    assert!(connection.partial.borrow().capacity() < announced);
    table.count(&connection, 1, 8 << 20);
    client.write_all(&[7]).unwrap();
    until(&reactor, "it is not read", || connection.waits_for_answers.get());
    look(1000);
    table.deliver(Outgoing { conn: connection.id, answered: 2, ..Outgoing::default() });
    until(&reactor, "the byte", || connection.partial.borrow().len() == 8005);
    look(limits::FRAME_LOOKS_MIN + 10);
    assert!(connection.end.borrow().is_none());
    // Another frame has a time of its own, which a byte now and then does not prolong.
    let rest = vec![7; announced + 4 - 8005];
    client.write_all(&rest).unwrap();
    until(&reactor, "the frame", || core.frame_bytes.get() == 2 * FRAME.len() + announced);
    for at in 0..limits::FRAME_LOOKS_MIN {
        if at < 3 {
            arrives(&mut client, &[0], at as usize + 1);
        }
        look(1);
    }
    assert!(connection.end.borrow().is_none() && !core.closed.get());
    look(1);
    until(&reactor, "the end", || core.closed.get());
}

#[test]
fn nobody_without_a_session_holds_more_than_a_connect_request() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    for length in [limits::CONNECT_FRAME_BYTES_MAX, limits::CONNECT_FRAME_BYTES_MAX + 1] {
        let (table, core) = (table(&reactor), Rc::<Silent>::default());
        let (connection, mut client) = connect(&table, &core);
        connection.clone().run();
        client.write_all(&length.to_be_bytes()).unwrap();
        if length == limits::CONNECT_FRAME_BYTES_MAX {
            client.write_all(&vec![7; length as usize]).unwrap();
            until(&reactor, "the frame", || core.frame_bytes.get() == length as usize + 4);
            // The next frame may again have any length.
            client.write_all(&(2 * length).to_be_bytes()).unwrap();
            until(&reactor, "the next one", || connection.partial.borrow().len() == 4);
        } else {
            until(&reactor, "the end", || core.closed.get());
            assert_eq!(core.frame_bytes.get(), 0);
        }
    }
}

/// A table whose connections may hold 64 MiB.
fn of_64_mib(reactor: &Reactor) -> (Budget, Connections) {
    let (budget, census) = (Budget::new(64 << 20, 1), Census::new(0, 0, 100));
    let table = Connections::new(0, NetOptions::default(), census, &budget, reactor.clone());
    (budget, table)
}

#[test]
fn when_all_hold_too_much_those_go_who_hold_most_for_longest() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (budget, table) = of_64_mib(&reactor);
    let cores: Vec<Rc<Silent>> = (0..4).map(|_| Rc::default()).collect();
    let ends: Vec<_> = cores.iter().map(|core| connect(&table, core)).collect();
    let give = |place: usize, mib: usize| {
        let conn = ends[place].0.id;
        drop(table.deliver(Outgoing { conn, bytes: vec![7; mib << 20], ..Outgoing::default() }));
        table.settle();
    };
    let gone = || cores.iter().map(|core| core.closed.get()).collect::<Vec<_>>();
    give(0, 20);
    give(1, 4);
    // Bytes of requests and of an incomplete frame also count.
    table.count(&ends[3].0, 1, 3 << 20);
    ends[3].0.recount();
    assert_eq!((budget.held() + 1) >> 20, 27);
    std::thread::sleep(Duration::from_millis(300));
    give(2, 20);
    assert_eq!(gone(), [false; 4], "below three quarters");
    give(1, 2);
    assert_eq!(gone(), [true, false, false, false], "as much as another, and for longer");
    assert_eq!(budget.closed().0, 1);
    assert!(budget.held() >> 20 < 40 && budget.held() >> 20 >= 28, "{budget:?}");
    // When the connection that holds most is gone, the others stay.
    drop(table.deliver(Outgoing { conn: ends[2].0.id, bytes: Vec::new(), ..Outgoing::default() }));
    table.remove(&ends[2].0);
    table.settle();
    assert_eq!(budget.held() >> 20, 9);
}

#[test]
fn one_round_reads_no_more_than_all_connections_may_hold() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (budget, table) = of_64_mib(&reactor);
    let cores: Vec<Rc<Silent>> = (0..100).map(|_| Rc::default()).collect();
    let mut ends: Vec<_> = cores.iter().map(|core| connect(&table, core)).collect();
    let mut beginning = 1_000_000_i32.to_be_bytes().to_vec();
    beginning.resize(100_000, 7);
    for (connection, client) in &mut ends {
        connection.clone().run();
        connection.greeted.set(true);
        client.write_all(&beginning).unwrap();
    }
    reactor.sleep(Some(Instant::now() + Duration::from_secs(10))).unwrap();
    reactor.dispatch().unwrap();
    let mib = || budget.held() >> 20;
    assert!((54..58).contains(&mib()), "{budget:?}: each has sent the beginning of 1 MB");
    table.settle();
    assert!((80..90).contains(&table.len()), "{} are open", table.len());
    assert!(mib() <= 40, "{budget:?}");
    until(&reactor, "others are read", || mib() >= 54);
}

#[test]
fn a_connection_that_the_core_has_closed_ends_however_slowly_its_client_reads() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (table, core) = (table(&reactor), Rc::<Silent>::default());
    let (connection, mut client) = connect(&table, &core);
    connection.clone().run();
    let bytes = vec![7; 16 << 20];
    table.deliver(Outgoing { conn: connection.id, bytes, close: true, ..Outgoing::default() });
    let begun = Instant::now();
    let patience = OUTPUT_STALL + Duration::from_secs(16);
    let mut taken = vec![0; 50_000];
    // The client reads from time to time, so that the connection is never stuck for long.
    for second in (10..=46).step_by(10) {
        client.read_exact(&mut taken).unwrap();
        reactor.sleep(Some(Instant::now() + Duration::from_millis(10))).unwrap();
        reactor.dispatch().unwrap();
        connection.stuck_since.set(begun + Duration::from_secs(second));
        table.close_silent(begun + Duration::from_secs(second));
    }
    assert!(!core.closed.get());
    table.close_silent(begun + patience + Duration::from_secs(1));
    until(&reactor, "the end", || core.closed.get());
}

#[test]
fn what_is_short_does_not_wait_behind_long_pieces_for_others() {
    let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
    let (_, table) = of_64_mib(&reactor);
    let cores: Vec<Rc<Silent>> = (0..21).map(|_| Rc::default()).collect();
    let mut ends: Vec<_> = cores.iter().map(|core| connect(&table, core)).collect();
    ends.iter().for_each(|(connection, _)| connection.clone().run());
    let send = |place: usize, bytes: Vec<u8>| Outgoing {
        conn: ends[place].0.id,
        bytes,
        ..Outgoing::default()
    };
    let long = |byte: u8| vec![byte; 100_000];
    let mut sends: Vec<Outgoing> = (0..20).map(|place| send(place, long(1))).collect();
    sends.extend((0..20).map(|place| send(place, long(2))));
    // These short bytes come after the long ones for which the connection waits.
    sends.push(send(0, vec![3; 10]));
    sends.push(send(20, vec![4; 10]));
    sends.push(Outgoing { close: true, ..send(1, vec![5; 10]) });
    table.deliver_all(sends);
    assert_eq!(ends[20].0.unsent_bytes(), 0, "it is on its way");
    let unsent = |place: usize| ends[place].0.unsent_bytes();
    // A client in the queue does not get a turn by sending something.
    assert!(ends[0].0.advance(Readiness::default()).is_none());
    assert!((0..20).all(|place| unsent(place) >= 200_000) && table.has_line());
    table.write_some();
    let left: usize = (0..20).map(unsent).sum();
    let round = limits::LONG_SENDS_BYTES_PER_ROUND + limits::LONG_SEND_BYTES_PER_TURN;
    assert!((4_000_000 - round..4_000_000).contains(&left), "{left}");
    for _ in 0..100 {
        table.write_some();
    }
    assert!(!table.has_line() && (0..20).all(|place| unsent(place) == 0));
    // The client gets everything in order.
    let mut got = vec![0; 200_010];
    ends[0].1.read_exact(&mut got).unwrap();
    assert!(got == [long(1), long(2), vec![3; 10]].concat());
    until(&reactor, "the end", || cores[1].closed.get());
    ends[1].1.read_exact(&mut got).unwrap();
    assert!(got == [long(1), long(2), vec![5; 10]].concat());
}
