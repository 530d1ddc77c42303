//! What znodes, watches and sessions cost a server in memory, and whether it stays flat while
//! sessions and nodes come and go.
//!
//! An operator pays for resident memory. A program with a garbage collector also holds garbage, and room for more.
//! For Java, the program therefore also measures the heap after a full collection, and computes the bytes of each
//! thing from that, which favours Java.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::proto::OpCode;
use ringkeeper_rawclient::{Body, Session};

use crate::definition::Definition;
use crate::engine::{self, Phase};
use crate::idle;
use crate::peers::{Launch, Peer, Running};
use crate::resources::memory;
use crate::result::{Elapsed, Line, MemoryRow, float};
use crate::turn::Watcher;

/// Znodes under each parent.
const CHILDREN: u32 = 1000;
const VALUE_BYTES: u32 = 100;
/// Sessions that hold the watches.
const WATCHERS: u32 = 100;
/// Watches that one message sets.
const WATCHES_AT_ONCE: usize = 1000;
/// The session timeout, which is so long that sessions outlive the opening of the others, and the measurement,
/// without pings.
const SESSION_TIMEOUT_MS: i32 = 600_000;
const SESSION_TIMEOUT_LINE: &str = "maxSessionTimeout=600000";
/// How long a server may tidy up before its memory is measured.
const SETTLE: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
const START_WITHIN: Duration = Duration::from_secs(180);
const SAMPLE_EVERY_S: f64 = 5.0;

/// How many things of each kind.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Znodes with 100 bytes of data.
    pub znodes: u32,
    /// Data watches, each of another znode.
    pub watches: u32,
    /// Idle sessions.
    pub sessions: u32,
}

/// The memory of a server at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    resident: u64,
    live: Option<u64>,
}

/// A server whose memory is measured.
struct Subject<'a> {
    launch: &'a Launch,
    running: Running,
    round: u32,
}

/// Fills one server and measures its memory. Returns the rows of memory, and the time of a restart with all those
/// znodes.
///
/// # Errors
/// The server does not start or refuses requests, or `jcmd` is missing for a Java server.
pub fn weigh(
    launch: &Launch,
    counts: Counts,
    round: u32,
    folder: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Line>, String> {
    let patient = launch.clone().line(SESSION_TIMEOUT_LINE);
    let mut subject = Subject { launch, running: patient.start(1, folder)?, round };
    let explain = |why: String| format!("{}: {why}", launch.name);
    let target = subject.running.target()?;
    // One request of each kind comes first, so that memory that is used once does not count as that of a znode.
    let warm = engine::populate(&target, 100, CHILDREN, VALUE_BYTES).map_err(explain)?;
    engine::remove(&target, &warm).map_err(explain)?;

    tell("znodes");
    let empty = subject.sample()?;
    let root = engine::populate(&target, counts.znodes, CHILDREN, VALUE_BYTES).map_err(explain)?;
    // After a restart, only the state is left. The memory for the requests that made it is gone, and so are the last
    // requests, which ZooKeeper keeps for its followers.
    tell("restart");
    let restart = subject.restart(counts.znodes)?;
    let filled = subject.sample()?;
    let znodes = subject.row("znode", counts.znodes, empty, filled);

    tell("watches");
    let server = subject.address()?;
    let mut watchers = idle::open(server, SESSION_TIMEOUT_MS, WATCHERS)?;
    let watches = counts.watches.min(counts.znodes);
    leave_watches(&mut watchers, &root, watches)?;
    let with = subject.sample()?;
    ping(&mut watchers)?;
    let watch = subject.row("watch", watches, filled, with);
    drop(watchers);

    // The server starts once more, because sessions would otherwise use the memory that the watches left.
    subject.restart(counts.znodes)?;
    tell("sessions");
    let before = subject.sample()?;
    let mut idle = idle::open(server, SESSION_TIMEOUT_MS, counts.sessions)?;
    let with = subject.sample()?;
    ping(&mut idle)?;
    let session = subject.row("session", counts.sessions, before, with);
    let rows = [znodes, watch, session].map(Line::Memory);
    Ok(rows.into_iter().chain([Line::Elapsed(restart)]).collect())
}

/// Runs a load that makes and removes things, for as long as its definition says, and samples memory meanwhile. The
/// `count` of each row is the second of the sample.
///
/// # Errors
/// The server does not start, or the load cannot be prepared.
pub fn churn(
    launch: &Launch,
    load: &Definition,
    folder: &Path,
    watcher: Watcher<'_>,
) -> Result<Vec<MemoryRow>, String> {
    let mut subject = Subject { launch, running: launch.start(1, folder)?, round: 1 };
    let mut target = subject.running.target()?;
    target.clean_up = false;
    let pid = subject.pid()?;
    let mut first = None;
    let mut next = 0.0;
    let mut rows = Vec::new();
    engine::run(&target, load, None, &mut |progress| {
        watcher(progress);
        let Some(slice) = progress.slice.filter(|_| progress.phase == Phase::Measuring) else {
            return;
        };
        if slice.at_s < next {
            return;
        }
        next = slice.at_s + SAMPLE_EVERY_S;
        // A server that has died shows in the errors of the load.
        let Ok(resident) = memory(pid, "VmRSS") else { return };
        let now = Sample { resident, live: None };
        let before = *first.get_or_insert(now);
        rows.push(subject.row("after churn", whole_seconds(slice.at_s), before, now));
    })
    .map_err(|error| format!("{}: {error}", launch.name))?;
    Ok(rows)
}

/// Opens idle sessions with a fresh server, with TLS if the launch says so, and measures what they cost in memory.
///
/// # Errors
/// The server does not start or does not open a session, or `jcmd` is missing for a Java server.
pub fn of_sessions(
    launch: &Launch,
    count: u32,
    round: u32,
    folder: &Path,
) -> Result<MemoryRow, String> {
    let patient = launch.clone().line(SESSION_TIMEOUT_LINE);
    let mut subject = Subject { launch, running: patient.start(1, folder)?, round };
    let target = patient.target(&mut subject.running)?;
    // A few sessions come and go first, so that memory that is used once does not count as that of a session.
    drop(idle::Idle::open_all(&target, SESSION_TIMEOUT_MS, WATCHERS)?);
    let before = subject.sample()?;
    let mut idle = idle::Idle::open_all(&target, SESSION_TIMEOUT_MS, count)?;
    let with = subject.sample()?;
    for session in &mut idle {
        session.ping().map_err(|error| format!("a session was lost meanwhile: {error}"))?;
    }
    Ok(subject.row("session", count, before, with))
}

impl Subject<'_> {
    fn sample(&mut self) -> Result<Sample, String> {
        thread::sleep(SETTLE);
        let pid = self.pid()?;
        let live = match self.launch.peer {
            Peer::ZooKeeper39 | Peer::ZooKeeper38 => Some(live_heap(pid)?),
            Peer::Ringkeeper => None,
        };
        let resident = memory(pid, "VmRSS").map_err(|error| error.to_string())?;
        Ok(Sample { resident, live })
    }

    fn row(&self, what: &str, count: u32, before: Sample, with: Sample) -> MemoryRow {
        let resident = float(with.resident) - float(before.resident);
        let bytes = match (before.live, with.live) {
            (Some(before), Some(with)) => float(with) - float(before),
            (Some(_) | None, _) => resident,
        };
        MemoryRow {
            program: self.launch.name.clone(),
            round: self.round,
            what: what.to_owned(),
            count: u64::from(count),
            resident_bytes_before: before.resident,
            resident_bytes: with.resident,
            live_bytes_before: before.live,
            live_bytes: with.live,
            bytes_each: bytes / f64::from(count.max(1)),
        }
    }

    /// Kills the server with SIGKILL, starts it, and measures the time until it answers.
    fn restart(&mut self, znodes: u32) -> Result<Elapsed, String> {
        let name = &self.launch.name;
        let server = self.running.server()?;
        server.kill();
        let begun = Instant::now();
        server.spawn();
        while !server.try_four_letter("srvr").is_ok_and(|text| text.contains("Zxid:")) {
            if !server.is_running() || begun.elapsed() > START_WITHIN {
                return Err(format!("{name} does not start again:\n{}", server.log_tail(20)));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(Elapsed {
            program: name.clone(),
            servers: 1,
            round: self.round,
            what: format!("restart with {znodes} znodes"),
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    fn address(&mut self) -> Result<SocketAddr, String> {
        self.running.addresses()?.first().copied().ok_or_else(|| "no server".to_owned())
    }

    fn pid(&self) -> Result<u32, String> {
        self.running.pids().first().copied().ok_or_else(|| "no server".to_owned())
    }
}

/// Sets one watch on each of the first nodes that [`engine::populate`] made; the sessions take turns.
fn leave_watches(sessions: &mut [Session], root: &str, watches: u32) -> Result<(), String> {
    let explain = |error| format!("leaving a watch: {error:?}");
    let mut leaf = 0;
    while leaf < watches {
        for session in &mut *sessions {
            let mut frames = Vec::new();
            let mut count = 0;
            while count < WATCHES_AT_ONCE && leaf < watches {
                let path = engine::path_of(root, CHILDREN, leaf);
                session.queue(OpCode::Exists, &Body::path_watch(&path, true), &mut frames);
                count += 1;
                leaf += 1;
            }
            session.connection().send_raw(&frames).map_err(|error| error.to_string())?;
            for _ in 0..count {
                let reply = session.receive().map_err(explain)?;
                if reply.header.err != 0 {
                    return Err(format!("leaving a watch: error {}", reply.header.err));
                }
            }
        }
    }
    Ok(())
}

/// Fails unless every session has survived until now.
fn ping(sessions: &mut [Session]) -> Result<(), String> {
    for session in sessions {
        session.ping().map_err(|error| format!("a session was lost meanwhile: {error:?}"))?;
    }
    Ok(())
}

/// The bytes in use of a Java heap after a full collection.
fn live_heap(pid: u32) -> Result<u64, String> {
    jcmd(pid, "GC.run")?;
    let text = jcmd(pid, "GC.heap_info")?;
    // `garbage-first heap   total 262144K, used 12345K [0x…`; another collector prints a line for the young and one
    // for the old generation.
    let mut kib = 0;
    for line in text.lines().filter(|line| line.contains(" total ")) {
        let used = line.split(" used ").nth(1).and_then(|rest| rest.split('K').next());
        kib += used
            .and_then(|number| number.trim().parse::<u64>().ok())
            .ok_or_else(|| format!("jcmd {pid} GC.heap_info: no `used` in `{line}`"))?;
    }
    if kib == 0 { Err(format!("jcmd {pid} GC.heap_info says: {text}")) } else { Ok(kib * 1024) }
}

fn jcmd(pid: u32, command: &str) -> Result<String, String> {
    let output = Command::new("jcmd").args([&pid.to_string(), command]).output();
    let output =
        output.map_err(|error| format!("cannot run `jcmd`, which comes with a JDK: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("jcmd {pid} {command}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn whole_seconds(seconds: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = seconds as u32;
    whole
}
