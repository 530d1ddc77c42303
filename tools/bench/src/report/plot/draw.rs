//! Draws a chart with plotters, and makes its SVG fit for a page: scalable, with a title, and on a fine grid,
//! because plotters places everything on whole pixels.

use std::ops::Range;

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::{ChartContext, SVGBackend};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};

use super::{Axis, Chart, Colour, Curve, Dots, FAINT, INK, MUTED};

/// Steps of drawing per pixel of the page.
const FINE: u32 = 4;
/// Height of letters in pixels of the page. Plotters divides by 1.24 on its way into SVG.
const LETTERS: f64 = 12.0 * 1.24;
/// Room for one line of words about marked moments, above the diagram.
const MARK_LINE: u32 = 16;
/// An estimate of one letter's width, to keep words about moments apart.
const LETTER_WIDTH: f64 = 6.6;
const LEFT: u32 = 76;
/// Half of a tick's label.
const RIGHT: u32 = 34;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane = Cartesian2d<Positions, Positions>;
type Context<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Plane>;

/// The reason why an error of plotters cannot occur: drawing into a string does not fail.
const INTO_MEMORY: &str = "drawing into memory does not fail";

pub(super) fn svg(chart: &Chart) -> String {
    let mut text = String::new();
    let (width, height) = chart.size;
    {
        let area = SVGBackend::with_string(&mut text, (width * FINE, height * FINE));
        let area = area.into_drawing_area();
        draw(chart, &area);
        area.present().expect(INTO_MEMORY);
    }
    let body = text.split_once('>').map_or("", |(_, body)| body);
    format!(
        "<svg viewBox=\"0 0 {} {}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         xmlns=\"http://www.w3.org/2000/svg\"><title>{}</title>{body}",
        width * FINE,
        height * FINE,
        escaped(&chart.title),
    )
}

/// The positions along an axis, and those of its ticks, as plotters asks for them.
struct Positions {
    span: Range<f64>,
    ticks: Vec<f64>,
}

impl Positions {
    fn of(axis: &Axis) -> Positions {
        let ticks = axis.ticks.iter().map(|(at, _)| *at).collect();
        Positions { span: axis.span.0..axis.span.1, ticks }
    }
}

impl Ranged for Positions {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (value - self.span.start) / (self.span.end - self.span.start);
        let at = f64::from(first) + share * f64::from(last - first);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates at a picture's edge"
        )]
        let at = at.round() as i32;
        at
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.span.clone()
    }
}

fn draw(chart: &Chart, area: &Area<'_>) {
    let rows = mark_rows(chart);
    let lines = rows.iter().map(|row| row + 1).max().unwrap_or(0);
    let mut context = ChartBuilder::on(area)
        .margin_top((10 + MARK_LINE * lines) * FINE)
        .margin_right(RIGHT * FINE)
        .margin_left(6 * FINE)
        .margin_bottom(4 * FINE)
        .x_label_area_size(42 * FINE)
        .y_label_area_size(LEFT * FINE)
        .build_cartesian_2d(Positions::of(&chart.x), Positions::of(&chart.y))
        .expect(INTO_MEMORY);
    context
        .configure_mesh()
        .bold_line_style(line(FAINT, 1.0))
        .light_line_style(TRANSPARENT)
        .axis_style(line(MUTED, 1.0))
        .label_style(words(MUTED))
        .axis_desc_style(words(INK))
        .x_desc(&chart.x.title)
        .y_desc(&chart.y.title)
        .set_all_tick_mark_size(5 * FINE)
        .x_label_formatter(&|at| chart.x.label_at(*at))
        .y_label_formatter(&|at| chart.y.label_at(*at))
        .draw()
        .expect(INTO_MEMORY);
    draw_spans(chart, &mut context);
    draw_levels(chart, &mut context);
    draw_marks(chart, &rows, area, &mut context);
    for curve in &chart.curves {
        draw_band(chart, curve, &mut context);
    }
    for curve in &chart.curves {
        draw_curve(chart, curve, &mut context);
    }
}

const TRANSPARENT: ShapeStyle =
    ShapeStyle { color: plotters::style::RGBAColor(0, 0, 0, 0.0), filled: false, stroke_width: 0 };

fn draw_spans(chart: &Chart, context: &mut Context<'_, '_>) {
    let (bottom, top) = chart.y.span;
    let spans = chart.spans.iter().map(|(from, to)| {
        let corners = [(chart.x.place(*from), bottom), (chart.x.place(*to), top)];
        Rectangle::new(corners, rgb(MUTED).mix(0.15).filled())
    });
    context.draw_series(spans).expect(INTO_MEMORY);
}

fn draw_levels(chart: &Chart, context: &mut Context<'_, '_>) {
    let (first, last) = chart.x.span;
    for (value, word) in &chart.levels {
        let at = chart.y.place(*value);
        if at < chart.y.span.0 || at > chart.y.span.1 {
            continue;
        }
        let dashes =
            DashedLineSeries::new([(first, at), (last, at)], 6 * FINE, 4 * FINE, line(MUTED, 1.25));
        context.draw_series(dashes).expect(INTO_MEMORY);
        let style = words(MUTED).pos(Pos::new(HPos::Right, VPos::Bottom));
        let word = Text::new(word.clone(), (last, at), style);
        context.draw_series([word]).expect(INTO_MEMORY);
    }
}

/// Draws each mark as a line down from its word. The word stands above the diagram, in a row of its own if it would
/// touch the one before.
fn draw_marks(chart: &Chart, rows: &[u32], area: &Area<'_>, context: &mut Context<'_, '_>) {
    let (bottom, top) = chart.y.span;
    for ((at, word), row) in chart.marks.iter().zip(rows) {
        let at = chart.x.place(*at);
        let style = line(INK, 1.0);
        context
            .draw_series([PathElement::new(vec![(at, bottom), (at, top)], style)])
            .expect(INTO_MEMORY);
        let (x, y) = context.backend_coord(&(at, top));
        let height = pixels((MARK_LINE * row + 4) * FINE);
        area.draw(&PathElement::new(vec![(x, y), (x, y - height)], style)).expect(INTO_MEMORY);
        let style = words(INK).pos(Pos::new(HPos::Left, VPos::Bottom));
        let place = (x + pixels(3 * FINE), y - height + pixels(2 * FINE));
        area.draw(&Text::new(word.clone(), place, style)).expect(INTO_MEMORY);
    }
}

/// The row above the diagram of each word about a moment: above the words of all later moments that lie under it. So
/// no word covers another one, and no line runs through a word.
fn mark_rows(chart: &Chart) -> Vec<u32> {
    let (first, last) = chart.x.span;
    let width = f64::from(chart.size.0.saturating_sub(LEFT + RIGHT));
    let left = |at: f64| (chart.x.place(at) - first) / (last - first) * width;
    let mut rows = vec![0; chart.marks.len()];
    for (index, (at, word)) in chart.marks.iter().enumerate().rev() {
        #[expect(clippy::cast_precision_loss, reason = "an estimate of a width")]
        let end = left(*at) + 8.0 + LETTER_WIDTH * word.chars().count() as f64;
        let later = chart.marks.iter().zip(&rows).skip(index + 1);
        let under = later.filter(|((at, _), _)| left(*at) < end).map(|(_, row)| row + 1);
        rows[index] = under.max().unwrap_or(0);
    }
    rows
}

fn draw_band(chart: &Chart, curve: &Curve, context: &mut Context<'_, '_>) {
    let place = |x: f64, y: f64| (chart.x.place(x), chart.y.place(y));
    let band = curve.band.iter().filter(|(_, least, most)| least.is_finite() && most.is_finite());
    let mut outline: Vec<(f64, f64)> = band.clone().map(|(x, _, most)| place(*x, *most)).collect();
    outline.extend(band.rev().map(|(x, least, _)| place(*x, *least)));
    if outline.len() > 2 {
        let style = rgb(curve.colour).mix(0.16).filled();
        context.draw_series([Polygon::new(outline, style)]).expect(INTO_MEMORY);
    }
}

fn draw_curve(chart: &Chart, curve: &Curve, context: &mut Context<'_, '_>) {
    let style = line(curve.colour, 1.75);
    for stretch in curve.points.split(|(_, y)| !y.is_finite()) {
        let points: Vec<(f64, f64)> =
            stretch.iter().map(|(x, y)| (chart.x.place(*x), chart.y.place(*y))).collect();
        let (dotted, radius) = match curve.dots {
            Dots::All => (&points[..], 3 * FINE),
            Dots::Last => (&points[points.len().saturating_sub(1)..], 3 * FINE),
            // A single point between gaps makes no line, so it gets a dot.
            Dots::None if points.len() == 1 => (&points[..], FINE),
            Dots::None => (&points[..0], FINE),
        };
        let dots = dotted.iter().map(|at| Circle::new(*at, radius, style.filled()));
        context.draw_series(dots).expect(INTO_MEMORY);
        if points.len() < 2 {
            continue;
        }
        if curve.dashed {
            let dashes = DashedLineSeries::new(points, 7 * FINE, 4 * FINE, style);
            context.draw_series(dashes).expect(INTO_MEMORY);
        } else {
            context.draw_series(LineSeries::new(points, style)).expect(INTO_MEMORY);
        }
    }
}

fn line(colour: Colour, width: f64) -> ShapeStyle {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few pixels")]
    let width = (width * f64::from(FINE)) as u32;
    rgb(colour).stroke_width(width)
}

fn words(colour: Colour) -> TextStyle<'static> {
    let size = LETTERS * f64::from(FINE);
    let font = FontDesc::new(FontFamily::SansSerif, size, FontStyle::Normal);
    let mut style = TextStyle::from(font);
    style.color = rgb(colour).to_backend_color();
    style
}

fn rgb(colour: Colour) -> RGBColor {
    RGBColor(colour.0, colour.1, colour.2)
}

fn pixels(count: u32) -> i32 {
    i32::try_from(count).expect("a picture has fewer pixels than that")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::Unit;
    use super::*;

    fn chart(marks: &[(f64, &str)]) -> Chart {
        let curve = Curve {
            colour: Colour(0, 95, 184),
            dashed: false,
            dots: Dots::None,
            points: vec![(0.0, 90.0), (10.0, f64::NAN), (20.0, 80.0), (30.0, 70.0)],
            band: Vec::new(),
        };
        let x = Axis::linear("time", Unit::Seconds, [60.0]);
        let y = Axis::linear("rate", Unit::Count, [100.0]);
        let marks = marks.iter().map(|(at, word)| (*at, (*word).to_owned())).collect();
        Chart { marks, ..Chart::new("writes & <reads>".to_owned(), (640, 240), x, y, vec![curve]) }
    }

    #[test]
    fn words_that_would_touch_stand_in_rows_the_earlier_one_above() {
        let near = chart(&[(10.0, "leader killed"), (11.0, "server 2 leads"), (50.0, "over")]);
        assert_eq!(mark_rows(&near), [1, 0, 0]);
        let apart = chart(&[(10.0, "leader killed"), (40.0, "server 2 leads")]);
        assert_eq!(mark_rows(&apart), [0, 0]);
    }

    #[test]
    fn a_gap_in_a_curve_is_not_drawn_over() {
        let svg = svg(&chart(&[]));
        let ours = svg.lines().filter(|line| line.contains("#005FB8")).collect::<Vec<_>>();
        let lines = ours.iter().filter(|line| line.starts_with("<polyline")).count();
        let dots = ours.iter().filter(|line| line.starts_with("<circle")).count();
        assert_eq!((lines, dots), (1, 1), "a point alone is a dot: {ours:?}");
        assert!(
            svg.contains("<title>writes &amp; &lt;reads&gt;</title>") && svg.ends_with("</svg>\n")
        );
    }
}
