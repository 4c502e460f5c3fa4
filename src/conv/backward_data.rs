//! The gradient of the input: a convolution of the output's gradient, class by class of pixels.

use super::parity::{ParityClass, classes};
use super::winograd::{self, WinogradFilter};
use super::{Algorithm, ConvShape, Im2col};
use crate::gemm::{Backend, Epilogue, Matrix, PackedB, gemm};
use crate::runtime::Team;

/// The filters of a convolution, turned round and packed for the gradient of the input.
pub struct BackwardFilter {
    form: Form,
    shape: ConvShape,
}

enum Form {
    /// One a class of pixels; none where no tap reads them.
    Direct(Vec<Option<ClassFilter>>),
    /// Those of [`turned_round`].
    Winograd(WinogradFilter),
}

/// The convolution of stride 1 that takes the gradient of the output to that of the input.
pub(super) fn turned_round(shape: &ConvShape) -> ConvShape {
    ConvShape {
        height: shape.out_height(),
        width: shape.out_width(),
        in_channels: shape.out_channels,
        out_channels: shape.in_channels,
        padding: (shape.kernel - 1).wrapping_sub(shape.padding),
        ..*shape
    }
}

/// The part of the filters that reaches one class of pixels.
struct ClassFilter {
    packed: PackedB,
    /// The tap at each place of a patch, as an index into a filter.
    taps: Vec<usize>,
}

impl BackwardFilter {
    /// Filters of zeros for the fastest algorithm for `shape`.
    pub fn zeros(backend: Backend, shape: &ConvShape) -> Self {
        Self::zeros_for(Algorithm::of(backend, &turned_round(shape)), backend, shape)
    }

    /// Filters of zeros for `algorithm`.
    ///
    /// # Panics
    /// If the algorithm cannot compute this gradient with this backend.
    pub fn zeros_for(algorithm: Algorithm, backend: Backend, shape: &ConvShape) -> Self {
        let form = match algorithm {
            Algorithm::Direct | Algorithm::Strip => Form::Direct(Self::direct(backend, shape)),
            Algorithm::Winograd(tile) => {
                let turned = turned_round(shape);
                let isa = Algorithm::winograd_isa(backend, &turned).expect("a shape for Winograd");
                let (from, to) = (turned.in_channels, turned.out_channels);
                Form::Winograd(WinogradFilter::zeros(tile, isa, from, to))
            }
        };
        Self { form, shape: *shape }
    }

    fn direct(backend: Backend, shape: &ConvShape) -> Vec<Option<ClassFilter>> {
        let filter = |class: ParityClass| {
            let (y, x) = (class.y, class.x);
            let taps: Vec<usize> = (0..y.taps * x.taps)
                .map(|place| (place / x.taps, place % x.taps))
                .map(|(i, j)| y.tap(i, shape.stride) * shape.kernel + x.tap(j, shape.stride))
                .collect();
            let k = taps.len() * shape.out_channels;
            let packed = PackedB::zeros(backend, k, shape.in_channels);
            (k > 0).then_some(ClassFilter { packed, taps })
        };
        classes(shape).map(filter).collect()
    }

    /// Asserts that the filters are for gradients of convolutions like `shape`.
    fn check(&self, shape: &ConvShape) {
        let geometry =
            |s: &ConvShape| (s.kernel, s.stride, s.padding, s.in_channels, s.out_channels);
        assert_eq!(geometry(&self.shape), geometry(shape), "filter of {shape:?}");
    }

    /// Packs `weights`, `[out_channels, in_channels, kernel, kernel]`.
    ///
    /// # Panics
    /// If their number is not what the shape says.
    pub fn pack(&mut self, team: &mut Team, weights: &[f32]) {
        let &ConvShape { in_channels, out_channels, kernel, .. } = &self.shape;
        assert_eq!(weights.len(), self.shape.weight_len(), "filters of {:?}", self.shape);
        let classes = match &mut self.form {
            Form::Direct(classes) => classes,
            Form::Winograd(filter) => return filter.pack_turned(weights).run(team),
        };
        for ClassFilter { packed, taps } in classes.iter_mut().flatten() {
            let tasks = packed.pack(|channel, column| {
                for out in 0..out_channels {
                    let filter = &weights[(out * in_channels + channel) * kernel * kernel..];
                    for (place, &tap) in taps.iter().enumerate() {
                        column[place * out_channels + out] = filter[tap];
                    }
                }
            });
            tasks.run(team);
        }
    }
}

/// The gradient of the input, `[batch, height, width, in_channels]`, from the output's, `[batch,
/// out_height, out_width, out_channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn backward_data(
    team: &mut Team,
    shape: &ConvShape,
    gradient: &[f32],
    filter: &BackwardFilter,
    input_gradient: &mut [f32],
) {
    let stride = shape.stride;
    filter.check(shape);
    assert_eq!(input_gradient.len(), shape.input_len(), "gradient of the input of {shape:?}");
    let filters = match &filter.form {
        Form::Direct(filters) => filters,
        Form::Winograd(filter) => {
            let none = Epilogue::default();
            return winograd::forward(
                team,
                &turned_round(shape),
                gradient,
                filter,
                &none,
                input_gradient,
            );
        }
    };
    for (class, filter) in classes(shape).zip(filters) {
        if stride == 1 {
            // One class, all pixels.
            class_gradient(team, shape, gradient, &class, filter.as_ref(), input_gradient);
            continue;
        }
        let len = shape.batch * class.y.pixels * class.x.pixels * shape.in_channels;
        let (values, mut team) = team.take(len);
        class_gradient(&mut team, shape, gradient, &class, filter.as_ref(), values);
        spread(&mut team, shape, &class, values, input_gradient);
    }
}

/// The gradients of the pixels of one class, side by side.
fn class_gradient(
    team: &mut Team,
    shape: &ConvShape,
    gradient: &[f32],
    class: &ParityClass,
    filter: Option<&ClassFilter>,
    values: &mut [f32],
) {
    let Some(ClassFilter { packed, .. }) = filter else { return values.fill(0.0) };
    if shape.is_product() {
        let pixels = Matrix::new(gradient, shape.rows(), shape.out_channels);
        gemm(team, &pixels, packed, values, &Epilogue::default());
    } else {
        let patches = Im2col::of_gradient(gradient, shape, class);
        gemm(team, &patches, packed, values, &Epilogue::default());
    }
}

/// Writes the pixels of a class to their places.
fn spread(
    team: &mut Team,
    shape: &ConvShape,
    class: &ParityClass,
    values: &[f32],
    input_gradient: &mut [f32],
) {
    let channels = shape.in_channels;
    let (row_len, class_row) = (shape.width * channels, class.x.pixels * channels);
    if class_row == 0 {
        return;
    }
    team.for_each_chunk(input_gradient, row_len, |row, input, _| {
        let (image, y) = (row / shape.height, row % shape.height);
        if y % shape.stride != class.y.first {
            return;
        }
        let from = (image * class.y.pixels + y / shape.stride) * class_row;
        let pixels = values[from..from + class_row].chunks_exact(channels);
        for (i, pixel) in pixels.enumerate() {
            let to = (class.x.first + i * shape.stride) * channels;
            input[to..to + channels].copy_from_slice(pixel);
        }
    });
}
