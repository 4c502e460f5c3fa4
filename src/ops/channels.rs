//! Sums over pixels, a sum a channel: how they are cut, and the loop over vectors of channels.
//!
//! A sum has three levels, each added in order: f32 over the pixels of a block, which stays in the
//! cache for a second look and is short enough to round little; f64 over the blocks of a chunk; f64
//! over the chunks, which are what threads share. The sizes depend on the shape alone and lanes hold
//! channels, never pixels, so neither threads nor the width of vectors change a result.

use crate::simd::Simd;

/// Floats a block should have: 32 KiB.
const BLOCK: usize = 8 * 1024;
/// Fewer pixels a block, and adding it up in f64 would take longer than reading it.
const FEWEST: usize = 32;
/// More pixels a block, and the sums in f32 would lose digits.
const MOST: usize = 256;
/// The most chunks: enough for the threads of any one machine.
const CHUNKS: usize = 64;

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
