//! Lines of an invented run, plausible enough to look at: latencies with a tail, rounds that differ, a leader that
//! is killed.

use std::collections::BTreeMap;

use ringkeeper_bench::result::{
    Difference, Elapsed, FailureTimeline, Floor, GoalResult, Line, Measured, MemoryRow, OpResult,
    Percentiles, Resources, Row, RunHeader, Slice,
};

pub const OURS: &str = "ringkeeper";
pub const ZOOKEEPER: &str = "zookeeper 3.9.4";

/// A generator of numbers that gives the same numbers in every run.
struct Dice(u64);

impl Dice {
    /// A number between 0 and 1.
    fn roll(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "a random number")]
        let roll = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        roll
    }

    /// A number around `value`, at most a tenth away.
    fn near(&mut self, value: f64) -> f64 {
        value * (0.9 + 0.2 * self.roll())
    }
}

/// A whole run: goals, workloads, ladders, failures, memory.
pub fn run() -> Vec<Line> {
    let mut dice = Dice(7);
    let mut lines = vec![Line::Run(header())];
    for round in 1..=3 {
        lines.push(Line::Floor(floor(round, &mut dice)));
        workloads(round, &mut dice, &mut lines);
        ladders(round, &mut dice, &mut lines);
    }
    lines.extend(goals().into_iter().map(Line::Goal));
    lines.push(Line::Failures(failures(OURS, 0.3, 24_000.0, &mut dice)));
    lines.push(Line::Failures(failures(ZOOKEEPER, 0.9, 11_000.0, &mut dice)));
    for round in 1..=3 {
        once(round, &mut dice, &mut lines);
    }
    lines.extend(differences().into_iter().map(Line::Difference));
    lines
}

pub fn header() -> RunHeader {
    RunHeader {
        command: "ringkeeper-bench compare --group goals --rounds 3".to_owned(),
        date: "2026-11-21T16:00:00Z".to_owned(),
        commit: "c708519".to_owned(),
        dirty: false,
        cpu: "Example CPU @ 2.8 GHz".to_owned(),
        cores: 2,
        memory_bytes: 24 << 30,
        kernel: "Linux 6.18.5".to_owned(),
        file_system: "ext4".to_owned(),
        device: "vda".to_owned(),
        seconds_per_row: 5.0,
        rounds: 3,
        loadavg_before: 0.12,
    }
}

fn floor(round: u32, dice: &mut Dice) -> Floor {
    Floor {
        round,
        dsync_write: percentiles(dice.near(74.0), 2.0),
        null_round_trip: percentiles(dice.near(46.0), 1.6),
        null_ops_per_second: dice.near(2.1e6),
    }
}

fn workloads(round: u32, dice: &mut Dice, lines: &mut Vec<Line>) {
    let one: &[&str] = &["set"];
    // Name, title, servers, requests in flight, ours, theirs, operations.
    let rows = [
        ("write-1x1", "1 session × 1 write", 1, 1.0, 7_100.0, 3_900.0, one),
        ("read-1x1", "1 session × 1 read", 1, 1.0, 19_000.0, 8_800.0, &["get"]),
        ("writes-100x1", "100 × 1 writes", 1, 100.0, 101_000.0, 52_000.0, one),
        ("writes-100x16", "100 × 16 writes", 1, 1600.0, 589_000.0, 95_700.0, one),
        ("reads-100x16", "100 × 16 reads", 1, 1600.0, 1_160_000.0, 118_000.0, one),
        ("reads-1000x1", "1000 × 1 reads", 1, 1000.0, 171_000.0, 76_000.0, one),
        ("mix-90", "99 × 4, 90 % reads", 3, 396.0, 240_000.0, 37_000.0, &["get", "set"]),
    ];
    for (name, title, servers, in_flight, ours, theirs, kinds) in rows {
        for (program, rate) in [(OURS, ours), (ZOOKEEPER, theirs)] {
            let measured = measured(dice.near(rate), in_flight, kinds, 5.0, dice);
            lines.push(Line::Row(row(name, title, program, servers, round, None, measured)));
        }
    }
}

fn ladders(round: u32, dice: &mut Dice, lines: &mut Vec<Line>) {
    let sessions: [(u64, f64); 5] =
        [(1, 7.1e3), (10, 4.1e4), (100, 1.0e5), (1000, 9.2e4), (10_000, 4.1e4)];
    for (step, rate) in sessions {
        for (program, part) in [(OURS, 1.0), (ZOOKEEPER, 0.45)] {
            #[expect(clippy::cast_precision_loss, reason = "a few sessions")]
            let measured = measured(dice.near(rate * part), step as f64, &["set"], 5.0, dice);
            let step = Some(("sessions".to_owned(), step));
            let title = "Writes, one in flight each";
            lines.push(Line::Row(row("ladder-sessions", title, program, 1, round, step, measured)));
        }
    }
    let sizes = [(0, 1.1e5), (100, 1.0e5), (1024, 8.4e4), (65_536, 6.1e3), (1 << 20, 420.0)];
    for (step, rate) in sizes {
        for (program, part) in [(OURS, 1.0), (ZOOKEEPER, 0.6)] {
            let measured = measured(dice.near(rate * part), 100.0, &["set"], 5.0, dice);
            let step = Some(("value_bytes".to_owned(), step));
            let title = "100 × 1 writes";
            lines.push(Line::Row(row("ladder-values", title, program, 1, round, step, measured)));
        }
    }
    for (servers, step, rate) in [(1, 1, 1.0e5), (3, 3, 5.9e4), (5, 5, 4.2e4)] {
        for (program, part) in [(OURS, 1.0), (ZOOKEEPER, 0.4)] {
            let measured = measured(dice.near(rate * part), 99.0, &["set"], 5.0, dice);
            let step = Some(("servers".to_owned(), step));
            let title = "99 × 1 writes";
            lines.push(Line::Row(row(
                "ladder-servers",
                title,
                program,
                servers,
                round,
                step,
                measured,
            )));
        }
    }
}

pub fn row(
    workload: &str,
    title: &str,
    program: &str,
    servers: usize,
    round: u32,
    step: Option<(String, u64)>,
    measured: Measured,
) -> Row {
    let count = measured.all.count;
    let cpu_seconds = if program == OURS { 5.0 } else { 8.5 };
    Row {
        workload: workload.to_owned(),
        title: title.to_owned(),
        program: program.to_owned(),
        commit: (program == OURS).then(|| "c708519".to_owned()),
        servers,
        round,
        step,
        measured,
        resources: Some(Resources {
            cpu_seconds,
            memory_peak_bytes: if program == OURS { 61 << 20 } else { 902 << 20 },
            server_bytes_written: count * 150,
            device_bytes_written: count * 190,
            device_writes: count / 16,
        }),
        load_average: 1.9,
    }
}

/// A row's figures from its rate, by Little's law.
pub fn measured_at(per_second: f64, in_flight: f64) -> Measured {
    measured(per_second, in_flight, &["set"], 5.0, &mut Dice(1))
}

fn measured(
    per_second: f64,
    in_flight: f64,
    kinds: &[&str],
    seconds: f64,
    dice: &mut Dice,
) -> Measured {
    let p50_us = in_flight / per_second * 1e6;
    let all = operation(per_second, p50_us, seconds);
    #[expect(clippy::cast_precision_loss, reason = "one or two")]
    let part = per_second / kinds.len() as f64;
    let operations: BTreeMap<String, OpResult> =
        kinds.iter().map(|kind| ((*kind).to_owned(), operation(part, p50_us, seconds))).collect();
    let timeline = (0..20)
        .map(|at| {
            slice(f64::from(at) * seconds / 20.0, seconds / 20.0, dice.near(per_second), p50_us)
        })
        .collect();
    let (errors, sessions_lost) = (BTreeMap::new(), 0);
    Measured { seconds, all, operations, errors, sessions_lost, timeline, generator_busy: 0.6 }
}

fn operation(per_second: f64, p50_us: f64, seconds: f64) -> OpResult {
    let percentiles = percentiles(p50_us, 2.6);
    let nines = (per_second * seconds).max(10.0).log10();
    let mut curve: Vec<(f64, f64)> = (0..60)
        .map(|step| nines * f64::from(step) / 60.0)
        .map(|at| (1.0 - 10_f64.powf(-at), p50_us * (0.8 + 0.5 * at * at)))
        .collect();
    curve.push((1.0, percentiles.max_us));
    OpResult { count: whole(per_second * seconds), errors: 0, per_second, percentiles, curve }
}

/// Percentiles in which each further nine is `tail` times slower.
fn percentiles(p50_us: f64, tail: f64) -> Percentiles {
    Percentiles {
        p50_us,
        p90_us: p50_us * tail.sqrt(),
        p99_us: p50_us * tail,
        p99_9_us: p50_us * tail * tail,
        p99_99_us: p50_us * tail.powi(3),
        max_us: p50_us * tail.powi(4),
    }
}

fn slice(at_s: f64, length_s: f64, per_second: f64, p50_us: f64) -> Slice {
    let operations = whole(per_second * length_s);
    let Percentiles { p99_us, max_us, .. } = percentiles(p50_us, 2.6);
    Slice { at_s, operations, errors: 0, p50_us, p99_us, max_us }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(count: f64) -> u64 {
    count as u64
}

fn failures(program: &str, silent_s: f64, per_second: f64, dice: &mut Dice) -> FailureTimeline {
    let mut slices = Vec::new();
    for at in 0..600 {
        let at_s = f64::from(at) / 10.0;
        let gone = (20.0..20.0 + silent_s).contains(&at_s);
        let weak = (35.0..36.0).contains(&at_s);
        let rate = if gone { 0.0 } else { per_second * if weak { 0.6 } else { 1.0 } };
        let mut slice = slice(at_s, 0.1, dice.near(rate), 990_000.0 / per_second);
        if gone {
            slice = Slice { at_s, errors: u64::from(at == 200) * 33, ..Slice::default() };
        } else if weak || (at_s - 20.0 - silent_s).abs() < 0.2 {
            slice.p99_us *= 6.0;
        }
        slices.push(slice);
    }
    FailureTimeline {
        title: "99 × 1 writes while servers fail".to_owned(),
        program: program.to_owned(),
        servers: 3,
        slices,
        events: vec![
            (20.0, "leader killed".to_owned()),
            (24.0, "it is back".to_owned()),
            (35.0, "follower killed".to_owned()),
            (39.0, "it is back".to_owned()),
            (45.0, "snapshot begins".to_owned()),
            (47.0, "snapshot is whole".to_owned()),
            (50.0, "snapshot begins".to_owned()),
            (52.0, "snapshot is whole".to_owned()),
        ],
        errors: BTreeMap::from([("connection lost".to_owned(), 33)]),
        sessions_lost: 0,
    }
}

/// Adds memory, and the figures that are taken once in a round.
fn once(round: u32, dice: &mut Dice, lines: &mut Vec<Line>) {
    for (what, count, ours, theirs) in [
        ("znode", 1_000_000, 262.0, 1480.0),
        ("watch", 1_000_000, 61.0, 230.0),
        ("session", 10_000, 3300.0, 41_000.0),
    ] {
        for (program, each) in [(OURS, ours), (ZOOKEEPER, theirs)] {
            lines.push(Line::Memory(memory(program, round, what, count, dice.near(each))));
        }
    }
    for minute in 0..10 {
        for (program, each) in [(OURS, 130e6), (ZOOKEEPER, 820e6)] {
            let seconds = minute * 60;
            let row = memory(program, round, "after churn", seconds, 0.0);
            let resident_bytes = whole(dice.near(each));
            lines.push(Line::Memory(MemoryRow { resident_bytes, ..row }));
        }
    }
    for (what, servers, ours, theirs) in
        [("restart with 1000000 znodes", 1, 0.8, 9.5), ("leader killed, next write", 3, 0.12, 0.33)]
    {
        for (program, seconds) in [(OURS, ours), (ZOOKEEPER, theirs)] {
            let (program, what) = (program.to_owned(), what.to_owned());
            let seconds = dice.near(seconds);
            lines.push(Line::Elapsed(Elapsed { program, servers, round, what, seconds }));
        }
    }
}

fn memory(program: &str, round: u32, what: &str, count: u64, bytes_each: f64) -> MemoryRow {
    let resident_bytes_before = if program == OURS { 12 << 20 } else { 190 << 20 };
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    let more = whole(count as f64 * bytes_each);
    let live = program == ZOOKEEPER;
    MemoryRow {
        program: program.to_owned(),
        round,
        what: what.to_owned(),
        count,
        resident_bytes_before,
        resident_bytes: resident_bytes_before + more,
        live_bytes_before: live.then_some(20 << 20),
        live_bytes: live.then_some((20 << 20) + more / 2),
        bytes_each,
    }
}

fn differences() -> Vec<Difference> {
    let difference = |title: &str, step, figure: &str, from: f64, ratio: f64, p: f64| Difference {
        workload: "writes".to_owned(),
        title: title.to_owned(),
        step,
        servers: 1,
        figure: figure.to_owned(),
        commits: ("c708519".to_owned(), ".".to_owned()),
        medians: (from, from * ratio),
        ratios: [0.97, 0.99, 1.0, 1.01, 1.02, 1.04].map(|noise| ratio * noise).to_vec(),
        ratio,
        p: p / 3.0,
        p_adjusted: p,
        significant: p < 0.05,
    };
    let sessions = Some(("sessions".to_owned(), 1000));
    vec![
        difference("100 × 1 writes", None, "per second", 101_000.0, 1.12, 0.031),
        difference("100 × 1 writes", None, "p99 µs", 2_600.0, 1.09, 0.031),
        difference("Writes, one in flight each", sessions, "per second", 92_000.0, 1.01, 0.62),
    ]
}

pub fn goals() -> Vec<GoalResult> {
    let goal = |title: &str, workload: &str, servers, limit, at_most, reached: f64| GoalResult {
        title: title.to_owned(),
        workload: workload.to_owned(),
        servers,
        goal: format!("{} {limit} × ZooKeeper 3.9.4", if at_most { "≤" } else { "≥" }),
        limit,
        at_most,
        unit: "×".to_owned(),
        reached,
        spread: (reached * 0.93, reached * 1.06),
        met: if at_most { reached <= limit } else { reached >= limit },
    };
    vec![
        goal("1 server, single write p50", "write-1x1", 1, 0.5, true, 0.55),
        goal("1 server, 100 × 1 writes", "writes-100x1", 1, 2.5, false, 1.94),
        goal("1 server, 100 × 16 writes", "writes-100x16", 1, 5.0, false, 6.15),
        goal("1 server, 100 × 16 reads", "reads-100x16", 1, 8.0, false, 9.8),
        goal("1 server, 1000 × 1 reads", "reads-1000x1", 1, 2.0, false, 2.25),
        goal("3 servers, 90 % reads", "mix-90", 3, 8.0, false, 6.5),
    ]
}
