//! The start and the end of a server process: killed, stopped, refused, and started again.

use super::*;

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
        "dataDir={}\nclientPort=99999999\n\ntickTime=fast\nssl.ocsp=true\n",
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
        format!("{name}:5: ssl.ocsp = true: Java asks about each"),
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
