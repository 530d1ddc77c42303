//! Clients of one follower send many or large requests while the leader needs the acknowledgements of that follower:
//! the third server is down, so if the leader stops reading the follower's link, the ensemble loses its leader.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringkeeper::id::{Epoch, ServerId, SessionId, Zxid};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::quorum::packet;
use ringkeeper::zab::EpochAck;
use ringkeeper::zab::packets::{put_ack_epoch, put_bare, put_data, put_learner_info, put_request};
use ringkeeper::zab::{PassedRequest, SessionScope};
use ringkeeper_testkit::{Config, Ensemble, PeerType, Server};

use crate::growth::show_user;
use crate::harness::{Bounds, Watched, program};
use crate::quorum_port::ports;
use crate::raw::{self, Client};
use crate::talk::Talk;

/// How long a client continues.
const LONG: Duration = Duration::from_secs(8);

/// An ensemble whose third server never runs.
struct Two {
    ensemble: Ensemble,
    leader: usize,
    follower: usize,
}

impl Two {
    fn start(config: Config) -> Two {
        let mut ensemble = Ensemble::prepare(
            &[program(), program(), program()].map(|it| (it, PeerType::Participant)),
            config,
        );
        for id in [1, 2] {
            ensemble.spawn(id);
        }
        for id in [1, 2] {
            ensemble.wait_serving(id);
        }
        let leader = ensemble.leader();
        Two { ensemble, leader, follower: 3 - leader }
    }

    /// Asserts that `attack` costs no bystander of the servers `at` more than `bounds`, and the ensemble not its
    /// leader.
    fn case(
        &mut self,
        name: &str,
        at: &[usize],
        bounds: Bounds,
        attack: impl FnOnce(&Two) -> String,
    ) {
        let servers: Vec<&Server> = at.iter().map(|id| self.ensemble.server(*id)).collect();
        let watched = Watched::begin(&servers);
        let answer = attack(self);
        for id in at {
            let is_running = self.ensemble.server_mut(*id).is_running();
            assert!(is_running, "{name}: server {id} ended\n{}", self.ensemble.tails(40));
        }
        watched.end(name, &answer, bounds, &|| self.ensemble.tails(40));
        let leader = self.ensemble.wait_leader_among(at, LONG);
        assert_eq!(leader, self.leader, "{name}: another leader\n{}", self.ensemble.tails(40));
    }
}

/// A channel to a thread that writes its bytes to the socket, so that the caller can read while the server does not
/// read.
fn sender(mut socket: TcpStream) -> (mpsc::Sender<Vec<u8>>, JoinHandle<()>) {
    let (send, sent) = mpsc::channel::<Vec<u8>>();
    let thread = thread::spawn(move || {
        for bytes in sent {
            if socket.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    (send, thread)
}

/// A follower that forwards all requests of its clients at once, as Apache ZooKeeper does.
struct Follower {
    say: mpsc::Sender<Vec<u8>>,
    large: Arc<AtomicU64>,
}

impl Follower {
    /// Joins as the third server, which acknowledges all proposals until the leader closes the connection.
    fn join(ensemble: &Ensemble, leader: usize) -> Follower {
        let srvr = ensemble.server(leader).four_letter("srvr");
        let zxid = srvr.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).unwrap();
        let zxid = Zxid(i64::from_str_radix(zxid.trim(), 16).unwrap());
        let mut talk = Talk::on(TcpStream::connect(ports(ensemble, leader).0).unwrap());
        talk.socket.set_write_timeout(None).unwrap();
        let (kind, accepted) = (packet::FOLLOWERINFO, Epoch::ZERO);
        talk.say(|out| put_learner_info(out, kind, accepted, ServerId(3), 0));
        talk.hear(packet::LEADERINFO).expect("a follower is taken");
        talk.say(|out| put_ack_epoch(out, zxid, EpochAck::DoesNotCount, None));
        let history = talk.hear(packet::NEWLEADER).expect("a history");
        talk.say(|out| put_bare(out, packet::ACK, history.zxid));
        talk.hear(packet::UPTODATE).expect("it is one of them");
        let (say, _) = sender(talk.socket.try_clone().unwrap());
        let follower = Follower { say: say.clone(), large: Arc::default() };
        let large = follower.large.clone();
        thread::spawn(move || {
            while let Some(packet) = talk.hear_any() {
                let mut answer = Vec::new();
                match packet.kind {
                    packet::PROPOSAL => {
                        put_bare(&mut answer, packet::ACK, packet.zxid);
                        let data = packet.data.as_ref().map_or(0, bytes::Bytes::len);
                        large.fetch_add(u64::from(data > LARGE / 2), Ordering::Relaxed);
                    }
                    packet::PING => put_data(&mut answer, packet::PING, packet.zxid, &[]),
                    _ => continue,
                }
                if say.send(answer).is_err() {
                    return;
                }
            }
        });
        follower
    }

    fn ask(&self, session: SessionId, cxid: i32, op: OpCode, body: &[u8]) {
        let mut bytes = Vec::new();
        let scope = SessionScope::Unsaid;
        let op = op.number();
        put_request(&mut bytes, &PassedRequest { session, scope, cxid, op, body, identities: &[] });
        self.say.send(bytes).expect("it is connected");
    }
}

/// Bytes of a large value.
const LARGE: usize = 900_000;

/// The leader stops reading a link whose requests wait in large number, unless the acknowledgements that it needs
/// come over that link.
#[test]
fn what_a_follower_passes_on_does_not_keep_its_acknowledgements_from_the_leader() {
    const CLIENTS: u64 = 60;
    let mut two = Two::start(Config::new());
    Client::connect(two.ensemble.address(two.leader)).create("/large", b"", 0).ok();
    let third = Follower::join(&two.ensemble, two.leader);
    two.ensemble.kill(two.follower);
    // The leader and the third server are the quorum.
    Client::connect(two.ensemble.address(two.leader)).set("/large", b"").ok();
    let at = [two.leader];
    // A transaction waits behind those of 900 kB that come before it.
    let bounds = Bounds { wait: Duration::from_millis(200), memory: 512 << 20 };
    two.case("60 clients of a follower write 900 kB each", &at, bounds, |_| {
        let session = |client| SessionId(3 << 56 | 77 << 20 | i64::try_from(client).unwrap());
        (0..CLIENTS).for_each(|client| {
            third.ask(session(client), 0, OpCode::CreateSession, &30_000_i32.to_be_bytes());
        });
        let mut body = Vec::new();
        raw::set("/large", &[b'x'; LARGE]).encode(OpCode::SetData, &mut body);
        let begun = Instant::now();
        (0..CLIENTS).for_each(|client| third.ask(session(client), 1, OpCode::SetData, &body));
        while third.large.load(Ordering::Relaxed) < CLIENTS {
            assert!(
                begun.elapsed() < LONG,
                "{} were proposed",
                third.large.load(Ordering::Relaxed)
            );
            thread::sleep(Duration::from_millis(1));
        }
        format!("all proposed within {:.1} s", begun.elapsed().as_secs_f64())
    });
}

/// Writes until then, one request at a time; returns the number of writes.
fn write_until(at: SocketAddr, until: Instant, data: &[u8]) -> u64 {
    let mut client = Client::connect_with(at, 30_000);
    let mut count = 0;
    while Instant::now() < until {
        client.set("/large", data).ok();
        count += 1;
    }
    count
}

/// One request is then longer than all that a link may hold unread.
#[test]
fn values_longer_than_a_link_holds_cost_no_leader() {
    let length = 17 << 20;
    let config = Config::new().line("ringkeeper.jute.maxbuffer=20971520");
    let mut two = Two::start(config);
    Client::connect(two.ensemble.address(two.leader)).create("/large", b"", 0).ok();
    let servers = [two.leader, two.follower];
    // Each transaction goes to two disks before the next one, which takes long for 17 MiB.
    let bounds = Bounds { wait: Duration::from_secs(3), memory: 1 << 30 };
    two.case("4 clients write 17 MiB again and again", &servers, bounds, |two| {
        let until = Instant::now() + LONG;
        let data = vec![b'x'; length];
        let data = &data;
        let count: u64 = thread::scope(|scope| {
            let clients = [two.leader, two.leader, two.follower, two.follower].map(|id| {
                let at = two.ensemble.address(id);
                scope.spawn(move || write_until(at, until, data))
            });
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert!(count >= 4);
        format!("{count} done")
    });
}

/// A follower adds the identities of a client to each request that it passes on, so that 50 bytes become 60 kB.
#[test]
fn identities_that_come_with_each_request_are_counted() {
    const REQUESTS: usize = 500;
    let mut two = Two::start(Config::new());
    Client::connect(two.ensemble.address(two.leader)).create("/large", b"", 0).ok();
    let servers = [two.leader, two.follower];
    let bounds = Bounds::memory(64 << 20);
    two.case("a client with 60 kB of identities writes without a pause", &servers, bounds, |two| {
        let mut client = Client::connect_with(two.ensemble.address(two.follower), 30_000);
        assert_eq!(show_user(&mut client, &"u".repeat(60_000)).unwrap(), 0);
        let burst: Vec<u8> = (0..REQUESTS)
            .flat_map(|_| client.frame(OpCode::SetData, &raw::set("/large", b"x")))
            .collect();
        let (send, sending) = sender(client.socket.try_clone().unwrap());
        let until = Instant::now() + LONG;
        let mut done = 0;
        // Between one and two bursts are always under way.
        send.send(burst.clone()).unwrap();
        while Instant::now() < until {
            send.send(burst.clone()).unwrap();
            for _ in 0..REQUESTS {
                client.receive().expect("an answer").ok();
                done += 1;
            }
        }
        for _ in 0..REQUESTS {
            client.receive().expect("an answer").ok();
        }
        drop(send);
        sending.join().unwrap();
        format!("{done} done")
    });
}
