//! Clients set ever more watches, on paths as long as a request.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::request::{MultiOp, PathKind, RequestBody, SetDataRequest};
use ringkeeper_rawclient::{Body, Session, SessionError};
use ringkeeper_testkit::{Config, Ensemble, Server};

use crate::growth::{acl, show_user};
use crate::harness::{Bounds, Watched, alone, ensemble, program};
use crate::raw::{self, Client};

/// The bound on all watches of the server under test.
const WATCH_MEMORY: u64 = 16 << 20;
/// The same, the frames of the requests, and what the C library's allocator does not give back.
const GROWTH_MAX: u64 = WATCH_MEMORY + (48 << 20);
const QUOTA_EXCEEDED: i32 = -125;
const NO_NODE: i32 = -101;
/// Sessions of clients that only listen.
const PATIENT_MS: i32 = 60_000;

fn config() -> Config {
    Config::new()
        .line("maxClientCnxns=0")
        .line(&format!("maxSessionTimeout={PATIENT_MS}"))
        .line(&format!("ringkeeper.watchMemoryMax={WATCH_MEMORY}"))
}

/// The error of an exists with a watch, on a node that is not there.
fn watch(session: &mut Session, path: &str) -> i32 {
    match session.call(OpCode::Exists, &Body::path_watch(path, true)) {
        Err(SessionError::Refused(err)) => err,
        other => panic!("{other:?}"),
    }
}

/// 20 clients ask for 40 watches each, on missing nodes with names of 900 kB.
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
    // The server sets watches of a client with few of them while there is room, and always answers a read without a
    // watch.
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
        server.wait_for_log("refusing a watch: ");
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
        // No client library looks at the reply to setWatches. If the server refused with an error, a client that
        // comes back would miss events for ever.
        let mut back = Session::open(at, 30_000).unwrap();
        let names: Vec<String> = (0..101).map(|n| format!("/w{n}")).collect();
        let nothing: [&str; 0] = [];
        let body = Body::new().long(i64::MAX).texts(&nothing).texts(&names).texts(&nothing);
        // The answer may be lost with the connection, and the next request is lost.
        let _ = back.call(OpCode::SetWatches, &body);
        let gone = back.call(OpCode::Exists, &Body::path_watch("/", false));
        assert_eq!(gone.err(), Some(SessionError::Closed));
        "one more: QUOTAEXCEEDED; setWatches: closed".to_owned()
    });
}

/// Connects clients to the server `watchers`. They watch everything and read all events, while a writer at the
/// server `at` changes a node `changes` times, whose path has `path_bytes` bytes. Says how many clients got all
/// events.
fn watched_far_away(
    watchers: SocketAddr,
    at: SocketAddr,
    path_bytes: usize,
    changes: usize,
) -> String {
    const WATCHERS: usize = 50;
    let path = format!("/{}", "p".repeat(path_bytes - 1));
    let mut writer = Client::connect_with(at, PATIENT_MS);
    writer.create(&path, b"", 0);
    let readers: Vec<JoinHandle<bool>> = (0..WATCHERS)
        .map(|_| {
            let mut client = Client::connect_with(watchers, PATIENT_MS);
            let watch = PathKind { path: Some("/"), kind: 1 };
            client.call(OpCode::AddWatch, &RequestBody::PathKind(watch)).ok();
            std::thread::spawn(move || {
                // Each change is an event of at least `path_bytes` bytes.
                let wanted = changes * path_bytes;
                let (mut got, mut chunk) = (0, vec![0; 1 << 20]);
                while got < wanted {
                    match client.socket.read(&mut chunk) {
                        Ok(0) | Err(_) => return false,
                        Ok(bytes) => got += bytes,
                    }
                }
                true
            })
        })
        .collect();
    for _ in 0..changes / 50 {
        let set = raw::set(&path, b"x");
        let asked: Vec<u8> = (0..50).flat_map(|_| writer.frame(OpCode::SetData, &set)).collect();
        writer.socket.write_all(&asked).unwrap();
        for _ in 0..50 {
            assert_eq!(writer.receive().expect("an answer").header.err, 0);
        }
    }
    let told = readers.into_iter().filter_map(|reader| reader.join().ok()).filter(|told| *told);
    format!("{} of {WATCHERS} are told of everything", told.count())
}

/// A leader does not know the watches of its followers' clients.
#[test]
fn what_clients_of_a_follower_watch_cuts_it_off_from_no_leader() {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], config());
    let (leader, follower) = (ensemble.leader(), ensemble.followers()[0]);
    for (name, path_bytes, changes) in [
        ("50 clients of a follower watch 400 changes of a path of 60 kB", 60_000, 400),
        ("50 clients of a follower watch 5000 changes of a short path", 10, 5000),
    ] {
        let servers: Vec<&Server> = ensemble.ids().map(|id| ensemble.server(id)).collect();
        let watched = Watched::begin(&servers);
        let (watchers, at) = (ensemble.address(follower), ensemble.address(leader));
        let answer = watched_far_away(watchers, at, path_bytes, changes);
        // Writes of a follower's clients wait behind the transactions that the follower has to apply.
        let bounds = Bounds { wait: Duration::from_secs(3), memory: 256 << 20 };
        watched.end(name, &answer, bounds, &|| ensemble.tails(30));
        for id in ensemble.ids() {
            assert!(ensemble.server_mut(id).is_running(), "{name}: server {id} ended");
            let log = ensemble.server(id).log_tail(400);
            assert!(!log.contains("closing the connection of follower"), "{name}:\n{log}");
        }
        assert_eq!(ensemble.leader(), leader, "{name}: another leader");
    }
}

/// A multi that sets the node at `path` `count` times.
fn sets(path: &str, count: usize) -> RequestBody<'_> {
    let set = MultiOp::SetData(SetDataRequest { path: Some(path), data: Some(b""), version: -1 });
    RequestBody::Multi(vec![set; count])
}

/// Sends three multis of `operations` changes, one after the other, and says how many of the watchers the server has
/// closed.
fn changed(at: SocketAddr, watchers: &mut [Client], path: &str, operations: usize) -> String {
    let mut writer = Client::connect_with(at, PATIENT_MS);
    let multi = writer.frame(OpCode::Multi, &sets(path, operations));
    for _ in 0..3 {
        writer.socket.write_all(&multi).unwrap();
        assert_eq!(writer.receive().expect("an answer").header.err, 0);
    }
    let is_closed = |watcher: &mut Client| {
        watcher.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut chunk = [0; 1 << 16];
        loop {
            match watcher.socket.read(&mut chunk) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => {
                    return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                }
            }
        }
    };
    let closed = watchers.iter_mut().map(is_closed).filter(|closed| *closed).count();
    format!("done, {closed} of {} watchers closed", watchers.len())
}

/// For each change, the server looks for watches on every level of the path, and clients watch on every level.
#[test]
fn recursive_watches_on_every_level_hold_no_server_and_cost_no_leader() {
    const LEVELS: usize = 60;
    let attack = |at: SocketAddr| {
        let mut owner = Client::connect_with(at, PATIENT_MS);
        let level = |levels: usize| "/a".repeat(levels);
        for levels in 1..=LEVELS {
            let _ = owner.create(&level(levels), b"", 0);
        }
        let mut watchers: Vec<Client> =
            (0..NESTED).map(|_| Client::connect_with(at, PATIENT_MS)).collect();
        for watcher in &mut watchers {
            let asked: Vec<u8> = (1..=LEVELS)
                .flat_map(|levels| {
                    let path = level(levels);
                    let kind = PathKind { path: Some(&path), kind: 1 };
                    watcher.frame(OpCode::AddWatch, &RequestBody::PathKind(kind))
                })
                .collect();
            watcher.socket.write_all(&asked).unwrap();
            for _ in 1..=LEVELS {
                assert_eq!(watcher.receive().expect("an answer").header.err, 0);
            }
        }
        changed(at, &mut watchers, &level(LEVELS), 3000)
    };
    let name = format!("{NESTED} clients watch 60 levels, 3 multis of 3000 changes below");
    // A multi is applied whole, and its firings with it: some tenths of a second at most.
    let bounds = Bounds { wait: Duration::from_millis(300), memory: 256 << 20 };
    alone(&name, config(), bounds, attack);
    ensemble(&name, &config(), bounds, attack);
}

#[test]
fn a_recursive_watch_far_down_is_refused() {
    alone("a recursive watch on level 65", config(), Bounds::memory(GROWTH_MAX), |at| {
        let mut client = Client::connect_with(at, PATIENT_MS);
        let mut ask = |levels: usize, kind: i32| {
            let path = "/a".repeat(levels);
            let watch = PathKind { path: Some(&path), kind };
            client.call(OpCode::AddWatch, &RequestBody::PathKind(watch)).header.err
        };
        assert_eq!((ask(64, 1), ask(65, 0), ask(65, 1)), (0, 0, QUOTA_EXCEEDED));
        "QUOTAEXCEEDED; on level 64, and one that is not recursive: set".to_owned()
    });
}

/// Watchers on many levels, watchers with many names, and changes that they watch: a build without optimisation takes
/// twenty times as long.
const NESTED: usize = if cfg!(debug_assertions) { 60 } else { 300 };
const NAMED: usize = if cfg!(debug_assertions) { 20 } else { 150 };
const NAMED_CHANGES: usize = if cfg!(debug_assertions) { 500 } else { 9000 };

/// With each change, the server looks for every name of every watcher in a long ACL.
#[test]
fn names_of_watchers_times_entries_hold_no_server_and_cost_no_leader() {
    let attack = |at: SocketAddr| {
        let mut owner = Client::connect_with(at, PATIENT_MS);
        let digests: Vec<String> = (0..1000).map(|n| format!("n{n}:{n:027}=")).collect();
        // Everybody may change the node, and only the named users may read it.
        let list = acl(1000, |n| match n {
            0 => AclEntry { perms: 30, id: Id { scheme: Some("world"), id: Some("anyone") } },
            n => AclEntry { perms: 1, id: Id { scheme: Some("digest"), id: Some(&digests[n]) } },
        });
        let made = raw::create("/long-list", b"", &list, 0);
        let _ = owner.call(OpCode::Create, &made);
        let mut watchers: Vec<Client> =
            (0..NAMED).map(|_| Client::connect_with(at, PATIENT_MS)).collect();
        for (number, watcher) in watchers.iter_mut().enumerate() {
            for name in 0..60 {
                assert_eq!(show_user(watcher, &format!("w{number}-{name}")).unwrap(), 0);
            }
            let kind = PathKind { path: Some("/long-list"), kind: 1 };
            watcher.call(OpCode::AddWatch, &RequestBody::PathKind(kind)).ok();
        }
        changed(at, &mut watchers, "/long-list", NAMED_CHANGES)
    };
    let name = format!(
        "{NAMED} watchers of 60 names each, a list of 1000, 3 multis of {NAMED_CHANGES} changes"
    );
    let bounds = Bounds { wait: Duration::from_millis(300), memory: 256 << 20 };
    alone(&name, config(), bounds, attack);
    ensemble(&name, &config(), bounds, attack);
}
