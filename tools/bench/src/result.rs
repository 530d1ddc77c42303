//! The results of a measurement: lines of JSON, each of which names its kind.
//!
//! The report reads the fields of a line, and so do people with `jq`. New fields may come; a field is renamed only
//! together with the report. Latencies are in µs, sizes in bytes, times in seconds.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Points of a percentile curve, the last one not counted.
const CURVE_POINTS: u32 = 60;

/// One line of a results file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// The circumstances; the first line of a file.
    Run(RunHeader),
    /// What no server can beat on this machine.
    Floor(Floor),
    /// One program's turn at one workload.
    Row(Row),
    /// Throughput and latency while servers fail and come back.
    Failures(FailureTimeline),
    /// What things cost in memory.
    Memory(MemoryRow),
    /// How long something took.
    Elapsed(Elapsed),
    /// What the core alone does, in process.
    Core(CoreRow),
    /// How two commits differ at one workload.
    Difference(Difference),
    /// A goal, and what was reached.
    Goal(GoalResult),
}

/// The circumstances under which the rest of the file was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// The command line that repeats it.
    pub command: String,
    /// When it began, as `2026-01-31T12:00:00Z`.
    pub date: String,
    /// The commit of the working tree, abbreviated.
    pub commit: String,
    /// Whether the working tree had changes on top of it.
    pub dirty: bool,
    /// The processor's name.
    pub cpu: String,
    /// Its cores, as the kernel counts them.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Name and version of the kernel.
    pub kernel: String,
    /// The file system under the servers' folders, such as `ext4`.
    pub file_system: String,
    /// The device under it, such as `vda`.
    pub device: String,
    /// How long each row is measured.
    pub seconds_per_row: f64,
    /// How often each program has its turn.
    pub rounds: u32,
    /// The load average over one minute, before anything was started.
    pub loadavg_before: f64,
}

/// What no server can beat on this machine, at this minute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// The round, from 1.
    pub round: u32,
    /// A durable 4 KiB write to a prepared file.
    pub dsync_write: Percentiles,
    /// A request to a server that only frames and answers, and its answer; one at a time.
    pub null_round_trip: Percentiles,
    /// Answers per second of that server, 100 sessions × 16 in flight.
    pub null_ops_per_second: f64,
}

/// One program's turn at one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the definition.
    pub workload: String,
    /// Its title.
    pub title: String,
    /// `ringkeeper`, `zookeeper 3.9.4`, …
    pub program: String,
    /// The commit that the program was built from, if it is ours.
    pub commit: Option<String>,
    /// Servers of the ensemble; 1: alone.
    pub servers: usize,
    /// From 1.
    pub round: u32,
    /// In a ladder, the parameter and its value.
    pub step: Option<(String, u64)>,
    /// The measurements.
    pub measured: Measured,
    /// The costs of the servers, if they run on this machine.
    pub resources: Option<Resources>,
    /// The load average over one minute when the row ended.
    pub load_average: f64,
}

/// What the engine measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The length of the measurement.
    pub seconds: f64,
    /// The operations that the workload is about, in one: all requests of a mix together; the acquisitions of a
    /// lock; the notices of a fan-out's watchers; and so on.
    pub all: OpResult,
    /// Results by operation: `get`, `set`, `create`, …, or a scenario's steps.
    pub operations: BTreeMap<String, OpResult>,
    /// Errors by name (`NoNode`, `connection lost`, `unanswered`), none left out.
    pub errors: BTreeMap<String, u64>,
    /// Sessions that the servers let expire while their client was alive.
    pub sessions_lost: u64,
    /// The course of the measurement, in slices as long as the definition says. Not in a summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Slice>,
    /// How busy the generator's own threads were, 0 to 1: near 1, the figures show the generator, and not the
    /// server.
    pub generator_busy: f64,
}

/// One kind of operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OpResult {
    /// Operations that succeeded; the latencies are theirs.
    pub count: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Successes per second within the measured time.
    pub per_second: f64,
    /// The percentiles of the latencies.
    pub percentiles: Percentiles,
    /// Quantile and latency in µs, about 60 points up to 1. Not in a summary: see [`OpResult::points`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(f64, f64)>,
}

/// Latencies in µs that this part of the operations did not exceed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half.
    pub p50_us: f64,
    /// 90 %.
    pub p90_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// 99.9 %.
    pub p99_9_us: f64,
    /// 99.99 %.
    pub p99_99_us: f64,
    /// All.
    pub max_us: f64,
}

/// A slice of the measured time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// When it began, counted from the beginning of the measurement.
    pub at_s: f64,
    /// Successes.
    pub operations: u64,
    /// Failures.
    pub errors: u64,
    /// The median of the successes' latencies; 0 without successes.
    pub p50_us: f64,
    /// The 99th percentile of the successes' latencies.
    pub p99_us: f64,
    /// The largest of the successes' latencies.
    pub max_us: f64,
}

/// The costs of all servers of a row together, during its measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// User and system time.
    pub cpu_seconds: f64,
    /// The most memory that each of them had resident, added up.
    pub memory_peak_bytes: u64,
    /// Bytes that the servers caused to be written, by the kernel's account of each process: their
    /// own, without the file system's journal.
    #[serde(default)]
    pub server_bytes_written: u64,
    /// Bytes that reached the device, from any program, including the journal.
    pub device_bytes_written: u64,
    /// Writes that the device carried out, for any program.
    pub device_writes: u64,
}

/// Throughput and latency while servers fail and come back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FailureTimeline {
    /// The events, in words.
    pub title: String,
    /// The program, as in a [`Row`].
    pub program: String,
    /// Servers of the ensemble.
    pub servers: usize,
    /// What clients saw.
    pub slices: Vec<Slice>,
    /// The events: each with its second, in the time of the slices.
    pub events: Vec<(f64, String)>,
    /// Errors by name (`connection lost`, …), none left out.
    pub errors: BTreeMap<String, u64>,
    /// Sessions that the servers let expire while their client was alive.
    pub sessions_lost: u64,
}

/// The memory that a number of things cost a server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryRow {
    /// The program, as in a [`Row`].
    pub program: String,
    /// From 1.
    pub round: u32,
    /// `znode`, `watch`, `session`, or `after churn`.
    pub what: String,
    /// The number of things; after churn, the seconds that it has lasted.
    pub count: u64,
    /// Resident memory of the server without the things.
    pub resident_bytes_before: u64,
    /// Resident memory of the server with the things.
    pub resident_bytes: u64,
    /// For a program with a garbage collector, the bytes in use after a full collection, without the things.
    pub live_bytes_before: Option<u64>,
    /// The same with the things.
    pub live_bytes: Option<u64>,
    /// The difference for each thing: of the live bytes if they are known, else of the resident ones.
    pub bytes_each: f64,
}

/// How long something took, by one clock from beginning to end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Elapsed {
    /// The program, as in a [`Row`].
    pub program: String,
    /// Servers of the ensemble; 1: alone.
    pub servers: usize,
    /// From 1.
    pub round: u32,
    /// `restart with 1000000 znodes`, `leader killed, next write`, …
    pub what: String,
    /// How long.
    pub seconds: f64,
}

/// What ringkeeper's replica does on one core, without sockets and disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CoreRow {
    /// From 1.
    pub round: u32,
    /// The kind of request, such as `getData`.
    pub request: String,
    /// How many of them it answers in one second of processor time.
    pub per_second: f64,
}

/// How two commits differ at one workload, by pairs of turns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of the definition.
    pub workload: String,
    /// Its title.
    pub title: String,
    /// In a ladder, the parameter and its value.
    pub step: Option<(String, u64)>,
    /// Servers of the ensemble; 1: alone.
    pub servers: usize,
    /// The figure: `per second`, `p50 µs`, `p99 µs`, `CPU µs each`.
    pub figure: String,
    /// The commits, abbreviated; `.` is the working tree.
    pub commits: (String, String),
    /// The median of each one's figures.
    pub medians: (f64, f64),
    /// The second's figure divided by the first's, pair by pair.
    pub ratios: Vec<f64>,
    /// The median of the ratios.
    pub ratio: f64,
    /// The probability that two equal programs look as different as these.
    pub p: f64,
    /// `p`, corrected for the number of figures that were tested at once (Holm's method).
    pub p_adjusted: f64,
    /// Whether `p_adjusted` is below 0.05.
    pub significant: bool,
}

/// A goal, and the figure that was reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GoalResult {
    /// What is measured, such as `1 server, 100 × 16 reads`.
    pub title: String,
    /// The definition that it is read from.
    pub workload: String,
    /// Servers of the ensemble.
    pub servers: usize,
    /// The goal in words, such as `≥ 8 × ZooKeeper 3.9.4`.
    pub goal: String,
    /// The goal as a number.
    pub limit: f64,
    /// Whether `reached` may be at most `limit`, instead of at least.
    pub at_most: bool,
    /// The unit of `limit`, `reached` and `spread`: `×` for ratios, `µs`, `s`, `bytes`, `/s`.
    pub unit: String,
    /// The figure reached: the median of the rounds' ratios.
    pub reached: f64,
    /// The lowest and the highest round.
    pub spread: (f64, f64),
    /// Whether the median reaches the goal.
    pub met: bool,
}

impl Line {
    /// The line as a summary keeps it: every figure, and of the data for charts only the parts that do not follow
    /// from the figures.
    pub fn summary(self) -> Line {
        match self {
            Line::Row(mut row) => {
                let measured = &mut row.measured;
                measured.timeline.clear();
                measured.all.curve.clear();
                measured.operations.values_mut().for_each(|operation| operation.curve.clear());
                Line::Row(row)
            }
            other => other,
        }
    }
}

impl OpResult {
    /// The percentile curve; in a summary, a curve through the percentiles.
    pub fn points(&self) -> Vec<(f64, f64)> {
        if !self.curve.is_empty() || self.count == 0 {
            return self.curve.clone();
        }
        let at = &self.percentiles;
        let nines = [(0.5, at.p50_us), (0.9, at.p90_us), (0.99, at.p99_us), (0.999, at.p99_9_us)];
        let nines = nines.into_iter().chain([(0.9999, at.p99_99_us)]);
        // With too few samples, a quantile is the largest sample, so it is no point of the curve.
        let told = nines.filter(|(quantile, _)| float(self.count) * (1.0 - quantile) >= 1.0);
        told.chain([(1.0, at.max_us)]).collect()
    }

    /// The result of these latencies in ns; `within` of the operations ended within the measured time.
    pub fn of(latencies: &Histogram<u64>, errors: u64, within: u64, seconds: f64) -> OpResult {
        OpResult {
            count: latencies.len(),
            errors,
            per_second: float(within) / seconds,
            percentiles: Percentiles::of(latencies),
            curve: curve(latencies),
        }
    }
}

impl Percentiles {
    /// The percentiles of latencies in ns.
    pub fn of(latencies: &Histogram<u64>) -> Percentiles {
        let at = |quantile| micros(latencies.value_at_quantile(quantile));
        Percentiles {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: micros(latencies.max()),
        }
    }
}

/// Points evenly spaced on an axis of nines, as far as the number of samples reaches.
fn curve(latencies: &Histogram<u64>) -> Vec<(f64, f64)> {
    if latencies.is_empty() {
        return Vec::new();
    }
    let nines = float(latencies.len()).log10();
    let mut points: Vec<(f64, f64)> = (0..CURVE_POINTS)
        .map(|point| {
            let quantile = 1.0 - 10f64.powf(-nines * f64::from(point) / f64::from(CURVE_POINTS));
            (quantile, micros(latencies.value_at_quantile(quantile)))
        })
        .collect();
    points.push((1.0, micros(latencies.max())));
    points.dedup_by(|later, earlier| later.0 <= earlier.0);
    points
}

/// ns as µs.
pub fn micros(nanos: u64) -> f64 {
    float(nanos) / 1000.0
}

/// A count to calculate with.
pub fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let float = count as f64;
    float
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_to_the_maximum() {
        let mut latencies = Histogram::new(3).unwrap();
        (1..=10_000u64).for_each(|value| latencies.record(value * 1000).unwrap());
        let curve = curve(&latencies);
        assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        let (quantile, last) = *curve.last().unwrap();
        assert!((quantile - 1.0).abs() < f64::EPSILON && (last - 10_000.0).abs() < 10.0, "{last}");
        assert_eq!(super::curve(&Histogram::new(3).unwrap()), []);
    }

    #[test]
    fn a_single_latency_is_the_whole_curve() {
        let mut latencies = Histogram::new(3).unwrap();
        latencies.record(5000).unwrap();
        assert_eq!(OpResult::of(&latencies, 0, 1, 0.5).per_second, 2.0);
        assert_eq!(super::curve(&latencies).len(), 2);
    }

    #[test]
    fn a_summary_has_the_percentiles_for_its_curve() {
        let mut latencies = Histogram::new(3).unwrap();
        (1..=1000u64).for_each(|value| latencies.record(value * 1000).unwrap());
        let mut result = OpResult::of(&latencies, 0, 1000, 1.0);
        assert_eq!(result.points(), result.curve);
        result.curve.clear();
        let text = serde_json::to_string(&result).unwrap();
        assert!(!text.contains("curve"), "{text}");
        let back: OpResult = serde_json::from_str(&text).unwrap();
        let quantiles: Vec<f64> = back.points().iter().map(|(quantile, _)| *quantile).collect();
        assert_eq!(quantiles, [0.5, 0.9, 0.99, 0.999, 1.0]);
        assert!((back.points()[0].1 - 500.0).abs() < 1.0, "{:?}", back.points());
        assert_eq!(OpResult::default().points(), []);
    }

    #[test]
    fn a_line_says_which_kind_it_is_and_comes_back_as_it_was() {
        let dsync_write = Percentiles { p50_us: 70.5, ..Percentiles::default() };
        let line = Line::Floor(Floor { round: 2, dsync_write, ..Floor::default() });
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.starts_with(r#"{"line":"floor","round":2,"#), "{text}");
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
