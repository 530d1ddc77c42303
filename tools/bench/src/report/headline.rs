//! The headline as one picture for a README: operations per second, and the latency of a single one, ours beside the
//! reference. The picture has its own background and follows a dark screen.

use maud::{Markup, PreEscaped, html};

use super::charts::colour;
use super::summary::{Entry, Summary, Workload, is_ours};
use super::words;

const WIDTH: f64 = 900.0;
const PADDING: f64 = 24.0;
/// The x at which the bars begin; the names of the workloads stand to the left.
const BARS: f64 = 292.0;
/// Pixels behind the longest bar for its figure.
const FIGURES: f64 = 150.0;
const BAR_HEIGHT: f64 = 15.0;
const GROUP: f64 = 2.0 * BAR_HEIGHT + 18.0;
/// More rows than this are no headline.
const ROWS_MAX: usize = 9;

/// One workload: our entry and that of the reference.
struct Pair<'a> {
    workload: &'a Workload,
    ours: &'a Entry,
    reference: &'a Entry,
    /// The median of the rounds' ratios of the rates.
    ratio: f64,
}

/// The picture; `None` if no workload was measured for both this project and a reference. `only`
/// names the workloads to show, in their order; all that fit if it is empty.
pub fn svg(summary: &Summary, only: &[String]) -> Option<String> {
    let pairs = pairs(summary, only);
    let first = pairs.first()?;
    let (ours, reference) = (first.ours.series, first.reference.series);
    let (single, many): (Vec<&Pair<'_>>, Vec<&Pair<'_>>) =
        pairs.iter().partition(|pair| pair.reference.in_flight() < 1.5);
    let mut y = PADDING + 54.0;
    let mut body = Vec::new();
    if !many.is_empty() {
        let title = format!(
            "Operations per second, as a multiple of {}",
            full_name(&summary.series[reference])
        );
        body.push(panel(&title, "longer is better", &many, &mut y, rate_bars));
    }
    if !single.is_empty() {
        let title = "Median latency of a request that waits for no other";
        body.push(panel(title, "shorter is better", &single, &mut y, latency_bars));
    }
    let height = y + PADDING + 8.0;
    let name = |series: usize| full_name(&summary.series[series]);
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) }
            width=(WIDTH) height=(height) role="img" {
            title { (name(ours)) " against " (name(reference)) }
            style { (PreEscaped(style(ours, reference))) }
            rect.page x="0.5" y="0.5" width=(WIDTH - 1.0) height=(height - 1.0) rx="10" {}
            text.title x=(PADDING) y=(PADDING + 16.0) { (name(ours)) " against " (name(reference)) }
            (key(&name(ours), "ours", PADDING, PADDING + 40.0))
            (key(&name(reference), "reference", PADDING + 130.0, PADDING + 40.0))
            @for part in body { (part) }
            text.note x=(PADDING) y=(height - 14.0) { (source(summary)) }
        }
    };
    Some(picture.into_string())
}

/// The name of a program as its own project writes it.
fn full_name(series: &str) -> String {
    let series = series.replace("zookeeper", "Apache ZooKeeper");
    series.replace("ringkeeper", "Ringkeeper")
}

fn pairs<'a>(summary: &'a Summary, only: &[String]) -> Vec<Pair<'a>> {
    let pair = |workload: &'a Workload| {
        let reference = summary.reference(&workload.entries)?;
        let reference = workload.entries.iter().find(|entry| entry.series == reference)?;
        let ours = workload.entries.iter().rev().find(|entry| {
            is_ours(&summary.series[entry.series]) && entry.series != reference.series
        })?;
        let ratio = summary.ratios(ours, &workload.entries)?.rate?.median;
        Some(Pair { workload, ours, reference, ratio })
    };
    if only.is_empty() {
        return summary.workloads.iter().filter_map(pair).take(ROWS_MAX).collect();
    }
    let named = only
        .iter()
        .flat_map(|name| summary.workloads.iter().filter(move |workload| workload.name == *name));
    named.filter_map(pair).collect()
}

/// The length of a bar, 0 to 1, and the text behind it.
type Bar = (f64, String);

/// Makes the two bars of a pair, given all pairs of its panel.
type Bars = fn(&Pair<'_>, &[&Pair<'_>]) -> [Bar; 2];

fn panel(title: &str, way: &str, pairs: &[&Pair<'_>], y: &mut f64, bars: Bars) -> Markup {
    let top = *y + 20.0;
    *y = top + 14.0;
    let groups: Vec<(f64, [Bar; 2], &str)> = pairs
        .iter()
        .map(|pair| {
            let group = (*y, bars(pair, pairs), &pair.workload.title[..]);
            *y += GROUP;
            group
        })
        .collect();
    let length = WIDTH - BARS - FIGURES - PADDING;
    html! {
        text.panel x=(PADDING) y=(top) { (title) }
        text.note.end x=(WIDTH - PADDING) y=(top) { (way) }
        @for (y, bars, title) in groups {
            text.label x=(BARS - 12.0) y=(y + BAR_HEIGHT + 5.0) { (title) }
            @for ((part, figure), (class, offset)) in bars.iter().zip([("ours", 0.0), ("reference", BAR_HEIGHT + 1.0)]) {
                rect class=(class) x=(BARS) y=(y + offset) rx="2" height=(BAR_HEIGHT)
                    width=(format!("{:.1}", (part * length).max(1.0))) {}
                text class={ "figure " (class) "-figure" } x=(format!("{:.1}", BARS + part * length + 8.0))
                    y=(y + offset + BAR_HEIGHT - 3.5) { (figure) }
            }
        }
    }
}

fn rate_bars(pair: &Pair<'_>, all: &[&Pair<'_>]) -> [Bar; 2] {
    let longest = all.iter().map(|pair| pair.ratio).fold(1.0, f64::max);
    let own = pair.ratio;
    let rate = |entry: &Entry| format!("{}/s", words::count(entry.rate().median));
    [
        (own / longest, format!("{} ×  ·  {}", words::ratio(own), rate(pair.ours))),
        (1.0 / longest, rate(pair.reference)),
    ]
}

fn latency_bars(pair: &Pair<'_>, all: &[&Pair<'_>]) -> [Bar; 2] {
    let p50 = |entry: &Entry| entry.latency(|of| of.p50_us).median;
    let each = all.iter().flat_map(|pair| [p50(pair.ours), p50(pair.reference)]);
    let longest = each.fold(f64::MIN_POSITIVE, f64::max);
    let (own, other) = (p50(pair.ours), p50(pair.reference));
    [(own / longest, words::micros(own)), (other / longest, words::micros(other))]
}

fn key(name: &str, class: &str, x: f64, y: f64) -> Markup {
    html! {
        rect class=(class) x=(x) y=(y - 10.0) width="11" height="11" rx="2" {}
        text.key x=(x + 17.0) y=(y) { (name) }
    }
}

/// The source of the figures: the run of the first file.
fn source(summary: &Summary) -> String {
    let Some(run) = summary.runs.first() else { return String::new() };
    let day = run.date.get(..10).unwrap_or(&run.date);
    format!(
        "{}, {} cores, {} · commit {} · {day} · median of {}",
        run.cpu,
        run.cores,
        run.file_system,
        run.commit,
        words::rounds(run.rounds)
    )
}

fn style(ours: usize, reference: usize) -> String {
    let (ours, reference) = (colour(ours).hex(), colour(reference).hex());
    format!(
        "text{{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;\
         fill:#1F2430;font-size:13px}}\
         .page{{fill:#FFFFFF;stroke:#E3E6EB}}\
         .title{{font-size:19px;font-weight:600}}.panel{{font-weight:600;font-size:14px}}\
         .label{{text-anchor:end}}.note{{fill:#6B7280;font-size:11.5px}}.end{{text-anchor:end}}\
         .figure{{font-size:12px}}.reference-figure{{fill:#6B7280}}.ours-figure{{font-weight:600}}\
         .ours{{fill:{ours}}}.reference{{fill:{reference};opacity:.8}}\
         @media(prefers-color-scheme:dark){{text{{fill:#E6E9EF}}.note,.reference-figure{{fill:#98A1B0}}\
         .page{{fill:#14171C;stroke:#2C323B}}.ours{{fill:#4FA3F7}}}}"
    )
}
