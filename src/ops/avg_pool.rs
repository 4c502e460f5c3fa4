//! Global average pooling.

use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};

/// The mean over all pixels: `input` is `[batch, pixels, channels]`, `output` `[batch, channels]`.
///
/// The sum runs over the pixels in order.
///
/// # Panics
/// If a size is not what `channels` and `pixels` say.
pub fn global_avg_pool(
    team: &mut Team,
    isa: Isa,
    pixels: usize,
    channels: usize,
    input: &[f32],
    output: &mut [f32],
) {
    assert_eq!(input.len() / (pixels * channels), output.len() / channels, "images");
    assert_eq!(input.len() % (pixels * channels), 0, "whole images");
    let len = pixels * channels;
    team.for_each_chunk(output, channels, |image, output, _| {
        let input = &input[image * len..][..len];
        isa.dispatch(Image { pixels, channels, input, output });
    });
}

struct Image<'a> {
    pixels: usize,
    channels: usize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let count = s.splat(self.pixels as f32);
        for (vector, output) in self.output.chunks_mut(S::LANES).enumerate() {
            let mut sum = s.splat(0.0);
            for pixel in 0..self.pixels {
                let at = pixel * self.channels + vector * S::LANES;
                sum = s.add(sum, s.load(&self.input[at..at + output.len()]));
            }
            s.store(s.div(sum, count), output);
        }
    }
}

/// The gradient of the input: each pixel gets its share, `doutput / pixels`. The shapes are those of
/// [`global_avg_pool`].
///
/// # Panics
/// If a size is not what `channels` and `pixels` say.
pub fn global_avg_pool_backward(
    team: &mut Team,
    pixels: usize,
    channels: usize,
    doutput: &[f32],
    dinput: &mut [f32],
) {
    assert_eq!(dinput.len() / (pixels * channels), doutput.len() / channels, "images");
    assert_eq!(dinput.len() % (pixels * channels), 0, "whole images");
    team.for_each_chunk(dinput, pixels * channels, |image, dinput, _| {
        let (first, others) = dinput.split_at_mut(channels);
        for (share, gradient) in first.iter_mut().zip(&doutput[image * channels..]) {
            *share = gradient / pixels as f32;
        }
        others.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(first));
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::normals;
    use super::*;
    use crate::runtime::{Rng, team};

    #[test]
    fn is_the_mean_and_the_same_on_every_isa() {
        let mut rng = Rng::new(8, &[]);
        for (batch, pixels, channels) in [(1, 1, 1), (2, 49, 64), (3, 7, 37), (1, 64, 16)] {
            let input: Vec<f32> = (0..batch * pixels * channels).map(|_| rng.normal()).collect();
            let mut first: Option<Vec<f32>> = None;
            for isa in Isa::available() {
                let mut output = vec![f32::NAN; batch * channels];
                team(|team| global_avg_pool(team, isa, pixels, channels, &input, &mut output));
                for (i, &mean) in output.iter().enumerate() {
                    let (image, c) = (i / channels, i % channels);
                    let expected = (0..pixels)
                        .map(|p| f64::from(input[(image * pixels + p) * channels + c]))
                        .sum::<f64>()
                        / pixels as f64;
                    let bound = 1e-7 * pixels as f64;
                    assert!((f64::from(mean) - expected).abs() <= bound, "{mean} {expected}");
                }
                // No multiply-add here, so even the portable set gives the same bits.
                assert_eq!(*first.get_or_insert(output.clone()), output, "{isa}");
            }
        }
    }

    #[test]
    fn backward_is_the_transpose_of_forward() {
        for (batch, pixels, channels) in [(1, 1, 1), (2, 49, 64), (3, 7, 37)] {
            let input = normals(1, batch * pixels * channels);
            let doutput = normals(2, batch * channels);
            let mut output = vec![0.0; batch * channels];
            let mut dinput = vec![f32::NAN; input.len()];
            team(|team| global_avg_pool(team, Isa::best(), pixels, channels, &input, &mut output));
            team(|team| global_avg_pool_backward(team, pixels, channels, &doutput, &mut dinput));
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
            };
            // The layer is linear, so <output, doutput> = <input, dinput> says all.
            let (left, right) = (dot(&output, &doutput), dot(&input, &dinput));
            assert!((left - right).abs() < 1e-6 * (batch * channels) as f64, "{left} {right}");
        }
    }
}
