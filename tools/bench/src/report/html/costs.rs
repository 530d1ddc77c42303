//! What an operation costs the servers: time on a core, bytes and writes to the device, and the
//! memory that they had at most.

use maud::{Markup, html};

use super::super::summary::{Cost, Entry, Summary, Workload};
use super::super::words;
use super::{series_name, spread};

/// What the columns of `head` are.
pub const EACH: &str = "CPU, bytes and device writes are what one answered operation cost our servers, all of them \
                        together: bytes as the kernel accounts them to the processes, writes as the whole device \
                        counts them, the file system's journal and whatever others wrote included.";

/// Titles of three columns of costs.
pub(super) fn head() -> Markup {
    html! {
        th.number title="time on a core, for each operation" { "CPU" }
        th.number title="bytes that the servers wrote, for each operation" { "bytes" }
        th.number title="writes of the whole device, for each operation" { "device writes" }
    }
}

/// The medians of these columns.
pub(super) fn cells(cost: Option<Cost>) -> Markup {
    html! {
        @match cost {
            Some(cost) => {
                td.number { (words::micros(cost.cpu_us.median)) }
                td.number { (words::bytes(cost.server_bytes.median)) }
                td.number { (words::ratio(cost.device_writes.median)) }
            }
            None => {
                td.number { "–" }
                td.number { "–" }
                td.number { "–" }
            }
        }
    }
}

pub(super) fn section(summary: &Summary) -> Option<Markup> {
    let mut entries = summary.workloads.iter().flat_map(|workload| &workload.entries);
    entries.find_map(Entry::cost)?;
    Some(html! {
        p.muted {
            "For each answered operation, all servers of an ensemble together. Bytes written by the servers \
             are the kernel's account of their processes. Bytes to the device and its writes are counted for \
             the whole device, with the file system's journal and whatever others wrote meanwhile. Writes \
             share a device write when they arrive together: one session alone shows what a lone write \
             costs, many in flight what grouping saves."
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
