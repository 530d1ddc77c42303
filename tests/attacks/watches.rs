//! Clients that set watches without an end, on paths as long as a request.

use std::net::SocketAddr;

use ringkeeper::proto::OpCode;
use ringkeeper_rawclient::{Body, Session, SessionError};
use ringkeeper_testkit::Config;

use crate::harness::{Bounds, alone, ensemble};

/// What all watches of the server under test may take.
const WATCH_MEMORY: u64 = 16 << 20;
/// The same, the frames of the requests, and what the C library's allocator does not give back.
const GROWTH_MAX: u64 = WATCH_MEMORY + (48 << 20);
const QUOTA_EXCEEDED: i32 = -125;
const NO_NODE: i32 = -101;

fn config() -> Config {
    Config::new()
        .line("maxClientCnxns=0")
        .line(&format!("ringkeeper.watchMemoryMax={WATCH_MEMORY}"))
}

/// The error of an exists with a watch, on a node that is not there.
fn watch(session: &mut Session, path: &str) -> i32 {
    match session.call(OpCode::Exists, &Body::path_watch(path, true)) {
        Err(SessionError::Refused(err)) => err,
        other => panic!("{other:?}"),
    }
}

/// 20 clients ask for 40 watches each, on nodes that are not there and have names of 900 kB.
fn long_paths(at: SocketAddr) -> String {
    let mut sessions: Vec<Session> = (0..20).map(|_| Session::open(at, 30_000).unwrap()).collect();
    let (mut set, mut refused) = (0, 0);
    for round in 0..40 {
        for (owner, session) in sessions.iter_mut().enumerate() {
            let path = format!("/{owner}-{round}-{}", "x".repeat(900_000));
            match watch(session, &path) {
                NO_NODE => set += 1,
                QUOTA_EXCEEDED => refused += 1,
                other => panic!("{other}"),
            }
        }
    }
    // Whoever has few is served while there is room, and a read without a watch always.
    assert!(sessions[0].exists("/", false).unwrap().is_some());
    assert!((10..=18).contains(&set), "{set} of 900 kB in 16 MiB");
    for session in sessions {
        session.close().unwrap();
    }
    format!("{set} set, {refused} refused with QUOTAEXCEEDED")
}

#[test]
fn watches_stay_within_their_memory() {
    for cores in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        let name = format!("20 clients set 40 watches of 900 kB, {cores}");
        let server = alone(&name, config().line(cores), Bounds::memory(GROWTH_MAX), long_paths);
        let mntr = server.four_letter("mntr");
        let value = |name: &str| -> u64 {
            let line = mntr.lines().find_map(|line| line.strip_prefix(&format!("zk_{name}\t")));
            line.unwrap_or_else(|| panic!("{name} in {mntr}")).parse().unwrap()
        };
        assert!(value("watches_refused") > 700);
        assert_eq!(value("watch_memory_bytes_max"), WATCH_MEMORY);
        assert_eq!(value("watch_memory_bytes"), 0, "they went with their connections");
        assert!(server.log_tail(200).contains("refusing a watch"));
    }
}

#[test]
fn watches_cost_no_leader() {
    ensemble(
        "20 clients set 40 watches of 900 kB",
        &config(),
        Bounds::memory(GROWTH_MAX),
        long_paths,
    );
}

#[test]
fn who_takes_up_more_watches_than_fit_is_sent_away_and_one_who_has_many_is_refused_one_more() {
    let config = config().line("ringkeeper.watchesPerConnectionMax=100");
    alone("101 watches, then setWatches of 101", config, Bounds::memory(GROWTH_MAX), |at| {
        let mut session = Session::open(at, 30_000).unwrap();
        let mut ask = |n: usize| watch(&mut session, &format!("/w{n}"));
        let errors: Vec<i32> = (0..101).map(&mut ask).collect();
        assert!(errors[..100].iter().all(|err| *err == NO_NODE), "{errors:?}");
        assert_eq!(errors[100], QUOTA_EXCEEDED);
        assert_eq!(ask(5), NO_NODE, "what is there is set again");
        // Nobody looks at the reply to this one: a client that comes back would miss events for ever.
        let mut back = Session::open(at, 30_000).unwrap();
        let names: Vec<String> = (0..101).map(|n| format!("/w{n}")).collect();
        let nothing: [&str; 0] = [];
        let body = Body::new().long(i64::MAX).texts(&nothing).texts(&names).texts(&nothing);
        // The answer may be lost with the connection; the next request is.
        let _ = back.call(OpCode::SetWatches, &body);
        let gone = back.call(OpCode::Exists, &Body::path_watch("/", false));
        assert_eq!(gone.err(), Some(SessionError::Closed));
        "one more: QUOTAEXCEEDED; setWatches: closed".to_owned()
    });
}
