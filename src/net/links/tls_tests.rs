//! Links with TLS over the loopback interface, and what must not become a link.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, SignatureScheme, Stream};

use super::tests::{Side, moment, reactor};
use super::*;
use crate::config::{ClientAuth, Password, StoreAt, TlsSide};
use crate::net::Handshakes;
use crate::tls::TlsContext;
use crate::tls::stores::StoreKind;

/// An authority, in a folder of its own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), issuer.pem()).unwrap();
        Authority { issuer, folder }
    }

    fn trusted(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A key and a certificate with these alternative names.
    fn issue(&self, names: &[&str], until_year: i32) -> PathBuf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let path = self.folder.path().join(format!("{}-{until_year}.pem", names.join("-")));
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(until_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
        path
    }
}

const LATER: i32 = 2999;

/// The settings of a side with these files.
fn settings(key: &Path, trust: &Path) -> TlsSide {
    let store = |path: &Path| {
        let (path, kind, password) = (path.to_owned(), StoreKind::Pem, Password::None);
        Some(StoreAt { path, kind, password })
    };
    TlsSide { key_store: store(key), trust_store: store(trust), ..TlsSide::of_servers() }
}

/// How a server uses TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Uses {
    /// `sslQuorum=true`.
    Alone,
    /// `portUnification=true`.
    Unified,
    /// Both.
    Both,
}

fn tls(settings: &TlsSide, uses: Uses) -> LinkTls {
    let context = TlsContext::load(settings).unwrap();
    LinkTls {
        sides: Box::new(move || LinkSides {
            server: context.server.clone(),
            client: context.client.clone(),
        }),
        opens_with: uses != Uses::Unified,
        accepts_plain: uses != Uses::Alone,
        checks_called: settings.hostname_verification,
        checks_callers: settings.client_hostname_verification,
        detection: Duration::from_secs(5),
        handshakes: Handshakes::default(),
    }
}

fn side(tls: Option<LinkTls>, reactor: &Reactor) -> Side {
    Side::with_tls(LinkOptions::default(), tls.map(Arc::new), reactor)
}

fn failed(side: &Side) -> u64 {
    side.links.shared.tls.as_ref().unwrap().handshakes.failed()
}

fn outstanding(side: &Side) -> u32 {
    side.links.shared.tls.as_ref().unwrap().handshakes.outstanding()
}

fn until(sides: &[&Side], what: &str, mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        for side in sides {
            side.heard.hear(&side.links);
            side.links.flush();
            side.links.end_turn();
        }
        if condition() {
            return;
        }
        let events: Vec<_> = sides.iter().map(|side| side.heard.events()).collect();
        assert!(Instant::now() < patience, "{what}: {events:?}");
        moment(&sides[0].reactor, Duration::from_micros(200));
    }
}

/// Waits until it listens.
fn listening(server: &Side) -> Endpoint {
    let at = server.listen();
    until(&[server], "a listener", || {
        server.links.shared.listeners.borrow().iter().all(listen::Listener::is_bound)
    });
    at
}

/// Connects; returns the last event of the client's side.
fn call(server: &Side, client: &Side, at: &Endpoint) -> String {
    let number = client.heard.events().len() as u64 + 1;
    client.connect(number, vec![at.clone()], 5000);
    until(&[server, client], "an outcome", || client.heard.events().len() as u64 >= number);
    client.heard.events().pop().unwrap()
}

/// Two sides with a link between them, and its two ends.
fn linked(server: Side, client: Side) -> (Side, LinkId, Side, LinkId) {
    let at = listening(&server);
    assert_eq!(call(&server, &client, &at), "connected");
    until(&[&server, &client], "accepted", || !server.heard.links.borrow().is_empty());
    let (accepted, opened) = (server.heard.links.borrow()[0], client.heard.links.borrow()[0]);
    (server, accepted, client, opened)
}

/// Two servers with the certificates that they should have.
fn good(uses: Uses) -> (Side, LinkId, Side, LinkId) {
    let authority = Authority::new();
    let settings = settings(&authority.issue(&["127.0.0.1"], LATER), &authority.trusted());
    let reactor = reactor();
    let (one, other) = (tls(&settings, uses), tls(&settings, uses));
    linked(side(Some(one), &reactor), side(Some(other), &reactor))
}

fn link(side: &Side, id: LinkId) -> Rc<Link> {
    side.links.shared.links.borrow()[&id].open().unwrap().clone()
}

#[test]
fn bytes_arrive_in_order_whatever_their_sizes_and_are_told_to_have_left() {
    for uses in [Uses::Alone, Uses::Both] {
        let (server, accepted, client, opened) = good(uses);
        assert!(link(&server, accepted).socket.is_secure());
        let mut sent = Vec::new();
        for size in [1usize, 20, 3000, 100_000, 7, 2048, 2049, 1 << 20, 5, 65_536, 65_537] {
            let bytes: Vec<u8> = (0..size).map(|at| (at ^ size).to_le_bytes()[0]).collect();
            sent.extend_from_slice(&bytes);
            client.send(opened, bytes);
        }
        server.send(accepted, vec![3; 70_000]);
        until(&[&server, &client], "everything", || {
            server.received(accepted) == sent.len() && client.received(opened) == 70_000
        });
        assert_eq!(server.heard.bytes.borrow()[&accepted], sent);
        until(&[&server, &client], "the last", || client.heard.sent.get() == sent.len() as u64);
        assert_eq!(server.heard.sent.get(), 70_000);
        assert_eq!(server.heard.events(), ["accepted Quorum of []"]);
        assert_eq!((failed(&server), outstanding(&server), outstanding(&client)), (0, 0, 0));
    }
}

#[test]
fn ciphertext_that_the_socket_does_not_take_is_sent_later_and_told_only_then() {
    const LONG: usize = 6 << 20;
    let (server, accepted, client, opened) = good(Uses::Alone);
    for end in [link(&server, accepted), link(&client, opened)] {
        rustix::net::sockopt::set_socket_send_buffer_size(&end.socket, 4096).unwrap();
    }
    // Nobody reads: what is out fits into the buffers of two sockets.
    server.heard.behind.set(true);
    client.heard.behind.set(true);
    server.send(accepted, vec![1; LONG]);
    client.send(opened, vec![2; LONG]);
    for _ in 0..50 {
        until(&[&server, &client], "a turn", || true);
        moment(&server.reactor, Duration::from_millis(1));
    }
    for (side, id) in [(&server, accepted), (&client, opened)] {
        assert!(link(side, id).socket.unsent_bytes() > 0, "the socket is full");
        assert!(side.heard.sent.get() < LONG as u64);
    }
    server.heard.behind.set(false);
    client.heard.behind.set(false);
    until(&[&server, &client], "everything", || {
        server.links.resume();
        client.links.resume();
        server.received(accepted) == LONG && client.received(opened) == LONG
    });
    until(&[&server, &client], "the last", || {
        [&server, &client].iter().all(|side| side.heard.sent.get() == LONG as u64)
    });
    assert_eq!(link(&server, accepted).socket.held_bytes(), 0, "an idle link holds nothing");
}

#[test]
fn what_was_sent_before_a_close_arrives_and_the_other_side_hears_of_it() {
    let (server, accepted, client, opened) = good(Uses::Alone);
    client.send(opened, vec![1; 1000]);
    server.send(accepted, vec![7; 3 << 20]);
    server.links.perform(LinkOp::Close { link: accepted });
    until(&[&server, &client], "the end", || client.heard.events().len() > 1);
    assert_eq!(client.received(opened), 3 << 20);
    assert_eq!(client.heard.events(), ["connected", "closed: closed by the other side"]);
    assert_eq!(server.heard.events(), ["accepted Quorum of []"], "no event after its own close");
}

#[test]
fn servers_are_switched_one_by_one() {
    let authority = Authority::new();
    let settings = settings(&authority.issue(&["127.0.0.1"], LATER), &authority.trusted());
    let reactor = reactor();
    let of = |uses: Option<Uses>| side(uses.map(|uses| tls(&settings, uses)), &reactor);
    let works = [
        (None, Some(Uses::Unified)),
        (Some(Uses::Unified), None),
        (Some(Uses::Unified), Some(Uses::Both)),
        (Some(Uses::Both), Some(Uses::Unified)),
        (Some(Uses::Both), Some(Uses::Alone)),
        (Some(Uses::Alone), Some(Uses::Both)),
    ];
    for (server, client) in works {
        let (server, accepted, client, opened) = linked_lazily(of(server), of(client));
        client.send(opened, vec![5; 5000]);
        server.send(accepted, vec![6; 6000]);
        until(&[&server, &client], "both", || {
            (server.received(accepted), client.received(opened)) == (5005, 6000)
        });
    }
}

/// The same as [`linked`]; whoever connects speaks first, so that a port for both can see what.
fn linked_lazily(server: Side, client: Side) -> (Side, LinkId, Side, LinkId) {
    let at = listening(&server);
    assert_eq!(call(&server, &client, &at), "connected");
    let opened = client.heard.links.borrow()[0];
    client.send(opened, vec![4; 5]);
    until(&[&server, &client], "accepted", || !server.heard.links.borrow().is_empty());
    let accepted = server.heard.links.borrow()[0];
    (server, accepted, client, opened)
}

#[test]
fn whoever_does_not_prove_who_he_is_does_not_become_a_link() {
    let (ours, others) = (Authority::new(), Authority::new());
    let trust = ours.trusted();
    let good = settings(&ours.issue(&["127.0.0.1"], LATER), &trust);
    let reactor = reactor();
    // The certificate of the server, and what the one that connects says about it.
    for (key, said) in [
        (others.issue(&["127.0.0.1"], LATER), "ssl.quorum.trustStore.location has issued"),
        (ours.issue(&["127.0.0.1"], 2020), "has expired"),
        (ours.issue(&["zk7.example.com"], LATER), "must name the host that its server.N line has"),
    ] {
        let server = side(Some(tls(&settings(&key, &trust), Uses::Alone)), &reactor);
        let client = side(Some(tls(&good, Uses::Alone)), &reactor);
        let at = listening(&server);
        let event = call(&server, &client, &at);
        assert!(event.starts_with("closed: TLS: ") && event.contains(said), "{event}");
        until(&[&server, &client], "its end", || failed(&server) == 1);
        assert_eq!((failed(&client), outstanding(&client), outstanding(&server)), (1, 0, 0));
        assert_eq!(server.heard.events(), [""; 0]);
        until(&[&server], "forgotten", || server.links.shared.remotes.borrow().is_empty());
    }
    // The certificate of the one that connects.
    for key in [
        others.issue(&["127.0.0.1"], LATER),
        ours.issue(&["127.0.0.1"], 2020),
        ours.issue(&["zk7.example.com"], LATER),
    ] {
        let server = side(Some(tls(&good, Uses::Alone)), &reactor);
        let client = side(Some(tls(&settings(&key, &trust), Uses::Alone)), &reactor);
        let at = listening(&server);
        call(&server, &client, &at);
        // In TLS 1.3 it hears of the refusal after its own handshake is over.
        until(&[&server, &client], "its end", || {
            client.heard.events().last().unwrap().starts_with("closed: ")
        });
        assert_eq!((server.heard.events(), failed(&server)), (Vec::new(), 1));
    }
}

#[test]
fn a_certificate_is_of_the_members_whose_hosts_it_names() {
    let authority = Authority::new();
    let trust = authority.trusted();
    let reactor = reactor();
    let members = |hosts: &[(i64, &str)]| LinkOp::Members {
        hosts: hosts.iter().map(|(id, host)| (ServerId(*id), vec![(*host).to_owned()])).collect(),
    };
    let here = settings(&authority.issue(&["127.0.0.1"], LATER), &trust);
    let named = settings(&authority.issue(&["zk7.invalid"], LATER), &trust);
    for check in [PeerAddressCheck::Off, PeerAddressCheck::Members] {
        let options = LinkOptions { peer_address_check: check, ..LinkOptions::default() };
        let server = Side::with_tls(options, Some(Arc::new(tls(&here, Uses::Alone))), &reactor);
        server.links.perform(members(&[(7, "zk7.invalid"), (8, "10.255.255.1")]));
        let at = listening(&server);
        let client = side(Some(tls(&named, Uses::Alone)), &reactor);
        assert_eq!(call(&server, &client, &at), "connected");
        until(&[&server, &client], "accepted", || !server.heard.links.borrow().is_empty());
        assert_eq!(server.heard.events(), ["accepted Quorum of [ServerId(7)]"]);
        // The host of another member, too.
        server.links.perform(members(&[(8, "10.255.255.1"), (9, "zk7.invalid")]));
        until(&[&server, &client], "identified", || server.heard.events().len() == 2);
        assert_eq!(server.heard.events()[1], "may be [ServerId(7), ServerId(9)]");
        // A server without a line, whose certificate has its address.
        let joiner = side(Some(tls(&here, Uses::Alone)), &reactor);
        assert_eq!(call(&server, &joiner, &at), "connected");
        until(&[&server, &joiner], "accepted", || server.heard.links.borrow().len() == 2);
        if check == PeerAddressCheck::Off {
            // It is no member, whatever it says, and none that is added with another host.
            assert_eq!(server.heard.events()[2], "accepted Quorum of []");
            server.links.perform(members(&[(8, "10.255.255.1"), (10, "zk10.invalid")]));
            until(&[&server, &joiner], "identified", || server.heard.events().len() == 5);
            assert!(server.heard.events()[3..].contains(&"may be []".to_owned()));
        }
    }
    // Names do not count.
    let careless = TlsSide { client_hostname_verification: false, ..here };
    let server = side(Some(tls(&careless, Uses::Alone)), &reactor);
    let (.., client, _) = linked(server, side(Some(tls(&named, Uses::Alone)), &reactor));
    assert_eq!(client.heard.events(), ["connected"]);
}

/// Shows no certificate.
#[derive(Debug)]
struct Without;

impl ResolvesClientCert for Without {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn a_peer_without_a_certificate_is_refused_unless_none_is_needed() {
    let authority = Authority::new();
    let trust = authority.trusted();
    let need = settings(&authority.issue(&["127.0.0.1"], LATER), &trust);
    let none = TlsSide { client_auth: ClientAuth::None, ..need.clone() };
    let reactor = reactor();
    for (settings, accepted) in [(need, 0), (none, 1)] {
        let mut rules = (*TlsContext::load(&settings).unwrap().client.unwrap()).clone();
        rules.client_auth_cert_resolver = Arc::new(Without);
        let server = side(Some(tls(&settings, Uses::Alone)), &reactor);
        let at = listening(&server);
        let knock = std::thread::spawn(move || {
            let mut socket = TcpStream::connect((at.host.as_str(), at.port)).unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let mut session = ClientConnection::new(Arc::new(rules), name).unwrap();
            let mut stream = Stream::new(&mut session, &mut socket);
            let _ = stream.write_all(b"hello").and_then(|()| stream.read(&mut [0; 1]));
        });
        until(&[&server], "an outcome", || {
            failed(&server) == 1 || server.heard.bytes.borrow().values().any(|it| it == b"hello")
        });
        assert_eq!(server.heard.links.borrow().len(), accepted);
        server.links.stop(Duration::from_secs(1));
        knock.join().unwrap();
    }
}

#[test]
fn a_server_without_tls_and_one_with_tls_hear_what_is_wrong() {
    let authority = Authority::new();
    let settings = settings(&authority.issue(&["127.0.0.1"], LATER), &authority.trusted());
    let reactor = reactor();
    let server = side(Some(tls(&settings, Uses::Alone)), &reactor);
    let client = side(None, &reactor);
    let at = listening(&server);
    assert_eq!(call(&server, &client, &at), "connected");
    client.send(client.heard.links.borrow()[0], vec![0; 28]);
    until(&[&server, &client], "its end", || client.heard.events().len() == 2);
    assert_eq!(server.heard.events(), [""; 0]);
    // And the other way round.
    let (server, client) =
        (side(None, &reactor), side(Some(tls(&settings, Uses::Alone)), &reactor));
    let at = listening(&server);
    let event = call(&server, &client, &at);
    assert!(event.contains("broke off the TLS handshake"), "{event}");
    let heard = server.heard.events();
    assert!(heard.len() == 2 && heard[1].contains("set portUnification=true here"), "{heard:?}");
}

#[test]
fn silence_ends_a_link_where_there_is_only_tls_and_is_plain_where_that_is_allowed() {
    let authority = Authority::new();
    let settings = settings(&authority.issue(&["127.0.0.1"], LATER), &authority.trusted());
    let reactor = reactor();
    for (uses, accepted) in [(Uses::Alone, 0), (Uses::Both, 1)] {
        let tls = LinkTls { detection: Duration::from_millis(50), ..tls(&settings, uses) };
        let server = side(Some(tls), &reactor);
        let at = listening(&server);
        let silent = TcpStream::connect((at.host.as_str(), at.port)).unwrap();
        until(&[&server], "a connection", || outstanding(&server) == 1);
        until(&[&server], "an outcome", || outstanding(&server) == 0);
        assert_eq!(server.heard.links.borrow().len(), accepted);
        drop(silent);
        // A connection that says nothing and closes is nothing to talk about.
        let at = listening(&server);
        drop(TcpStream::connect((at.host.as_str(), at.port)).unwrap());
        until(&[&server], "its end", || server.links.shared.remotes.borrow().is_empty());
        assert_eq!(failed(&server), 0);
    }
}

#[test]
fn half_handshakes_are_bounded_and_keep_nobody_out() {
    let authority = Authority::new();
    let settings = settings(&authority.issue(&["127.0.0.1"], LATER), &authority.trusted());
    let reactor = reactor();
    let server = side(Some(tls(&settings, Uses::Alone)), &reactor);
    let at = listening(&server);
    let mut held = Vec::new();
    for _ in 0..limits::LINK_HANDSHAKES_MAX + 30 {
        let mut socket = TcpStream::connect((at.host.as_str(), at.port)).unwrap();
        socket.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
        held.push(socket);
        until(&[&server], "a turn", || true);
        moment(&server.reactor, Duration::from_millis(1));
    }
    let most = u32::try_from(limits::LINK_HANDSHAKES_MAX).unwrap();
    until(&[&server], "the bound", || outstanding(&server) <= most);
    let client = side(Some(tls(&settings, Uses::Alone)), &reactor);
    assert_eq!(call(&server, &client, &at), "connected");
    until(&[&server, &client], "accepted", || server.heard.events() == ["accepted Quorum of []"]);
}

#[test]
fn handshakes_take_turns() {
    let authority = Authority::new();
    let settings = settings(&authority.issue(&["127.0.0.1"], LATER), &authority.trusted());
    let reactor = reactor();
    let server = side(Some(tls(&settings, Uses::Alone)), &reactor);
    let at = listening(&server);
    let client = side(Some(tls(&settings, Uses::Alone)), &reactor);
    for number in 1..=12 {
        client.connect(number, vec![at.clone()], 5000);
    }
    let patience = Instant::now() + Duration::from_millis(300);
    while Instant::now() < patience {
        client.heard.hear(&client.links);
        server.heard.hear(&server.links);
        moment(&server.reactor, Duration::from_millis(1));
    }
    // Four reads: no more than four begin, and none of them ends without another one.
    assert!(server.heard.links.borrow().len() < 4, "{:?}", server.heard.events());
    until(&[&server, &client], "all of them", || server.heard.links.borrow().len() == 12);
}

#[test]
fn a_link_that_its_owner_closes_during_the_handshake_says_nothing_more() {
    let authority = Authority::new();
    let settings = settings(&authority.issue(&["127.0.0.1"], LATER), &authority.trusted());
    let reactor = reactor();
    let client = side(Some(tls(&settings, Uses::Alone)), &reactor);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let id = client.connect(1, vec![Endpoint { host: "127.0.0.1".to_owned(), port }], 5000);
    let (mut other, _) = listener.accept().unwrap();
    until(&[&client], "its first words", || outstanding(&client) == 1);
    client.send(id, vec![1; 10]);
    client.links.perform(LinkOp::Close { link: id });
    until(&[&client], "its end", || client.links.count() == 0);
    client.links.stop(Duration::from_secs(3));
    let mut said = Vec::new();
    other.read_to_end(&mut said).unwrap();
    assert_eq!(said[0], 22);
    assert_eq!((client.heard.events(), outstanding(&client)), (Vec::new(), 0));
}
