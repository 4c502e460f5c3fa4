//! Convolutions of 3x3 by Winograd's minimal filtering: tiles of pixels and filters go to a domain
//! where the convolution is one product of small matrices a frequency, and back.
//!
//! F(4x4, 3x3) takes 36 multiply-adds for 16 outputs where the definition takes 144. The products run
//! on the same kernels, blocked over K by the same rule, so the result depends on the shape alone. A
//! task carries a block of tiles through all three steps while they are in its second-level cache.

mod filter;
mod scheme;
mod tiles;

use super::ConvShape;
use crate::gemm::{Backend, Epilogue, PackedB, gemm_block};
use crate::runtime::AlignedBuf;
use crate::simd::Isa;
use filter::{Taps, transform_column};
use rayon::prelude::*;
use scheme::F4;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;
use tiles::{FromTiles, Grid, ToTiles};

/// Pixels of an output tile and of an input tile, from side to side.
const M: usize = 4;
const T: usize = 6;
type Tiles = Grid<M, T>;

/// Filters of 3x3, stride 1, in the transformed domain.
pub(super) struct WinogradFilter {
    isa: Isa,
    /// `[frequency][channel]` by output channel.
    packed: PackedB,
    channels: usize,
}

impl WinogradFilter {
    /// Filters of zeros from `channels` to `out_channels` channels, both multiples of 16.
    pub(super) fn zeros(isa: Isa, channels: usize, out_channels: usize) -> Self {
        assert!(channels.is_multiple_of(16) && out_channels.is_multiple_of(16), "channels by 16");
        let packed = PackedB::zeros(Backend::Native(isa), T * T * channels, out_channels);
        Self { isa, packed, channels }
    }

    /// Packs `weights`, `[out_channels, channels, 3, 3]`, each output channel times its `scale`.
    pub(super) fn pack(&mut self, weights: &[f32], scale: Option<&[f64]>) {
        let &mut Self { isa, ref mut packed, channels } = self;
        packed.pack(|out, column| {
            let weights = &weights[out * channels * 9..];
            let taps = Taps { weights, channel_stride: 9, turned: false };
            let scale = scale.map_or(1.0, |scale| scale[out]);
            transform_column::<M, T, F4>(isa, taps, scale, column);
        });
    }

    /// Packs `weights`, `[channels, out_channels, 3, 3]`, turned round: for the gradient of the input
    /// of the convolution that they make.
    pub(super) fn pack_turned(&mut self, weights: &[f32]) {
        let &mut Self { isa, ref mut packed, .. } = self;
        let channel_stride = packed.n() * 9;
        packed.pack(|out, column| {
            let taps = Taps { weights: &weights[out * 9..], channel_stride, turned: true };
            transform_column::<M, T, F4>(isa, taps, 1.0, column);
        });
    }
}

/// Tiles that a task carries through together: two or three full tiles of the products' kernel.
/// Fewer would read the filters too often, more would leave the second-level cache.
const TILES: usize = 28;

thread_local! {
    /// Each thread's strip of input, tiles of input, tiles of output; kept from call to call.
    static SCRATCH: RefCell<[AlignedBuf; 3]> = RefCell::default();
}

/// output = epilogue(convolution of `input` with `filter`), stride 1; sizes as in [`super::forward()`].
pub(super) fn forward(
    shape: &ConvShape,
    input: &[f32],
    filter: &WinogradFilter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    assert_eq!(input.len(), shape.input_len(), "input of {shape:?}");
    assert_eq!(output.len(), shape.output_len(), "output of {shape:?}");
    let grid = Tiles::new(shape);
    if output.is_empty() {
        return;
    }
    let rows_a_task = (TILES / grid.across).max(1);
    let tasks = grid.rows().div_ceil(rows_a_task).next_multiple_of(rayon::current_num_threads());
    blocks(&grid, tasks.min(grid.rows()), output)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|(rows, output)| block(&grid, rows, input, filter, epilogue, output));
}

/// The rows of tiles in `count` blocks, each with its part of `output`.
fn blocks<'a>(
    grid: &Tiles,
    count: usize,
    mut output: &'a mut [f32],
) -> Vec<(Range<usize>, &'a mut [f32])> {
    let line = grid.shape.out_width() * grid.shape.out_channels;
    let mut blocks = Vec::with_capacity(count);
    for i in 0..count {
        let rows = grid.rows() * i / count..grid.rows() * (i + 1) / count;
        let lines = grid.first_pixel_row(rows.end) - grid.first_pixel_row(rows.start);
        let (block, rest) = output.split_at_mut(lines * line);
        blocks.push((rows, block));
        output = rest;
    }
    blocks
}

/// All three steps for some rows of tiles, whose part of the output is `output`.
fn block(
    grid: &Tiles,
    rows: Range<usize>,
    input: &[f32],
    filter: &WinogradFilter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let WinogradFilter { isa, ref packed, channels } = *filter;
    let tiles = rows.len() * grid.across;
    let (in_stride, out_stride) = (grid.input_stride(), grid.output_stride());
    let (in_len, out_len) = (tiles * in_stride, tiles * out_stride);
    SCRATCH.with_borrow_mut(|[strip, before, after]| {
        strip.grow_to(grid.strip_len());
        before.grow_to(T * T * in_len);
        after.grow_to(T * T * out_len);
        let strip = &mut strip[..grid.strip_len()];
        let (before, after) = (&mut before[..T * T * in_len], &mut after[..T * T * out_len]);

        let (values, scheme) = (&mut *before, PhantomData::<F4>);
        isa.dispatch(ToTiles { grid, rows: rows.clone(), input, strip, values, scheme });
        let frequencies = before.chunks_exact(in_len).zip(after.chunks_exact_mut(out_len));
        for (f, (before, after)) in frequencies.enumerate() {
            let channels = f * channels..(f + 1) * channels;
            gemm_block(before, in_stride, tiles, packed, channels, after, out_stride);
        }
        isa.dispatch(FromTiles { grid, rows, values: after, epilogue, output, scheme });
    });
}
