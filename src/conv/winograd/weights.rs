//! The gradient of the filters: Winograd's algorithm transposed.
//!
//! With D = Bᵀ d B of a tile of the input and Y = A dy Aᵀ of the output's gradient, the gradient is
//! Gᵀ [Σ D ⊙ Y] G, the sum going over all tiles: one product Dᵀ · Y a frequency, a quarter of the
//! multiply-adds of the definition. The sums are f32, what becomes of them is computed in f64 and rounded
//! once.
//!
//! Where all sums together stay in a second-level cache, the tiles are cut into chunks, each with sums of
//! its own and a task of its own, and the chunks are added pairwise. Where they do not, blocks of tiles
//! are transformed by all tasks, and then each task takes some of the frequencies. Chunks and blocks
//! follow from the shape alone.

use super::scheme::Scheme;
use super::tiles::{GradientToTiles, Grid};
use super::to_tiles;
use crate::gemm::kernels::Kernel;
use crate::gemm::{
    Operand, TransposedRuns, add_pairwise, gemm_transposed_packed, gemm_transposed_runs,
    panel_stride,
};
use crate::numerics::winograd::gradient::{CHUNKS, FAR_BLOCK, KEPT, NEAR_BLOCK, SHORTEST};
use crate::runtime::{ChunksMut, Scratch, Team};
use crate::simd::{Isa, Simd, SimdOp};
use std::marker::PhantomData;
use std::ops::Range;

/// Outputs whose filters are finished side by side.
const OUTPUTS: usize = 16;
/// Channels by which sums are fetched ahead.
const AHEAD: usize = 8;
/// Rows of the sums, channels of the input, that a task computes of one frequency.
const ROWS_A_TASK: usize = 256;

/// One layer and its operands.
pub(super) struct WeightGradient<'a, const M: usize, const T: usize, P> {
    isa: Isa,
    grid: Grid<M, T>,
    input: Operand<'a>,
    gradient: &'a [f32],
    scheme: PhantomData<P>,
}

impl<'a, const M: usize, const T: usize, P: Scheme<M, T>> WeightGradient<'a, M, T, P> {
    /// Of the convolution of `grid`, `input` and the output's `gradient`.
    pub(super) fn new(isa: Isa, grid: Grid<M, T>, input: Operand<'a>, gradient: &'a [f32]) -> Self {
        Self { isa, grid, input, gradient, scheme: PhantomData }
    }

    /// Writes it, `[out_channels, in_channels, 3, 3]`.
    pub(super) fn compute(&self, team: &mut Team, weight_gradient: &mut [f32]) {
        let shape = &self.grid.shape;
        let len = T * T * shape.in_channels * shape.out_channels;
        if len <= KEPT {
            self.by_chunks(team, weight_gradient)
        } else {
            self.by_blocks(team, len, weight_gradient)
        }
    }

    /// Floats that the tiles of a row of tiles take, transformed.
    fn row_len(&self) -> usize {
        let shape = &self.grid.shape;
        T * T * self.grid.across * (panel_stride(shape.in_channels) + shape.out_channels)
    }

    /// From one frequency to the next: of tiles of the input, of the gradient, and of the sums.
    fn input_pitch(&self, tiles: usize) -> usize {
        panel_stride(tiles * panel_stride(self.grid.shape.in_channels))
    }

    fn gradient_pitch(&self, tiles: usize) -> usize {
        panel_stride(tiles * self.grid.shape.out_channels)
    }

    fn sums_pitch(&self) -> usize {
        panel_stride(self.grid.shape.in_channels * self.grid.shape.out_channels)
    }

    /// A chunk of tiles a task, each with its own sums.
    fn by_chunks(&self, team: &mut Team, weight_gradient: &mut [f32]) {
        let len = T * T * self.sums_pitch();
        let rows = self.grid.rows();
        let most = (rows * self.grid.across / SHORTEST).min(rows);
        let chunks = most.clamp(1, CHUNKS);
        let (sums, mut team) = team.take(chunks * len);
        team.for_each_chunk(sums, len, |chunk, sums, scratch| {
            self.chunk(rows * chunk / chunks..rows * (chunk + 1) / chunks, sums, scratch);
        });
        add_pairwise(&mut team, sums, chunks, len);
        self.finish(&mut team, &sums[..len], weight_gradient);
    }

    /// The sums over some rows of tiles, a block of them at a time.
    fn chunk(&self, rows: Range<usize>, sums: &mut [f32], mut scratch: Scratch) {
        let (channels, out) = (self.grid.shape.in_channels, self.grid.shape.out_channels);
        let rows_a_block = (NEAR_BLOCK / self.row_len()).max(1);
        let most = rows_a_block.min(rows.len()) * self.grid.across;
        let (inputs, mut scratch) = scratch.take(T * T * self.input_pitch(most));
        let (gradients, mut scratch) = scratch.take(T * T * self.gradient_pitch(most));
        let kernel = Kernel::of(self.isa);
        for first in rows.clone().step_by(rows_a_block) {
            let block = first..rows.end.min(first + rows_a_block);
            let tiles = block.len() * self.grid.across;
            let (a_pitch, b_pitch) = (self.input_pitch(tiles), self.gradient_pitch(tiles));
            let inputs = &mut inputs[..T * T * a_pitch];
            let gradients = &mut gradients[..T * T * b_pitch];
            self.transform(block, inputs, gradients, kernel.tile().1, &mut scratch);
            let matrices = inputs.chunks_exact(a_pitch).zip(gradients.chunks_exact(b_pitch));
            for ((a, b), sums) in matrices.zip(sums.chunks_exact_mut(self.sums_pitch())) {
                let (a, sums) = ((a, panel_stride(channels)), &mut sums[..channels * out]);
                gemm_transposed_packed(&kernel, a, (b, out), tiles, sums, first != rows.start);
            }
        }
    }

    /// Block after block of tiles: the tasks share first the rows of tiles, then the frequencies.
    fn by_blocks(&self, team: &mut Team, len: usize, weight_gradient: &mut [f32]) {
        let (channels, out) = (self.grid.shape.in_channels, self.grid.shape.out_channels);
        let (rows, across) = (self.grid.rows(), self.grid.across);
        let blocks = rows.div_ceil((FAR_BLOCK.max(len) / self.row_len()).max(1));
        let most = rows.div_ceil(blocks);
        let (a_run, b_run) =
            (T * T * self.input_pitch(across), T * T * self.gradient_pitch(across));
        let (sums, mut team) = team.take(T * T * self.sums_pitch());
        let (inputs, mut team) = team.take(most * a_run);
        let (gradients, mut team) = team.take(most * b_run);
        let kernel = Kernel::of(self.isa);
        for i in 0..blocks {
            let block = rows * i / blocks..rows * (i + 1) / blocks;
            let inputs = &mut inputs[..block.len() * a_run];
            let gradients = &mut gradients[..block.len() * b_run];
            let parts = (ChunksMut::new(inputs, a_run), ChunksMut::new(gradients, b_run));
            team.for_each_part(parts, |row, (inputs, gradients), mut scratch| {
                let row = block.start + row;
                self.transform(row..row + 1, inputs, gradients, out, &mut scratch);
            });
            let operands = Transformed { inputs, gradients, tiles: across, runs: block.len() };
            let tasks = channels.div_ceil(ROWS_A_TASK);
            let parts = sums
                .chunks_exact_mut(self.sums_pitch())
                .flat_map(|sums| sums[..channels * out].chunks_mut(ROWS_A_TASK * out))
                .collect::<crate::runtime::SlicesMut<f32>>();
            team.for_each_part(parts, |task, sums, scratch| {
                let (f, first) = (task / tasks, task % tasks * ROWS_A_TASK);
                self.multiply(&kernel, &operands, f, first, sums, i > 0, scratch);
            });
        }
        self.finish(&mut team, sums, weight_gradient);
    }

    /// The tiles of some rows, transformed: `[frequency][tile][channel]` of the input; of the gradient the same for
    /// each `panel` channels, one panel after the other within a frequency.
    fn transform(
        &self,
        rows: Range<usize>,
        inputs: &mut [f32],
        gradients: &mut [f32],
        panel: usize,
        scratch: &mut Scratch,
    ) {
        let Self { isa, ref grid, input, gradient, scheme } = *self;
        let stride = panel_stride(grid.shape.in_channels);
        to_tiles(isa, grid, rows.clone(), input, (inputs, stride), scheme, scratch);
        isa.dispatch(GradientToTiles { grid, rows, gradient, values: gradients, panel, scheme });
    }

    /// Adds the products of frequency `f` in the channels from `first` on to `sums`, `[channels, out]`.
    fn multiply(
        &self,
        kernel: &Kernel,
        operands: &Transformed,
        f: usize,
        first: usize,
        sums: &mut [f32],
        accumulate: bool,
        scratch: Scratch,
    ) {
        let &Transformed { inputs, gradients, tiles, runs } = operands;
        let out = self.grid.shape.out_channels;
        let stride = panel_stride(self.grid.shape.in_channels);
        let (a_pitch, b_pitch) = (self.input_pitch(tiles), self.gradient_pitch(tiles));
        let operands = TransposedRuns {
            a: &inputs[f * a_pitch + first..],
            a_stride: stride,
            a_run: T * T * a_pitch,
            b: &gradients[f * b_pitch..],
            b_run: T * T * b_pitch,
            n: out,
            rows: tiles,
            runs,
        };
        gemm_transposed_runs(kernel, &operands, sums, accumulate, scratch);
    }

    /// From the sums, `[frequency][channel][out]`, to the gradient.
    fn finish(&self, team: &mut Team, sums: &[f32], weight_gradient: &mut [f32]) {
        let (channels, pitch) = (self.grid.shape.in_channels, self.sums_pitch());
        team.for_each_chunk(weight_gradient, OUTPUTS * 9 * channels, |block, filters, _| {
            let (sums, out) = (&sums[block * OUTPUTS..], self.grid.shape.out_channels);
            let scheme = PhantomData::<P>;
            self.isa.dispatch(Finish::<M, T, P> { sums, channels, out, pitch, filters, scheme });
        });
    }
}

/// A block of tiles in the transformed domain: `[run][frequency][tile][channel]` each.
struct Transformed<'a> {
    /// Tiles `panel_stride(in_channels)` apart.
    inputs: &'a [f32],
    gradients: &'a [f32],
    /// Tiles of a run.
    tiles: usize,
    runs: usize,
}

/// The filters of [`OUTPUTS`] outputs.
struct Finish<'a, const M: usize, const T: usize, P> {
    /// `[frequency][channel][out]`, from the first of these outputs on.
    sums: &'a [f32],
    channels: usize,
    out: usize,
    /// From one frequency to the next.
    pitch: usize,
    /// `[OUTPUTS][channel][9]`
    filters: &'a mut [f32],
    scheme: PhantomData<P>,
}

impl<const M: usize, const T: usize, P: Scheme<M, T>> SimdOp for Finish<'_, M, T, P> {
    type Output = ();

    // Plain loops over the outputs side by side: compiled for the instruction set, they are vectors.
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { sums, channels, out, pitch, filters, .. } = self;
        for channel in 0..channels {
            // A line of each frequency, far apart: no hardware prefetcher follows so many.
            for f in 0..T * T {
                let ahead = f * pitch + (channel + AHEAD) * out;
                s.prefetch_read(sums.as_ptr().wrapping_add(ahead));
            }
            // By column: the three values that its rows become.
            let mut half = [[[0.0_f64; OUTPUTS]; 3]; T];
            for (x, half) in half.iter_mut().enumerate() {
                let mut column = [[0.0_f64; OUTPUTS]; T];
                for (y, values) in column.iter_mut().enumerate() {
                    let at = (y * T + x) * pitch + channel * out;
                    let sums: &[f32; OUTPUTS] = sums[at..].first_chunk().expect("outputs by 16");
                    for (value, &sum) in values.iter_mut().zip(sums) {
                        *value = f64::from(sum);
                    }
                }
                for lane in 0..OUTPUTS {
                    let mut values = [0.0; T];
                    for (value, row) in values.iter_mut().zip(&column) {
                        *value = row[lane];
                    }
                    for (half, tap) in half.iter_mut().zip(P::filter_gradient(values)) {
                        half[lane] = tap;
                    }
                }
            }
            for y in 0..3 {
                for lane in 0..OUTPUTS {
                    let mut values = [0.0; T];
                    for (value, column) in values.iter_mut().zip(&half) {
                        *value = column[y][lane];
                    }
                    let taps = P::filter_gradient(values);
                    for (x, tap) in taps.into_iter().enumerate() {
                        filters[(lane * channels + channel) * 9 + 3 * y + x] = tap as f32;
                    }
                }
            }
        }
    }
}
