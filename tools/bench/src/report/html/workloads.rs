//! Every workload: a table of all series, the percentile curves, the course of time.

use maud::{Markup, html};

use super::super::notes::Notes;
use super::super::summary::{Entry, Ratios, Summary, Workload};
use super::super::{charts, words};
use super::{paragraphs, picture, series_name, spread};
use crate::result::{OpResult, Percentiles};

pub(super) fn section(summary: &Summary, notes: &Notes) -> Option<Markup> {
    if summary.workloads.is_empty() {
        return None;
    }
    Some(html! { @for workload in &summary.workloads { (article(summary, workload, notes)) } })
}

fn article(summary: &Summary, workload: &Workload, notes: &Notes) -> Markup {
    let operations = workload.entries.iter().any(|entry| kinds(entry) > 1);
    html! {
        article {
            h3 { (words::capital(&workload.title)) " " code { (workload.name) } }
            (table(summary, workload))
            (paragraphs(notes.of_size(&workload.name, workload.servers)))
            (picture(&charts::percentiles(workload, charts::floor_of(summary, workload))))
            @if operations || charts::timeline(workload).is_some() {
                details {
                    summary { "By operation, and over time" }
                    @if operations { (by_operation(summary, workload)) }
                    @if let Some([rate, latency]) = charts::timeline(workload) {
                        div.pair { (picture(&rate)) (picture(&latency)) }
                    }
                }
            }
        }
    }
}

fn table(summary: &Summary, workload: &Workload) -> Markup {
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th { }
                        th.number { "operations/s" }
                        th.number { "p50" } th.number { "p99" } th.number { "p99.9" }
                        th.number { "p99.99" } th.number { "max" }
                        th.number title="operations per second, by the reference's" { "rate ×" }
                        th.number title="the reference's p50, by this one's" { "p50 ×" }
                        th.number title="the reference's p99, by this one's" { "p99 ×" }
                        th.number { "errors" }
                    }
                }
                tbody {
                    @for entry in &workload.entries { (line(summary, workload, entry)) }
                }
            }
        }
    }
}

fn line(summary: &Summary, workload: &Workload, entry: &Entry) -> Markup {
    let latency = |of: fn(&Percentiles) -> f64| spread(entry.latency(of), words::micros);
    let errors: u64 = entry.errors().values().sum::<u64>() + entry.sessions_lost();
    html! {
        tr {
            th { (series_name(summary, entry.series)) }
            td.number { b { (spread(entry.rate(), words::count)) } }
            td.number { (latency(|of| of.p50_us)) }
            td.number { (latency(|of| of.p99_us)) }
            td.number { (latency(|of| of.p99_9_us)) }
            td.number { (latency(|of| of.p99_99_us)) }
            td.number { (latency(|of| of.max_us)) }
            (ratios(summary.ratios(entry, &workload.entries)))
            td.number { @if errors > 0 { span.missed { (errors) } } @else { "0" } }
        }
    }
}

fn ratios(ratios: Option<Ratios>) -> Markup {
    let each = match ratios {
        Some(Ratios { rate, p50, p99 }) => [rate, p50, p99],
        None => [None; 3],
    };
    html! {
        @for figure in each {
            td.number {
                @if let Some(figure) = figure { (spread(figure, words::ratio)) } @else { "–" }
            }
        }
    }
}

fn kinds(entry: &Entry) -> usize {
    entry.rows.iter().map(|row| row.measured.operations.len()).max().unwrap_or(0)
}

fn by_operation(summary: &Summary, workload: &Workload) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    let rows = workload.entries.iter().flat_map(|entry| &entry.rows);
    for name in rows.flat_map(|row| row.measured.operations.keys()) {
        if !names.contains(&&name[..]) {
            names.push(name);
        }
    }
    let figure = |entry: &Entry, name: &str, of: fn(&OpResult) -> f64| {
        entry.figure(|row| row.measured.operations.get(name).map_or(f64::NAN, of))
    };
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th { "operation" } th { } th.number { "per second" }
                        th.number { "p50" } th.number { "p99" } th.number { "p99.9" }
                        th.number { "max" }
                    }
                }
                tbody {
                    @for name in &names {
                        @for entry in &workload.entries {
                            tr {
                                td { (name) }
                                th { (series_name(summary, entry.series)) }
                                td.number { (spread(figure(entry, name, |of| of.per_second), words::count)) }
                                td.number { (spread(figure(entry, name, |of| of.percentiles.p50_us), words::micros)) }
                                td.number { (spread(figure(entry, name, |of| of.percentiles.p99_us), words::micros)) }
                                td.number { (spread(figure(entry, name, |of| of.percentiles.p99_9_us), words::micros)) }
                                td.number { (spread(figure(entry, name, |of| of.percentiles.max_us), words::micros)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
