//! What things cost in memory, each program beside the others, and whether it grows under churn.

use maud::{Markup, html};

use super::super::summary::{Memory, Summary, as_f64};
use super::super::{charts, words};
use super::{legend, length, picture, series_name, spread};
use crate::result::MemoryRow;

pub(super) fn section(summary: &Summary) -> Option<Markup> {
    if summary.memory.is_empty() {
        return None;
    }
    let each: Vec<&Memory> =
        summary.memory.iter().filter(|memory| memory.what != charts::CHURN).collect();
    let series = summary.memory.iter().filter(|memory| memory.what == charts::CHURN);
    let mut series: Vec<usize> = series.map(|memory| summary.series_of(&memory.program)).collect();
    series.sort_unstable();
    series.dedup();
    Some(html! {
        @if !each.is_empty() { (table(summary, &each)) }
        @if let Some(chart) = charts::churn(summary) {
            h3 { "Under churn" }
            p.muted {
                "Nodes and sessions come and go, always as many as before: memory that goes on growing \
                 would be a leak."
            }
            (legend(summary, series))
            (picture(&chart))
        }
    })
}

fn table(summary: &Summary, each: &[&Memory]) -> Markup {
    let live = each.iter().any(|memory| memory.figure(live).is_some());
    let largest = |what: &str| {
        each.iter().filter(|other| other.what == what).map(|other| other.each()).fold(0.0, f64::max)
    };
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th { "what" } th { } th.number { "how many" }
                        th.number { "resident before" } th.number { "resident with them" }
                        @if live { th.number { "live with them" } }
                        th.number { "each" } th { }
                    }
                }
                tbody {
                    @for memory in each {
                        @let series = summary.series_of(&memory.program);
                        tr {
                            td { (memory.what) }
                            th { (series_name(summary, series)) }
                            td.number { (words::count(as_f64(memory.count))) }
                            (cell(memory, |row| Some(as_f64(row.resident_bytes_before)), words::bytes))
                            (cell(memory, |row| Some(as_f64(row.resident_bytes)), words::bytes))
                            @if live { (cell(memory, self::live, words::bytes)) }
                            (cell(memory, |row| Some(row.bytes_each), words::bytes_each))
                            td { (length(series, memory.each(), largest(&memory.what))) }
                        }
                    }
                }
            }
        }
        @if live {
            p.muted {
                "Of a program with a garbage collector, what each costs is told by what is live after a full \
                 collection: the least that it could need."
            }
        }
    }
}

fn live(row: &MemoryRow) -> Option<f64> {
    row.live_bytes.map(as_f64)
}

fn cell(memory: &Memory, of: fn(&MemoryRow) -> Option<f64>, words: fn(f64) -> String) -> Markup {
    html! {
        td.number {
            @if let Some(figure) = memory.figure(of) { (spread(figure, words)) } @else { "–" }
        }
    }
}
