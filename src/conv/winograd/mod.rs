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
mod weights;

use super::ConvShape;
use crate::gemm::{Backend, Epilogue, Operand, PackedB, Panels, gemm_batch, panel_stride};
use crate::runtime::{RectMut, Scratch, Tasks, Team};
use crate::simd::Isa;
use filter::{Taps, transform_filters};
use scheme::{F2, F4, Scheme};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Mutex;
use tiles::{FromTiles, Grid, ToTiles};
use weights::WeightGradient;

/// How many outputs are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WinogradTile {
    /// F(2x2, 3x3): 2.25 times fewer multiply-adds, filters 1.8 times as large.
    F2,
    /// F(4x4, 3x3): 4 times fewer multiply-adds, filters 4 times as large.
    F4,
}

impl WinogradTile {
    fn transform_filters(self, isa: Isa, taps: Taps, panel: &mut [f32], stride: usize) {
        match self {
            Self::F2 => transform_filters::<2, 4, F2>(isa, taps, panel, stride),
            Self::F4 => transform_filters::<4, 6, F4>(isa, taps, panel, stride),
        }
    }
}

/// Rows of zeros between the frequencies of filters. A filter has a value in each frequency: with the same place
/// of all of them on one set of a cache, they would drive each other out as they are written.
const APART: usize = 1;

/// Filters of 3x3, stride 1, in the transformed domain.
pub(super) struct WinogradFilter {
    tile: WinogradTile,
    isa: Isa,
    /// `[frequency][channel]` by output channel, [`APART`] rows between frequencies.
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
        let rows = frequencies * (channels + APART);
        let packed = PackedB::zeros(Backend::Native(isa), rows, out_channels);
        Self { tile, isa, packed, channels }
    }

    /// The tasks that pack weights, `[out_channels, channels, 3, 3]`, each output channel times its
    /// `scale`; as [`Filter::pack_from`](super::Filter::pack_from).
    pub(super) fn pack_from<'a>(
        &'a mut self,
        scale: Option<&'a [f64]>,
        read: impl Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync + Send + 'a,
    ) -> Tasks<'a> {
        let &mut Self { tile, isa, ref mut packed, channels } = self;
        assert!(scale.is_none_or(|scale| scale.len() == packed.n()), "number of scales");
        let len = 9 * channels;
        packed.pack_panels(move |outputs, panel, stride| {
            read(outputs.start * len..outputs.end * len, &mut |weights| {
                assert_eq!(weights.len(), outputs.len() * len, "number of weights");
                let scale = scale.map(|scale| &scale[outputs.clone()]);
                let (outputs, out_stride, channel_stride, turned) = (outputs.len(), len, 9, false);
                let taps =
                    Taps { weights, channels, outputs, out_stride, channel_stride, turned, scale };
                tile.transform_filters(isa, taps, panel, stride);
            });
        })
    }

    /// The tasks that pack `weights`, `[channels, out_channels, 3, 3]`, turned round: for the gradient
    /// of the input of the convolution that they make.
    pub(super) fn pack_turned<'a>(&'a mut self, weights: &'a [f32]) -> Tasks<'a> {
        let &mut Self { tile, isa, ref mut packed, channels } = self;
        let channel_stride = packed.n() * 9;
        packed.pack_panels(move |outputs, panel, stride| {
            let weights = &weights[outputs.start * 9..];
            let (outputs, out_stride, turned) = (outputs.len(), 9, true);
            let scale = None;
            let taps =
                Taps { weights, channels, outputs, out_stride, channel_stride, turned, scale };
            tile.transform_filters(isa, taps, panel, stride);
        })
    }

    pub(super) fn tile(&self) -> WinogradTile {
        self.tile
    }
}

/// Floats of filters up to which they stay in a 2 MiB second-level cache, or nearly, while blocks of
/// tiles pass by.
const FILTERS_NEAR: usize = 1 << 20;
/// Tiles that a task carries through together where the filters stay near: all of theirs stay, too.
const TILES_NEAR: usize = 28;
/// Tiles where the filters are one panel: fewer, so that the tiles nearly fit the first-level cache.
const TILES_ONE_PANEL: usize = 24;
/// Tiles where the filters come from afar: as many as make reading them worthwhile.
const TILES_FAR: usize = 128;
/// Tiles a thread below which threads share out the output's channels first: each transforms all of
/// the input then, but reads its own part of the filters.
const TILES_A_THREAD: usize = 64;

/// output = epilogue(convolution of `input` with `filter`), stride 1; sizes as in [`super::forward()`].
pub(super) fn forward(
    team: &mut Team,
    shape: &ConvShape,
    input: Operand,
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
        WinogradTile::F2 => by_blocks::<2, 4, F2>(team, shape, input, filter, epilogue, output),
        WinogradTile::F4 => by_blocks::<4, 6, F4>(team, shape, input, filter, epilogue, output),
    }
}

/// The gradient of the filters, stride 1; sizes as in [`super::backward_weights()`].
pub(super) fn backward_weights(
    team: &mut Team,
    tile: WinogradTile,
    isa: Isa,
    shape: &ConvShape,
    input: Operand,
    gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    assert_eq!(input.len(), shape.input_len(), "input of {shape:?}");
    assert_eq!(gradient.len(), shape.output_len(), "gradient of the output of {shape:?}");
    if gradient.is_empty() {
        return weight_gradient.fill(0.0);
    }
    match tile {
        WinogradTile::F2 => {
            WeightGradient::<2, 4, F2>::new(isa, Grid::new(shape), input, gradient)
                .compute(team, weight_gradient);
        }
        WinogradTile::F4 => {
            WeightGradient::<4, 6, F4>::new(isa, Grid::new(shape), input, gradient)
                .compute(team, weight_gradient);
        }
    }
}

fn by_blocks<const M: usize, const T: usize, P: Scheme<M, T>>(
    team: &mut Team,
    shape: &ConvShape,
    input: Operand,
    filter: &WinogradFilter,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let grid = Grid::<M, T>::new(shape);
    let filter = filter.packed.panels().expect("packed for a kernel of ours");
    let panels = filter.count();
    let unit = epilogue.after.map_or(1, |after| after.unit());
    let task_grid = TaskGrid::new(&grid, filter, team.threads(), unit);
    let TaskGrid { down, across, at_once, .. } = task_grid;
    let mut tasks = Vec::with_capacity(down * across);
    let mut output = RectMut::new(output, shape.out_channels);
    for i in 0..down {
        let rows = task_grid.rows(grid.rows(), i);
        let (mut block, rest) = output.split_at_row(grid.pixels(&rows).len());
        output = rest;
        for j in 0..across {
            let panels = panels * j / across..panels * (j + 1) / across;
            let (part, right) = block.split_at_column(filter.columns(&panels).len());
            block = right;
            tasks.push(Mutex::new(Some((rows.clone(), panels, part))));
        }
    }
    let layer = Layer { grid, input, filter, epilogue, at_once, scheme: PhantomData::<P> };
    team.for_each(tasks.len(), |i, scratch| {
        let task = tasks[i].lock().expect("taken once").take();
        let (rows, panels, output) = task.expect("taken once");
        layer.task(rows, panels, output, scratch);
    });
}

/// How the rows of tiles and the panels are shared out.
struct TaskGrid {
    /// Tasks that share out the rows.
    down: usize,
    /// Tasks that share out the panels.
    across: usize,
    /// Rows that a task carries through together.
    at_once: usize,
    /// Rows at whose multiples tasks begin.
    step: usize,
}

/// Tasks a thread from which on it does not matter whether all have equally many.
const MANY_TASKS: usize = 8;

impl TaskGrid {
    fn new<const M: usize, const T: usize>(
        grid: &Grid<M, T>,
        filter: &Panels,
        threads: usize,
        unit: usize,
    ) -> Self {
        let tiles_at_once = match filter.k * filter.n {
            _ if filter.count() == 1 => TILES_ONE_PANEL,
            0..=FILTERS_NEAR => TILES_NEAR,
            _ => TILES_FAR,
        };
        let (rows, tiles) = (grid.rows(), grid.rows() * grid.across);
        let at_once = (tiles_at_once / grid.across).max(1);
        if threads == 1 || tiles >= TILES_A_THREAD * threads {
            // Whole units of pixels, and nearly whole parts.
            let whole = grid.rows_of(unit, 4 * at_once);
            let shared_evenly = |step: &usize| {
                let steps = rows.div_ceil(*step);
                steps.is_multiple_of(threads) || steps >= MANY_TASKS * threads
            };
            let step = whole.filter(shared_evenly).unwrap_or(1);
            let mut whole = (1..=4).map(|parts| parts * at_once);
            let most = whole.find(|rows| rows.is_multiple_of(step)).unwrap_or(at_once.max(step));
            let down = rows.div_ceil(most).next_multiple_of(threads).min(rows);
            return Self { down, across: 1, at_once, step };
        }
        let across = threads.min(filter.count());
        let down = threads.div_ceil(across).max(tiles.div_ceil(TILES_FAR)).min(rows);
        Self { down, across, at_once: rows.div_ceil(down), step: 1 }
    }

    /// Those of all `rows` that the tasks in row `i` of the grid have.
    fn rows(&self, rows: usize, i: usize) -> Range<usize> {
        let first = |i: usize| (rows * i / self.down).next_multiple_of(self.step).min(rows);
        first(i)..first(i + 1)
    }
}

/// Transforms rows of tiles of the input: to `[frequency][tile][channel]`, tiles a stride apart.
fn to_tiles<const M: usize, const T: usize, P: Scheme<M, T>>(
    isa: Isa,
    grid: &Grid<M, T>,
    rows: Range<usize>,
    input: Operand,
    (values, stride): (&mut [f32], usize),
    scheme: PhantomData<P>,
    scratch: &mut Scratch,
) {
    if let Some(input) = input.plain() {
        let (first_line, fetch) = (0, true);
        isa.dispatch(ToTiles { grid, rows, input, first_line, fetch, values, stride, scheme });
        return;
    }
    // What is still to be applied is, once, to the lines under these tiles.
    let lines = grid.input_lines(&rows);
    let line = grid.shape.width * grid.shape.in_channels;
    let (part, _) = scratch.take(lines.len() * line);
    input.write(isa, lines.start * line, part);
    let (input, first_line, fetch) = (&*part, lines.start, false);
    isa.dispatch(ToTiles { grid, rows, input, first_line, fetch, values, stride, scheme });
}

/// What all tasks share.
struct Layer<'a, const M: usize, const T: usize, P> {
    grid: Grid<M, T>,
    input: Operand<'a>,
    filter: &'a Panels,
    epilogue: &'a Epilogue<'a>,
    at_once: usize,
    scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> Layer<'_, M, T, P> {
    /// Some rows of tiles, in the output's channels of some panels.
    fn task(
        &self,
        rows: Range<usize>,
        panels: Range<usize>,
        mut output: RectMut,
        mut scratch: Scratch,
    ) {
        let grid = &self.grid;
        let first = grid.pixels(&rows).start;
        let parts = rows.len().div_ceil(self.at_once);
        for i in 0..parts {
            let row = |i: usize| rows.start + rows.len() * i / parts;
            let rows = row(i)..row(i + 1);
            let pixels = grid.pixels(&rows);
            let part = output.rows(pixels.start - first..pixels.end - first);
            self.block(rows, panels.clone(), part, scratch.reborrow());
        }
        if let (Some(after), Some(rows)) = (self.epilogue.after, output.whole_rows())
            && !rows.is_empty()
        {
            after.rows(first, rows);
        }
    }

    /// All three steps for rows of tiles that a task carries through together.
    fn block(
        &self,
        rows: Range<usize>,
        panels: Range<usize>,
        mut output: RectMut,
        mut scratch: Scratch,
    ) {
        let Self { ref grid, input, filter, epilogue, scheme, .. } = *self;
        let (channels, out_channels) = (grid.shape.in_channels, filter.columns(&panels));
        let tiles = rows.len() * grid.across;
        let (in_stride, out_stride) = (panel_stride(channels), panel_stride(out_channels.len()));
        let (in_len, out_len) = (panel_stride(tiles * in_stride), panel_stride(tiles * out_stride));
        let (before, mut scratch) = scratch.take(T * T * in_len);
        let (after, mut scratch) = scratch.take(T * T * out_len);
        let isa = filter.kernel.isa();
        to_tiles(isa, grid, rows.clone(), input, (&mut *before, in_stride), scheme, &mut scratch);
        let (a, b) = ((&*before, in_stride, tiles), (filter, channels, panels));
        gemm_batch(T * T, a, b, (after, out_stride));
        let (values, stride, output) = (&*after, out_stride, &mut output);
        let channels = out_channels;
        isa.dispatch(FromTiles { grid, rows, values, stride, channels, epilogue, output, scheme });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Training wants whole units of pixels, but no thread may be left with nothing for that.
    #[test]
    fn threads_have_equal_parts() {
        for isa in Isa::available().into_iter().filter(|isa| isa.is_exact()) {
            for (batch, side, channels) in
                [(32, 56, 64), (32, 28, 128), (32, 14, 256), (32, 7, 512), (128, 8, 64)]
            {
                let shape = ConvShape {
                    batch,
                    height: side,
                    width: side,
                    in_channels: channels,
                    out_channels: channels,
                    kernel: 3,
                    stride: 1,
                    padding: 1,
                };
                let grid = Grid::<4, 6>::new(&shape);
                let filter = WinogradFilter::zeros(WinogradTile::F4, isa, channels, channels);
                let panels = filter.packed.panels().expect("packed for a kernel of ours");
                for threads in 2..=8 {
                    let task_grid = TaskGrid::new(&grid, panels, threads, 32);
                    let mut rows = vec![0; threads];
                    for i in 0..task_grid.down {
                        rows[i * threads / task_grid.down] += task_grid.rows(grid.rows(), i).len();
                    }
                    let most = rows.into_iter().max().expect("threads");
                    assert!(
                        task_grid.across > 1 || most * threads * 4 <= grid.rows() * 5,
                        "{shape:?}: {most} rows for one of {threads} threads"
                    );
                }
            }
        }
    }
}
