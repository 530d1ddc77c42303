//! What a report says, section by section, before it is HTML or Markdown: texts, tables, charts.
//!
//! A section without parts does not appear. Markdown leaves out charts and their legends, and titles under which
//! nothing else is left.

mod once;
mod rates;

use super::figure::Figure;
use super::notes::Notes;
use super::plot::Chart;
use super::summary::Summary;
use super::words;

/// A part of the report that the page's navigation names.
#[derive(Debug)]
pub struct Section {
    /// The anchor in the page.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// What stands below it, in order.
    pub parts: Vec<Part>,
}

/// One thing in a section.
#[derive(Debug)]
pub enum Part {
    /// A heading below the section's, and the name of the definition if there is one.
    Title(String, Option<String>),
    /// A paragraph.
    Text(String),
    /// A paragraph that explains the figures beside it.
    Remark(&'static str),
    /// A command line.
    Command(String),
    /// A table.
    Table(Table),
    /// A legend of the colours of these series, by their numbers.
    Legend(Vec<usize>),
    /// Charts, next to each other if they are narrow.
    Charts(Vec<Chart>),
}

/// A table; every row is as long as the head.
#[derive(Debug)]
pub struct Table {
    /// The titles of the columns.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The text of the cell.
    pub text: String,
    /// The lowest and the highest round, where they differ.
    pub range: Option<String>,
    /// The look of the cell.
    pub kind: Kind,
}

/// The look of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words, aligned to the left.
    Words,
    /// A number, aligned to the right.
    Number,
    /// The name of a series, with its colour.
    Series(usize),
    /// A good outcome, or a bad one.
    Verdict(bool),
}

impl Table {
    fn new(head: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> Table {
        let head = head.iter().map(|&title| title.to_owned()).collect();
        Table { head, rows: rows.into_iter().collect() }
    }
}

impl Cell {
    fn of(kind: Kind, text: impl Into<String>) -> Cell {
        Cell { text: text.into(), range: None, kind }
    }

    fn words(text: impl Into<String>) -> Cell {
        Cell::of(Kind::Words, text)
    }

    fn number(text: impl Into<String>) -> Cell {
        Cell::of(Kind::Number, text)
    }

    fn series(summary: &Summary, number: usize) -> Cell {
        Cell::of(Kind::Series(number), summary.series.get(number).map_or("", |name| name))
    }

    /// The series of a program that names no commit.
    fn program(summary: &Summary, program: &str) -> Cell {
        Cell::series(summary, summary.series_of(program))
    }

    /// The median with the range of the rounds; a dash if there is no figure.
    fn figure(figure: impl Into<Option<Figure>>, words: fn(f64) -> String) -> Cell {
        let Some(Figure { median, least, most }) = figure.into() else {
            return Cell::number("–");
        };
        let differ = words(least) != words(most);
        let range = differ.then(|| words::range(least, most, words));
        Cell { range, ..Cell::number(words(median)) }
    }
}

/// Every section for which there are measurements.
pub fn sections(summary: &Summary, notes: &Notes) -> Vec<Section> {
    let all = [
        ("goals", "Goals", rates::goals(summary)),
        ("differences", "One commit against the other", rates::differences(summary)),
        ("workloads", "Workloads", rates::workloads(summary, notes)),
        ("costs", "What an operation costs", rates::costs(summary)),
        ("ladders", "How cost grows", rates::ladders(summary, notes)),
        ("failures", "Through failures", once::failures(summary, notes)),
        ("elapsed", "How long it takes", once::elapsed(summary)),
        ("memory", "Memory", once::memory(summary)),
        ("core", "The core alone", once::core(summary)),
        ("machine", "Machine, floor, command", once::machine(summary)),
    ];
    let present = all.into_iter().filter(|(.., parts)| !parts.is_empty());
    present.map(|(id, title, parts)| Section { id, title, parts }).collect()
}

/// The report in a sentence.
pub fn verdict(summary: &Summary) -> String {
    let (goals, met) = (summary.goals.len(), summary.goals.iter().filter(|goal| goal.met).count());
    let workloads = summary.workloads.len() + summary.ladders.len();
    let who = summary.series.join(", ");
    match (goals, workloads) {
        (0, 0) => format!("Measured: {who}."),
        (0, _) => format!("{workloads} workloads; measured: {who}."),
        (_, _) => format!("{met} of {goals} goals reached; measured: {who}."),
    }
}
