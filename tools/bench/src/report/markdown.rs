//! The report as Markdown: the tables of the page, without its charts, for a repository or a
//! terminal.

use std::fmt::Write as _;

use super::charts;
use super::doubts::doubts;
use super::figure::Figure;
use super::html::{COST_OF_EACH, difference_title, goal_value, verdict};
use super::notes::Notes;
use super::summary::{Cost, Entry, Ladder, Summary, as_f64};
use super::words;
use crate::result::{FailureTimeline, MemoryRow};

/// The whole report.
pub fn text(summary: &Summary, notes: &Notes) -> String {
    let mut out = String::new();
    let title = notes.title.as_deref().unwrap_or("Ringkeeper benchmark");
    put(&mut out, format_args!("# {title}\n\n{}\n\n", verdict(summary)));
    if let Some(text) = &notes.summary {
        put(&mut out, format_args!("{}\n\n", text.trim()));
    }
    machine(summary, &mut out);
    let doubts = doubts(summary);
    if !doubts.is_empty() {
        out.push_str("**What to doubt**\n\n");
        for doubt in doubts {
            put(&mut out, format_args!("* {doubt}\n"));
        }
        out.push('\n');
    }
    goals(summary, &mut out);
    differences(summary, &mut out);
    workloads(summary, notes, &mut out);
    costs(summary, &mut out);
    for ladder in &summary.ladders {
        self::ladder(summary, ladder, notes, &mut out);
    }
    failures(summary, &mut out);
    elapsed(summary, &mut out);
    memory(summary, &mut out);
    core(summary, &mut out);
    out
}

fn machine(summary: &Summary, out: &mut String) {
    for run in &summary.runs {
        put(
            out,
            format_args!(
                "{}, commit {}{}, {}, {} cores, {}, {}, {} on {}, {} of {} s; repeat with\n\n    {}\n\n",
                run.date,
                run.commit,
                if run.dirty { " with changes" } else { "" },
                run.cpu,
                run.cores,
                words::bytes(as_f64(run.memory_bytes)),
                run.kernel,
                run.file_system,
                run.device,
                words::rounds(run.rounds),
                run.seconds_per_row,
                run.command,
            ),
        );
    }
    let floor = (
        summary.floor(|floor| floor.dsync_write.p50_us),
        summary.floor(|floor| floor.null_round_trip.p50_us),
        summary.floor(|floor| floor.null_ops_per_second),
    );
    if let (Some(write), Some(round_trip), Some(rate)) = floor {
        put(
            out,
            format_args!(
                "Floor: a durable 4 KiB write {} (p50), a round trip to a null server {} (p50), which \
                 answers {} requests per second.\n\n",
                spread(write, words::micros),
                spread(round_trip, words::micros),
                spread(rate, words::count),
            ),
        );
    }
}

fn goals(summary: &Summary, out: &mut String) {
    if summary.goals.is_empty() {
        return;
    }
    out.push_str("## Goals\n\n");
    let rows = summary.goals.iter().map(|goal| {
        let mut row = vec![
            goal.title.clone(),
            goal.goal.clone(),
            goal_value(goal, goal.reached),
            words::range(goal.spread.0, goal.spread.1, |value| goal_value(goal, value)),
            if goal.met { "✓".to_owned() } else { "✗ missed".to_owned() },
        ];
        row.extend(cost(summary.cost_of(goal)));
        row
    });
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
    table(&head, rows, out);
    put(out, format_args!("{COST_OF_EACH}\n\n"));
}

/// Processor time, bytes and device writes for each operation.
fn cost(cost: Option<Cost>) -> [String; 3] {
    match cost {
        Some(cost) => [
            words::micros(cost.cpu_us.median),
            words::bytes(cost.server_bytes.median),
            words::ratio(cost.device_writes.median),
        ],
        None => ["–", "–", "–"].map(str::to_owned),
    }
}

fn workloads(summary: &Summary, notes: &Notes, out: &mut String) {
    if summary.workloads.is_empty() {
        return;
    }
    out.push_str("## Workloads\n\nMedians of the rounds, with the lowest and the highest.\n\n");
    let rows = summary.workloads.iter().flat_map(|workload| {
        workload.entries.iter().map(|entry| {
            let ratios = summary.ratios(entry, &workload.entries);
            let ratio = |figure: Option<Figure>| {
                figure.map_or_else(|| "–".to_owned(), |figure| spread(figure, words::ratio))
            };
            let mut row = vec![workload.title.clone(), series(summary, entry.series)];
            row.extend(figures(entry));
            row.push(ratio(ratios.and_then(|ratios| ratios.rate)));
            row.push(ratio(ratios.and_then(|ratios| ratios.p50)));
            row.push(ratio(ratios.and_then(|ratios| ratios.p99)));
            row
        })
    });
    let head =
        ["workload", "", "operations/s", "p50", "p99", "p99.9", "max", "rate ×", "p50 ×", "p99 ×"];
    table(&head, rows, out);
    for workload in &summary.workloads {
        if let Some(note) = notes.of_size(&workload.name, workload.servers) {
            put(out, format_args!("**{}**: {}\n\n", workload.title, note.trim()));
        }
    }
}

/// Rate, p50, p99, p99.9 and maximum.
fn figures(entry: &Entry) -> Vec<String> {
    vec![
        spread(entry.rate(), words::count),
        words::micros(entry.latency(|of| of.p50_us).median),
        words::micros(entry.latency(|of| of.p99_us).median),
        words::micros(entry.latency(|of| of.p99_9_us).median),
        words::micros(entry.latency(|of| of.max_us).median),
    ]
}

fn costs(summary: &Summary, out: &mut String) {
    let mut rows = Vec::new();
    for workload in &summary.workloads {
        for entry in &workload.entries {
            let Some(cost) = entry.cost() else { continue };
            rows.push(vec![
                workload.title.clone(),
                series(summary, entry.series),
                words::micros(cost.cpu_us.median),
                words::bytes(cost.server_bytes.median),
                words::bytes(cost.device_bytes.median),
                words::ratio(cost.device_writes.median),
                words::bytes(cost.memory_peak_bytes.median),
            ]);
        }
    }
    if !rows.is_empty() {
        out.push_str(
            "## What an operation costs the servers\n\nAll servers of an ensemble together. Device bytes and \
             device writes are counted for the whole device, with the file system's journal and whatever \
             others wrote meanwhile.\n\n",
        );
        let head = [
            "workload",
            "",
            "CPU",
            "bytes written",
            "device bytes",
            "device writes",
            "peak memory",
        ];
        table(&head, rows, out);
    }
}

fn ladder(summary: &Summary, ladder: &Ladder, notes: &Notes, out: &mut String) {
    let parameter = words::parameter(&ladder.parameter);
    put(out, format_args!("## {}\n\n", words::capital(&ladder.title)));
    if let Some(bend) = charts::bend(ladder, summary) {
        put(out, format_args!("{bend}\n\n"));
    }
    if let Some(note) = notes.of_size(&ladder.name, ladder.servers) {
        put(out, format_args!("{}\n\n", note.trim()));
    }
    let rows = ladder.lines.iter().flat_map(|(of, steps)| {
        steps.iter().map(|(value, entry)| {
            let step = words::step(&ladder.parameter, as_f64(*value));
            let mut row = vec![step, series(summary, *of)];
            row.extend(figures(entry));
            row.extend(cost(entry.cost()));
            row
        })
    });
    let head = [
        &parameter[..],
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
    table(&head, rows, out);
}

fn failures(summary: &Summary, out: &mut String) {
    if summary.failures.is_empty() {
        return;
    }
    out.push_str("## Through failures\n\n");
    let row = |failures: &FailureTimeline, after: charts::Aftermath| {
        vec![
            failures.title.clone(),
            failures.program.clone(),
            format!("{:.1} s", after.at_s),
            match after.times {
                1 => after.event,
                times => format!("{}, {times} times", after.event),
            },
            words::micros(after.silent_s * 1e6),
            words::micros(after.p99_us),
            after.errors.to_string(),
        ]
    };
    let rows = summary.failures.iter().flat_map(|failures| {
        charts::aftermath(failures).into_iter().map(|after| row(failures, after))
    });
    let head = [
        "",
        "",
        "at",
        "event",
        "longest time without a success",
        "highest p99 after it",
        "failed operations",
    ];
    table(&head, rows, out);
}

fn elapsed(summary: &Summary, out: &mut String) {
    if summary.elapsed.is_empty() {
        return;
    }
    out.push_str("## How long it takes\n\n");
    let rows = summary.elapsed.iter().map(|elapsed| {
        vec![elapsed.what.clone(), elapsed.program.clone(), spread(elapsed.seconds, words::seconds)]
    });
    table(&["what", "", "time"], rows, out);
}

fn differences(summary: &Summary, out: &mut String) {
    if summary.differences.is_empty() {
        return;
    }
    out.push_str("## One commit against the other\n\n");
    let rows = summary.differences.iter().map(|difference| {
        vec![
            difference_title(difference),
            difference.figure.clone(),
            format!("{} ({})", words::count(difference.medians.0), difference.commits.0),
            format!("{} ({})", words::count(difference.medians.1), difference.commits.1),
            words::ratio(difference.ratio),
            format!("{:.3}", difference.p_adjusted),
            if difference.significant { "yes" } else { "may be chance" }.to_owned(),
        ]
    });
    let head = ["workload", "figure", "first", "second", "ratio", "p", "differs"];
    table(&head, rows, out);
}

fn memory(summary: &Summary, out: &mut String) {
    if summary.memory.is_empty() {
        return;
    }
    out.push_str("## Memory\n\n");
    let rows = summary.memory.iter().map(|memory| {
        let cell = |of: fn(&MemoryRow) -> Option<f64>, words: fn(f64) -> String| {
            memory.figure(of).map_or_else(|| "–".to_owned(), |figure| spread(figure, words))
        };
        let (count, each) = if memory.what == charts::CHURN {
            (words::seconds(as_f64(memory.count)), "–".to_owned())
        } else {
            let each = cell(|row| Some(row.bytes_each), words::bytes_each);
            (words::count(as_f64(memory.count)), each)
        };
        vec![
            memory.what.clone(),
            memory.program.clone(),
            count,
            cell(|row| Some(as_f64(row.resident_bytes)), words::bytes),
            cell(|row| row.live_bytes.map(as_f64), words::bytes),
            each,
        ]
    });
    table(&["what", "", "how many, how long", "resident", "live", "each"], rows, out);
}

fn core(summary: &Summary, out: &mut String) {
    if summary.core.is_empty() {
        return;
    }
    out.push_str(
        "## The core alone\n\nIn one process, by the processor time of one thread: no sockets, no disk.\n\n",
    );
    let rows = summary.core.iter().map(|(request, rate)| {
        let each = words::micros(1e6 / rate.median);
        vec![request.clone(), spread(*rate, words::count), each]
    });
    table(&["request", "per second", "time of one"], rows, out);
}

fn series(summary: &Summary, number: usize) -> String {
    summary.series.get(number).cloned().unwrap_or_default()
}

/// A median, and in brackets the spread of the rounds.
fn spread(figure: Figure, in_words: fn(f64) -> String) -> String {
    let median = in_words(figure.median);
    if figure.least < figure.most {
        format!("{median} ({})", words::range(figure.least, figure.most, in_words))
    } else {
        median
    }
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>, out: &mut String) {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    out.push_str(&line(&head));
    put(out, format_args!("|{}\n", "---|".repeat(head.len())));
    for row in rows {
        out.push_str(&line(&row));
    }
    out.push('\n');
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}
