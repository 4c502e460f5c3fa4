//! Mean and variance of each channel, in one pass over memory; and their running averages.
//!
//! A block of pixels is read twice while it is in the cache: for its mean, then for the squares around
//! it, so nothing cancels. The second look also sums x - mean, which would be zero but for rounding:
//! it corrects both (Chan, Golub & LeVeque, 1983, as is the formula that joins the blocks).

use super::super::channels::{BlockSums, Blocks, sum_block};
use super::super::narrow;
use crate::gemm::AfterRows;
use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};
use std::ops::Range;

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
    BatchMoments::new(isa, x.len() / channels, channels).statistics(team, x)
}

/// What the statistics of a tensor follow from, taken while it is computed: the same numbers as from all of it at
/// once.
pub struct BatchMoments {
    isa: Isa,
    pixels: usize,
    channels: usize,
    /// Three numbers a channel, see [`Block`].
    blocks: Blocks,
}

impl BatchMoments {
    /// Those of a tensor of `[pixels, channels]`, of which nothing is known yet.
    pub fn new(isa: Isa, pixels: usize, channels: usize) -> Self {
        Self { isa, pixels, channels, blocks: Blocks::new(pixels, channels) }
    }

    /// The statistics of `x`, whose rows may have come before.
    ///
    /// # Panics
    /// If there are no pixels, or not as many as was said.
    pub fn statistics(&self, team: &mut Team, x: &[f32]) -> Statistics {
        let &Self { isa, pixels, channels, ref blocks } = self;
        assert!(pixels > 0 && x.len() == pixels * channels, "{} values of {channels}", x.len());
        let len = blocks.chunk_len();
        let chunks: Vec<Moments> = team.map(x.len().div_ceil(len), |chunk, _| {
            let x = &x[chunk * len..x.len().min((chunk + 1) * len)];
            isa.dispatch(Chunk { x, channels, blocks, first: chunk * (len / blocks.block_len()) })
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
}

impl AfterRows for BatchMoments {
    fn unit(&self) -> usize {
        self.blocks.unit()
    }

    fn rows(&self, first: usize, rows: &mut [f32]) {
        let (inside, at) = self.blocks.inside(first, rows.len());
        let (channels, blocks) = (self.channels, &self.blocks);
        self.isa.dispatch(Known { x: &rows[at..], channels, blocks, inside });
    }
}

/// Looks at some blocks.
struct Known<'a> {
    /// From the first of them on.
    x: &'a [f32],
    channels: usize,
    blocks: &'a Blocks,
    inside: Range<usize>,
}

impl SimdOp for Known<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { x, channels, blocks, inside } = self;
        for (block, x) in inside.zip(x.chunks_exact(blocks.block_len())) {
            let mut numbers = vec![0.0; 3 * channels].into_boxed_slice();
            Block::of(x, channels, &mut numbers).compute(s);
            blocks.set(block, numbers);
        }
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
    blocks: &'a Blocks,
    /// The number of its first block.
    first: usize,
}

impl SimdOp for Chunk<'_> {
    type Output = Moments;

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> Moments {
        let Self { x, channels, blocks, first } = self;
        let mut total = Moments::new(channels);
        let mut computed = vec![0.0; 3 * channels];
        for (block, x) in (first..).zip(x.chunks(blocks.block_len())) {
            let numbers = match blocks.get(block) {
                Some(numbers) => numbers,
                None => {
                    Block::of(x, channels, &mut computed).compute(s);
                    &computed
                }
            };
            let (centre, rest) = numbers.split_at(channels);
            let (off, squares) = rest.split_at(channels);
            let count = (x.len() / channels) as f64;
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

impl<'a> Block<'a> {
    /// The block of `x`; `numbers` will be the three of each channel, one kind after the other.
    fn of(x: &'a [f32], channels: usize, numbers: &'a mut [f32]) -> Self {
        let (centre, rest) = numbers.split_at_mut(channels);
        let (off, squares) = rest.split_at_mut(channels);
        Self { x, channels, count: (x.len() / channels) as f32, centre, off, squares }
    }

    #[inline(always)]
    fn compute<S: Simd>(mut self, s: S) {
        sum_block(s, self.channels, &mut self);
    }
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
        let mut centre = sums;
        for centre in &mut centre {
            *centre = s.div(*centre, count);
        }
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
