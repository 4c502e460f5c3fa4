//! The gradient of the filters: the patches' transpose times the output's gradient.

use super::{ConvShape, Im2col};
use crate::gemm::{Backend, Matrix, gemm_transposed};
use crate::runtime::AlignedBuf;
use rayon::prelude::*;
use std::cell::RefCell;

/// The gradient of the filters, `[out_channels, in_channels, kernel, kernel]`, from the input, `[batch,
/// height, width, in_channels]`, and the output's gradient, `[batch, out_height, out_width,
/// out_channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn backward_weights(
    backend: Backend,
    shape: &ConvShape,
    input: &[f32],
    gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let (k, n) = (shape.k(), shape.out_channels);
    assert_eq!(weight_gradient.len(), shape.weight_len(), "gradient of the filters of {shape:?}");
    // The product has the order (ky, kx, channel, out); torch's order is (out, channel, ky, kx).
    // Taken, not borrowed: while this thread waits for others it may run tasks of its own.
    let mut scratch = PRODUCT.take();
    scratch.grow_to(k * n);
    let product = &mut scratch[..k * n];
    if shape.is_product() {
        let pixels = Matrix::new(input, shape.rows(), shape.in_channels);
        gemm_transposed(backend, &pixels, gradient, n, product);
    } else {
        gemm_transposed(backend, &Im2col::new(input, shape), gradient, n, product);
    }
    let (channels, taps) = (shape.in_channels, shape.kernel * shape.kernel);
    weight_gradient.par_chunks_mut(OUTPUTS * k).enumerate().for_each(|(block, filters)| {
        let outputs = filters.len() / k;
        for (p, row) in product.chunks_exact(n).enumerate() {
            let to = p % channels * taps + p / channels;
            for (out, &value) in row[block * OUTPUTS..][..outputs].iter().enumerate() {
                filters[out * k + to] = value;
            }
        }
    });
    PRODUCT.set(scratch);
}

thread_local! {
    /// The product, before it is put into torch's order; kept from call to call.
    static PRODUCT: RefCell<AlignedBuf> = RefCell::default();
}

/// Filters that are written side by side: a cache line of the product holds one value of each.
const OUTPUTS: usize = 16;
