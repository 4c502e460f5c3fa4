//! Convolutions of 3x3 by Winograd's minimal filtering: tiles of pixels and filters go to a domain
//! where the convolution is one product of small matrices a frequency, and back.
//!
//! F(4x4, 3x3) takes 36 multiply-adds for 16 outputs where the definition takes 144. The products run
//! on the same kernels, blocked over K by the same rule, so the result depends on the shape alone.
//! Two schedules: a task carries a block of tiles through all three steps in its second-level cache
//! (large maps); or all tiles are transformed first, and each frequency's filters are read once for
//! all of them (deep layers, whose filters would otherwise be read for every block).

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

/// Floats of a block of tiles, transformed input and output together, that a task carries through:
/// half a second-level cache of 2 MiB.
const BLOCK: usize = 256 * 1024;

/// Floats of transformed filters up to which each block of tiles may read them anew.
const FILTERS_IN_CACHE: usize = 640 * 1024;

thread_local! {
    /// Each thread's strip of input, tiles of input, tiles of output; kept from call to call.
    static SCRATCH: RefCell<[AlignedBuf; 3]> = RefCell::default();
    /// The tiles of input and output of a whole layer.
    static LAYER: RefCell<[AlignedBuf; 2]> = RefCell::default();
}

/// output = epilogue(convolution of `input` with `filter`), stride 1; sizes as in [`super::forward`].
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
    let tile = T * T * (grid.input_stride() + grid.output_stride());
    let most_rows = (BLOCK / (tile * grid.across)).max(1);
    let threads = rayon::current_num_threads();
    if filter.packed.k() * filter.packed.n() <= FILTERS_IN_CACHE {
        blocked(
            &grid,
            most_rows.min(grid.rows().div_ceil(4 * threads)),
            input,
            filter,
            epilogue,
            output,
        );
    } else {
        by_frequency(
            &grid,
            grid.rows().div_ceil(threads).min(most_rows * 4),
            input,
            filter,
            epilogue,
            output,
        );
    }
}

/// The rows of tiles in blocks of at most `most`, each with its part of `output`.
fn blocks<'a>(
    grid: &Tiles,
    most: usize,
    mut output: &'a mut [f32],
) -> Vec<(Range<usize>, &'a mut [f32])> {
    let line = grid.shape.out_width() * grid.shape.out_channels;
    let count = grid.rows().div_ceil(most);
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

fn blocked(
    grid: &Tiles,
    most_rows: usize,
    input: &[f32],
    filter: &WinogradFilter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let (in_stride, out_stride) = (grid.input_stride(), grid.output_stride());
    let blocks = blocks(grid, most_rows, output);
    blocks.into_par_iter().with_max_len(1).for_each(|(rows, output)| {
        SCRATCH.with_borrow_mut(|[strip, before, after]| {
            let tiles = rows.len() * grid.across;
            strip.grow_to(grid.strip_len());
            before.grow_to((T * T * tiles * in_stride).max(512 * 1024));
            after.grow_to((T * T * tiles * out_stride).max(512 * 1024));
            let strip = &mut strip[..grid.strip_len()];
            let (before, after) = (
                &mut before[..T * T * tiles * in_stride],
                &mut after[..T * T * tiles * out_stride],
            );
            to_tiles(filter.isa, grid, rows.clone(), input, strip, before);
            for (f, (before, after)) in before
                .chunks_exact(tiles * in_stride)
                .zip(after.chunks_exact_mut(tiles * out_stride))
                .enumerate()
            {
                multiply(filter, f, tiles, before, in_stride, after, out_stride);
            }
            from_tiles(filter.isa, grid, rows, after, epilogue, output);
        });
    });
}

fn by_frequency(
    grid: &Tiles,
    most_rows: usize,
    input: &[f32],
    filter: &WinogradFilter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let (in_stride, out_stride) = (grid.input_stride(), grid.output_stride());
    let mut blocks = blocks(grid, most_rows, output);
    let tiles = |rows: &Range<usize>| rows.len() * grid.across;
    let all = grid.rows() * grid.across;
    // Taken, not borrowed: while this thread waits for others it may run tasks of its own.
    let [mut before, mut after] = LAYER.take();
    before.grow_to(T * T * all * in_stride);
    after.grow_to(T * T * all * out_stride);

    let cut = |values: &mut AlignedBuf| values.len();
    let _ = cut;
    let mut rest = &mut before[..];
    let mut input_tiles = Vec::with_capacity(blocks.len());
    for (rows, _) in &blocks {
        let (block, others) = rest.split_at_mut(T * T * tiles(rows) * in_stride);
        input_tiles.push((rows.clone(), block));
        rest = others;
    }
    input_tiles.par_iter_mut().with_max_len(1).for_each(|(rows, block)| {
        SCRATCH.with_borrow_mut(|[strip, ..]| {
            strip.grow_to(grid.strip_len());
            let strip = &mut strip[..grid.strip_len()];
            to_tiles(filter.isa, grid, rows.clone(), input, strip, block);
        });
    });

    let mut frequencies: Vec<Vec<&mut [f32]>> = (0..T * T).map(|_| Vec::new()).collect();
    let mut rest = &mut after[..];
    for (rows, _) in &blocks {
        for frequency in &mut frequencies {
            let (block, others) = rest.split_at_mut(tiles(rows) * out_stride);
            frequency.push(block);
            rest = others;
        }
    }
    frequencies.into_par_iter().enumerate().with_max_len(1).for_each(|(f, after)| {
        for ((rows, before), after) in input_tiles.iter().zip(after) {
            let tiles = tiles(rows);
            let before = &before[f * tiles * in_stride..][..tiles * in_stride];
            multiply(filter, f, tiles, before, in_stride, after, out_stride);
        }
    });

    let after_values = &after[..];
    let mut at = 0;
    let tasks: Vec<_> = blocks
        .iter_mut()
        .map(|(rows, output)| {
            let len = T * T * tiles(rows) * out_stride;
            at += len;
            (rows.clone(), output, &after_values[at - len..at])
        })
        .collect();
    tasks.into_par_iter().with_max_len(1).for_each(|(rows, output, after)| {
        from_tiles(filter.isa, grid, rows, after, epilogue, output);
    });
    LAYER.set([before, after]);
}

/// The products of frequency `f`: `tiles` rows.
fn multiply(
    filter: &WinogradFilter,
    f: usize,
    tiles: usize,
    before: &[f32],
    in_stride: usize,
    after: &mut [f32],
    out_stride: usize,
) {
    let channels = f * filter.channels..(f + 1) * filter.channels;
    gemm_block(before, in_stride, tiles, &filter.packed, channels, after, out_stride);
}

fn to_tiles(
    isa: Isa,
    grid: &Tiles,
    rows: Range<usize>,
    input: &[f32],
    strip: &mut [f32],
    values: &mut [f32],
) {
    isa.dispatch(ToTiles::<M, T, F4> { grid, rows, input, strip, values, scheme: PhantomData });
}

fn from_tiles(
    isa: Isa,
    grid: &Tiles,
    rows: Range<usize>,
    values: &[f32],
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    isa.dispatch(FromTiles::<M, T, F4> {
        grid,
        rows,
        values,
        epilogue,
        output,
        scheme: PhantomData,
    });
}
