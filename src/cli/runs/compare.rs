//! `resnet-cpu runs compare`: the curves of runs over one another, what they came to and what differs between them,
//! on one page that needs no other file.

use resnet_cpu::charts::{
    Chart, ChartError, Curve, HUES, Line, Page, after_begin, escape, number, percent,
};
use resnet_cpu::runtime::{Disk, write_durably};
use resnet_cpu::train::{EpochMetrics, StoredRun};
use std::fmt::Display;
use std::path::PathBuf;

use super::super::error::CliError;
use super::super::machine::Machine;
use super::super::output::one_line;
use super::RunArgs;
use super::find::labels;
use super::list::{NONE, config, differing, measured_on, rate, state};

#[derive(clap::Args)]
pub(super) struct CompareArgs {
    #[command(flatten)]
    runs: RunArgs,
    /// File to write the page to
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &CompareArgs, machine: &Machine) -> Result<(), CliError> {
    let runs = args.runs.read(machine)?;
    if runs.len() > HUES {
        return Err(CliError::usage(format!(
            "expected up to {HUES} runs, whose colours can be told apart, found {}",
            runs.len()
        )));
    }
    let path = &args.out;
    let failed = |error: &dyn Display| {
        CliError::failed(format!("{}: cannot write: {error}", path.display()))
    };
    let page = page(&runs, &labels(&runs)).map_err(|error| failed(&error))?;
    write_durably(&Disk, path, |out| out.write_all(page.as_bytes()))
        .map_err(|error| failed(&error))?;
    let noun = if runs.len() == 1 { "run" } else { "runs" };
    machine.note(&format!("{}: {} {noun}", path.display(), runs.len()));
    Ok(())
}

/// The page of `runs`, which are called `labels`.
fn page(runs: &[StoredRun], labels: &[String]) -> Result<String, ChartError> {
    let mut page = Page::new(&one_line(&labels.join(" · ")));
    let mut measured: Vec<&str> = runs.iter().filter_map(|run| measured_on(config(run)?)).collect();
    measured.sort_unstable();
    measured.dedup();
    let bold = match measured.as_slice() {
        [] => String::new(),
        names => format!(" Bold: {} images.", names.join(" or ")),
    };
    page.push(&format!(
        "<p class=\"soft\">Dashed: training images, as they are used for training.{bold}</p>\n"
    ));
    let error = |top1: Option<f64>| Some(1.0 - top1?);
    let curves = |value: [Value; 2]| curves(runs, labels, value);
    let errors = curves([&|e| error(e.train_top1), &|e| error(e.val_top1)]);
    let losses = curves([&|e| e.train_loss, &|e| e.val_loss]);
    let rates = curves([&|_| None, &|e| Some(e.lr)]);
    page.charts(&[
        chart("Top-1 error", |y| number(100.0 * y) + " %", after_begin(errors.iter()), errors),
        chart("Loss", number, after_begin(losses.iter()), losses),
        chart("Learning rate", number, None, rates),
    ])?;
    page.heading("Results");
    page.push(&results(runs, labels));
    page.heading("What differs");
    page.push(&differences(runs, labels));
    Ok(page.finish())
}

/// What a curve shows of an epoch.
type Value<'a> = &'a dyn Fn(&EpochMetrics) -> Option<f64>;

fn chart(
    title: &str,
    y_format: fn(f64) -> String,
    y_range: Option<std::ops::Range<f64>>,
    curves: Vec<Curve>,
) -> Chart {
    let (title, x_label) = (title.to_owned(), "iterations".to_owned());
    Chart { title, x_label, y_format, y_range, curves }
}

/// Two curves of each run, dashed and bold; the legend has the bold one, or the other if that has no points.
fn curves(runs: &[StoredRun], labels: &[String], [dashed, bold]: [Value; 2]) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (hue, (run, label)) in runs.iter().zip(labels).enumerate() {
        let points = |value: Value| -> Vec<(f64, f64)> {
            let point = |epoch: &EpochMetrics| Some((epoch.step as f64, value(epoch)?));
            run.epochs.iter().filter_map(point).collect()
        };
        let (dashed, bold) = (points(dashed), points(bold));
        let name = |named: bool| if named { one_line(label) } else { String::new() };
        let names = [name(bold.is_empty()), name(true)];
        let lines = [(Line::Dashed, dashed), (Line::Solid, bold)];
        curves.extend(names.into_iter().zip(lines).map(|(name, (line, points))| Curve {
            name,
            hue,
            line,
            points,
        }));
    }
    curves
}

/// What the runs came to, in top-1 errors: a line for each.
fn results(runs: &[StoredRun], labels: &[String]) -> String {
    let mut html = "<div class=\"wide\"><table>\n<tr><th class=\"text\">run</th><th class=\"text\">state</th>\
                    <th class=\"text\">measured on</th><th>last error</th><th>last loss</th><th>best error</th>\
                    <th>training error</th><th>training loss</th><th>images/s</th></tr>\n"
        .to_owned();
    for (hue, (run, label)) in runs.iter().zip(labels).enumerate() {
        let last = run.result.as_ref().and_then(|result| result.last.as_ref());
        let best = run.result.as_ref().and_then(|result| result.best.as_ref());
        let epoch = run.epochs.last();
        let error = |top1: Option<f64>| top1.map(|top1| percent(1.0 - top1));
        let loss = |loss: Option<f64>| loss.map(|loss| format!("{loss:.4}"));
        html += &format!(
            "<tr><td class=\"text\"><b class=\"c{hue}\">{}</b></td><td class=\"text\">{}</td>",
            escape(&one_line(label)),
            escape(&state(run))
        );
        html += &cell(" class=\"text\"", config(run).and_then(measured_on).map(str::to_owned));
        html += &cell("", error(last.map(|last| last.top1)));
        html += &cell("", loss(last.and_then(|last| last.loss)));
        html += &cell("", error(best.map(|best| best.top1)));
        html += &cell("", error(epoch.and_then(|epoch| epoch.train_top1)));
        html += &cell("", loss(epoch.and_then(|epoch| epoch.train_loss)));
        html += &cell("", run.images_per_second().map(rate));
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// The settings that differ: a line for each, a column for each run.
fn differences(runs: &[StoredRun], labels: &[String]) -> String {
    let settings = differing(runs);
    if settings.is_empty() {
        return "<p>All settings are the same.</p>\n".to_owned();
    }
    let mut html = "<div class=\"wide\"><table>\n<tr><th class=\"text\">setting</th>".to_owned();
    for (hue, label) in labels.iter().enumerate() {
        html += &format!("<th class=\"text c{hue}\">{}</th>", escape(&one_line(label)));
    }
    html += "</tr>\n";
    for setting in settings {
        html += &format!("<tr><th class=\"text\">{}</th>", escape(&setting.name));
        for run in runs {
            let text = config(run).and_then(|config| setting.text(config));
            html += &cell(" class=\"text\"", text.map(|text| one_line(&text)));
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// A cell with this text, if there is any.
fn cell(class: &str, text: Option<String>) -> String {
    format!("<td{class}>{}</td>", escape(&text.as_deref().unwrap_or(NONE)))
}
