//! A hostile host connects to `observerMasterPort`, where observers learn from a follower.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::{Epoch, ServerId, SessionId, Zxid};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::quorum::packet;
use ringkeeper::proto::request::{MultiOp, PathRequest, PathVersion, RequestBody, SetDataRequest};
use ringkeeper::zab::EpochAck;
use ringkeeper::zab::packets::{
    put_ack_epoch, put_bare, put_data, put_learner_info, put_request, put_revalidate,
};
use ringkeeper::zab::{PassedRequest, SessionScope};
use ringkeeper_testkit::{Config, Ensemble, PeerType, Server, free_port};

use crate::harness::{Bounds, Watched, program};
use crate::quorum_port::dial_from;
use crate::raw::{self, Client};
use crate::talk::Talk;

/// The follower that is the observer master, and the observer that learns from it.
const MASTER: usize = 1;
const OBSERVER: usize = 4;
/// The id of no member.
const STRANGER: i64 = 77;
/// Another address of the machine.
const ELSEWHERE: &str = "127.0.0.2:0";
/// How long the test waits for the server to close a connection.
const MOMENT: Duration = Duration::from_millis(300);
/// The bound on memory for attacks with small packets.
const LITTLE: u64 = 64 << 20;

/// Three voters, and an observer of the first.
struct Ground {
    ensemble: Ensemble,
    leader: usize,
    /// The address where observers learn from the follower.
    at: SocketAddr,
}

impl Ground {
    fn new(lines: &[&str]) -> Ground {
        let port = free_port();
        let voter = (program(), PeerType::Participant);
        let members = [voter.clone(), voter.clone(), voter, (program(), PeerType::Observer)];
        let config = Config::new().line("maxClientCnxns=0");
        let config = lines.iter().fold(config, |config, line| config.line(line));
        let mut ensemble = Ensemble::prepare(&members, config);
        for id in [MASTER, OBSERVER] {
            ensemble.reconfigure(id, |config| config.line(&format!("observerMasterPort={port}")));
        }
        // A server that starts while a leader is there follows, so the master must start last.
        for id in [2, 3] {
            ensemble.spawn(id);
        }
        for id in [2, 3] {
            ensemble.wait_serving(id);
        }
        ensemble.restart(MASTER);
        ensemble.restart(OBSERVER);
        let leader = ensemble.leader();
        assert_ne!(leader, MASTER);
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let ground = Ground { ensemble, leader, at };
        assert_eq!(ground.observers(), 1, "the observer learns from the follower");
        ground
    }

    /// How many observers the master serves.
    fn observers(&self) -> u64 {
        let count = self.ensemble.mntr(MASTER, "synced_observers");
        count.expect("it is told").parse().unwrap()
    }

    /// Asserts that `attack` costs none of the four servers its bystander's session, its leader or too much time,
    /// and that the master serves the observer afterwards.
    fn case(&mut self, name: &str, memory: u64, attack: impl FnOnce(&mut Ground) -> String) {
        let servers: Vec<&Server> =
            self.ensemble.ids().map(|id| self.ensemble.server(id)).collect();
        let watched = Watched::begin(&servers);
        let answer = attack(self);
        for id in self.ensemble.ids() {
            let is_running = self.ensemble.server_mut(id).is_running();
            assert!(is_running, "{name}: server {id} ended\n{}", self.ensemble.tails(40));
        }
        watched.end(name, &answer, Bounds::memory(memory), &|| self.ensemble.tails(40));
        assert_eq!(self.ensemble.leader(), self.leader, "{name}\n{}", self.ensemble.tails(40));
        let begun = Instant::now();
        while self.observers() != 1 {
            let tails = || self.ensemble.tails(40);
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{name}: {}\n{}",
                self.observers(),
                tails()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The zxid of the last transaction of the master.
    fn zxid(&self) -> Zxid {
        let answer = self.ensemble.server(MASTER).four_letter("srvr");
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).unwrap();
        Zxid(i64::from_str_radix(zxid.trim(), 16).unwrap())
    }

    /// Connects as an unknown observer that is up to date.
    fn observer(&self, id: i64) -> Talk {
        let mut talk = self.dial();
        let zxid = self.zxid();
        talk.say(|out| put_info(out, packet::OBSERVERINFO, id, Epoch::ZERO));
        talk.hear(packet::LEADERINFO).expect("an observer is taken");
        talk.say(|out| put_ack_epoch(out, zxid, EpochAck::DoesNotCount, None));
        talk.hear(packet::NEWLEADER).expect("a history");
        talk.say(|out| put_bare(out, packet::ACK, Zxid::NONE));
        talk.hear(packet::UPTODATE).expect("it is one of them");
        talk
    }

    fn dial(&self) -> Talk {
        Talk::on(dial_from(ELSEWHERE, self.at).unwrap())
    }
}

fn put_info(out: &mut Vec<u8>, kind: i32, id: i64, accepted: Epoch) {
    put_learner_info(out, kind, accepted, ServerId(id), 0);
}

fn put_asked(out: &mut Vec<u8>, op: OpCode, body: &[u8]) {
    let (session, scope) = (SessionId(STRANGER), SessionScope::Unsaid);
    put_request(
        out,
        &PassedRequest { session, scope, cxid: 1, op: op.number(), body, identities: &[] },
    );
}

/// Sends the bytes `times` times, or until the server closes the connection; returns how often.
fn flood(talk: &mut Talk, bytes: &[u8], times: usize) -> usize {
    (0..times).take_while(|_| talk.send(bytes)).count()
}

/// Writes a packet.
type Write<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn whoever_comes_as_anybody_is_answered_or_sent_away() {
    let mut ground = Ground::new(&[]);
    ground.case("FOLLOWERINFO and OBSERVERINFO of any id and epoch", LITTLE, |ground| {
        let last = i64::from(i32::MAX);
        let mut answered = Vec::new();
        for kind in [packet::FOLLOWERINFO, packet::OBSERVERINFO] {
            for id in [0, 1, 2, 3, 4, STRANGER, -1, i64::MAX, i64::MIN] {
                for epoch in [0, 1, last - 1, last, -1] {
                    let mut talk = ground.dial();
                    talk.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                    talk.say(|out| put_info(out, kind, id, Epoch(epoch)));
                    if talk.hear(packet::LEADERINFO).is_some() {
                        answered.push(id);
                        talk.say(|out| {
                            put_ack_epoch(out, Zxid(i64::MAX), EpochAck::DoesNotCount, None)
                        });
                    }
                }
            }
        }
        answered.sort_unstable();
        answered.dedup();
        format!("LEADERINFO to {answered:?}")
    });
    ground.case("packets that are none", LITTLE, |ground| {
        let mut left = 0;
        let zxid = Zxid::ZERO;
        let first: [&[u8]; 4] =
            [&[0xff; 64], &[0; 64], b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &[0, 0, 0, 16]];
        for bytes in first {
            let mut talk = ground.dial();
            talk.send(bytes);
            left += usize::from(talk.end(MOMENT) == "left");
        }
        let later: [Write<'_>; 6] = [
            &|out| put_data(out, packet::REQUEST, zxid, &[1; 15]),
            &|out| put_data(out, packet::REVALIDATE, zxid, &[1; 11]),
            &|out| put_data(out, packet::PING, zxid, &[1; 13]),
            &|out| out.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]),
            &|out| put_data(out, packet::SNAP, zxid, &[1; 100]),
            &|out| out.extend([0xff; 100]),
        ];
        for write in later {
            let mut talk = ground.observer(STRANGER);
            talk.say(write);
            left += usize::from(talk.end(MOMENT) == "left");
        }
        format!("{left} of 10 sent away")
    });
    ground.case("the name of the observer that is there", LITTLE, |ground| {
        let begun = Instant::now();
        let (mut said, mut taken) = (0, 0);
        while begun.elapsed() < Duration::from_secs(2) {
            // The same name from the observer's own address.
            let mut talk = Talk::on(TcpStream::connect(ground.at).unwrap());
            talk.say(|out| {
                put_info(out, packet::OBSERVERINFO, 4, Epoch::ZERO);
                put_ack_epoch(out, Zxid::NONE, EpochAck::DoesNotCount, None);
                put_bare(out, packet::ACK, Zxid::NONE);
            });
            talk.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            taken += usize::from(talk.hear(packet::UPTODATE).is_some());
            said += 1;
        }
        format!("{taken} of {said} taken")
    });
}

#[test]
fn silent_connections_leave_room_for_observers() {
    let mut ground = Ground::new(&[]);
    let from = |host: i32| format!("127.0.0.{host}:0");
    let strangers = (2..22).flat_map(|host| (0..60).map(move |_| from(host)));
    let open: Vec<_> = strangers.map(|from| dial_from(&from, ground.at)).collect();
    ground.case(&format!("{} silent connections", open.len()), LITTLE, |_| String::new());
    let begun = Instant::now();
    ground.ensemble.restart(OBSERVER);
    while ground.observers() != 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", ground.ensemble.tails(40));
        thread::sleep(Duration::from_millis(20));
    }
    println!(
        "| {} silent connections | the observer comes back to its master | {} ms | |",
        open.len(),
        begun.elapsed().as_millis()
    );
}

#[test]
fn one_who_does_not_read_costs_a_bounded_part_of_the_memory() {
    const LARGE: usize = 60;
    let mut ground = Ground::new(&["observerMaster.sizeLimit=33554432"]);
    let write = |ground: &Ground, round: usize| {
        let mut client = Client::connect_with(ground.ensemble.address(ground.leader), 30_000);
        for node in 0..LARGE {
            let path = format!("/large-{node}");
            match round {
                0 => client.create(&path, &vec![b'x'; 1_000_000], 0).ok(),
                _ => client.set(&path, &vec![b'y'; 1_000_000]).ok(),
            };
        }
    };
    // The nodes themselves, and twice as many bytes in a leader that proposes them.
    let nodes = 3 * (LARGE as u64) * 1_000_000;
    ground.case("observers that do not read, 60 MB of writes", nodes + (64 << 20), |ground| {
        let mut idle: Vec<Talk> = (0..4).map(|n| ground.observer(STRANGER + n)).collect();
        write(ground, 0);
        let left = idle.iter_mut().map(|talk| u32::from(talk.end(MOMENT) == "left")).sum::<u32>();
        format!("{left} of 4 sent away")
    });
    ground.case(
        "a tree that is taken byte by byte, 60 MB of writes",
        nodes + (64 << 20),
        |ground| {
            let mut slow = ground.dial();
            slow.say(|out| put_info(out, packet::OBSERVERINFO, STRANGER, Epoch::ZERO));
            slow.hear(packet::LEADERINFO).expect("it is answered");
            slow.say(|out| put_ack_epoch(out, Zxid::NONE, EpochAck::DoesNotCount, None));
            write(ground, 1);
            slow.end(Duration::ZERO)
        },
    );
}

/// The requests of an observer go to the leader as the follower's own, in the order in which they come. Clients of
/// the follower wait only for the requests before theirs.
#[test]
fn floods_of_one_observer_do_not_part_its_master_from_the_leader() {
    const TIMES: usize = 250;
    let mut ground = Ground::new(&[]);
    let many = |write: Write<'_>| {
        let mut bytes = Vec::new();
        (0..1000).for_each(|_| write(&mut bytes));
        bytes
    };
    let syncs = many(&|out| put_asked(out, OpCode::Sync, b"\0\0\0\x01/"));
    let questions = many(&|out| put_revalidate(out, SessionId(STRANGER), 4000, None));
    let broken = many(&|out| put_asked(out, OpCode::Create, b"no create"));
    let pings = many(&|out| put_data(out, packet::PING, Zxid::ZERO, &[1; 12 * 20]));
    let mut large = Vec::new();
    put_asked(&mut large, OpCode::Create, &vec![b'x'; 1_000_000]);
    let cases: [(&str, &[u8]); 5] = [
        ("syncs", &syncs),
        ("questions about sessions", &questions),
        ("requests that are none", &broken),
        ("touched sessions", &pings),
        ("requests of 1 MB that are none", &large),
    ];
    for (name, bytes) in cases {
        ground.case(&format!("a flood of {name}"), 256 << 20, |ground| {
            let mut talk = ground.observer(STRANGER);
            let said = flood(&mut talk, bytes, TIMES);
            format!("{said} times {} bytes, {}", bytes.len(), talk.end(Duration::from_secs(1)))
        });
    }
}

/// Requests that a master passes on for an observer do not wait for the long requests of other servers, even if the
/// clients of the observer send them without a pause.
#[test]
fn clients_of_an_observer_are_served_whatever_others_ask_for() {
    let mut ground = Ground::new(&[]);
    let at = |id: usize| ground.ensemble.address(id);
    let other = 5 - ground.leader;
    let heavy = [at(ground.leader), at(other), at(other)];
    let observer = at(OBSERVER);
    Client::connect(heavy[0]).create("/busy", b"", 0).ok();
    let name = "multis of 9000 at two servers, 900 writes and 900 syncs under way at the observer";
    ground.case(name, 256 << 20, |_| {
        let until = Instant::now() + Duration::from_secs(6);
        let (heavy, light) = thread::scope(|scope| {
            let heavy = heavy.map(|at| scope.spawn(move || heavy_until(at, until)));
            let light = [OpCode::SetData, OpCode::Sync]
                .map(|op| scope.spawn(move || light_until(observer, op, until)));
            let sum = |all: Vec<usize>| all.into_iter().sum::<usize>();
            (
                sum(heavy.into_iter().map(|it| it.join().unwrap()).collect()),
                sum(light.into_iter().map(|it| it.join().unwrap()).collect()),
            )
        });
        assert!(heavy > 10 && light > 1000, "{heavy} and {light}");
        format!("{heavy} multis and {light} others done")
    });
}

/// Sends long multis, two of them under way at a time, until then; returns how many were done.
fn heavy_until(at: SocketAddr, until: Instant) -> usize {
    let mut client = Client::connect_with(at, 30_000);
    let check = MultiOp::Check(PathVersion { path: Some("/busy"), version: -1 });
    let set =
        MultiOp::SetData(SetDataRequest { path: Some("/busy"), data: Some(b""), version: -1 });
    let multi = RequestBody::Multi([vec![check; 9000], vec![set]].concat());
    let mut done = 0;
    client.send(OpCode::Multi, &multi);
    while Instant::now() < until {
        client.send(OpCode::Multi, &multi);
        assert_eq!(client.receive().expect("an answer").header.err, 0);
        done += 1;
    }
    assert_eq!(client.receive().expect("an answer").header.err, 0);
    done + 1
}

/// Sends small requests, up to 900 of them under way at a time, until then; returns how many were done.
fn light_until(at: SocketAddr, op: OpCode, until: Instant) -> usize {
    const GROUP: usize = 450;
    let mut client = Client::connect_with(at, 30_000);
    let ask = |client: &mut Client| {
        let body = match op {
            OpCode::Sync => RequestBody::Path(PathRequest { path: Some("/busy") }),
            _ => raw::set("/busy", b""),
        };
        let asked: Vec<u8> = (0..GROUP).flat_map(|_| client.frame(op, &body)).collect();
        client.socket.write_all(&asked).unwrap();
    };
    let hear = |client: &mut Client| {
        for _ in 0..GROUP {
            assert_eq!(client.receive().expect("an answer").header.err, 0);
        }
    };
    ask(&mut client);
    let mut done = 0;
    while Instant::now() < until {
        ask(&mut client);
        hear(&mut client);
        done += GROUP;
    }
    hear(&mut client);
    done + GROUP
}
