//! Many sessions and connections at once, up to the limit on open files.

use super::*;

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
