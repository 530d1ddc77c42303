//! Connections with TLS over pairs of sockets, with a client of rustls, and with what no client library sends.

mod hostile;
mod resumption;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::super::{Budget, Census, Handshakes, NetOptions, TlsPort};
use super::*;
use crate::admin::word::FourLetterWord;
use crate::replica::Outgoing;
use crate::runtime::{Doorbell, Reactor};

/// A core that answers nothing, and keeps what it hears.
#[derive(Default)]
struct Heard {
    opened: Cell<u32>,
    certified: RefCell<Vec<String>>,
    frames: RefCell<Vec<u8>>,
    written: Cell<usize>,
    words: Cell<u32>,
    ended: Cell<bool>,
    closed: Cell<u32>,
}

impl Core for Heard {
    fn open(&self, _: ConnectionId, _: SocketAddr) {
        self.opened.set(self.opened.get() + 1);
    }
    fn certified(&self, _: ConnectionId, subject: &str) {
        assert!(self.opened.get() > 0 && self.frames.borrow().is_empty(), "in this order");
        self.certified.borrow_mut().push(subject.to_owned());
    }
    fn frames(&self, _: ConnectionId, frames: &[u8]) {
        assert!(self.opened.get() > 0, "it is opened first");
        self.frames.borrow_mut().extend_from_slice(frames);
    }
    fn word(&self, _: ConnectionId, _: SocketAddr, _: FourLetterWord, _: Option<[u8; 8]>) {
        self.words.set(self.words.get() + 1);
    }
    fn end(&self, _: ConnectionId) {
        self.ended.set(true);
    }
    fn written(&self, _: ConnectionId, bytes: usize) {
        self.written.set(self.written.get() + bytes);
    }
    fn close(&self, _: ConnectionId) {
        self.closed.set(self.closed.get() + 1);
    }
}

/// An authority, and a certificate of it for each side.
struct Authority {
    root: CertificateDer<'static>,
    server: (CertificateDer<'static>, KeyPair),
    client: (CertificateDer<'static>, KeyPair),
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let leaf = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &issuer).unwrap().der().clone(), key)
    };
    Authority { root: issuer.der().clone(), server: leaf("server"), client: leaf("client") }
});

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.root.clone()).unwrap();
    roots
}

fn server_config(
    asks: bool,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(versions).unwrap();
    let builder = match asks {
        true => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots()), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        false => builder.with_no_client_auth(),
    };
    let (certificate, key) = &AUTHORITY.server;
    builder.with_single_cert(vec![certificate.clone()], private(key)).unwrap()
}

fn client_config(
    shows: bool,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots());
    let (certificate, key) = &AUTHORITY.client;
    match shows {
        true => builder.with_client_auth_cert(vec![certificate.clone()], private(key)).unwrap(),
        false => builder.with_no_client_auth(),
    }
}

fn port(config: ServerConfig) -> Arc<TlsPort> {
    let config = Arc::new(config);
    Arc::new(TlsPort {
        settings: Box::new(move || config.clone()),
        owner: Box::new(|certificate, _| Ok(format!("{} bytes", certificate.len()))),
        check_again: Box::new(|_| Ok(())),
        detection: Duration::from_secs(5),
        handshakes: Handshakes::default(),
    })
}

/// A server with one executor.
struct Bench {
    reactor: Reactor,
    table: Connections,
    core: Rc<Heard>,
    port: Arc<TlsPort>,
}

impl Bench {
    fn new(config: ServerConfig) -> Bench {
        let reactor = Reactor::new(Doorbell::new().unwrap()).unwrap();
        let (census, budget) = (Census::new(0, 0, 10_000), Budget::new(1 << 40, 1));
        let table = Connections::new(0, NetOptions::default(), census, &budget, reactor.clone());
        Bench { reactor, table, core: Rc::default(), port: port(config) }
    }

    fn usual() -> Bench {
        Bench::new(server_config(false, rustls::ALL_VERSIONS))
    }

    fn connect(&self, door: Door) -> (Rc<Connection>, UnixStream) {
        let (ours, client) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        client.set_nonblocking(true).unwrap();
        let remote: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        self.table.shared.census.enter(remote.ip()).unwrap();
        assert!(door.enter());
        let (table, core) = (self.table.clone(), self.core.clone());
        let make = |id| Connection::new(id, remote, ours.into(), door, table, core);
        let connection = self.table.insert(make).unwrap();
        connection.clone().run();
        (connection, client)
    }

    fn secure(&self) -> (Rc<Connection>, Client) {
        self.secure_with(client_config(false, rustls::ALL_VERSIONS))
    }

    fn secure_with(&self, config: ClientConfig) -> (Rc<Connection>, Client) {
        let (connection, socket) = self.connect(Door::Secure(self.port.clone()));
        (connection, Client::new(config, socket))
    }

    fn turn(&self) {
        self.reactor.sleep(Some(Instant::now() + Duration::from_millis(2))).unwrap();
        self.reactor.dispatch().unwrap();
        self.table.settle();
    }

    /// Lets the server and a client work until `done`.
    fn until(&self, client: &mut Client, what: &str, mut done: impl FnMut(&mut Client) -> bool) {
        let patience = Instant::now() + Duration::from_secs(20);
        while !done(client) {
            assert!(Instant::now() < patience, "{what}: it does not come");
            client.work();
            self.turn();
        }
    }

    fn shake(&self, client: &mut Client) {
        self.until(client, "the handshake", |client| !client.tls.is_handshaking());
    }
}

struct Client {
    tls: ClientConnection,
    socket: UnixStream,
    got: Vec<u8>,
    /// The server has said that nothing more follows.
    was_told: bool,
    /// What ended it.
    fault: Option<rustls::Error>,
}

impl Client {
    fn new(config: ClientConfig, socket: UnixStream) -> Client {
        let name = ServerName::try_from("server").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        Client { tls, socket, got: Vec::new(), was_told: false, fault: None }
    }

    /// Sends and receives what it can.
    fn work(&mut self) {
        while self.tls.wants_write() && self.tls.write_tls(&mut self.socket).is_ok() {}
        while self.fault.is_none() && matches!(self.tls.read_tls(&mut self.socket), Ok(1..)) {
            match self.tls.process_new_packets() {
                Ok(state) => self.was_told |= state.peer_has_closed(),
                Err(error) => self.fault = Some(error),
            }
            let mut chunk = [0; 1 << 16];
            while let Ok(bytes @ 1..) = self.tls.reader().read(&mut chunk) {
                self.got.extend_from_slice(&chunk[..bytes]);
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.work();
    }
}

fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = u32::try_from(bytes).unwrap().to_be_bytes().to_vec();
    frame.resize(frame.len() + bytes, 7);
    frame
}

#[test]
fn a_handshake_that_comes_byte_by_byte_opens_the_connection_and_frames_follow() {
    for version in rustls::ALL_VERSIONS {
        let bench = Bench::usual();
        let (connection, mut client) = bench.secure_with(client_config(false, &[version]));
        let patience = Instant::now() + Duration::from_secs(20);
        while client.tls.is_handshaking() {
            assert!(Instant::now() < patience, "the handshake does not end");
            let mut flight = Vec::new();
            while client.tls.wants_write() {
                client.tls.write_tls(&mut flight).unwrap();
            }
            for byte in flight {
                assert_eq!(bench.core.opened.get(), 0, "the client is not known yet");
                client.socket.write_all(&[byte]).unwrap();
                bench.turn();
            }
            bench.turn();
            client.work();
        }
        let sent = frame(40);
        client.send(&sent);
        bench.until(&mut client, "the frame", |_| *bench.core.frames.borrow() == sent);
        assert_eq!((bench.core.opened.get(), bench.core.closed.get()), (1, 0));
        assert!(bench.core.certified.borrow().is_empty());
        let answer =
            Outgoing { conn: connection.id, bytes: b"hello".into(), ..Outgoing::default() };
        bench.table.deliver(answer);
        bench.until(&mut client, "the answer", |client| client.got == b"hello");
        assert_eq!(bench.port.handshakes.outstanding(), 0);
        assert_eq!(connection.socket.held_bytes(), 0, "an idle connection holds nothing");
    }
}

#[test]
fn frames_arrive_in_order_whatever_the_records() {
    let bench = Bench::usual();
    let (_connection, mut client) = bench.secure();
    bench.shake(&mut client);
    let mut expected = frame(10);
    client.send(&expected);
    for bytes in [0, 1, 5, 4000, 16_384, 100_000, 700_000, 3] {
        let next = frame(bytes);
        // In records of their own, and with parts of a record left behind.
        client.send(&next[..2]);
        bench.turn();
        for part in next[2..].chunks(30_011) {
            client.send(part);
            bench.until(&mut client, "the record", |client| !client.tls.wants_write());
        }
        expected.extend(next);
    }
    bench.until(&mut client, "all frames", |_| *bench.core.frames.borrow() == expected);
}

#[test]
fn output_waits_for_its_client_in_bounded_memory_and_is_out_before_the_end_is_said() {
    let bench = Bench::usual();
    let (connection, mut client) = bench.secure();
    bench.shake(&mut client);
    client.send(&frame(3));
    bench.until(&mut client, "the frame", |_| !bench.core.frames.borrow().is_empty());
    let bytes: Vec<u8> = (0..6_000_000_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let send = Outgoing {
        conn: connection.id,
        bytes: bytes.clone(),
        is_reported: true,
        close: true,
        ..Outgoing::default()
    };
    bench.table.deliver(send);
    for _ in 0..10 {
        bench.turn();
        let held = connection.socket.unsent_bytes();
        assert!(held > 0 && held <= limits::CIPHERTEXT_UNSENT_BYTES_MAX, "{held}");
        assert!(!client.was_told && bench.core.closed.get() == 0);
    }
    bench.until(&mut client, "the end", |client| client.was_told);
    assert!(client.got == bytes, "{} bytes", client.got.len());
    assert_eq!(bench.core.written.get(), bytes.len());
    bench.until(&mut client, "the close", |_| bench.core.closed.get() == 1);
}

#[test]
fn a_client_that_says_its_end_is_answered_first() {
    let bench = Bench::usual();
    let (connection, mut client) = bench.secure();
    bench.shake(&mut client);
    client.tls.writer().write_all(&frame(9)).unwrap();
    client.tls.send_close_notify();
    bench.until(&mut client, "the end", |_| bench.core.ended.get());
    assert_eq!(*bench.core.frames.borrow(), frame(9));
    let conn = connection.id;
    let send = Outgoing { conn, bytes: b"bye".into(), close: true, ..Outgoing::default() };
    bench.table.deliver(send);
    bench.until(&mut client, "the answer", |client| client.was_told);
    assert_eq!(client.got, b"bye");
}

#[test]
fn the_subject_of_a_certificate_is_told_before_any_frame_and_who_shows_none_is_refused() {
    let bench = Bench::new(server_config(true, rustls::ALL_VERSIONS));
    let (_connection, mut client) = bench.secure_with(client_config(true, rustls::ALL_VERSIONS));
    client.send(&frame(9));
    bench.until(&mut client, "the frame", |_| !bench.core.frames.borrow().is_empty());
    let expected = format!("{} bytes", AUTHORITY.client.0.len());
    assert_eq!(*bench.core.certified.borrow(), [expected]);
    let (_connection, mut client) = bench.secure();
    bench.until(&mut client, "the refusal", |client| client.fault.is_some());
    assert_eq!(bench.core.opened.get(), 1);
    bench.until(&mut client, "the end", |_| bench.table.len() == 1);
    assert_eq!((bench.port.handshakes.failed(), bench.port.handshakes.outstanding()), (1, 0));
}

#[test]
fn on_a_port_with_both_the_first_byte_decides() {
    let bench = Bench::usual();
    let door = || Door::Either(bench.port.clone());
    let (_plain, mut socket) = bench.connect(door());
    socket.write_all(b"ru").unwrap();
    bench.turn();
    socket.write_all(b"ok").unwrap();
    let (_secure, socket) = bench.connect(door());
    let mut client = Client::new(client_config(false, rustls::ALL_VERSIONS), socket);
    client.send(b"ruok");
    bench.until(&mut client, "the words", |_| bench.core.words.get() == 2);
    assert_eq!((bench.core.opened.get(), bench.port.handshakes.outstanding()), (2, 0));
}

#[test]
fn clients_on_the_wrong_port_are_told_so() {
    let bench = Bench::usual();
    let secure = || Door::Secure(bench.port.clone());
    let http: &[u8] = b"HTTP/1.1 400 Bad Request\r\n";
    for (door, said, answer) in [
        (Door::Plain, &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], http),
        (Door::Plain, &[22, 3, 1, 1, 0, 1, 0, 0], &[21, 3, 3, 0, 2, 2, 40]),
        (secure(), b"POST /commands HTTP/1.1\r\n\r\n", http),
        (secure(), b"ruok", b"This port expects TLS.\n"),
        (secure(), &[0, 0, 0, 45, 0, 0], b""),
        (secure(), b"SSH-2.0-x\r\n", b""),
    ] {
        // Its socket closes with the last reference to it.
        let (_, mut socket) = bench.connect(door);
        socket.write_all(said).unwrap();
        let mut got = Vec::new();
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            assert!(Instant::now() < patience, "there is no end");
            let mut chunk = [0; 1000];
            match socket.read(&mut chunk) {
                Ok(0) => break,
                Ok(bytes) => got.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => bench.turn(),
                // What it has sent was not read.
                Err(_) => break,
            }
        }
        assert!(got.starts_with(answer) && (got.is_empty() || !answer.is_empty()), "{got:?}");
    }
    assert_eq!(bench.core.words.get() + u32::from(bench.core.ended.get()), 0);
}

#[test]
fn silence_and_half_a_handshake_end_in_time_and_cost_the_core_nothing() {
    let bench = Bench::usual();
    let (silent, _socket) = bench.connect(Door::Secure(bench.port.clone()));
    let (half, mut client) = bench.secure();
    let mut hello = Vec::new();
    client.tls.write_tls(&mut hello).unwrap();
    client.socket.write_all(&hello[..100]).unwrap();
    let patience = Instant::now() + Duration::from_secs(10);
    while half.arrival.get() != Arrival::Shaking {
        assert!(Instant::now() < patience, "the handshake does not begin");
        bench.turn();
    }
    assert!(bench.table.shared.share.budget().held() >= limits::HANDSHAKE_BYTES as u64);
    let now = Instant::now();
    bench.table.close_unknown(now + Duration::from_secs(4));
    bench.turn();
    assert_eq!(bench.table.len(), 2);
    bench.table.close_unknown(now + Duration::from_secs(6));
    bench.turn();
    assert_eq!((bench.table.len(), silent.arrival.get()), (1, Arrival::Silent));
    bench.table.close_unknown(now + Duration::from_secs(11));
    bench.turn();
    bench.table.settle();
    assert_eq!((bench.table.len(), bench.table.shared.share.budget().held()), (0, 0));
    assert_eq!((bench.core.opened.get(), bench.core.closed.get()), (0, 0));
    assert_eq!((bench.port.handshakes.outstanding(), bench.port.handshakes.failed()), (0, 1));
    assert!(bench.table.shared.unknown.borrow().is_empty());
}

#[test]
fn of_many_handshakes_a_few_begin_in_each_round_and_all_end() {
    const CLIENTS: usize = 40;
    let bench = Bench::usual();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| bench.secure()).collect();
    clients.iter_mut().for_each(|(_, client)| client.work());
    let shaking = |clients: &[(Rc<Connection>, Client)]| {
        let is_shaking =
            |(one, _): &&(Rc<Connection>, Client)| one.arrival.get() == Arrival::Shaking;
        clients.iter().filter(is_shaking).count()
    };
    let mut begun = 0;
    while begun < CLIENTS {
        bench.turn();
        let now = shaking(&clients);
        assert!(now <= begun + limits::HANDSHAKES_BEGUN_PER_ROUND, "{begun} {now}");
        begun = now;
    }
    let patience = Instant::now() + Duration::from_secs(20);
    while bench.core.opened.get() < u32::try_from(CLIENTS).unwrap() {
        assert!(Instant::now() < patience, "not all come in");
        clients.iter_mut().for_each(|(_, client)| client.work());
        bench.turn();
    }
    assert_eq!(bench.port.handshakes.outstanding(), 0);
}

#[test]
fn who_leaves_the_line_or_waits_too_long_in_it_is_dropped_before_a_handshake_begins() {
    let bench = Bench::usual();
    while bench.port.handshakes.try_begin() {}
    let mut lined: Vec<_> = (0..2).map(|_| bench.secure()).collect();
    for (one, client) in &mut lined {
        client.work();
        bench.until(client, "the line", |_| one.arrival.get() == Arrival::InLine);
    }
    let now = Instant::now();
    let (gone, client) = lined.remove(0);
    drop(client);
    let (left, mut client) = lined.remove(0);
    bench.until(&mut client, "the first one's end", |_| bench.table.len() == 1);
    assert_eq!((gone.arrival.get(), left.arrival.get()), (Arrival::InLine, Arrival::InLine));
    bench.table.close_unknown(now + Duration::from_millis(limits::HANDSHAKE_LINE_MS_MAX / 2));
    bench.turn();
    assert_eq!(bench.table.len(), 1);
    bench.table.close_unknown(now + Duration::from_millis(limits::HANDSHAKE_LINE_MS_MAX + 1000));
    bench.until(&mut client, "the other one's end", |_| bench.table.is_empty());
}

#[test]
fn where_very_many_handshakes_are_under_way_those_that_stand_still_make_room() {
    let bench = Bench::usual();
    let (half, mut dripping) = bench.secure();
    let mut hello = Vec::new();
    dripping.tls.write_tls(&mut hello).unwrap();
    dripping.socket.write_all(&hello[..100]).unwrap();
    bench.until(&mut dripping, "the handshake", |_| half.arrival.get() == Arrival::Shaking);
    let long = Duration::from_millis(limits::HANDSHAKE_CROWDED_MS_MAX);
    bench.table.close_unknown(Instant::now() + long);
    bench.turn();
    assert_eq!(bench.table.len(), 1, "a handshake that is slow holds up nobody");

    while bench.port.handshakes.try_begin() {}
    let (next, mut honest) = bench.secure();
    honest.work();
    bench.until(&mut honest, "the line", |_| next.arrival.get() == Arrival::InLine);
    bench.table.close_unknown(Instant::now() + long / 2);
    bench.turn();
    assert_eq!(bench.table.len(), 2);
    // A byte that is not read yet may be the rest of its message; one that was read was not.
    dripping.socket.write_all(&hello[100..101]).unwrap();
    bench.table.close_unknown(Instant::now() + long);
    bench.turn();
    assert_eq!(bench.table.len(), 2);
    bench.table.close_unknown(Instant::now() + long);
    bench.until(&mut honest, "the other one's end", |_| bench.table.len() == 1);
    let patience = Instant::now() + Duration::from_secs(20);
    while bench.core.opened.get() == 0 {
        assert!(Instant::now() < patience, "the next one does not come in");
        honest.work();
        bench.turn();
    }
}

#[test]
fn a_flight_that_the_socket_does_not_take_at_once_leaves_when_there_is_room() {
    let (certificate, key) = &AUTHORITY.server;
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(rustls::ALL_VERSIONS).unwrap();
    // Certificates that nobody needs make the flight long.
    let chain = vec![certificate.clone(); 60];
    let config = builder.with_no_client_auth().with_single_cert(chain, private(key)).unwrap();
    let bench = Bench::new(config);
    let (connection, mut client) = bench.secure();
    rustix::net::sockopt::set_socket_send_buffer_size(&connection.socket, 1).unwrap();
    bench.until(&mut client, "the flight", |_| connection.socket.unsent_bytes() > 0);
    bench.shake(&mut client);
}

#[test]
fn tiny_records_are_read_a_little_in_each_turn() {
    let bench = Bench::usual();
    let (connection, mut client) = bench.secure();
    bench.shake(&mut client);
    // The first frame has to be short.
    client.send(&frame(1));
    bench.until(&mut client, "the first frame", |_| !bench.core.frames.borrow().is_empty());
    bench.core.frames.take();
    let sent = frame(20_000);
    let mut flood = Vec::new();
    for byte in &sent {
        client.tls.writer().write_all(&[*byte]).unwrap();
        while client.tls.wants_write() {
            client.tls.write_tls(&mut flood).unwrap();
        }
    }
    let mut rest = &flood[..];
    let mut largest = 0;
    let patience = Instant::now() + Duration::from_secs(20);
    while bench.core.frames.borrow().is_empty() {
        assert!(Instant::now() < patience, "the frame does not come");
        if let Ok(wrote) = client.socket.write(rest) {
            rest = &rest[wrote..];
        }
        let before = connection.partial.borrow().len();
        bench.turn();
        let after = connection.partial.borrow().len();
        largest = largest.max(after.saturating_sub(before));
    }
    assert_eq!(*bench.core.frames.borrow(), sent);
    let first = limits::RECORDS_HELD_BYTES_MAX / 22;
    assert!(largest <= first, "{largest}");
}

#[test]
fn a_client_without_a_common_version_is_refused_with_advice() {
    let bench = Bench::new(server_config(false, &[&rustls::version::TLS13]));
    let (connection, mut client) =
        bench.secure_with(client_config(false, &[&rustls::version::TLS12]));
    bench.until(&mut client, "the refusal", |client| client.fault.is_some());
    bench.until(&mut client, "the end", |_| bench.table.is_empty());
    assert_eq!((bench.core.opened.get(), connection.arrival.get()), (0, Arrival::Shaking));
}
