//! The 2x2 average pool with stride 2 in the shortcuts of ResNet-D.
//!
//! As PyTorch's `AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)`: at the end of an odd side a window
//! has what there is, and divides by that.

use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};

/// The geometry of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfPool {
    /// Images.
    pub batch: usize,
    /// Height of the input, in pixels.
    pub height: usize,
    /// Width of the input, in pixels.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl HalfPool {
    /// Height of the output, in pixels.
    pub fn out_height(&self) -> usize {
        self.height.div_ceil(2)
    }

    /// Width of the output, in pixels.
    pub fn out_width(&self) -> usize {
        self.width.div_ceil(2)
    }
}

/// `input` is `[batch, height, width, channels]`, `output` `[batch, out_height, out_width, channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn half_pool(team: &mut Team, isa: Isa, shape: &HalfPool, input: &[f32], output: &mut [f32]) {
    let &HalfPool { batch, height, width, channels } = shape;
    let (out_height, out_width) = (shape.out_height(), shape.out_width());
    assert_eq!(input.len(), batch * height * width * channels, "input of {shape:?}");
    assert_eq!(output.len(), batch * out_height * out_width * channels, "output of {shape:?}");
    if output.is_empty() {
        return;
    }
    let line = width * channels;
    team.for_each_chunk(output, out_width * channels, |row, output, _| {
        let (image, y) = (row / out_height, row % out_height);
        let lines = &input[image * height * line..][..height * line];
        let lines = &lines[2 * y * line..(2 * y + 2).min(height) * line];
        isa.dispatch(Row { width, channels, lines, output });
    });
}

/// One row of the output.
struct Row<'a> {
    width: usize,
    channels: usize,
    /// The one or two lines of the input under its windows.
    lines: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { width, channels, lines, output } = self;
        let line = width * channels;
        for (x, output) in output.chunks_exact_mut(channels).enumerate() {
            let columns = 2 * x * channels..(2 * x + 2).min(width) * channels;
            let pixels = (columns.len() / channels) * (lines.len() / line);
            // Of 1, 2 or 4 pixels, so exact.
            let share = s.splat(1.0 / pixels as f32);
            for (vector, output) in output.chunks_mut(S::LANES).enumerate() {
                let mut sum = s.splat(0.0);
                for line in lines.chunks_exact(line) {
                    for pixel in line[columns.clone()].chunks_exact(channels) {
                        let at = vector * S::LANES;
                        sum = s.add(sum, s.load(&pixel[at..at + output.len()]));
                    }
                }
                s.store(s.mul(sum, share), output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::normals;
    use super::*;
    use crate::runtime::team;

    #[test]
    fn is_the_mean_of_what_is_there_on_every_isa() {
        for (batch, height, width, channels) in
            [(1, 1, 1, 1), (2, 4, 6, 64), (1, 5, 3, 37), (3, 1, 4, 8), (2, 7, 1, 16)]
        {
            let shape = HalfPool { batch, height, width, channels };
            let input = normals(7, batch * height * width * channels);
            let (rows, columns) = (shape.out_height(), shape.out_width());
            assert_eq!([rows, columns], [height.div_ceil(2), width.div_ceil(2)]);
            let mut expected = Vec::new();
            for image in 0..batch {
                for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                    for c in 0..channels {
                        let mut values = Vec::new();
                        for v in 2 * y..(2 * y + 2).min(height) {
                            for u in 2 * x..(2 * x + 2).min(width) {
                                values
                                    .push(input[((image * height + v) * width + u) * channels + c]);
                            }
                        }
                        let sum: f32 = values.iter().sum();
                        expected.push(sum / values.len() as f32);
                    }
                }
            }
            for isa in Isa::available() {
                let mut output = vec![f32::NAN; expected.len()];
                team(|team| half_pool(team, isa, &shape, &input, &mut output));
                assert_eq!(output, expected, "{isa} {shape:?}");
            }
        }
    }
}
