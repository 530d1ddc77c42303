//! Reasons to doubt a run, which the report gives itself, at its beginning. An empty list means a good run.

use super::figure::Figure;
use super::summary::{Entry, Summary};
use super::words;
use crate::result::{RunHeader, float};

/// If the generator is busy for a larger part of the time, the figures may be its own limits.
const GENERATOR_BUSY_MAX: f64 = 0.9;
/// Rounds further apart than this part of their median say little about small differences.
const SPREAD_MAX: f64 = 0.5;
/// Load per core before the run above which other programs were at work; a guess.
const LOAD_PER_CORE_MAX: f64 = 0.3;
/// The fewest rounds whose spread says something.
const ROUNDS_MIN: u32 = 3;
/// The most names in a list; longer lists help no reader.
const NAMED_MAX: usize = 6;

/// One sentence for each doubt.
pub fn doubts(summary: &Summary) -> Vec<String> {
    let mut doubts = Vec::new();
    about_runs(summary, &mut doubts);
    about_floor(summary, &mut doubts);
    about_rows(summary, &mut doubts);
    doubts
}

fn about_runs(summary: &Summary, doubts: &mut Vec<String>) {
    let all = summary.runs.len();
    let mut dirty: Vec<&str> =
        summary.runs.iter().filter(|run| run.dirty).map(|run| &run.commit[..]).collect();
    dirty.dedup();
    for commit in dirty {
        doubts.push(format!(
            "The working tree had changes on top of commit {commit}: nobody can build exactly this again."
        ));
    }
    let is_loud = |run: &&RunHeader| {
        let cores = u32::try_from(run.cores.max(1)).unwrap_or(u32::MAX);
        run.loadavg_before > LOAD_PER_CORE_MAX * f64::from(cores)
    };
    let loud = || summary.runs.iter().filter(is_loud);
    if let Some(run) =
        loud().max_by(|one, other| one.loadavg_before.total_cmp(&other.loadavg_before))
    {
        doubts.push(format!(
            "The machine was not quiet before {} of {all} runs: load average up to {:.1} on {} cores.",
            loud().count(),
            run.loadavg_before,
            run.cores
        ));
    }
    let few = summary.runs.iter().filter(|run| run.rounds < ROUNDS_MIN).count();
    if few > 0 {
        doubts.push(format!(
            "{few} of {all} runs had fewer than three rounds: the spread of so few says little."
        ));
    }
}

fn about_floor(summary: &Summary, doubts: &mut Vec<String>) {
    let parts: [(&str, Option<Figure>); 2] = [
        ("device write", summary.floor(|floor| floor.dsync_write.p50_us)),
        ("round trip to a null server", summary.floor(|floor| floor.null_round_trip.p50_us)),
    ];
    for (what, figure) in parts {
        let Some(figure) = figure.filter(|figure| figure.spread() > SPREAD_MAX) else { continue };
        doubts.push(format!(
            "The floor itself moved: the {what} took {} to {} (p50) from round to round.",
            words::micros(figure.least),
            words::micros(figure.most)
        ));
    }
}

fn about_rows(summary: &Summary, doubts: &mut Vec<String>) {
    let entries = all_entries(summary);
    let mut list = |what: &str, found: Vec<String>| {
        if !found.is_empty() {
            doubts.push(format!("{what}: {}.", named(&found)));
        }
    };
    let mut errors = Vec::new();
    let mut lost = Vec::new();
    let mut busy = Vec::new();
    let mut apart = Vec::new();
    for (title, entry) in &entries {
        let who = format!("{title} ({})", summary.series[entry.series]);
        let kinds = entry.errors();
        if !kinds.is_empty() {
            let kinds: Vec<String> = kinds
                .iter()
                .map(|(name, count)| format!("{} × {name}", words::count(float(*count))))
                .collect();
            errors.push(format!("{who}: {}", kinds.join(", ")));
        }
        if entry.sessions_lost() > 0 {
            lost.push(format!("{who}: {}", entry.sessions_lost()));
        }
        let generator = entry.figure(|row| row.measured.generator_busy).most;
        if generator > GENERATOR_BUSY_MAX {
            busy.push(format!("{who}: {:.0} %", generator * 100.0));
        }
        if entry.rate().spread() > SPREAD_MAX {
            apart.push(format!("{who}: {:.0} %", entry.rate().spread() * 100.0));
        }
    }
    list("Requests failed", errors);
    list("Servers let sessions expire while their clients were alive", lost);
    list("The load generator had hardly any time left, so it may be what was measured", busy);
    list("Rounds lie far apart (from the lowest to the highest, by the median)", apart);
}

/// Every entry with a title, ladders' steps included.
fn all_entries(summary: &Summary) -> Vec<(String, &Entry)> {
    let mut all: Vec<(String, &Entry)> = Vec::new();
    for workload in &summary.workloads {
        all.extend(workload.entries.iter().map(|entry| (workload.title.clone(), entry)));
    }
    for ladder in &summary.ladders {
        for (value, entry) in ladder.lines.iter().flat_map(|(_, steps)| steps) {
            let value = words::step(&ladder.parameter, float(*value));
            let parameter = words::parameter(&ladder.parameter);
            all.push((format!("{} at {value} {parameter}", ladder.title), entry));
        }
    }
    all
}

fn named(found: &[String]) -> String {
    let shown = found.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
    match found.len().checked_sub(NAMED_MAX) {
        None | Some(0) => shown,
        Some(more) => format!("{shown}; and {more} more"),
    }
}
