//! The loops over pixels and vectors of channels, and how sums over pixels are cut.
//!
//! A sum has three levels, each added in order: f32 over the pixels of a block, which stays in the
//! cache for a second look and is short enough to round little; f64 over the blocks of a chunk; f64
//! over the chunks, which are what threads share. The sizes depend on the shape alone and lanes hold
//! channels, never pixels, so neither threads nor the width of vectors change a result.

use crate::numerics::pixels::{BLOCK, CHUNKS, FEWEST, MOST};
use crate::simd::Simd;
use std::ops::Range;
use std::sync::OnceLock;

/// How many pixels are summed at each level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Pixels a block.
    pub(super) block: usize,
    /// Pixels a chunk: whole blocks.
    pub(super) chunk: usize,
}

impl Cut {
    /// The cut of `[pixels, channels]`.
    pub(super) fn new(pixels: usize, channels: usize) -> Self {
        let block = (BLOCK / channels).clamp(FEWEST, MOST);
        Self { block, chunk: pixels.div_ceil(block).div_ceil(CHUNKS).max(2) * block }
    }
}

/// What is known of the blocks of `[pixels, channels]`: whoever computes the tensor looks at its blocks while they are in
/// a cache, the others are looked at later.
pub(super) struct Blocks {
    channels: usize,
    cut: Cut,
    /// For each block, several numbers a channel.
    known: Vec<OnceLock<Box<[f32]>>>,
}

impl Blocks {
    pub(super) fn new(pixels: usize, channels: usize) -> Self {
        let cut = Cut::new(pixels, channels);
        let known = std::iter::repeat_with(OnceLock::new).take(pixels.div_ceil(cut.block));
        Self { channels, cut, known: known.collect() }
    }

    /// Pixels of a block.
    pub(super) fn unit(&self) -> usize {
        self.cut.block
    }

    /// Floats of the tensor that a block has; the last may have fewer.
    pub(super) fn block_len(&self) -> usize {
        self.cut.block * self.channels
    }

    /// The same for a chunk.
    pub(super) fn chunk_len(&self) -> usize {
        self.cut.chunk * self.channels
    }

    /// The whole blocks among the `len` floats from pixel `first` on, and where they begin in these.
    pub(super) fn inside(&self, first: usize, len: usize) -> (Range<usize>, usize) {
        let (unit, end) = (self.cut.block, first + len / self.channels);
        let blocks = first.div_ceil(unit)..end / unit;
        if blocks.is_empty() {
            return (0..0, 0);
        }
        let at = (blocks.start * unit - first) * self.channels;
        (blocks, at)
    }

    /// What is known of `block`.
    pub(super) fn get(&self, block: usize) -> Option<&[f32]> {
        self.known[block].get().map(|numbers| &**numbers)
    }

    /// Keeps the `numbers` of a block; those of one that is known are the same.
    pub(super) fn set(&self, block: usize, numbers: Box<[f32]>) {
        self.known[block].get_or_init(|| numbers);
    }
}

/// Sums over the pixels of a block that are computed for a few neighbouring channels at a time, so
/// that they stay in registers.
pub(super) trait BlockSums {
    /// Does the channels `first..end`: `VECTORS` vectors of them, the last perhaps not full. Returns
    /// `end`.
    fn group<S: Simd, const VECTORS: usize>(&mut self, s: S, first: usize, end: usize) -> usize;
}

/// Does all `channels` of a block, in groups as large as there are channels and registers for.
#[inline(always)]
pub(super) fn sum_block<S: Simd>(s: S, channels: usize, sums: &mut impl BlockSums) {
    let mut first = 0;
    while first < channels {
        first = match (channels - first) / S::LANES {
            4.. => sums.group::<S, 4>(s, first, first + 4 * S::LANES),
            2.. => sums.group::<S, 2>(s, first, first + 2 * S::LANES),
            1 => sums.group::<S, 1>(s, first, first + S::LANES),
            _ => sums.group::<S, 1>(s, first, channels),
        };
    }
}

/// Something done to each value of a tensor, with coefficients of its channel.
pub(super) trait Pixelwise {
    /// Does the `len` values from `at` on, which are in the channels from `channel` on: a vector, or
    /// what is left of a pixel.
    fn vector<S: Simd>(&mut self, s: S, at: usize, channel: usize, len: usize);
}

/// Does all of `pixels`, `channels` values each.
#[inline(always)]
pub(super) fn each_vector<S: Simd>(s: S, pixels: usize, channels: usize, op: &mut impl Pixelwise) {
    let full = channels / S::LANES * S::LANES;
    for start in (0..pixels).map(|pixel| pixel * channels) {
        let mut channel = 0;
        while channel < full {
            // A constant length, so that nothing asks whether the vector is full.
            op.vector(s, start + channel, channel, S::LANES);
            channel += S::LANES;
        }
        if full < channels {
            op.vector(s, start + full, full, channels - full);
        }
    }
}
