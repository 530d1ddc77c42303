//! A hostile host connects to the election port.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ringkeeper::id::{Epoch, ServerId, Zxid};
use ringkeeper::jute::Jute;
use ringkeeper::proto::quorum::{
    ELECTION_PROTOCOL_V1, ElectionHandshake, Notification, ServerState,
};
use ringkeeper_testkit::{Config, Ensemble};

use crate::harness::{Bounds, Watched, program};
use crate::quorum_port::{dial_as_stranger, ports};

/// The server that the host claims to be, and the address at which it claims to listen.
fn handshake(id: i64, addresses: &str) -> Vec<u8> {
    let (version, server_id) = (ELECTION_PROTOCOL_V1, ServerId(id));
    ElectionHandshake::Initial { version, server_id, addresses }.to_bytes()
}

/// A vote for a server with the newest possible data.
fn vote(leader: i64, config: Option<&str>) -> Vec<u8> {
    let notification = Notification {
        state: ServerState::Looking,
        leader: ServerId(leader),
        zxid: Zxid::new(Epoch(1000), 7),
        election_epoch: 1000,
        peer_epoch: Epoch(1000),
        config: config.map(str::as_bytes),
    };
    let body = notification.to_bytes();
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
}

/// An address that no member of the ensemble uses.
fn bait() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.3:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at: SocketAddr = listener.local_addr().unwrap();
    (listener, at.to_string())
}

/// A handshake names the address at which its sender listens. A server does not connect there only because a stranger
/// says so.
#[test]
fn nobody_is_called_where_a_stranger_says() {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let servers: Vec<_> = ensemble.ids().map(|id| ensemble.server(id)).collect();
    let watched = Watched::begin(&servers);
    let (listener, said) = bait();
    // Smaller than the id of any server, and those of members.
    for id in ensemble.ids() {
        let (_, to) = ports(&ensemble, id);
        for claimed in 0..=3 {
            let Ok(mut socket) = dial_as_stranger(to) else { continue };
            let _ = socket.write_all(&handshake(claimed, &said));
        }
    }
    let until = Instant::now() + Duration::from_secs(3);
    let mut called = 0;
    while Instant::now() < until {
        match listener.accept() {
            Ok(_) => called += 1,
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    let answer = format!("called back {called} times");
    watched.end("handshakes that name another host", &answer, Bounds::memory(64 << 20), &|| {
        ensemble.tails(30)
    });
    assert_eq!(called, 0, "{}", ensemble.tails(30));
    assert_eq!(ensemble.leader(), leader);
}

/// Votes in the names of members, from an address of no member, elect no server and prevent no election.
#[test]
fn a_stranger_does_not_vote() {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], Config::new());
    let leader = ensemble.leader();
    let servers: Vec<_> = ensemble.ids().map(|id| ensemble.server(id)).collect();
    let watched = Watched::begin(&servers);
    let mut answered = 0;
    for id in ensemble.ids() {
        let (_, to) = ports(&ensemble, id);
        for claimed in ensemble.ids().filter(|claimed| *claimed > id) {
            let claimed = i64::try_from(claimed).unwrap();
            let Ok(mut socket) = dial_as_stranger(to) else { continue };
            let _ = socket.write_all(&handshake(claimed, "127.0.0.3:1"));
            let _ = socket.write_all(&vote(claimed, None));
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            answered += usize::from(socket.read(&mut [0; 100]).is_ok_and(|length| length > 0));
        }
    }
    let answer = format!("{answered} answers");
    watched.end("votes in the names of members", &answer, Bounds::memory(64 << 20), &|| {
        ensemble.tails(30)
    });
    assert_eq!(answered, 0, "{}", ensemble.tails(30));
    assert_eq!(ensemble.leader(), leader);
}

/// A server whose peers are down receives a newer configuration with other members. The sender claims to be a member;
/// it uses an address that the member could have, and one that it cannot have.
#[test]
fn a_forged_configuration_is_not_written_down() {
    let config = Config::new()
        .line("reconfigEnabled=true")
        .line("tickTime=400")
        .line("initLimit=10")
        .line("syncLimit=5");
    let mut ensemble = Ensemble::start(&[program(), program(), program()], config);
    // All members have the same data, and the one with the smallest id does not connect to the others.
    for other in [2, 3] {
        ensemble.kill(other);
    }
    let (_, to) = ports(&ensemble, 1);
    let own = ensemble.server_line(1);
    let forged = format!(
        "server.1={own}\nserver.8=127.0.0.3:7:8:participant\nserver.9=127.0.0.3:9:10:participant\n\
         version=7000000000000000"
    );
    let until = Instant::now() + Duration::from_secs(2);
    let mut said = 0;
    while Instant::now() < until {
        let sockets = [
            (2, TcpStream::connect(to)),
            (3, TcpStream::connect(to)),
            (3, dial_as_stranger(to)),
            (8, dial_as_stranger(to)),
        ];
        for (claimed, socket) in sockets {
            let Ok(mut socket) = socket else { continue };
            let _ = socket.write_all(&handshake(claimed, "127.0.0.3:8"));
            let _ = socket.write_all(&vote(claimed, Some(&forged)));
            said += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(said > 10);
    let folder = ensemble.server(1).folder();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let name = entry.file_name();
        let is_config = name.to_string_lossy().starts_with("zoo.cfg");
        assert!(
            !is_config || !text.contains("127.0.0.3"),
            "{name:?}:\n{text}\n{}",
            ensemble.tails(20)
        );
    }
    // The server rejoins its ensemble by itself.
    let begun = Instant::now();
    ensemble.start_all();
    println!(
        "| votes with a forged configuration | not written | {} ms | |",
        begun.elapsed().as_millis()
    );
}
