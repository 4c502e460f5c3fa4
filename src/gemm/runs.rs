//! A product whose left operand is read where it lies although its rows overlap: the patches of a
//! image, each of which is a few runs of memory.

use super::Epilogue;
use super::blocking::k_block;
use super::kernels::{Fetch, LINE, Tile};
use super::pack::PackedB;
use std::ptr;

/// The left operand: A\[i, r * run + j\] = `values[i * stride + r * run_stride + j]`.
pub(crate) struct Runs<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    /// From row to row.
    pub(crate) stride: usize,
    /// Runs in a row.
    pub(crate) runs: usize,
    /// Values in a run.
    pub(crate) run: usize,
    /// From run to run.
    pub(crate) run_stride: usize,
    /// What will be needed next, to be fetched into the second-level cache meanwhile.
    pub(crate) soon: [&'a [f32]; 2],
}

impl Runs<'_> {
    /// The share of what will be needed that tile `tile` of `tiles` fetches.
    fn fetch(&self, tile: usize, tiles: usize) -> Fetch {
        let lines = self.soon.map(|values| values.len().div_ceil(LINE));
        let share = lines.iter().sum::<usize>().div_ceil(tiles);
        let mut from = share * tile;
        for (values, lines) in self.soon.iter().zip(lines) {
            if from < lines {
                let at = values.as_ptr().wrapping_add(from * LINE);
                return Fetch { at, lines: share.min(lines - from).min(self.runs * self.run) };
            }
            from -= lines;
        }
        Fetch::NOTHING
    }
}

/// C [rows, n] = epilogue(A · B), row-major, on the calling thread.
///
/// # Panics
/// If the shapes of `a`, `b`, `c` and `epilogue` do not fit together, K is more than one block, or B
/// is packed for another backend than ours.
pub(crate) fn gemm_runs(a: &Runs, b: &PackedB, c: &mut [f32], epilogue: &Epilogue) {
    let panels = b.panels().expect("runs are read by our kernels only");
    let (rows, n, k, kernel) = (a.rows, b.n(), a.runs * a.run, &panels.kernel);
    assert!(a.runs > 0 && k == b.k() && k_block(k) >= k, "columns of A and rows of B, one block");
    assert_eq!(c.len(), rows * n, "size of C");
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == n), "size of the bias");
    assert!(epilogue.residual.is_none_or(|r| r.len() == rows * n), "size of the residual");
    assert!(epilogue.after.is_none(), "whoever calls this knows which rows they are");
    if c.is_empty() {
        return;
    }
    let places = [(rows - 1, a.stride), (a.runs - 1, a.run_stride), (a.run, 1)];
    let end = places.into_iter().try_fold(0, |sum: usize, (steps, distance)| {
        steps.checked_mul(distance).and_then(|way| sum.checked_add(way))
    });
    assert!(end.is_some_and(|end| end <= a.values.len()), "size of A");
    let tiles = rows.div_ceil(kernel.mr);
    let all_tiles = tiles * panels.count();
    for panel in 0..panels.count() {
        let (b, columns) = panels.panel(panel, 0);
        let column = panel * kernel.nr;
        let bias = epilogue.bias.map_or(ptr::null(), |v| v[column..].as_ptr());
        for t in 0..tiles {
            // Tiles of even height.
            let (first, end) = (rows * t / tiles, rows * (t + 1) / tiles);
            let at = first * n + column;
            // SAFETY: the last run of the last row ends within A (asserted), so all do; B has K steps
            // of the panel's vectors; the tile lies within C, which is ours alone; bias and residual
            // have C's shape (asserted).
            unsafe {
                kernel.run(
                    end - first,
                    &Tile {
                        a: a.values.as_ptr().add(first * a.stride),
                        a_stride: a.stride,
                        a_step: 1,
                        k: a.run,
                        runs: a.runs,
                        a_run: a.run_stride,
                        b: b.as_ptr(),
                        c: c.as_mut_ptr().add(at),
                        c_stride: n,
                        columns,
                        accumulate: false,
                        bias,
                        residual: epilogue.residual.map_or(ptr::null(), |v| v[at..].as_ptr()),
                        relu: epilogue.relu,
                        fetch: a.fetch(panel * tiles + t, all_tiles),
                    },
                );
            }
        }
    }
}
