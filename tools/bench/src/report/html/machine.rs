//! Under which circumstances it was measured, and how to do it again.

use maud::{Markup, html};

use super::super::figure::Figure;
use super::super::summary::{Summary, as_f64};
use super::super::words;
use super::spread;

pub(super) fn section(summary: &Summary) -> Option<Markup> {
    if summary.runs.is_empty() && summary.floors.is_empty() {
        return None;
    }
    Some(html! {
        @for run in &summary.runs {
            dl {
                dt { "command" } dd { code { (run.command) } }
                dt { "date" } dd { (run.date) }
                dt { "commit" } dd { code { (run.commit) } @if run.dirty { " and changes on top" } }
                dt { "processor" } dd { (run.cpu) ", " (run.cores) " cores" }
                dt { "memory" } dd { (words::bytes(as_f64(run.memory_bytes))) }
                dt { "kernel" } dd { (run.kernel) }
                dt { "disk" } dd { (run.file_system) " on " (run.device) }
                dt { "rounds" } dd { (words::rounds(run.rounds)) " of " (run.seconds_per_row) " s for each row" }
                dt { "load before" } dd { (format!("{:.2}", run.loadavg_before)) }
            }
        }
        (floor(summary))
    })
}

fn floor(summary: &Summary) -> Markup {
    let parts: [(&str, [Option<Figure>; 3]); 2] = [
        (
            "durable 4 KiB write",
            [
                summary.floor(|floor| floor.dsync_write.p50_us),
                summary.floor(|floor| floor.dsync_write.p99_us),
                summary.floor(|floor| floor.dsync_write.max_us),
            ],
        ),
        (
            "round trip to a null server",
            [
                summary.floor(|floor| floor.null_round_trip.p50_us),
                summary.floor(|floor| floor.null_round_trip.p99_us),
                summary.floor(|floor| floor.null_round_trip.max_us),
            ],
        ),
    ];
    html! {
        @if let Some(rate) = summary.floor(|floor| floor.null_ops_per_second) {
            h3 { "The floor" }
            div.wide {
                table {
                    thead {
                        tr { th { } th.number { "p50" } th.number { "p99" } th.number { "max" } }
                    }
                    tbody {
                        @for (what, figures) in parts {
                            tr {
                                td { (what) }
                                @for figure in figures.into_iter().flatten() {
                                    td.number { (spread(figure, words::micros)) }
                                }
                            }
                        }
                    }
                }
            }
            p {
                "The null server answers " b { (spread(rate, words::count)) }
                " requests per second, 100 sessions × 16 in flight."
            }
        }
    }
}
