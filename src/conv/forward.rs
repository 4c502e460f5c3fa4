//! The forward pass: packed filters, and the product.

use super::strip;
use super::winograd::{self, WinogradFilter};
use super::{Algorithm, ConvShape, Im2col};
use crate::gemm::{Backend, Epilogue, Matrix, Operand, PackedB, gemm};
use crate::runtime::{Scratch, Tasks, Team};
use std::ops::Range;

/// The filters of a convolution, packed once for many uses by one algorithm.
pub struct Filter {
    form: Form,
    shape: ConvShape,
}

enum Form {
    Direct(PackedB),
    Strip(PackedB),
    Winograd(WinogradFilter),
}

impl Filter {
    /// Filters of zeros for the fastest algorithm for `shape`.
    pub fn zeros(backend: Backend, shape: &ConvShape) -> Self {
        Self::zeros_for(Algorithm::of(backend, shape), backend, shape)
    }

    /// Filters of zeros for `algorithm`.
    ///
    /// # Panics
    /// If the algorithm cannot compute convolutions of this shape with this backend.
    pub fn zeros_for(algorithm: Algorithm, backend: Backend, shape: &ConvShape) -> Self {
        let &ConvShape { in_channels, out_channels, .. } = shape;
        let form = match algorithm {
            Algorithm::Direct => Form::Direct(PackedB::zeros(backend, shape.k(), out_channels)),
            Algorithm::Strip => {
                assert!(Algorithm::strip_fits(backend, shape), "a shape for strips");
                Form::Strip(PackedB::zeros(backend, shape.k(), out_channels))
            }
            Algorithm::Winograd(tile) => {
                let isa = Algorithm::winograd_isa(backend, shape).expect("a shape for Winograd");
                Form::Winograd(WinogradFilter::zeros(tile, isa, in_channels, out_channels))
            }
        };
        Self { form, shape: *shape }
    }

    /// Packs `weights`, `[out_channels, in_channels, kernel, kernel]`, each output channel times its
    /// `scale` (rounded once).
    ///
    /// # Panics
    /// If `weights` or `scale` has another size than the shape says.
    pub fn pack(&mut self, team: &mut Team, weights: &[f32], scale: Option<&[f64]>) {
        assert_eq!(weights.len(), self.shape.weight_len(), "number of weights");
        self.pack_from(scale, |part, pack| pack(&weights[part])).run(team);
    }

    /// The tasks of [`pack`](Self::pack) with weights that `read` has: it calls what it is given with
    /// those in a range, is asked for each once, for some at a time, from many threads.
    ///
    /// # Panics
    /// If `scale` has another size than the shape says; a task if `read` gives another number of weights
    /// than it was asked for.
    pub fn pack_from<'a>(
        &'a mut self,
        scale: Option<&'a [f64]>,
        read: impl Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync + Send + 'a,
    ) -> Tasks<'a> {
        let taps = self.shape.kernel * self.shape.kernel;
        match &mut self.form {
            Form::Direct(packed) | Form::Strip(packed) => packed.pack_filters(taps, scale, read),
            Form::Winograd(filter) => filter.pack_from(scale, read),
        }
    }

    /// The algorithm that they are packed for.
    pub fn algorithm(&self) -> Algorithm {
        match &self.form {
            Form::Direct(_) => Algorithm::Direct,
            Form::Strip(_) => Algorithm::Strip,
            Form::Winograd(filter) => Algorithm::Winograd(filter.tile()),
        }
    }

    /// Asserts that the filters are for convolutions like `shape`.
    fn check(&self, shape: &ConvShape) {
        let geometry = |s: &ConvShape| (s.kernel, s.stride, s.in_channels, s.out_channels);
        assert_eq!(geometry(&self.shape), geometry(shape), "filter of {shape:?}");
    }
}

/// output = epilogue(convolution of `input` with `filter`).
///
/// `input` is `[batch, height, width, in_channels]`, `output` and the epilogue's residual
/// `[batch, out_height, out_width, out_channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn forward<'a>(
    team: &mut Team,
    shape: &ConvShape,
    input: impl Into<Operand<'a>>,
    filter: &Filter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    filter.check(shape);
    let input = input.into();
    match &filter.form {
        Form::Winograd(filter) => winograd::forward(team, shape, input, filter, epilogue, output),
        Form::Direct(packed) if shape.is_product() => {
            let pixels = Matrix::new(input, shape.rows(), shape.in_channels);
            gemm(team, &pixels, packed, output, epilogue);
        }
        Form::Direct(packed) => input.with_plain(team, |team, input| {
            gemm(team, &Im2col::new(input, shape), packed, output, epilogue);
        }),
        Form::Strip(packed) => input.with_plain(team, |team, input| {
            strip::forward(team, shape, input, packed, epilogue, output);
        }),
    }
}

/// Rows `rows` of what [`forward`] computes, those of all images numbered through, by
/// [`Algorithm::Strip`] on the calling thread. `output` and the epilogue's residual hold these rows
/// only; `soon`, which the caller will touch next, is fetched into the second-level cache meanwhile.
///
/// # Panics
/// If a size is not what `shape` says, or the filter is packed for another algorithm.
pub fn forward_rows(
    shape: &ConvShape,
    input: &[f32],
    filter: &Filter,
    rows: Range<usize>,
    epilogue: &Epilogue,
    (output, soon): (&mut [f32], &[f32]),
    scratch: Scratch,
) {
    filter.check(shape);
    let Form::Strip(packed) = &filter.form else { panic!("rows are computed from strips") };
    strip::forward_rows(shape, input, packed, rows, epilogue, (output, soon), scratch);
}
