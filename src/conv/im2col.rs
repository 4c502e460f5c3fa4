//! The patches under the filter as the rows of a matrix that exists only panel by panel.

use super::ConvShape;
use super::parity::ParityClass;
use crate::gemm::{ASource, Part};
use crate::simd::{Isa, Simd, SimdOp};

/// The left operand of a convolution: row (image, y, x), column (ky, kx, channel).
///
/// More general than a [`ConvShape`]: the filter may be a rectangle and the first patch may begin
/// anywhere, as the parity classes of a strided convolution's gradient need.
#[derive(Clone, Copy)]
pub struct Im2col<'a> {
    input: &'a [f32],
    batch: usize,
    /// Height and width of the input, in pixels.
    size: (usize, usize),
    channels: usize,
    /// Height and width of the filter, in pixels.
    kernel: (usize, usize),
    stride: usize,
    /// Row and column of the input where the first patch begins.
    origin: (isize, isize),
    /// Patches down and across.
    patches: (usize, usize),
}

impl<'a> Im2col<'a> {
    /// The patches of `input`, NHWC, that a forward convolution multiplies.
    ///
    /// # Panics
    /// If `input` has another size than `shape` says.
    pub fn new(input: &'a [f32], shape: &ConvShape) -> Self {
        assert_eq!(input.len(), shape.input_len(), "input of {shape:?}");
        let origin = -(shape.padding as isize);
        Self {
            input,
            batch: shape.batch,
            size: (shape.height, shape.width),
            channels: shape.in_channels,
            kernel: (shape.kernel, shape.kernel),
            stride: shape.stride,
            origin: (origin, origin),
            patches: (shape.out_height(), shape.out_width()),
        }
    }

    /// The patches of `gradient`, the output's, NHWC, whose products with the taps of `class` are the
    /// gradients of the input's pixels of that class.
    ///
    /// # Panics
    /// If `gradient` has another size than `shape` says.
    pub(super) fn of_gradient(gradient: &'a [f32], shape: &ConvShape, class: &ParityClass) -> Self {
        assert_eq!(gradient.len(), shape.output_len(), "gradient of {shape:?}");
        let (y, x) = (&class.y, &class.x);
        Self {
            input: gradient,
            batch: shape.batch,
            size: (shape.out_height(), shape.out_width()),
            channels: shape.out_channels,
            kernel: (y.taps, x.taps),
            stride: 1,
            origin: (y.origin, x.origin),
            patches: (y.pixels, x.pixels),
        }
    }
}

impl ASource for Im2col<'_> {
    fn rows(&self) -> usize {
        self.batch * self.patches.0 * self.patches.1
    }

    fn k(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.channels
    }

    fn pack(&self, isa: Isa, part: Part, dst: &mut [f32], stride: usize) {
        isa.dispatch(Gather { source: self, part, dst, stride });
    }
}

/// The packing of a part of the matrix.
struct Gather<'a> {
    source: &'a Im2col<'a>,
    part: Part,
    dst: &'a mut [f32],
    stride: usize,
}

impl SimdOp for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Im2col { size: (height, width), patches: (down, across), .. } = *self.source;
        let Part { row, rows, k, steps } = self.part;
        // In NHWC the values under one row of the filter lie side by side: a patch is `kernel` runs.
        let run = self.source.kernel.1 * self.source.channels;
        let (first_ky, first_from) = (k / run, k % run);
        let line_len = width * self.source.channels;
        let (mut x, y) = (row % across, row / across);
        let (mut y, mut image) = (y % down, y / down);
        for dst in self.dst.chunks_mut(self.stride).take(rows) {
            let left = (x * self.source.stride) as isize + self.source.origin.1;
            let left = left * self.source.channels as isize;
            let mut in_y = (y * self.source.stride + first_ky) as isize + self.source.origin.0;
            let (mut from, mut rest) = (first_from, &mut dst[..steps]);
            while !rest.is_empty() {
                let dst;
                (dst, rest) = rest.split_at_mut((run - from).min(rest.len()));
                if in_y < 0 || in_y >= height as isize {
                    dst.fill(0.0);
                } else {
                    let line = (image * height + in_y as usize) * line_len;
                    let line = &self.source.input[line..line + line_len];
                    copy_clipped(s, line, left + from as isize, dst);
                }
                (in_y, from) = (in_y + 1, 0);
            }
            x += 1;
            if x == across {
                (x, y) = (0, y + 1);
                if y == down {
                    (y, image) = (0, image + 1);
                }
            }
        }
    }
}

/// Copies `line[at..]` to `dst`, with zeros for what lies outside of the line.
#[inline(always)]
pub(super) fn copy_clipped<S: Simd>(s: S, line: &[f32], at: isize, dst: &mut [f32]) {
    let (len, line_len) = (dst.len() as isize, line.len() as isize);
    if at >= 0 && at + len <= line_len {
        return s.copy(&line[at as usize..][..dst.len()], dst);
    }
    let before = (-at).clamp(0, len);
    let end = (line_len - at).clamp(before, len);
    let (zeros, rest) = dst.split_at_mut(before as usize);
    let (inside, after) = rest.split_at_mut((end - before) as usize);
    zeros.fill(0.0);
    after.fill(0.0);
    if !inside.is_empty() {
        s.copy(&line[(at + before) as usize..][..inside.len()], inside);
    }
}
