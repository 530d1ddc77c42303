//! The sections beside workloads: failures, durations, memory, the core, and the machine itself.

use super::{Cell, Part, Table};
use crate::report::notes::Notes;
use crate::report::summary::{Memory, Summary};
use crate::report::{charts, words};
use crate::result::{FailureTimeline, Floor, MemoryRow, RunHeader, float};

/// Timelines with one title stand under each other, on the same scales.
pub(super) fn failures(summary: &Summary, notes: &Notes) -> Vec<Part> {
    let mut titles: Vec<&str> = Vec::new();
    for failures in &summary.failures {
        if !titles.contains(&&failures.title[..]) {
            titles.push(&failures.title);
        }
    }
    let mut parts = Vec::new();
    for title in titles {
        let same = summary.failures.iter().filter(|failures| failures.title == title);
        let together: Vec<&FailureTimeline> = same.collect();
        parts.push(Part::Title(words::capital(title), None));
        parts.extend(notes.of(title).map(|note| Part::Text(note.to_owned())));
        parts.push(Part::Table(aftermath(summary, &together)));
        for failures in &together {
            parts.push(Part::Text(lost(failures)));
            parts.push(Part::Charts(charts::failures(summary, failures, &together).into()));
        }
    }
    parts
}

/// A table of the events, with the same event of all programs next to each other.
fn aftermath(summary: &Summary, together: &[&FailureTimeline]) -> Table {
    let mut rows = Vec::new();
    for failures in together {
        for (index, after) in charts::aftermath(failures).into_iter().enumerate() {
            let event = match after.times {
                1 => after.event,
                times => format!("{}, {times} times", after.event),
            };
            let row = vec![
                Cell::words(event),
                Cell::program(summary, &failures.program),
                Cell::number(format!("{:.1} s", after.at_s)),
                Cell::number(words::seconds(after.silent_s)),
                Cell::number(words::micros(after.p99_us)),
                Cell::number(after.errors.to_string()),
            ];
            rows.push((index, row));
        }
    }
    rows.sort_by_key(|(index, _)| *index);
    let head =
        ["event", "", "at", "longest time without a success", "highest p99 after it", "failed"];
    Table::new(&head, rows.into_iter().map(|(_, row)| row))
}

/// What clients lost on the way, in words.
fn lost(failures: &FailureTimeline) -> String {
    let errors = failures.errors.iter();
    let mut parts: Vec<String> =
        errors.map(|(name, count)| format!("{} × {name}", words::count(float(*count)))).collect();
    if failures.sessions_lost > 0 {
        parts.push(format!("{} sessions lost", failures.sessions_lost));
    }
    let parts = if parts.is_empty() { "no request failed".to_owned() } else { parts.join(", ") };
    let servers = if failures.servers == 1 { "server" } else { "servers" };
    format!("{}, {} {servers}: {parts}.", failures.program, failures.servers)
}

pub(super) fn elapsed(summary: &Summary) -> Vec<Part> {
    let rows = summary.elapsed.iter().map(|elapsed| {
        vec![
            Cell::words(&elapsed.what),
            Cell::program(summary, &elapsed.program),
            Cell::figure(elapsed.seconds, words::seconds),
        ]
    });
    table(&["what", "", "time"], rows)
}

/// What things cost, each program beside the others, and whether memory grows under churn.
pub(super) fn memory(summary: &Summary) -> Vec<Part> {
    let row = |memory: &Memory| {
        let cell =
            |of: fn(&MemoryRow) -> Option<f64>, words| Cell::figure(memory.figure(of), words);
        vec![
            Cell::words(&memory.what),
            Cell::program(summary, &memory.program),
            Cell::number(words::count(float(memory.count))),
            cell(|row| Some(float(row.resident_bytes_before)), words::bytes),
            cell(|row| Some(float(row.resident_bytes)), words::bytes),
            cell(|row| row.live_bytes.map(float), words::bytes),
            cell(|row| Some(row.bytes_each), words::bytes_each),
        ]
    };
    let each = summary.memory.iter().filter(|memory| memory.what != charts::CHURN);
    let head =
        ["what", "", "how many", "resident before", "resident with them", "live with them", "each"];
    let mut parts = table(&head, each.map(row));
    if !parts.is_empty() {
        parts.push(Part::Remark(
            "Of a program with a garbage collector, what each costs is told by what is live after a full \
             collection: the least that it could need.",
        ));
    }
    let Some(chart) = charts::churn(summary) else { return parts };
    let of_churn: Vec<&Memory> =
        summary.memory.iter().filter(|memory| memory.what == charts::CHURN).collect();
    let mut programs: Vec<&str> = of_churn.iter().map(|memory| &memory.program[..]).collect();
    programs.dedup();
    parts.push(Part::Title("Under churn".to_owned(), None));
    parts.push(Part::Remark(
        "Nodes and sessions come and go, always as many as before: memory that goes on growing would be a leak.",
    ));
    parts.push(Part::Legend(programs.iter().map(|program| summary.series_of(program)).collect()));
    parts.push(Part::Charts(vec![chart]));
    let rows = programs.into_iter().map(|program| {
        let mut own = of_churn.iter().filter(|memory| memory.program == program);
        let (first, last) = (own.next().copied(), own.next_back().copied());
        let resident = |memory: Option<&Memory>| {
            let figure = memory.and_then(|of| of.figure(|row| Some(float(row.resident_bytes))));
            Cell::figure(figure, words::bytes)
        };
        let lasted = last.map_or(0.0, |memory| float(memory.count));
        let lasted = Cell::number(words::seconds(lasted));
        vec![Cell::program(summary, program), resident(first), lasted, resident(last)]
    });
    parts.extend(table(&["", "resident at first", "after", "resident"], rows));
    parts
}

pub(super) fn core(summary: &Summary) -> Vec<Part> {
    let rows = summary.core.iter().map(|(request, rate)| {
        vec![
            Cell::words(request),
            Cell::figure(*rate, words::count),
            Cell::number(words::micros(1e6 / rate.median)),
        ]
    });
    let mut parts = table(&["request", "per second", "time of one"], rows);
    if !parts.is_empty() {
        parts.push(Part::Remark(
            "Requests in, answers out, in one process and by the processor time of one thread: no sockets, no \
             disk, no load generator beside it. What a server loses against these figures is the cost of \
             everything around its core.",
        ));
    }
    parts
}

/// The circumstances of the runs, and the commands that repeat them.
pub(super) fn machine(summary: &Summary) -> Vec<Part> {
    let mut parts = Vec::new();
    for run in &summary.runs {
        parts.push(Part::Text(circumstances(run)));
        parts.push(Part::Command(run.command.clone()));
    }
    let figure = |of: fn(&Floor) -> f64| Cell::figure(summary.floor(of), words::micros);
    let Some(rate) = summary.floor(|floor| floor.null_ops_per_second) else { return parts };
    let rows = [
        vec![
            Cell::words("a durable 4 KiB write"),
            figure(|floor| floor.dsync_write.p50_us),
            figure(|floor| floor.dsync_write.p99_us),
            figure(|floor| floor.dsync_write.max_us),
            Cell::number("–"),
        ],
        vec![
            Cell::words("a round trip to a null server; answers with 100 sessions × 16 in flight"),
            figure(|floor| floor.null_round_trip.p50_us),
            figure(|floor| floor.null_round_trip.p99_us),
            figure(|floor| floor.null_round_trip.max_us),
            Cell::figure(rate, words::count),
        ],
    ];
    parts.push(Part::Title("The floor".to_owned(), None));
    parts.extend(table(&["", "p50", "p99", "max", "per second"], rows));
    parts
}

fn circumstances(run: &RunHeader) -> String {
    format!(
        "{}, commit {}{}, {}, {} cores, {}, {}, {} on {}, {} of {} s for each row, load {:.2} before it:",
        run.date,
        run.commit,
        if run.dirty { " with changes" } else { "" },
        run.cpu,
        run.cores,
        words::bytes(float(run.memory_bytes)),
        run.kernel,
        run.file_system,
        run.device,
        words::rounds(run.rounds),
        run.seconds_per_row,
        run.loadavg_before,
    )
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> Vec<Part> {
    let table = Table::new(head, rows);
    if table.rows.is_empty() { Vec::new() } else { vec![Part::Table(table)] }
}
