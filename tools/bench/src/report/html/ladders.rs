//! Ladders: rate and p99 while one parameter grows, and where it bends.

use maud::{Markup, html};

use super::super::notes::Notes;
use super::super::summary::{Ladder, Summary, as_f64};
use super::super::{charts, words};
use super::{costs, legend, paragraphs, picture, series_name, spread};

pub(super) fn section(summary: &Summary, notes: &Notes) -> Option<Markup> {
    if summary.ladders.is_empty() {
        return None;
    }
    Some(html! { @for ladder in &summary.ladders { (article(summary, ladder, notes)) } })
}

fn article(summary: &Summary, ladder: &Ladder, notes: &Notes) -> Markup {
    let [rate, latency] = charts::ladder(ladder);
    html! {
        article {
            h3 { (words::capital(&ladder.title)) " " code { (ladder.name) } }
            @if let Some(bend) = charts::bend(ladder, summary) { p { (bend) } }
            (paragraphs(notes.of_size(&ladder.name, ladder.servers)))
            (legend(summary, ladder.lines.iter().map(|(series, _)| *series)))
            div.pair { (picture(&rate)) (picture(&latency)) }
            details { summary { "The figures" } (table(summary, ladder)) }
        }
    }
}

fn table(summary: &Summary, ladder: &Ladder) -> Markup {
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th.number { (words::parameter(&ladder.parameter)) } th { }
                        th.number { "operations/s" }
                        th.number { "p50" } th.number { "p99" } th.number { "p99.9" }
                        th.number { "max" }
                        (costs::head())
                    }
                }
                tbody {
                    @for (series, steps) in &ladder.lines {
                        @for (value, entry) in steps {
                            tr {
                                td.number { (words::step(&ladder.parameter, as_f64(*value))) }
                                th { (series_name(summary, *series)) }
                                td.number { (spread(entry.rate(), words::count)) }
                                td.number { (spread(entry.latency(|of| of.p50_us), words::micros)) }
                                td.number { (spread(entry.latency(|of| of.p99_us), words::micros)) }
                                td.number { (spread(entry.latency(|of| of.p99_9_us), words::micros)) }
                                td.number { (spread(entry.latency(|of| of.max_us), words::micros)) }
                                (costs::cells(entry.cost()))
                            }
                        }
                    }
                }
            }
        }
    }
}
