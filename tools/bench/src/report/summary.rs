//! The lines of one or several results files, put in order: the rounds that belong together, the series of each
//! program, and the comparisons. This module decides everything that a report shows; Markdown and HTML only write it
//! down.

use std::collections::BTreeMap;

use super::figure::Figure;
use crate::result::{
    CoreRow, Difference, Elapsed, FailureTimeline, Floor, GoalResult, Line, MemoryRow, OpResult,
    Percentiles, Row, RunHeader, float,
};

/// Everything that a report is about.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The headers of the files, usually one each.
    pub runs: Vec<RunHeader>,
    /// The floor of each round.
    pub floors: Vec<Floor>,
    /// The goals in the order of the files. A goal that a later file judges again has the later result.
    pub goals: Vec<GoalResult>,
    /// Names of all series; an index into it is a series' number, and chooses its colour.
    pub series: Vec<String>,
    /// Rows without a parameter, by workload.
    pub workloads: Vec<Workload>,
    /// Rows with a parameter, by workload.
    pub ladders: Vec<Ladder>,
    /// The timelines of the files, unchanged.
    pub failures: Vec<FailureTimeline>,
    /// Rows of memory, by kind of thing, then by program.
    pub memory: Vec<Memory>,
    /// Durations, by their name, then by program.
    pub elapsed: Vec<Duration>,
    /// The differences of the files, unchanged.
    pub differences: Vec<Difference>,
    /// What the core alone does in a second of processor time, by kind of request.
    pub core: Vec<(String, Figure)>,
}

/// The memory that a number of things of one kind cost one program.
#[derive(Clone, Debug)]
pub struct Memory {
    /// As in [`MemoryRow`].
    pub what: String,
    /// As in [`MemoryRow`].
    pub program: String,
    /// The number of things; after churn, the seconds that it has lasted.
    pub count: u64,
    /// By round; never empty.
    pub rows: Vec<MemoryRow>,
}

/// How long something took one program.
#[derive(Clone, Debug)]
pub struct Duration {
    /// As in [`Elapsed`]; the size of the ensemble comes first if there is more than one.
    pub what: String,
    /// As in [`Elapsed`].
    pub program: String,
    /// The figure over the rounds.
    pub seconds: Figure,
}

/// One workload on one size of ensemble, with every program that was measured.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The definition's name.
    pub name: String,
    /// The definition's title; the size of the ensemble comes first if there is more than one.
    pub title: String,
    /// Servers of the ensemble; 1: alone.
    pub servers: usize,
    /// The entries, ours first.
    pub entries: Vec<Entry>,
}

/// All rounds of one series at one workload, or at one step of a ladder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Number in [`Summary::series`].
    pub series: usize,
    /// By round; never empty.
    pub rows: Vec<Row>,
}

/// One workload with a parameter.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// The definition's name.
    pub name: String,
    /// The definition's title.
    pub title: String,
    /// Servers of the ensemble; 1: alone. If their number is the parameter, that of the first row.
    pub servers: usize,
    /// The parameter that varies.
    pub parameter: String,
    /// The series, ours first; each with its steps in ascending order.
    pub lines: Vec<(usize, Vec<(u64, Entry)>)>,
}

/// The ratios of an entry to the reference; above 1 is always better.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ratios {
    /// Operations per second.
    pub rate: Option<Figure>,
    /// The reference's p50 divided by the entry's.
    pub p50: Option<Figure>,
    /// The reference's p99 divided by the entry's.
    pub p99: Option<Figure>,
}

impl Summary {
    /// Puts the lines of each file in order. The rounds of a later file get numbers after those of earlier files, so
    /// that a ratio compares only turns of one run.
    pub fn of(files: impl IntoIterator<Item = Vec<Line>>) -> Summary {
        let mut summary = Summary::default();
        let mut rows: Vec<Row> = Vec::new();
        let (mut memory, mut elapsed, mut core) = (Vec::new(), Vec::new(), Vec::new());
        let mut rounds = 0;
        for file in files {
            let before = rounds;
            for line in file {
                match line {
                    Line::Run(run) => summary.runs.push(run),
                    Line::Floor(floor) => {
                        let round = floor.round + before;
                        summary.floors.push(Floor { round, ..floor });
                    }
                    Line::Row(row) => {
                        let round = row.round + before;
                        rounds = rounds.max(round);
                        rows.push(Row { round, ..row });
                    }
                    Line::Failures(failures) => summary.failures.push(failures),
                    Line::Memory(row) => memory.push(row),
                    Line::Elapsed(row) => elapsed.push(row),
                    Line::Difference(difference) => summary.differences.push(difference),
                    Line::Core(row) => core.push(row),
                    Line::Goal(goal) => summary.add_goal(goal),
                }
            }
        }
        summary.memory = memory_by_kind(memory);
        summary.elapsed = elapsed_by_kind(elapsed);
        let core = grouped(core, |row| row.request.clone()).into_iter();
        summary.core = core
            .filter_map(|(request, rows)| {
                Some((request, Figure::of(rows.iter().map(|row: &CoreRow| row.per_second))?))
            })
            .collect();
        let names = Names::of(&rows);
        summary.name_series(&names, &rows);
        let (ladders, workloads) = rows.into_iter().partition(|row| row.step.is_some());
        summary.workloads = summary.workloads_of(&names, workloads);
        summary.ladders = summary.ladders_of(&names, ladders);
        summary
    }

    /// The runs, grouped by machine and commit, each group with the dates of its first and its last run.
    pub fn circumstances(&self) -> Vec<(&RunHeader, Vec<&str>)> {
        let mut all: Vec<(&RunHeader, Vec<&str>)> = Vec::new();
        let same = |one: &RunHeader, other: &RunHeader| {
            let of = |run: &RunHeader| (run.commit.clone(), run.dirty, run.cpu.clone(), run.cores);
            of(one) == of(other)
        };
        for run in &self.runs {
            match all.iter_mut().find(|(known, _)| same(known, run)) {
                Some((_, dates)) => dates.push(&run.date),
                None => all.push((run, vec![&run.date])),
            }
        }
        for (_, dates) in &mut all {
            dates.sort_unstable();
            dates.drain(1..dates.len().max(2) - 1);
        }
        all
    }

    /// The median of the rounds' floors.
    pub fn floor(&self, of: impl Fn(&Floor) -> f64) -> Option<Figure> {
        Figure::of(self.floors.iter().map(of))
    }

    /// The number of a program's series, for lines that carry no commit.
    pub fn series_of(&self, program: &str) -> usize {
        let exact = self.series.iter().position(|name| name == program);
        exact
            .or_else(|| self.series.iter().position(|name| name.starts_with(program)))
            .unwrap_or(self.series.len())
    }

    /// The series with which the others are compared: the newest Apache ZooKeeper, or the first of two commits.
    pub fn reference(&self, entries: &[Entry]) -> Option<usize> {
        let zookeepers = entries.iter().map(|entry| entry.series);
        let zookeepers = zookeepers.filter(|series| self.series[*series].starts_with("zookeeper"));
        let newest = zookeepers.max_by(|one, other| self.series[*one].cmp(&self.series[*other]));
        let ours = |entry: &&Entry| is_ours(&self.series[entry.series]);
        newest.or_else(|| {
            let mut ours = entries.iter().filter(ours);
            let first = ours.next()?;
            ours.next().map(|_| first.series)
        })
    }

    /// The ratios of an entry to the reference among its neighbours, round by round. `None` for the reference
    /// itself, and if there is none.
    pub fn ratios(&self, entry: &Entry, neighbours: &[Entry]) -> Option<Ratios> {
        let reference = self.reference(neighbours)?;
        let reference = neighbours.iter().find(|other| other.series == reference)?;
        if reference.series == entry.series {
            return None;
        }
        let each = |ratio: fn(&OpResult, &OpResult) -> f64| {
            Figure::of(entry.rows.iter().filter_map(|row| {
                let other = reference.rows.iter().find(|other| other.round == row.round)?;
                Some(ratio(&row.measured.all, &other.measured.all))
            }))
        };
        Some(Ratios {
            rate: each(|own, other| own.per_second / other.per_second),
            p50: each(|own, other| other.percentiles.p50_us / own.percentiles.p50_us),
            p99: each(|own, other| other.percentiles.p99_us / own.percentiles.p99_us),
        })
    }

    /// Names of all series, ours first, so that ours has the first colour in every report.
    fn name_series(&mut self, names: &Names, rows: &[Row]) {
        let mut found: Vec<String> = Vec::new();
        let programs = self.failures.iter().map(|failures| failures.program.clone());
        let programs = programs.chain(self.memory.iter().map(|memory| memory.program.clone()));
        let programs = programs.chain(self.elapsed.iter().map(|elapsed| elapsed.program.clone()));
        for name in rows.iter().map(|row| names.name(row)).chain(programs) {
            // A program without a commit is the series of that program, if there is one.
            if !found.iter().any(|known| *known == name || known.starts_with(&format!("{name} "))) {
                found.push(name);
            }
        }
        found.sort_by_key(|name| !is_ours(name));
        self.series = found;
    }

    fn add_goal(&mut self, goal: GoalResult) {
        match self.goals.iter_mut().find(|known| known.title == goal.title) {
            Some(known) => *known = goal,
            None => self.goals.push(goal),
        }
    }

    /// The cost to our servers of each operation of the workload that a goal is about.
    pub fn cost_of(&self, goal: &GoalResult) -> Option<Cost> {
        let workload = self
            .workloads
            .iter()
            .find(|known| known.name == goal.workload && known.servers == goal.servers)?;
        let ours = workload.entries.iter().find(|entry| is_ours(&self.series[entry.series]))?;
        ours.cost()
    }

    /// The rows of each series, ours first, by round.
    fn entries(&self, names: &Names, rows: Vec<Row>) -> Vec<Entry> {
        let by_series = grouped(rows, |row| {
            let name = names.name(row);
            let number = self.series.iter().position(|known| *known == name);
            number.expect("every row's series has a name since name_series")
        });
        let entries = by_series.into_iter().map(|(series, mut rows)| {
            rows.sort_by_key(|row| row.round);
            Entry { series, rows }
        });
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by_key(|entry| entry.series);
        entries
    }

    fn workloads_of(&self, names: &Names, rows: Vec<Row>) -> Vec<Workload> {
        let key = |row: &Row| (row.workload.clone(), with_servers(&row.title, row.servers));
        let workload = |((name, title), rows): (_, Vec<Row>)| {
            let servers = rows[0].servers;
            Workload { name, title, servers, entries: self.entries(names, rows) }
        };
        grouped(rows, key).into_iter().map(workload).collect()
    }

    fn ladders_of(&self, names: &Names, rows: Vec<Row>) -> Vec<Ladder> {
        let step = |row: &Row| row.step.clone().unwrap_or_default();
        let key = |row: &Row| {
            let (parameter, _) = step(row);
            let servers = if parameter == "servers" { 1 } else { row.servers };
            (row.workload.clone(), with_servers(&row.title, servers), parameter)
        };
        let ladder = |((name, title, parameter), rows): (_, Vec<Row>)| {
            let servers = rows[0].servers;
            let lines = self.entries(names, rows).into_iter().map(|Entry { series, rows }| {
                let steps = grouped(rows, |row| step(row).1).into_iter();
                let mut steps: Vec<_> =
                    steps.map(|(value, rows)| (value, Entry { series, rows })).collect();
                steps.sort_by_key(|(value, _)| *value);
                (series, steps)
            });
            Ladder { name, title, servers, parameter, lines: lines.collect() }
        };
        grouped(rows, key).into_iter().map(ladder).collect()
    }
}

impl Entry {
    /// The median over the rounds of anything in a row.
    pub fn figure(&self, of: impl Fn(&Row) -> f64) -> Figure {
        let none = Figure { median: 0.0, least: 0.0, most: 0.0 };
        Figure::of(self.rows.iter().map(of)).unwrap_or(none)
    }

    /// Operations per second.
    pub fn rate(&self) -> Figure {
        self.figure(|row| row.measured.all.per_second)
    }

    /// One of the latency's percentiles.
    pub fn latency(&self, of: impl Fn(&Percentiles) -> f64) -> Figure {
        self.figure(|row| of(&row.measured.all.percentiles))
    }

    /// Requests in flight at once on average, by Little's law; the median stands for the mean.
    pub fn in_flight(&self) -> f64 {
        self.rate().median * self.latency(|latency| latency.p50_us).median / 1e6
    }

    /// Errors of all rounds, by name.
    pub fn errors(&self) -> BTreeMap<&str, u64> {
        let mut errors = BTreeMap::new();
        for (name, count) in self.rows.iter().flat_map(|row| &row.measured.errors) {
            *errors.entry(&name[..]).or_insert(0) += count;
        }
        errors
    }

    /// Sessions lost, of all rounds.
    pub fn sessions_lost(&self) -> u64 {
        self.rows.iter().map(|row| row.measured.sessions_lost).sum()
    }

    /// What an operation costs the servers, if that was measured.
    pub fn cost(&self) -> Option<Cost> {
        let each = |of: fn(&Row) -> Option<f64>| Figure::of(self.rows.iter().filter_map(of));
        Some(Cost {
            cpu_us: each(|row| per_operation(row, row.resources.as_ref()?.cpu_seconds * 1e6))?,
            server_bytes: each(|row| {
                per_operation(row, float(row.resources.as_ref()?.server_bytes_written))
            })?,
            device_bytes: each(|row| {
                per_operation(row, float(row.resources.as_ref()?.device_bytes_written))
            })?,
            device_writes: each(|row| {
                per_operation(row, float(row.resources.as_ref()?.device_writes))
            })?,
            memory_peak_bytes: each(|row| Some(float(row.resources.as_ref()?.memory_peak_bytes)))?,
        })
    }
}

/// What one operation costs all servers together, and the most memory that they had.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Time on a core, in µs.
    pub cpu_us: Figure,
    /// Bytes that the servers wrote.
    pub server_bytes: Figure,
    /// Bytes written to the device, the file system's journal and others' included.
    pub device_bytes: Figure,
    /// Writes that the device carried out.
    pub device_writes: Figure,
    /// The most memory that the servers had, not per operation.
    pub memory_peak_bytes: Figure,
}

impl Memory {
    /// The median over the rounds of anything in a row; `None` where no round has it.
    pub fn figure(&self, of: impl Fn(&MemoryRow) -> Option<f64>) -> Option<Figure> {
        Figure::of(self.rows.iter().filter_map(of))
    }
}

/// Groups the rows by kind of thing, then by program and count.
fn memory_by_kind(rows: Vec<MemoryRow>) -> Vec<Memory> {
    let by_what = grouped(rows, |row| row.what.clone()).into_iter();
    let kinds = by_what.flat_map(|(what, rows)| {
        let kinds = grouped(rows, |row| (row.program.clone(), row.count)).into_iter();
        kinds.map(move |((program, count), rows)| Memory {
            what: what.clone(),
            program,
            count,
            rows,
        })
    });
    kinds.collect()
}

fn elapsed_by_kind(rows: Vec<Elapsed>) -> Vec<Duration> {
    let by_what = grouped(rows, |row| with_servers(&row.what, row.servers)).into_iter();
    let kinds = by_what.flat_map(|(what, rows)| {
        let kinds = grouped(rows, |row| row.program.clone()).into_iter();
        kinds.filter_map(move |(program, rows)| {
            let seconds = Figure::of(rows.iter().map(|row| row.seconds))?;
            Some(Duration { what: what.clone(), program, seconds })
        })
    });
    kinds.collect()
}

/// Groups items by their keys, in the order in which the keys first occur.
fn grouped<T, K: PartialEq>(
    all: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for one in all {
        let of = key(&one);
        match groups.iter_mut().find(|(known, _)| *known == of) {
            Some((_, group)) => group.push(one),
            None => groups.push((of, vec![one])),
        }
    }
    groups
}

/// The names of series: the program, and its commit where several commits were measured.
struct Names {
    commits: BTreeMap<String, Vec<Option<String>>>,
}

impl Names {
    fn of(rows: &[Row]) -> Names {
        let mut commits: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
        for row in rows {
            let known = commits.entry(row.program.clone()).or_default();
            if !known.contains(&row.commit) {
                known.push(row.commit.clone());
            }
        }
        Names { commits }
    }

    fn name(&self, row: &Row) -> String {
        let several = self.commits.get(&row.program).is_some_and(|commits| commits.len() > 1);
        match &row.commit {
            Some(commit) if several => format!("{} {commit}", row.program),
            _ => row.program.clone(),
        }
    }
}

/// Whether a series is this project's.
pub fn is_ours(series: &str) -> bool {
    series.starts_with("ringkeeper")
}

/// The part of `total` for each operation that was answered while the cost was counted.
fn per_operation(row: &Row, total: f64) -> Option<f64> {
    let answered = row.measured.all.per_second * row.measured.seconds;
    (answered > 0.0).then(|| total / answered)
}

fn with_servers(title: &str, servers: usize) -> String {
    if servers == 1 { title.to_owned() } else { format!("{servers} servers, {title}") }
}
