//! The forward pass: packed filters, and the product.

use super::{ConvShape, Im2col};
use crate::gemm::{Backend, Epilogue, Matrix, PackedB, gemm};
use std::ops::Range;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The pixels, as they lie in memory, times the filters.
    Pixels,
    /// The patches under the filters, gathered panel by panel, times the filters.
    Im2col,
}

impl Algorithm {
    /// The algorithm for `shape`.
    pub fn of(shape: &ConvShape) -> Self {
        if shape.kernel == 1 && shape.stride == 1 && shape.padding == 0 {
            Self::Pixels
        } else {
            Self::Im2col
        }
    }

    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "1x1 gemm",
            Self::Im2col => "im2col gemm",
        }
    }
}

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
        assert_eq!(weights.len(), self.packed.k() * self.packed.n(), "number of weights");
        self.pack_from(scale, |part, pack| pack(&weights[part]));
    }

    /// As [`pack`](Self::pack) with weights that `read` has: it calls what it is given with those in a
    /// range, is asked for each once, for some at a time, from many threads.
    ///
    /// # Panics
    /// If `read` gives another number of weights than it was asked for, or `scale` has another size than
    /// the shape says.
    pub fn pack_from(
        &mut self,
        scale: Option<&[f64]>,
        read: impl Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync,
    ) {
        self.packed.pack_filters(self.kernel * self.kernel, scale, read);
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
    match Algorithm::of(shape) {
        Algorithm::Pixels => {
            let pixels = Matrix::new(input, shape.rows(), shape.in_channels);
            gemm(&pixels, &filter.packed, output, epilogue);
        }
        Algorithm::Im2col => gemm(&Im2col::new(input, shape), &filter.packed, output, epilogue),
    }
}
