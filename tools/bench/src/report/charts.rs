//! The charts of a report, and what each of them shows.

use super::figure::Figure;
use super::plot::{Axis, Chart, Colour, Curve, Dots, Mark, SERIES, Unit};
use super::summary::{Entry, Ladder, Summary, Workload};
use super::words;
use crate::result::{FailureTimeline, Row, Slice, float};

/// The size of each of two charts side by side, in pixels.
const HALF: (u32, u32) = (470, 290);
/// The size of a chart that stands alone, in pixels.
const WHOLE: (u32, u32) = (940, 320);
/// Points of a percentile curve for each nine.
const POINTS_PER_NINE: u32 = 12;
/// Timelines shorter than this are a row of dots that say nothing.
const SLICES_MIN: usize = 10;

/// The colour of a series, everywhere in the report.
pub fn colour(series: usize) -> Colour {
    SERIES[series % SERIES.len()]
}

/// Whether another chart fits beside it.
pub fn is_narrow(chart: &Chart) -> bool {
    chart.size == HALF
}

/// Latency by percentile, for all series of a workload; the band is the spread of the rounds.
pub fn percentiles(workload: &Workload, floor: Option<(f64, &str)>) -> Chart {
    let samples = workload.entries.iter().flat_map(|entry| &entry.rows);
    let samples = samples.map(|row| row.measured.all.count).max().unwrap_or(0);
    let x = Axis::nines(samples);
    // The curves are drawn in reverse order, so that ours lies on top.
    let curves: Vec<Curve> =
        workload.entries.iter().rev().map(|entry| percentile_curve(entry, x.span.1)).collect();
    let values = curves.iter().flat_map(Curve::values);
    let y = Axis::log("latency", Unit::Micros, values.chain(floor.map(|(us, _)| us)));
    let levels = floor.map(|(us, word)| (us, word.to_owned())).into_iter().collect();
    let title = format!("{}: latency by percentile", workload.title);
    Chart { levels, ..Chart::new(title, WHOLE, x, y, curves) }
}

/// The latency that no single server can beat with one request at a time, and its name. Many requests in flight wait
/// for each other, and ensembles for more than one round trip, so these have no such floor.
pub fn floor_of(summary: &Summary, workload: &Workload) -> Option<(f64, &'static str)> {
    const WRITES: [&str; 6] = ["set", "create", "create_ephemeral", "delete", "multi", "sync"];
    let entry = workload.entries.first()?;
    let row = entry.rows.first()?;
    if entry.in_flight() > 1.5 || row.servers > 1 {
        return None;
    }
    let round_trip = summary.floor(|floor| floor.null_round_trip.p50_us)?.median;
    if row.measured.operations.keys().all(|name| !WRITES.contains(&&name[..])) {
        return Some((round_trip, "floor: a round trip"));
    }
    let write = summary.floor(|floor| floor.dsync_write.p50_us)?.median;
    Some((write + round_trip, "floor: a durable write and a round trip"))
}

/// The median and the spread of the rounds' curves, on one grid.
fn percentile_curve(entry: &Entry, nines_max: f64) -> Curve {
    let mut points = Vec::new();
    let mut band = Vec::new();
    let curves: Vec<_> = entry.rows.iter().map(|row| row.measured.all.points()).collect();
    let fewest = entry.rows.iter().map(|row| row.measured.all.count).min().unwrap_or(0);
    let last = float(fewest.max(1)).log10().min(nines_max);
    for step in 0.. {
        let nines = f64::from(step) / f64::from(POINTS_PER_NINE);
        // The last point stands for the largest sample.
        let quantile = if nines < last { 1.0 - 10_f64.powf(-nines) } else { 1.0 };
        let at = curves.iter().filter_map(|curve| latency_at(curve, quantile));
        if let Some(figure) = Figure::of(at) {
            let x = if quantile < 1.0 { quantile } else { 1.0 - 10_f64.powf(-last) };
            points.push((x, figure.median));
            band.push((x, figure.least, figure.most));
        }
        if quantile >= 1.0 {
            break;
        }
    }
    if entry.rows.len() < 2 {
        band.clear();
    }
    Curve { colour: colour(entry.series), dashed: false, dots: Dots::Last, points, band }
}

/// The latency at a quantile, between the curve's points by their logarithms.
fn latency_at(curve: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let after = curve.iter().position(|(at, _)| *at >= quantile);
    let Some(after) = after else { return curve.last().map(|(_, latency)| *latency) };
    let (to, above) = curve[after];
    let Some((from, below)) = after.checked_sub(1).map(|before| curve[before]) else {
        return Some(above);
    };
    if quantile >= 1.0 || to <= from || below <= 0.0 || above <= 0.0 {
        return Some(above);
    }
    let share = (quantile - from) / (to - from);
    Some(below * (above / below).powf(share))
}

/// Rate and p99 along a ladder.
pub fn ladder(ladder: &Ladder) -> [Chart; 2] {
    let mut steps: Vec<u64> =
        ladder.lines.iter().flat_map(|(_, steps)| steps).map(|(value, _)| *value).collect();
    steps.sort_unstable();
    steps.dedup();
    let steps: Vec<f64> = steps.into_iter().map(float).collect();
    let x = Axis::ladder(&ladder.parameter, &steps);
    let of = |figure: fn(&Entry) -> Figure| -> Vec<Curve> {
        let lines = ladder.lines.iter().rev();
        lines.map(|(series, steps)| ladder_curve(*series, steps, figure)).collect()
    };
    let rates = of(Entry::rate);
    let latencies = of(|entry| entry.latency(|latency| latency.p99_us));
    let y = values_axis("operations per second", Unit::Count, &rates);
    let title = format!("{}: operations per second", ladder.title);
    let rate = Chart::new(title, HALF, x.clone(), y, rates);
    let y = Axis::log("p99 latency", Unit::Micros, latencies.iter().flat_map(Curve::values));
    [rate, Chart::new(format!("{}: p99", ladder.title), HALF, x, y, latencies)]
}

/// An axis from zero, or a logarithmic one if the values differ so much that the small ones would look like zero.
fn values_axis(title: &str, unit: Unit, curves: &[Curve]) -> Axis {
    let values: Vec<f64> = curves.iter().flat_map(Curve::values).filter(|y| *y > 0.0).collect();
    let largest = values.iter().copied().fold(0.0, f64::max);
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    if largest > smallest * 30.0 {
        Axis::log(title, unit, values)
    } else {
        Axis::linear(title, unit, values)
    }
}

fn ladder_curve(series: usize, steps: &[(u64, Entry)], of: fn(&Entry) -> Figure) -> Curve {
    let figures: Vec<(f64, Figure)> =
        steps.iter().map(|(value, entry)| (float(*value), of(entry))).collect();
    curve_of(series, &figures)
}

fn curve_of(series: usize, figures: &[(f64, Figure)]) -> Curve {
    Curve {
        colour: colour(series),
        dashed: false,
        dots: Dots::All,
        points: figures.iter().map(|(x, figure)| (*x, figure.median)).collect(),
        band: figures.iter().map(|(x, figure)| (*x, figure.least, figure.most)).collect(),
    }
}

/// Rate and p99 over time, for the middle round of each series; `None` if the rows are too short for a line.
pub fn timeline(workload: &Workload) -> Option<[Chart; 2]> {
    let rows: Vec<(usize, &Row)> =
        workload.entries.iter().map(|entry| (entry.series, middle_round(entry))).collect();
    if rows.iter().all(|(_, row)| row.measured.timeline.len() < SLICES_MIN) {
        return None;
    }
    let lines: Vec<(Colour, &[Slice])> = rows
        .iter()
        .rev()
        .map(|(series, row)| (colour(*series), &row.measured.timeline[..]))
        .collect();
    Some(over_time(&workload.title, HALF, &lines, &[], None))
}

fn middle_round(entry: &Entry) -> &Row {
    let mut rows: Vec<&Row> = entry.rows.iter().collect();
    rows.sort_by(|one, other| {
        one.measured.all.per_second.total_cmp(&other.measured.all.per_second)
    });
    rows[rows.len() / 2]
}

/// Rate and latency through failures, with marks for the events. All timelines that stand below each other get the
/// same scales.
pub fn failures(
    summary: &Summary,
    timeline: &FailureTimeline,
    together: &[&FailureTimeline],
) -> [Chart; 2] {
    let title = format!("{}, {}", timeline.title, timeline.program);
    let lines = [(colour(summary.series_of(&timeline.program)), &timeline.slices[..])];
    let scales: Vec<&[Slice]> = together.iter().map(|other| &other.slices[..]).collect();
    over_time(&title, (WHOLE.0, 240), &lines, &timeline.events, Some(&scales))
}

fn over_time(
    title: &str,
    size: (u32, u32),
    lines: &[(Colour, &[Slice])],
    events: &[(f64, String)],
    scales: Option<&[&[Slice]]>,
) -> [Chart; 2] {
    let own: Vec<&[Slice]> = lines.iter().map(|(_, slices)| *slices).collect();
    let all = scales.unwrap_or(&own);
    let slices = || all.iter().flat_map(|slices| slices.iter());
    let ends =
        all.iter().map(|slices| slices.last().map_or(0.0, |last| last.at_s + length_s(slices)));
    let x = Axis::linear("since the load began", Unit::Seconds, ends);
    let (marks, spans) = marks(events, x.span.1);
    let rates = all.iter().flat_map(|slices| rates(slices).into_iter().map(|(_, rate)| rate));
    let y = Axis::linear("operations per second", Unit::Count, rates);
    let curves = lines.iter().map(|(colour, slices)| line(*colour, self::rates(slices))).collect();
    let rate = format!("{title}: operations per second over time");
    let rate = Chart::new(rate, size, x.clone(), y, curves);
    let rate = Chart { marks, spans: spans.clone(), ..rate };
    let quiet_as_gap = |slice: &Slice, value: f64| {
        (slice.at_s, if slice.operations == 0 { f64::NAN } else { value })
    };
    let worst = slices().filter(|slice| slice.operations > 0);
    let y = Axis::log(
        "p50 (dashed), p99",
        Unit::Micros,
        worst.flat_map(|slice| [slice.p50_us, slice.p99_us]),
    );
    let mut curves = Vec::new();
    for (colour, slices) in lines {
        let middle = slices.iter().map(|slice| quiet_as_gap(slice, slice.p50_us)).collect();
        curves.push(Curve { dashed: true, ..line(*colour, middle) });
        let high = slices.iter().map(|slice| quiet_as_gap(slice, slice.p99_us)).collect();
        curves.push(line(*colour, high));
    }
    let marks = rate.marks.iter().map(|(at, _)| (*at, String::new())).collect();
    let title = format!("{title}: latency over time");
    [rate, Chart { marks, spans, ..Chart::new(title, size, x, y, curves) }]
}

/// Moments with their words, and stretches of time. A stretch lasts from `X begins` to the next event of `X`, as in
/// `snapshot begins`; its first occurrence has a word.
fn marks(events: &[(f64, String)], end_s: f64) -> (Vec<Mark>, Vec<(f64, f64)>) {
    let mut marks: Vec<Mark> = Vec::new();
    let mut spans = Vec::new();
    // The stretch that is open, and its beginning.
    let mut open: Option<(&str, f64)> = None;
    for (at, event) in events {
        if let Some((what, since)) = open
            && event.starts_with(what)
        {
            spans.push((since, *at));
            open = None;
            continue;
        }
        let Some(what) = event.strip_suffix(" begins") else {
            marks.push((*at, event.clone()));
            continue;
        };
        if !marks.iter().any(|(_, word)| word == what) {
            marks.push((*at, what.to_owned()));
        }
        open = Some((what, *at));
    }
    spans.extend(open.map(|(_, since)| (since, end_s.max(since))));
    (marks, spans)
}

fn line(colour: Colour, points: Vec<(f64, f64)>) -> Curve {
    Curve { colour, dashed: false, dots: Dots::None, points, band: Vec::new() }
}

/// Operations per second in each slice. The last slice may be cut short, so it is left out.
fn rates(slices: &[Slice]) -> Vec<(f64, f64)> {
    let pairs = slices.iter().zip(slices.iter().skip(1));
    pairs
        .filter(|(slice, next)| next.at_s > slice.at_s)
        .map(|(slice, next)| (slice.at_s, float(slice.operations) / (next.at_s - slice.at_s)))
        .collect()
}

/// The length of a timeline's slices, in seconds.
pub fn length_s(slices: &[Slice]) -> f64 {
    let steps =
        slices.iter().zip(slices.iter().skip(1)).map(|(slice, next)| next.at_s - slice.at_s);
    Figure::of(steps).map_or(0.0, |figure| figure.median)
}

/// The [`crate::result::MemoryRow::what`] of rows of memory over time.
pub const CHURN: &str = "after churn";

/// Resident memory while nodes and sessions come and go; `None` if that was not measured.
pub fn churn(summary: &Summary) -> Option<Chart> {
    let mut curves: Vec<(String, Vec<(f64, Figure)>)> = Vec::new();
    for memory in summary.memory.iter().filter(|memory| memory.what == CHURN) {
        let resident = memory.figure(|row| Some(float(row.resident_bytes)))?;
        let point = (float(memory.count), resident);
        match curves.iter_mut().find(|(program, _)| *program == memory.program) {
            Some((_, points)) => points.push(point),
            None => curves.push((memory.program.clone(), vec![point])),
        }
    }
    if curves.is_empty() {
        return None;
    }
    let curve = |(program, mut points): (String, Vec<(f64, Figure)>)| {
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        curve_of(summary.series_of(&program), &points)
    };
    let curves: Vec<Curve> = curves.into_iter().rev().map(curve).collect();
    let times = curves.iter().flat_map(|curve| &curve.points).map(|(at, _)| *at);
    let x = Axis::linear("since the churn began", Unit::Seconds, times);
    let y = values_axis("resident memory", Unit::Bytes, &curves);
    Some(Chart::new("resident memory under churn".to_owned(), WHOLE, x, y, curves))
}

/// An event that occurs more often than this is listed once.
const LISTED_MAX: usize = 3;

/// What happened after each of a timeline's events, up to the next one.
pub struct Aftermath {
    /// The time of the event, in seconds.
    pub at_s: f64,
    /// The event.
    pub event: String,
    /// How often the event occurred, from then on.
    pub times: usize,
    /// The longest time without a single success, as fine as the slices are.
    pub silent_s: f64,
    /// The largest p99 of a slice, in µs.
    pub p99_us: f64,
    /// Failed operations.
    pub errors: u64,
}

/// The effects of each event of a timeline. Events of one name that occur often are put together, with the worst
/// effects of any of them.
pub fn aftermath(timeline: &FailureTimeline) -> Vec<Aftermath> {
    let length = length_s(&timeline.slices);
    let mut all: Vec<Aftermath> = Vec::new();
    for (index, (at, event)) in timeline.events.iter().enumerate() {
        let until = timeline.events.get(index + 1).map_or(f64::INFINITY, |(at, _)| *at);
        // The slice into which the event falls belongs to the event.
        let during: Vec<&Slice> = timeline
            .slices
            .iter()
            .filter(|slice| slice.at_s + length > *at && slice.at_s < until)
            .collect();
        let silences = during.split(|slice| slice.operations > 0);
        let silent = silences.map(<[_]>::len).max().unwrap_or(0);
        let after = Aftermath {
            at_s: *at,
            event: event.clone(),
            times: 1,
            silent_s: length * f64::from(u32::try_from(silent).unwrap_or(u32::MAX)),
            p99_us: during.iter().map(|slice| slice.p99_us).fold(0.0, f64::max),
            errors: during.iter().map(|slice| slice.errors).sum(),
        };
        let often = timeline.events.iter().filter(|(_, other)| other == event).count();
        let known = all.iter_mut().find(|known| known.event == *event);
        match known.filter(|_| often > LISTED_MAX) {
            Some(known) => {
                known.times += 1;
                known.silent_s = known.silent_s.max(after.silent_s);
                known.p99_us = known.p99_us.max(after.p99_us);
                known.errors += after.errors;
            }
            None => all.push(after),
        }
    }
    all
}

/// The shape of a ladder in a sentence: the range of the first series, its summit, and its steepest step down.
pub fn bend(ladder: &Ladder, summary: &Summary) -> Option<String> {
    let (series, steps) = ladder.lines.first()?;
    let at = |(value, entry): &(u64, Entry)| {
        let value = words::step(&ladder.parameter, float(*value));
        (value, entry.rate().median)
    };
    let rates: Vec<(String, f64)> = steps.iter().map(at).collect();
    let ((first, from), (last, to)) = (rates.first()?, rates.last()?);
    let (summit, most) = rates.iter().max_by(|one, other| one.1.total_cmp(&other.1))?;
    let between = if most > from && most > to {
        format!(", with the most, {}, at {summit}", words::count(*most))
    } else {
        String::new()
    };
    let falls = rates.iter().zip(rates.iter().skip(1));
    let falls = falls.map(|((low, one), (high, other))| (other / one, low, high));
    let steepest = falls
        .filter(|(factor, _, _)| factor.is_finite())
        .min_by(|one, other| one.0.total_cmp(&other.0))?;
    let fall = if steepest.0 < 0.95 {
        let (factor, low, high) = steepest;
        format!("The steepest step down is from {low} to {high}, to {}.", words::percent(factor))
    } else {
        "No step costs more than 5 %.".to_owned()
    };
    Some(format!(
        "{} goes from {} per second at {first} to {} at {last} ({}){between}. {fall}",
        summary.series[*series],
        words::count(*from),
        words::count(*to),
        words::parameter(&ladder.parameter),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(events: &[(f64, &str)]) -> Vec<(f64, String)> {
        events.iter().map(|(at, word)| (*at, (*word).to_owned())).collect()
    }

    #[test]
    fn what_begins_and_ends_is_a_stretch_that_is_named_once() {
        let events = events(&[
            (1.0, "snapshot begins"),
            (2.0, "snapshot is whole"),
            (3.0, "leader killed"),
            (4.0, "snapshot begins"),
        ]);
        let (marks, spans) = marks(&events, 9.0);
        assert_eq!(marks, [(1.0, "snapshot".to_owned()), (3.0, "leader killed".to_owned())]);
        assert_eq!(spans, [(1.0, 2.0), (4.0, 9.0)], "the last one lasts to the end");
    }

    #[test]
    fn a_latency_between_two_points_of_a_curve_lies_between_theirs() {
        let curve = [(0.5, 100.0), (0.9, 400.0), (1.0, 900.0)];
        assert_eq!(latency_at(&curve, 0.0), Some(100.0));
        assert_eq!(latency_at(&curve, 0.5), Some(100.0));
        let between = latency_at(&curve, 0.7).unwrap();
        assert!((between - 200.0).abs() < 1e-6, "{between}");
        assert_eq!(latency_at(&curve, 1.0), Some(900.0), "the largest is never smoothed away");
        assert_eq!(latency_at(&[], 0.5), None);
    }

    #[test]
    fn a_rate_counts_by_the_length_of_its_slice() {
        let slice = |at_s, operations| Slice { at_s, operations, ..Slice::default() };
        let slices = [slice(0.0, 50), slice(0.5, 20), slice(1.0, 7)];
        assert_eq!(rates(&slices), [(0.0, 100.0), (0.5, 40.0)]);
        assert_eq!(length_s(&slices), 0.5);
    }
}
