//! How long something took that happens once: a restart, an election.

use maud::{Markup, html};

use super::super::summary::Summary;
use super::super::words;
use super::{length, series_name, spread};

pub(super) fn section(summary: &Summary) -> Option<Markup> {
    if summary.elapsed.is_empty() {
        return None;
    }
    let longest = |what: &str| {
        let same = summary.elapsed.iter().filter(|other| other.what == what);
        same.map(|other| other.seconds.median).fold(0.0, f64::max)
    };
    Some(html! {
        div.wide {
            table {
                thead { tr { th { "what" } th { } th.number { "time" } th { } } }
                tbody {
                    @for elapsed in &summary.elapsed {
                        @let series = summary.series_of(&elapsed.program);
                        tr {
                            td { (elapsed.what) }
                            th { (series_name(summary, series)) }
                            td.number { b { (spread(elapsed.seconds, words::seconds)) } }
                            td { (length(series, elapsed.seconds.median, longest(&elapsed.what))) }
                        }
                    }
                }
            }
        }
    })
}
