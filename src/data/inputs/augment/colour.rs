//! The colour shift of Krizhevsky et al. (2012, section 4.1): a random amount of each principal component
//! of the training set's colours is added to all pixels of an image.

use crate::data::Colours;
use crate::runtime::Rng;

/// Standard deviation of the random factor of each component.
const STRENGTH: f32 = 0.1;

/// The components by which colours are shifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourShift([[f32; 3]; 3]);

impl ColourShift {
    /// ImageNet's, in units of pixel / 255, one row per channel, each column times its standard deviation;
    /// those of fb.resnet.torch, the reference for the paper's networks.
    pub const IMAGENET: Self = Self([
        [-0.5675 * 0.2175, 0.7192 * 0.0188, 0.4009 * 0.0045],
        [-0.5808 * 0.2175, -0.0045 * 0.0188, -0.8140 * 0.0045],
        [-0.5836 * 0.2175, -0.6948 * 0.0188, 0.4203 * 0.0045],
    ]);

    /// Those of a set of one's own.
    pub fn of(colours: &Colours) -> Self {
        let Colours { eigenvalues, eigenvectors } = colours;
        let scaled = |c: usize, i: usize| (eigenvectors[i][c] * eigenvalues[i].sqrt()) as f32;
        Self(std::array::from_fn(|c| std::array::from_fn(|i| scaled(c, i))))
    }

    /// A random shift of red, green and blue, in units of pixel / 255.
    pub(super) fn draw(&self, rng: &mut Rng) -> [f32; 3] {
        let factors = [0; 3].map(|_| STRENGTH * rng.normal());
        self.0.map(|row| {
            let [a, b, c] = [0, 1, 2].map(|i| row[i] * factors[i]);
            a + b + c
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The covariance of shifts is a hundredth of the colours'.
    #[test]
    fn shifts_have_a_hundredth_of_the_colours_covariance() {
        let s = 0.5_f64.sqrt();
        let colours = Colours {
            eigenvalues: [0.09, 0.01, 0.0],
            eigenvectors: [[s, s, 0.0], [s, -s, 0.0], [0.0, 0.0, 1.0]],
        };
        let shift = ColourShift::of(&colours);
        let n = 40_000;
        let mut sums = [[0.0; 3]; 3];
        for i in 0..n {
            let drawn = shift.draw(&mut Rng::new(2, &[i])).map(f64::from);
            for (row, x) in sums.iter_mut().zip(drawn) {
                row.iter_mut().zip(drawn).for_each(|(sum, y)| *sum += x * y / n as f64);
            }
        }
        // Red and green: (0.09 + 0.01) / 2 on the diagonal, (0.09 - 0.01) / 2 beside it.
        let expected = [[5e-4, 4e-4, 0.0], [4e-4, 5e-4, 0.0], [0.0; 3]];
        for (found, expected) in sums.as_flattened().iter().zip(expected.as_flattened()) {
            // Six standard errors of a variance, sqrt(2 / n) of it each.
            assert!((found - expected).abs() <= 6.0 * 5e-4 * (2.0 / n as f64).sqrt(), "{sums:?}");
        }
    }
}
