//! What quantisation has done to each layer: plain data.

use super::compare::Agreement;
use serde::Serialize;

/// What quantisation has done to a network.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The architecture.
    pub arch: String,
    /// How ranges were chosen, as `--method` takes it.
    pub method: String,
    /// Images that ran.
    pub images: usize,
    /// How images become integers: by channel, what an input is multiplied by.
    pub input_factor: Vec<f32>,
    /// By channel, what is then added.
    pub input_offset: Vec<f32>,
    /// Whether these integers are the image's very pixels.
    pub input_is_pixels: bool,
    /// How far the logits are from those in f32.
    pub agreement: Agreement,
    /// The convolutions in torchvision's order, then the classifier.
    pub layers: Vec<LayerReport>,
}

/// What quantisation has done to a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// Its name.
    pub name: String,
    /// Whether its weights are kept in f32.
    pub kept_f32: bool,
    /// Signal to noise of its weights as integers, in dB; none if rounding changes nothing.
    pub weights_snr_db: Option<f64>,
    /// Signal to noise of the activation in the network in 8 bits against the one in f32, in dB: with the errors of all
    /// layers before it. None if both are the same, or it was not measured.
    pub total_snr_db: Option<f64>,
    /// The activation: what a convolution makes, and what the classifier reads.
    pub activation: ActivationReport,
}

/// What quantisation has done to an activation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ActivationReport {
    /// The smallest value seen; 0 if none is negative.
    pub min: f32,
    /// The largest value seen.
    pub max: f32,
    /// The smallest value that an integer stands for.
    pub low: f32,
    /// The largest value that an integer stands for.
    pub high: f32,
    /// The step between integers.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: u8,
    /// Share of the values that are cut.
    pub clipped: f64,
    /// Signal to noise of the values as integers, in dB; none if all are 0, or none is changed.
    pub snr_db: Option<f64>,
}

impl LayerReport {
    /// The lower signal to noise of its weights, unless they are kept in f32, and of its activation.
    pub fn snr_db(&self) -> Option<f64> {
        let weights = self.weights_snr_db.filter(|_| !self.kept_f32);
        [weights, self.activation.snr_db].into_iter().flatten().min_by(f64::total_cmp)
    }
}
