//! The page of an evaluation: accuracy, calibration, the confusion matrix, the worst mistakes as thumbnails.
//! It needs no other file and no script.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use resnet_cpu::data::{Dataset, Error, RgbImage, resize};
use resnet_cpu::infer::{CALIBRATION_BINS, Outcome};
use resnet_cpu::runtime::{Disk, Watch, write_durably};
use std::fmt::Write as _;
use std::path::Path;

use super::super::error::CliError;
use super::super::output::one_line;
use super::results::Results;

/// Classes that the matrix shows at most.
const MATRIX: usize = 30;
/// Rows of the table of mistakes.
const MISTAKES: usize = 20;
/// Longest side of a thumbnail in pixels, and its JPEG quality.
const THUMBNAIL: usize = 240;
const QUALITY: u8 = 85;
/// Side of the drawing of the calibration in its own units.
const PLOT: f64 = 300.0;

const STYLE: &str = "
:root { color-scheme: light dark; --fg: #1c1c1e; --bg: #ffffff; --soft: #6b6b70; --line: #e4e4e8;
  --right: #1f77b4; --wrong: #d97700; }
@media (prefers-color-scheme: dark) { :root { --fg: #e6e6ea; --bg: #17181b; --soft: #9a9aa2;
  --line: #303238; --right: #5fb0ee; --wrong: #ffa63d; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg);
  max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.soft { color: var(--soft); margin: .25rem 0 1rem; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .8rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } .text { text-align: left; }
.headline td:last-child { white-space: normal; }
.matrix th, .matrix td { padding: 0 .2rem; border: 1px solid var(--line); font-size: .75rem; height: 1.5rem;
  min-width: 1.5rem; text-align: center; }
.matrix thead th { vertical-align: bottom; height: auto; padding: .35rem 0; }
.matrix thead th span { writing-mode: vertical-rl; transform: rotate(180deg); }
.matrix tbody th { text-align: right; }
.right { background: color-mix(in srgb, var(--right) var(--share), transparent); }
.wrong { background: color-mix(in srgb, var(--wrong) var(--share), transparent); }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; overflow-wrap: anywhere; font-size: .9rem; }
figure img { width: 100%; height: 9rem; object-fit: contain; background: var(--line); display: block; }
figure .small { image-rendering: pixelated; }
figure b { font-weight: 600; } figcaption .soft { font-size: .8rem; margin: 0; }
svg { width: 22rem; max-width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
svg rect { fill: var(--right); } svg line { stroke: var(--soft); }
";

/// The page called `title` of `results`, with thumbnails of images of `data`.
///
/// # Errors
/// An image can no longer be read.
pub(super) fn page(
    title: &str,
    results: &Results,
    data: &dyn Dataset,
    watch: &dyn Watch,
) -> Result<String, Error> {
    let title = escape(title);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"soft\">{} images, {}{}{}</p>\n<table class=\"headline\">\n",
        results.split,
        results.views,
        match results.networks.paths.len() {
            1 => String::new(),
            n => format!("; probabilities of {n} networks averaged"),
        },
        match results.found.skipped.len() {
            0 => String::new(),
            n => format!("; {n} images that cannot be read are left out"),
        },
    );
    for [name, value, detail] in results.headline() {
        let _ = writeln!(
            html,
            "<tr><th class=\"text\">{name}</th><td>{value}</td><td class=\"text\">{detail}</td></tr>"
        );
    }
    html += "</table>\n<h2>Confusion matrix</h2>\n";
    html += &matrix(results);
    html += &mistakes(results);
    if !results.found.mistakes.is_empty() {
        html += "<h2>Worst mistakes</h2>\n<p class=\"soft\">The images whose class had the lowest \
                 probability, of those classified wrong.</p>\n<div class=\"mistakes\">\n";
        for (index, outcome) in &results.found.mistakes {
            if watch.stopped() {
                return Err(Error::Interrupted);
            }
            html += &mistake(results, outcome, &data.image(*index)?, &data.name(*index));
        }
        html += "</div>\n";
    }
    html += &calibration(results);
    html += &classes(results);
    html += "</body>\n</html>\n";
    Ok(html)
}

/// Writes the page, wholly or not at all.
pub(super) fn write(path: &Path, page: &str) -> Result<(), CliError> {
    write_durably(&Disk, path, |out| out.write_all(page.as_bytes()))
        .map_err(|error| CliError::failed(format!("{}: cannot write: {error}", path.display())))
}

/// The classes that the matrix shows, in index order, and whether these are all that occur.
fn shown_classes(results: &Results) -> (Vec<usize>, bool) {
    let scores = &results.found.scores;
    let mut mistakes = vec![0; scores.per_class().len()];
    let mut occurs = vec![false; mistakes.len()];
    for (&(truth, predicted), &count) in scores.confusion() {
        for class in [truth, predicted] {
            occurs[class] = true;
            mistakes[class] += if truth == predicted { 0 } else { count };
        }
    }
    let mut classes: Vec<usize> = (0..mistakes.len()).filter(|&class| occurs[class]).collect();
    let all = classes.len() <= MATRIX;
    if !all {
        classes.sort_by_key(|&class| (u64::MAX - mistakes[class], class));
        classes.truncate(MATRIX);
        classes.sort_unstable();
    }
    (classes, all)
}

fn matrix(results: &Results) -> String {
    let scores = &results.found.scores;
    let (classes, all) = shown_classes(results);
    let mut html = format!(
        "<p class=\"soft\">Rows are what images show, columns what they were taken for{}</p>\n\
         <div class=\"wide\"><table class=\"matrix\">\n<thead><tr><th></th>",
        match all {
            true => ".".to_owned(),
            false => format!(
                ". Only the {MATRIX} classes with the most mistakes; all others are in the last column."
            ),
        }
    );
    let header = |class: usize| escape(&results.name(class));
    for &class in &classes {
        let _ = write!(html, "<th><span>{}</span></th>", header(class));
    }
    html += if all { "" } else { "<th><span>others</span></th>" };
    html += "</tr></thead>\n<tbody>\n";
    for &truth in &classes {
        let images = scores.per_class()[truth].images;
        let _ = write!(html, "<tr><th>{}</th>", header(truth));
        let mut rest = images;
        for &predicted in &classes {
            let count = scores.confusion().get(&(truth, predicted)).copied().unwrap_or_default();
            rest -= count;
            html += &cell(count, images, truth == predicted);
        }
        if !all {
            html += &cell(rest, images, false);
        }
        html += "</tr>\n";
    }
    html + "</tbody></table></div>\n"
}

/// A count, coloured by its share of the row.
fn cell(count: u64, of: u64, right: bool) -> String {
    if count == 0 {
        return "<td></td>".to_owned();
    }
    let class = if right { "right" } else { "wrong" };
    let share = 15.0 + 70.0 * count as f64 / of as f64;
    format!("<td class=\"{class}\" style=\"--share: {share:.0}%\">{count}</td>")
}

fn mistakes(results: &Results) -> String {
    let wrong = results.confusions();
    if wrong.is_empty() {
        return "<p>No image was classified wrong.</p>\n".to_owned();
    }
    let mut html =
        "<h2>Most frequent mistakes</h2>\n<div class=\"wide\"><table>\n<tr><th>images</th>\
                    <th class=\"text\">class</th><th class=\"text\">taken for</th></tr>\n"
            .to_owned();
    for &(truth, predicted, count) in wrong.iter().take(MISTAKES) {
        let [truth, predicted] = [truth, predicted].map(|class| escape(&results.name(class)));
        let _ = writeln!(
            html,
            "<tr><td>{count}</td><td class=\"text\">{truth}</td><td class=\"text\">{predicted}</td></tr>"
        );
    }
    html + "</table></div>\n"
}

fn mistake(results: &Results, outcome: &Outcome, image: &RgbImage, name: &str) -> String {
    let name = escape(&one_line(name));
    let [truth, predicted] =
        [outcome.truth, outcome.predicted].map(|class| escape(&results.name(class)));
    let percent = |p: f64| format!("{:.1}&nbsp;%", 100.0 * p);
    // Few pixels are shown as they are, not blurred.
    let class = if image.width().max(image.height()) <= 64 { " class=\"small\"" } else { "" };
    format!(
        "<figure><img{class} alt=\"{truth}\" src=\"data:image/jpeg;base64,{}\">\n\
         <figcaption><b>{truth}</b> {}<br>taken for <b>{predicted}</b> {}<br>\
         <span class=\"soft\">{name}</span></figcaption></figure>\n",
        STANDARD.encode(thumbnail(image)),
        percent((-outcome.loss).exp()),
        percent(outcome.probability),
    )
}

/// The image as a JPEG, at most [`THUMBNAIL`] pixels a side.
fn thumbnail(image: &RgbImage) -> Vec<u8> {
    let (width, height) = (image.width(), image.height());
    let longest = width.max(height);
    let scaled = |side: usize| (side * THUMBNAIL / longest).max(1);
    let small = (longest > THUMBNAIL).then(|| resize(image, scaled(width), scaled(height)));
    let small = small.as_ref().unwrap_or(image);
    let mut jpeg = Vec::new();
    let (width, height) = (small.width() as u32, small.height() as u32);
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode(small.pixels(), width, height, image::ExtendedColorType::Rgb8)
        .expect("a vector takes any JPEG, and the sides are small");
    jpeg
}

/// How many of the predictions of a probability are right, as bars.
fn calibration(results: &Results) -> String {
    let at = |x: f64| 30.0 + x * PLOT;
    let side = PLOT + 60.0;
    let mut html = format!(
        "<h2>Calibration</h2>\n<p class=\"soft\">How many predictions are right, by their probability; on \
         the line they would be as probable as they are right.</p>\n\
         <svg viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"calibration\">\n"
    );
    let width = PLOT / CALIBRATION_BINS as f64;
    for (i, bin) in results.found.scores.bins().iter().enumerate().filter(|(_, b)| b.images > 0) {
        let accuracy = bin.correct as f64 / bin.images as f64;
        let (x, y) = (at(i as f64 / CALIBRATION_BINS as f64), at(1.0 - accuracy));
        let _ = writeln!(
            html,
            "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} of {} images \
             right</title></rect>",
            x + 1.0,
            width - 2.0,
            accuracy * PLOT,
            bin.correct,
            bin.images
        );
    }
    let (low, high) = (at(0.0), at(1.0));
    for [x1, y1, x2, y2] in [[low, high, high, low], [low, high, high, high], [low, low, low, high]]
    {
        let _ = writeln!(html, "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>");
    }
    for (x, y, text) in [
        (low, high + 15.0, "0 %"),
        (high - 30.0, high + 15.0, "100 %"),
        (low + 0.4 * PLOT, high + 25.0, "probability"),
        (low + 4.0, low + 12.0, "right: 100 %"),
    ] {
        let _ = writeln!(html, "<text x=\"{x}\" y=\"{y}\">{text}</text>");
    }
    html + "</svg>\n"
}

/// Every class that has images, the least accurate first.
fn classes(results: &Results) -> String {
    let mut html =
        "<h2>Classes</h2>\n<div class=\"wide\"><table>\n<tr><th class=\"text\">class</th>\
                    <th>accuracy</th><th>right</th><th>images</th></tr>\n"
            .to_owned();
    for (index, class) in results.least_accurate() {
        let _ = writeln!(
            html,
            "<tr><td class=\"text\">{}</td><td>{:.2} %</td><td>{}</td><td>{}</td></tr>",
            escape(&results.name(index)),
            100.0 * class.accuracy().unwrap_or_default(),
            class.correct,
            class.images
        );
    }
    html + "</table></div>\n"
}

/// Text for HTML, attributes included.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
