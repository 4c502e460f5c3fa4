//! Batch normalisation (Ioffe & Szegedy, 2015) over all pixels of a batch, a channel at a time.
//!
//! x is the output of a convolution, `[pixels, channels]` where the pixels are those of all images
//! (NHWC without its structure); m is their number.
//!
//! ```text
//! mean = Σ x / m        var = Σ (x - mean)² / m        x̂ = (x - mean) / √(var + ε)
//! out  = relu(γ·x̂ + β + residual)
//! ```
//!
//! Forward is two passes over x, since nothing can be normalised before all of it is known:
//! [`statistics()`] reads it, [`normalize()`] reads it again and writes the output. Backward is two passes
//! as well: [`BatchProducts::sums`], then [`backward_input`]. The first pass of either can be had on the
//! way, while the tensor is computed: [`BatchMoments`] and [`BatchProducts`] are shown rows that are
//! still in a cache. Between the passes x is kept and nothing else of its size: x̂ and the mask of an
//! inner ReLU are computed again.
//!
//! What belongs to a channel (two multiplications a layer instead of one an element) is computed in
//! f64 and rounded once.

mod backward;
mod normalize;
#[cfg(test)]
mod reference;
mod statistics;
#[cfg(test)]
mod tests;

pub use backward::{Backward, BatchProducts, ProductsOf, ReluMask, backward_input};
pub use normalize::{Residual, normalize};
pub use statistics::{BatchMoments, Statistics, statistics, update_running};

use super::narrow;

/// Batch normalisation as an affine map of each channel: x ↦ x · scale + shift.
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficients {
    /// γ / √(var + ε), `[channels]`.
    pub scale: Vec<f32>,
    /// β - mean · scale, `[channels]`.
    pub shift: Vec<f32>,
}

impl Coefficients {
    /// The map that normalises a batch with `statistics`. `gamma` and `beta` are `[channels]`.
    ///
    /// # Panics
    /// If the numbers of channels differ.
    pub fn new(statistics: &Statistics, gamma: &[f32], beta: &[f32], epsilon: f32) -> Self {
        let channels = statistics.mean.len();
        assert!(gamma.len() == channels && beta.len() == channels, "channels of gamma and beta");
        let scale: Vec<f32> = (0..channels)
            .map(|c| narrow(f64::from(gamma[c]) * statistics.inverse_std(c, epsilon)))
            .collect();
        // From the rounded scale: what its rounding does to a large mean must cancel.
        let shift = (0..channels)
            .map(|c| {
                let moved = f64::from(statistics.mean[c]) * f64::from(scale[c]);
                narrow(f64::from(beta[c]) - moved)
            })
            .collect();
        Self { scale, shift }
    }
}

/// Floats that one task of an elementwise pass writes.
const TASK: usize = 32 * 1024;

/// The length of a task's part of a tensor: whole pixels.
fn task_len(channels: usize) -> usize {
    (TASK / channels).max(1) * channels
}
