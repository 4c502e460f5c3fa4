//! Max-pooling.
//!
//! NaN is larger than every number, as in PyTorch: a window that has one gives NaN, so a network that
//! diverged says so at its end. Of equal numbers the first wins, of several NaN the last.
//!
//! Training remembers which pixel of each window won, as its place in the window (a byte, row by row,
//! whether or not all of the window is in the image). Backward goes over the input: each pixel sums
//! the gradients of the windows that it won, in their order, so that rows need not wait for each other.

use crate::gemm::{AfterRows, Operand};
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
pub fn max_pool_argmax<'a>(
    team: &mut Team,
    isa: Isa,
    shape: &PoolShape,
    input: impl Into<Operand<'a>>,
    output: &mut [f32],
    argmax: &mut [u8],
) {
    let (s, input) = (shape, input.into());
    let (out_height, out_width) = (s.out_height(), s.out_width());
    s.check(input.len(), output.len());
    assert_eq!(argmax.len(), output.len(), "size of the argmax");
    assert!(s.kernel <= 16, "places in a window of {} pixels are bytes", s.kernel * s.kernel);
    if output.is_empty() {
        return;
    }
    let len = out_width * s.channels;
    let rows = (ChunksMut::new(output, len), ChunksMut::new(argmax, len));
    team.for_each_part(rows, |row, (output, argmax), mut scratch| {
        let (image, y) = (row / out_height, row % out_height);
        let (window, line) = (s.window(y, s.height), s.width * s.channels);
        let (at, len) = ((image * s.height + window.start) * line, window.len() * line);
        let lines = match input.plain() {
            Some(input) => &input[at..at + len],
            None => {
                let (lines, _) = scratch.take(len);
                input.write(isa, at, lines);
                &*lines
            }
        };
        isa.dispatch(ArgmaxRow { shape: s, lines, y, output, argmax });
    });
}

/// One row of the output, and where its maxima were.
struct ArgmaxRow<'a> {
    shape: &'a PoolShape,
    /// Those under its windows.
    lines: &'a [f32],
    y: usize,
    output: &'a mut [f32],
    argmax: &'a mut [u8],
}

impl SimdOp for ArgmaxRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let PoolShape { height, width, channels, kernel, stride, padding, .. } = *self.shape;
        let window = self.shape.window(self.y, height);
        // A vector of places, as floats since they are chosen like the values.
        let mut lanes = [0.0_f32; 16];
        let pixels = self.output.chunks_exact_mut(channels);
        for (x, (output, argmax)) in pixels.zip(self.argmax.chunks_exact_mut(channels)).enumerate()
        {
            let vectors = output.chunks_mut(S::LANES).zip(argmax.chunks_mut(S::LANES));
            for (vector, (output, argmax)) in vectors.enumerate() {
                let mut max = s.splat(f32::NEG_INFINITY);
                let mut winner = None;
                for in_y in window.clone() {
                    for in_x in self.shape.window(x, width) {
                        let pixel = (in_y - window.start) * width + in_x;
                        let at = pixel * channels + vector * S::LANES;
                        let value = s.load(&self.lines[at..at + output.len()]);
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

/// The gradient of the input, from `doutput` and what [`max_pool_argmax`] remembered; its pixels are shown to `after`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn max_pool_backward(
    team: &mut Team,
    isa: Isa,
    shape: &PoolShape,
    argmax: &[u8],
    doutput: &[f32],
    after: Option<&dyn AfterRows>,
    dinput: &mut [f32],
) {
    let s = shape;
    s.check(dinput.len(), doutput.len());
    assert_eq!(argmax.len(), doutput.len(), "size of the argmax");
    let (image_len, line) =
        (s.out_height() * s.out_width() * s.channels, (s.width * s.channels).max(1));
    let whole = |after: &dyn AfterRows| {
        (1..=ROWS).find(|rows| (rows * s.width).is_multiple_of(after.unit()))
    };
    let rows = after.and_then(whole).unwrap_or(1);
    team.for_each_chunk(dinput, rows * line, |task, dinput, _| {
        for (row, dinput) in (task * rows..).zip(dinput.chunks_mut(line)) {
            let (image, y) = (row / s.height, row % s.height);
            let range = image * image_len..(image + 1) * image_len;
            let (argmax, doutput) = (&argmax[range.clone()], &doutput[range]);
            isa.dispatch(BackwardRow { shape: s, argmax, doutput, y, dinput });
        }
        if let Some(after) = after {
            after.rows(task * rows * s.width, dinput);
        }
    });
}

/// Rows of the input's gradient that a task computes at most.
const ROWS: usize = 16;

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
        let Self { shape, argmax, doutput, y, dinput } = self;
        let (channels, out_width) = (shape.channels, shape.out_width());
        let out_ys = shape.windows(y, shape.out_height());
        for (x, dinput) in dinput.chunks_exact_mut(channels).enumerate() {
            let windows = Windows { shape, argmax, doutput, out_width, x, y, out_ys: &out_ys };
            let out_xs = shape.windows(x, out_width);
            let (groups, rest) = dinput.as_chunks_mut::<GROUP>();
            let whole = groups.len() * GROUP;
            for (group, sums) in groups.iter_mut().enumerate() {
                *sums = windows.sums(&out_xs, group * GROUP);
            }
            for (i, sum) in rest.iter_mut().enumerate() {
                [*sum] = windows.sums(&out_xs, whole + i);
            }
        }
    }
}

/// Channels that are summed side by side.
const GROUP: usize = 16;

/// The windows over one pixel.
struct Windows<'a> {
    shape: &'a PoolShape,
    argmax: &'a [u8],
    doutput: &'a [f32],
    out_width: usize,
    x: usize,
    y: usize,
    out_ys: &'a Range<usize>,
}

impl Windows<'_> {
    /// The gradients of `N` channels from `channel` on. Bytes beside floats: loops of a fixed length, which the
    /// compiler makes vectors.
    #[inline(always)]
    fn sums<const N: usize>(&self, out_xs: &Range<usize>, channel: usize) -> [f32; N] {
        let PoolShape { channels, kernel, stride, padding, .. } = *self.shape;
        let mut sums = [0.0; N];
        for out_y in self.out_ys.clone() {
            for out_x in out_xs.clone() {
                let (ky, kx) =
                    (self.y + padding - out_y * stride, self.x + padding - out_x * stride);
                let place = (ky * kernel + kx) as u8;
                let at = (out_y * self.out_width + out_x) * channels + channel;
                let won: &[u8; N] = self.argmax[at..].first_chunk().expect("channels");
                let gradients: &[f32; N] = self.doutput[at..].first_chunk().expect("channels");
                for ((sum, &won), &gradient) in sums.iter_mut().zip(won).zip(gradients) {
                    *sum += if won == place { gradient } else { 0.0 };
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests;
