//! The sections about workloads: goals, two commits side by side, rates and latencies, costs, ladders.

use super::{Cell, Kind, Part, Table};
use crate::report::figure::Figure;
use crate::report::notes::Notes;
use crate::report::summary::{Cost, Entry, Ratios, Summary, Workload};
use crate::report::{charts, words};
use crate::result::{Difference, GoalResult, OpResult, Percentiles, Row, float};

pub(super) fn goals(summary: &Summary) -> Vec<Part> {
    let row = |goal: &GoalResult| {
        let value = |figure| goal_value(goal, figure);
        let mut row = vec![
            Cell::words(&goal.title),
            Cell::words(&goal.goal),
            Cell::number(value(goal.reached)),
            Cell::number(words::range(goal.spread.0, goal.spread.1, value)),
            Cell::of(Kind::Verdict(goal.met), if goal.met { "✓" } else { "✗ missed" }),
        ];
        row.extend(cost(summary.cost_of(goal)));
        row
    };
    let head = [
        "workload",
        "goal",
        "reached",
        "lowest–highest round",
        "",
        "CPU",
        "bytes",
        "device writes",
    ];
    let remark = "CPU, bytes and device writes are what one answered operation cost our servers, all of them \
                  together: bytes as the kernel accounts them to the processes, writes as the whole device counts \
                  them, the file system's journal and whatever others wrote included.";
    with_table(&head, summary.goals.iter().map(row).collect(), remark)
}

/// A goal's figure in its unit.
fn goal_value(goal: &GoalResult, figure: f64) -> String {
    match &goal.unit[..] {
        "µs" => words::micros(figure),
        "s" => words::micros(figure * 1e6),
        "bytes" => words::bytes(figure),
        "×" => format!("{} ×", words::ratio(figure)),
        unit => format!("{} {unit}", words::count(figure)),
    }
}

pub(super) fn differences(summary: &Summary) -> Vec<Part> {
    let head = ["workload", "figure", "first", "second", "ratio", "p", ""];
    let remark = "A ratio is the second commit's figure by the first's, pair by pair. p is the probability that two \
                  equal programs look as different as these, corrected for the number of figures; above 0.05, the \
                  difference may be chance.";
    with_table(&head, summary.differences.iter().map(difference).collect(), remark)
}

fn difference(of: &Difference) -> Vec<Cell> {
    let servers = if of.servers == 1 { String::new() } else { format!("{} servers, ", of.servers) };
    let step = of.step.as_ref().map(|(parameter, value)| {
        format!(", {} {}", words::parameter(parameter), words::step(parameter, float(*value)))
    });
    let more_is_better = of.figure == "per second";
    let verdict = match (of.significant, (of.ratio > 1.0) == more_is_better) {
        (false, _) => Cell::words("may be chance"),
        (true, true) => Cell::of(Kind::Verdict(true), "✓ better"),
        (true, false) => Cell::of(Kind::Verdict(false), "✗ worse"),
    };
    vec![
        Cell::words(format!("{servers}{}{}", of.title, step.unwrap_or_default())),
        Cell::words(&of.figure),
        Cell::number(format!("{} ({})", words::count(of.medians.0), of.commits.0)),
        Cell::number(format!("{} ({})", words::count(of.medians.1), of.commits.1)),
        Cell::figure(Figure::of(of.ratios.iter().copied()), words::factor),
        Cell::number(format!("{:.4}", of.p_adjusted)),
        verdict,
    ]
}

pub(super) fn workloads(summary: &Summary, notes: &Notes) -> Vec<Part> {
    let row = |workload: &Workload, entry: &Entry| {
        let mut row = vec![Cell::words(&workload.title), Cell::series(summary, entry.series)];
        row.extend(figures(entry));
        let ratios = summary.ratios(entry, &workload.entries);
        let Ratios { rate, p50, p99 } = ratios.unwrap_or_default();
        row.extend([rate, p50, p99].map(|figure| Cell::figure(figure, words::ratio)));
        let errors = entry.errors().values().sum::<u64>() + entry.sessions_lost();
        row.push(match errors {
            0 => Cell::number("0"),
            errors => Cell::of(Kind::Verdict(false), errors.to_string()),
        });
        row
    };
    let rows = summary.workloads.iter();
    let rows = rows.flat_map(|of| of.entries.iter().map(|entry| row(of, entry))).collect();
    let head = [
        "workload",
        "",
        "operations/s",
        "p50",
        "p99",
        "p99.9",
        "max",
        "rate ×",
        "p50 ×",
        "p99 ×",
        "errors",
    ];
    let remark = "A factor above 1 is better than the reference, always.";
    let mut parts = with_table(&head, rows, remark);
    for workload in &summary.workloads {
        parts.push(Part::Title(words::capital(&workload.title), Some(workload.name.clone())));
        let note = notes.of_size(&workload.name, workload.servers);
        parts.extend(note.map(|note| Part::Text(note.to_owned())));
        let floor = charts::floor_of(summary, workload);
        parts.push(Part::Charts(vec![charts::percentiles(workload, floor)]));
        parts.extend(by_operation(summary, workload));
        parts.extend(charts::timeline(workload).map(|charts| Part::Charts(charts.into())));
    }
    parts
}

/// A table with a row for each operation of each series, for a workload that has several operations.
fn by_operation(summary: &Summary, workload: &Workload) -> Option<Part> {
    let rows = workload.entries.iter().flat_map(|entry| &entry.rows);
    let mut names: Vec<&String> = rows.flat_map(|row| row.measured.operations.keys()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < 2 {
        return None;
    }
    let row = |name: &String, entry: &Entry| {
        let figure = |of: fn(&OpResult) -> f64, words| {
            let of = |row: &Row| row.measured.operations.get(name).map_or(f64::NAN, of);
            Cell::figure(entry.figure(of), words)
        };
        vec![
            Cell::words(name),
            Cell::series(summary, entry.series),
            figure(|of| of.per_second, words::count),
            figure(|of| of.percentiles.p50_us, words::micros),
            figure(|of| of.percentiles.p99_us, words::micros),
            figure(|of| of.percentiles.p99_9_us, words::micros),
            figure(|of| of.percentiles.max_us, words::micros),
        ]
    };
    let rows =
        names.iter().flat_map(|name| workload.entries.iter().map(move |entry| row(name, entry)));
    let head = ["operation", "", "per second", "p50", "p99", "p99.9", "max"];
    Some(Part::Table(Table::new(&head, rows)))
}

/// Rate, p50, p99, p99.9 and maximum.
fn figures(entry: &Entry) -> [Cell; 5] {
    let latency = |of: fn(&Percentiles) -> f64| Cell::figure(entry.latency(of), words::micros);
    [
        Cell::figure(entry.rate(), words::count),
        latency(|of| of.p50_us),
        latency(|of| of.p99_us),
        latency(|of| of.p99_9_us),
        latency(|of| of.max_us),
    ]
}

pub(super) fn costs(summary: &Summary) -> Vec<Part> {
    let mut rows = Vec::new();
    for workload in &summary.workloads {
        for entry in &workload.entries {
            let Some(cost) = entry.cost() else { continue };
            rows.push(vec![
                Cell::words(&workload.title),
                Cell::series(summary, entry.series),
                Cell::figure(cost.cpu_us, words::micros),
                Cell::figure(cost.server_bytes, words::bytes),
                Cell::figure(cost.device_bytes, words::bytes),
                Cell::figure(cost.device_writes, words::ratio),
                Cell::figure(cost.memory_peak_bytes, words::bytes),
            ]);
        }
    }
    let head = ["workload", "", "CPU", "bytes", "device bytes", "device writes", "peak memory"];
    let remark = "For each answered operation, all servers of an ensemble together. Device bytes and device writes \
                  are counted for the whole device, with the file system's journal and whatever others wrote \
                  meanwhile. Writes share a device write when they arrive together: one session alone shows what a \
                  lone write costs, many in flight what grouping saves.";
    with_table(&head, rows, remark)
}

/// Processor time, bytes and device writes for each operation.
fn cost(cost: Option<Cost>) -> [Cell; 3] {
    [
        Cell::number(cost.map_or("–".to_owned(), |cost| words::micros(cost.cpu_us.median))),
        Cell::number(cost.map_or("–".to_owned(), |cost| words::bytes(cost.server_bytes.median))),
        Cell::number(cost.map_or("–".to_owned(), |cost| words::ratio(cost.device_writes.median))),
    ]
}

pub(super) fn ladders(summary: &Summary, notes: &Notes) -> Vec<Part> {
    let mut parts = Vec::new();
    for ladder in &summary.ladders {
        parts.push(Part::Title(words::capital(&ladder.title), Some(ladder.name.clone())));
        parts.extend(charts::bend(ladder, summary).map(Part::Text));
        let note = notes.of_size(&ladder.name, ladder.servers);
        parts.extend(note.map(|note| Part::Text(note.to_owned())));
        parts.push(Part::Legend(ladder.lines.iter().map(|(series, _)| *series).collect()));
        parts.push(Part::Charts(charts::ladder(ladder).into()));
        let steps = ladder.lines.iter().flat_map(|(series, steps)| {
            steps.iter().map(move |(value, entry)| (*series, *value, entry))
        });
        let rows = steps.map(|(series, value, entry)| {
            let step = words::step(&ladder.parameter, float(value));
            let mut row = vec![Cell::number(step), Cell::series(summary, series)];
            row.extend(figures(entry));
            row.extend(cost(entry.cost()));
            row
        });
        let head = [
            &words::parameter(&ladder.parameter)[..],
            "",
            "operations/s",
            "p50",
            "p99",
            "p99.9",
            "max",
            "CPU",
            "bytes",
            "device writes",
        ];
        parts.push(Part::Table(Table::new(&head, rows)));
    }
    parts
}

/// A table and a remark on it; nothing if there are no rows.
fn with_table(head: &[&str], rows: Vec<Vec<Cell>>, remark: &'static str) -> Vec<Part> {
    if rows.is_empty() {
        return Vec::new();
    }
    vec![Part::Table(Table::new(head, rows)), Part::Remark(remark)]
}
