//! From trained parameters to integers: batch norm folded, each output channel rounded by a scale of its own.

use super::error::QuantizeError;
use super::range::{LEAST_SCALE, decibels};
use crate::model::{ConvBn, ParamSource, SourceError, Weights};

/// The integers lie within this and its negative.
const MOST: f64 = 127.0;
/// Scales and biases above are refused by those who read files.
pub(super) const LARGEST: f64 = 1e12;

/// A layer's weights in real numbers, `[out, in / groups, kernel, kernel]` or `[out, in]`, and its biases.
pub(super) struct Real {
    pub(super) values: Vec<f64>,
    pub(super) bias: Vec<f32>,
}

/// A layer's weights as integers.
pub(super) struct Rounded {
    pub(super) weights: Weights,
    /// Signal to noise of the rounding, in dB; none if it changes nothing.
    pub(super) snr: Option<f64>,
}

impl Real {
    /// The filters and biases that do what `conv` and its batch norm do, computed in f64.
    pub(super) fn folded(conv: &ConvBn, params: &dyn ParamSource) -> Result<Self, SourceError> {
        let (factors, bias) = conv.batch_norm(params)?;
        let weights = params.tensor(conv.weight)?;
        let filters = weights.chunks_exact(weights.len() / conv.out_channels).zip(factors);
        let scaled =
            filters.flat_map(|(filter, factor)| filter.iter().map(move |&w| f64::from(w) * factor));
        let values = scaled.collect();
        Ok(Self { values, bias })
    }

    /// Checks that files can hold them.
    pub(super) fn check(self, layer: &str) -> Result<Self, QuantizeError> {
        let sane = |x: f64| x.abs() <= LARGEST;
        let all = self.values.iter().copied().all(sane);
        if all && self.bias.iter().all(|&bias| sane(bias.into())) {
            return Ok(self);
        }
        Err(QuantizeError::TooLarge { layer: layer.to_owned() })
    }

    /// The same for inputs that were multiplied by `factors`, one an input channel of `taps` weights.
    pub(super) fn divided(&self, factors: &[f32], taps: usize) -> Self {
        let each = self.values.chunks_exact(taps).zip(factors.iter().cycle());
        let values =
            each.flat_map(|(taps, &factor)| taps.iter().map(move |w| w / f64::from(factor)));
        Self { values: values.collect(), bias: self.bias.clone() }
    }

    /// Rounds each output channel to integers within ±127 by the scale that its largest weight has.
    pub(super) fn rounded(&self) -> Rounded {
        let each = (self.values.len() / self.bias.len()).max(1);
        let mut integers = Vec::with_capacity(self.values.len());
        let mut scales = Vec::with_capacity(self.bias.len());
        let (mut signal, mut noise) = (0.0, 0.0);
        for channel in self.values.chunks_exact(each) {
            let largest = channel.iter().fold(0.0_f64, |most, w| most.max(w.abs()));
            // Of nothing but zeros, and of what is as good as that.
            let empty = largest / MOST < LEAST_SCALE;
            let scale = if empty { 1.0 } else { (largest / MOST) as f32 };
            scales.push(scale);
            for &w in channel {
                let q = (w / f64::from(scale)).round_ties_even().clamp(-MOST, MOST);
                signal += w * w;
                noise += (w - q * f64::from(scale)).powi(2);
                integers.push(q as i8);
            }
        }
        let weights = Weights::I8 { values: integers, scales };
        Rounded { weights, snr: decibels(signal, noise) }
    }

    /// As they are, in f32.
    pub(super) fn kept(&self) -> Weights {
        Weights::F32(self.values.iter().map(|&w| w as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BN_EPSILON, InitOptions, ModelSpec, Network, Options, initialize};

    fn real(values: &[f64], outputs: usize) -> Real {
        Real { values: values.to_vec(), bias: vec![0.0; outputs] }
    }

    #[test]
    fn each_channel_has_its_scale_and_halves_go_to_the_even_neighbour() {
        let found = real(&[127.0, 0.5, 1.5, -2.5, 0.0, 0.0, 0.0, 0.0, -254.0, 2.0, 1.0, 253.0], 3);
        let Rounded { weights, snr } = found.rounded();
        let Weights::I8 { values, scales } = weights else { panic!("integers") };
        assert_eq!(values, [127, 0, 2, -2, 0, 0, 0, 0, -127, 1, 0, 126]);
        assert_eq!(scales, [1.0, 1.0, 2.0]);
        let noise = 0.25 * 3.0 + 1.0 + 1.0;
        let signal: f64 = found.values.iter().map(|w| w * w).sum();
        assert!((snr.unwrap() - 10.0 * (signal / noise).log10()).abs() < 1e-9);
        assert_eq!(real(&[0.0; 4], 2).rounded().snr, None);
        // Too small for a scale that a file may have.
        let Weights::I8 { values, scales } = real(&[1e-20; 4], 2).rounded().weights else {
            panic!()
        };
        assert_eq!((values, scales), (vec![0; 4], vec![1.0; 2]));
    }

    #[test]
    fn factors_are_those_of_input_channels() {
        let found =
            real(&[2.0, 4.0, 30.0, 60.0, 6.0, 8.0, 90.0, 120.0], 2).divided(&[2.0, 10.0], 2);
        assert_eq!(found.values, [1.0, 2.0, 3.0, 6.0, 3.0, 4.0, 9.0, 12.0]);
    }

    #[test]
    fn what_files_cannot_hold_is_refused() {
        for values in [[1e13, 1.0], [f64::NAN, 1.0], [f64::INFINITY, 0.0]] {
            let error = real(&values, 1).check("layer1").err().unwrap().to_string();
            assert!(error.contains("layer1"), "{error}");
        }
        assert!(real(&[1e12, -1.0], 1).check("layer1").is_ok());
    }

    #[test]
    fn batch_norm_is_folded() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let mut params = initialize(&network, 1, InitOptions::default());
        let conv = &network.stem;
        for (id, value) in
            [(conv.gamma, 3.0), (conv.beta, 0.5), (conv.running_mean, 2.0), (conv.running_var, 4.0)]
        {
            params.get_mut(id)[5] = value;
        }
        let found = Real::folded(conv, &params).unwrap();
        let scale = 3.0 / (4.0 + f64::from(BN_EPSILON)).sqrt();
        assert_eq!(found.bias[5], (0.5 - 2.0 * scale) as f32);
        let weights = params.get(conv.weight);
        assert_eq!(found.values[5 * 27 + 3], f64::from(weights[5 * 27 + 3]) * scale);
    }
}
