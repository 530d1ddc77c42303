//! Hosts that are not members connect to the quorum port of a leader as observers, which any host may do. The leader
//! handles the packets of servers before those of clients, and strangers must not abuse that.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::{Epoch, ServerId, SessionId, Zxid};
use ringkeeper::jute::{Jute, begin_frame, end_frame};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::quorum::packet;
use ringkeeper::proto::request::{MultiOp, PathKind, RequestBody, SetDataRequest};
use ringkeeper::zab::packets::{
    put_ack_epoch, put_bare, put_data, put_fence, put_learner_info, put_request, put_revalidate,
};
use ringkeeper::zab::{EpochAck, PassedRequest, SessionScope};
use ringkeeper_testkit::{Config, Ensemble, Server};

use crate::counts::fill;
use crate::harness::{Bounds, Watched, alone, program};
use crate::quorum_port::{dial_from, ports};
use crate::raw::{Client, dial, read_frame};
use crate::talk::Talk;

/// How long an attack goes on.
const LONG: Duration = Duration::from_secs(4);
/// `AddWatchMode.PERSISTENT_RECURSIVE`.
const ADD_WATCH_RECURSIVE: i32 = 1;
/// The smallest id that no member has.
const STRANGER: i64 = 1000;

/// Connects as an observer that no server knows, and waits until it is up to date with the leader.
fn observe(ensemble: &Ensemble, leader: usize, number: i64) -> Talk {
    // One address may have 16 such connections.
    let from = format!("127.0.0.{}:0", 2 + number / 16);
    let mut talk = Talk::on(dial_from(&from, ports(ensemble, leader).0).unwrap());
    let (kind, id) = (packet::OBSERVERINFO, ServerId(STRANGER + number));
    talk.say(|out| put_learner_info(out, kind, Epoch::ZERO, id, 0));
    talk.hear(packet::LEADERINFO).expect("an observer is taken");
    let zxid = zxid_of(ensemble.server(leader));
    talk.say(|out| put_ack_epoch(out, zxid, EpochAck::DoesNotCount, None));
    talk.hear(packet::NEWLEADER).expect("a history");
    talk.say(|out| put_bare(out, packet::ACK, Zxid::NONE));
    talk.hear(packet::UPTODATE).expect("it is one of them");
    talk
}

/// The last zxid of a server, by its answer to `srvr`.
pub fn zxid_of(server: &Server) -> Zxid {
    let srvr = server.four_letter("srvr");
    let zxid = srvr.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).unwrap();
    Zxid(i64::from_str_radix(zxid.trim(), 16).unwrap())
}

/// Sends the same bytes over each link without a pause, and reads whatever comes back; returns the number of bytes
/// that all links have sent.
fn flood(links: Vec<Talk>, bytes: &[u8]) -> u64 {
    let until = Instant::now() + LONG;
    let all = AtomicU64::new(0);
    thread::scope(|scope| {
        for mut talk in links {
            let mut reading = talk.socket.try_clone().unwrap();
            let all = &all;
            scope.spawn(move || {
                let mut sink = std::io::sink();
                let _ = std::io::copy(&mut reading, &mut sink);
            });
            scope.spawn(move || {
                while Instant::now() < until && talk.send(bytes) {
                    all.fetch_add(u64::try_from(bytes.len()).unwrap(), Ordering::Relaxed);
                }
                let _ = talk.socket.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    all.into_inner()
}

fn many(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    (0..1000).for_each(|_| write(&mut bytes));
    bytes
}

#[test]
fn floods_of_strangers_at_the_quorum_port_cost_no_leader() {
    let session = SessionId(77);
    let unknown = many(|out| {
        let (scope, body) = (SessionScope::Unsaid, &b""[..]);
        put_request(out, &PassedRequest { session, scope, cxid: 1, op: 99, body, identities: &[] });
    });
    let pings = many(|out| put_data(out, packet::PING, Zxid::ZERO, &[]));
    let acks = many(|out| put_bare(out, packet::ACK, Zxid::ZERO));
    let fences = many(|out| put_fence(out, session));
    let questions = many(|out| put_revalidate(out, session, 4000, None));
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let cases: [(&str, i64, &[u8]); 6] = [
        ("requests for an operation that there is not", 1, &unknown),
        ("the same", 15, &unknown),
        ("PINGs", 15, &pings),
        ("ACKs", 60, &acks),
        ("fences", 15, &fences),
        ("questions about a session that there is not", 15, &questions),
    ];
    for (what, links, bytes) in cases {
        let name = format!("{links} links of strangers flood {what}");
        let servers: Vec<_> = ensemble.ids().map(|id| ensemble.server(id)).collect();
        let watched = Watched::begin(&servers);
        let talks = (0..links).map(|number| observe(&ensemble, leader, number)).collect();
        let said = flood(talks, bytes);
        let answer = format!("{} MB taken", said / 1_000_000);
        watched.end(&name, &answer, Bounds::memory(128 << 20), &|| ensemble.tails(30));
        assert_eq!(ensemble.leader(), leader, "{name}: another leader\n{}", ensemble.tails(30));
    }
}

/// Opens a session again on a new connection, and returns the time that it took.
fn reopen(at: SocketAddr, session: &ConnectResponse) -> Duration {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 30_000,
        session_id: session.session_id,
        password: Some(&session.password),
        read_only: Some(false),
    };
    let mut frame = Vec::new();
    let start = begin_frame(&mut frame);
    request.encode(&mut frame);
    end_frame(&mut frame, start);
    let begun = Instant::now();
    let mut socket = dial(at);
    socket.write_all(&frame).unwrap();
    read_frame(&mut socket).expect("an answer to the connect request");
    begun.elapsed()
}

/// A session sends many long requests at one server, and its client opens it again at another server. Clients that
/// open their sessions again there do not wait for those requests.
#[test]
fn a_session_that_is_busy_elsewhere_keeps_none_from_being_opened_again() {
    // A multi takes some ten milliseconds; a build without optimisation takes a multiple of that.
    const REOPENED_MAX: Duration = Duration::from_secs(5);
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let [busy, other] = ensemble.followers()[..] else { panic!("two follow") };
    let (busy, other) = (ensemble.address(busy), ensemble.address(other));
    Client::connect(busy).create("/changed", b"", 0).ok();
    let servers: Vec<_> = ensemble.ids().map(|id| ensemble.server(id)).collect();
    let watched = Watched::begin(&servers);
    let change = SetDataRequest { path: Some("/changed"), data: Some(b"ten bytes."), version: -1 };
    let all = RequestBody::Multi(vec![MultiOp::SetData(change); 9900]);
    let over = AtomicBool::new(false);
    let (times, longest) = thread::scope(|scope| {
        let mut client = Client::connect_with(busy, 30_000);
        let (session, mut socket) = (client.session, client.socket.try_clone().unwrap());
        let frame = client.frame(OpCode::Multi, &all);
        let over = &over;
        scope.spawn(
            move || while !over.load(Ordering::Relaxed) && socket.write_all(&frame).is_ok() {},
        );
        let own = Client::connect_with(other, 30_000).session;
        thread::sleep(Duration::from_millis(300));
        let taken_up = reopen(other, &session);
        let (begun, mut times, mut longest) = (Instant::now(), 0, taken_up);
        while begun.elapsed() < LONG {
            longest = longest.max(reopen(other, &own));
            times += 1;
        }
        over.store(true, Ordering::Relaxed);
        (times, longest)
    });
    let answer =
        format!("{times} times opened again, {:.0} ms at most", longest.as_secs_f64() * 1e3);
    watched.end(
        "a busy session is taken up elsewhere",
        &answer,
        Bounds::memory(256 << 20),
        &|| ensemble.tails(30),
    );
    assert!(longest < REOPENED_MAX, "a session was opened again in {longest:?}");
    assert_eq!(ensemble.leader(), leader);
}

/// A client that writes meanwhile waits for the end of one session, and not of all.
#[test]
fn sessions_that_expire_together_with_many_watched_nodes_let_others_write() {
    const SESSIONS: usize = 10;
    const NODES: usize = if cfg!(debug_assertions) { 2000 } else { 20_000 };
    const WATCHERS: usize = 10;
    let config = Config::new().line("maxClientCnxns=0").line("minSessionTimeout=1000");
    let name = format!("{SESSIONS} sessions with {NODES} nodes expire beside {WATCHERS} watchers");
    // The server does not split the end of one session with its events.
    let bounds = Bounds { wait: Duration::from_millis(400), memory: 512 << 20 };
    alone(&name, config, bounds, |at| {
        let mut owners: Vec<Client> =
            (0..SESSIONS).map(|_| Client::connect_with(at, 6000)).collect();
        for number in 0..SESSIONS {
            let parent = format!("/{number}-{}", "x".repeat(80));
            owners[number].create(&parent, b"", 0).ok();
            fill(&mut owners[number], &parent, NODES, 1);
            // The pings keep the other sessions alive meanwhile.
            owners.iter_mut().for_each(Client::ping);
        }
        let watchers: Vec<Client> = (0..WATCHERS)
            .map(|_| {
                let mut watcher = Client::connect_with(at, 30_000);
                let watch = PathKind { path: Some("/"), kind: ADD_WATCH_RECURSIVE };
                watcher.call(OpCode::AddWatch, &RequestBody::PathKind(watch)).ok();
                watcher
            })
            .collect();
        let readers: Vec<_> = watchers
            .into_iter()
            .map(|mut watcher| {
                thread::spawn(move || {
                    let mut events = 0;
                    while events < SESSIONS * NODES && watcher.receive().is_ok() {
                        events += 1;
                    }
                    events
                })
            })
            .collect();
        // After these pings, all owners fall silent together.
        owners.iter_mut().for_each(Client::ping);
        let told: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        format!("{told} events")
    });
}
