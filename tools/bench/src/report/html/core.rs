//! What the core does on one processor core when nothing is around it.

use maud::{Markup, html};

use super::super::summary::Summary;
use super::super::words;
use super::spread;

pub(super) fn section(summary: &Summary) -> Option<Markup> {
    if summary.core.is_empty() {
        return None;
    }
    Some(html! {
        p.muted {
            "Requests in, answers out, in one process and by the processor time of one thread: no sockets, no \
             disk, no load generator beside it. What a server loses against these figures is the cost of \
             everything around its core."
        }
        div.wide {
            table {
                thead { tr { th { "request" } th.number { "per second" } th.number { "time of one" } } }
                tbody {
                    @for (request, rate) in &summary.core {
                        tr {
                            td { (request) }
                            td.number { b { (spread(*rate, words::count)) } }
                            td.number { (words::micros(1e6 / rate.median)) }
                        }
                    }
                }
            }
        }
    })
}
