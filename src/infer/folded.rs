//! Convolutions with their batch norm folded in, packed for whoever computes them.

use crate::conv::{Algorithm, ConvShape, Filter};
use crate::gemm::Backend;
use crate::model::{BN_EPSILON, ConvBn, ParamSource, SourceError, TensorId};
use std::ops::Range;
use std::sync::OnceLock;

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
    ///
    /// # Errors
    /// The weights cannot be read; then the filters are of no use.
    pub(super) fn pack(
        &mut self,
        conv: &ConvBn,
        params: &dyn ParamSource,
    ) -> Result<(), SourceError> {
        let vector = |id| {
            let mut values = Vec::new();
            params.read(id, 0..conv.out_channels, &mut |read| values.extend_from_slice(read))?;
            Ok::<_, SourceError>(values)
        };
        let (gamma, beta) = (vector(conv.gamma)?, vector(conv.beta)?);
        let (mean, var) = (vector(conv.running_mean)?, vector(conv.running_var)?);
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
        packed_from(params, conv.weight, |read| self.filter.pack_from(Some(&scale), read))
    }
}

/// Lets `pack` read the tensor `id` in parts, in parallel.
///
/// # Errors
/// Some part cannot be read.
pub(super) fn packed_from(
    params: &dyn ParamSource,
    id: TensorId,
    pack: impl FnOnce(&(dyn Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync)),
) -> Result<(), SourceError> {
    let failed = OnceLock::new();
    pack(&|part, pack| {
        if let Err(error) = params.read(id, part, pack) {
            // The first error is as good as any.
            let _ = failed.set(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}
