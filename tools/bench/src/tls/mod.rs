//! What TLS costs: Ringkeeper and Apache ZooKeeper with and without it, in the same rounds.
//!
//! Each program runs twice, for clients without TLS and for clients with it; ZooKeeper is on Netty both times, because
//! its TLS needs Netty. Clients show certificates, as both programs demand by default.

mod keys;
pub mod table;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::compare;
use crate::engine::{self, FULL, RESUMED, Target};
use crate::header;
use crate::memory;
use crate::output::Output;
use crate::peers::Launch;
use crate::progress::Narrator;
use crate::resources::Meter;
use crate::result::{Line, Measured, Row};
pub use keys::Keys;
use table::Columns;

/// The workloads of the comparison.
pub const WORKLOADS: [&str; 6] =
    ["reads-1x1", "writes-1x1", "reads-100x1", "writes-100x1", "reads-100x16", "writes-100x16"];
/// The name in results of connections that begin and end, without TLS or with whole handshakes.
pub const CONNECTIONS: &str = "connections";
/// The name of those whose TLS sessions were taken up again.
pub const RESUMPTIONS: &str = "resumptions";
/// Connections that are under way at once.
const PARALLEL: usize = 16;

/// The measurements beside those of the workloads.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Seconds of connections of each kind; 0 leaves them out.
    pub connection_seconds: f64,
    /// Idle sessions; 0 leaves them out.
    pub sessions: u32,
}

/// Both programs, without and with TLS.
///
/// # Errors
/// The certificates cannot be made.
pub fn launches(ours: Launch, theirs: Launch) -> Result<(Vec<Launch>, Columns), String> {
    let keys = Arc::new(Keys::make()?);
    let plain = [ours, theirs].map(Launch::with_netty);
    let secure = plain.clone().map(|launch| launch.with_tls(&keys));
    let columns = Columns {
        plain: plain.clone().map(|launch| launch.name),
        secure: secure.clone().map(|launch| launch.name),
    };
    Ok((plain.into_iter().chain(secure).collect(), columns))
}

/// Compares at the workloads, and then measures connections and idle sessions, round by round.
///
/// # Errors
/// A program does not start, or the results cannot be written.
pub fn run(
    plan: &compare::Plan,
    extent: Extent,
    output: &mut Output,
    narrator: &mut Narrator,
) -> Result<(), String> {
    compare::run(plan, output, narrator)?;
    for round in 1..=plan.rounds {
        let mut launches: Vec<&Launch> = plan.launches.iter().collect();
        if round % 2 == 0 {
            launches.reverse();
        }
        for launch in launches {
            narrator.say(&format!("round {round}: {}: connections, idle sessions", launch.name));
            let mut keep = |line: Line| {
                narrator.tell(&line);
                output.keep(line)
            };
            if extent.connection_seconds > 0.0 {
                let rows = connections(launch, extent.connection_seconds, round, plan)?;
                rows.into_iter().map(Line::Row).try_for_each(&mut keep)?;
            }
            if extent.sessions > 0 {
                let row = memory::of_sessions(launch, extent.sessions, round, &plan.folder)?;
                keep(Line::Memory(row))?;
            }
        }
    }
    Ok(())
}

/// Connections that begin and end: with TLS once with whole handshakes, and once with those that take up a session.
fn connections(
    launch: &Launch,
    seconds: f64,
    round: u32,
    plan: &compare::Plan,
) -> Result<Vec<Row>, String> {
    let mut running = launch.start(1, &plan.folder)?;
    let pids = running.pids();
    let target = launch.target(&mut running)?;
    let time = Duration::from_secs_f64(seconds);
    let kinds: &[(&str, &str)] = match launch.keys() {
        None => &[(CONNECTIONS, "connections")],
        Some(_) => &[(CONNECTIONS, FULL), (RESUMPTIONS, RESUMED)],
    };
    greet(launch, &target, CONNECTIONS, plan.warm_up)?;
    let mut rows = Vec::new();
    for (workload, title) in kinds {
        // What the kind before has left, and the first whole handshakes of those that resume.
        greet(launch, &target, workload, time / 10)?;
        let meter = Meter::begin(&pids, running.folder());
        let measured = greet(launch, &target, workload, time)?;
        rows.push(Row {
            workload: (*workload).to_owned(),
            title: (*title).to_owned(),
            program: launch.name.clone(),
            commit: launch.commit.clone(),
            servers: 1,
            round,
            step: None,
            measured,
            resources: meter.end(),
            load_average: header::load_average(),
        });
    }
    Ok(rows)
}

fn greet(
    launch: &Launch,
    target: &Target,
    workload: &str,
    time: Duration,
) -> Result<Measured, String> {
    let server = target.for_sessions()[0];
    let client = launch.keys().map(|keys| match workload {
        RESUMPTIONS => &keys.resuming,
        _ => &keys.client,
    });
    engine::greetings(server, client, PARALLEL, time)
        .map_err(|why| format!("{}: {why}", launch.name))
}

/// Writes the tables to a file.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
