//! Shortcut A (He et al. 2015, section 3.3): every `stride`-th pixel, more channels by zeros.

use rayon::prelude::*;

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
}

/// `input` is `[batch, height, width, channels]`, `output`
/// `[batch, out_height, out_width, out_channels]`.
///
/// # Panics
/// If a size is not what `shape` says.
pub fn shortcut_pad(shape: &ShortcutPad, input: &[f32], output: &mut [f32]) {
    let s = shape;
    let (out_height, out_width) = (s.out_height(), s.out_width());
    assert_eq!(input.len(), s.batch * s.height * s.width * s.channels, "input of {s:?}");
    assert_eq!(
        output.len(),
        s.batch * out_height * out_width * s.out_channels(),
        "output of {s:?}"
    );
    output.par_chunks_mut((out_width * s.out_channels()).max(1)).enumerate().for_each(
        |(row, output)| {
            let (image, y) = (row / out_height, row % out_height);
            for (x, output) in output.chunks_exact_mut(s.out_channels()).enumerate() {
                let pixel = (image * s.height + y * s.stride) * s.width + x * s.stride;
                output[..s.before].fill(0.0);
                output[s.before..s.before + s.channels]
                    .copy_from_slice(&input[pixel * s.channels..][..s.channels]);
                output[s.before + s.channels..].fill(0.0);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

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
        shortcut_pad(&shape, &input, &mut output);
        assert_eq!(output, [0.0, 1.0, 2.0, 0.0, 0.0, 9.0, 10.0, 0.0]);
    }
}
