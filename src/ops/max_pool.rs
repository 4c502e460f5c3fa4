//! Max-pooling.

use crate::simd::{Isa, Simd, SimdOp};
use rayon::prelude::*;

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

    fn out_size(&self, size: usize) -> usize {
        (size + 2 * self.padding).checked_sub(self.kernel).map_or(0, |room| room / self.stride + 1)
    }
}

/// `input` is `[batch, height, width, channels]`, `output` `[batch, out_height, out_width, channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn max_pool(isa: Isa, shape: &PoolShape, input: &[f32], output: &mut [f32]) {
    let s = shape;
    let (out_height, out_width) = (s.out_height(), s.out_width());
    assert_eq!(input.len(), s.batch * s.height * s.width * s.channels, "input of {s:?}");
    assert_eq!(output.len(), s.batch * out_height * out_width * s.channels, "output of {s:?}");
    if output.is_empty() {
        return;
    }
    output.par_chunks_mut(out_width * s.channels).enumerate().for_each(|(row, output)| {
        let (image, y) = (row / out_height, row % out_height);
        let input = &input[image * s.height * s.width * s.channels..];
        isa.dispatch(Row { shape: s, input, y, output });
    });
}

/// One row of the output.
struct Row<'a> {
    shape: &'a PoolShape,
    /// From the image's first pixel on.
    input: &'a [f32],
    y: usize,
    output: &'a mut [f32],
}

impl SimdOp for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let PoolShape { height, width, channels, kernel, stride, padding, .. } = *self.shape;
        let window = |at: usize, size: usize| {
            let start = (at * stride).saturating_sub(padding);
            start..(at * stride + kernel).saturating_sub(padding).min(size)
        };
        for (x, output) in self.output.chunks_exact_mut(channels).enumerate() {
            for (vector, output) in output.chunks_mut(S::LANES).enumerate() {
                let mut max = s.splat(f32::NEG_INFINITY);
                for in_y in window(self.y, height) {
                    for in_x in window(x, width) {
                        let at = (in_y * width + in_x) * channels + vector * S::LANES;
                        max = s.max(max, s.load(&self.input[at..at + output.len()]));
                    }
                }
                s.store(max, output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Rng;

    #[test]
    fn equals_plain_loops_on_every_isa() {
        let mut rng = Rng::new(7, &[]);
        for case in 0..60 {
            let kernel = 2 + rng.below(2);
            let s = PoolShape {
                batch: 1 + rng.below(2),
                height: 3 + rng.below(9),
                width: 3 + rng.below(9),
                channels: 1 + rng.below(40),
                kernel,
                stride: 1 + rng.below(2),
                padding: rng.below(kernel),
            };
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
                max_pool(isa, &s, &input, &mut output);
                assert_eq!(output, expected, "case {case} on {isa}: {s:?}");
            }
        }
    }
}
