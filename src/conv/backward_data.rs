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

    /// The algorithm that they are packed for.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match &self.form {
            Form::Direct(_) => Algorithm::Direct,
            Form::Winograd(filter) => Algorithm::Winograd(filter.tile()),
        }
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
            // Rows of the panel are values of neighbouring channels: a 1x1's is a part of the weights.
            let tasks = packed.pack_panels(|channels, panel, stride| {
                let mut rows = panel.chunks_exact_mut(stride);
                for &tap in &*taps {
                    for (out, row) in (&mut rows).take(out_channels).enumerate() {
                        let first = (out * in_channels + channels.start) * kernel * kernel + tap;
                        let values = weights[first..].iter().step_by(kernel * kernel);
                        for (to, &weight) in row[..channels.len()].iter_mut().zip(values) {
                            *to = weight;
                        }
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
    if shape.stride == 1 {
        return backward_data_with(
            team,
            shape,
            gradient,
            filter,
            &Epilogue::default(),
            input_gradient,
        );
    }
    let write = |to: &mut [f32], from: &[f32]| to.copy_from_slice(from);
    by_classes(team, shape, gradient, filter, input_gradient, true, write);
}

/// As [`backward_data`] of a convolution of stride 1, with an epilogue of the input's shape.
///
/// # Panics
/// As for [`backward_data`]; if the stride is another.
pub fn backward_data_with(
    team: &mut Team,
    shape: &ConvShape,
    gradient: &[f32],
    filter: &BackwardFilter,
    epilogue: &Epilogue,
    input_gradient: &mut [f32],
) {
    filter.check(shape);
    assert_eq!(shape.stride, 1, "the stride of {shape:?}");
    assert_eq!(input_gradient.len(), shape.input_len(), "gradient of the input of {shape:?}");
    match &filter.form {
        Form::Winograd(filter) => {
            let turned = turned_round(shape);
            winograd::forward(team, &turned, gradient.into(), filter, epilogue, input_gradient);
        }
        Form::Direct(filters) => {
            // One class, all pixels.
            let (class, filter) = (classes(shape).next(), filters[0].as_ref());
            let (class, filter) = (class.expect("one class"), filter.expect("taps"));
            class_gradient(team, shape, gradient, &class, filter, epilogue, input_gradient);
        }
    }
}

/// Adds the gradient of the input to `input_gradient`, of which a stride leaves most pixels as they are; sizes as for
/// [`backward_data`].
///
/// # Panics
/// As for [`backward_data`]; if the stride is 1.
pub fn add_backward_data(
    team: &mut Team,
    shape: &ConvShape,
    gradient: &[f32],
    filter: &BackwardFilter,
    input_gradient: &mut [f32],
) {
    by_classes(team, shape, gradient, filter, input_gradient, false, |to, from| {
        for (sum, value) in to.iter_mut().zip(from) {
            *sum += value;
        }
    });
}

/// The gradient class by class, each pixel given to `write` with its place: of `all` classes, or of those that some
/// tap reads.
fn by_classes(
    team: &mut Team,
    shape: &ConvShape,
    gradient: &[f32],
    filter: &BackwardFilter,
    input_gradient: &mut [f32],
    all: bool,
    write: impl Fn(&mut [f32], &[f32]) + Sync,
) {
    filter.check(shape);
    assert_eq!(input_gradient.len(), shape.input_len(), "gradient of the input of {shape:?}");
    let Form::Direct(filters) = &filter.form else { panic!("classes of pixels by Winograd") };
    for (class, filter) in classes(shape).zip(filters) {
        let len = shape.batch * class.y.pixels * class.x.pixels * shape.in_channels;
        let (values, mut team) = team.take(len);
        match filter {
            Some(filter) => {
                let none = Epilogue::default();
                class_gradient(&mut team, shape, gradient, &class, filter, &none, values);
            }
            None if !all => continue,
            None => values.fill(0.0),
        }
        spread(&mut team, shape, &class, values, input_gradient, &write);
    }
}

/// The gradients of the pixels of one class, side by side.
fn class_gradient(
    team: &mut Team,
    shape: &ConvShape,
    gradient: &[f32],
    class: &ParityClass,
    ClassFilter { packed, .. }: &ClassFilter,
    epilogue: &Epilogue,
    values: &mut [f32],
) {
    if shape.is_product() {
        let pixels = Matrix::new(gradient, shape.rows(), shape.out_channels);
        gemm(team, &pixels, packed, values, epilogue);
    } else {
        gemm(team, &Im2col::of_gradient(gradient, shape, class), packed, values, epilogue);
    }
}

/// Gives the pixels of a class to `write`, with their places.
fn spread(
    team: &mut Team,
    shape: &ConvShape,
    class: &ParityClass,
    values: &[f32],
    input_gradient: &mut [f32],
    write: &(impl Fn(&mut [f32], &[f32]) + Sync),
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
            write(&mut input[to..to + channels], pixel);
        }
    });
}
