//! Ten thousand handshakes at once: who is in already, with and without TLS, is served meanwhile.
//!
//! `RINGKEEPER_STORM` is their number, 1000 by default. The storm is one thread at the lowest priority, so that what the
//! bystanders wait for is the server.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::proto::OpCode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getrlimit, setpriority_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::ground::{Door, Place};
use crate::raw;

/// What a bystander may wait for at the median.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// How long the whole storm may take. A client waits in the server's line for at most half a minute, and then has ten
/// seconds for its handshake.
const STORM_MAX: Duration = Duration::from_secs(120);
/// A bystander rests so long after each answer.
const PAUSE: Duration = Duration::from_millis(2);

#[test]
fn clients_that_are_in_are_served_while_very_many_others_begin_handshakes() {
    let callers = env::var("RINGKEEPER_STORM").map_or(1000, |number| number.parse().unwrap());
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert!(files > callers as u64 + 500, "ulimit -n is {files}");
    for wiring in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        let place = Place::one("storm", &[wiring, "ssl.clientAuth=none"]);
        let config = trusting(&place);
        let (door, _) = place.doors(0);
        let over = AtomicBool::new(false);
        let (storm, plain, secure) = thread::scope(|scope| {
            let plain = scope.spawn(|| stand_by(&over, raw::dial(door.plain)));
            let secure = scope.spawn(|| {
                let tls = ClientConnection::new(Arc::clone(&config), here()).unwrap();
                stand_by(&over, StreamOwned::new(tls, raw::dial(door.secure)))
            });
            let storm = scope.spawn(|| storm(door, &config, callers)).join();
            over.store(true, Ordering::Relaxed);
            (storm.expect("the storm"), plain.join().unwrap(), secure.join().unwrap())
        });
        let Storm { served, begun, ended } = storm;
        println!(
            "{wiring}: {served} of {callers} served; begun in {begun:.1?}, ended in {ended:.1?}"
        );
        for (who, mut waits) in [("without TLS", plain), ("with TLS", secure)] {
            waits.sort_unstable();
            let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
            println!(
                "  bystander {who}: {} reads, median {:.1?}, 99 % {:.1?}, most {:.1?}",
                waits.len(),
                at(50),
                at(99),
                at(100)
            );
            assert!(at(50) <= WAIT_MAX, "{who}: {:?}", at(50));
        }
        assert_eq!(served, callers, "{}", place.server().log_tail(20));
        let mntr = place.server().four_letter("mntr");
        assert!(mntr.contains("zk_outstanding_tls_handshake\t0\n"), "{mntr}");
    }
}

fn here() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").unwrap()
}

fn trusting(place: &Place) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = place.certificates.path("authority.pem");
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    // Every handshake is a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Opens a session, and reads until all is over; how long each read took.
fn stand_by(over: &AtomicBool, mut stream: impl Read + Write) -> Vec<Duration> {
    stream.write_all(&raw::connect_frame(10_000)).unwrap();
    raw::read_frame(&mut stream).expect("a session");
    let mut waits = Vec::new();
    for xid in 1.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let asked = Instant::now();
        let read = raw::request_frame(xid, OpCode::GetData, &raw::get("/", false));
        stream.write_all(&read).unwrap();
        raw::read_frame(&mut stream).expect("an answer");
        waits.push(asked.elapsed());
        thread::sleep(PAUSE);
    }
    waits
}

struct Storm {
    /// How many clients had an answer in TLS.
    served: usize,
    /// How long it took to send the first message of all.
    begun: Duration,
    /// How long it took until the last one was served, or turned away.
    ended: Duration,
}

/// Connects all callers, then lets all begin at once; each asks `ruok` after its handshake.
fn storm(door: Door, config: &Arc<ClientConfig>, callers: usize) -> Storm {
    // Of this thread alone.
    setpriority_process(None, 19).unwrap();
    let mut waiting: Vec<Caller> = (0..callers).map(|_| Caller::new(config)).collect();
    for caller in &mut waiting {
        caller.socket = Some(raw::dial(door.secure));
    }
    let start = Instant::now();
    for caller in &mut waiting {
        caller.begin();
    }
    let begun = start.elapsed();
    let mut served = 0;
    while !waiting.is_empty() {
        assert!(start.elapsed() < STORM_MAX, "{} are left", waiting.len());
        let mut polls: Vec<PollFd<'_>> =
            waiting.iter().map(|caller| PollFd::new(caller.socket(), PollFlags::IN)).collect();
        poll(&mut polls, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
        let ready: Vec<bool> = polls.iter().map(|it| !it.revents().is_empty()).collect();
        drop(polls);
        let mut ready = ready.into_iter();
        waiting.retain_mut(|caller| {
            if !ready.next().expect("one for each") {
                return true;
            }
            let state = caller.go_on();
            served += usize::from(state == State::Served);
            state == State::Waits
        });
    }
    Storm { served, begun, ended: start.elapsed() }
}

struct Caller {
    tls: ClientConnection,
    hello: Vec<u8>,
    socket: Option<TcpStream>,
    has_asked: bool,
}

#[derive(PartialEq, Eq)]
enum State {
    Waits,
    Served,
    TurnedAway,
}

impl Caller {
    fn new(config: &Arc<ClientConfig>) -> Caller {
        let mut tls = ClientConnection::new(Arc::clone(config), here()).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        Caller { tls, hello, socket: None, has_asked: false }
    }

    fn socket(&self) -> &TcpStream {
        self.socket.as_ref().expect("all are connected before they begin")
    }

    fn begin(&mut self) {
        self.socket().write_all(&self.hello).unwrap();
        self.socket().set_nonblocking(true).unwrap();
    }

    fn go_on(&mut self) -> State {
        let mut socket = self.socket.as_ref().expect("it has begun");
        match self.tls.read_tls(&mut socket) {
            Ok(0) => return State::TurnedAway,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return State::Waits,
            Err(_) => return State::TurnedAway,
            Ok(_) => {}
        }
        if self.tls.process_new_packets().is_err() {
            return State::TurnedAway;
        }
        if !self.tls.is_handshaking() && !self.has_asked {
            self.tls.writer().write_all(b"ruok").unwrap();
            self.has_asked = true;
        }
        while self.tls.wants_write() {
            // A few hundred bytes fit into the buffer of the socket.
            if self.tls.write_tls(&mut socket).is_err() {
                return State::TurnedAway;
            }
        }
        let mut answer = [0; 4];
        match self.tls.reader().read(&mut answer) {
            Ok(4) if answer == *b"imok" => State::Served,
            _ => State::Waits,
        }
    }
}
