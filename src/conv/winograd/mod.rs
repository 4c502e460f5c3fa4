//! Convolutions of 3x3 by Winograd's minimal filtering: tiles of pixels and filters go to a domain
//! where the convolution is one product of small matrices a frequency, and back.
//!
//! F(4x4, 3x3) takes 36 multiply-adds for 16 outputs where the definition takes 144, F(2x2, 3x3) 16
//! for 4 where it takes 36; but their filters are 4 and 1.8 times as large. The products run
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
use scheme::{F2, F4, Scheme};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;
use tiles::{FromTiles, Grid, ToTiles};

/// How many outputs are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WinogradTile {
    /// F(2x2, 3x3): 2.25 times fewer multiply-adds, filters 1.8 times as large.
    F2,
    /// F(4x4, 3x3): 4 times fewer multiply-adds, filters 4 times as large.
    F4,
}

impl WinogradTile {
    fn transform_column(self, isa: Isa, taps: Taps, column: &mut [f32]) {
        match self {
            Self::F2 => transform_column::<2, 4, F2>(isa, taps, column),
            Self::F4 => transform_column::<4, 6, F4>(isa, taps, column),
        }
    }
}

/// Filters of 3x3, stride 1, in the transformed domain.
pub(super) struct WinogradFilter {
    tile: WinogradTile,
    isa: Isa,
    /// `[frequency][channel]` by output channel.
    packed: PackedB,
    channels: usize,
}

impl WinogradFilter {
    /// Filters of zeros from `channels` to `out_channels` channels, both multiples of 16.
    pub(super) fn zeros(
        tile: WinogradTile,
        isa: Isa,
        channels: usize,
        out_channels: usize,
    ) -> Self {
        assert!(channels.is_multiple_of(16) && out_channels.is_multiple_of(16), "channels by 16");
        let frequencies = match tile {
            WinogradTile::F2 => 16,
            WinogradTile::F4 => 36,
        };
        let packed = PackedB::zeros(Backend::Native(isa), frequencies * channels, out_channels);
        Self { tile, isa, packed, channels }
    }

    /// Packs weights, `[out_channels, channels, 3, 3]`, each output channel times its `scale`; as
    /// [`Filter::pack_from`](super::Filter::pack_from).
    pub(super) fn pack_from(
        &mut self,
        scale: Option<&[f64]>,
        read: impl Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync,
    ) {
        let &mut Self { tile, isa, ref mut packed, channels } = self;
        assert!(scale.is_none_or(|scale| scale.len() == packed.n()), "number of scales");
        let len = 9 * channels;
        packed.pack_panels(|outputs, columns| {
            read(outputs.start * len..outputs.end * len, &mut |weights| {
                assert_eq!(weights.len(), outputs.len() * len, "number of weights");
                let columns = columns.chunks_exact_mut(columns.len() / outputs.len());
                for ((out, weights), column) in
                    outputs.clone().zip(weights.chunks_exact(len)).zip(columns)
                {
                    let scale = scale.map_or(1.0, |scale| scale[out]);
                    let taps = Taps { weights, channel_stride: 9, turned: false, scale };
                    tile.transform_column(isa, taps, column);
                }
            });
        });
    }

    /// Packs `weights`, `[channels, out_channels, 3, 3]`, turned round: for the gradient of the input
    /// of the convolution that they make.
    pub(super) fn pack_turned(&mut self, weights: &[f32]) {
        let &mut Self { tile, isa, ref mut packed, .. } = self;
        let channel_stride = packed.n() * 9;
        packed.pack(|out, column| {
            let weights = &weights[out * 9..];
            let taps = Taps { weights, channel_stride, turned: true, scale: 1.0 };
            tile.transform_column(isa, taps, column);
        });
    }

    pub(super) fn tile(&self) -> WinogradTile {
        self.tile
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
    if output.is_empty() {
        return;
    }
    match filter.tile {
        WinogradTile::F2 => by_blocks::<2, 4, F2>(shape, input, filter, epilogue, output),
        WinogradTile::F4 => by_blocks::<4, 6, F4>(shape, input, filter, epilogue, output),
    }
}

fn by_blocks<const M: usize, const T: usize, P: Scheme<M, T>>(
    shape: &ConvShape,
    input: &[f32],
    filter: &WinogradFilter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let grid = Grid::<M, T>::new(shape);
    let rows_a_task = (TILES / grid.across).max(1);
    let tasks = grid.rows().div_ceil(rows_a_task).next_multiple_of(rayon::current_num_threads());
    blocks(&grid, tasks.min(grid.rows()), output)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|(rows, output)| block::<M, T, P>(&grid, rows, input, filter, epilogue, output));
}

/// The rows of tiles in `count` blocks, each with its part of `output`.
fn blocks<'a, const M: usize, const T: usize>(
    grid: &Grid<M, T>,
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
fn block<const M: usize, const T: usize, P: Scheme<M, T>>(
    grid: &Grid<M, T>,
    rows: Range<usize>,
    input: &[f32],
    filter: &WinogradFilter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let WinogradFilter { isa, ref packed, channels, .. } = *filter;
    let tiles = rows.len() * grid.across;
    let (in_stride, out_stride) = (grid.input_stride(), grid.output_stride());
    let (in_len, out_len) = (tiles * in_stride, tiles * out_stride);
    SCRATCH.with_borrow_mut(|[strip, before, after]| {
        strip.grow_to(grid.strip_len());
        before.grow_to(T * T * in_len);
        after.grow_to(T * T * out_len);
        let strip = &mut strip[..grid.strip_len()];
        let (before, after) = (&mut before[..T * T * in_len], &mut after[..T * T * out_len]);

        let (values, scheme) = (&mut *before, PhantomData::<P>);
        isa.dispatch(ToTiles { grid, rows: rows.clone(), input, strip, values, scheme });
        let frequencies = before.chunks_exact(in_len).zip(after.chunks_exact_mut(out_len));
        for (f, (before, after)) in frequencies.enumerate() {
            let channels = f * channels..(f + 1) * channels;
            gemm_block(before, in_stride, tiles, packed, channels, after, out_stride);
        }
        isa.dispatch(FromTiles { grid, rows, values: after, epilogue, output, scheme });
    });
}
