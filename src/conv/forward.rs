//! The forward pass: packed filters, and the product.

use super::{ConvShape, Im2col};
use crate::gemm::{Backend, Epilogue, Matrix, PackedB, gemm};

/// The filters of a convolution, packed once for many uses.
pub struct Filter {
    packed: PackedB,
    in_channels: usize,
    kernel: usize,
}

impl Filter {
    /// Filters of zeros for `shape`.
    pub fn zeros(backend: Backend, shape: &ConvShape) -> Self {
        let packed = PackedB::zeros(backend, shape.k(), shape.out_channels);
        Self { packed, in_channels: shape.in_channels, kernel: shape.kernel }
    }

    /// Packs `weights`, `[out_channels, in_channels, kernel, kernel]`, each output channel times its
    /// `scale` (rounded once).
    ///
    /// # Panics
    /// If `weights` or `scale` has another size than the shape says.
    pub fn pack(&mut self, weights: &[f32], scale: Option<&[f64]>) {
        let &mut Self { ref mut packed, in_channels, kernel } = self;
        assert_eq!(weights.len(), packed.k() * packed.n(), "number of weights");
        assert!(scale.is_none_or(|s| s.len() == packed.n()), "number of scales");
        packed.pack(|out, column| {
            let filter = &weights[out * column.len()..][..column.len()];
            let scale = scale.map_or(1.0, |scale| scale[out]);
            for (channel, filter) in filter.chunks_exact(kernel * kernel).enumerate() {
                for (tap, &weight) in filter.iter().enumerate() {
                    column[tap * in_channels + channel] = (f64::from(weight) * scale) as f32;
                }
            }
        });
    }
}

/// output = epilogue(convolution of `input` with `filter`).
///
/// `input` is `[batch, height, width, in_channels]`, `output` and the epilogue's residual
/// `[batch, out_height, out_width, out_channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn forward(
    shape: &ConvShape,
    input: &[f32],
    filter: &Filter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    assert_eq!(
        (filter.kernel, filter.in_channels, filter.packed.n()),
        (shape.kernel, shape.in_channels, shape.out_channels),
        "filter of {shape:?}"
    );
    if shape.kernel == 1 && shape.stride == 1 && shape.padding == 0 {
        let pixels = Matrix::new(input, shape.rows(), shape.in_channels);
        gemm(&pixels, &filter.packed, output, epilogue);
    } else {
        gemm(&Im2col::new(input, shape), &filter.packed, output, epilogue);
    }
}
