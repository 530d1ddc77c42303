//! ringkeeper and Apache ZooKeeper in turn, on fresh folders of the same disk, in the same run.
//!
//! A machine's speed drifts from minute to minute, so only ratios of medians of alternating turns say anything. ZooKeeper
//! gets its default collector, its full compiler, a heap that does not starve it, and the warm-up.

use std::net::SocketAddr;
use std::time::Duration;

use ringkeeper_testkit::{Config, Ensemble, Program, Server};

use crate::CompareArguments;
use crate::engine::{self, Load};
use crate::floor;
use crate::requests::Work;
use crate::seconds;

const VALUE_BYTES: usize = 100;
const WARM_UP_PER_ROW: Duration = Duration::from_secs(1);

struct Row {
    name: &'static str,
    sessions: usize,
    depth: usize,
    work: Work,
}

const ROWS_ALONE: &[Row] = &[
    Row { name: "1 session x 1 write", sessions: 1, depth: 1, work: Work::Set },
    Row { name: "100 x 1 writes", sessions: 100, depth: 1, work: Work::Set },
    Row { name: "100 x 16 writes", sessions: 100, depth: 16, work: Work::Set },
    Row { name: "100 x 16 creates", sessions: 100, depth: 16, work: Work::Create },
    Row { name: "1 session x 1 read", sessions: 1, depth: 1, work: Work::Get },
    Row { name: "100 x 16 reads", sessions: 100, depth: 16, work: Work::Get },
    Row { name: "1000 x 1 reads", sessions: 1000, depth: 1, work: Work::Get },
];

/// The first session is the leader's, the others are spread over all.
const ROWS_OF_ENSEMBLES: &[Row] = &[
    Row { name: "1 session x 1 write", sessions: 1, depth: 1, work: Work::Set },
    Row { name: "99 x 1 writes", sessions: 99, depth: 1, work: Work::Set },
    Row { name: "99 x 16 writes", sessions: 99, depth: 16, work: Work::Set },
    Row { name: "99 x 4, 90 % reads", sessions: 99, depth: 4, work: Work::Mix },
    Row { name: "99 x 16 reads", sessions: 99, depth: 16, work: Work::Get },
];

/// What has its turn.
enum Started {
    Server(Server),
    Ensemble(Ensemble),
}

impl Started {
    fn start(program: &Program, servers: usize, folder: &std::path::Path) -> Started {
        if servers == 1 {
            return Started::Server(Server::start(program.clone(), config().data_dir(folder)));
        }
        Started::Ensemble(Ensemble::start(&vec![program.clone(); servers], config()))
    }

    /// Where clients connect; the leader of an ensemble comes first.
    fn addresses(&mut self) -> Vec<SocketAddr> {
        match self {
            Started::Server(server) => vec![server.socket_addr()],
            Started::Ensemble(ensemble) => {
                let leader = ensemble.leader();
                let others = ensemble.ids().filter(|&id| id != leader);
                std::iter::once(leader).chain(others).map(|id| ensemble.address(id)).collect()
            }
        }
    }
}

/// One server's turns at one row.
#[derive(Debug, Default)]
struct Turns {
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
}

/// Runs the comparison and prints it as a Markdown table.
///
/// # Errors
/// A server cannot be loaded, or the arguments make no sense.
pub fn run(arguments: &CompareArguments) -> Result<(), String> {
    let all = if arguments.servers == 1 { ROWS_ALONE } else { ROWS_OF_ENSEMBLES };
    if arguments.servers > 1 {
        // Each server of an ensemble makes a folder of its own there.
        tempfile::env::override_temp_dir(&arguments.folder)
            .map_err(|before| format!("the folder is already {}", before.display()))?;
    }
    let rows: Vec<&Row> = all
        .iter()
        .filter(|row| arguments.row.as_ref().is_none_or(|wanted| row.name.contains(&wanted[..])))
        .collect();
    if rows.is_empty() || arguments.rounds == 0 || arguments.servers == 0 {
        return Err("nothing to compare".to_owned());
    }
    let ours = if arguments.ringkeeper.as_os_str() == "java" {
        Program::ZooKeeper39
    } else {
        // Servers run in folders of their own.
        let binary = arguments.ringkeeper.canonicalize();
        Program::Ringkeeper(
            binary.map_err(|error| format!("{}: {error}", arguments.ringkeeper.display()))?,
        )
    };
    let programs = [ours, Program::ZooKeeper39];
    let mut turns: Vec<[Turns; 2]> = rows.iter().map(|_| Default::default()).collect();
    for round in 1..=arguments.rounds {
        for (which, program) in programs.iter().enumerate() {
            let folder = tempfile::Builder::new()
                .prefix("ringkeeper-load-")
                .tempdir_in(&arguments.folder)
                .map_err(|error| format!("{}: {error}", arguments.folder.display()))?;
            let mut started = Started::start(program, arguments.servers, folder.path());
            let addresses = started.addresses();
            warm_up(&addresses, seconds(arguments.warm_up_seconds)?)
                .map_err(|why| format!("{}: warm-up: {why}", program.name()))?;
            for (row, turns) in rows.iter().zip(&mut turns) {
                let load = Load {
                    sessions: row.sessions,
                    depth: row.depth,
                    work: row.work,
                    value_bytes: VALUE_BYTES,
                    warm_up: WARM_UP_PER_ROW,
                    measured: seconds(arguments.seconds)?,
                };
                let measured = engine::run(&addresses, &load)
                    .map_err(|why| format!("{}: {}: {why}", program.name(), row.name))?;
                eprintln!("round {round} {:<14} {:<20} {measured}", program.name(), row.name);
                turns[which].per_second.push(measured.per_second());
                turns[which].p50_us.push(measured.micros_at(0.5));
                turns[which].p99_us.push(measured.micros_at(0.99));
            }
        }
    }
    let floor = floor::measure(&arguments.folder)?;
    print_table(&rows, &turns, programs[0].name(), programs[1].name());
    println!(
        "\n{} server(s) each. Medians of {} turns each, {} s per row, {VALUE_BYTES}-byte values, in turn on fresh folders. The ratio is the first \
         server's speed to the second's: of latencies for one session, of operations per second otherwise.\n{floor}",
        arguments.servers, arguments.rounds, arguments.seconds
    );
    Ok(())
}

fn config() -> Config {
    // Each server as an operator would run it: its own sizes of files, its own threads, the default
    // collector and the whole compiler.
    Config::as_in_production()
        .line("tickTime=2000")
        .line("maxClientCnxns=0")
        .flag("-Xmx2g")
        .flag("-Dlog4j2.level=WARN")
}

fn warm_up(servers: &[SocketAddr], time: Duration) -> Result<(), String> {
    for work in [Work::Set, Work::Create, Work::Get] {
        let load = Load {
            sessions: 100,
            depth: 16,
            work,
            value_bytes: VALUE_BYTES,
            warm_up: Duration::ZERO,
            measured: time / 3,
        };
        engine::run(servers, &load)?;
    }
    Ok(())
}

fn print_table(rows: &[&Row], turns: &[[Turns; 2]], ours: &str, theirs: &str) {
    println!("| work | {ours} ops/s | p50 / p99 µs | {theirs} ops/s | p50 / p99 µs | ratio |");
    println!("|---|---|---|---|---|---|");
    for (row, [left, right]) in rows.iter().zip(turns) {
        let alone = row.sessions * row.depth == 1;
        let ratio = if alone {
            median(&right.p50_us) / median(&left.p50_us)
        } else {
            median(&left.per_second) / median(&right.per_second)
        };
        println!(
            "| {} | {:.0} | {:.0} / {:.0} | {:.0} | {:.0} / {:.0} | {ratio:.2} |",
            row.name,
            median(&left.per_second),
            median(&left.p50_us),
            median(&left.p99_us),
            median(&right.per_second),
            median(&right.p50_us),
            median(&right.p99_us),
        );
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}
