//! `report.html`: a run's curves, last epochs and configuration, on one self-contained page.

use std::fmt::{Display, Write as _};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::prelude::*;

use super::config::Config;
use super::metrics::EpochMetrics;
use super::state::Best;
use crate::runtime::{Storage, write_durably};

/// Width and height of a plot in its own units; the page scales it.
const SIZE: (u32, u32) = (460, 290);
/// Epochs in the table.
const ROWS: usize = 15;
/// Epochs up to which each is marked with a dot.
const DOTS: usize = 60;

// The page's style sheet maps these to colours that suit its light and dark mode.
const TRAIN: RGBColor = RGBColor(0x1F, 0x77, 0xB4);
const VALIDATION: RGBColor = RGBColor(0xE0, 0x7B, 0x00);
const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
const AXIS: RGBColor = RGBColor(0x88, 0x88, 0x88);

const STYLE: &str = "
:root { color-scheme: light dark; --fg: #1c1c1e; --bg: #ffffff; --soft: #6b6b70; --grid: #e4e4e8;
  --train: #1f77b4; --validation: #d97700; }
@media (prefers-color-scheme: dark) { :root { --fg: #e6e6ea; --bg: #17181b; --soft: #9a9aa2;
  --grid: #303238; --train: #5fb0ee; --validation: #ffa63d; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg);
  max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.soft { color: var(--soft); margin: .25rem 0 1.5rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
figcaption span { font-weight: 400; margin-left: 1em; }
.train { color: var(--train); } .validation { color: var(--validation); }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); }
svg [stroke='#DDDDDD'] { stroke: var(--grid); } svg [stroke='#888888'] { stroke: var(--soft); }
svg [stroke='#1F77B4'] { stroke: var(--train); } svg [fill='#1F77B4'] { fill: var(--train); }
svg [stroke='#E07B00'] { stroke: var(--validation); }
svg [fill='#E07B00'] { fill: var(--validation); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; white-space: nowrap; padding: .2rem .8rem; border-bottom: 1px solid var(--grid); }
th { color: var(--soft); font-weight: 500; }
.config th, .config td { text-align: left; white-space: normal; }
";

/// The report cannot be drawn or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A curve cannot be drawn.
    #[error("{}: cannot draw the curve of {curve}: {reason}", path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// Which curve.
        curve: &'static str,
        /// The reason.
        reason: String,
    },
    /// The operating system refused.
    #[error("{}: cannot write: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
}

/// Writes the report of the run with `config` after `epochs`.
///
/// # Errors
/// The file cannot be written.
pub fn write_report(
    path: &Path,
    config: &Config,
    epochs: &[EpochMetrics],
    best: Option<&Best>,
    storage: &dyn Storage,
) -> Result<(), ReportError> {
    let page = page(config, epochs, best).map_err(|(curve, reason)| ReportError::Plot {
        path: path.to_owned(),
        curve,
        reason,
    })?;
    write_durably(storage, path, |out| out.write_all(page.as_bytes()))
        .map_err(|reason| ReportError::Io { path: path.to_owned(), reason })
}

/// A plot: its title, how values are written, and its curves.
struct Plot {
    title: &'static str,
    format: fn(f64) -> String,
    curves: Vec<Curve>,
}

/// A curve: what it is of, and its values by epoch.
struct Curve {
    class: &'static str,
    label: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

fn page(
    config: &Config,
    epochs: &[EpochMetrics],
    best: Option<&Best>,
) -> Result<String, (&'static str, String)> {
    let title = escape(&format!("{} · {}", config.arch, config.recipe));
    let curve = |class, label, color, value: fn(&EpochMetrics) -> Option<f64>| {
        let point = |epoch| Some((epoch_of(epoch), value(epoch).filter(|y| y.is_finite())?));
        Curve { class, label, color, points: epochs.iter().filter_map(point).collect() }
    };
    let train = |value| curve("train", "training", TRAIN, value);
    let measured = if config.data.test { "test" } else { "validation" };
    let validation = |value| curve("validation", measured, VALIDATION, value);
    let plots = [
        Plot {
            title: "Loss",
            format: number,
            curves: vec![train(|e| e.train_loss), validation(|e| e.val_loss)],
        },
        Plot {
            title: "Top-1 accuracy",
            format: |y| number(100.0 * y) + " %",
            curves: vec![train(|e| e.train_top1), validation(|e| e.val_top1)],
        },
        Plot {
            title: "Learning rate",
            format: number,
            curves: vec![curve("train", "", TRAIN, |e| Some(e.lr))],
        },
    ];
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"soft\">{}</p>\n<div class=\"plots\">\n",
        summary(config, epochs, best)
    );
    for plot in &plots {
        let svg = draw(plot).map_err(|error| (plot.title, error.to_string()))?;
        let legend: String = plot
            .curves
            .iter()
            .filter(|curve| !curve.label.is_empty() && !curve.points.is_empty())
            .map(|curve| format!("<span class=\"{}\">{}</span>", curve.class, curve.label))
            .collect();
        let title = plot.title;
        html += &format!("<figure><figcaption>{title}{legend}</figcaption>\n{svg}</figure>\n");
    }
    html += "</div>\n<h2>Last epochs</h2>\n";
    html += &table(epochs, measured);
    html += "<h2>Configuration</h2>\n<table class=\"config\">\n";
    for (key, value) in config.fields() {
        html += &format!("<tr><th>{key}</th><td>{}</td></tr>\n", escape(&value));
    }
    html += "</table>\n</body>\n</html>\n";
    Ok(html)
}

fn epoch_of(epoch: &EpochMetrics) -> f64 {
    epoch.epoch as f64
}

fn summary(config: &Config, epochs: &[EpochMetrics], best: Option<&Best>) -> String {
    let Some(last) = epochs.last() else { return "No epoch is done yet.".to_owned() };
    let mut text = format!("Epoch {}, step {} of {}", last.epoch, last.step, config.total_steps());
    if let Some(top1) = last.val_top1 {
        text += &match config.data.test {
            true => format!(" · test error {}", percent(1.0 - top1)),
            false => format!(" · validation top-1 {}", percent(top1)),
        };
    }
    if let Some(Best { epoch, top1, .. }) = best {
        text += &format!(" · best {} after epoch {epoch}", percent(*top1));
    }
    text
}

/// The plot as an SVG element.
fn draw(plot: &Plot) -> Result<String, Box<dyn std::error::Error + '_>> {
    let points = || plot.curves.iter().flat_map(|curve| &curve.points);
    let (x, y) = (range(points().map(|p| p.0)), range(points().map(|p| p.1)));
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(30)
        .y_label_area_size(58)
        .build_cartesian_2d(x, y)?;
    let font = ("sans-serif", 17).into_font();
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .label_style(font)
        .x_labels(8)
        .y_labels(6)
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x}") } else { String::new() })
        .y_label_formatter(&|y| (plot.format)(*y))
        .draw()?;
    for Curve { color, points, .. } in &plot.curves {
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        if points.len() <= DOTS {
            chart.draw_series(points.iter().map(|&at| Circle::new(at, 3, color.filled())))?;
        }
    }
    area.present()?;
    drop(chart);
    drop(area);
    Ok(svg)
}

/// A range around all values, never empty.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    match high - low {
        span if span > 0.0 => low - 0.04 * span..high + 0.04 * span,
        0.0 => low - 0.5 * low.abs().max(1e-3)..high + 0.5 * high.abs().max(1e-3),
        _ => 0.0..1.0,
    }
}

fn table(epochs: &[EpochMetrics], measured: &str) -> String {
    let mut html = format!(
        "<div class=\"wide\"><table>\n<tr><th>epoch</th><th>step</th><th>lr</th>\
         <th>training loss</th><th>top-1</th><th>{measured} loss</th><th>top-1</th><th>top-5</th>\
         <th>images/s</th><th>seconds</th></tr>\n",
    );
    let cell = |value: Option<f64>, format: fn(f64) -> String| value.map_or("–".into(), format);
    for e in epochs.iter().rev().take(ROWS) {
        html += "<tr>";
        for text in [
            e.epoch.to_string(),
            e.step.to_string(),
            number(e.lr),
            cell(e.train_loss, |x| format!("{x:.4}")),
            cell(e.train_top1, percent),
            cell(e.val_loss, |x| format!("{x:.4}")),
            cell(e.val_top1, percent),
            cell(e.val_top5, percent),
            cell(e.images_per_second, |x| format!("{x:.1}")),
            cell(e.seconds, |x| format!("{x:.1}")),
        ] {
            let _ = write!(html, "<td>{text}</td>");
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// Three significant digits, without zeros at the end.
fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    let decimals = (2 - x.abs().log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{x:.decimals$}");
    let trimmed = if text.contains('.') { text.trim_end_matches('0') } else { &text };
    trimmed.trim_end_matches('.').to_owned()
}

fn percent(x: f64) -> String {
    format!("{:.2} %", 100.0 * x)
}

/// Text for HTML.
fn escape(text: &impl Display) -> String {
    text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Disk;
    use crate::train::Recipe;

    /// A run as it might look; some values missing, one not a number.
    fn epochs(n: u64) -> Vec<EpochMetrics> {
        let value = |i: u64, scale: f64| scale * (-(i as f64) / 4.0).exp() + 0.02 * (i % 3) as f64;
        (1..=n)
            .map(|i| EpochMetrics {
                epoch: i,
                step: 391 * i,
                lr: 0.1 * (1.0 - i as f64 / 31.0),
                train_loss: Some(if i == 3 { f64::NAN } else { 0.1 + value(i, 2.0) }),
                train_top1: Some(0.97 - value(i, 0.7)),
                val_loss: (i != 5).then(|| 0.3 + value(i, 1.8)),
                val_top1: (i != 5).then(|| 0.92 - value(i, 0.6)),
                val_top5: None,
                images_per_second: Some(1234.5),
                data_seconds: Some(0.1),
                seconds: Some(41.0),
            })
            .collect()
    }

    #[test]
    fn pages_of_any_number_of_epochs() {
        let spec = Recipe::FastCifar.spec("resnet20", Default::default()).unwrap();
        let mut config = Recipe::FastCifar.config(&spec);
        config.data.kind = "<script>".to_owned();
        config.data.train_images = 50_048;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        let best = Best { epoch: 2, step: 5, top1: 0.9125 };
        for n in [0, 1, 2, 30, 200] {
            write_report(&path, &config, &epochs(n), Some(&best), &Disk).unwrap();
            let html = std::fs::read_to_string(&path).unwrap();
            assert_eq!(html.matches("<svg").count(), 3);
            assert_eq!(html.matches("</svg>").count(), 3);
            assert!(!html.contains("<script") && !html.contains("NaN"), "{n}");
            assert!(!html.contains("http") || html.matches("http").count() == 3, "namespaces only");
            assert_eq!(html.contains("91.25 %"), n > 0);
        }
    }

    #[test]
    fn numbers_are_short() {
        let texts: Vec<String> = [0.1, 0.0123456, 1234.0, 2.0, 0.0, 0.30000000000000004, 1e-5]
            .into_iter()
            .map(number)
            .collect();
        assert_eq!(texts, ["0.1", "0.0123", "1234", "2", "0", "0.3", "0.00001"]);
    }
}
