//! Charts as SVG text, drawn by plotters. One kind of chart serves all: two axes, curves with a band for their
//! spread, marked moments, marked levels. Other modules decide what is drawn.
//!
//! Colours come from a small fixed set, so that the page that holds a chart can replace them for a dark screen, by
//! rules on attributes.

mod axis;
mod draw;

pub use axis::{Axis, Scale, Unit};

/// The colour of text, and of the frame of a chart.
pub const INK: Colour = Colour(0x1F, 0x24, 0x30);
/// The colour of things that must not catch the eye: labels of ticks, levels.
pub const MUTED: Colour = Colour(0x6B, 0x72, 0x80);
/// The colour of the grid.
pub const FAINT: Colour = Colour(0xE3, 0xE6, 0xEB);

/// Colours of series, which people who see no red or no green can tell apart (Okabe and Ito's, the first two
/// darkened for thin lines on white). The first colour is the project's own.
pub const SERIES: [Colour; 8] = [
    Colour(0x00, 0x5F, 0xB8),
    Colour(0xD5, 0x5E, 0x00),
    Colour(0x00, 0x9E, 0x73),
    Colour(0xB8, 0x5C, 0x9A),
    Colour(0x3F, 0xA7, 0xDC),
    Colour(0xA8, 0x7B, 0x00),
    Colour(0x5B, 0x5B, 0x8C),
    Colour(0x7F, 0x7F, 0x7F),
];

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// As SVG and CSS write it, in capitals as plotters does.
    pub fn hex(self) -> String {
        format!("#{:02X}{:02X}{:02X}", self.0, self.1, self.2)
    }
}

/// A moment on the x axis, and a word about it.
pub type Mark = (f64, String);

/// One diagram.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What the chart shows, for people who cannot see it; becomes the picture's title.
    pub title: String,
    /// Width and height in pixels of the page.
    pub size: (u32, u32),
    /// From left to right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// Drawn in this order, so the last lies on top.
    pub curves: Vec<Curve>,
    /// Moments on `x`, with a word each.
    pub marks: Vec<Mark>,
    /// Stretches of `x` during which something went on.
    pub spans: Vec<(f64, f64)>,
    /// Values on `y` to compare with, such as a floor or a goal, with a word each.
    pub levels: Vec<(f64, String)>,
}

/// One series of a chart.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its colour, which the legend beside the chart explains.
    pub colour: Colour,
    /// Whether it is dashed, because its colour alone would not tell it from its neighbour.
    pub dashed: bool,
    /// The points that have a dot.
    pub dots: Dots,
    /// x and y. A y that is not finite makes a gap.
    pub points: Vec<(f64, f64)>,
    /// x, least and greatest y: the spread of the values whose medians are the points. May be empty.
    pub band: Vec<(f64, f64, f64)>,
}

/// The points of a curve that have a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dots {
    /// None.
    None,
    /// The last point, if the end of the curve means something.
    Last,
    /// Every point: few points that were measured one by one.
    All,
}

impl Curve {
    /// Every y that is drawn, including those of the band.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        let band = self.band.iter().flat_map(|(_, least, most)| [*least, *most]);
        self.points.iter().map(|(_, y)| *y).chain(band)
    }
}

impl Chart {
    /// A chart of curves alone.
    pub fn new(title: String, size: (u32, u32), x: Axis, y: Axis, curves: Vec<Curve>) -> Chart {
        let (marks, spans, levels) = (Vec::new(), Vec::new(), Vec::new());
        Chart { title, size, x, y, curves, marks, spans, levels }
    }

    /// The chart as an `<svg>` element.
    pub fn svg(&self) -> String {
        draw::svg(self)
    }
}
