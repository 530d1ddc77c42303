//! The cost of TLS as Markdown.

use std::collections::BTreeMap;

use super::{CONNECTIONS, RESUMPTIONS, WORKLOADS};
use crate::engine::{FULL, PLAIN, RESUMED};
use crate::report::words;
use crate::result::{Line, MemoryRow, Row, float};
use crate::statistics::{median, range};

/// What stands where nothing was measured.
const NOTHING: &str = "–";
/// Above this share of busy time, the generator may limit the figures.
const BUSY: f64 = 0.9;
/// The least share of the connections that must be of the kind that was wanted.
const WANTED_MIN: f64 = 0.8;

/// The names of the programs in results, ours first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Without TLS.
    pub plain: [String; 2],
    /// With TLS.
    pub secure: [String; 2],
}

/// One figure of each round.
type Rounds = BTreeMap<u32, f64>;

/// A row of a table: what it shows, how a figure is read from a program's results, and how it is written.
struct Figure<'a> {
    title: String,
    of: Box<dyn Fn(&str) -> Rounds + 'a>,
    words: fn(f64) -> String,
}

/// The tables: what clients see, what it costs the servers, and how busy the generator was.
pub fn tables(lines: &[Line], columns: &Columns) -> String {
    let rows = |workload: &'static str, get: fn(&Row) -> Option<f64>| {
        Box::new(move |program: &str| of_rows(lines, workload, program, get))
    };
    let figure = |workload, unit: &str, get, words| {
        let title = format!("{}{unit}", title(workload));
        Figure { title, of: rows(workload, get), words }
    };
    let mut seen = Vec::new();
    for workload in WORKLOADS {
        seen.push(match workload {
            "reads-1x1" | "writes-1x1" => figure(workload, ", p50", p50, words::micros),
            _ => figure(workload, " a second", per_second, words::count),
        });
    }
    for workload in [CONNECTIONS, RESUMPTIONS] {
        seen.push(figure(workload, " a second", per_second, words::count));
    }
    for (title, get) in [
        (
            "memory of an idle session: growth of the resident memory",
            resident as fn(&MemoryRow) -> _,
        ),
        ("memory of an idle session: of Java's, only its heap after a full collection", each),
    ] {
        let of = Box::new(move |program: &str| of_memory(lines, program, get));
        seen.push(Figure { title: title.to_owned(), of, words: words::bytes_each });
    }
    let all = || WORKLOADS.into_iter().chain([CONNECTIONS, RESUMPTIONS]);
    let cpu: Vec<_> = all().map(|name| figure(name, "", cpu_each, words::micros)).collect();
    let busy: Vec<_> = all().map(|name| figure(name, "", generator, words::percent)).collect();
    let mut out = table("What clients see", &seen, columns, true);
    out += &table("Processor time of the server for each operation", &cpu, columns, true);
    out += &table("How busy the generator's thread was", &busy, columns, false);
    out += &doubts(&busy, columns);
    out
}

fn title(workload: &str) -> &'static str {
    match workload {
        "reads-1x1" => "1 × 1 read",
        "writes-1x1" => "1 × 1 write",
        "reads-100x1" => "100 × 1 reads",
        "writes-100x1" => "100 × 1 writes",
        "reads-100x16" => "100 × 16 reads",
        "writes-100x16" => "100 × 16 writes",
        RESUMPTIONS => "connections with `ruok`, TLS session taken up",
        _ => "connections with `ruok`, TLS handshake whole",
    }
}

fn table(title: &str, figures: &[Figure<'_>], columns: &Columns, has_ratio: bool) -> String {
    let pairs = [("plain", &columns.plain), ("TLS", &columns.secure)];
    let mut out = format!("### {title}\n\n| |");
    let mut rule = "|---|".to_owned();
    for (kind, [ours, theirs]) in pairs {
        let plain = |name: &String| name.replace(", TLS", "");
        out += &format!(" {kind}: {} | {} |", plain(ours), plain(theirs));
        rule += "---|---|";
        if has_ratio {
            out += " ratio |";
            rule += "---|";
        }
    }
    out += &format!("\n{rule}\n");
    for figure in figures {
        out += &format!("| {} |", figure.title);
        for (_, [ours, theirs]) in pairs {
            let (ours, theirs) = ((figure.of)(ours), (figure.of)(theirs));
            for rounds in [&ours, &theirs] {
                let middle = middle(rounds).map_or(NOTHING.to_owned(), figure.words);
                out += &format!(" {middle} |");
            }
            if has_ratio {
                out += &format!(" {} |", ratio(&ours, &theirs));
            }
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

fn middle(rounds: &Rounds) -> Option<f64> {
    let values: Vec<f64> = rounds.values().copied().collect();
    (!values.is_empty()).then(|| median(&values))
}

/// The median of the rounds' ratios, and their range if there are several.
fn ratio(ours: &Rounds, theirs: &Rounds) -> String {
    let of_round = |(round, ours): (&u32, &f64)| {
        theirs.get(round).filter(|theirs| **theirs > 0.0).map(|theirs| ours / theirs)
    };
    let ratios: Vec<f64> = ours.iter().filter_map(of_round).collect();
    if ratios.is_empty() {
        return NOTHING.to_owned();
    }
    let (least, most) = range(&ratios);
    let spread = match ratios.len() {
        1 => String::new(),
        _ => format!(" ({})", words::range(least, most, words::ratio)),
    };
    format!("{} ×{spread}", words::ratio(median(&ratios)))
}

fn doubts(busy: &[Figure<'_>], columns: &Columns) -> String {
    let programs = || columns.plain.iter().chain(&columns.secure);
    let mut full: Vec<String> = Vec::new();
    for figure in busy {
        for program in programs() {
            if middle(&(figure.of)(program)).is_some_and(|share| share > BUSY) {
                full.push(format!("{} ({program})", figure.title));
            }
        }
    }
    match full.is_empty() {
        true => {
            "The generator was below 90 % everywhere, so the figures are the servers'.\n".to_owned()
        }
        false => format!(
            "The generator was busy for more than 90 % of the time, so that the server may do more than the figure \
             says: {}.\n",
            full.join("; ")
        ),
    }
}

fn of_rows(lines: &[Line], workload: &str, program: &str, get: fn(&Row) -> Option<f64>) -> Rounds {
    let rows = lines.iter().filter_map(|line| match line {
        Line::Row(row) if row.workload == workload && row.program == program => Some(row),
        _ => None,
    });
    rows.filter_map(|row| Some((row.round, get(row)?))).collect()
}

fn of_memory(lines: &[Line], program: &str, get: fn(&MemoryRow) -> f64) -> Rounds {
    let rows = lines.iter().filter_map(|line| match line {
        Line::Memory(row) if row.program == program => Some(row),
        _ => None,
    });
    rows.map(|row| (row.round, get(row))).collect()
}

fn p50(row: &Row) -> Option<f64> {
    Some(row.measured.all.percentiles.p50_us)
}

/// Operations a second; of connections, those of the kind that was wanted. A server that does not take up sessions has
/// no figure for that.
fn per_second(row: &Row) -> Option<f64> {
    let kinds: &[&str] = match &row.workload[..] {
        CONNECTIONS => &[PLAIN, FULL],
        RESUMPTIONS => &[RESUMED],
        _ => return Some(row.measured.all.per_second),
    };
    let of = |kind: &&str| row.measured.operations.get(*kind).map(|it| it.per_second);
    let wanted: f64 = kinds.iter().filter_map(of).sum();
    let all = row.measured.all.per_second;
    // A few handshakes are whole at the beginning, before there is a session to take up.
    (wanted > all * WANTED_MIN).then_some(all)
}

fn cpu_each(row: &Row) -> Option<f64> {
    per_second(row)?;
    let done = row.measured.all.per_second * row.measured.seconds;
    Some(row.resources?.cpu_seconds * 1e6 / done).filter(|each| each.is_finite())
}

fn generator(row: &Row) -> Option<f64> {
    per_second(row).map(|_| row.measured.generator_busy)
}

fn resident(row: &MemoryRow) -> f64 {
    (float(row.resident_bytes) - float(row.resident_bytes_before)) / float(row.count.max(1))
}

fn each(row: &MemoryRow) -> f64 {
    row.bytes_each
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Measured, OpResult, Resources};

    fn row(workload: &str, program: &str, round: u32, per_second: f64, busy: f64) -> Line {
        let all = OpResult { per_second, ..OpResult::default() };
        let operations = [(PLAIN.to_owned(), all.clone())].into_iter().collect();
        let measured =
            Measured { seconds: 2.0, all, operations, generator_busy: busy, ..Measured::default() };
        let resources = Some(Resources { cpu_seconds: 1.0, ..Resources::default() });
        Line::Row(Row {
            workload: workload.to_owned(),
            program: program.to_owned(),
            round,
            measured,
            resources,
            ..Row::default()
        })
    }

    fn columns() -> Columns {
        let pair = |names: [&str; 2]| names.map(str::to_owned);
        Columns { plain: pair(["ours", "theirs"]), secure: pair(["ours, TLS", "theirs, TLS"]) }
    }

    #[test]
    fn ratios_are_of_figures_of_one_round_and_their_median_counts() {
        let rounds = [(100.0, 50.0), (90.0, 10.0), (60.0, 20.0)];
        let lines: Vec<Line> = (1..)
            .zip(rounds)
            .flat_map(|(round, (ours, theirs))| {
                let of = |program, rate| row("reads-100x16", program, round, rate, 0.5);
                [of("ours", ours), of("theirs", theirs)]
            })
            .collect();
        let text = tables(&lines, &columns());
        assert!(
            text.contains("| 100 × 16 reads a second | 90 | 20 | 3.00 × (2.00–9.00) | – | – | – |"),
            "{text}"
        );
        // One second of processor time for twice 90.
        assert!(text.contains("| 100 × 16 reads | 5.56 ms | 25 ms |"), "{text}");
        assert!(text.contains("below 90 % everywhere"), "{text}");
    }

    #[test]
    fn a_busy_generator_is_named_and_handshakes_that_are_not_resumed_are_no_resumptions() {
        let lines = [
            row("writes-100x1", "ours, TLS", 1, 7.0, 0.95),
            row(RESUMPTIONS, "theirs, TLS", 1, 7.0, 0.5),
        ];
        let text = tables(&lines, &columns());
        assert!(text.contains("says: 100 × 1 writes (ours, TLS).\n"), "{text}");
        let line = text.lines().find(|line| line.contains("taken up a second")).unwrap();
        assert!(!line.contains('7'), "{line}");
    }
}
