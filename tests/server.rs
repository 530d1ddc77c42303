//! A whole server process, to which the tests send raw bytes: with one executor and with session cores, at its limits,
//! with bad input, killed and restarted.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

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
fn acknowledged_writes_survive_kill_9() {
    in_both_wirings(|config| {
        let mut server = start(config);
        for round in 0..3 {
            let mut client = Client::connect(server.socket_addr());
            for n in 0..50 {
                let path = format!("/r{round}-{n}");
                client.create(&path, path.as_bytes(), 0).ok();
            }
            server.kill();
            server.restart();
            let mut client = Client::connect(server.socket_addr());
            for earlier in 0..=round {
                for n in 0..50 {
                    let path = format!("/r{earlier}-{n}");
                    assert_eq!(client.data(&path), path.as_bytes());
                }
            }
        }
    });
}

#[test]
fn a_killed_server_accepts_nobody_after_its_end() {
    in_both_wirings(|config| {
        let mut server = start(config);
        for _ in 0..3 {
            let _idle = Client::connect(server.socket_addr());
            server.kill();
            // A client that reconnects at once would reach the old socket, and then get a reset.
            let again = TcpStream::connect(server.socket_addr());
            assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
            server.restart();
        }
    });
}

#[test]
fn clients_hear_of_the_end_of_a_killed_server_soon() {
    in_both_wirings(|config| {
        let mut server = start(config);
        let mut late: Vec<Duration> = Vec::new();
        for round in 0..4 {
            let mut clients: Vec<Session> = (0..20)
                .map(|_| Session::open(server.socket_addr(), 30_000).expect("a session"))
                .collect();
            server.kill();
            let killed = Instant::now();
            for client in &mut clients {
                let mut stream = client.connection().stream();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                match stream.read(&mut [0; 1]) {
                    Ok(0) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
                    other => panic!("round {round}: {other:?}"),
                }
            }
            late.push(killed.elapsed());
            server.restart();
        }
        late.sort();
        println!("the last of 20 clients heard of the end after {late:?}");
        // The kernel frees the ring a moment after the end of the process.
        assert!(late[0] < Duration::from_secs(1), "{late:?}");
    });
}

#[test]
fn sigterm_ends_the_server_within_a_second_and_loses_nothing() {
    in_both_wirings(|config| {
        let mut server = start(config);
        let mut client = Client::connect(server.socket_addr());
        client.create("/kept", b"yes", 0).ok();
        let idle: Vec<Client> = (0..20).map(|_| Client::connect(server.socket_addr())).collect();
        // Requests are in flight when the signal arrives.
        for _ in 0..200 {
            client.send(OpCode::SetData, &raw::set("/kept", b"still"));
        }
        let (status, took) = server.terminate(Duration::from_secs(10));
        assert_eq!(status.code(), Some(0), "{}", server.log_tail(20));
        assert!(took < Duration::from_secs(1), "{took:?}");
        drop(idle);
        server.restart();
        let mut client = Client::connect(server.socket_addr());
        let data = client.data("/kept");
        assert!(data == b"still" || data == b"yes");
    });
}

#[test]
fn the_first_start_is_told_in_lines_without_a_warning() {
    let server = start(Config::new());
    // Another thread than the serving one writes this line.
    let serving = format!("serving clients on 127.0.0.1:{}", server.port());
    let until = Instant::now() + Duration::from_secs(10);
    let log = loop {
        let log = server.log_tail(100);
        if log.contains(&serving) || Instant::now() > until {
            break log;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let line = |text: &str| {
        let found = log.lines().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no line with {text:?} in\n{log}"))
    };
    for text in
        [" starts, pid ", "configuration: ", "the data folder is empty: a new database begins"]
    {
        assert!(line(text).contains("INFO  [server=0 role=starting"), "{log}");
    }
    assert!(line(&serving).contains("INFO  [server=0 role=standalone"), "{log}");
    // There may be warnings about the machine, but none about the folder.
    let warned = |line: &str| line.contains("WARN") || line.contains("ERROR");
    let of_folder = log.lines().filter(|line| line.contains(" server::recover: "));
    assert!(!of_folder.clone().any(warned) && of_folder.count() == 2, "{log}");
}

#[test]
fn a_wrong_configuration_ends_with_code_2_and_all_its_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zoo.cfg");
    let data = folder.path().join("data");
    let lines = format!(
        "dataDir={}\nclientPort=99999999\n\ntickTime=fast\nsslQuorum=true\n",
        data.display()
    );
    std::fs::write(&file, lines).unwrap();
    let run = std::process::Command::new(binary()).arg("server").arg(&file).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    let said = String::from_utf8(run.stderr).unwrap();
    let name = file.display();
    for line in [
        format!("{name}:2: clientPort = 99999999: allowed: a whole number from 0 to 65535"),
        format!("{name}:4: tickTime = fast: allowed: a whole number from 1 to 2147483647 (ms)"),
        format!("{name}:5: sslQuorum = true: TLS between servers is not built yet"),
    ] {
        assert!(said.contains(&line), "{line}\n{said}");
    }
    assert!(!data.exists(), "nothing was begun");
}

#[test]
fn a_second_server_on_the_folder_refuses_and_names_the_first() {
    let first = start(Config::new());
    let config = Config::new().data_dir(first.data_dir());
    let mut second = Server::prepare(Program::Ringkeeper(binary().into()), config);
    let (status, said) = second.run_to_exit(PATIENCE);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(&format!("pid {}", first.pid())), "{said}");
}

#[test]
fn a_taken_port_is_said_and_not_shared() {
    let first = start(Config::new());
    for wiring in WIRINGS {
        let config = Config::new().line(wiring).port(first.port());
        let mut second = Server::prepare(Program::Ringkeeper(binary().into()), config);
        let (status, said) = second.run_to_exit(PATIENCE);
        assert_eq!(status.code(), Some(1));
        assert!(said.contains("cannot listen") && said.contains("clientPort"), "{said}");
    }
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

#[test]
fn many_sessions_write_at_once_beyond_the_outstanding_limit() {
    in_both_wirings(|config| {
        let server = start(config.line("globalOutstandingLimit=20"));
        let address = server.socket_addr();
        let clients: Vec<_> = (0..16)
            .map(|number| {
                std::thread::spawn(move || {
                    let mut client = Client::connect(address);
                    let path = format!("/c{number}");
                    client.create(&path, b"", 0).ok();
                    for _ in 0..20 {
                        for _ in 0..16 {
                            client.send(OpCode::SetData, &raw::set(&path, b"value"));
                        }
                        for _ in 0..16 {
                            client.receive().unwrap().ok();
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn a_closed_session_is_answered_and_then_the_connection_ends() {
    in_both_wirings(|config| {
        let server = start(config);
        let mut client = Client::connect(server.socket_addr());
        client.create("/ephemeral", b"", 1).ok();
        client.call(OpCode::CloseSession, &RequestBody::Empty).ok();
        assert!(client.receive().is_err());
        let mut other = Client::connect(server.socket_addr());
        assert_eq!(other.get("/ephemeral").header.err, -101);
    });
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Processor time that a process has used, in clock ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

const MANY: usize = 9_000;

#[test]
fn thousands_of_connections_storm_in_idle_cheaply_and_harm_nobody() {
    assert!(ringkeeper::runtime::raise_open_files() > MANY as u64 + 200, "the test needs files");
    in_both_wirings(|config| {
        let server = start(config.line("maxClientCnxns=0").line("maxSessionTimeout=60000"));
        let before = resident(server.pid());
        // All clients connect before the first one waits for an answer.
        let mut sockets: Vec<TcpStream> = (0..MANY).map(|_| dial(server.socket_addr())).collect();
        let hello = connect_frame(60_000);
        for socket in &mut sockets {
            socket.write_all(&hello).unwrap();
        }
        for socket in &mut sockets {
            assert_eq!(read_frame(socket).unwrap().len(), 37);
        }
        let each = (resident(server.pid()) - before) / MANY as u64;
        assert!(each <= 4096, "{each} bytes for each idle session");
        // Idle sessions use almost no processor time once the server has handled all connects, which takes a while on a
        // busy machine.
        let begun = Instant::now();
        loop {
            let started = ticks(server.pid());
            std::thread::sleep(Duration::from_secs(2));
            let used = ticks(server.pid()) - started;
            if used <= 20 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{used} ticks in 2 s for idle sessions");
        }
        let mut client = Client::connect_with(server.socket_addr(), 60_000);
        client.create("/served", b"", 0).ok();
        drop(sockets);
        client.set("/served", b"still").ok();
    });
}

#[test]
fn connections_that_send_nothing_harm_nobody() {
    in_both_wirings(|config| {
        let server = start(config.line("maxClientCnxns=0"));
        let silent: Vec<TcpStream> = (0..2_000).map(|_| dial(server.socket_addr())).collect();
        let mut client = Client::connect(server.socket_addr());
        for _ in 0..20 {
            client.ping();
        }
        drop(silent);
        client.ping();
    });
}

#[test]
fn running_out_of_descriptors_refuses_clients_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let limited = folder.path().join("limited");
    let script = format!("#!/bin/sh\nulimit -n 200\nexec '{}' \"$@\"\n", binary());
    std::fs::write(&limited, script).unwrap();
    std::fs::set_permissions(&limited, std::fs::Permissions::from_mode(0o755)).unwrap();
    in_both_wirings(|config| {
        // Snapshots and segments need descriptors while all these connections are open.
        let config = config.line("maxClientCnxns=0").line("snapCount=20").line("preAllocSize=64");
        let mut server = Server::ringkeeper(limited.clone(), config);
        let mut client = Client::connect(server.socket_addr());
        let crowd: Vec<TcpStream> = (0..300).map(|_| dial(server.socket_addr())).collect();
        for n in 0..100 {
            client.create(&format!("/written{n}"), b"in need", 0).ok();
        }
        server.wait_for_log("open files");
        drop(crowd);
        assert!(server.is_running());
        client.ping();
    });
}
