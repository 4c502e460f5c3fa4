//! The classes of input pixels that a stride makes.
//!
//! With stride s an input pixel is touched by those taps only that have its own remainder: pixel
//! y = s·y' + r is read by tap k of output o where s·o + k = y + padding. So the pixels of one class
//! (r down, r across) see a dense convolution of the output's gradient with a part of the taps, and
//! no zeros are inserted anywhere.

use super::ConvShape;

/// One class of input pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParityClass {
    pub(super) y: Axis,
    pub(super) x: Axis,
}

/// A class along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// The first input pixel of the class; the others follow `stride` apart.
    pub(super) first: usize,
    /// How many there are.
    pub(super) pixels: usize,
    /// The smallest tap that reads them; the others follow `stride` apart.
    pub(super) first_tap: usize,
    /// How many taps there are; may be none.
    pub(super) taps: usize,
    /// The output pixel under the last tap at the class's first pixel: where its first patch begins.
    pub(super) origin: isize,
}

impl Axis {
    fn new(first: usize, size: usize, shape: &ConvShape) -> Axis {
        let stride = shape.stride;
        let first_tap = (first + shape.padding) % stride;
        let taps = shape.kernel.saturating_sub(first_tap).div_ceil(stride);
        let under_first_tap = ((first + shape.padding) / stride) as isize;
        let pixels = size.saturating_sub(first).div_ceil(stride);
        Axis { first, pixels, first_tap, taps, origin: under_first_tap - taps as isize + 1 }
    }

    /// The tap at place `t` of a patch: the order of taps is turned round.
    pub(super) fn tap(&self, t: usize, stride: usize) -> usize {
        self.first_tap + (self.taps - 1 - t) * stride
    }
}

/// All classes of `shape`, `stride` by `stride`, row by row.
pub(super) fn classes(shape: &ConvShape) -> impl Iterator<Item = ParityClass> {
    let shape = *shape;
    let of = move |i: usize, size| Axis::new(i, size, &shape);
    (0..shape.stride * shape.stride).map(move |i| ParityClass {
        y: of(i / shape.stride, shape.height),
        x: of(i % shape.stride, shape.width),
    })
}
