//! Max-pooling.
//!
//! NaN is larger than every number, as in PyTorch: a window that has one gives NaN, so a network that
//! diverged says so at its end. Of equal numbers the first wins, of several NaN the last.
//!
//! Training remembers which pixel of each window won, as its place in the window (a byte, row by row,
//! whether or not all of the window is in the image). Backward goes over the input: each pixel sums
//! the gradients of the windows that it won, in their order, so that rows need not wait for each other.

use crate::runtime::{ChunksMut, Team};
use crate::simd::{Isa, Simd, SimdOp};
use std::ops::Range;

/// The geometry of a max-pool over square windows. Pixels beyond the edges never win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Height of the input, in pixels.
    pub height: usize,
    /// Width of the input, in pixels.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Side of the window, in pixels.
    pub kernel: usize,
    /// Step in both directions, in pixels.
    pub stride: usize,
    /// Pixels that windows may hang over each edge; less than `kernel`.
    pub padding: usize,
}

impl PoolShape {
    /// Height of the output, in pixels.
    pub fn out_height(&self) -> usize {
        self.out_size(self.height)
    }

    /// Width of the output, in pixels.
    pub fn out_width(&self) -> usize {
        self.out_size(self.width)
    }

    /// Where the window at `at` lies on a side of `size` pixels.
    #[inline(always)]
    pub(super) fn window(&self, at: usize, size: usize) -> Range<usize> {
        let start = (at * self.stride).saturating_sub(self.padding);
        start..(at * self.stride + self.kernel).saturating_sub(self.padding).min(size)
    }

    /// Which of `count` windows hold the pixel `at`.
    #[inline(always)]
    fn windows(&self, at: usize, count: usize) -> Range<usize> {
        let first = (at + self.padding + 1).saturating_sub(self.kernel).div_ceil(self.stride);
        first..((at + self.padding) / self.stride + 1).min(count)
    }

    pub(super) fn check(&self, input: usize, output: usize) {
        let Self { batch, height, width, channels, .. } = *self;
        assert_eq!(input, batch * height * width * channels, "input of {self:?}");
        let pixels = batch * self.out_height() * self.out_width();
        assert_eq!(output, pixels * channels, "output of {self:?}");
    }

    fn out_size(&self, size: usize) -> usize {
        (size + 2 * self.padding).checked_sub(self.kernel).map_or(0, |room| room / self.stride + 1)
    }
}

/// `input` is `[batch, height, width, channels]`, `output` `[batch, out_height, out_width, channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn max_pool(team: &mut Team, isa: Isa, shape: &PoolShape, input: &[f32], output: &mut [f32]) {
    let s = shape;
    let (out_height, out_width) = (s.out_height(), s.out_width());
    s.check(input.len(), output.len());
    if output.is_empty() {
        return;
    }
    team.for_each_chunk(output, out_width * s.channels, |row, output, _| {
        let (image, y) = (row / out_height, row % out_height);
        let (window, line) = (s.window(y, s.height), s.width * s.channels);
        let first = image * s.height * line;
        let lines = &input[first + window.start * line..first + window.end * line];
        isa.dispatch(Row { shape: s, lines, output });
    });
}

/// One row of the output.
pub(super) struct Row<'a> {
    pub(super) shape: &'a PoolShape,
    /// The lines of the input under its windows.
    pub(super) lines: &'a [f32],
    pub(super) output: &'a mut [f32],
}

impl SimdOp for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { shape, lines, output } = self;
        let channels = shape.channels;
        let height = lines.len() / (shape.width * channels).max(1);
        for (x, output) in output.chunks_exact_mut(channels).enumerate() {
            let window = shape.window(x, shape.width);
            let pixels = &lines[(window.start * channels).min(lines.len())..];
            match [height, window.len()] {
                // Of a size known in advance the loops unroll.
                [3, 3] => maximum(s, shape, pixels, [3, 3], output),
                size => maximum(s, shape, pixels, size, output),
            }
        }
    }
}

/// `value` where it is larger than `max` or NaN, else `max`, which may be NaN.
#[inline(always)]
fn larger<S: Simd>(s: S, value: S::V, max: S::V) -> S::V {
    s.if_nan(value, value, s.max(value, max))
}

/// The maximum of the window of `height` by `width` pixels that begins with the first of `pixels`.
#[inline(always)]
fn maximum<S: Simd>(
    s: S,
    shape: &PoolShape,
    pixels: &[f32],
    [height, width]: [usize; 2],
    output: &mut [f32],
) {
    for (vector, output) in output.chunks_mut(S::LANES).enumerate() {
        let mut max = s.splat(f32::NEG_INFINITY);
        for y in 0..height {
            for x in 0..width {
                let at = (y * shape.width + x) * shape.channels + vector * S::LANES;
                max = larger(s, s.load(&pixels[at..at + output.len()]), max);
            }
        }
        s.store(max, output);
    }
}

/// As [`max_pool`], and `argmax`, of the output's shape, says where in its window each maximum was:
/// `ky * kernel + kx`, of equals the first, of several NaN the last.
///
/// # Panics
/// If a size is not what `shape` says, or a window has more than 256 pixels.
pub fn max_pool_argmax(
    team: &mut Team,
    isa: Isa,
    shape: &PoolShape,
    input: &[f32],
    output: &mut [f32],
    argmax: &mut [u8],
) {
    let s = shape;
    let (out_height, out_width) = (s.out_height(), s.out_width());
    s.check(input.len(), output.len());
    assert_eq!(argmax.len(), output.len(), "size of the argmax");
    assert!(s.kernel <= 16, "places in a window of {} pixels are bytes", s.kernel * s.kernel);
    if output.is_empty() {
        return;
    }
    let len = out_width * s.channels;
    let rows = (ChunksMut::new(output, len), ChunksMut::new(argmax, len));
    team.for_each_part(rows, |row, (output, argmax), _| {
        let (image, y) = (row / out_height, row % out_height);
        let input = &input[image * s.height * s.width * s.channels..];
        isa.dispatch(ArgmaxRow { shape: s, input, y, output, argmax });
    });
}

/// One row of the output, and where its maxima were.
struct ArgmaxRow<'a> {
    shape: &'a PoolShape,
    /// From the image's first pixel on.
    input: &'a [f32],
    y: usize,
    output: &'a mut [f32],
    argmax: &'a mut [u8],
}

impl SimdOp for ArgmaxRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let PoolShape { height, width, channels, kernel, stride, padding, .. } = *self.shape;
        // A vector of places, as floats since they are chosen like the values.
        let mut lanes = [0.0_f32; 16];
        let pixels = self.output.chunks_exact_mut(channels);
        for (x, (output, argmax)) in pixels.zip(self.argmax.chunks_exact_mut(channels)).enumerate()
        {
            let vectors = output.chunks_mut(S::LANES).zip(argmax.chunks_mut(S::LANES));
            for (vector, (output, argmax)) in vectors.enumerate() {
                let mut max = s.splat(f32::NEG_INFINITY);
                let mut winner = None;
                for in_y in self.shape.window(self.y, height) {
                    for in_x in self.shape.window(x, width) {
                        let at = (in_y * width + in_x) * channels + vector * S::LANES;
                        let value = s.load(&self.input[at..at + output.len()]);
                        let (ky, kx) =
                            (in_y + padding - self.y * stride, in_x + padding - x * stride);
                        let place = s.splat((ky * kernel + kx) as f32);
                        // The first pixel wins until another is larger, even with nothing but -∞.
                        winner = Some(winner.map_or(place, |w| {
                            s.if_nan(value, place, s.if_gt(value, max, place, w))
                        }));
                        max = larger(s, value, max);
                    }
                }
                s.store(max, output);
                s.store(winner.unwrap_or(max), &mut lanes);
                for (place, &lane) in argmax.iter_mut().zip(&lanes) {
                    *place = lane as u8;
                }
            }
        }
    }
}

/// The gradient of the input, from `doutput` and what [`max_pool_argmax`] remembered.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn max_pool_backward(
    team: &mut Team,
    isa: Isa,
    shape: &PoolShape,
    argmax: &[u8],
    doutput: &[f32],
    dinput: &mut [f32],
) {
    let s = shape;
    s.check(dinput.len(), doutput.len());
    assert_eq!(argmax.len(), doutput.len(), "size of the argmax");
    let image_len = s.out_height() * s.out_width() * s.channels;
    team.for_each_chunk(dinput, (s.width * s.channels).max(1), |row, dinput, _| {
        let (image, y) = (row / s.height, row % s.height);
        let range = image * image_len..(image + 1) * image_len;
        let (argmax, doutput) = (&argmax[range.clone()], &doutput[range]);
        isa.dispatch(BackwardRow { shape: s, argmax, doutput, y, dinput });
    });
}

/// One row of the input's gradient.
struct BackwardRow<'a> {
    shape: &'a PoolShape,
    /// Of the image.
    argmax: &'a [u8],
    /// Of the image.
    doutput: &'a [f32],
    y: usize,
    dinput: &'a mut [f32],
}

impl SimdOp for BackwardRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        let PoolShape { channels, kernel, stride, padding, .. } = *self.shape;
        let (out_height, out_width) = (self.shape.out_height(), self.shape.out_width());
        for (x, dinput) in self.dinput.chunks_exact_mut(channels).enumerate() {
            dinput.fill(0.0);
            for out_y in self.shape.windows(self.y, out_height) {
                for out_x in self.shape.windows(x, out_width) {
                    let (ky, kx) =
                        (self.y + padding - out_y * stride, x + padding - out_x * stride);
                    let place = (ky * kernel + kx) as u8;
                    let at = (out_y * out_width + out_x) * channels;
                    let won = &self.argmax[at..at + channels];
                    let gradients = &self.doutput[at..at + channels];
                    // Bytes beside floats: left to the compiler, which vectorises it.
                    for ((sum, &won), &gradient) in dinput.iter_mut().zip(won).zip(gradients) {
                        *sum += if won == place { gradient } else { 0.0 };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{everywhere, normals};
    use super::*;
    use crate::runtime::{Rng, team};

    /// A random shape.
    fn shape(case: u64) -> PoolShape {
        let mut rng = Rng::new(6, &[case]);
        let kernel = 2 + rng.below(2);
        PoolShape {
            batch: 1 + rng.below(2),
            height: 3 + rng.below(9),
            width: 3 + rng.below(9),
            channels: 1 + rng.below(40),
            kernel,
            stride: 1 + rng.below(3),
            padding: rng.below(kernel),
        }
    }

    #[test]
    fn equals_plain_loops_on_every_isa() {
        for case in 0..60 {
            let s = shape(case);
            let mut rng = Rng::new(7, &[case]);
            let input: Vec<f32> =
                (0..s.batch * s.height * s.width * s.channels).map(|_| rng.normal()).collect();
            let mut expected = Vec::new();
            for image in 0..s.batch {
                for y in 0..s.out_height() {
                    for x in 0..s.out_width() {
                        for c in 0..s.channels {
                            let mut max = f32::NEG_INFINITY;
                            for ky in 0..s.kernel {
                                for kx in 0..s.kernel {
                                    let in_y = (y * s.stride + ky).wrapping_sub(s.padding);
                                    let in_x = (x * s.stride + kx).wrapping_sub(s.padding);
                                    if in_y < s.height && in_x < s.width {
                                        let pixel = (image * s.height + in_y) * s.width + in_x;
                                        max = max.max(input[pixel * s.channels + c]);
                                    }
                                }
                            }
                            expected.push(max);
                        }
                    }
                }
            }
            for isa in Isa::available() {
                let mut output = vec![f32::NAN; expected.len()];
                team(|team| max_pool(team, isa, &s, &input, &mut output));
                assert_eq!(output, expected, "case {case} on {isa}: {s:?}");
            }
        }
    }

    /// Backward by its definition: each window gives its gradient to the first of its maxima.
    fn scatter(s: &PoolShape, input: &[f32], doutput: &[f32]) -> Vec<f32> {
        let mut dinput = vec![0.0; input.len()];
        for (i, &gradient) in doutput.iter().enumerate() {
            let (pixel, c) = (i / s.channels, i % s.channels);
            let (x, row) = (pixel % s.out_width(), pixel / s.out_width());
            let (y, image) = (row % s.out_height(), row / s.out_height());
            let mut best: Option<usize> = None;
            for in_y in s.window(y, s.height) {
                for in_x in s.window(x, s.width) {
                    let at = ((image * s.height + in_y) * s.width + in_x) * s.channels + c;
                    if best.is_none_or(|best| input[at] > input[best]) {
                        best = Some(at);
                    }
                }
            }
            dinput[best.unwrap()] += gradient;
        }
        dinput
    }

    #[test]
    fn gradients_go_to_the_first_maximum() {
        for case in 0..60 {
            let s = shape(case);
            // Few distinct values, so that there are ties; and one that no comparison ever exceeds.
            let mut input = normals(case, s.batch * s.height * s.width * s.channels);
            for (i, v) in input.iter_mut().enumerate() {
                *v = if i % 5 == 0 { f32::NEG_INFINITY } else { (2.0 * *v).round() };
            }
            let len = s.batch * s.out_height() * s.out_width() * s.channels;
            let doutput = normals(case + 1, len);
            let expected = scatter(&s, &input, &doutput);
            for result in everywhere(|team, isa| {
                let (mut plain, mut output) = (vec![f32::NAN; len], vec![f32::NAN; len]);
                let (mut argmax, mut dinput) = (vec![255; len], vec![f32::NAN; input.len()]);
                max_pool(team, isa, &s, &input, &mut plain);
                max_pool_argmax(team, isa, &s, &input, &mut output, &mut argmax);
                max_pool_backward(team, isa, &s, &argmax, &doutput, &mut dinput);
                vec![plain, output, dinput]
            }) {
                assert_eq!(result[0], result[1], "forward of case {case}: {s:?}");
                // Sums of at most kernel² terms in the same order: equal, not close.
                assert_eq!(result[2], expected, "backward of case {case}: {s:?}");
            }
        }
    }
}
