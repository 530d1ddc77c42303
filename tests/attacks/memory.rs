//! Clients make a server hold bytes: replies, events and answers that they do not read, frames that they do not finish.
//! Each stays within the bound for one connection; together they exceed the bound for all connections many times.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ringkeeper::proto::OpCode;
use ringkeeper::proto::request::{PathKind, RequestBody};
use ringkeeper_testkit::Config;

use crate::harness::{Bounds, alone, ensemble};
use crate::raw::{self, Client};

/// The bound on all connections of the server under test together.
const BUDGET: u64 = 64 << 20;
/// The same, and what else an attack makes the process grow by: its nodes, buffers that are kept, and
/// the pieces that the C library's allocator does not give back.
const GROWTH_MAX: u64 = BUDGET + (64 << 20);

const CORES: [&str; 2] = ["ringkeeper.cores=1", "ringkeeper.cores=3"];

fn config(cores: &str) -> Config {
    Config::new()
        .line(cores)
        .line("maxClientCnxns=0")
        .line(&format!("ringkeeper.connectionMemoryMax={BUDGET}"))
}

fn against_each(name: &str, attack: impl Fn(SocketAddr) -> String + Sync) {
    for cores in CORES {
        alone(&format!("{name}, {cores}"), config(cores), Bounds::memory(GROWTH_MAX), &attack);
    }
}

/// Sessions that do not expire while their clients are silent.
fn clients(at: SocketAddr, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::connect_with(at, 30_000)).collect()
}

/// Sends without waiting for a server that does not read, or for one that has closed the connection.
fn push(socket: &mut TcpStream, bytes: &[u8]) {
    socket.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let until = Instant::now() + Duration::from_millis(300);
    while sent < bytes.len() && Instant::now() < until {
        match socket.write(&bytes[sent..]) {
            Ok(wrote) => sent += wrote,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => break,
        }
    }
    socket.set_nonblocking(false).unwrap();
}

/// How many of these connections the server has closed, once it has had a moment.
fn closed<'a>(sockets: impl Iterator<Item = &'a TcpStream>) -> String {
    let (mut closed, mut all) = (0, 0);
    for mut socket in sockets {
        all += 1;
        socket.set_nonblocking(true).unwrap();
        let mut chunk = [0; 64 << 10];
        let end = loop {
            match socket.read(&mut chunk) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        closed += u32::from(end);
    }
    format!("{closed} of {all} closed")
}

/// How long a test waits for answers. Even a busy machine has sent by then what it will send.
const MOMENT: Duration = Duration::from_millis(1500);

fn unread_replies(at: SocketAddr) -> String {
    let mut owner = Client::connect_with(at, 30_000);
    // The next attack on the same ensemble finds the node, so the result does not matter.
    owner.create("/large", &vec![b'x'; 1_000_000], 0);
    let mut clients = clients(at, 100);
    for client in &mut clients {
        let asked: Vec<u8> = (0..60)
            .flat_map(|_| client.frame(OpCode::GetData, &raw::get("/large", false)))
            .collect();
        push(&mut client.socket, &asked);
    }
    std::thread::sleep(MOMENT);
    let end = closed(clients.iter().map(|client| &client.socket));
    assert_eq!(owner.data("/large").len(), 1_000_000, "who reads is served");
    end
}

#[test]
fn replies_that_nobody_reads_stay_within_the_budget() {
    against_each("100 clients ask for 60 × 1 MB and do not read", unread_replies);
}

#[test]
fn replies_that_nobody_reads_cost_no_leader() {
    let name = "100 clients ask for 60 × 1 MB and do not read";
    ensemble(name, &config("ringkeeper.cores=1"), Bounds::memory(GROWTH_MAX), unread_replies);
}

#[test]
fn reads_between_two_writes_of_their_session_stay_within_the_budget() {
    // The server cannot tell the length of the replies when it takes the reads, because the write before them makes
    // the node long.
    against_each("12 clients ask for 50 × 1 MB between two writes", |at| {
        let mut clients = clients(at, 12);
        for (number, client) in clients.iter_mut().enumerate() {
            let path = format!("/n{number}");
            client.create(&path, b"", 0).ok();
            let large = vec![b'x'; 1_000_000];
            let mut asked = client.frame(OpCode::SetData, &raw::set(&path, &large));
            for _ in 0..50 {
                asked.extend(client.frame(OpCode::GetData, &raw::get(&path, false)));
            }
            asked.extend(client.frame(OpCode::SetData, &raw::set(&path, b"")));
            push(&mut client.socket, &asked);
        }
        std::thread::sleep(MOMENT);
        closed(clients.iter().map(|client| &client.socket))
    });
}

/// Connects clients that watch everything, and makes `events` events about a node whose path has `path_bytes` bytes.
fn events(at: SocketAddr, path_bytes: usize, events: usize) -> String {
    let mut owner = Client::connect_with(at, 30_000);
    let path = format!("/{}", "p".repeat(path_bytes - 1));
    owner.create(&path, b"", 0);
    let mut clients = clients(at, 100);
    for client in &mut clients {
        let watch = PathKind { path: Some("/"), kind: 1 };
        client.call(OpCode::AddWatch, &RequestBody::PathKind(watch)).ok();
    }
    for _ in 0..events / 50 {
        let asked: Vec<u8> =
            (0..50).flat_map(|_| owner.frame(OpCode::SetData, &raw::set(&path, b"x"))).collect();
        owner.socket.write_all(&asked).unwrap();
        for _ in 0..50 {
            owner.receive().expect("an answer");
        }
    }
    closed(clients.iter().map(|client| &client.socket))
}

#[test]
fn events_that_nobody_reads_stay_within_the_budget() {
    against_each("100 recursive watchers do not read 200 events of 60 kB", |at| {
        events(at, 60_000, 200)
    });
    against_each("100 recursive watchers do not read 5000 events of 2 kB", |at| {
        events(at, 2_000, 5_000)
    });
}

#[test]
fn frames_that_do_not_end_stay_within_the_budget() {
    against_each("300 frames lack their last byte", |at| {
        let mut frame = 1_000_000_i32.to_be_bytes().to_vec();
        frame.resize(1_000_000, 7);
        let mut clients = clients(at, 300);
        for client in &mut clients {
            push(&mut client.socket, &frame);
        }
        std::thread::sleep(MOMENT);
        closed(clients.iter().map(|client| &client.socket))
    });
}

#[test]
fn answers_to_words_that_nobody_reads_stay_within_the_budget() {
    against_each("60 unread answers to wchp of 8 MB", |at| {
        let mut owner = Client::connect_with(at, 30_000);
        for number in 0..80 {
            let path = format!("/{number}{}", "p".repeat(100_000));
            owner.call(OpCode::Exists, &raw::get(&path, true));
        }
        let mut sockets: Vec<TcpStream> = (0..60).map(|_| raw::dial(at)).collect();
        for socket in &mut sockets {
            push(socket, b"wchp");
        }
        std::thread::sleep(MOMENT);
        closed(sockets.iter())
    });
}
