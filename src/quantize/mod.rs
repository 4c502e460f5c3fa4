//! Quantisation after training: a network's weights and activations in 8 bits.
//!
//! Some images run through the network in f32, and every value of its activations is counted. From the counts follow
//! their ranges, from those and the weights the integers. The result depends on weights, images and options alone, not
//! on threads.

mod calibrate;
mod compare;
mod error;
mod histogram;
#[cfg(feature = "cli")]
mod page;
mod range;
mod report;
mod unlabelled;
mod weights;

pub use compare::Agreement;
pub use error::QuantizeError;
pub use histogram::{BINS, Bin, Histogram};
#[cfg(feature = "cli")]
pub use page::page;
pub use range::{Noise, PERCENTILE, Range, RangeMethod};
pub use report::{ActivationReport, LayerReport, Report};
pub use unlabelled::Unlabelled;

use crate::data::{self, Dataset, Mean, Preprocess};
use crate::gemm::Backend;
use crate::infer::{Model, Seen};
use crate::model::{
    InputScale, Network, ParamSource, Quantized, QuantizedConv, QuantizedLinear, Scale, Weights,
};
use crate::runtime::Watch;
use crate::simd::Isa;
use calibrate::{Calibration, calibrate, choose};
use std::sync::Arc;
use weights::{LARGEST, Real, Rounded};

/// Fewer images do not tell which values activations have.
pub const FEWEST: usize = 16;

/// Weights whose signal to noise as integers is below this, in dB, are kept in f32 by [`Keep::Auto`]. Filters of
/// trained networks have 35 to 50; below 25 the rounding is a twentieth of the weights.
pub const KEEP_BELOW: f64 = 25.0;

/// The name of the pool over all pixels in reports of runs.
const POOL: &str = "avgpool";
/// The classifier.
const CLASSIFIER: &str = "fc";

/// How a network is quantised.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeOptions {
    /// Images to calibrate on; all, if there are fewer.
    pub images: usize,
    /// How ranges are chosen.
    pub method: RangeMethod,
    /// Layers whose weights are kept in f32.
    pub keep: Keep,
    /// Whether an image that cannot be read is left out and listed, instead of ending the work.
    pub skip_bad: bool,
}

impl Default for QuantizeOptions {
    /// 256 images; ranges by the least square; what loses too much is kept in f32; a bad image is an error.
    fn default() -> Self {
        Self { images: 256, method: RangeMethod::Mse, keep: Keep::Auto, skip_bad: false }
    }
}

/// Which layers are kept in f32.
#[derive(Clone, Debug, PartialEq)]
pub enum Keep {
    /// None.
    None,
    /// Those whose weights would lose too much; see [`KEEP_BELOW`].
    Auto,
    /// The convolutions of these names, as torchvision has them; `fc` is the classifier.
    Layers(Vec<String>),
}

/// A network in 8 bits, and how it became that.
#[derive(Debug)]
pub struct Outcome {
    /// The numbers.
    pub quantized: Quantized,
    /// What was done to each layer.
    pub report: Report,
    /// The values that the activation of each layer had, in the order of the report.
    pub seen: Vec<Histogram>,
    /// Why images were skipped.
    pub skipped: Vec<data::Error>,
}

/// Quantises `network` with the weights of `params`, on images of `data` prepared by `preprocess`. Their labels do not
/// matter. `watch` is told how far it is, and may stop it.
///
/// # Errors
/// [`QuantizeError`]; [`data::Error::Interrupted`] if it was stopped.
pub fn quantize(
    network: &Network,
    params: &(dyn ParamSource + Send),
    data: &dyn Dataset,
    preprocess: &Preprocess,
    options: &QuantizeOptions,
    backend: Backend,
    watch: &dyn Watch,
) -> Result<Outcome, QuantizeError> {
    let kept = Kept::of(network, &options.keep)?;
    let (expected, found) = (network.in_channels(), preprocess.mean.channels());
    if expected != found {
        return Err(QuantizeError::Channels { expected, found });
    }
    let images = choose(data.len(), options.images);
    if images.len() < FEWEST {
        return Err(QuantizeError::TooFew { found: images.len() });
    }
    let model = Arc::new(Model::new(network, params, backend));
    let Calibration { input, mut layers, samples, images, skipped } =
        calibrate(&model, data, &images, preprocess, options.skip_bad, watch)?;
    let stem = &network.deep_stem.last().unwrap_or(&network.stem).name;
    // Of the stem, what its pool makes counts: cut or not, only the largest of a window is read.
    if let Some(pooled) = layers.remove(Seen::STEM_POOL) {
        layers.insert(stem.clone(), pooled);
    }
    let (input, input_is_pixels) = input_scale(&preprocess.mean, &input);
    let mut take = |name: &str| layers.remove(name).unwrap_or_default();
    let mut reports = Vec::new();
    let mut seen = Vec::new();
    let mut convs = Vec::new();
    for (i, conv) in network.convs().enumerate() {
        let name = &conv.name;
        let real = Real::folded(conv, params)?.check(name)?;
        let rounded = match i {
            0 => real.divided(&input.factor, conv.kernel * conv.kernel).check(name)?.rounded(),
            _ => real.rounded(),
        };
        let values = take(name);
        let (output, activation) = activation(name, &values, options.method)?;
        let (weights, report) = kept.choose(name, &real, rounded, activation);
        convs.push(QuantizedConv { weights, bias: real.bias, output });
        reports.push(report);
        seen.push(values);
    }
    let fc = &network.fc;
    let row = |id| params.tensor(id);
    let values = row(fc.weight)?.iter().map(|&w| f64::from(w)).collect();
    let real = Real { values, bias: row(fc.bias)?.into_owned() }.check(CLASSIFIER)?;
    let features = take(POOL);
    let (scale, activation) = activation(CLASSIFIER, &features, options.method)?;
    let (weights, report) = kept.choose(CLASSIFIER, &real, real.rounded(), activation);
    reports.push(report);
    seen.push(features);
    let fc = QuantizedLinear { weights, bias: real.bias, input: scale };
    let quantized = Quantized { input, convs, fc };

    let isa = backend.native().unwrap_or_else(Isa::best);
    let in_integers = Model::quantized(network, quantized.clone(), Backend::Native(isa))?;
    let (scales, side) = (compare::scales(network, &quantized), preprocess.view.crop);
    let comparison =
        compare::compare(&model, &Arc::new(in_integers), &scales, &samples, side, watch)?;
    for report in &mut reports {
        let made = if report.name == CLASSIFIER { POOL } else { &report.name };
        report.total_snr_db = comparison.decibels(made);
    }
    let report = Report {
        arch: network.spec.name.clone(),
        method: options.method.to_string(),
        images,
        input_factor: quantized.input.factor.clone(),
        input_offset: quantized.input.offset.clone(),
        input_is_pixels,
        agreement: comparison.agreement,
        layers: reports,
    };
    Ok(Outcome { quantized, report, seen, skipped })
}

/// How images become integers, and whether these are their very pixels: so they are where each channel has a mean and
/// a deviation. Elsewhere the integers cover the values that were seen.
fn input_scale(mean: &Mean, seen: &Histogram) -> (InputScale, bool) {
    let (mean, std) = match mean {
        Mean::Channel { mean, std } => (mean.to_vec(), std.to_vec()),
        Mean::Grey { mean, std } => (vec![*mean], vec![*std]),
        Mean::Pixel(_) => (Vec::new(), Vec::new()),
    };
    let sane = |(mean, std): (&f32, &f32)| (0.0..=1.0).contains(mean) && (1e-6..=1e6).contains(std);
    let pixels = !mean.is_empty() && mean.iter().zip(&std).all(sane);
    let (factor, offset): (Vec<f32>, Vec<f32>) = if pixels {
        mean.iter().zip(&std).map(|(mean, std)| (255.0 * std, 255.0 * mean)).unzip()
    } else {
        let channels = if mean.is_empty() { 3 } else { mean.len() };
        let (low, high) = (f64::from(seen.min()), f64::from(seen.max()));
        let factor = 255.0 / (high - low).max(255.0 * 1e-9);
        let offset = (-low * factor).round_ties_even().clamp(0.0, 255.0);
        (vec![factor as f32; channels], vec![offset as f32; channels])
    };
    let padding = offset.iter().map(|offset| offset.round_ties_even() as u8).collect();
    (InputScale { factor, offset, padding }, pixels)
}

/// How the activation of `layer` with the values `seen` becomes integers, and what that does to it.
///
/// # Errors
/// Its values are so large that a file may not have their scale.
fn activation(
    layer: &str,
    seen: &Histogram,
    method: RangeMethod,
) -> Result<(Scale, ActivationReport), QuantizeError> {
    let scale = Range::of(seen, method).scale();
    if f64::from(scale.scale) > LARGEST {
        return Err(QuantizeError::Unbounded {
            layer: layer.to_owned(),
            max: seen.max().max(-seen.min()),
        });
    }
    let noise = Noise::of(seen, scale);
    let real = |q: u8| (f32::from(q) - f32::from(scale.zero_point)) * scale.scale;
    let report = ActivationReport {
        min: seen.min(),
        max: seen.max(),
        low: real(0),
        high: real(255),
        scale: scale.scale,
        zero_point: scale.zero_point,
        clipped: noise.clipped,
        snr_db: noise.decibels(),
    };
    Ok((scale, report))
}

/// The layers that are kept in f32.
enum Kept<'a> {
    Below(f64),
    Named(&'a [String]),
}

impl<'a> Kept<'a> {
    /// Those of `network` that `keep` says.
    fn of(network: &Network, keep: &'a Keep) -> Result<Self, QuantizeError> {
        let names = match keep {
            Keep::None => return Ok(Self::Named(&[])),
            Keep::Auto => return Ok(Self::Below(KEEP_BELOW)),
            Keep::Layers(names) => names,
        };
        let layers = || network.convs().map(|conv| &conv.name[..]).chain([CLASSIFIER]);
        for name in names {
            if layers().any(|layer| layer == name) {
                continue;
            }
            let close = |layer: &&str| strsim::damerau_levenshtein(layer, name);
            let meant = layers().min_by_key(close).filter(|layer| close(layer) <= 3);
            let meant = meant.map(str::to_owned);
            return Err(QuantizeError::NoLayer { name: name.clone(), meant });
        }
        Ok(Self::Named(names))
    }

    /// The weights of layer `name`, as integers or as they are, and its report.
    fn choose(
        &self,
        name: &str,
        real: &Real,
        Rounded { weights, snr }: Rounded,
        activation: ActivationReport,
    ) -> (Weights, LayerReport) {
        let kept_f32 = match self {
            Self::Below(decibels) => snr.is_some_and(|snr| snr < *decibels),
            Self::Named(names) => names.iter().any(|kept| kept == name),
        };
        let weights = if kept_f32 { real.kept() } else { weights };
        let name = name.to_owned();
        (
            weights,
            LayerReport { name, kept_f32, weights_snr_db: snr, total_snr_db: None, activation },
        )
    }
}

#[cfg(test)]
mod tests;
