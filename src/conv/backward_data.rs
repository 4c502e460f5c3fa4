//! The gradient of the input: a convolution of the output's gradient, class by class of pixels.

use super::parity::{ParityClass, classes};
use super::{ConvShape, Im2col};
use crate::gemm::{Backend, Epilogue, Matrix, PackedB, gemm};
use crate::runtime::AlignedBuf;
use rayon::prelude::*;
use std::cell::RefCell;

/// The filters of a convolution, turned round and packed for the gradient of the input.
pub struct BackwardFilter {
    /// One a class of pixels; none where no tap reads them.
    packed: Vec<Option<PackedB>>,
    kernel: usize,
    stride: usize,
}

impl BackwardFilter {
    /// Packs `weights`, `[out_channels, in_channels, kernel, kernel]`.
    ///
    /// # Panics
    /// If `weights` has another size than `shape` says.
    pub fn new(backend: Backend, weights: &[f32], shape: &ConvShape) -> Self {
        let &ConvShape { in_channels, out_channels, kernel, stride, .. } = shape;
        assert_eq!(weights.len(), shape.weight_len(), "filters of {shape:?}");
        let pack = |class: ParityClass| {
            let k = class.y.taps * class.x.taps * out_channels;
            (k > 0).then(|| {
                let taps: Vec<usize> = (0..class.y.taps)
                    .flat_map(|y| (0..class.x.taps).map(move |x| (y, x)))
                    .map(|(y, x)| class.y.tap(y, stride) * kernel + class.x.tap(x, stride))
                    .collect();
                PackedB::new(backend, k, in_channels, |channel, column| {
                    for out in 0..out_channels {
                        let filter = &weights[(out * in_channels + channel) * kernel * kernel..];
                        for (place, &tap) in taps.iter().enumerate() {
                            column[place * out_channels + out] = filter[tap];
                        }
                    }
                })
            })
        };
        Self { packed: classes(shape).map(pack).collect(), kernel, stride }
    }
}

thread_local! {
    /// The gradients of one class of pixels, before they are spread over the input.
    static CLASS: RefCell<AlignedBuf> = RefCell::new(AlignedBuf::default());
}

/// The gradient of the input, `[batch, height, width, in_channels]`, from the output's, `[batch,
/// out_height, out_width, out_channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn backward_data(
    shape: &ConvShape,
    gradient: &[f32],
    filter: &BackwardFilter,
    input_gradient: &mut [f32],
) {
    assert_eq!((filter.kernel, filter.stride), (shape.kernel, shape.stride), "filter of {shape:?}");
    assert_eq!(input_gradient.len(), shape.input_len(), "gradient of the input of {shape:?}");
    let epilogue = Epilogue::default();
    if shape.stride == 1 {
        let Some(packed) = &filter.packed[0] else { return input_gradient.fill(0.0) };
        if shape.kernel == 1 && shape.padding == 0 {
            let pixels = Matrix::new(gradient, shape.rows(), shape.out_channels);
            return gemm(&pixels, packed, input_gradient, &epilogue);
        }
        for class in classes(shape) {
            gemm(&Im2col::of_gradient(gradient, shape, &class), packed, input_gradient, &epilogue);
        }
        return;
    }
    for (class, packed) in classes(shape).zip(&filter.packed) {
        let len = shape.batch * class.y.pixels * class.x.pixels * shape.in_channels;
        // Taken, not borrowed: while this thread waits for others it may run a task of its own.
        let mut values = CLASS.take();
        values.grow_to(len);
        match packed {
            Some(packed) => {
                let patches = Im2col::of_gradient(gradient, shape, &class);
                gemm(&patches, packed, &mut values[..len], &epilogue);
            }
            None => values[..len].fill(0.0),
        }
        spread(shape, &class, &values[..len], input_gradient);
        CLASS.set(values);
    }
}

/// Writes the pixels of a class to their places.
fn spread(shape: &ConvShape, class: &ParityClass, values: &[f32], input_gradient: &mut [f32]) {
    let channels = shape.in_channels;
    let (row_len, class_row) = (shape.width * channels, class.x.pixels * channels);
    if class_row == 0 {
        return;
    }
    input_gradient.par_chunks_mut(row_len).enumerate().for_each(|(row, input)| {
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
