//! The report as one HTML file: no script, nothing fetched, every chart inside. It opens from a
//! disk, in an archive, behind any wall.
//!
//! Templates are maud's, which escapes whatever comes from a results file; only charts, which are
//! made here, are put in as they are.

mod core;
mod costs;
mod differences;
mod elapsed;
mod failures;
mod goals;
mod ladders;
mod machine;
mod memory;
mod workloads;

pub use costs::EACH as COST_OF_EACH;
pub use differences::title as difference_title;
pub use goals::value as goal_value;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts;
use super::doubts::doubts;
use super::figure::Figure;
use super::notes::Notes;
use super::plot::Chart;
use super::summary::Summary;
use super::words::range;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn page(summary: &Summary, notes: &Notes) -> String {
    let title = notes.title.as_deref().unwrap_or("Ringkeeper benchmark");
    let sections = sections(summary, notes);
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
                    (paragraphs(notes.summary.as_deref()))
                    nav {
                        @for section in &sections { a href={ "#" (section.id) } { (section.title) } }
                    }
                }
                main {
                    (doubt_list(summary))
                    @for section in sections {
                        section id=(section.id) { h2 { (section.title) } (section.body) }
                    }
                }
                footer { (how_to_read()) }
            }
        }
    };
    page.into_string()
}

/// A part of the page that the navigation names.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

fn sections(summary: &Summary, notes: &Notes) -> Vec<Section> {
    let all = [
        ("goals", "Goals", goals::section(summary)),
        ("differences", "One commit against the other", differences::section(summary)),
        ("workloads", "Workloads", workloads::section(summary, notes)),
        ("costs", "What an operation costs", costs::section(summary)),
        ("ladders", "How cost grows", ladders::section(summary, notes)),
        ("failures", "Through failures", failures::section(summary, notes)),
        ("elapsed", "How long it takes", elapsed::section(summary)),
        ("memory", "Memory", memory::section(summary)),
        ("core", "The core alone", core::section(summary)),
        ("machine", "Machine, floor, command", machine::section(summary)),
    ];
    let present = all
        .into_iter()
        .filter_map(|(id, title, body)| body.map(|body| Section { id, title, body }));
    present.collect()
}

/// The report in a sentence.
pub fn verdict(summary: &Summary) -> String {
    let (goals, met) = (summary.goals.len(), summary.goals.iter().filter(|goal| goal.met).count());
    let workloads = summary.workloads.len() + summary.ladders.len();
    let against: Vec<&str> = summary.series.iter().map(|series| &series[..]).collect();
    let who = against.join(", ");
    match (goals, workloads) {
        (0, 0) => format!("Measured: {who}."),
        (0, _) => format!("{workloads} workloads; measured: {who}."),
        (_, _) => format!("{met} of {goals} goals reached; measured: {who}."),
    }
}

fn doubt_list(summary: &Summary) -> Markup {
    let doubts = doubts(summary);
    html! {
        @if !doubts.is_empty() {
            aside {
                h2 { "What to doubt" }
                ul { @for doubt in doubts { li { (doubt) } } }
            }
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
             prepared file, and a round trip to a server that only frames and answers."
        }
    }
}

/// Free text from a person: an empty line ends a paragraph.
fn paragraphs(text: Option<&str>) -> Markup {
    html! {
        @for paragraph in text.unwrap_or("").split("\n\n").filter(|text| !text.trim().is_empty()) {
            p { (paragraph) }
        }
    }
}

/// A chart, scaled to its place.
fn picture(chart: &Chart) -> Markup {
    html! { figure { (PreEscaped(chart.svg())) } }
}

/// Which colour is whose.
fn legend(summary: &Summary, series: impl IntoIterator<Item = usize>) -> Markup {
    html! {
        p.legend { @for series in series { span { (series_name(summary, series)) } } }
    }
}

/// A bar as long as its part of the largest, in the series' colour.
fn length(series: usize, value: f64, largest: f64) -> Markup {
    let part = if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
    let width = format!("{:.1}", part * 100.0);
    let colour = charts::colour(series).hex();
    html! { div.length { div style={ "width:" (width) "%;background:" (colour) } {} } }
}

/// The name of a series with its colour before it.
fn series_name(summary: &Summary, series: usize) -> Markup {
    let name = summary.series.get(series).map_or("", |name| name);
    html! { i style={ "background:" (charts::colour(series).hex()) } {} (name) }
}

/// A median, and small beside it the spread of the rounds.
fn spread(figure: Figure, words: fn(f64) -> String) -> Markup {
    let apart = words(figure.least) != words(figure.most);
    html! {
        (words(figure.median))
        @if apart { small { (range(figure.least, figure.most, words)) } }
    }
}
