//! Channels of an activation taken apart into bundles, each an activation of its own, and put together again.
//!
//! A convolution in groups is then a usual convolution of each bundle.

use crate::runtime::Team;

/// Pixels of one task.
const TOGETHER: usize = 256;

/// `input` is `[pixels, channels]`, `output` `[bundles, pixels, channels / bundles]`.
///
/// # Panics
/// If the two have not as many numbers, or `bundles` does not divide `channels`, or that them.
pub fn split_bundles<T: Copy + Send + Sync>(
    team: &mut Team,
    channels: usize,
    bundles: usize,
    input: &[T],
    output: &mut [T],
) {
    let (pixels, width) = check(channels, bundles, input, output);
    team.for_each_chunk(output, TOGETHER * width, |task, output, _| {
        for (i, to) in output.chunks_exact_mut(width).enumerate() {
            let at = task * TOGETHER + i;
            let (bundle, pixel) = (at / pixels, at % pixels);
            to.copy_from_slice(&input[pixel * channels + bundle * width..][..width]);
        }
    });
}

/// The reverse: `input` is `[bundles, pixels, channels / bundles]`, `output` `[pixels, channels]`.
///
/// # Panics
/// As [`split_bundles`].
pub fn join_bundles<T: Copy + Send + Sync>(
    team: &mut Team,
    channels: usize,
    bundles: usize,
    input: &[T],
    output: &mut [T],
) {
    let (pixels, width) = check(channels, bundles, input, output);
    team.for_each_chunk(output, TOGETHER * channels, |task, output, _| {
        for (i, to) in output.chunks_exact_mut(channels).enumerate() {
            let pixel = task * TOGETHER + i;
            for (bundle, to) in to.chunks_exact_mut(width).enumerate() {
                to.copy_from_slice(&input[(bundle * pixels + pixel) * width..][..width]);
            }
        }
    });
}

/// Pixels, and channels of a bundle.
fn check<T>(channels: usize, bundles: usize, input: &[T], output: &[T]) -> (usize, usize) {
    assert_eq!(input.len(), output.len(), "numbers");
    assert_eq!(channels % bundles, 0, "whole channels");
    assert_eq!(input.len() % channels, 0, "whole pixels");
    (input.len() / channels, channels / bundles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::team;

    #[test]
    fn bundles_are_apart_and_come_together_again() {
        let input: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut apart = vec![f32::NAN; 12];
        team(|team| split_bundles(team, 4, 2, &input, &mut apart));
        assert_eq!(apart, [0., 1., 4., 5., 8., 9., 2., 3., 6., 7., 10., 11.]);
        for (pixels, channels, bundles) in [(3, 4, 2), (1000, 12, 3), (1, 8, 8), (257, 6, 1)] {
            let input: Vec<f32> = (0..pixels * channels).map(|i| i as f32).collect();
            let (mut apart, mut joined) =
                (vec![f32::NAN; input.len()], vec![f32::NAN; input.len()]);
            team(|team| split_bundles(team, channels, bundles, &input, &mut apart));
            team(|team| join_bundles(team, channels, bundles, &apart, &mut joined));
            assert_eq!(joined, input);
        }
    }
}
