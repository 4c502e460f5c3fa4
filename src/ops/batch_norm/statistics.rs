//! Mean and variance of each channel, in one pass over memory; and their running averages.
//!
//! A block of pixels is read twice while it is in the cache: for its mean, then for the squares around
//! it, so nothing cancels. The second look also sums x - mean, which would be zero but for rounding:
//! it corrects both (Chan, Golub & LeVeque, 1983, as is the formula that joins the blocks).

use super::super::channels::{BlockSums, Cut, sum_block};
use super::super::narrow;
use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};

/// Mean and variance of each channel of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Pixels they were taken over, m.
    pub pixels: usize,
    /// `[channels]`
    pub mean: Vec<f32>,
    /// Biased (divided by m), `[channels]`.
    pub var: Vec<f32>,
}

impl Statistics {
    /// 1 / √(var + ε) of channel `c`.
    pub(super) fn inverse_std(&self, c: usize, epsilon: f32) -> f64 {
        1.0 / (f64::from(self.var[c]) + f64::from(epsilon)).sqrt()
    }
}

/// The statistics of `x`, `[pixels, channels]`.
///
/// # Panics
/// If there are no pixels, or not a whole number of them.
pub fn statistics(team: &mut Team, isa: Isa, x: &[f32], channels: usize) -> Statistics {
    let pixels = x.len() / channels;
    assert!(pixels > 0 && x.len() == pixels * channels, "{} values of {channels}", x.len());
    let cut = Cut::new(pixels, channels);
    let len = cut.chunk * channels;
    let chunks: Vec<Moments> = team.map(x.len().div_ceil(len), |chunk, _| {
        let x = &x[chunk * len..x.len().min((chunk + 1) * len)];
        isa.dispatch(Chunk { x, channels, block: cut.block })
    });
    let mut total = Moments::new(channels);
    for chunk in &chunks {
        total.join(chunk.count, |c| (chunk.mean[c], chunk.squares[c]));
    }
    Statistics {
        pixels,
        mean: total.mean.iter().map(|&mean| narrow(mean)).collect(),
        var: total.squares.iter().map(|&squares| narrow(squares / total.count)).collect(),
    }
}

/// Moves running statistics towards those of a batch, as torch does:
/// r += momentum · (batch - r), where the batch's variance is the unbiased one, Σ (x - mean)² / (m - 1).
///
/// With a single pixel there is no unbiased variance (torch refuses such a batch): the biased one,
/// which is zero, is used.
///
/// # Panics
/// If the numbers of channels differ.
pub fn update_running(mean: &mut [f32], var: &mut [f32], batch: &Statistics, momentum: f64) {
    let channels = batch.mean.len();
    assert!(mean.len() == channels && var.len() == channels, "channels of running statistics");
    let unbiased = batch.pixels as f64 / batch.pixels.saturating_sub(1).max(1) as f64;
    let towards = |running: &mut f32, value: f64| {
        *running = narrow((1.0 - momentum) * f64::from(*running) + momentum * value);
    };
    for (running, &mean) in mean.iter_mut().zip(&batch.mean) {
        towards(running, f64::from(mean));
    }
    for (running, &var) in var.iter_mut().zip(&batch.var) {
        towards(running, f64::from(var) * unbiased);
    }
}

/// Count, mean and Σ (x - mean)² of each channel of some pixels.
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn new(channels: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    /// Adds `count` more pixels, whose mean and squares in channel `c` are `moments(c)`.
    #[inline(always)]
    fn join(&mut self, count: f64, moments: impl Fn(usize) -> (f64, f64)) {
        let total = self.count + count;
        let (share, weight) = (count / total, self.count * count / total);
        for (c, (mean, squares)) in self.mean.iter_mut().zip(&mut self.squares).enumerate() {
            let (other, other_squares) = moments(c);
            let distance = other - *mean;
            *mean += distance * share;
            *squares += other_squares + distance * distance * weight;
        }
        self.count = total;
    }
}

/// The moments of one chunk.
struct Chunk<'a> {
    x: &'a [f32],
    channels: usize,
    /// Pixels a block.
    block: usize,
}

impl SimdOp for Chunk<'_> {
    type Output = Moments;

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> Moments {
        let channels = self.channels;
        let mut total = Moments::new(channels);
        let mut centre = vec![0.0; channels];
        let (mut off, mut squares) = (centre.clone(), centre.clone());
        for x in self.x.chunks(self.block * channels) {
            let count = x.len() / channels;
            let mut block = Block {
                x,
                channels,
                count: count as f32,
                centre: &mut centre,
                off: &mut off,
                squares: &mut squares,
            };
            sum_block(s, channels, &mut block);
            let count = count as f64;
            total.join(count, |c| {
                let off = f64::from(off[c]);
                let rest = f64::from(squares[c]) - off * off / count;
                (f64::from(centre[c]) + off / count, rest.max(0.0))
            });
        }
        total
    }
}

/// One block, and what is found about it: `[channels]` each.
struct Block<'a> {
    x: &'a [f32],
    channels: usize,
    /// Pixels.
    count: f32,
    /// The mean, nearly.
    centre: &'a mut [f32],
    /// Σ (x - centre).
    off: &'a mut [f32],
    /// Σ (x - centre)².
    squares: &'a mut [f32],
}

impl BlockSums for Block<'_> {
    #[inline(always)]
    fn group<S: Simd, const VECTORS: usize>(&mut self, s: S, first: usize, end: usize) -> usize {
        let mut sums = [s.splat(0.0); VECTORS];
        for pixel in self.x.chunks_exact(self.channels) {
            let x = &pixel[first..end];
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = s.add(*sum, s.load(&x[v * S::LANES..]));
            }
        }
        let count = s.splat(self.count);
        let centre = sums.map(|sum| s.div(sum, count));
        let mut off = [s.splat(0.0); VECTORS];
        let mut squares = off;
        for pixel in self.x.chunks_exact(self.channels) {
            let x = &pixel[first..end];
            for v in 0..VECTORS {
                // The next block: the hardware does not see through a walk by columns.
                s.prefetch_read(x.as_ptr().wrapping_add(self.x.len() + v * S::LANES));
                let distance = s.sub(s.load(&x[v * S::LANES..]), centre[v]);
                off[v] = s.add(off[v], distance);
                squares[v] = s.fma(distance, distance, squares[v]);
            }
        }
        for v in 0..VECTORS {
            let at = first + v * S::LANES;
            s.store(centre[v], &mut self.centre[at..end]);
            s.store(off[v], &mut self.off[at..end]);
            s.store(squares[v], &mut self.squares[at..end]);
        }
        end
    }
}
