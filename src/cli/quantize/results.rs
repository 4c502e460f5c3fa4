//! What `quantize` prints: a few lines, or an object of JSON.

use resnet_cpu::quantize::{Agreement, LayerReport, Outcome, Report};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

use super::super::error::CliError;
use super::super::output::{aligned, grouped, one_line, write_json};

/// Layers that are listed, those with the lowest signal to noise.
const LISTED: usize = 5;

/// What was made, and of what.
pub(super) struct Results<'a> {
    pub(super) input: &'a Path,
    pub(super) output: &'a Path,
    pub(super) found: &'a Outcome,
    pub(super) skipped: Vec<String>,
}

/// The object of JSON.
#[derive(Serialize)]
struct Object<'a> {
    input: String,
    output: String,
    input_bytes: u64,
    output_bytes: u64,
    #[serde(flatten)]
    report: &'a Report,
    skipped: &'a [String],
}

impl Results<'_> {
    fn bytes(path: &Path) -> u64 {
        std::fs::metadata(path).map_or(0, |attributes| attributes.len())
    }

    /// Prints one object.
    pub(super) fn print_json(&self) -> Result<(), CliError> {
        let object = Object {
            input: self.input.to_string_lossy().into_owned(),
            output: self.output.to_string_lossy().into_owned(),
            input_bytes: Self::bytes(self.input),
            output_bytes: Self::bytes(self.output),
            report: &self.found.report,
            skipped: &self.skipped,
        };
        Ok(write_json(&mut std::io::stdout().lock(), &object)?)
    }

    /// Prints the layers that lose most, and what was written.
    pub(super) fn print_text(&self) -> Result<(), CliError> {
        let report = &self.found.report;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let decibels = |snr: Option<f64>| snr.map_or("-".to_owned(), |snr| format!("{snr:.1} dB"));
        let row = |layer: &LayerReport| {
            let weights = match layer.kept_f32 {
                true => "f32".to_owned(),
                false => decibels(layer.weights_snr_db),
            };
            let activation = &layer.activation;
            [
                layer.name.clone(),
                weights,
                decibels(activation.snr_db),
                decibels(layer.total_snr_db),
                format!("{:.3} %", 100.0 * activation.clipped),
            ]
        };
        let mut rows = vec![
            ["signal to noise, lowest", "weights", "activation", "in all", "cut"]
                .map(str::to_owned),
        ];
        rows.extend(lowest(report).into_iter().take(LISTED).map(row));
        for line in aligned(&rows, 1) {
            writeln!(out, "{line}")?;
        }
        let kept: Vec<&str> = report
            .layers
            .iter()
            .filter(|layer| layer.kept_f32)
            .map(|layer| &layer.name[..])
            .collect();
        if !kept.is_empty() {
            writeln!(out, "kept in f32: {}", kept.join(", "))?;
        }
        let Agreement { images, same_top1, cosine } = report.agreement;
        writeln!(
            out,
            "against f32: the same class for {same_top1} of {images} images; mean cosine of the logits {cosine:.4}"
        )?;
        let (input, output) = (Self::bytes(self.input), Self::bytes(self.output));
        writeln!(
            out,
            "{}: {}, {} images, {}; {} bytes, {:.1} % of the {} of {}",
            one_line(&self.output.to_string_lossy()),
            report.arch,
            report.images,
            report.method,
            grouped(output),
            100.0 * output as f64 / input.max(1) as f64,
            grouped(input),
            one_line(&self.input.to_string_lossy())
        )?;
        Ok(out.flush()?)
    }
}

/// The layers that have a signal to noise, the lowest first.
fn lowest(report: &Report) -> Vec<&LayerReport> {
    let mut layers: Vec<&LayerReport> =
        report.layers.iter().filter(|layer| layer.snr_db().is_some()).collect();
    let snr = |layer: &LayerReport| layer.snr_db().unwrap_or(f64::INFINITY);
    layers.sort_by(|a, b| snr(a).total_cmp(&snr(b)));
    layers
}
