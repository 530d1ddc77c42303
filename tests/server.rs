//! A whole server process, to which the tests send raw bytes: with one executor and with session cores, at its limits,
//! with bad input, killed and restarted.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "server/crowds.rs"]
mod crowds;
#[path = "server/life.rs"]
mod life;
mod raw;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use raw::{Client, PATIENCE, connect_frame, dial, read_frame};
use ringkeeper::error::ErrorCode;
use ringkeeper::jute::Jute;
use ringkeeper::limits;
use ringkeeper::proto::data::Id;
use ringkeeper::proto::event::WatcherEvent;
use ringkeeper::proto::request::{MultiOp, PathVersion, PathWatch, RequestBody};
use ringkeeper::proto::{AclEntry, OpCode};
use ringkeeper_rawclient::Session;
use ringkeeper_testkit::{Config, Program, Server};

/// One executor for everything; and two session cores beside a replica core.
const WIRINGS: [&str; 2] = ["ringkeeper.cores=1", "ringkeeper.cores=3"];

fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_ringkeeper")
}

fn start(config: Config) -> Server {
    Server::ringkeeper(binary(), config)
}

fn in_both_wirings(test: impl Fn(Config)) {
    for wiring in WIRINGS {
        test(Config::new().line(wiring));
    }
}

/// Reads to the end of the stream; `None` if the server reset the connection or left it open.
fn read_to_end(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    socket.read_to_end(&mut all).ok().map(|_| all)
}

#[test]
fn clients_create_read_change_and_delete() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut a = Client::connect(server.socket_addr());
        let mut b = Client::connect(server.socket_addr());
        assert_ne!(a.session.session_id, b.session.session_id);
        a.create("/node", b"one", 0).ok();
        assert_eq!(a.create("/node", b"one", 0).header.err, -110);
        assert_eq!(b.data("/node"), b"one");
        b.set("/node", b"two").ok();
        assert_eq!(a.data("/node"), b"two");
        a.delete("/node").ok();
        assert_eq!(b.get("/node").header.err, -101);
        a.ping();
    });
}

#[test]
fn a_watch_fires_across_connections_before_the_change_can_be_read() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut watcher = Client::connect(server.socket_addr());
        let mut writer = Client::connect(server.socket_addr());
        writer.create("/watched", b"", 0).ok();
        for _ in 0..20 {
            watcher.call(OpCode::GetData, &raw::get("/watched", true)).ok();
            writer.set("/watched", b"new").ok();
            watcher.send(OpCode::GetData, &raw::get("/watched", false));
            let event = watcher.receive().unwrap();
            assert_eq!(event.header.xid, -1);
            let event = WatcherEvent::from_bytes(&event.body).unwrap();
            assert_eq!(event.path, Some("/watched"));
            assert_ne!(watcher.receive().unwrap().header.xid, -1);
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut client = Client::connect(server.socket_addr());
        client.create("/n", b"", 0).ok();
        let mut frames = Vec::new();
        for round in 0..500 {
            let data = format!("{round}").into_bytes();
            frames.extend(client.frame(OpCode::SetData, &raw::set("/n", &data)));
            frames.extend(client.frame(OpCode::GetData, &raw::get("/n", false)));
        }
        let mut socket = client.socket.try_clone().unwrap();
        let sender = std::thread::spawn(move || socket.write_all(&frames).unwrap());
        for round in 0..500 {
            let set = client.receive().unwrap().ok();
            let get = client.receive().unwrap().ok();
            assert_eq!((set.header.xid, get.header.xid), (2 * round + 2, 2 * round + 3));
            let text = format!("{round}");
            assert_eq!(get.body[4..4 + text.len()], *text.as_bytes());
        }
        sender.join().unwrap();
    });
}

#[test]
fn frames_cut_anywhere_are_put_together() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut socket = dial(server.socket_addr());
        for byte in connect_frame(10_000) {
            socket.write_all(&[byte]).unwrap();
        }
        assert_eq!(read_frame(&mut socket).unwrap().len(), 37);
    });
}

#[test]
fn a_value_of_almost_a_mebibyte_goes_in_and_comes_out() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut client = Client::connect(server.socket_addr());
        let value = vec![b'v'; 0xf_ffff - 200];
        for path in ["/big1", "/big2"] {
            client.create(path, &value, 0).ok();
            assert_eq!(client.data(path).len(), value.len());
        }
        client.set("/big1", b"small").ok();
        assert_eq!(client.data("/big1"), b"small");
    });
}

#[test]
fn a_bad_length_closes_that_connection_alone_and_the_log_says_why() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut good = Client::connect(server.socket_addr());
        for length in [-1i32, 0x10_0000, i32::MAX, i32::MIN] {
            let mut bad = Client::connect(server.socket_addr());
            bad.socket.write_all(&length.to_be_bytes()).unwrap();
            assert!(bad.receive().is_err());
            good.ping();
        }
        server.wait_for_log("jute.maxbuffer");
    });
}

#[test]
fn garbage_instead_of_a_connect_request_harms_nobody_else() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut good = Client::connect(server.socket_addr());
        for bytes in [&[0u8, 0, 0, 2, 1, 2][..], &[0, 0, 0, 0], b"GET / HTTP/1.1\r\n\r\n"] {
            let mut bad = dial(server.socket_addr());
            bad.write_all(bytes).unwrap();
            let _ = bad.shutdown(Shutdown::Write);
            read_to_end(&mut bad);
            good.ping();
        }
    });
}

#[test]
fn four_letter_words_are_answered_and_the_connection_closed() {
    in_both_wirings(|config| {
        let server = start(config.line("4lw.commands.whitelist=ruok,stmk"));
        let mut socket = dial(server.socket_addr());
        // The client gets the answer even if a line end follows the word.
        socket.write_all(b"ruok\n").unwrap();
        assert_eq!(read_to_end(&mut socket).unwrap(), b"imok");
        let mut socket = dial(server.socket_addr());
        socket.write_all(b"stmk\0\0\0\0").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        socket.write_all(&[0, 0, 1, 50]).unwrap();
        assert_eq!(read_to_end(&mut socket).unwrap(), b"306");
        let mut socket = dial(server.socket_addr());
        socket.write_all(b"cons").unwrap();
        let refusal = String::from_utf8(read_to_end(&mut socket).unwrap()).unwrap();
        assert!(refusal.contains("not in the whitelist"), "{refusal}");
    });
}

/// Enough connections for an answer longer than `limits::OUTPUT_REPORTED_BYTES`, at some fifty bytes for each.
const LISTED: usize = 2_000;

#[test]
fn a_word_with_a_long_answer_is_answered_and_the_server_lives() {
    in_both_wirings(|config| {
        let lines = ["maxClientCnxns=0", "4lw.commands.whitelist=*"];
        let server = start(lines.iter().fold(config, |config, line| config.line(line)));
        let mut client = Client::connect(server.socket_addr());
        let crowd: Vec<TcpStream> = (0..LISTED).map(|_| dial(server.socket_addr())).collect();
        let ask = |word: &str| {
            let mut socket = dial(server.socket_addr());
            socket.write_all(word.as_bytes()).unwrap();
            read_to_end(&mut socket).unwrap_or_default()
        };
        // Several cores accept the connections, each at its own pace.
        let deadline = Instant::now() + Duration::from_secs(10);
        while ask("cons").iter().filter(|&&byte| byte == b'\n').count() < LISTED {
            assert!(Instant::now() < deadline, "{}", server.log_tail(20));
        }
        for word in ["cons", "stat", "cons"] {
            let text = ask(word);
            assert!(text.len() > limits::OUTPUT_REPORTED_BYTES, "{word}: {} bytes", text.len());
        }
        drop(crowd);
        client.create("/served", b"still", 0).ok();
    });
}

#[test]
fn connections_beyond_the_bounds_are_closed_and_others_are_served() {
    in_both_wirings(|config| {
        let server = start(config.line("maxClientCnxns=5"));
        let mut held: Vec<Client> = (0..5).map(|_| Client::connect(server.socket_addr())).collect();
        let mut refused = dial(server.socket_addr());
        let _ = refused.write_all(&connect_frame(10_000));
        assert!(read_frame(&mut refused).is_err());
        held.iter_mut().for_each(Client::ping);
        drop(held.pop());
        // The server notices the end a little later.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut socket = dial(server.socket_addr());
            let _ = socket.write_all(&connect_frame(10_000));
            if read_frame(&mut socket).is_ok() {
                break;
            }
            assert!(Instant::now() < deadline, "no room after a connection closed");
        }
        drop(held.pop());
        let counted = loop {
            let mut socket = dial(server.socket_addr());
            let _ = socket.write_all(b"mntr");
            let answer = read_to_end(&mut socket).unwrap_or_default();
            if !answer.is_empty() {
                break String::from_utf8(answer).unwrap();
            }
            assert!(Instant::now() < deadline, "no room for a word after a connection closed");
        };
        let count = counted.lines().find_map(|line| line.strip_prefix("zk_connection_rejected\t"));
        assert!(count.unwrap().parse::<u64>().unwrap() >= 1, "{counted}");
    });
}

#[test]
fn what_is_refused_for_a_bound_of_our_own_is_named_in_the_log() {
    let config = Config::new()
        .line("ringkeeper.ephemeralsPerSessionMax=100")
        .line("ringkeeper.aclEntriesMax=1")
        .line("ringkeeper.multiOperationsMax=100")
        .line("ringkeeper.multiReadReplyBytesMax=1048576");
    let server = start(config);
    let mut client = Client::connect(server.socket_addr());
    let refused = |code: ErrorCode, err: i32, named: &str| {
        assert_eq!(err, code.code(), "{named}");
        server.wait_for_log(named);
    };
    (0..100).for_each(|n| _ = client.create(&format!("/e{n}"), b"", 1).ok());
    let one_more = client.create("/more", b"", 1).header.err;
    refused(ErrorCode::QuotaExceeded, one_more, "(ringkeeper.ephemeralsPerSessionMax)");
    let mut acl = raw::open_acl();
    acl.push(&AclEntry { perms: 1, id: Id { scheme: Some("world"), id: Some("anyone") } });
    let long = client.call(OpCode::Create, &raw::create("/acl", b"", &acl, 0)).header.err;
    refused(ErrorCode::InvalidAcl, long, "(ringkeeper.aclEntriesMax)");
    let check = MultiOp::Check(PathVersion { path: Some("/"), version: -1 });
    let many = client.call(OpCode::Multi, &RequestBody::Multi(vec![check; 101])).header.err;
    refused(ErrorCode::BadArguments, many, "(ringkeeper.multiOperationsMax)");
    client.create("/large", &vec![b'x'; 600_000], 0).ok();
    let read = MultiOp::GetData(PathWatch { path: Some("/large"), watch: false });
    let reads = client.call(OpCode::MultiRead, &RequestBody::Multi(vec![read; 2])).header.err;
    refused(ErrorCode::BadArguments, reads, "(ringkeeper.multiReadReplyBytesMax)");
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_its_time() {
    in_both_wirings(|config| {
        let server = start(config.line("nio.sessionlessCnxnTimeout=500"));
        let mut silent = dial(server.socket_addr());
        let mut half = dial(server.socket_addr());
        half.write_all(&connect_frame(10_000)[..20]).unwrap();
        let mut client = Client::connect(server.socket_addr());
        let begun = Instant::now();
        assert_eq!(read_to_end(&mut silent).unwrap_or_default(), b"");
        assert_eq!(read_to_end(&mut half).unwrap_or_default(), b"");
        assert!(begun.elapsed() < PATIENCE);
        client.ping();
    });
}

#[test]
fn a_client_that_does_not_read_stops_only_itself() {
    in_both_wirings(|config| {
        let server = start(config.line("ringkeeper.outputBytesPerConnectionMax=65536"));
        let mut other = Client::connect(server.socket_addr());
        let value = vec![b'x'; 200_000];
        other.create("/large", &value, 0).ok();
        let mut slow = Client::connect(server.socket_addr());
        slow.socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // Far more replies than the buffers of the sockets hold.
        for _ in 0..200 {
            let frame = slow.frame(OpCode::GetData, &raw::get("/large", false));
            if slow.socket.write_all(&frame).is_err() {
                break;
            }
        }
        for _ in 0..50 {
            other.set("/large", b"small").ok();
            other.ping();
        }
        // When the client reads at last, it gets everything, in order.
        let mut last = 0;
        for _ in 0..200 {
            let reply = slow.receive().unwrap().ok();
            assert_eq!(reply.header.xid, last + 1);
            last = reply.header.xid;
        }
    });
}

#[test]
fn three_thousand_large_reads_at_once_are_all_answered() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut client = Client::connect(server.socket_addr());
        client.create("/large", &[b'x'; 100_000], 0).ok();
        let frames: Vec<u8> = (0..3000)
            .flat_map(|_| client.frame(OpCode::GetData, &raw::get("/large", false)))
            .collect();
        let mut socket = client.socket.try_clone().unwrap();
        let sender = std::thread::spawn(move || socket.write_all(&frames).unwrap());
        let mut other = Client::connect(server.socket_addr());
        for number in 0..3000 {
            let reply = client.receive().unwrap_or_else(|_| panic!("{number} came")).ok();
            assert_eq!((reply.header.xid, reply.body.len() > 100_000), (number + 2, true));
            if number % 500 == 0 {
                other.ping();
            }
        }
        sender.join().unwrap();
    });
}

#[test]
fn long_writes_behind_many_short_reads_wait_until_their_client_has_read() {
    in_both_wirings(|config| {
        let (reads, writes) = (3000, 35);
        // No other bound ends the connection first.
        let server = start(config.line("globalOutstandingLimit=100000"));
        let mut client = Client::connect(server.socket_addr());
        let value = vec![b'x'; 1_000_000];
        client.create("/large", &value[..100_000], 0).ok();
        client.create("/written", b"", 0).ok();
        let mut frames = Vec::new();
        for _ in 0..reads {
            frames.extend(client.frame(OpCode::GetData, &raw::get("/large", false)));
        }
        for _ in 0..writes {
            frames.extend(client.frame(OpCode::SetData, &raw::set("/written", &value)));
        }
        let mut socket = client.socket.try_clone().unwrap();
        let sender = std::thread::spawn(move || socket.write_all(&frames));
        for number in 0..reads + writes {
            // Slower than the server reads the allowed number of bytes.
            std::thread::sleep(Duration::from_millis(1));
            let reply = client.receive().unwrap_or_else(|error| panic!("{number}: {error}")).ok();
            assert_eq!((reply.header.xid, reply.body.len() > 1000), (number + 3, number < reads));
        }
        sender.join().unwrap().unwrap();
        client.ping();
    });
}

#[test]
fn a_word_followed_at_once_by_the_end_of_the_input_is_answered() {
    in_both_wirings(|config| {
        let server = start(config);
        for round in 0..300 {
            let mut socket = dial(server.socket_addr());
            socket.write_all(b"srvr").unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            let text = read_to_end(&mut socket).unwrap_or_default();
            assert!(text.starts_with(b"Zookeeper version"), "round {round}: {text:?}");
        }
    });
}

#[test]
fn what_was_asked_before_the_end_of_the_input_is_carried_out_and_answered() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut other = Client::connect(server.socket_addr());
        for round in 0..100 {
            let path = format!("/half-{round}");
            // Before the server has answered the handshake.
            let mut bytes = connect_frame(10_000);
            let body = raw::open_acl();
            bytes.extend(other.frame(OpCode::Create, &raw::create(&path, b"data", &body, 0)));
            bytes.extend(other.frame(OpCode::GetData, &raw::get(&path, false)));
            let mut socket = dial(server.socket_addr());
            socket.write_all(&bytes).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            for frame in ["handshake", "create", "get"] {
                let answer = read_frame(&mut socket);
                assert!(answer.is_ok(), "round {round}: no answer to {frame}");
            }
            assert_eq!(read_to_end(&mut socket), Some(Vec::new()));
            assert_eq!(other.data(&path), b"data");
        }
    });
}
