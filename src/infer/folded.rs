//! Convolutions with their batch norm folded in, packed for whoever computes them.

use super::grouped::bundles;
use crate::conv::{Algorithm, ConvShape, Filter};
use crate::gemm::Backend;
use crate::model::{ConvBn, ParamSource, SourceError};

/// A convolution whose filters and bias do what convolution and batch norm did.
pub(super) struct Folded {
    /// One, or one for each bundle of groups.
    pub(super) filters: Vec<Filter>,
    pub(super) bias: Vec<f32>,
}

impl Folded {
    /// y = gamma · (conv(x) - mean) / √(var + ε) + beta as a convolution with a bias, for `conv` applied
    /// to `shape` (of a bundle) by `algorithm`: its bias, filters of zeros, and the scale of each filter.
    pub(super) fn zeros(
        conv: &ConvBn,
        algorithm: Algorithm,
        backend: Backend,
        shape: &ConvShape,
        params: &dyn ParamSource,
    ) -> Result<(Self, Vec<f64>), SourceError> {
        let (scale, bias) = conv.batch_norm(params)?;
        let zeros = || Filter::zeros_for(algorithm, backend, shape);
        let filters = std::iter::repeat_with(zeros).take(bundles(conv)).collect();
        Ok((Self { filters, bias }, scale))
    }
}
