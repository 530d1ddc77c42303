//! Links over the loopback interface, with a core that records its events.

use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::id::ServerId;

/// A core that records its events in order, and joins the bytes of each link.
#[derive(Default)]
pub(super) struct Heard {
    pub events: RefCell<Vec<String>>,
    pub links: RefCell<Vec<LinkId>>,
    pub bytes: RefCell<BTreeMap<LinkId, Vec<u8>>>,
    pub sent: Cell<u64>,
    pub behind: Cell<bool>,
    /// The link of which the core has enough.
    enough: Cell<Option<LinkId>>,
    /// Whether the core sends back the bytes that it receives.
    echo: Cell<bool>,
    own: RefCell<Option<Links>>,
}

impl Heard {
    pub fn hear(&self, links: &Links) {
        links.deliver(|event| {
            self.events.borrow_mut().push(match event {
                LinkEvent::Accepted { link, port, may_be, .. } => {
                    self.links.borrow_mut().push(link);
                    let of = may_be.map_or(String::new(), |ids| format!(" of {ids:?}"));
                    format!("accepted {port:?}{of}")
                }
                LinkEvent::Identified { may_be, .. } => format!("may be {may_be:?}"),
                LinkEvent::Connected { link, .. } => {
                    self.links.borrow_mut().push(link);
                    "connected".to_owned()
                }
                LinkEvent::Received { .. } => unreachable!("bytes never wait"),
                LinkEvent::Sent { bytes, .. } => {
                    self.sent.set(self.sent.get() + bytes);
                    return;
                }
                LinkEvent::Closed { reason, .. } => format!("closed: {reason}"),
            });
        });
    }

    pub fn events(&self) -> Vec<String> {
        self.events.borrow().clone()
    }
}

impl LinkCore for Heard {
    fn link_events(&self) {}

    fn link_received(&self, link: LinkId, bytes: &[u8]) {
        let own = self.own.borrow();
        let links = own.as_ref().expect("it was set");
        self.hear(links);
        if self.echo.get() {
            links.perform(LinkOp::Send { link, bytes: Bytes::copy_from_slice(bytes) });
            links.flush();
        }
        self.bytes.borrow_mut().entry(link).or_default().extend_from_slice(bytes);
    }

    fn link_fatal(&self, reason: String) {
        self.events.borrow_mut().push(format!("fatal: {reason}"));
    }

    fn has_enough_of(&self, link: LinkId) -> bool {
        self.behind.get() || self.enough.get() == Some(link)
    }
}

pub(super) struct Side {
    pub links: Links,
    pub heard: Rc<Heard>,
    pub reactor: Reactor,
}

pub(super) fn reactor() -> Reactor {
    Reactor::new(Doorbell::new().unwrap()).unwrap()
}

/// Dispatches events for at most `long`.
pub(super) fn moment(reactor: &Reactor, long: Duration) {
    reactor.sleep(Some(Instant::now() + long)).unwrap();
    reactor.dispatch().unwrap();
}

impl Side {
    fn new(reactor: &Reactor) -> Side {
        Side::with(LinkOptions::default(), reactor)
    }

    fn with(options: LinkOptions, reactor: &Reactor) -> Side {
        Side::with_tls(options, None, reactor)
    }

    pub fn with_tls(options: LinkOptions, tls: Option<Arc<LinkTls>>, reactor: &Reactor) -> Side {
        let bell = Doorbell::new().unwrap();
        let links = Links::new(options, tls, bell, reactor.clone());
        let heard = Rc::new(Heard::default());
        *heard.own.borrow_mut() = Some(links.clone());
        let core: Rc<dyn LinkCore> = heard.clone();
        links.set_core(Rc::downgrade(&core));
        Side { links, heard, reactor: reactor.clone() }
    }

    /// Listens at a port that was free a moment ago.
    pub fn listen(&self) -> Endpoint {
        let port = free_port();
        let at = Endpoint { host: "127.0.0.1".to_owned(), port };
        self.links.perform(LinkOp::Listen { on: vec![(Port::Quorum, at.clone())] });
        at
    }

    pub fn connect(&self, number: u64, to: Vec<Endpoint>, timeout_ms: u64) -> LinkId {
        let link = LinkId::opened(number);
        let (port, server) = (Port::Quorum, ServerId(2));
        self.links.perform(LinkOp::Connect { link, port, server, to, timeout_ms });
        link
    }

    pub fn send(&self, link: LinkId, bytes: impl Into<Bytes>) {
        self.links.perform(LinkOp::Send { link, bytes: bytes.into() });
    }

    pub fn received(&self, link: LinkId) -> usize {
        self.heard.bytes.borrow().get(&link).map_or(0, Vec::len)
    }
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Waits until `condition` holds, handling the events of both sides.
fn until(sides: &[&Side], what: &str, mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        for side in sides {
            side.heard.hear(&side.links);
            side.links.flush();
        }
        if condition() {
            return;
        }
        let events: Vec<_> = sides.iter().map(|side| side.heard.events()).collect();
        assert!(Instant::now() < patience, "{what}: {events:?}");
        moment(&sides[0].reactor, Duration::from_micros(200));
    }
}

/// Two sides with a link between them: the server, the server's end, the client, and the client's end.
fn linked() -> (Side, LinkId, Side, LinkId) {
    let reactor = reactor();
    let (server, client) = (Side::new(&reactor), Side::new(&reactor));
    let at = server.listen();
    let mut number = 0;
    // The listener may come a moment later than the connection.
    loop {
        number += 1;
        let link = client.connect(number, vec![at.clone()], 1000);
        let before = client.heard.events().len();
        until(&[&server, &client], "an outcome", || client.heard.events().len() > before);
        if client.heard.events().last().unwrap() == "connected" {
            until(&[&server, &client], "accepted", || !server.heard.links.borrow().is_empty());
            let accepted = server.heard.links.borrow()[0];
            return (server, accepted, client, link);
        }
    }
}

#[test]
fn bytes_arrive_in_order_whatever_their_sizes_and_are_told_to_have_left() {
    let (server, accepted, client, link) = linked();
    let mut sent = Vec::new();
    for size in [1usize, 20, 3000, 100_000, 7, 2048, 2049, 1 << 20, 5, 65_536, 65_537] {
        let bytes: Vec<u8> = (0..size).map(|at| (at ^ size).to_le_bytes()[0]).collect();
        sent.extend_from_slice(&bytes);
        client.send(link, bytes);
    }
    until(&[&server, &client], "everything", || server.received(accepted) == sent.len());
    assert_eq!(server.heard.bytes.borrow()[&accepted], sent);
    assert_eq!(client.heard.sent.get(), sent.len() as u64);
    assert_eq!(server.heard.events(), ["accepted Quorum"]);
}

#[test]
fn what_was_sent_before_a_close_arrives_and_the_other_side_hears_of_it() {
    let (server, accepted, client, link) = linked();
    // The client sends bytes that the server does not read before the end.
    client.send(link, vec![1; 1000]);
    server.send(accepted, vec![7; 3 << 20]);
    server.links.perform(LinkOp::Close { link: accepted });
    server.send(accepted, vec![8; 10]);
    // The events of attempts that came before the listener are left out.
    let since = || client.heard.events().into_iter().skip_while(|event| event != "connected");
    until(&[&server, &client], "the end", || since().count() > 1);
    assert_eq!(client.received(link), 3 << 20, "{:?}", client.heard.events());
    assert!(since().nth(1).is_some_and(|event| event.starts_with("closed: ")));
    assert_eq!(server.heard.events(), ["accepted Quorum"], "no event after its own close");
    assert_eq!((server.links.count(), client.links.count()), (0, 0));
    server.links.stop(Duration::from_secs(5));
    assert_eq!(server.links.shared.ending.get(), 0);
    until(&[&server], "forgotten", || server.links.shared.remotes.borrow().is_empty());
}

#[test]
fn a_connection_that_cannot_be_made_is_closed_with_its_reason() {
    let client = Side::new(&reactor());
    let nobody = Endpoint { host: "127.0.0.1".to_owned(), port: free_port() };
    client.connect(1, vec![nobody], 1000);
    let unknown = Endpoint { host: "no-such-host.invalid".to_owned(), port: 1 };
    client.connect(2, vec![unknown], 3000);
    client.connect(3, vec![], 1000);
    until(&[&client], "three ends", || client.heard.events().len() == 3);
    let events = client.heard.events().join("\n");
    assert!(events.contains("refused"), "{events}");
    assert!(events.contains("no-such-host.invalid"), "{events}");
    assert!(events.contains("no address to connect to"), "{events}");
    assert_eq!(client.links.count(), 0);
}

/// Connects until a listener is there, and returns the last event of the client's side.
fn knock(server: &Side, client: &Side, at: &Endpoint, numbers: std::ops::Range<u64>) -> String {
    for number in numbers {
        let before = client.heard.events().len();
        client.connect(number, vec![at.clone()], 1000);
        until(&[server, client], "an outcome", || client.heard.events().len() > before);
        if client.heard.events().last().unwrap() == "connected" {
            let patience = Instant::now() + Duration::from_secs(5);
            while client.heard.events().last().unwrap() == "connected"
                && !server.heard.events().last().is_some_and(|last| last.starts_with("accepted"))
                && Instant::now() < patience
            {
                server.heard.hear(&server.links);
                client.heard.hear(&client.links);
                moment(&server.reactor, Duration::from_millis(1));
            }
            return client.heard.events().last().unwrap().clone();
        }
    }
    panic!("nobody listens: {:?}", client.heard.events());
}

#[test]
fn a_connection_is_of_the_members_that_have_its_address() {
    let hosts = |host: &str| LinkOp::Members { hosts: vec![(ServerId(7), vec![host.to_owned()])] };
    let of = |check| LinkOptions { peer_address_check: check, ..LinkOptions::default() };
    let reactor = reactor();
    let client = Side::new(&reactor);
    // With the strict check, the server accepts only members, and waits until it has resolved their names.
    let strict = Side::with(of(PeerAddressCheck::Strict), &reactor);
    let at = strict.listen();
    strict.links.perform(hosts("10.255.255.1"));
    let end = knock(&strict, &client, &at, 1..50);
    assert!(end.starts_with("closed"), "{end}");
    assert_eq!(strict.heard.events(), [""; 0]);
    strict.links.perform(hosts("localhost"));
    assert_eq!(knock(&strict, &client, &at, 50..100), "connected");
    assert_eq!(strict.heard.events()[0], "accepted Quorum of [ServerId(7)]");
    // Without the strict check, the server accepts others too, and may later recognise one as a member.
    let members = Side::with(of(PeerAddressCheck::Members), &reactor);
    let at = members.listen();
    members.links.perform(hosts("10.255.255.1"));
    assert_eq!(knock(&members, &client, &at, 100..150), "connected");
    members.links.perform(hosts("127.0.0.1"));
    until(&[&members], "identified", || members.heard.events().len() == 2);
    assert_eq!(members.heard.events(), ["accepted Quorum of []", "may be [ServerId(7)]"]);
    // A name that cannot be resolved does not restrict its member's address.
    members.links.perform(hosts("no-such-host.invalid"));
    until(&[&members], "asked", || members.heard.events().len() == 3);
    assert_eq!(knock(&members, &client, &at, 150..200), "connected");
    assert_eq!(members.heard.events()[3], "accepted Quorum of [ServerId(7)]");
}

#[test]
fn all_addresses_are_tried() {
    let (server, _, client, _) = linked();
    let at = server.links.shared.listeners.borrow()[0].at().clone();
    let nobody = Endpoint { host: "127.0.0.1".to_owned(), port: free_port() };
    client.connect(100, vec![nobody, at], 2000);
    until(&[&server, &client], "the second", || client.heard.links.borrow().len() == 2);
}

#[test]
fn a_connection_that_is_closed_before_it_is_there_says_nothing_more() {
    let (server, _, client, _) = linked();
    let at = server.links.shared.listeners.borrow()[0].at().clone();
    let before = client.heard.events();
    let link = client.connect(100, vec![at], 1000);
    client.links.perform(LinkOp::Close { link });
    until(&[&server, &client], "the job", || client.links.shared.jobs.borrow().is_empty());
    until(&[&server, &client], "its end", || {
        server.heard.events().last().unwrap().starts_with("closed")
    });
    assert_eq!(client.heard.events(), before);
}

#[test]
fn listeners_come_and_go_and_open_links_stay() {
    let (server, accepted, client, link) = linked();
    let old = server.links.shared.listeners.borrow()[0].at().clone();
    let new = server.listen();
    // The kernel closes the old socket a moment later.
    for number in 100.. {
        let before = client.heard.events().len();
        client.connect(number, vec![old.clone()], 1000);
        until(&[&server, &client], "outcome", || client.heard.events().len() > before);
        if client.heard.events().last().unwrap().contains("refused") {
            break;
        }
        assert!(number < 150, "{:?}", client.heard.events());
    }
    client.send(link, &b"still here"[..]);
    until(&[&server, &client], "bytes", || server.received(accepted) == 10);
    for number in 200.. {
        assert!(number < 250, "{:?}", client.heard.events());
        let before = client.heard.events().len();
        client.connect(number, vec![new.clone()], 1000);
        until(&[&server, &client], "outcome", || client.heard.events().len() > before);
        if client.heard.events().last().unwrap() == "connected" {
            break;
        }
    }
}

#[test]
fn an_address_in_use_is_tried_again_and_given_up_only_if_so_configured() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let at = Endpoint { host: "127.0.0.1".to_owned(), port };
    let reactor = reactor();
    let patient = Side::new(&reactor);
    let options = LinkOptions { bind_attempts_max: Some(1), ..LinkOptions::default() };
    let server = Side::with(options, &reactor);
    for side in [&patient, &server] {
        side.links.perform(LinkOp::Listen { on: vec![(Port::Election, at.clone())] });
    }
    until(&[&patient, &server], "giving up", || !server.heard.events().is_empty());
    assert!(server.heard.events()[0].contains("electionPortBindRetry"));
    drop(taken);
    server.links.perform(LinkOp::Listen { on: Vec::new() });
    let client = Side::new(&reactor);
    for number in 1.. {
        let before = client.heard.events().len();
        client.connect(number, vec![at.clone()], 1000);
        until(&[&patient, &client], "outcome", || client.heard.events().len() > before);
        if client.heard.events().last().unwrap() == "connected" {
            break;
        }
        moment(&reactor, Duration::from_millis(50));
    }
}

#[test]
fn a_server_that_listens_at_one_of_its_addresses_does_not_give_up_for_the_others() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = [
        Endpoint { host: "no-such-host.invalid".to_owned(), port: 7 },
        Endpoint { host: "127.0.0.1".to_owned(), port: taken.local_addr().unwrap().port() },
    ];
    let good = Endpoint { host: "127.0.0.1".to_owned(), port: free_port() };
    let options = LinkOptions { bind_attempts_max: Some(1), ..LinkOptions::default() };
    let reactor = reactor();
    let (server, lost) = (Side::with(options, &reactor), Side::with(options, &reactor));
    let on = |at: &[Endpoint]| LinkOp::Listen {
        on: at.iter().map(|at| (Port::Election, at.clone())).collect(),
    };
    server.links.perform(on(&[bad.to_vec(), vec![good]].concat()));
    lost.links.perform(on(&bad));
    until(&[&server, &lost], "giving up", || !lost.heard.events().is_empty());
    let tried: u32 =
        lost.links.shared.listeners.borrow().iter().map(|listener| listener.attempts()).sum();
    assert_eq!(tried, 2, "one attempt at each address");
    let event = &lost.heard.events()[0];
    for says in [
        "this server cannot listen at ",
        ", its election port: ",
        "It has tried 1 times, as electionPortBindRetry says, and listens at no other address",
    ] {
        assert!(event.contains(says), "{event}");
    }
    until(&[&server, &lost], "more attempts", || {
        let listeners = server.links.shared.listeners.borrow();
        listeners.iter().filter(|listener| listener.attempts() > 3).count() == bad.len()
    });
    assert_eq!(server.heard.events(), [""; 0], "it goes on");
}

#[test]
fn nothing_is_read_while_the_core_is_behind_and_all_of_it_afterwards() {
    let (server, accepted, client, link) = linked();
    server.heard.behind.set(true);
    client.send(link, vec![1; 32 << 20]);
    let mut stalled = 0;
    until(&[&server, &client], "a stall", || {
        let sent = client.heard.sent.get();
        stalled = if sent == 0 { 0 } else { stalled + 1 };
        stalled > 100
    });
    assert!(server.received(accepted) <= 4 * SCRATCH_BYTES, "{}", server.received(accepted));
    assert!(client.heard.sent.get() < 32 << 20);
    server.heard.behind.set(false);
    server.links.resume();
    until(&[&server, &client], "all", || server.received(accepted) == 32 << 20);
}

#[test]
fn one_link_is_not_read_while_the_core_has_enough_of_it_and_others_are() {
    let (server, accepted, client, link) = linked();
    let at = server.listen();
    let mut number = 1000;
    // The listener may come a moment later than the connection.
    let second = loop {
        number += 1;
        let second = client.connect(number, vec![at.clone()], 1000);
        let before = client.heard.events().len();
        until(&[&server, &client], "an outcome", || client.heard.events().len() > before);
        if client.heard.events().last().unwrap() == "connected" {
            break second;
        }
    };
    until(&[&server, &client], "another link", || server.heard.links.borrow().len() == 2);
    let other = server.heard.links.borrow()[1];
    server.heard.enough.set(Some(accepted));
    client.send(link, vec![1; 1000]);
    client.send(second, vec![2; 1000]);
    until(&[&server, &client], "what the other link brings", || server.received(other) == 1000);
    // The server asks the core again at the end of each turn.
    server.links.resume();
    moment(&server.reactor, Duration::from_millis(20));
    assert_eq!(server.received(accepted), 0);
    server.heard.enough.set(None);
    server.links.resume();
    until(&[&server, &client], "the rest", || server.received(accepted) == 1000);
}

#[test]
fn the_end_of_a_link_that_came_while_the_core_was_behind_is_heard_of_afterwards() {
    let (server, accepted, client, link) = linked();
    server.heard.behind.set(true);
    client.send(link, vec![1; 1000]);
    client.links.perform(LinkOp::Close { link });
    for _ in 0..20 {
        moment(&server.reactor, Duration::from_millis(2));
    }
    assert_eq!((server.received(accepted), server.links.count()), (0, 1));
    server.heard.behind.set(false);
    server.links.resume();
    until(&[&server], "its end", || server.links.count() == 0);
    assert_eq!(server.received(accepted), 1000);
    assert_eq!(server.heard.events(), ["accepted Quorum", "closed: closed by the other side"]);
}

#[test]
fn links_from_one_address_are_bounded() {
    let (server, _, _client, _) = linked();
    let at = server.links.shared.listeners.borrow()[0].at().clone();
    let mut streams = Vec::new();
    for _ in 0..limits::LINKS_PER_REMOTE_MAX + 20 {
        streams.push(std::net::TcpStream::connect((at.host.as_str(), at.port)).unwrap());
        server.heard.hear(&server.links);
        moment(&server.reactor, Duration::from_micros(500));
    }
    let max = limits::LINKS_PER_REMOTE_MAX as usize;
    until(&[&server], "the bound", || server.links.count() == max);
    drop(streams);
    until(&[&server], "their ends", || server.links.count() <= 1);
}

/// This is no benchmark, but its time per round shows whether a message crosses cores or waits for a timer.
#[test]
fn a_message_and_its_answer_take_no_detours() {
    let (server, accepted, client, link) = linked();
    server.heard.echo.set(true);
    let rounds = 2000usize;
    let began = Instant::now();
    for round in 1..=rounds {
        client.send(link, &[9u8; 100][..]);
        client.links.flush();
        while client.received(link) < round * 100 {
            moment(&client.reactor, Duration::from_secs(1));
        }
    }
    let per_round = began.elapsed() / u32::try_from(rounds).unwrap();
    println!("a round trip of 100 bytes: {per_round:?}");
    assert_eq!(server.received(accepted), rounds * 100);
    assert!(per_round < Duration::from_millis(5), "{per_round:?}");
}

#[test]
fn strangers_bring_a_bounded_part_in_each_turn_and_take_turns() {
    const LONG: usize = 1 << 20;
    let reactor = reactor();
    let check = PeerAddressCheck::Members;
    let server =
        Side::with(LinkOptions { peer_address_check: check, ..LinkOptions::default() }, &reactor);
    let at = server.listen();
    let elsewhere = vec![(ServerId(7), vec!["10.255.255.1".to_owned()])];
    server.links.perform(LinkOp::Members { hosts: elsewhere });
    let client = Side::new(&reactor);
    let links: Vec<LinkId> = (0..8u64)
        .map(|number| {
            assert_eq!(knock(&server, &client, &at, 50 * number..50 * (number + 1)), "connected");
            *client.heard.links.borrow().last().unwrap()
        })
        .collect();
    until(&[&server, &client], "all of them", || server.heard.links.borrow().len() == 8);
    let accepted = server.heard.links.borrow().clone();
    links.iter().for_each(|link| client.send(*link, vec![1; LONG]));
    let received = || accepted.iter().map(|link| server.received(*link)).collect::<Vec<_>>();
    let all = || received().iter().sum::<usize>();
    until(&[&server, &client], "some of it", || all() == limits::STRANGERS_READ_BYTES_PER_TURN);
    for _ in 0..20 {
        moment(&reactor, Duration::from_millis(1));
    }
    assert_eq!(all(), limits::STRANGERS_READ_BYTES_PER_TURN, "the turn is not over");
    let mut turns = 1;
    until(&[&server, &client], "everything", || {
        server.links.end_turn();
        turns += 1;
        let received = received();
        let (least, most) = (received.iter().min().unwrap(), received.iter().max().unwrap());
        assert!(most - least <= 64 << 10, "each in turn: {received:?}");
        all() == 8 * LONG
    });
    assert!(turns >= 8 * LONG / limits::STRANGERS_READ_BYTES_PER_TURN, "{turns}");
}
