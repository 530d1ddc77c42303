//! Runs an attack: starts the servers, connects a bystander to each (a client that breaks no rule), and checks at the
//! end how long the bystanders waited and how far memory grew.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringkeeper::proto::OpCode;
use ringkeeper::proto::request::{PathRequest, RequestBody};
use ringkeeper_testkit::{Config, Ensemble, Program, Server};

use crate::raw::{self, Client};

/// The longest wait of a bystander that the server promises on a quiet machine.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// The same on a machine that runs other tests at the same time.
const WAIT_MAX_BUSY: Duration = Duration::from_secs(5);
/// The pause between two requests of a bystander.
const BYSTANDER_PAUSE: Duration = Duration::from_millis(1);

/// The server under test.
pub fn program() -> Program {
    Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into())
}

/// The bounds on the cost of an attack.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest wait of a bystander, on a quiet machine with a processor for each server; twice that with fewer.
    pub wait: Duration,
    /// How far the memory of a server may grow, in bytes.
    pub memory: u64,
}

impl Bounds {
    /// Bounds of 50 ms, and of so much memory.
    pub fn memory(bytes: u64) -> Bounds {
        Bounds { wait: WAIT_MAX, memory: bytes }
    }

    /// The same for so many servers on this machine.
    fn wait_here(self, servers: usize) -> Duration {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        match std::env::var_os("RINGKEEPER_QUIET_MACHINE") {
            // The servers compete for the processors, which they would not do on machines of their own.
            Some(_) if servers > processors => 2 * self.wait,
            Some(_) => self.wait,
            None => WAIT_MAX_BUSY.max(self.wait),
        }
    }
}

/// Attacks one server.
///
/// `attack` gets the client address of the server, and returns a text on the answers.
///
/// # Panics
/// If the server ends, a bystander waits too long, or memory grows too far.
pub fn alone(
    name: &str,
    config: Config,
    bounds: Bounds,
    attack: impl FnOnce(SocketAddr) -> String + Send,
) -> Server {
    let mut server = Server::start(program(), config);
    let at = server.socket_addr();
    let watched = Watched::begin(&[&server]);
    let answer = from_elsewhere(|| attack(at));
    assert!(server.is_running(), "{name}: the server ended:\n{}", server.log_tail(40));
    watched.end(name, &answer, bounds, &|| server.log_tail(40));
    server
}

/// Attacks an ensemble of three through a follower, and then through its leader.
///
/// # Panics
/// As [`alone`], and if the ensemble gets another leader or epoch.
pub fn ensemble(
    name: &str,
    config: &Config,
    bounds: Bounds,
    mut attack: impl FnMut(SocketAddr) -> String + Send,
) {
    let mut ensemble = Ensemble::start(&[program(), program(), program()], config.clone());
    let leader = ensemble.leader();
    for through in [ensemble.followers()[0], leader] {
        let name = format!(
            "{name}, through {}",
            if through == leader { "the leader" } else { "a follower" }
        );
        let servers: Vec<&Server> = ensemble.ids().map(|id| ensemble.server(id)).collect();
        let watched = Watched::begin(&servers);
        let answer = from_elsewhere(|| attack(ensemble.address(through)));
        for id in ensemble.ids() {
            let server = ensemble.server_mut(id);
            assert!(server.is_running(), "{name}: server {id} ended:\n{}", server.log_tail(40));
        }
        watched.end(&name, &answer, bounds, &|| ensemble.tails(30));
        assert_eq!(ensemble.leader(), leader, "{name}: another leader\n{}", ensemble.tails(30));
    }
}

/// Does work that another machine would do in reality, at low priority, so that the servers get the processors first.
fn from_elsewhere<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            // This changes the priority of this thread and of those that it starts: setpriority(2), "C library/kernel
            // differences".
            rustix::process::setpriority_process(None, 19).expect("anybody may become nicer");
            act()
        });
        attacker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Servers and their bystanders during an attack.
pub struct Watched {
    bystanders: Vec<Bystander>,
    sleeper: Sleeper,
    /// Each process, and its memory at the beginning, in bytes.
    memory: Vec<(u32, u64)>,
}

impl Watched {
    /// Begins to measure.
    pub fn begin(servers: &[&Server]) -> Watched {
        let bystanders = servers.iter().map(|server| Bystander::at(server.socket_addr())).collect();
        let memory = servers.iter().map(|server| (server.pid(), memory_now(server.pid())));
        Watched { memory: memory.collect(), bystanders, sleeper: Sleeper::begin() }
    }

    /// Ends the measurement: asserts the bounds, and prints a row of the table.
    pub fn end(self, name: &str, answer: &str, bounds: Bounds, logs: &dyn Fn() -> String) {
        let grown = self.memory.iter().map(|(pid, was)| memory_peak(*pid).saturating_sub(*was));
        let grown = grown.max().unwrap();
        let waits: Vec<Waits> = self.bystanders.into_iter().map(Bystander::end).collect();
        let longest = waits.iter().map(|waits| waits.longest).max().unwrap();
        let machine = self.sleeper.end();
        println!(
            "| {name} | {answer} | {:.1} ms | {:.1} ms | {:.1} MB |",
            longest.as_secs_f64() * 1e3,
            machine.as_secs_f64() * 1e3,
            grown as f64 / 1e6
        );
        let mut faults = String::new();
        for waits in &waits {
            if let Some(lost) = &waits.lost {
                let _ = writeln!(faults, "a bystander lost its session: {lost}");
            }
            if waits.epochs.0 != waits.epochs.1 {
                let _ = writeln!(faults, "the leader was lost: epochs {:?}", waits.epochs);
            }
        }
        let wait_max = bounds.wait_here(self.memory.len());
        if longest > wait_max {
            let _ = writeln!(faults, "a bystander waited for {longest:?}, not {wait_max:?}");
        }
        if grown > bounds.memory {
            let _ = writeln!(faults, "memory grew by {grown} bytes, not {}", bounds.memory);
        }
        assert!(faults.is_empty(), "{name}: {faults}{}", logs());
    }
}

/// The memory that a process has now, in bytes; [`memory_peak`] counts from here on.
pub fn memory_now(pid: u32) -> u64 {
    // Documented in proc_pid_clear_refs(5): 5 forgets the peak so far.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    memory_peak(pid)
}

/// The most memory that a process has had, in bytes.
pub fn memory_peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A thread that only sleeps. The time by which it wakes too late is what the machine adds to every wait, whatever the
/// servers do.
struct Sleeper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Sleeper {
    fn begin() -> Sleeper {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !told.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(BYSTANDER_PAUSE);
                longest = longest.max(begun.elapsed().saturating_sub(BYSTANDER_PAUSE));
            }
            longest
        });
        Sleeper { stop, thread }
    }

    /// The longest delay of a wake-up.
    fn end(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A client that breaks no rule: it writes and reads a node of its own, and syncs, one request at a time.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Waits>,
}

/// What a bystander has measured.
#[derive(Debug)]
pub struct Waits {
    /// The longest wait for an answer.
    pub longest: Duration,
    /// The number of answers.
    pub answers: u64,
    /// The epochs of the first and the last write.
    pub epochs: (i64, i64),
    /// Why it lost its connection, if it did.
    pub lost: Option<String>,
}

impl Bystander {
    /// Opens a session, and writes.
    pub fn at(server: SocketAddr) -> Bystander {
        let mut client = Client::connect_with(server, 30_000);
        let path = format!("/bystander-{:x}", client.session.session_id.0);
        let epoch = client.create(&path, b"", 1).ok().header.zxid.0 >> 32;
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut waits =
                Waits { longest: Duration::ZERO, answers: 0, epochs: (epoch, epoch), lost: None };
            while !told.load(Ordering::Relaxed) && waits.lost.is_none() {
                let is_write = waits.answers.is_multiple_of(3);
                let begun = Instant::now();
                match waits.answers % 3 {
                    0 => client.send(OpCode::SetData, &raw::set(&path, b"x")),
                    1 => client.send(OpCode::GetData, &raw::get(&path, false)),
                    _ => client
                        .send(OpCode::Sync, &RequestBody::Path(PathRequest { path: Some(&path) })),
                }
                let answer = client.receive();
                waits.longest = waits.longest.max(begun.elapsed());
                match answer {
                    Ok(reply) if reply.header.err == 0 => {
                        if is_write {
                            waits.epochs.1 = reply.header.zxid.0 >> 32;
                        }
                    }
                    other => waits.lost = Some(format!("{other:?}")),
                }
                waits.answers += 1;
                std::thread::sleep(BYSTANDER_PAUSE);
            }
            waits
        });
        Bystander { stop, thread }
    }

    /// The measurements so far.
    pub fn end(self) -> Waits {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_bystander_notices_a_server_that_stands_still_and_memory_that_grows() {
    const STOP: Duration = Duration::from_millis(300);
    let server = Server::start(program(), Config::new());
    let watched = Watched::begin(&[&server]);
    server.pause();
    // The length of the stop is what the test is about.
    std::thread::sleep(STOP);
    server.resume();
    let (pid, before) = watched.memory[0];
    let mut client = Client::connect(server.socket_addr());
    for n in 0..64 {
        client.create(&format!("/large-{n}"), &vec![b'x'; 1 << 19], 0).ok();
    }
    let waits: Vec<Waits> = watched.bystanders.into_iter().map(Bystander::end).collect();
    assert!(waits[0].longest >= STOP / 2 && waits[0].lost.is_none(), "{waits:?}");
    assert!(memory_peak(pid) >= before + (16 << 20), "{before} {}", memory_peak(pid));
}

#[test]
fn an_attack_that_does_nothing_costs_nothing() {
    let answer = |at: SocketAddr| {
        Client::connect(at).ping();
        "a pong".to_owned()
    };
    alone("nothing", Config::new(), Bounds::memory(64 << 20), answer);
    ensemble("nothing", &Config::new(), Bounds::memory(64 << 20), answer);
}
