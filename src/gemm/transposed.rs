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
fn add_pairwise(team: &mut Team, values: &mut [f32], count: usize, len: usize) {
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
                let block = &b[row * n..(row + steps) * n];
                pack_panels(kernel, block, n, group, width, b_panel);
                let block = PackedBlock { steps, a: a_panel, stride, b: b_panel, accumulate };
                self.tiles(kernel, &block, group, width, c);
                accumulate = true;
            }
            if !accumulate {
                c.fill(0.0);
            }
        }
    }

    /// The tiles of one block of rows and one group of columns of B.
    fn tiles(
        &self,
        kernel: &Kernel,
        block: &PackedBlock,
        group: usize,
        width: usize,
        c: &mut [f32],
    ) {
        let (columns, n) = (self.columns.len(), self.n);
        assert!(c.len() == columns * n && group + width <= n, "size of C");
        assert!(
            columns <= block.stride && block.steps * block.stride <= block.a.len(),
            "size of A"
        );
        let tiles = columns.div_ceil(kernel.mr);
        for first_column in (0..width).step_by(kernel.nr) {
            let in_panel = kernel.nr.min(width - first_column);
            let padded = in_panel.next_multiple_of(kernel.lanes);
            let b = &block.b[first_column * block.steps..][..padded * block.steps];
            for t in 0..tiles {
                let (first, end) = (columns * t / tiles, columns * (t + 1) / tiles);
                // SAFETY: A holds `steps` rows of `columns` values (asserted), B `steps` times the
                // panel's vectors (sliced); rows `first..end` and these columns lie within C
                // (asserted), which this task alone holds.
                unsafe {
                    kernel.run(
                        end - first,
                        &Tile {
                            a: block.a.as_ptr().add(first),
                            a_stride: 1,
                            a_step: block.stride,
                            k: block.steps,
                            runs: 1,
                            a_run: 0,
                            b: b.as_ptr(),
                            c: c.as_mut_ptr().add(first * n + group + first_column),
                            c_stride: n,
                            columns: in_panel,
                            accumulate: block.accumulate,
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

/// A block of rows of A and B, packed.
struct PackedBlock<'a> {
    steps: usize,
    /// `[steps][stride]`.
    a: &'a [f32],
    stride: usize,
    /// Panels of `[steps][vectors]`.
    b: &'a [f32],
    accumulate: bool,
}

/// Packs `width` columns from `group` on of `rows`, row-major with `n` columns, into panels.
fn pack_panels(
    kernel: &Kernel,
    rows: &[f32],
    n: usize,
    group: usize,
    width: usize,
    panels: &mut [f32],
) {
    let steps = rows.len() / n;
    for first in (0..width).step_by(kernel.nr) {
        let columns = kernel.nr.min(width - first);
        let padded = columns.next_multiple_of(kernel.lanes);
        let panel = &mut panels[first * steps..][..padded * steps];
        for (step, row) in panel.chunks_exact_mut(padded).zip(rows.chunks_exact(n)) {
            step[..columns].copy_from_slice(&row[group + first..][..columns]);
            step[columns..].fill(0.0);
        }
    }
}
