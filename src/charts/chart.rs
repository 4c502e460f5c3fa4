//! A chart of named curves, as an HTML figure with an SVG in it.

use std::ops::Range;

use plotters::prelude::*;

use super::palette::{self, Line};
use super::text::{escape, thousands};

/// Width and height of a chart in its own units; the page scales it.
const SIZE: (u32, u32) = (460, 290);
/// Points up to which each is marked with a dot.
const DOTS: usize = 60;

// The page's style sheet maps these to colours that suit its light and dark mode.
const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
const AXIS: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// A curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What the legend calls it; it is not in the legend if this is empty.
    pub name: String,
    /// Its colour, of [`HUES`](super::HUES).
    pub hue: usize,
    /// How it is drawn.
    pub line: Line,
    /// Its points, in the order of x. Those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What stands at the axis of x, if anything.
    pub x_label: String,
    /// How values of y are written at the axis.
    pub y_format: fn(f64) -> String,
    /// The values of y that are shown; curves are cut there. `None`: all.
    pub y_range: Option<Range<f64>>,
    /// The curves, the last one on top.
    pub curves: Vec<Curve>,
}

/// A chart cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the chart of {title}: {reason}")]
#[non_exhaustive]
pub struct ChartError {
    /// The chart's title.
    pub title: String,
    /// Why not.
    pub reason: String,
}

impl Chart {
    /// The chart and its legend as a `<figure>`.
    ///
    /// # Errors
    /// The drawing library failed.
    pub fn figure(&self) -> Result<String, ChartError> {
        let svg = self
            .draw()
            .map_err(|error| ChartError { title: self.title.clone(), reason: error.to_string() })?;
        let legend: String = self.curves.iter().filter_map(key).collect();
        let title = escape(&self.title);
        Ok(format!("<figure><figcaption>{title}{legend}</figcaption>\n{svg}</figure>\n"))
    }

    fn draw(&self) -> Result<String, Box<dyn std::error::Error + '_>> {
        let curves: Vec<Vec<(f64, f64)>> = self.curves.iter().map(finite).collect();
        let points = || curves.iter().flatten();
        let x = around(points().map(|p| p.0));
        let y = self.y_range.clone().unwrap_or_else(|| around(points().map(|p| p.1)));
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(if self.x_label.is_empty() { 30 } else { 46 })
            .y_label_area_size(58)
            .build_cartesian_2d(x, y.clone())?;
        let font = ("sans-serif", 17).into_font();
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(font.clone())
            .axis_desc_style(font)
            .x_desc(&*self.x_label)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| thousands(*x))
            .y_label_formatter(&|y| (self.y_format)(*y))
            .draw()?;
        for (&Curve { hue, line, .. }, points) in self.curves.iter().zip(&curves) {
            let color = palette::color(hue, line);
            let width = if line == Line::Solid { 2 } else { 1 };
            for part in within(points, &y) {
                chart.draw_series(LineSeries::new(part, color.stroke_width(width)))?;
            }
            // A point alone is no line.
            if points.len() == 1 || (line == Line::Solid && points.len() <= DOTS) {
                let shown = points.iter().filter(|at| y.contains(&at.1));
                chart.draw_series(shown.map(|&at| Circle::new(at, 3, color.filled())))?;
            }
        }
        area.present()?;
        drop(chart);
        drop(area);
        Ok(svg)
    }
}

/// A curve's entry in the legend.
fn key(curve: &Curve) -> Option<String> {
    let shown = !curve.name.is_empty() && !finite(curve).is_empty();
    shown.then(|| {
        let dashed = if curve.line == Line::Dashed { " dashed" } else { "" };
        let hue = curve.hue % super::HUES;
        format!("<span class=\"c{hue}{dashed}\">{}</span>", escape(&curve.name))
    })
}

fn finite(curve: &Curve) -> Vec<(f64, f64)> {
    curve.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// A range around all values, never empty.
fn around(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    match high - low {
        span if span > 0.0 => low - 0.04 * span..high + 0.04 * span,
        0.0 => low - 0.5 * low.abs().max(1e-3)..high + 0.5 * high.abs().max(1e-3),
        _ => 0.0..1.0,
    }
}

/// The parts of a line through `points` that are within `range`, cut where it leaves it.
fn within(points: &[(f64, f64)], range: &Range<f64>) -> Vec<Vec<(f64, f64)>> {
    let clamp = |y: f64| y.clamp(range.start, range.end);
    let mut parts: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    if let [only] = points {
        parts.push(vec![*only]);
    }
    for pair in points.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        // Where the line between them has these values.
        let at = |y: f64| match b.1 - a.1 {
            0.0 => a.0,
            rise => a.0 + (b.0 - a.0) * (y - a.1) / rise,
        };
        let cut = |p: (f64, f64)| {
            let y = clamp(p.1);
            (if y == p.1 { p.0 } else { at(y) }, y)
        };
        let outside =
            (a.1 > range.end && b.1 > range.end) || (a.1 < range.start && b.1 < range.start);
        if outside {
            parts.push(Vec::new());
            continue;
        }
        let (from, to) = (cut(a), cut(b));
        match parts.last_mut() {
            Some(part) if part.last() == Some(&from) => part.push(to),
            _ => parts.push(vec![from, to]),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::number;

    fn curve(name: &str, hue: usize, line: Line, points: &[(f64, f64)]) -> Curve {
        Curve { name: name.to_owned(), hue, line, points: points.to_vec() }
    }

    fn chart(y_range: Option<Range<f64>>, curves: Vec<Curve>) -> Chart {
        let (title, x_label) = ("a < b".to_owned(), "iterations".to_owned());
        Chart { title, x_label, y_format: number, y_range, curves }
    }

    #[test]
    fn figures_of_any_curves() {
        let points = [(1.0, 0.9), (2.0, f64::NAN), (3.0, 0.3), (f64::INFINITY, 0.1)];
        let curves = vec![
            curve("ResNet-20", 0, Line::Solid, &points),
            curve("", 1, Line::Dashed, &points),
            curve("plain & bare", 9, Line::Dashed, &points),
            curve("none", 3, Line::Solid, &[]),
        ];
        let html = chart(None, curves).figure().unwrap();
        assert!(html.contains("a &lt; b") && html.contains("iterations"), "{html}");
        assert!(html.contains("<span class=\"c0\">ResNet-20</span>"), "{html}");
        assert!(html.contains("<span class=\"c1 dashed\">plain &amp; bare</span>"), "{html}");
        assert!(!html.contains("none</span>") && !html.contains("NaN"), "{html}");
        assert_eq!(html.matches("<span").count(), 2);
        assert_eq!(html.matches("<circle").count(), 2, "dots of the solid curve");
        for curves in [vec![], vec![curve("one", 0, Line::Solid, &[(1.0, 2.0)])]] {
            assert!(chart(None, curves).figure().unwrap().contains("</svg>"));
        }
    }

    #[test]
    fn curves_end_where_they_leave_the_range() {
        let line = [(0.0, 4.0), (2.0, 0.0), (4.0, 1.0), (5.0, 3.0), (6.0, 3.0), (8.0, -1.0)];
        let parts = within(&line, &(0.0..2.0));
        assert_eq!(
            parts,
            [vec![(1.0, 2.0), (2.0, 0.0), (4.0, 1.0), (4.5, 2.0)], vec![(6.5, 2.0), (7.5, 0.0)]]
        );
        assert_eq!(within(&line, &(-2.0..5.0)), [line.to_vec()]);
        assert_eq!(within(&[(0.0, 7.0), (1.0, 9.0)], &(0.0..2.0)), Vec::<Vec<_>>::new());
        assert_eq!(within(&[(3.0, 1.0)], &(0.0..2.0)), [vec![(3.0, 1.0)]]);
    }
}
