//! What an operation costs the servers: time on a core, bytes and writes to the device, and the
//! memory that they had at most.

use maud::{Markup, html};

use super::super::summary::{Cost, Entry, Summary, Workload};
use super::super::words;
use super::{series_name, spread};

pub(super) fn section(summary: &Summary) -> Option<Markup> {
    let mut entries = summary.workloads.iter().flat_map(|workload| &workload.entries);
    entries.find_map(Entry::cost)?;
    Some(html! {
        p.muted {
            "For each operation, all servers of an ensemble together. What reaches the device holds the \
             file system's journal and whatever others wrote meanwhile. Writes share a device write \
             when they arrive together, so a figure below one is what grouping saves."
        }
        div.wide {
            table {
                thead {
                    tr {
                        th { "workload" } th { }
                        th.number { "CPU" }
                        th.number { "bytes written by the servers" }
                        th.number { "bytes to the device" }
                        th.number { "writes of the device" }
                        th.number { "peak memory" }
                    }
                }
                tbody {
                    @for workload in &summary.workloads { (lines(summary, workload)) }
                }
            }
        }
    })
}

/// A line for each series whose cost is known; the workload is named once.
fn lines(summary: &Summary, workload: &Workload) -> Markup {
    let costs: Vec<(usize, Cost)> =
        workload.entries.iter().filter_map(|entry| Some((entry.series, entry.cost()?))).collect();
    html! {
        @for (index, (series, cost)) in costs.iter().enumerate() {
            tr {
                @if index == 0 { td rowspan=(costs.len()) { (workload.title) } }
                th { (series_name(summary, *series)) }
                td.number { (spread(cost.cpu_us, words::micros)) }
                td.number { (spread(cost.server_bytes, words::bytes)) }
                td.number { (spread(cost.device_bytes, words::bytes)) }
                td.number { (spread(cost.device_writes, words::ratio)) }
                td.number { (spread(cost.memory_peak_bytes, words::bytes)) }
            }
        }
    }
}
