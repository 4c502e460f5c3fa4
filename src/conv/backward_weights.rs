//! The gradient of the filters: the patches' transpose times the output's gradient.

use super::{Algorithm, ConvShape, Im2col, winograd};
use crate::gemm::{Backend, Matrix, Operand, gemm_transposed};
use crate::runtime::Team;

/// The gradient of the filters by `algorithm`, `[out_channels, in_channels, kernel, kernel]`, from the input, `[batch,
/// height, width, in_channels]`, and the output's gradient, `[batch, out_height, out_width,
/// out_channels]`.
///
/// # Panics
/// If a size is not what `shape` says, or the algorithm cannot compute this gradient with this backend.
pub fn backward_weights<'a>(
    team: &mut Team,
    algorithm: Algorithm,
    backend: Backend,
    shape: &ConvShape,
    input: impl Into<Operand<'a>>,
    gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let (input, k, n) = (input.into(), shape.k(), shape.out_channels);
    assert_eq!(weight_gradient.len(), shape.weight_len(), "gradient of the filters of {shape:?}");
    if let Algorithm::Winograd(tile) = algorithm {
        let isa = Algorithm::winograd_isa(backend, shape).expect("a shape for Winograd");
        let to = weight_gradient;
        return winograd::backward_weights(team, tile, isa, shape, input, gradient, to);
    }
    // The product has the order (ky, kx, channel, out); torch's order is (out, channel, ky, kx).
    let (product, mut team) = team.take(k * n);
    let team = &mut team;
    if shape.is_product() {
        let pixels = Matrix::new(input, shape.rows(), shape.in_channels);
        gemm_transposed(team, backend, &pixels, gradient, n, product);
    } else {
        input.with_plain(team, |team, input| {
            gemm_transposed(team, backend, &Im2col::new(input, shape), gradient, n, product);
        });
    }
    let (channels, taps) = (shape.in_channels, shape.kernel * shape.kernel);
    team.for_each_chunk(weight_gradient, OUTPUTS * k, |block, filters, _| {
        let outputs = filters.len() / k;
        for (p, row) in product.chunks_exact(n).enumerate() {
            let to = p % channels * taps + p / channels;
            for (out, &value) in row[block * OUTPUTS..][..outputs].iter().enumerate() {
                filters[out * k + to] = value;
            }
        }
    });
}

/// Filters that are written side by side: a cache line of the product holds one value of each.
const OUTPUTS: usize = 16;
