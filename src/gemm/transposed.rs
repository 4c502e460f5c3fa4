//! C = Aᵀ · B, summed over the rows of A: the gradient of weights, where a row is a pixel.
//!
//! C is small and the sum is long, so the rows are cut into chunks, each with a C of its own, and
//! the chunks' results are added pairwise. How many chunks there are depends on the shape alone, and
//! within a chunk the sum is blocked as in [`gemm`](super::gemm()); so the result depends on neither
//! threads nor tiles. The kernel is the same: a packed block of A lies `[row][column]`, and its
//! columns are the tile's rows.

use super::blocking::{chunks, columns_a_task};
#[cfg(feature = "matrixmultiply")]
use super::by_matrixmultiply;
use super::driver::panel_stride;
use super::kernels::{Fetch, Kernel, Tile};
use super::{ASource, Backend, Part};
use crate::numerics::KC;
use crate::runtime::{Scratch, SlicesMut, Team};
use crate::simd::{Simd, SimdOp};
use std::ops::Range;
use std::ptr;

/// Columns of B that a task packs at a time: with KC rows half a second-level cache at most.
const GROUP: usize = 512;

/// C [a.k(), n] = Aᵀ · B with B [a.rows(), n], both row-major.
///
/// # Panics
/// If the sizes do not fit together.
pub fn gemm_transposed<A: ASource>(
    team: &mut Team,
    backend: Backend,
    a: &A,
    b: &[f32],
    n: usize,
    c: &mut [f32],
) {
    let (m, k) = (a.rows(), a.k());
    assert_eq!(Some(b.len()), m.checked_mul(n), "size of B");
    assert_eq!(Some(c.len()), k.checked_mul(n), "size of C");
    if c.is_empty() {
        return;
    }
    let chunks = chunks(m, k, n);
    let rows = |chunk: usize| m * chunk / chunks..m * (chunk + 1) / chunks;
    let columns = columns_a_task(k);
    if chunks == 1 {
        multiply(team, backend, a, (b, n), columns, |_| 0..m, c);
        return;
    }
    let (partial, mut team) = team.take(chunks * k * n);
    multiply(&mut team, backend, a, (b, n), columns, rows, partial);
    add_pairwise(&mut team, partial, chunks, k * n);
    c.copy_from_slice(&partial[..k * n]);
}

/// Each chunk's product into its own part of `c`: one loop over chunks and columns.
fn multiply<A: ASource>(
    team: &mut Team,
    backend: Backend,
    a: &A,
    (b, n): (&[f32], usize),
    columns: usize,
    rows: impl Fn(usize) -> Range<usize> + Sync,
    c: &mut [f32],
) {
    let k = a.k();
    let tasks_a_chunk = k.div_ceil(columns);
    let parts: SlicesMut<f32> =
        c.chunks_mut(k * n).flat_map(|c| c.chunks_mut(columns * n)).collect();
    team.for_each_part(parts, |task, c, scratch| {
        let (chunk, first) = (task / tasks_a_chunk, task % tasks_a_chunk * columns);
        let task = Task { rows: rows(chunk), columns: first..first + c.len() / n, n };
        match backend {
            Backend::Native(isa) => task.native(&Kernel::of(isa), a, b, c, scratch),
            #[cfg(feature = "matrixmultiply")]
            Backend::Matrixmultiply => {
                by_matrixmultiply::transposed(a, b, task.n, task.rows, task.columns, c, scratch)
            }
        }
    });
}

/// Sums the `count` arrays of `len` in `values` into the first, as a balanced tree.
pub(crate) fn add_pairwise(team: &mut Team, values: &mut [f32], count: usize, len: usize) {
    let mut width = 1;
    while width < count {
        team.for_each_chunk(values, 2 * width * len, |_, pair, _| {
            if pair.len() > width * len {
                let (left, right) = pair.split_at_mut(width * len);
                for (sum, &value) in left[..len].iter_mut().zip(&right[..len]) {
                    *sum += value;
                }
            }
        });
        width *= 2;
    }
}

/// A part of C: some columns of A times all of B, over some rows.
struct Task {
    rows: Range<usize>,
    columns: Range<usize>,
    n: usize,
}

impl Task {
    fn native<A: ASource>(
        &self,
        kernel: &Kernel,
        a: &A,
        b: &[f32],
        c: &mut [f32],
        mut scratch: Scratch,
    ) {
        let (columns, n) = (self.columns.len(), self.n);
        let stride = panel_stride(columns);
        let (a_panel, mut scratch) = scratch.take(KC * stride);
        for group in (0..n).step_by(GROUP) {
            let width = GROUP.min(n - group);
            let (b_panel, _) = scratch.take(KC * width.next_multiple_of(kernel.lanes));
            let mut accumulate = false;
            for row in self.rows.clone().step_by(KC) {
                let steps = KC.min(self.rows.end - row);
                let part = Part { row, rows: steps, k: self.columns.start, steps: columns };
                a.pack(kernel.isa(), part, a_panel, stride);
                let rows = std::iter::once(&b[row * n..(row + steps) * n]);
                pack_panels(kernel, rows, n, group, width, steps, b_panel);
                let (rows, a_stride) = (steps, stride);
                let (a, b, b_rows, runs, a_run) = (&*a_panel, &*b_panel, (0, rows), 1, 0);
                let block = Block { a, a_stride, a_run, rows, runs, b, b_rows, accumulate };
                block.tiles(kernel, columns, (n, group, width), c);
                accumulate = true;
            }
            if !accumulate {
                c.fill(0.0);
            }
        }
    }
}

/// Rows of A that lie in runs, and as many of B: run r of A begins at `r * a_run`, its rows are `a_stride`
/// apart; those of B lie one after the other, `n` values each, from `r * b_run` on.
#[derive(Clone, Copy)]
pub(crate) struct TransposedRuns<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) a_stride: usize,
    pub(crate) a_run: usize,
    pub(crate) b: &'a [f32],
    pub(crate) b_run: usize,
    pub(crate) n: usize,
    /// Rows of a run.
    pub(crate) rows: usize,
    pub(crate) runs: usize,
}

/// C += Aᵀ · B, or, with `accumulate` false, C = Aᵀ · B, on the calling thread: C is `[columns, n]` for the
/// first columns of A. The sum goes over all rows of all runs, in their order, at most [`KC`] at a time.
///
/// # Panics
/// If the sizes do not fit together.
pub(crate) fn gemm_transposed_runs(
    kernel: &Kernel,
    operands: &TransposedRuns,
    c: &mut [f32],
    accumulate: bool,
    mut scratch: Scratch,
) {
    let TransposedRuns { a, a_stride, a_run, b, b_run, n, rows, runs } = *operands;
    let columns = c.len() / n;
    let (runs_at_once, rows_at_once) = if rows > KC { (1, KC) } else { (KC / rows.max(1), rows) };
    for group in (0..n).step_by(GROUP) {
        let width = GROUP.min(n - group);
        let padded = width.next_multiple_of(kernel.lanes);
        let (panels, _) = scratch.take(runs_at_once * rows_at_once * padded);
        let mut accumulate = accumulate;
        for run in (0..runs).step_by(runs_at_once) {
            for row in (0..rows).step_by(rows_at_once) {
                let (runs, rows) = (runs_at_once.min(runs - run), rows_at_once.min(rows - row));
                let b = (run..run + runs).map(|run| &b[run * b_run + row * n..][..rows * n]);
                pack_panels(kernel, b, n, group, width, runs * rows, panels);
                let a = &a[run * a_run + row * a_stride..];
                let (b, b_rows) = (&*panels, (0, runs * rows));
                let block = Block { a, a_stride, a_run, rows, runs, b, b_rows, accumulate };
                block.tiles(kernel, columns, (n, group, width), c);
                accumulate = true;
            }
        }
    }
}

/// As [`gemm_transposed_runs`] of one run of `rows` rows, where B is packed already: panels of `kernel.nr` columns, `rows`
/// rows each; the last as wide as its columns need.
///
/// # Panics
/// If the sizes do not fit together.
pub(crate) fn gemm_transposed_packed(
    kernel: &Kernel,
    (a, a_stride): (&[f32], usize),
    (b, n): (&[f32], usize),
    rows: usize,
    c: &mut [f32],
    accumulate: bool,
) {
    let (columns, mut accumulate) = (c.len() / n, accumulate);
    assert!(n.is_multiple_of(kernel.lanes), "panels of whole vectors");
    for row in (0..rows).step_by(KC) {
        let a = &a[row * a_stride..];
        let (steps, runs, a_run) = (KC.min(rows - row), 1, 0);
        let b_rows = (row, rows);
        let block = Block { a, a_stride, a_run, rows: steps, runs, b, b_rows, accumulate };
        block.tiles(kernel, columns, (n, 0, n), c);
        accumulate = true;
    }
}

/// A block of rows of A, in runs, and the same rows of B, packed.
struct Block<'a> {
    /// `[run][row][column]`, runs `a_run` apart, rows `a_stride`.
    a: &'a [f32],
    a_stride: usize,
    a_run: usize,
    rows: usize,
    runs: usize,
    /// Panels of `[step][vectors]`.
    b: &'a [f32],
    /// The first of these rows in its panels, and how many rows these have.
    b_rows: (usize, usize),
    accumulate: bool,
}

impl Block<'_> {
    /// The tiles of one group of B's columns: `width` of all `n`, from `group` on.
    fn tiles(
        &self,
        kernel: &Kernel,
        columns: usize,
        (n, group, width): (usize, usize, usize),
        c: &mut [f32],
    ) {
        let &Self { a, a_stride, a_run, rows, runs, b, b_rows, accumulate } = self;
        assert!(c.len() == columns * n && group + width <= n, "size of C");
        let last = (runs - 1) * a_run + (rows - 1) * a_stride;
        assert!(last + columns <= a.len(), "size of A");
        let (steps, tiles) = (runs * rows, columns.div_ceil(kernel.mr));
        for first_column in (0..width).step_by(kernel.nr) {
            let in_panel = kernel.nr.min(width - first_column);
            let padded = in_panel.next_multiple_of(kernel.lanes);
            let b = &b[first_column * b_rows.1 + b_rows.0 * padded..][..padded * steps];
            for t in 0..tiles {
                let (first, end) = (columns * t / tiles, columns * (t + 1) / tiles);
                // SAFETY: the last row of A has `columns` values (asserted), so all have; B has `steps`
                // times the panel's vectors (sliced); rows `first..end` and these columns lie within C
                // (asserted), which this task alone holds.
                unsafe {
                    kernel.run(
                        end - first,
                        &Tile {
                            a: a.as_ptr().add(first),
                            a_stride: 1,
                            a_step: a_stride,
                            k: rows,
                            runs,
                            a_run,
                            b: b.as_ptr(),
                            c: c.as_mut_ptr().add(first * n + group + first_column),
                            c_stride: n,
                            columns: in_panel,
                            accumulate,
                            bias: ptr::null(),
                            residual: ptr::null(),
                            relu: false,
                            fetch: Fetch::NOTHING,
                        },
                    );
                }
            }
        }
    }
}

/// Packs `width` columns from `group` on of `steps` rows with `n` columns, which come in slices, into panels.
fn pack_panels<'a>(
    kernel: &Kernel,
    rows: impl Iterator<Item = &'a [f32]>,
    n: usize,
    group: usize,
    width: usize,
    steps: usize,
    panels: &mut [f32],
) {
    let (nr, lanes) = (kernel.nr, kernel.lanes);
    if width == n && n <= nr && n.is_multiple_of(lanes) {
        // One panel, which is what the rows are already.
        let mut panel = panels;
        for rows in rows {
            let (to, rest) = panel.split_at_mut(rows.len());
            to.copy_from_slice(rows);
            panel = rest;
        }
        return;
    }
    let rows = rows.flat_map(|rows| rows.chunks_exact(n)).map(|row| &row[group..group + width]);
    kernel.isa().dispatch(PackPanels { rows, nr, lanes, steps, panels });
}

/// Rows in order, each read from front to back as memory likes it, its pieces written to their panels.
struct PackPanels<'a, R> {
    rows: R,
    nr: usize,
    lanes: usize,
    steps: usize,
    panels: &'a mut [f32],
}

impl<'a, R: Iterator<Item = &'a [f32]>> SimdOp for PackPanels<'_, R> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { rows, nr, lanes, steps, panels } = self;
        for (step, row) in rows.take(steps).enumerate() {
            for (panel, row) in row.chunks(nr).enumerate() {
                let padded = row.len().next_multiple_of(lanes);
                let to = &mut panels[panel * nr * steps + step * padded..][..padded];
                let (to, beyond) = to.split_at_mut(row.len());
                s.copy(row, to);
                beyond.fill(0.0);
            }
        }
    }
}
