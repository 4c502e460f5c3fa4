//! The blocked loops: tasks over blocks of C, then K, panels of B, tiles.

use super::blocking::{Blocking, SMALL, k_block};
#[cfg(feature = "matrixmultiply")]
use super::by_matrixmultiply;
use super::kernels::{Fetch, LINE, Tile};
#[cfg(feature = "matrixmultiply")]
use super::pack::Layout;
use super::pack::Panels;
use super::{ASource, Epilogue, PackedB, Part};
use crate::runtime::{Scratch, Team};
use std::ops::Range;
use std::ptr;

/// C [rows, n] = epilogue(A · B), row-major.
///
/// # Panics
/// If the shapes of `a`, `b`, `c` and `epilogue` do not fit together.
pub fn gemm<A: ASource>(team: &mut Team, a: &A, b: &PackedB, c: &mut [f32], epilogue: &Epilogue) {
    let (m, n, k) = (a.rows(), b.n(), b.k());
    assert_eq!(a.k(), k, "columns of A and rows of B");
    assert_eq!(Some(c.len()), m.checked_mul(n), "size of C");
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == n), "size of the bias");
    assert!(epilogue.residual.is_none_or(|r| r.len() == c.len()), "size of the residual");
    if m == 0 || n == 0 {
        return;
    }

    #[cfg(feature = "matrixmultiply")]
    if let Layout::Plain(values) = &b.layout {
        return by_matrixmultiply::product(team, a, values, n, c, epilogue);
    }
    let b = b.panels().expect("packed for our kernels");
    let threads = if (m * n).saturating_mul(k) < SMALL { 1 } else { team.threads() };
    let blocking = Blocking::new(&b.kernel, m, n, k, threads);
    let panels = b.count();
    let Blocking { mut row_tasks, column_tasks, kc } = blocking;
    let mut unit = 1;
    if let Some(after) = epilogue.after {
        let rows = (SEEN / n).max(k).max(1);
        row_tasks = row_tasks.max(m.div_ceil(rows).next_multiple_of(threads));
        unit = after.unit();
    }
    let row = |task: usize| (m * task / row_tasks).next_multiple_of(unit).min(m);
    let c = Output { start: c.as_mut_ptr(), stride: n };
    let task = |t: usize, scratch: Scratch| {
        let (down, across) = (t / column_tasks, t % column_tasks);
        let block = Block {
            rows: row(down)..row(down + 1),
            panels: panels * across / column_tasks..panels * (across + 1) / column_tasks,
        };
        if block.rows.is_empty() {
            return;
        }
        // SAFETY: the blocks of two tasks share no element of C.
        unsafe { block.compute(a, b, c, epilogue, kc, scratch) }
    };
    let tasks = row_tasks * column_tasks;
    if threads == 1 {
        let mut scratch = team.scratch();
        (0..tasks).for_each(|t| task(t, scratch.reborrow()));
    } else {
        team.for_each(tasks, task);
    }
}

/// C = A · B\[k, panels\] on the calling thread: the `rows` rows of `a`, `a_stride` apart, times the rows
/// `k` of some panels of B; the rows of `c` are `c_stride` apart and begin with the first of the panels.
/// The building block of algorithms whose operands are many small matrices.
///
/// # Panics
/// If a size does not fit.
pub(crate) fn gemm_block(
    (a, a_stride, rows): (&[f32], usize, usize),
    (b, k, panels): (&Panels, Range<usize>, Range<usize>),
    (c, c_stride): (&mut [f32], usize),
) {
    let columns = b.columns(&panels);
    assert!(k.start < k.end && k.end <= b.k && panels.end * b.kernel.nr < b.n + b.kernel.nr, "B");
    assert!(rows == 0 || (rows - 1) * c_stride + columns.len() <= c.len(), "size of C");
    let block = Block { rows: 0..rows, panels };
    let c = Output { start: c.as_mut_ptr().wrapping_sub(columns.start), stride: c_stride };
    let kc = k_block(k.len());
    for start in k.clone().step_by(kc) {
        let (first, steps) = (start == k.start, kc.min(k.end - start));
        let k_block = KBlock { start, steps, first, last: false };
        let a = &a[start - k.start..];
        // SAFETY: the part of C where these panels' columns go is ours alone and large enough
        // (asserted); it begins `columns.start` floats after `c.start`.
        unsafe { block.multiply(a, a_stride, b, c, &Epilogue::default(), &k_block) };
    }
}

/// The start of C and the distance of its rows, shared by tasks that write to different parts of it.
#[derive(Clone, Copy)]
struct Output {
    start: *mut f32,
    stride: usize,
}

// SAFETY: tasks write through it to disjoint blocks only, see `gemm`.
unsafe impl Sync for Output {}

/// The part of C that one task computes.
struct Block {
    rows: Range<usize>,
    panels: Range<usize>,
}

impl Block {
    /// # Safety
    /// `c` must be the start of all of C, whose rows lie one after the other, and nothing else may touch this
    /// block of it meanwhile.
    unsafe fn compute<A: ASource>(
        &self,
        a: &A,
        b: &Panels,
        c: Output,
        epilogue: &Epilogue,
        kc: usize,
        mut scratch: Scratch,
    ) {
        let k = b.k;
        // A product with K = 0 still has its epilogue.
        for start in (0..k.max(1)).step_by(kc) {
            let steps = kc.min(k - start);
            let k_block = KBlock { start, steps, first: start == 0, last: start + steps == k };
            if let Some((values, stride)) = a.in_place(b.n) {
                let first =
                    self.rows.start.checked_mul(stride).and_then(|at| at.checked_add(start));
                let values = first.and_then(|first| values.get(first..)).expect("size of A");
                // SAFETY: the caller's promise.
                unsafe { self.multiply(values, stride, b, c, epilogue, &k_block) };
                continue;
            }
            let (row, rows, stride) = (self.rows.start, self.rows.len(), panel_stride(steps));
            let (panel, _) = scratch.take(rows * stride);
            a.pack(b.kernel.isa(), Part { row, rows, k: start, steps }, panel, stride);
            // SAFETY: the caller's promise.
            unsafe { self.multiply(panel, stride, b, c, epilogue, &k_block) };
        }
        if let Some(after) = epilogue.after
            && self.panels == (0..b.count())
        {
            let (at, len) = (self.rows.start * c.stride, self.rows.len() * c.stride);
            // SAFETY: whole rows of all of C, which nothing else touches meanwhile (the caller's promise).
            let rows = unsafe { std::slice::from_raw_parts_mut(c.start.add(at), len) };
            after.rows(self.rows.start, rows);
        }
    }

    /// Adds one block of K to the sums in C, or starts them; applies the epilogue after the last.
    ///
    /// # Safety
    /// As [`compute`](Self::compute).
    unsafe fn multiply(
        &self,
        a: &[f32],
        a_stride: usize,
        b: &Panels,
        c: Output,
        epilogue: &Epilogue,
        k_block: &KBlock,
    ) {
        let rows = self.rows.len();
        // A source may claim any distance of its rows: nothing may wrap.
        let last = rows.saturating_sub(1).checked_mul(a_stride);
        let end = last.and_then(|last| last.checked_add(k_block.steps));
        assert!(rows == 0 || end.is_some_and(|end| end <= a.len()), "size of A");
        let tiles = rows.div_ceil(b.kernel.mr);
        let product = Product { a, a_stride, b, c, epilogue, k_block };
        // Tiles of even height: a last one of one or two rows would leave the ports idle.
        let tile = |t: usize| rows * t / tiles..rows * (t + 1) / tiles;
        let most = if b.k < b.n { B_IN_SECOND_LEVEL } else { B_IN_FIRST_LEVEL };
        if k_block.first && k_block.last && b.k * b.n <= most.min(tiles * B_A_TILE) {
            for t in 0..tiles {
                for panel in self.panels.clone() {
                    let fetch = product.fetch_rows(self, &tile(t), panel);
                    // SAFETY: the caller's promise.
                    unsafe { product.tile(self.rows.start, tile(t), panel, fetch) };
                }
            }
            return;
        }
        let lines = k_block.steps * b.kernel.nr / LINE;
        let lines_a_tile = lines.div_ceil(tiles.max(1)).min(k_block.steps);
        for panel in self.panels.clone() {
            // The tiles of this panel together fetch the next one, which after the last is the first
            // of the next block of K.
            let next = if panel + 1 < self.panels.end {
                b.panel(panel, k_block.start).0.as_ptr().wrapping_add(b.k * b.kernel.nr)
            } else {
                let end = (k_block.start + k_block.steps) * b.kernel.nr;
                b.panel(self.panels.start, 0).0.as_ptr().wrapping_add(end)
            };
            for t in 0..tiles {
                let fetch = if panel == self.panels.start && product.a_is_in_place() {
                    product.fetch_a(&tile(t))
                } else {
                    Fetch { at: next.wrapping_add(t * lines_a_tile * LINE), lines: lines_a_tile }
                };
                // SAFETY: the caller's promise.
                unsafe { product.tile(self.rows.start, tile(t), panel, fetch) };
            }
        }
    }
}

/// One block of K of a product.
struct Product<'a> {
    a: &'a [f32],
    a_stride: usize,
    b: &'a Panels,
    c: Output,
    epilogue: &'a Epilogue<'a>,
    k_block: &'a KBlock,
}

impl Product<'_> {
    /// Whether A's rows lie in memory one after the other, not yet in a cache.
    fn a_is_in_place(&self) -> bool {
        self.a_stride == self.k_block.steps
    }

    /// The rows of A after `rows`, as far as a tile can fetch them.
    fn fetch_a(&self, rows: &Range<usize>) -> Fetch {
        let at = self.a.as_ptr().wrapping_add(rows.end * self.a_stride);
        Fetch { at, lines: (rows.len() * self.a_stride / LINE).min(self.k_block.steps) }
    }

    /// What the tile of `rows` and `panel` fetches of the rows that come after, where each row of
    /// `block` is computed in one go: all of A, the residual and C lies one after the other, and each
    /// panel fetches its share.
    fn fetch_rows(&self, block: &Block, rows: &Range<usize>, panel: usize) -> Fetch {
        let a = if self.a_is_in_place() { self.fetch_a(rows) } else { Fetch::NOTHING };
        let after = (block.rows.start + rows.end) * self.c.stride;
        let lines = rows.len() * self.c.stride / LINE;
        let residual = self.epilogue.residual.map_or(Fetch::NOTHING, |residual| Fetch {
            at: residual.as_ptr().wrapping_add(after),
            lines,
        });
        let c = Fetch { at: self.c.start.wrapping_add(after), lines };
        let streams = [a, residual, c];
        let all: usize = streams.iter().map(|stream| stream.lines).sum();
        let share = all.div_ceil(block.panels.len());
        let mut from = share * (panel - block.panels.start);
        for stream in streams {
            if from < stream.lines {
                let lines = share.min(stream.lines - from).min(self.k_block.steps);
                return Fetch { at: stream.at.wrapping_add(from * LINE), lines };
            }
            from -= stream.lines;
        }
        Fetch::NOTHING
    }

    /// Computes `rows` of A, which are those of C from `first_row` on, times `panel`, and fetches
    /// something meanwhile.
    ///
    /// # Safety
    /// A must have those rows, C too, and nothing else may touch these elements of it meanwhile.
    unsafe fn tile(&self, first_row: usize, rows: Range<usize>, panel: usize, fetch: Fetch) {
        let &Self { a, a_stride, b, c, epilogue, k_block } = self;
        let (b_values, columns) = b.panel(panel, k_block.start);
        let column = panel * b.kernel.nr;
        let at = (first_row + rows.start) * c.stride + column;
        let (bias, residual) = if k_block.last {
            (
                epilogue.bias.map_or(ptr::null(), |v| v[column..].as_ptr()),
                epilogue.residual.map_or(ptr::null(), |v| v[at..].as_ptr()),
            )
        } else {
            (ptr::null(), ptr::null())
        };
        // SAFETY: the caller's promise for A and C; B has `steps` steps from `k_block.start` on; bias
        // and residual have C's shape.
        unsafe {
            b.kernel.run(
                rows.len(),
                &Tile {
                    a: a.as_ptr().add(rows.start * a_stride),
                    a_stride,
                    a_step: 1,
                    k: k_block.steps,
                    runs: 1,
                    a_run: 0,
                    b: b_values.as_ptr(),
                    c: c.start.wrapping_add(at),
                    c_stride: c.stride,
                    columns,
                    accumulate: !k_block.first,
                    bias,
                    residual,
                    relu: k_block.last && epilogue.relu,
                    fetch,
                },
            );
        }
    }
}

/// Floats of C that a task computes if somebody looks at them afterwards: they share a second-level cache with its part
/// of A and with what they are compared with. But no fewer rows than B has: reading it must remain worthwhile.
const SEEN: usize = 96 * 1024;

/// Floats of B up to which it stays in a cache while the rows pass by, so that each row of C can be
/// written in one go, which suits memory better than stripes: the stem of a ResNet-18 becomes 1.1
/// times as fast.
const B_IN_FIRST_LEVEL: usize = 10 * 1024;
/// The same in the second level, which pays where C is wider than A (1x1 from 64 to 256 channels: 1.3
/// times).
const B_IN_SECOND_LEVEL: usize = 256 * 1024;
/// Floats of B for each tile of rows that will read them: fewer tiles would wait for B's first arrival.
const B_A_TILE: usize = 16 * 1024;

/// A range of K: whether the sum begins and ends with it.
struct KBlock {
    start: usize,
    steps: usize,
    first: bool,
    last: bool,
}

/// The distance of rows, or of matrices, of `len` floats that are used side by side: an odd number of cache
/// lines, so that the same place in each falls on another set of a cache.
pub(crate) fn panel_stride(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}
