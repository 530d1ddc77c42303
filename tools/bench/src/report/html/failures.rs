//! Timelines through failures. Those with one title stand under each other, on the same scales.

use maud::{Markup, html};

use super::super::notes::Notes;
use super::super::summary::Summary;
use super::super::{charts, words};
use super::{paragraphs, picture, series_name};
use crate::result::FailureTimeline;

pub(super) fn section(summary: &Summary, notes: &Notes) -> Option<Markup> {
    if summary.failures.is_empty() {
        return None;
    }
    let mut titles: Vec<&str> = Vec::new();
    for failures in &summary.failures {
        if !titles.contains(&&failures.title[..]) {
            titles.push(&failures.title);
        }
    }
    Some(html! { @for title in titles { (article(summary, title, notes)) } })
}

fn article(summary: &Summary, title: &str, notes: &Notes) -> Markup {
    let together: Vec<&FailureTimeline> =
        summary.failures.iter().filter(|failures| failures.title == title).collect();
    html! {
        article {
            h3 { (words::capital(title)) }
            (paragraphs(notes.of(title)))
            (table(summary, &together))
            @for failures in &together {
                p.legend {
                    span { (series_name(summary, summary.series_of(&failures.program))) }
                    @if failures.servers == 1 { span { "1 server" } }
                    @else { span { (failures.servers) " servers" } }
                    span.muted { (lost(failures)) }
                }
                @for chart in charts::failures(summary, failures, &together) { (picture(&chart)) }
            }
        }
    }
}

/// The same event of all programs next to each other.
fn table(summary: &Summary, together: &[&FailureTimeline]) -> Markup {
    let events = together.iter().map(|failures| failures.events.len()).max().unwrap_or(0);
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th { "event" } th { } th.number { "at" }
                        th.number { "longest time without a success" }
                        th.number { "highest p99 after it" }
                        th.number { "failed operations" }
                    }
                }
                tbody {
                    @for index in 0..events {
                        @for failures in together {
                            @if let Some(after) = charts::aftermath(failures).get(index) {
                                (line(summary, failures, after))
                            }
                        }
                    }
                }
            }
        }
        p.muted { "Times without a success are as fine as the slices of the timeline." }
    }
}

fn line(summary: &Summary, failures: &FailureTimeline, after: &charts::Aftermath) -> Markup {
    html! {
        tr {
            td { (after.event) @if after.times > 1 { ", " (after.times) " times" } }
            th { (series_name(summary, summary.series_of(&failures.program))) }
            td.number { (format!("{:.1} s", after.at_s)) }
            td.number {
                @if after.silent_s > 0.0 { (words::seconds(after.silent_s)) } @else { "none" }
            }
            td.number { (words::micros(after.p99_us)) }
            td.number { (after.errors) }
        }
    }
}

/// What clients lost on the way, in words.
fn lost(failures: &FailureTimeline) -> String {
    let errors = failures.errors.iter().map(|(name, count)| {
        format!("{} × {name}", words::count(super::super::summary::as_f64(*count)))
    });
    let mut parts: Vec<String> = errors.collect();
    if failures.sessions_lost > 0 {
        parts.push(format!("{} sessions lost", failures.sessions_lost));
    }
    if parts.is_empty() { "no request failed".to_owned() } else { parts.join(", ") }
}
