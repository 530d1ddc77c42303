//! Clients that ask for more than they should get, or ask in ways that other servers misread.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::Server;

use super::http::{all, connect, get, parse, raw, request};
use super::{
    TIMEOUT_MS, admin_port, binary, in_the_recorded_state, json, metrics_port, with_ports,
};

#[test]
fn only_get_and_head_are_answered() {
    let (server, _client) = in_the_recorded_state();
    let port = admin_port(&server);
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "BREW"] {
        for path in ["/commands/stat_reset", "/commands/snapshot", "/health/live"] {
            let answer = request(port, method, path);
            assert!([400, 405, 501].contains(&answer.status), "{method} {path}: {}", answer.status);
        }
    }
    // Nothing was reset.
    assert_ne!(json(&get(port, "/commands/monitor").body)["packets_received"], 0);
    assert_eq!(request(port, "HEAD", "/commands/ruok").body, "");
}

#[test]
fn no_path_leads_out_of_the_commands() {
    let (server, _client) = in_the_recorded_state();
    let port = admin_port(&server);
    for path in [
        "/commands/../health/live/x",
        "/commands/..%2f..%2fetc/passwd",
        "/commands/%2e%2e/%2e%2e/etc/passwd",
        "//commands//ruok",
        "/commands/ruok/extra",
        "/COMMANDS/ruok",
        "/commands;/ruok",
        "/.",
    ] {
        assert_eq!(get(port, path).status, 404, "{path}");
    }
    // A name is shown as text, whatever it is.
    let strange = get(port, "/commands/%3Cscript%3Ealert(1)%3C%2Fscript%3E%0d%0aSet-Cookie:%20a=b");
    assert_eq!(strange.status, 200);
    assert_eq!(strange.header("content-type"), Some("application/json"));
    assert_eq!(strange.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(strange.header("set-cookie"), None);
    assert!(
        json(&strange.body)["error"].as_str().unwrap().starts_with("Unknown command: <script>")
    );
    let no_text = get(port, "/commands/%ff%fe");
    assert!([200, 400].contains(&no_text.status), "{}", no_text.status);
    assert_eq!(
        raw(port, b"GET /commands/\xff HTTP/1.1\r\nHost: x\r\n\r\n").lines().next(),
        Some("HTTP/1.1 400 Bad Request")
    );
}

#[test]
fn a_request_that_hides_another_is_not_taken_for_two() {
    let (server, _client) = in_the_recorded_state();
    let port = admin_port(&server);
    let hidden = "GET /commands/stat_reset HTTP/1.1\r\nHost: x\r\n\r\n";
    let before = json(&get(port, "/commands/monitor").body)["packets_received"].clone();
    for head in [
        format!("Content-Length: {}\r\nContent-Length: 0\r\n", hidden.len()),
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len()),
        format!("Content-Length: {}, {}\r\n", hidden.len(), 0),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        format!("Content-Length : {}\r\n", hidden.len()),
        format!("Content-Length: {}\r\n", hidden.len()),
    ] {
        let text = format!("GET /commands/ruok HTTP/1.1\r\nHost: x\r\n{head}\r\n{hidden}");
        let answer = raw(port, text.as_bytes());
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{head}: {answers} answers:\n{answer}");
    }
    assert_eq!(json(&get(port, "/commands/monitor").body)["packets_received"], before);
}

#[test]
fn heads_are_bounded_in_bytes_and_number_and_time() {
    let config = with_ports().line("admin.idleTimeout=1000");
    let server = Server::ringkeeper(binary(), config);
    let port = admin_port(&server);
    let long =
        format!("GET /commands/ruok HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!(raw(port, long.as_bytes()).starts_with("HTTP/1.1 431 "));
    let path = format!("GET /commands/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(64 * 1024));
    assert!(raw(port, path.as_bytes()).starts_with("HTTP/1.1 4"));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert!(raw(port, many.as_bytes()).starts_with("HTTP/1.1 431 "));
    // A head that does not end: the connection does.
    let begun = Instant::now();
    let mut slow = connect(port);
    slow.write_all(b"GET /commands/ruok HTTP/1.1\r\nHost: x\r\n").unwrap();
    let said = all(&mut slow);
    assert!(begun.elapsed() < Duration::from_secs(20), "it is not waited for");
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    // And one that says nothing.
    let begun = Instant::now();
    assert_eq!(all(&mut connect(port)), "");
    assert!(begun.elapsed() < Duration::from_secs(20), "it is not waited for");
}

#[test]
fn whoever_takes_all_places_of_an_address_keeps_no_client_of_the_server_out() {
    let (server, mut client) = in_the_recorded_state();
    let port = admin_port(&server);
    let taken: Vec<TcpStream> = (0..200).map(|_| connect(port)).collect();
    for _ in 0..100 {
        client.get_data("/a", false).unwrap();
    }
    Session::open(server.socket_addr(), TIMEOUT_MS).unwrap();
    drop(taken);
    let patience = Instant::now() + Duration::from_secs(20);
    let answers = || {
        let mut stream = connect(port);
        stream
            .write_all(b"GET /commands/ruok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .ok()?;
        Some(all(&mut stream)).filter(|text| !text.is_empty())
    };
    let answer = loop {
        if let Some(answer) = answers() {
            break answer;
        }
        assert!(Instant::now() < patience, "the places do not come back");
    };
    assert_eq!(parse(&answer).status, 200);
}

#[test]
fn slow_readers_and_many_scrapes_leave_clients_alone() {
    let (server, mut client) = in_the_recorded_state();
    for number in 0..500 {
        client
            .create(&format!("/watched-{number}-{}", "x".repeat(1000)), Some(b""), OPEN_ACL, 0)
            .unwrap();
        client.get_data(&format!("/watched-{number}-{}", "x".repeat(1000)), true).unwrap();
    }
    let (admin, metrics) = (admin_port(&server), metrics_port(&server));
    // They ask for half a megabyte each, and read a byte of it.
    let slow: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut stream = connect(admin);
            stream.write_all(b"GET /commands/watches HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        assert_eq!(get(metrics, "/metrics").status, 200);
        let begun = Instant::now();
        client.set_data("/a", Some(b"y"), -1).unwrap();
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    // Those who ask for little are answered beside them.
    assert_eq!(get(admin, "/commands/server_stats").status, 200);
    drop(slow);
    let watches = get(admin, "/commands/watches");
    assert_eq!(watches.status, 200);
    assert!(watches.body.len() > 500_000, "{}", watches.body.len());
}
