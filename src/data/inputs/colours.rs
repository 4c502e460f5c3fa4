//! The principal components of colours: the eigenvectors of a covariance of three channels, by arithmetic that is
//! the same everywhere.

use serde::{Deserialize, Serialize};

/// Channels that differ.
const PAIRS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

/// The principal components of a set's colours, in units of pixel / 255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Colours {
    /// Variance along each component, the largest first.
    pub eigenvalues: [f64; 3],
    /// A component a row (red, green, blue) of length 1, whose largest number is positive.
    pub eigenvectors: [[f64; 3]; 3],
}

impl Colours {
    /// The components of a covariance matrix: Jacobi's method, in f64 by operations that are rounded alike
    /// everywhere.
    pub(super) fn of(covariance: [[f64; 3]; 3]) -> Self {
        let mut a = covariance;
        // Component i is row i.
        let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        // Each sweep squares what is off the diagonal; a few are enough.
        for _ in 0..32 {
            for (p, q) in PAIRS {
                if a[p][q] != 0.0 {
                    rotate(&mut a, &mut vectors, p, q);
                }
            }
        }
        let mut order = [0, 1, 2];
        order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
        let upright = |i: usize| {
            let vector = vectors[i];
            let largest = vector
                .iter()
                .fold(0.0, |most: f64, &x| if x.abs() > most.abs() { x } else { most });
            vector.map(|x| if largest < 0.0 { -x } else { x })
        };
        Self { eigenvalues: order.map(|i| a[i][i].max(0.0)), eigenvectors: order.map(upright) }
    }
}

/// Turns the plane of axes `p` and `q` so that `a[p][q]` becomes 0.
fn rotate(a: &mut [[f64; 3]; 3], vectors: &mut [[f64; 3]; 3], p: usize, q: usize) {
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let tangent = 1.0_f64.copysign(theta) / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let change = tangent * a[p][q];
    a[p][p] -= change;
    a[q][q] += change;
    (a[p][q], a[q][p]) = (0.0, 0.0);
    let other = 3 - p - q;
    let turned = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
    let (x, y) = turned(a[other][p], a[other][q]);
    (a[other][p], a[p][other], a[other][q], a[q][other]) = (x, x, y, y);
    let (old_p, old_q) = (vectors[p], vectors[q]);
    for (i, (x, y)) in old_p.into_iter().zip(old_q).enumerate() {
        (vectors[p][i], vectors[q][i]) = turned(x, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{RgbImage, Sums};

    #[test]
    fn colours_that_do_not_vary_have_components_too() {
        for pixel in [[7, 7, 7], [0, 100, 255]] {
            let mut sums = Sums::new(2);
            sums.add(&RgbImage::new(2, 2, [pixel; 4].concat()));
            let found = sums.statistics();
            assert_eq!((found.std, found.colours.eigenvalues), ([1.0; 3], [0.0; 3]));
            assert_eq!(found.colours.eigenvectors[0], [1.0, 0.0, 0.0]);
        }
        // Grey: all variance along (1, 1, 1).
        let mut sums = Sums::new(2);
        sums.add(&RgbImage::new(2, 2, vec![0, 0, 0, 9, 9, 9, 50, 50, 50, 200, 200, 200]));
        let Colours { eigenvalues, eigenvectors } = sums.statistics().colours;
        assert!(eigenvalues[1] < 1e-16 * eigenvalues[0].max(1.0), "{eigenvalues:?}");
        assert!(eigenvectors[0].iter().all(|x| (x - 3.0_f64.sqrt().recip()).abs() < 1e-15));
    }
}
