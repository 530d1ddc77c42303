//! Clients send as many slow requests as they may. Neither one such request nor many of them delay other clients beyond
//! a bound, or cost an ensemble its leader.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::Zxid;
use ringkeeper::jute::VectorBuf;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::request::{
    MultiOp, PathRequest, PathVersion, PathWatch, RequestBody, SetDataRequest, SetWatchesRequest,
};
use ringkeeper_testkit::Config;

use crate::counts::fill;
use crate::harness::{Bounds, alone, ensemble};
use crate::raw::{self, Client};

/// How far the lists and trees of these attacks may make memory grow, in bytes.
const GROWTH_MAX: u64 = 256 << 20;

/// The longest wait for a list of 4000 names. Each request of the other clients takes as long or longer, and the
/// list's turn comes after one request of each kind.
const LIST_WAIT_MAX: Duration = Duration::from_secs(5);

/// The session timeout of the attacking clients. They ask for everything at once and are silent until the answers
/// come, which on a busy machine takes longer than the usual timeout.
const PATIENT_MS: i32 = 60_000;

fn config() -> Config {
    Config::new().line("maxClientCnxns=0").line("maxSessionTimeout=60000")
}

fn everywhere(name: &str, attack: impl Fn(SocketAddr) -> String + Sync) {
    alone(name, config(), Bounds::memory(GROWTH_MAX), &attack);
    ensemble(name, &config(), Bounds::memory(GROWTH_MAX), &attack);
}

/// Lets several clients send the same request `times` times each, all at once; says how many of the answers were
/// good.
fn storm(
    at: SocketAddr,
    clients: usize,
    times: usize,
    ask: impl Fn(&mut Client) -> Vec<u8>,
) -> String {
    let mut clients: Vec<Client> =
        (0..clients).map(|_| Client::connect_with(at, PATIENT_MS)).collect();
    let patience = Some(Duration::from_millis(u64::try_from(PATIENT_MS).unwrap()));
    clients.iter().for_each(|client| client.socket.set_read_timeout(patience).unwrap());
    let writers: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let asked: Vec<u8> = (0..times).flat_map(|_| ask(client)).collect();
            let mut socket: TcpStream = client.socket.try_clone().unwrap();
            std::thread::spawn(move || socket.write_all(&asked).unwrap())
        })
        .collect();
    let (mut good, mut all) = (0, 0);
    for client in &mut clients {
        for _ in 0..times {
            let reply = client.receive().expect("an answer");
            good += u32::from(reply.header.err == 0);
            all += 1;
        }
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    format!("{good} of {all} done")
}

/// Multis of each client. A build without optimisation takes a minute for as many multis as an optimised one does in
/// a second.
const MULTIS: usize = if cfg!(debug_assertions) { 2 } else { 5 };
/// Clients with multis that change much.
const CHANGERS: usize = if cfg!(debug_assertions) { 15 } else { 50 };

/// A multi of `count` checks of the root.
fn checks(client: &mut Client, count: usize) -> Vec<u8> {
    let check = MultiOp::Check(PathVersion { path: Some("/"), version: -1 });
    client.frame(OpCode::Multi, &RequestBody::Multi(vec![check; count]))
}

#[test]
fn multis_of_as_many_operations_as_may_be_let_others_work() {
    everywhere(&format!("20 clients with {MULTIS} multis of 10 000 operations each"), |at| {
        storm(at, 20, MULTIS, |client| checks(client, 10_000))
    });
}

/// Runs an attack while a client reads a list of 4000 names without a pause. A client that asks for much must not
/// wait for all clients that ask for more.
fn beside_lists(at: SocketAddr, attack: impl FnOnce() -> String) -> String {
    let mut reader = Client::connect_with(at, PATIENT_MS);
    if reader.create("/listed", b"", 0).header.err == 0 {
        fill(&mut reader, "/listed", 4000, 0);
    }
    let over = AtomicBool::new(false);
    let (answer, longest) = std::thread::scope(|scope| {
        let lists = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                reader.call(OpCode::GetChildren, &raw::get("/listed", false)).ok();
                longest = longest.max(begun.elapsed());
            }
            longest
        });
        let answer = attack();
        over.store(true, Ordering::Relaxed);
        (answer, lists.join().unwrap())
    });
    assert!(longest < LIST_WAIT_MAX, "a list of 4000 names took {longest:?}");
    format!("{answer}; a list took {:.0} ms at most", longest.as_secs_f64() * 1e3)
}

#[test]
fn multis_that_change_much_let_others_work() {
    let name = format!("{CHANGERS} clients with {MULTIS} multis of 9900 setData each");
    everywhere(&name, |at| {
        let mut owner = Client::connect_with(at, PATIENT_MS);
        let _ = owner.create("/changed", b"", 0);
        let change =
            SetDataRequest { path: Some("/changed"), data: Some(b"ten bytes."), version: -1 };
        let all = RequestBody::Multi(vec![MultiOp::SetData(change); 9900]);
        beside_lists(at, || storm(at, CHANGERS, MULTIS, |client| client.frame(OpCode::Multi, &all)))
    });
}

#[test]
fn writes_of_long_values_let_others_work() {
    let name = format!("40 clients with {MULTIS} writes of 900 kB each");
    everywhere(&name, |at| {
        let mut owner = Client::connect_with(at, PATIENT_MS);
        let _ = owner.create("/long", b"", 0);
        let data = vec![b'v'; 900_000];
        let write = raw::set("/long", &data);
        beside_lists(at, || storm(at, 40, MULTIS, |client| client.frame(OpCode::SetData, &write)))
    });
}

#[test]
fn multis_of_a_full_frame_are_refused() {
    everywhere(&format!("20 clients with {MULTIS} multis of 50 000 operations each"), |at| {
        let mut client = Client::connect(at);
        let frame = checks(&mut client, 50_000);
        client.socket.write_all(&frame).unwrap();
        let refused = client.receive().expect("an answer");
        assert_eq!(refused.header.err, ErrorCode::BadArguments.code());
        storm(at, 20, MULTIS, |client| checks(client, 50_000))
    });
}

#[test]
fn long_lists_of_children_let_others_work() {
    everywhere("10 clients ask for 200 000 children 3 times each", |at| {
        let mut owner = Client::connect_with(at, PATIENT_MS);
        if owner.create("/many", b"", 0).header.err == 0 {
            fill(&mut owner, "/many", 200_000, 0);
        }
        storm(at, 10, 3, |client| client.frame(OpCode::GetChildren, &raw::get("/many", false)))
    });
}

#[test]
fn lists_of_children_of_a_multi_read_are_bounded() {
    everywhere("10 clients ask for 30 000 × 20 000 children", |at| {
        let mut owner = Client::connect_with(at, PATIENT_MS);
        if owner.create("/some", b"", 0).header.err == 0 {
            fill(&mut owner, "/some", 20_000, 0);
        }
        let part = MultiOp::GetChildren(PathWatch { path: Some("/some"), watch: false });
        storm(at, 10, 1, |client| {
            client.frame(OpCode::MultiRead, &RequestBody::Multi(vec![part; 30_000]))
        })
    });
}

#[test]
fn watches_that_are_set_again_let_others_work() {
    everywhere("5 clients set 30 000 watches again", |at| {
        let paths: Vec<String> = (0..30_000).map(|n| format!("/none/{n}")).collect();
        let mut exist = VectorBuf::<Option<&str>>::default();
        paths.iter().for_each(|path| exist.push(&Some(path.as_str())));
        let none = VectorBuf::<Option<&str>>::default();
        storm(at, 5, 1, |client| {
            let request = SetWatchesRequest {
                relative_zxid: Zxid(i64::MAX),
                data: none.as_vector(),
                exist: exist.as_vector(),
                child: none.as_vector(),
                persistent: none.as_vector(),
                persistent_recursive: none.as_vector(),
            };
            client.frame(OpCode::SetWatches, &RequestBody::SetWatches(request))
        })
    });
}

#[test]
fn sessions_with_many_ephemeral_nodes_end_beside_others() {
    everywhere("5 sessions with 20 000 ephemeral nodes each are listed and end", |at| {
        let mut clients: Vec<Client> =
            (0..5).map(|_| Client::connect_with(at, PATIENT_MS)).collect();
        for client in &mut clients {
            let parent = client.create("/e-", b"", 2).ok();
            let parent = String::from_utf8(parent.body[4..].to_vec()).unwrap();
            fill(client, &parent, 20_000, 1);
            let refused = client.create(&format!("{parent}/more"), b"", 1);
            assert_eq!(refused.header.err, ErrorCode::QuotaExceeded.code());
        }
        for client in &mut clients {
            let all = RequestBody::Path(PathRequest { path: Some("/") });
            client.send(OpCode::GetEphemerals, &all);
            client.send(OpCode::CloseSession, &RequestBody::Empty);
        }
        for client in &mut clients {
            client.receive().expect("the list").ok();
            client.receive().expect("the end").ok();
        }
        "done".to_owned()
    });
}

#[test]
fn small_requests_by_the_thousand_let_others_work() {
    everywhere("50 clients with 20 000 reads each at once", |at| {
        storm(at, 50, 20_000, |client| client.frame(OpCode::Exists, &raw::get("/", false)))
    });
}

#[test]
fn words_that_tell_of_everything_let_others_work() {
    let config = config().line("4lw.commands.whitelist=*");
    let name = "40 times cons, stat, dump, wchc, wchp beside 2000 sessions and 50 000 watches";
    alone(name, config, Bounds::memory(GROWTH_MAX), |at| {
        let clients: Vec<Client> =
            (0..2000).map(|_| Client::connect_with(at, PATIENT_MS)).collect();
        let mut watcher = Client::connect_with(at, PATIENT_MS);
        for number in 0..50_000 {
            let path = format!("/watched-{number}");
            watcher.send(OpCode::Exists, &raw::get(&path, true));
            if number % 100 == 99 {
                (0..100).for_each(|_| _ = watcher.receive().expect("an answer"));
            }
        }
        let mut bytes = 0;
        for _ in 0..8 {
            let asking = ["cons", "stat", "dump", "wchc", "wchp"].map(|word| {
                let mut socket = raw::dial(at);
                socket.write_all(word.as_bytes()).unwrap();
                socket
            });
            for mut socket in asking {
                let mut answer = Vec::new();
                socket.read_to_end(&mut answer).unwrap();
                bytes += answer.len();
            }
        }
        assert_eq!(clients.len(), 2000);
        format!("{bytes} bytes")
    });
}
