//! `report.html`: a run's curves, last epochs and configuration, on one self-contained page.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::metrics::EpochMetrics;
use super::state::Best;
use crate::charts::{Chart, ChartError, Curve, Line, Page, escape, number, percent};
use crate::runtime::{Storage, write_durably};

/// Epochs in the table.
const ROWS: usize = 15;

// Colours of curves.
const TRAIN: usize = 0;
const VALIDATION: usize = 1;

/// The report cannot be drawn or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A chart cannot be drawn.
    #[error("{}: {reason}", path.display())]
    Chart {
        /// The file.
        path: PathBuf,
        /// Which chart, and why.
        reason: ChartError,
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
    let page = page(config, epochs, best)
        .map_err(|reason| ReportError::Chart { path: path.to_owned(), reason })?;
    write_durably(storage, path, |out| out.write_all(page.as_bytes()))
        .map_err(|reason| ReportError::Io { path: path.to_owned(), reason })
}

fn page(
    config: &Config,
    epochs: &[EpochMetrics],
    best: Option<&Best>,
) -> Result<String, ChartError> {
    let curve = |hue, name: &str, value: fn(&EpochMetrics) -> Option<f64>| {
        let points = epochs.iter().filter_map(|epoch| Some((epoch_of(epoch), value(epoch)?)));
        Curve { name: name.to_owned(), hue, line: Line::Solid, points: points.collect() }
    };
    let train = |value| curve(TRAIN, "training", value);
    let measured = if config.data.test { "test" } else { "validation" };
    let validation = |value| curve(VALIDATION, measured, value);
    let chart = |title: &str, y_format, curves| Chart {
        title: title.to_owned(),
        x_label: String::new(),
        y_format,
        y_range: None,
        curves,
    };
    let charts = [
        chart("Loss", number, vec![train(|e| e.train_loss), validation(|e| e.val_loss)]),
        chart(
            "Top-1 accuracy",
            |y| number(100.0 * y) + " %",
            vec![train(|e| e.train_top1), validation(|e| e.val_top1)],
        ),
        chart("Learning rate", number, vec![curve(TRAIN, "", |e| Some(e.lr))]),
    ];
    let mut page = Page::new(&format!("{} · {}", config.arch, config.recipe));
    page.push(&format!("<p class=\"soft\">{}</p>\n", summary(config, epochs, best)));
    page.charts(&charts)?;
    page.heading("Last epochs");
    page.push(&table(epochs, measured));
    page.heading("Configuration");
    page.push("<table class=\"config\">\n");
    for (key, value) in config.fields() {
        page.push(&format!("<tr><th>{key}</th><td>{}</td></tr>\n", escape(&value)));
    }
    page.push("</table>\n");
    Ok(page.finish())
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
}
