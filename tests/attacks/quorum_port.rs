//! A hostile host connects to the quorum port.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::{Epoch, ServerId, Zxid};
use ringkeeper::jute::Jute;
use ringkeeper::proto::quorum::{LearnerInfo, PROTOCOL_VERSION, packet};
use ringkeeper::zab::packets::{put_bare, put_data};
use ringkeeper_testkit::{Config, Ensemble};

use crate::harness::{Bounds, Watched, program};
use crate::raw;

/// Another address of the machine.
const STRANGER: &str = "127.0.0.2:0";

/// How long an attack lasts.
const LONG: Duration = Duration::from_secs(4);

/// The addresses at which a server listens for learners and for votes.
pub fn ports(ensemble: &Ensemble, id: usize) -> (SocketAddr, SocketAddr) {
    let line = ensemble.server_line(id);
    let fields: Vec<&str> = line.split([':', ';']).collect();
    let at = |port: &str| format!("{}:{port}", fields[0]).parse().unwrap();
    (at(fields[1]), at(fields[2]))
}

/// FOLLOWERINFO of a server that has accepted this epoch.
pub fn follower_info(id: i64, epoch: Epoch) -> Vec<u8> {
    let info = LearnerInfo {
        server_id: ServerId(id),
        protocol_version: Some(PROTOCOL_VERSION),
        config_version: Some(0),
    };
    let mut bytes = Vec::new();
    put_data(&mut bytes, packet::FOLLOWERINFO, Zxid::new(epoch, 0), &info.to_bytes());
    bytes
}

/// The largest acceptedEpoch on any disk.
fn accepted(ensemble: &Ensemble) -> i64 {
    let of = |id: usize| {
        let file = ensemble.server(id).data_dir().join("version-2/acceptedEpoch");
        fs::read_to_string(file).unwrap().trim().parse::<i64>().unwrap()
    };
    ensemble.ids().map(of).max().unwrap()
}

/// A connection from another address of this machine than that of the servers.
pub fn dial_as_stranger(to: SocketAddr) -> std::io::Result<TcpStream> {
    dial_from(STRANGER, to)
}

pub fn dial_from(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    let from: SocketAddr = from.parse().unwrap();
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), Duration::from_secs(2))?;
    Ok(socket.into())
}

/// The answer to a stranger, or `None` if none comes within `patience` or the connection has ended.
pub fn say_as_stranger(to: SocketAddr, bytes: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let mut socket = dial_as_stranger(to).ok()?;
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.write_all(bytes).ok()?;
    let mut answer = vec![0; 4096];
    let length = socket.read(&mut answer).ok().filter(|length| *length > 0)?;
    answer.truncate(length);
    Some(answer)
}

/// Sends bytes to a port, and returns how many bytes of an answer come within `patience`.
pub fn say(to: SocketAddr, bytes: &[u8], patience: Duration) -> usize {
    let Ok(mut socket) = TcpStream::connect_timeout(&to, Duration::from_secs(2)) else { return 0 };
    socket.set_read_timeout(Some(patience)).unwrap();
    if socket.write_all(bytes).is_err() {
        return 0;
    }
    let mut answer = [0; 4096];
    socket.read(&mut answer).unwrap_or(0)
}

/// The stranger forges epochs in the names of all voters while a leader is there, and then in the name of the absent
/// one while none is there: a server that is elected hears the forged name before the real one.
#[test]
fn forged_epochs_use_up_no_epochs() {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let servers: Vec<_> = ensemble.ids().map(|id| ensemble.server(id)).collect();
    let watched = Watched::begin(&servers);
    let before = accepted(&ensemble);
    let quorum: Vec<SocketAddr> = ensemble.ids().map(|id| ports(&ensemble, id).0).collect();
    let last = i64::from(i32::MAX);
    let forge = |until: Instant| {
        let mut count = 0;
        while Instant::now() < until {
            for to in &quorum {
                for id in 1..=3 {
                    for epoch in [last - 1, last, before + 1] {
                        say(*to, &follower_info(id, Epoch(epoch)), Duration::from_millis(3));
                        count += 1;
                    }
                }
            }
        }
        count
    };
    let count = forge(Instant::now() + LONG);
    assert_eq!(ensemble.leader(), leader, "one packet is no reason to step down");
    let name = format!("{count} FOLLOWERINFO with forged epochs");
    watched.end(&name, "refused", Bounds::memory(64 << 20), &|| ensemble.tails(30));
    // Now the stranger forges epochs while the servers look for a leader, over connections that stay open.
    let others: Vec<SocketAddr> =
        ensemble.ids().filter(|id| *id != leader).map(|id| ports(&ensemble, id).0).collect();
    ensemble.kill(leader);
    let absent = i64::try_from(leader).unwrap();
    let until = Instant::now() + LONG;
    let mut open = Vec::new();
    while Instant::now() < until {
        for to in &others {
            let Ok(mut socket) = TcpStream::connect(to) else { continue };
            let _ = socket.write_all(&follower_info(absent, Epoch(last - 1)));
            open.push(socket);
        }
        open.drain(..open.len().saturating_sub(60));
        thread::sleep(Duration::from_millis(2));
    }
    ensemble.spawn(leader);
    for id in ensemble.ids() {
        ensemble.wait_serving(id);
    }
    let after = accepted(&ensemble);
    // Each loss of a leader uses up one epoch, and a forged name may add as many epochs as one server may.
    assert!(after < before + 100_000, "epoch {before} became {after}\n{}", ensemble.tails(30));
    // After a restart of all servers, a leader is there.
    ensemble.kill_all();
    ensemble.start_all();
}

/// ACKEPOCH in the name of a follower would close the follower's real connection.
#[test]
fn a_living_follower_is_not_displaced_by_a_newer_claim_of_its_name() {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let followers = ensemble.followers();
    let servers: Vec<_> = ensemble.ids().map(|id| ensemble.server(id)).collect();
    let watched = Watched::begin(&servers);
    let to = ports(&ensemble, leader).0;
    let epoch = Epoch(accepted(&ensemble));
    let until = Instant::now() + LONG;
    let mut count = 0;
    while Instant::now() < until {
        for id in &followers {
            let mut bytes = follower_info(i64::try_from(*id).unwrap(), Epoch(epoch.0 - 1));
            put_data(&mut bytes, packet::ACKEPOCH, Zxid::new(epoch, 0), &(-1i32).to_be_bytes());
            put_bare(&mut bytes, packet::ACK, Zxid::new(epoch, 0));
            say(to, &bytes, Duration::from_millis(5));
            count += 1;
        }
    }
    let name = format!("{count} claims of a follower's name");
    watched.end(&name, "refused", Bounds::memory(64 << 20), &|| ensemble.tails(30));
    assert_eq!(ensemble.leader(), leader, "{}", ensemble.tails(30));
}

/// A host at an address of no member is never taken for a member, neither by a leader nor before an election.
#[test]
fn a_stranger_is_no_member() {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let servers: Vec<_> = ensemble.ids().map(|id| ensemble.server(id)).collect();
    let watched = Watched::begin(&servers);
    let to = ports(&ensemble, leader).0;
    let mut answers = Vec::new();
    for id in 1..=4 {
        let info = follower_info(id, Epoch(1));
        let answer = say_as_stranger(to, &info, Duration::from_secs(1));
        // The leader does not learn from itself, whatever address its name comes from.
        answers.push(format!("{id}: {}", answer.map_or("closed", |_| "LEADERINFO")));
    }
    // A server that is not in the configuration may connect to learn, or to be added.
    let expected = ["1: closed", "2: closed", "3: closed", "4: LEADERINFO"];
    let answered = answers.join(", ");
    watched
        .end("the names of members", &answered, Bounds::memory(64 << 20), &|| ensemble.tails(30));
    assert_eq!(answers, expected, "{}", ensemble.tails(30));
    // Now the stranger uses all names at once, while the servers look for a leader.
    let last = i64::from(i32::MAX);
    let before = accepted(&ensemble);
    ensemble.kill(leader);
    let until = Instant::now() + LONG;
    let mut open = Vec::new();
    while Instant::now() < until {
        for other in ensemble.ids().filter(|id| *id != leader) {
            for id in 1..=3 {
                let Ok(mut socket) = dial_as_stranger(ports(&ensemble, other).0) else { continue };
                let _ = socket.write_all(&follower_info(id, Epoch(last - 1)));
                open.push(socket);
            }
        }
        open.drain(..open.len().saturating_sub(30));
        thread::sleep(Duration::from_millis(2));
    }
    ensemble.spawn(leader);
    for id in ensemble.ids() {
        ensemble.wait_serving(id);
    }
    let after = accepted(&ensemble);
    assert!(after < before + 100, "epoch {before} became {after}\n{}", ensemble.tails(30));
}

/// Strangers have a limit of their own, and members always find room.
#[test]
fn strangers_leave_room_for_members() {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let follower = ensemble.followers()[0];
    let quorum = ports(&ensemble, leader).0;
    // More connections than there is room for, with fewer from each address than one address may have.
    let from = |host: i32| format!("127.0.0.{host}:0");
    let strangers = (2..12).flat_map(|host| (0..110).map(move |_| from(host)));
    let open: Vec<_> = strangers.map(|from| dial_from(&from, quorum)).collect();
    let begun = Instant::now();
    ensemble.restart(follower);
    let took = begun.elapsed();
    println!(
        "| {} silent connections | a restarted follower serves | {} ms | |",
        open.len(),
        took.as_millis()
    );
    assert_eq!(ensemble.leader(), leader, "{}", ensemble.tails(30));
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// If only members may connect, the server answers no other host.
#[test]
fn a_stranger_is_not_heard_where_the_check_is_strict() {
    let config = Config::new().line("ringkeeper.peerAddressCheck=strict");
    let mut ensemble = Ensemble::start(&[program(), program(), program()], config);
    let leader = ensemble.leader();
    let (quorum, _) = ports(&ensemble, leader);
    let info = follower_info(4, Epoch(1));
    assert_eq!(say_as_stranger(quorum, &info, Duration::from_secs(1)), None);
    assert_eq!(ensemble.leader(), leader);
}

/// A host that reads a snapshot byte by byte makes the leader hold the snapshot. A follower that needs one gets it
/// all the same.
#[test]
fn a_slow_receiver_of_the_tree_does_not_keep_it_from_a_follower() {
    const NODES: usize = 48;
    let config = Config::new().line("tickTime=500").line("initLimit=60").line("syncLimit=10");
    let mut ensemble = Ensemble::start(&[program(), program(), program()], config);
    let leader = ensemble.leader();
    let follower = ensemble.followers()[0];
    let mut client = raw::Client::connect_with(ensemble.address(leader), 30_000);
    for node in 0..NODES {
        client.create(&format!("/large-{node}"), &vec![b'x'; 1_000_000], 0).ok();
    }
    let epoch = Epoch(accepted(&ensemble));
    let mut socket = dial_as_stranger(ports(&ensemble, leader).0).unwrap();
    let mut bytes = follower_info(77, Epoch(0));
    bytes[3] = 16; // OBSERVERINFO
    socket.write_all(&bytes).unwrap();
    let mut answer = [0; 64];
    assert!(socket.read(&mut answer).unwrap() > 0, "LEADERINFO");
    let mut ack = Vec::new();
    put_data(&mut ack, packet::ACKEPOCH, Zxid::NONE, &(-1i32).to_be_bytes());
    socket.write_all(&ack).unwrap();
    assert!(epoch > Epoch::ZERO);
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let reader = thread::spawn(move || {
        let mut taken = 0;
        while !told.load(Ordering::Relaxed) {
            match socket.read(&mut [0; 200]) {
                Ok(0) | Err(_) => break,
                Ok(length) => taken += length,
            }
            thread::sleep(Duration::from_millis(5));
        }
        taken
    });
    ensemble.kill(follower);
    let folder = ensemble.server(follower).data_dir().join("version-2");
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("log.") || name.starts_with("snapshot.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let begun = Instant::now();
    ensemble.restart(follower);
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let taken = reader.join().unwrap();
    println!(
        "| a stranger took {taken} bytes of the tree | a follower got it | {} ms | |",
        took.as_millis()
    );
    assert!(took < Duration::from_secs(20), "{took:?}\n{}", ensemble.tails(30));
    assert_eq!(ensemble.leader(), leader);
}
