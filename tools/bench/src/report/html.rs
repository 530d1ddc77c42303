//! The report as one HTML file: without scripts or fetched parts, and with every chart inside, so that it opens from
//! a disk, from an archive, and without a network.
//!
//! maud's templates escape all text of a results file. Only charts, which this program makes, are inserted
//! unchanged.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts;
use super::doubts::doubts;
use super::notes::Notes;
use super::sections::{Cell, Kind, Part, Table, sections, verdict};
use super::summary::Summary;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn page(summary: &Summary, notes: &Notes) -> String {
    let title = notes.title.as_deref().unwrap_or("Ringkeeper benchmark");
    let (sections, doubts) = (sections(summary, notes), doubts(summary));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.verdict { (verdict(summary)) }
                    @for (run, dates) in summary.circumstances() {
                        p.muted {
                            (dates.join(" to ")) " · commit " code { (run.commit) }
                            @if run.dirty { " with changes" }
                            " · " (run.cpu) ", " (run.cores) " cores"
                        }
                    }
                    (paragraphs(notes.summary.as_deref().unwrap_or("")))
                    nav {
                        @for section in &sections { a href={ "#" (section.id) } { (section.title) } }
                    }
                }
                main {
                    @if !doubts.is_empty() {
                        aside { h2 { "What to doubt" } ul { @for doubt in doubts { li { (doubt) } } } }
                    }
                    @for section in &sections {
                        section id=(section.id) {
                            h2 { (section.title) }
                            @for part in &section.parts { (self::part(summary, part)) }
                        }
                    }
                }
                footer { (how_to_read()) }
            }
        }
    };
    page.into_string()
}

fn part(summary: &Summary, part: &Part) -> Markup {
    html! {
        @match part {
            Part::Title(title, name) => {
                h3 { (title) @if let Some(name) = name { " " code { (name) } } }
            }
            Part::Text(text) => (paragraphs(text)),
            Part::Remark(text) => p.muted { (text) },
            Part::Command(command) => p { code { (command) } },
            Part::Table(table) => (self::table(table)),
            Part::Legend(series) => {
                p.legend {
                    @for number in series {
                        span { (colour(*number)) (summary.series.get(*number).map_or("", |name| name)) }
                    }
                }
            }
            Part::Charts(charts) => {
                div.pair[charts.iter().all(charts::is_narrow)] {
                    @for chart in charts { figure { (PreEscaped(chart.svg())) } }
                }
            }
        }
    }
}

fn table(table: &Table) -> Markup {
    let is_number = |column: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(column));
        cells.clone().any(|cell| cell.kind == Kind::Number)
    };
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        @for (column, title) in table.head.iter().enumerate() {
                            th.number[is_number(column)] { (title) }
                        }
                    }
                }
                tbody { @for row in &table.rows { tr { @for cell in row { (self::cell(cell)) } } } }
            }
        }
    }
}

fn cell(cell: &Cell) -> Markup {
    let text = html! { (cell.text) @if let Some(range) = &cell.range { small { (range) } } };
    html! {
        @match cell.kind {
            Kind::Words => td { (text) },
            Kind::Number => td.number { (text) },
            Kind::Series(number) => th { (colour(number)) (text) },
            Kind::Verdict(good) => td { span.met[good].missed[!good] { (text) } },
        }
    }
}

/// The colour of a series, in front of its name.
fn colour(series: usize) -> Markup {
    html! { i style={ "background:" (charts::colour(series).hex()) } {} }
}

/// Free text: an empty line ends a paragraph.
fn paragraphs(text: &str) -> Markup {
    html! {
        @for paragraph in text.split("\n\n").filter(|text| !text.trim().is_empty()) {
            p { (paragraph) }
        }
    }
}

fn how_to_read() -> Markup {
    html! {
        h2 { "How to read this" }
        p {
            "Every program had its turn in every round, one after the other, on fresh folders of the \
             same disk. A figure is the median of the rounds; what stands small beside it, and the pale \
             band in a chart, is the lowest and the highest round. A ratio is made within a round, \
             then its median is taken."
        }
        p {
            "Latency counts from the moment a request was due, whether or not the generator could \
             send it then, so a server that stalls is charged for everything that waited. The axis of \
             the percentile charts gives each nine the same room: what happens to one request in a \
             thousand is as visible as what happens to half of them. A curve ends with a dot at its \
             largest sample."
        }
        p {
            "The floor is what no server can beat on this machine: a durable 4 KiB write to a \
             prepared file, and a round trip to a server that only frames and answers. Times without a success \
             are as fine as the slices of the timeline."
        }
    }
}
