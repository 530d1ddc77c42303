//! Rounds of load and `kill -9` on one folder: afterwards no acknowledged write may be missing.
//!
//! The server makes snapshots and log segments all the time (small `snapCount`, small `preAllocSize`), so many kills
//! interrupt one. In some rounds the server is killed again while it recovers. A test run has 20 rounds;
//! `RINGKEEPER_CRASH_ROUNDS=200` makes more. A seed determines the moments of the kills, but not what the server is
//! doing at those moments, so no two runs are equal.
//!
//! `RINGKEEPER_TEST_PEER=java` tests Apache ZooKeeper instead, to check the test itself.

mod history;
mod worker;

use std::env;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringkeeper_rawclient::{OPEN_ACL, Session, Tree, dump};
use ringkeeper_testkit::{Config, Program, Server};

use crate::history::{Names, State};
use crate::worker::{Report, SEQUENCE, Worker, is_no_node};

const WORKERS: usize = 3;
const ROUNDS: usize = 20;
const LOAD_MS_MAX: usize = 900;
const RECOVERY_MS_MAX: usize = 700;
/// The timeout of the session that no client resumes after the crash.
const ABANDONED_TIMEOUT_MS: i32 = 600;
const EXPIRY_LIMIT: Duration = Duration::from_secs(20);

/// Random numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound).expect("64 bits")).expect("below a usize")
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = number_from("RINGKEEPER_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let seed = number_from("RINGKEEPER_CRASH_SEED").unwrap_or_else(clock_seed);
    println!("seed {seed}");
    let mut random = Random(u64::try_from(seed).expect("64 bits"));
    let mut server = Server::start(program(), config());
    let mut crash = Crash::new(&server);
    for round in 0..rounds {
        let (reports, abandoned) = crash.round(&mut server, &mut random);
        if random.below(3) == 0 {
            server.spawn();
            thread::sleep(Duration::from_millis(random.below(RECOVERY_MS_MAX) as u64));
            server.kill();
        }
        server.restart();
        let summary = crash.check(server.socket_addr(), &reports, &abandoned);
        println!("round {round}: {summary}");
    }
}

fn program() -> Program {
    match env::var("RINGKEEPER_TEST_PEER").as_deref() {
        Ok("java") => Program::ZooKeeper39,
        Ok(binary) => Program::Ringkeeper(binary.into()),
        Err(_) => Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into()),
    }
}

fn config() -> Config {
    Config::new()
        .line("tickTime=200")
        .line("maxSessionTimeout=600000")
        .line("maxClientCnxns=0")
        .line("snapCount=400")
        .line("preAllocSize=64")
}

fn number_from(variable: &str) -> Option<usize> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: expected a number")))
}

fn clock_seed() -> usize {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    usize::try_from(since.as_millis()).expect("64 bits")
}

/// Everything that must survive from round to round.
struct Crash {
    workers: Vec<Worker>,
    names: Names,
    zxid: i64,
    rounds: usize,
}

impl Crash {
    fn new(server: &Server) -> Self {
        let mut session = Session::open(server.socket_addr(), 10_000).expect("a session");
        for path in ["/crash", "/crash/seq", "/crash/eph", "/abandoned"] {
            session.create(path, None, OPEN_ACL, 0).expect("an empty folder");
        }
        let address = server.socket_addr();
        let workers = (0..WORKERS).map(|number| Worker::new(number, address)).collect();
        Crash { workers, names: Names::default(), zxid: 0, rounds: 0 }
    }

    /// Runs the load until the server is killed. Returns what the workers know, and the node of the session that no
    /// client resumes.
    fn round(&mut self, server: &mut Server, random: &mut Random) -> (Vec<Report>, String) {
        let address = server.socket_addr();
        self.rounds += 1;
        // Outside of the compared nodes, because the server removes it by itself.
        let abandoned = format!("/abandoned/{}", self.rounds);
        let mut short = Session::open(address, ABANDONED_TIMEOUT_MS).expect("a session");
        short.create(&abandoned, None, OPEN_ACL, 1).expect("an ephemeral node");
        let load = Duration::from_millis(20 + random.below(LOAD_MS_MAX) as u64);
        let reports = thread::scope(|scope| {
            let threads: Vec<_> = self
                .workers
                .iter_mut()
                .map(|worker| {
                    let mut random = Random(random.below(usize::MAX) as u64);
                    scope.spawn(move || worker.round(address, &mut random))
                })
                .collect();
            let end = Instant::now() + load;
            while Instant::now() < end {
                // On a slow machine the session may expire early, which does not matter.
                let _ = short.ping();
                thread::sleep(Duration::from_millis(10));
            }
            server.kill();
            threads.into_iter().map(|thread| thread.join().expect("a worker's report")).collect()
        });
        (reports, abandoned)
    }

    /// Compares the state with what the workers know, and resumes their sessions.
    fn check(&mut self, server: SocketAddr, reports: &[Report], abandoned: &str) -> String {
        let mut session = Session::open(server, 10_000).expect("a session");
        let zxid = session.ping().expect("a ping").0;
        let newest = reports.iter().map(|report| report.zxid).max().expect("workers");
        self.zxid = self.zxid.max(newest);
        assert!(zxid >= self.zxid, "zxid 0x{zxid:x} after the restart, 0x{:x} before", self.zxid);
        let tree = dump(&mut session, "/crash").expect("the tree");
        for (path, node) in &tree {
            let stat = node.stat.expect("a Stat");
            assert!(stat.mzxid.0 <= zxid && stat.pzxid.0 <= zxid, "{path}: {stat:?} at 0x{zxid:x}");
        }

        let mut summary = Vec::new();
        for (worker, report) in self.workers.iter_mut().zip(reports) {
            for name in &report.names {
                self.names.given(name).unwrap_or_else(|why| panic!("{why}"));
            }
            let (found, sequential) = found(worker, &tree);
            let prefix =
                report.history.prefix(&worker.state, &found).unwrap_or_else(|why| panic!("{why}"));
            summary.push(format!(
                "{} sent, {} acknowledged, {prefix} there",
                report.history.entries.len(),
                report.history.acknowledged
            ));
            check_names(report, &sequential);
            let owned: Vec<String> = tree
                .keys()
                .filter(|path| path.starts_with(&worker.ephemeral_prefix()))
                .cloned()
                .collect();
            for path in &owned {
                let owner = tree[path].stat.expect("a Stat").ephemeral_owner;
                assert_eq!(owner, worker.session_id().0, "the owner of {path}");
            }
            worker.resume(server, found, sequential);
            assert_eq!(worker.ephemerals(), owned, "getEphemerals after the restart");
            if let Some(side) = &report.side {
                let there = tree.contains_key(&side.node);
                let resumed = Session::resume(server, 10_000, side.id, side.password);
                assert_eq!(
                    there,
                    resumed.is_ok(),
                    "{side:?}: its node and it live and die together"
                );
                assert!(
                    !(side.close_acknowledged && there),
                    "{side:?} was closed, its node is there"
                );
                assert!(side.close_sent || there, "{side:?} was not closed, its node is gone");
                match resumed {
                    Ok(resumed) => resumed.close().expect("closeSession"),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
                }
            }
        }
        // The names of nodes whose creation was not acknowledged count too.
        let names = tree.keys().filter(|path| path.starts_with(SEQUENCE));
        names.for_each(|path| self.names.seen(path));
        await_expiry(&mut session, abandoned);
        session.close().expect("closeSession");
        summary.join("; ")
    }
}

/// A worker's nodes in the tree: as a state, and the names of the sequential ones by their data.
fn found(worker: &Worker, tree: &Tree) -> (State, Vec<(String, String)>) {
    let mut state = State::new();
    let mut sequential = Vec::new();
    for (path, node) in tree {
        let data = node.data.as_ref().expect("readable data").as_deref().unwrap_or_default();
        let data = String::from_utf8(data.to_vec()).expect("text");
        let Some(key) = worker.key_of(path, &data) else { continue };
        if path.starts_with(SEQUENCE) {
            sequential.push((key.clone(), path.clone()));
        }
        state.insert(key, data);
    }
    (state, sequential)
}

/// A sequential node has the name that was acknowledged.
fn check_names(report: &Report, sequential: &[(String, String)]) {
    let mut names = report.names.iter();
    for entry in &report.history.entries[..report.history.acknowledged] {
        let [history::Effect::Put(key, data)] = &entry[..] else { continue };
        if key != data {
            continue;
        }
        let name = names.next().expect("an acknowledged sequential create has a name");
        if let Some((_, there)) = sequential.iter().find(|(other, _)| other == key) {
            assert_eq!(there, name, "the name of the node with the data {key:.40}");
        }
    }
    assert_eq!(names.next(), None, "more names than sequential creates");
}

fn await_expiry(session: &mut Session, node: &str) {
    let deadline = Instant::now() + EXPIRY_LIMIT;
    loop {
        match session.get_data(node, false) {
            Err(error) if is_no_node(&error) => return,
            other => other.expect("getData"),
        };
        assert!(Instant::now() < deadline, "{node} outlives its session");
        thread::sleep(Duration::from_millis(50));
    }
}
