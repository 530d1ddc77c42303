//! Two commits: which figures differ, by how much, and whether that could be chance.

use maud::{Markup, html};

use super::super::summary::{Summary, as_f64};
use super::super::words;
use crate::result::Difference;

pub(super) fn section(summary: &Summary) -> Option<Markup> {
    if summary.differences.is_empty() {
        return None;
    }
    Some(html! {
        p.muted {
            "A ratio is the second commit's figure by the first's, pair by pair. p is the probability that \
             two equal programs look as different as these, corrected for the number of figures; \
             above 0.05, the difference may be chance."
        }
        div.wide {
            table {
                thead {
                    tr {
                        th { "workload" } th { "figure" }
                        th.number { "first" } th.number { "second" }
                        th.number { "ratio" } th.number { "p" } th { }
                    }
                }
                tbody { @for difference in &summary.differences { (line(difference)) } }
            }
        }
    })
}

fn line(difference: &Difference) -> Markup {
    html! {
        tr {
            td { (title(difference)) }
            td { (difference.figure) }
            td.number { (words::count(difference.medians.0)) small { (commit(&difference.commits.0)) } }
            td.number { (words::count(difference.medians.1)) small { (commit(&difference.commits.1)) } }
            td.number { b { (words::ratio(difference.ratio)) } small { (ratios(difference)) } }
            td.number { (format!("{:.3}", difference.p_adjusted)) }
            td { (verdict(difference)) }
        }
    }
}

/// The workload, with its step if it is a ladder's.
pub fn title(difference: &Difference) -> String {
    let servers = match difference.servers {
        1 => String::new(),
        servers => format!("{servers} servers, "),
    };
    let step = difference.step.as_ref().map(|(parameter, value)| {
        format!(", {} {}", words::parameter(parameter), words::step(parameter, as_f64(*value)))
    });
    format!("{servers}{}{}", difference.title, step.unwrap_or_default())
}

fn commit(name: &str) -> &str {
    if name == "." { "working tree" } else { name }
}

/// How far the pairs lie apart.
fn ratios(difference: &Difference) -> String {
    let least = difference.ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = difference.ratios.iter().copied().fold(0.0, f64::max);
    words::range(least, most, words::ratio)
}

fn verdict(difference: &Difference) -> Markup {
    let more_is_better = difference.figure == "per second";
    let better = (difference.ratio > 1.0) == more_is_better;
    html! {
        @if !difference.significant { span.muted { "may be chance" } }
        @else if better { span.met { "✓ better" } }
        @else { span.missed { "✗ worse" } }
    }
}
