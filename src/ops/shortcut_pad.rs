//! Shortcut A (He et al. 2015, section 3.3): every `stride`-th pixel, more channels by zeros.

use crate::runtime::Team;

/// The geometry of a parameter-free shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortcutPad {
    /// Images.
    pub batch: usize,
    /// Height of the input, in pixels.
    pub height: usize,
    /// Width of the input, in pixels.
    pub width: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Step in both directions, in pixels, from pixel 0 on.
    pub stride: usize,
    /// Channels of zeros before the input's.
    pub before: usize,
    /// Channels of zeros after the input's.
    pub after: usize,
}

impl ShortcutPad {
    /// Height of the output, in pixels.
    pub fn out_height(&self) -> usize {
        self.height.div_ceil(self.stride)
    }

    /// Width of the output, in pixels.
    pub fn out_width(&self) -> usize {
        self.width.div_ceil(self.stride)
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.before + self.channels + self.after
    }

    fn check(&self, input: usize, output: usize) {
        let Self { batch, height, width, channels, .. } = *self;
        assert_eq!(input, batch * height * width * channels, "input of {self:?}");
        let pixels = batch * self.out_height() * self.out_width();
        assert_eq!(output, pixels * self.out_channels(), "output of {self:?}");
    }
}

/// `input` is `[batch, height, width, channels]`, `output`
/// `[batch, out_height, out_width, out_channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn shortcut_pad(team: &mut Team, shape: &ShortcutPad, input: &[f32], output: &mut [f32]) {
    let s = shape;
    let (out_height, out_width) = (s.out_height(), s.out_width());
    s.check(input.len(), output.len());
    team.for_each_chunk(output, (out_width * s.out_channels()).max(1), |row, output, _| {
        let (image, y) = (row / out_height, row % out_height);
        for (x, output) in output.chunks_exact_mut(s.out_channels()).enumerate() {
            let pixel = (image * s.height + y * s.stride) * s.width + x * s.stride;
            output[..s.before].fill(0.0);
            output[s.before..s.before + s.channels]
                .copy_from_slice(&input[pixel * s.channels..][..s.channels]);
            output[s.before + s.channels..].fill(0.0);
        }
    });
}

/// Adds the gradient of the input to `dinput`, which already has that of the main path. The shapes
/// are those of [`shortcut_pad`].
///
/// # Panics
/// If a size is not what `shape` says.
pub fn shortcut_pad_backward(
    team: &mut Team,
    shape: &ShortcutPad,
    doutput: &[f32],
    dinput: &mut [f32],
) {
    let s = shape;
    s.check(dinput.len(), doutput.len());
    team.for_each_chunk(dinput, (s.width * s.channels).max(1), |row, dinput, _| {
        if !(row % s.height).is_multiple_of(s.stride) {
            return;
        }
        let out_row = row / s.height * s.out_height() + row % s.height / s.stride;
        let doutput = &doutput[out_row * s.out_width() * s.out_channels()..];
        let pixels = dinput.chunks_exact_mut(s.channels).step_by(s.stride);
        for (dinput, doutput) in pixels.zip(doutput.chunks_exact(s.out_channels())) {
            for (sum, gradient) in dinput.iter_mut().zip(&doutput[s.before..]) {
                *sum += gradient;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::normals;
    use super::*;
    use crate::runtime::team;

    #[test]
    fn takes_every_second_pixel_and_centres_the_channels() {
        let shape = ShortcutPad {
            batch: 1,
            height: 3,
            width: 2,
            channels: 2,
            stride: 2,
            before: 1,
            after: 1,
        };
        let input: Vec<f32> = (1..=12).map(|v| v as f32).collect();
        let mut output = vec![f32::NAN; 2 * 4];
        team(|team| shortcut_pad(team, &shape, &input, &mut output));
        assert_eq!(output, [0.0, 1.0, 2.0, 0.0, 0.0, 9.0, 10.0, 0.0]);
    }

    #[test]
    fn backward_is_the_transpose_of_forward() {
        let cases =
            [(1, 1, 1, 1, 0, 0), (2, 5, 4, 3, 1, 2), (1, 6, 7, 16, 8, 8), (3, 1, 3, 2, 0, 2)];
        for (batch, height, width, channels, before, after) in cases {
            for stride in [1, 2] {
                let s = ShortcutPad { batch, height, width, channels, stride, before, after };
                let len = batch * s.out_height() * s.out_width() * s.out_channels();
                let doutput = normals(1, len);
                let main = normals(2, batch * height * width * channels);
                let mut dinput = main.clone();
                team(|team| shortcut_pad_backward(team, &s, &doutput, &mut dinput));
                for i in 0..main.len() {
                    // A unit vector through the forward pass finds the one place it goes to.
                    let mut unit = vec![0.0; main.len()];
                    unit[i] = 1.0;
                    let mut output = vec![f32::NAN; len];
                    team(|team| shortcut_pad(team, &s, &unit, &mut output));
                    let to = output.iter().position(|&v| v == 1.0);
                    let expected = main[i] + to.map_or(0.0, |to| doutput[to]);
                    assert_eq!(dinput[i], expected, "{i} of {s:?}");
                }
            }
        }
    }
}
