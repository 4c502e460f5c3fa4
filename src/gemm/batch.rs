//! Many small products at once, as Winograd's algorithm needs them: one a frequency.

use super::blocking::k_block;
use super::driver::gemm_block;
use super::pack::Panels;
use crate::simd::{Simd, SimdOp};
use std::ops::Range;

/// C\[f\] = A\[f\] · B\[f, panels\] for each f of `count`, on the calling thread. Each operand holds its
/// matrices at equal distances, a part of its length each: B\[f\] has `k` rows at least, A\[f\] and C\[f\]
/// have `rows` rows, `a_stride` and `c_stride` apart; the rows of C begin with the first of the panels.
///
/// # Panics
/// If a size does not fit.
pub(crate) fn gemm_batch(
    count: usize,
    (a, a_stride, rows): (&[f32], usize, usize),
    (b, k, panels): (&Panels, usize, Range<usize>),
    (c, c_stride): (&mut [f32], usize),
) {
    let (a_len, b_rows, c_len) = (a.len() / count, b.k / count, c.len() / count);
    assert!(k <= b_rows && b.k == count * b_rows, "matrices of B");
    assert!(rows * a_stride <= a_len && rows * c_stride <= c_len, "sizes of A and C");
    let one_panel = b.count() == 1 && b.n.is_multiple_of(b.kernel.lanes);
    let one_block = k_block(k) >= k && k.is_multiple_of(UNROLL);
    if one_panel && one_block && rows >= WIDE_ROWS {
        b.kernel.isa().dispatch(OnePanel { count, a, a_stride, rows, b, k, c, c_stride });
        return;
    }
    let matrices = a.chunks_exact(a_len).zip(c.chunks_exact_mut(c_len)).take(count);
    for (f, (a, c)) in matrices.enumerate() {
        let k = f * b_rows..f * b_rows + k;
        gemm_block((a, a_stride, rows), (b, k, panels.clone()), (c, c_stride));
    }
}

/// Steps of k that are compiled one after the other.
const UNROLL: usize = 8;
/// Rows of C whose sums are in registers, where there are 32 of them; 8 sums are enough to keep two
/// multiply-adds of four cycles each busy.
const WIDE_ROWS: usize = 8;
/// The same where there are 16.
const NARROW_ROWS: usize = 6;

/// Products whose B is one panel of whole vectors and whose K one block. In products this small, what comes before and
/// after a tile would take as long as the tile: here all tiles of all products are one loop.
struct OnePanel<'a> {
    count: usize,
    a: &'a [f32],
    a_stride: usize,
    rows: usize,
    b: &'a Panels,
    k: usize,
    c: &'a mut [f32],
    c_stride: usize,
}

impl SimdOp for OnePanel<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let (b, columns) = self.b.panel(0, 0);
        let vectors = columns.div_ceil(S::LANES);
        assert!(self.c_stride >= columns && self.a_stride >= self.k, "rows of A and C");
        // SAFETY: `gemm_batch` has asserted the sizes of A and C, whose rows are long enough; B has `k`
        // steps of `vectors` vectors at least for each product.
        unsafe {
            match (vectors, S::LANES) {
                (1, 16) => self.compute::<S, WIDE_ROWS, 1>(s, b),
                (2, 16) => self.compute::<S, WIDE_ROWS, 2>(s, b),
                (1, _) => self.compute::<S, NARROW_ROWS, 1>(s, b),
                (2, _) => self.compute::<S, NARROW_ROWS, 2>(s, b),
                (3, _) => self.compute::<S, NARROW_ROWS, 3>(s, b),
                _ => unreachable!("panels have at most three vectors"),
            }
        }
    }
}

impl OnePanel<'_> {
    /// All products, `MR` rows of `NV` vectors at a time.
    ///
    /// # Safety
    /// A and C must have the sizes that [`gemm_batch`] says, their rows at least `k` values and `NV`
    /// vectors; `rows >= MR`; each of the `count` parts of `b` must have `k` steps of `NV` vectors at least.
    #[inline(always)]
    unsafe fn compute<S: Simd, const MR: usize, const NV: usize>(self, s: S, b: &[f32]) {
        let Self { count, a, a_stride, rows, k, c, c_stride, .. } = self;
        let (a_len, c_len) = (a.len() / count, c.len() / count);
        for (f, b) in b.chunks_exact(b.len() / count).enumerate() {
            let (a, c) =
                (a.as_ptr().wrapping_add(f * a_len), c.as_mut_ptr().wrapping_add(f * c_len));
            for tile in 0..rows.div_ceil(MR) {
                // The last tile begins early and computes some rows again, to the same values.
                let row = (tile * MR).min(rows - MR);
                let (a, mut b) = (a.wrapping_add(row * a_stride), b.as_ptr());
                let mut sums = [[s.splat(0.0); NV]; MR];
                for first in (0..k).step_by(UNROLL) {
                    for step in first..first + UNROLL {
                        // SAFETY: step < k, a multiple of UNROLL; rows of A from `row` to `row + MR`.
                        unsafe {
                            let mut row_of_b = [s.splat(0.0); NV];
                            for (j, v) in row_of_b.iter_mut().enumerate() {
                                *v = s.load_ptr(b.add(j * S::LANES));
                            }
                            for (i, row) in sums.iter_mut().enumerate() {
                                let a_i = s.splat(*a.add(i * a_stride + step));
                                for (sum, &b_j) in row.iter_mut().zip(&row_of_b) {
                                    *sum = s.fma(a_i, b_j, *sum);
                                }
                            }
                        }
                        b = b.wrapping_add(NV * S::LANES);
                    }
                }
                let c = c.wrapping_add(row * c_stride);
                for (i, row) in sums.iter().enumerate() {
                    for (j, &sum) in row.iter().enumerate() {
                        // SAFETY: rows of C from `row` to `row + MR`, `NV` vectors each.
                        unsafe { s.store_ptr(sum, c.add(i * c_stride + j * S::LANES)) };
                    }
                }
            }
        }
    }
}
