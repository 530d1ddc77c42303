//! The goals: a file of figures to reach, and what results say about them.
//!
//! Most goals are ratios of two figures of the same round, because a machine's speed drifts from
//! minute to minute. Each round gives one ratio, and the goal is met if their median meets it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::report::words;
use crate::result::{GoalResult, Line, Row, float};
use crate::statistics::{median, range};

/// The beginnings of the names of programs in results.
const OURS: &str = "ringkeeper";
const ZOOKEEPER_39: &str = "zookeeper 3.9";

/// The file `benches/goals.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goals {
    /// In the order of the file.
    pub goal: Vec<Goal>,
}

/// One goal. Either `at_most` or `at_least` is given.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// What is measured, in words.
    pub title: String,
    /// The source of the figure.
    pub of: Subject,
    /// The reference that divides our figure.
    pub against: Against,
    /// The largest value that meets the goal, for latencies, sizes and durations.
    pub at_most: Option<f64>,
    /// The smallest value that meets the goal, for rates.
    pub at_least: Option<f64>,
}

/// The source of a goal's figure.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A workload.
    Workload {
        /// Name of the definition.
        name: String,
        /// Servers of the ensemble; 1: alone.
        servers: usize,
        /// The figure that counts.
        figure: Figure,
    },
    /// A row that `failures` stages; `compare` does not know it.
    Staged {
        /// The name of the row.
        name: String,
        /// Servers of the ensemble; 1: alone.
        servers: usize,
        /// The figure that counts.
        figure: Figure,
    },
    /// Bytes for each `znode`, `watch` or `session`.
    Memory(String),
    /// Resident memory of the whole server with its `znode`s, `watch`es or `session`s.
    Resident(String),
    /// How long something takes, by its name.
    Elapsed(String),
    /// Requests per second of the core alone, by their kind.
    Core(String),
}

/// A figure of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Operations per second.
    PerSecond,
    /// The median latency.
    P50,
    /// The latency that one of a hundred exceeds.
    P99,
    /// The latency that one of a thousand exceeds.
    P99_9,
}

/// The reference that divides a figure of ours.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// Nothing: the figure itself is the goal.
    Nothing,
    /// The same figure of Apache ZooKeeper 3.9.
    #[serde(rename = "zookeeper-3.9")]
    ZooKeeper39,
    /// One durable write to the device and one round trip to a server that only answers.
    WriteAndRoundTrip,
    /// One round trip to a server that only answers.
    RoundTrip,
    /// The same figure of our own program at another workload.
    Workload(String),
}

/// The figure of each round.
type Figures = BTreeMap<u32, f64>;

impl Goals {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense; names file, line and key.
    pub fn read(path: &Path) -> Result<Goals, String> {
        let text = fs::read_to_string(path).map_err(|error| {
            format!("{}: {error}; `--goals` names another place", path.display())
        })?;
        Goals::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Parses the text of the file.
    ///
    /// # Errors
    /// As [`Goals::read`].
    pub fn parse(text: &str) -> Result<Goals, String> {
        let goals: Goals = toml::from_str(text).map_err(|error| error.to_string())?;
        for goal in &goals.goal {
            if goal.at_most.is_some() == goal.at_least.is_some() {
                let title = &goal.title;
                return Err(format!("the goal `{title}` needs either `at_most` or `at_least`"));
            }
        }
        Ok(goals)
    }

    /// The workloads that goals are about, each with the size of its ensemble, in order.
    pub fn workloads(&self) -> Vec<(&str, usize)> {
        let mut all = Vec::new();
        for goal in &self.goal {
            let Subject::Workload { name, servers, figure: _ } = &goal.of else { continue };
            all.push((&name[..], *servers));
            if let Against::Workload(other) = &goal.against {
                all.push((&other[..], *servers));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|workload| seen.insert(*workload));
        all
    }

    /// Compares results with the goals. A goal without results is left out.
    pub fn judge(&self, lines: &[Line]) -> Vec<GoalResult> {
        self.goal.iter().filter_map(|goal| goal.judge(lines)).collect()
    }
}

impl Goal {
    fn judge(&self, lines: &[Line]) -> Option<GoalResult> {
        let ours = self.of.figures(OURS, lines);
        let reference: Option<Figures> = match &self.against {
            Against::Nothing => None,
            Against::ZooKeeper39 => Some(self.of.figures(ZOOKEEPER_39, lines)),
            Against::WriteAndRoundTrip => Some(floor(lines, true)),
            Against::RoundTrip => Some(floor(lines, false)),
            Against::Workload(other) => Some(self.of.at(other).figures(OURS, lines)),
        };
        let values: Vec<f64> = match &reference {
            None => ours.values().copied().collect(),
            Some(reference) => {
                let of_round = |(round, ours): (&u32, &f64)| Some(ours / reference.get(round)?);
                ours.iter().filter_map(of_round).filter(|ratio| ratio.is_finite()).collect()
            }
        };
        if values.is_empty() {
            return None;
        }
        let reached = median(&values);
        let at_most = self.at_most.is_some();
        let limit = self.at_most.or(self.at_least)?;
        let (workload, servers) = match &self.of {
            Subject::Workload { name, servers, figure: _ }
            | Subject::Staged { name, servers, figure: _ } => (name.clone(), *servers),
            Subject::Memory(what)
            | Subject::Resident(what)
            | Subject::Elapsed(what)
            | Subject::Core(what) => (what.clone(), 1),
        };
        let unit = if reference.is_some() { "×" } else { self.of.unit() };
        let in_words = if unit == "/s" { words::count(limit) } else { limit.to_string() };
        Some(GoalResult {
            title: self.title.clone(),
            workload,
            servers,
            goal: format!(
                "{} {in_words} {unit}{}",
                if at_most { "≤" } else { "≥" },
                self.against.words()
            ),
            limit,
            at_most,
            unit: unit.to_owned(),
            reached,
            spread: range(&values),
            met: if at_most { reached <= limit } else { reached >= limit },
        })
    }
}

impl Subject {
    /// The same figure of another workload.
    fn at(&self, other: &str) -> Subject {
        match self {
            Subject::Workload { name: _, servers, figure } => {
                Subject::Workload { name: other.to_owned(), servers: *servers, figure: *figure }
            }
            Subject::Staged { name: _, servers, figure } => {
                Subject::Staged { name: other.to_owned(), servers: *servers, figure: *figure }
            }
            Subject::Memory(_) => Subject::Memory(other.to_owned()),
            Subject::Resident(_) => Subject::Resident(other.to_owned()),
            Subject::Elapsed(_) => Subject::Elapsed(other.to_owned()),
            Subject::Core(_) => Subject::Core(other.to_owned()),
        }
    }

    fn figures(&self, program: &str, lines: &[Line]) -> Figures {
        let of = |name: &str| name.starts_with(program);
        let figure = |line: &Line| match (self, line) {
            (
                Subject::Workload { name, servers, figure }
                | Subject::Staged { name, servers, figure },
                Line::Row(row),
            ) => {
                let same = row.workload == *name && row.servers == *servers && of(&row.program);
                // No single step of a ladder is the goal.
                (same && row.step.is_none()).then(|| (row.round, figure.of(row)))
            }
            (Subject::Memory(what), Line::Memory(row)) => {
                (row.what == *what && of(&row.program)).then_some((row.round, row.bytes_each))
            }
            (Subject::Resident(what), Line::Memory(row)) => (row.what == *what && of(&row.program))
                .then(|| (row.round, float(row.resident_bytes))),
            (Subject::Elapsed(what), Line::Elapsed(row)) => {
                (row.what == *what && of(&row.program)).then_some((row.round, row.seconds))
            }
            // Only ringkeeper has its core in this process.
            (Subject::Core(request), Line::Core(row)) => {
                (row.request == *request && program == OURS).then_some((row.round, row.per_second))
            }
            _ => None,
        };
        lines.iter().filter_map(figure).collect()
    }

    fn unit(&self) -> &'static str {
        match self {
            Subject::Workload { figure, .. } | Subject::Staged { figure, .. } => match figure {
                Figure::PerSecond => "/s",
                Figure::P50 | Figure::P99 | Figure::P99_9 => "µs",
            },
            Subject::Memory(_) | Subject::Resident(_) => "bytes",
            Subject::Elapsed(_) => "s",
            Subject::Core(_) => "/s",
        }
    }
}

impl Figure {
    fn of(self, row: &Row) -> f64 {
        match self {
            Figure::PerSecond => row.measured.all.per_second,
            Figure::P50 => row.measured.all.percentiles.p50_us,
            Figure::P99 => row.measured.all.percentiles.p99_us,
            Figure::P99_9 => row.measured.all.percentiles.p99_9_us,
        }
    }
}

impl Against {
    fn words(&self) -> String {
        match self {
            Against::Nothing => String::new(),
            Against::ZooKeeper39 => " ZooKeeper 3.9".to_owned(),
            Against::WriteAndRoundTrip => " (device write + round trip)".to_owned(),
            Against::RoundTrip => " round trip".to_owned(),
            Against::Workload(name) => format!(" {name}"),
        }
    }
}

fn floor(lines: &[Line], with_write: bool) -> Figures {
    let figure = |line: &Line| match line {
        Line::Floor(floor) => {
            let write = if with_write { floor.dsync_write.p50_us } else { 0.0 };
            Some((floor.round, write + floor.null_round_trip.p50_us))
        }
        _ => None,
    };
    lines.iter().filter_map(figure).collect()
}

#[cfg(test)]
mod tests {
    use crate::result::{CoreRow, Elapsed, Floor, Measured, MemoryRow, OpResult, Percentiles};

    use super::*;

    const TEXT: &str = r#"
        [[goal]]
        title = "a write"
        of.workload = { name = "w", servers = 1, figure = "p50" }
        against = "write-and-round-trip"
        at_most = 1.3

        [[goal]]
        title = "many writes"
        of.workload = { name = "w", servers = 1, figure = "per_second" }
        against = "zookeeper-3.9"
        at_least = 2.5

        [[goal]]
        title = "a znode"
        of.memory = "znode"
        against = "nothing"
        at_most = 300

        [[goal]]
        title = "a server"
        of.resident = "znode"
        against = "zookeeper-3.9"
        at_most = 0.2

        [[goal]]
        title = "with snapshots"
        of.staged = { name = "s", servers = 1, figure = "p99" }
        against.workload = "w"
        at_most = 2

        [[goal]]
        title = "restart"
        of.elapsed = "restart"
        against = "zookeeper-3.9"
        at_most = 0.1

        [[goal]]
        title = "reads of the core"
        of.core = "getData"
        against = "nothing"
        at_least = 3_000_000
    "#;

    fn row(program: &str, workload: &str, round: u32, per_second: f64, us: f64) -> Line {
        let percentiles = Percentiles { p50_us: us, p99_us: us, ..Percentiles::default() };
        let all = OpResult { per_second, percentiles, ..OpResult::default() };
        Line::Row(Row {
            workload: workload.to_owned(),
            program: program.to_owned(),
            servers: 1,
            round,
            measured: Measured { all, ..Measured::default() },
            ..Row::default()
        })
    }

    fn floor_line(round: u32, write_us: f64, trip_us: f64) -> Line {
        let p50 = |p50_us| Percentiles { p50_us, ..Percentiles::default() };
        let (dsync_write, null_round_trip) = (p50(write_us), p50(trip_us));
        Line::Floor(Floor { round, dsync_write, null_round_trip, ..Floor::default() })
    }

    #[test]
    fn ratios_are_taken_round_by_round_and_their_median_counts() {
        let goals = Goals::parse(TEXT).unwrap();
        let mut lines = Vec::new();
        for (round, ours, theirs) in [(1, 300.0, 100.0), (2, 30.0, 12.0), (3, 900.0, 450.0)] {
            lines.push(row("ringkeeper", "w", round, ours, 100.0));
            lines.push(row("zookeeper 3.9.4", "w", round, theirs, 200.0));
            lines.push(row("zookeeper 3.8.0", "w", round, 1e9, 1.0));
        }
        // A round without its counterpart does not count.
        lines.push(row("ringkeeper", "w", 4, 1e9, 100.0));
        let judged = goals.judge(&lines);
        assert_eq!(judged.len(), 1, "{judged:?}");
        assert_eq!(judged[0].title, "many writes");
        assert_eq!(judged[0].reached, 2.5);
        assert_eq!(judged[0].spread, (2.0, 3.0));
        assert_eq!(judged[0].goal, "≥ 2.5 × ZooKeeper 3.9");
        assert!(judged[0].met);
    }

    #[test]
    fn latencies_are_held_against_the_floor_of_their_round() {
        let goals = Goals::parse(TEXT).unwrap();
        let lines = [
            floor_line(1, 70.0, 30.0),
            row("ringkeeper", "w", 1, 1.0, 135.0),
            floor_line(2, 140.0, 60.0),
            row("ringkeeper", "w", 2, 1.0, 270.0),
        ];
        let judged = goals.judge(&lines);
        assert_eq!(judged.len(), 1);
        assert_eq!((judged[0].reached, judged[0].met), (1.35, false));
    }

    #[test]
    fn memory_durations_and_other_workloads_are_judged_too() {
        let goals = Goals::parse(TEXT).unwrap();
        let elapsed = |program: &str, seconds| {
            let (program, what) = (program.to_owned(), "restart".to_owned());
            Line::Elapsed(Elapsed { program, round: 1, what, seconds, ..Elapsed::default() })
        };
        let core = |request: &str, per_second| {
            Line::Core(CoreRow { round: 1, request: request.to_owned(), per_second })
        };
        let memory = |program: &str, resident_bytes, bytes_each| {
            let (program, what) = (program.to_owned(), "znode".to_owned());
            let row = MemoryRow { program, round: 1, what, resident_bytes, ..MemoryRow::default() };
            Line::Memory(MemoryRow { bytes_each, ..row })
        };
        let lines = [
            memory("ringkeeper", 300_000_000, 290.0),
            memory("zookeeper 3.9.4", 1_200_000_000, 460.0),
            row("ringkeeper", "s", 1, 1.0, 300.0),
            row("ringkeeper", "w", 1, 1.0, 100.0),
            elapsed("ringkeeper", 0.5),
            elapsed("zookeeper 3.9.4", 10.0),
            core("setData", 1e6),
            core("getData", 2e6),
        ];
        let judged: Vec<_> = goals
            .judge(&lines)
            .into_iter()
            .map(|goal| (goal.goal, goal.reached, goal.met))
            .collect();
        assert_eq!(
            judged,
            [
                ("≤ 300 bytes".to_owned(), 290.0, true),
                ("≤ 0.2 × ZooKeeper 3.9".to_owned(), 0.25, false),
                ("≤ 2 × w".to_owned(), 3.0, false),
                ("≤ 0.1 × ZooKeeper 3.9".to_owned(), 0.05, true),
                ("≥ 3 M /s".to_owned(), 2e6, false),
            ]
        );
    }

    #[test]
    fn the_workloads_of_goals_are_listed_once() {
        let goals = Goals::parse(TEXT).unwrap();
        assert_eq!(goals.workloads(), [("w", 1)]);
    }

    #[test]
    fn the_goals_of_this_repository_name_workloads_that_exist() {
        let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches");
        let goals = Goals::read(&benches.join("goals.toml")).unwrap();
        let definitions =
            crate::definition::Definition::read_folder(&benches.join("definitions")).unwrap();
        for (name, servers) in goals.workloads() {
            let named = definitions.iter().find(|definition| definition.name == name);
            let named = named.unwrap_or_else(|| panic!("no workload {name}"));
            assert!(named.servers.contains(&servers), "{name} is not for {servers} servers");
        }
    }

    #[test]
    fn a_goal_without_a_limit_or_with_a_misspelt_key_is_refused_by_name() {
        let without = TEXT.replace("at_most = 1.3", "");
        let why = Goals::parse(&without).unwrap_err();
        assert_eq!(why, "the goal `a write` needs either `at_most` or `at_least`");
        let why = Goals::parse(&TEXT.replace("at_least", "at_leest")).unwrap_err();
        assert!(why.contains("at_leest"), "{why}");
    }
}
