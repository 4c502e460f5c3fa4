//! Convolutions with their batch norm folded in, packed for whoever computes them.

use crate::conv::{Algorithm, ConvShape, Filter};
use crate::gemm::Backend;
use crate::model::{BN_EPSILON, ConvBn, ParamSource};

/// A convolution whose filters and bias do what convolution and batch norm did.
pub(super) struct Folded {
    pub(super) filter: Filter,
    pub(super) bias: Vec<f32>,
}

impl Folded {
    /// Zeros for `conv`, applied to `shape` by `algorithm`.
    pub(super) fn zeros(
        conv: &ConvBn,
        algorithm: Algorithm,
        backend: Backend,
        shape: &ConvShape,
    ) -> Self {
        let filter = Filter::zeros_for(algorithm, backend, shape);
        Self { filter, bias: vec![0.0; conv.out_channels] }
    }

    /// y = gamma · (conv(x) - mean) / √(var + ε) + beta as a convolution with a bias.
    pub(super) fn pack(&mut self, conv: &ConvBn, params: &dyn ParamSource) {
        let vector = |id| {
            let mut values = Vec::new();
            params.read(id, 0..conv.out_channels, &mut |read| values.extend_from_slice(read));
            values
        };
        let (gamma, beta) = (vector(conv.gamma), vector(conv.beta));
        let (mean, var) = (vector(conv.running_mean), vector(conv.running_var));
        let scale: Vec<f64> = gamma
            .iter()
            .zip(&var)
            .map(|(&gamma, &var)| {
                f64::from(gamma) / (f64::from(var) + f64::from(BN_EPSILON)).sqrt()
            })
            .collect();
        for (out, bias) in self.bias.iter_mut().enumerate() {
            *bias = (f64::from(beta[out]) - f64::from(mean[out]) * scale[out]) as f32;
        }
        let read = |part, pack: &mut dyn FnMut(&[f32])| params.read(conv.weight, part, pack);
        self.filter.pack_from(Some(&scale), read);
    }
}
