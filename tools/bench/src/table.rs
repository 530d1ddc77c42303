//! Results as Markdown tables on the terminal: the rows with their costs, and the goals.
//!
//! For a person who has just measured. The report draws the same lines with curves and ladders.

use std::fmt::Write;

use crate::report::html::goal_value;
use crate::report::words::range as range_of;
use crate::result::{Difference, GoalResult, Line, Row, float};
use crate::statistics::{median, range};

/// One program at one workload, all rounds.
struct Entry<'a> {
    rows: Vec<&'a Row>,
}

/// What rows have in common that can be compared.
#[derive(PartialEq)]
struct Work<'a> {
    workload: &'a str,
    step: &'a Option<(String, u64)>,
    servers: usize,
}

impl Work<'_> {
    fn of(row: &Row) -> Work<'_> {
        let Row { workload, step, servers, .. } = row;
        Work { workload, step, servers: *servers }
    }
}

impl Entry<'_> {
    fn of(&self, figure: impl Fn(&Row) -> f64) -> f64 {
        median(&self.rows.iter().map(|row| figure(row)).collect::<Vec<_>>())
    }

    /// The median of a cost for each operation that was answered; a dash where nothing is known.
    fn each(&self, cost: impl Fn(&Row) -> Option<f64>, digits: usize) -> String {
        let of = |row: &&Row| {
            let answered = row.measured.all.per_second * row.measured.seconds;
            (answered > 0.0).then(|| Some(cost(row)? / answered)).flatten()
        };
        let costs: Vec<f64> = self.rows.iter().filter_map(of).collect();
        if costs.is_empty() { "–".to_owned() } else { format!("{:.digits$}", median(&costs)) }
    }
}

/// All rows, each program under the other, with its rate divided by that of `reference` in the same
/// round. The reference is the first program whose name begins so, if there is one.
pub fn rows(lines: &[Line], reference: &str) -> String {
    let rows: Vec<&Row> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Row(row) => Some(row),
            _ => None,
        })
        .collect();
    let mut table = String::from(
        "| work | servers | program | ops/s | spread | p50 µs | p99 µs | p99.9 µs | × | errors | \
         CPU µs/op | memory MiB | server B/op | device B/op | device writes/op |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut works: Vec<Work<'_>> = Vec::new();
    for row in &rows {
        let work = Work::of(row);
        if works.contains(&work) {
            continue;
        }
        let of_work: Vec<&Row> =
            rows.iter().filter(|other| Work::of(other) == work).copied().collect();
        let mut programs: Vec<&str> = Vec::new();
        for row in &of_work {
            if programs.contains(&row.program.as_str()) {
                continue;
            }
            let own = of_work.iter().filter(|other| other.program == row.program);
            let entry = Entry { rows: own.copied().collect() };
            writeln!(table, "{}", line_of(&entry, &of_work, reference))
                .expect("writing into a String cannot fail");
            programs.push(&row.program);
        }
        works.push(work);
    }
    table
}

fn line_of(entry: &Entry<'_>, of_work: &[&Row], reference: &str) -> String {
    let first = entry.rows[0];
    let title = match &first.step {
        Some((parameter, value)) => format!("{}, {parameter} {value}", first.title),
        None => first.title.clone(),
    };
    let rates: Vec<f64> = entry.rows.iter().map(|row| row.measured.all.per_second).collect();
    let (low, high) = range(&rates);
    let ratios: Vec<f64> = entry
        .rows
        .iter()
        .filter_map(|row| {
            let pair = of_work
                .iter()
                .find(|other| other.round == row.round && other.program.starts_with(reference))?;
            Some(row.measured.all.per_second / pair.measured.all.per_second)
        })
        .filter(|ratio| ratio.is_finite())
        .collect();
    let ratio = if ratios.is_empty() || first.program.starts_with(reference) {
        "–".to_owned()
    } else {
        let (low, high) = range(&ratios);
        format!("{:.2} ({low:.2}–{high:.2})", median(&ratios))
    };
    let errors: u64 = entry
        .rows
        .iter()
        .map(|row| row.measured.errors.values().sum::<u64>() + row.measured.sessions_lost)
        .sum();
    let percentile = |figure: fn(&Row) -> f64| format!("{:.0}", entry.of(figure));
    let cpu = |row: &Row| Some(row.resources?.cpu_seconds * 1e6);
    let own = |row: &Row| Some(float(row.resources?.server_bytes_written));
    let bytes = |row: &Row| Some(float(row.resources?.device_bytes_written));
    let writes = |row: &Row| Some(float(row.resources?.device_writes));
    let memory = entry
        .rows
        .iter()
        .filter_map(|row| Some(row.resources?.memory_peak_bytes >> 20))
        .max()
        .map_or("–".to_owned(), |mib| mib.to_string());
    format!(
        "| {title} | {} | {} | {:.0} | {low:.0}–{high:.0} | {} | {} | {} | {ratio} | {errors} | {} | \
         {memory} | {} | {} | {} |",
        first.servers,
        first.program,
        median(&rates),
        percentile(|row| row.measured.all.percentiles.p50_us),
        percentile(|row| row.measured.all.percentiles.p99_us),
        percentile(|row| row.measured.all.percentiles.p99_9_us),
        entry.each(cpu, 1),
        entry.each(own, 0),
        entry.each(bytes, 0),
        entry.each(writes, 4),
    )
}

/// The goals.
pub fn goals(goals: &[GoalResult]) -> String {
    let mut table = String::from("| goal | | reached | spread | met |\n|---|---|---|---|---|\n");
    for goal in goals {
        let GoalResult { title, goal: words, reached, spread, met, .. } = goal;
        writeln!(
            table,
            "| {title} | {words} | {} | {} | {} |",
            goal_value(goal, *reached),
            range_of(spread.0, spread.1, |figure| goal_value(goal, figure)),
            if *met { "yes" } else { "**no**" }
        )
        .expect("writing into a String cannot fail");
    }
    table
}

/// How two commits differ.
pub fn differences(differences: &[Difference]) -> String {
    let mut table = String::new();
    let Some(Difference { commits: (first, second), .. }) = differences.first() else {
        return table;
    };
    writeln!(
        table,
        "| work | servers | figure | {first} | {second} | ratio (pairs) | p | p adjusted | |\n\
         |---|---|---|---|---|---|---|---|---|"
    )
    .expect("writing into a String cannot fail");
    for difference in differences {
        let Difference { title, step, servers, figure, medians, ratios, ratio, p, .. } = difference;
        let (low, high) = range(ratios);
        let title = match step {
            Some((parameter, value)) => format!("{title}, {parameter} {value}"),
            None => title.clone(),
        };
        writeln!(
            table,
            "| {title} | {servers} | {figure} | {:.1} | {:.1} | {ratio:.3} ({low:.3}–{high:.3}) | \
             {p:.4} | {:.4} | {} |",
            medians.0,
            medians.1,
            difference.p_adjusted,
            if difference.significant { "**differs**" } else { "" }
        )
        .expect("writing into a String cannot fail");
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::result::{Measured, OpResult, Percentiles, Resources};

    use super::*;

    fn row(program: &str, round: u32, per_second: f64) -> Line {
        let percentiles = Percentiles { p50_us: 10.0, p99_us: 20.0, ..Percentiles::default() };
        Line::Row(Row {
            workload: "w".to_owned(),
            title: "writes".to_owned(),
            program: program.to_owned(),
            commit: None,
            servers: 3,
            round,
            step: Some(("sessions".to_owned(), 10)),
            measured: Measured {
                seconds: 2.0,
                all: OpResult { per_second, percentiles, ..OpResult::default() },
                operations: BTreeMap::new(),
                errors: BTreeMap::from([("NoNode".to_owned(), 3)]),
                sessions_lost: 1,
                timeline: Vec::new(),
                generator_busy: 0.0,
            },
            resources: Some(Resources {
                cpu_seconds: 0.5,
                memory_peak_bytes: 7 << 20,
                server_bytes_written: 2000,
                device_bytes_written: 4096,
                device_writes: 2,
            }),
            load_average: 0.0,
        })
    }

    #[test]
    fn programs_stand_under_each_other_with_ratios_and_costs_for_each_operation() {
        let lines = [
            row("ringkeeper", 1, 1000.0),
            row("zookeeper 3.9.4", 1, 500.0),
            row("zookeeper 3.9.4", 2, 250.0),
            row("ringkeeper", 2, 1000.0),
        ];
        let table = rows(&lines, "zookeeper 3.9");
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| writes, sessions 10 | 3 | ringkeeper | 1000 | 1000–1000 | 10 | 20 | 0 | 3.00 \
                 (2.00–4.00) | 8 | 250.0 | 7 | 1 | 2 | 0.0010 |",
                "| writes, sessions 10 | 3 | zookeeper 3.9.4 | 375 | 250–500 | 10 | 20 | 0 | – | 8 | \
                 750.0 | 7 | 3 | 6 | 0.0030 |",
            ]
        );
    }
}
