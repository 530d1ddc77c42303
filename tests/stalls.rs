//! A server that stalls reports the stall and its cause in the log and in `mntr`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod raw;

use std::time::{Duration, Instant};

use raw::{Client, PATIENCE};
use ringkeeper::proto::OpCode;
use ringkeeper_rawclient::{Body, OPEN_ACL, Session};
use ringkeeper_testkit::{Config, Server};

/// One executor for everything; and two session cores beside a replica core.
const WIRINGS: [&str; 2] = ["ringkeeper.cores=1", "ringkeeper.cores=3"];

fn start(config: Config) -> Server {
    Server::ringkeeper(env!("CARGO_BIN_EXE_ringkeeper"), config.line("ringkeeper.logLevel=debug"))
}

/// The value of a metric.
fn metric(server: &Server, name: &str) -> u64 {
    value(&server.four_letter("mntr"), name)
}

fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("zk_{name}\t")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

/// Lines of the log about stalls with this cause.
fn lines(server: &Server, cause: &str) -> usize {
    let log = std::fs::read_to_string(server.log_file()).unwrap();
    log.lines()
        .filter(|line| line.contains("nobody was served for ") && line.contains(cause))
        .count()
}

fn until(what: &str, server: &Server, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not seen: {what}\n{}", server.log_tail(50));
    }
}

#[test]
fn a_process_that_is_stopped_under_load_says_that_the_system_held_it_off() {
    for wiring in WIRINGS {
        let server = start(Config::new().line(wiring));
        let mut client = Client::connect(server.socket_addr());
        // A server that has been idle for a while does not notice a stop, so the test repeats it. Each stop is twice
        // as long as the last one, so that the log has a line about it at once, whatever stalls came before.
        let mut stop = Duration::from_millis(100);
        until("a stop in mntr, and a line that says why", &server, || {
            let frame = client.frame(OpCode::GetData, &raw::get("/", false));
            for _ in 0..100 {
                std::io::Write::write_all(&mut client.socket, &frame).unwrap();
            }
            server.pause();
            // The length of the stop is what the test is about.
            std::thread::sleep(stop);
            server.resume();
            for _ in 0..100 {
                client.receive().unwrap();
            }
            let held = metric(&server, "stalls_held_off");
            let counted = held > 0 && metric(&server, "max_stall_time_ms") >= 80;
            stop *= 2;
            counted && lines(&server, "this process was stopped") > 0
        });
    }
}

#[test]
fn a_request_that_takes_long_is_the_servers_own_work() {
    for wiring in WIRINGS {
        let server = start(Config::new().line(wiring).line("jute.maxbuffer=67108864"));
        let mut session = Session::open(server.socket_addr(), 30_000).unwrap();
        // On any machine, a load that doubles takes long enough in the end.
        let (mut round, mut count) = (0, 500);
        until("its own work in the log", &server, || {
            let create = |n| Body::create(&format!("/{round}-{n}"), Some(b"x"), OPEN_ACL, 0);
            let number = OpCode::Create.number();
            let multi = (0..count).fold(Body::new(), |body, n| body.multi_op(number, &create(n)));
            session.call(OpCode::Multi, &multi.multi_end()).unwrap();
            (round, count) = (round + 1, (count * 2).min(200_000));
            lines(&server, "this process was at work") > 0
        });
        // One answer for all values: between two answers the server may stall again.
        let text = server.four_letter("mntr");
        let (all, held_off) = (value(&text, "cnt_stall_time_ms"), value(&text, "stalls_held_off"));
        assert!(all > held_off, "one was its own: {all} {held_off}");
    }
}

/// The next turn may begin long afterwards, and must not count the time before it.
#[test]
fn the_summary_of_a_signal_is_no_beginning_of_a_stall() {
    const IDLE: Duration = Duration::from_secs(3);
    for wiring in WIRINGS {
        let server = start(Config::new().line(wiring));
        let mut session = Session::open(server.socket_addr(), 30_000).unwrap();
        // Longer than the work that a turn leaves for the next one.
        std::thread::sleep(IDLE / 3);
        server.ask_for_summary();
        until("the summary", &server, || {
            let log = std::fs::read_to_string(server.log_file()).unwrap();
            log.contains("state: log writes in flight")
        });
        // The length of the idle time is what the test is about.
        std::thread::sleep(IDLE);
        session.create("/a", None, OPEN_ACL, 0).unwrap();
        let text = server.four_letter("mntr");
        for name in ["max_latency", "max_stall_time_ms"] {
            let ms = value(&text, name);
            assert!(u128::from(ms) < IDLE.as_millis() * 2 / 3, "{name}: {ms}");
        }
    }
}

#[test]
fn a_server_that_is_told_not_to_look_counts_nothing() {
    let server = start(Config::new().line("ringkeeper.stallMillis=0"));
    let mut client = Client::connect(server.socket_addr());
    for _ in 0..3 {
        server.pause();
        server.resume();
        client.get("/").ok();
    }
    assert_eq!(metric(&server, "cnt_stall_time_ms"), 0);
    assert_eq!(lines(&server, ""), 0);
}
