//! How long it takes from the death of a leader until the ensemble acknowledges a write again.
//!
//! Clients ask all other servers for a session and a write without a pause, each time as soon as the last attempt
//! has failed. So the figure measures the ensemble, and not the patience of a client library.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper_rawclient::{Connection, OPEN_ACL, Session};
use ringkeeper_testkit::Ensemble;

use crate::peers::Launch;
use crate::result::Elapsed;

/// The name of the figure in results and goals.
pub const WHAT: &str = "leader killed, next write";

const NODE: &str = "/takeover";
const SESSION_TIMEOUT_MS: i32 = 10_000;
/// A client repeats an attempt that gets no answer for this long.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between attempts that are refused at once, so that they do not take the processor from the servers.
const PAUSE: Duration = Duration::from_millis(2);
const WITHIN: Duration = Duration::from_secs(60);
/// How long the ensemble rests before the leader is killed, so that its start is over.
const REST: Duration = Duration::from_secs(1);

/// Kills the leader of an ensemble `kills` times and returns each time until the next write.
///
/// # Errors
/// The servers do not start, or never write again.
pub fn takeover(
    launch: &Launch,
    servers: usize,
    kills: u32,
    folder: &Path,
) -> Result<Vec<Elapsed>, String> {
    let mut running = launch.start(servers, folder)?;
    let ensemble = running.ensemble()?;
    let leader = ensemble.leader();
    let mut session = Session::open(ensemble.address(leader), SESSION_TIMEOUT_MS)
        .map_err(|error| format!("{}: {error}", launch.name))?;
    session
        .create(NODE, None, OPEN_ACL, 0)
        .map_err(|error| format!("{}: create {NODE}: {error:?}", launch.name))?;
    drop(session);
    let mut all = Vec::new();
    for round in 1..=kills {
        let seconds = kill_leader(ensemble).ok_or_else(|| {
            format!("{}: no write within {WITHIN:?} after the leader was killed", launch.name)
        })?;
        all.push(Elapsed {
            program: launch.name.clone(),
            servers,
            round,
            what: WHAT.to_owned(),
            seconds: seconds.as_secs_f64(),
        });
    }
    Ok(all)
}

fn kill_leader(ensemble: &mut Ensemble) -> Option<Duration> {
    let leader = ensemble.leader();
    let others: Vec<SocketAddr> =
        ensemble.ids().filter(|id| *id != leader).map(|id| ensemble.address(id)).collect();
    thread::sleep(REST);
    let over = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        let (written, first) = mpsc::channel();
        let killed = Instant::now();
        ensemble.kill(leader);
        for server in others {
            let (written, over) = (written.clone(), &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) && killed.elapsed() < WITHIN {
                    if write(server) {
                        // The first write counts, and the receiver may be gone for the others.
                        let _ = written.send(killed.elapsed());
                        return;
                    }
                    thread::sleep(PAUSE);
                }
            });
        }
        drop(written);
        let taken = first.recv().ok();
        over.store(true, Ordering::Relaxed);
        taken
    });
    ensemble.restart(leader);
    taken
}

/// Opens a session and writes. Returns whether both succeeded.
fn write(server: SocketAddr) -> bool {
    let Ok(connection) = Connection::open_within(server, PATIENCE) else { return false };
    let none = SessionId::NONE;
    let session = Session::greet(connection, SESSION_TIMEOUT_MS, none, [0; 16], Zxid::ZERO, false);
    session.is_ok_and(|mut session| session.set_data(NODE, Some(b"x"), -1).is_ok())
}
