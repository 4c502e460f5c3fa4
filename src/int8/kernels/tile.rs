//! The inner loop: a tile of sums in registers, a group of each row of A and of each column of B a step.

use super::{Dot, GROUP};
use crate::gemm::kernels::Column;
use std::mem::MaybeUninit;

/// One tile: what to multiply, what becomes of the sums, where to put it.
///
/// # Promises
/// Whoever has a tile computed promises, for its number of rows R and its vectors V of L lanes:
/// `a` is readable for four bytes at `i * a_stride + r * a_run + 4 * j` for `i < R`, `r < runs`, `j < groups`; `b`
/// for `runs * groups * V * L` groups; `factor`, `shift` and `correction` for `V * L` values; and the target as
/// it says, for `columns` values of R rows, with `(V - 1) * L < columns <= V * L`. Nothing else touches the
/// target meanwhile.
pub(in crate::int8) struct Tile {
    pub(in crate::int8) a: *const u8,
    /// Bytes from row to row.
    pub(in crate::int8) a_stride: usize,
    /// The sum goes over so many runs of groups; at least one.
    pub(in crate::int8) runs: usize,
    /// Groups of a run.
    pub(in crate::int8) groups: usize,
    /// Bytes from run to run.
    pub(in crate::int8) a_run: usize,
    /// Packed: for each group, V vectors.
    pub(in crate::int8) b: *const i8,
    pub(in crate::int8) columns: usize,
    /// 128 times the sums of the columns.
    pub(in crate::int8) correction: *const i32,
    /// A sum s becomes `s · factor + shift`.
    pub(in crate::int8) factor: *const f32,
    pub(in crate::int8) shift: *const f32,
    pub(in crate::int8) target: Target,
    /// Values from row to row of the target.
    pub(in crate::int8) stride: usize,
    /// Bytes that will soon be needed, to be fetched meanwhile: any address, `fetch_step` of them a step.
    pub(in crate::int8) fetch: *const i8,
    pub(in crate::int8) fetch_step: usize,
}

/// Where the values go.
#[derive(Clone, Copy)]
pub(in crate::int8) enum Target {
    /// As they are.
    F32(*mut f32),
    /// Plus `residual_factor` times the value at the same place of `residual`, unless that is null; rounded half to
    /// even and cut to 0..=255.
    U8 { values: *mut u8, residual: *const u8, residual_factor: f32 },
}

/// The most columns of a vector.
const MOST_LANES: usize = 16;
/// The most values of a tile.
const MOST_VALUES: usize = 14 * 2 * MOST_LANES;

impl Tile {
    /// Computes the tile with `MR` rows and `NV` vectors a row.
    ///
    /// # Safety
    /// The promises above, with R = `MR` and V = `NV`.
    #[inline(always)]
    pub(super) unsafe fn compute<S: Dot, const MR: usize, const NV: usize>(&self, s: S) {
        // Plain loops over constant bounds: they unroll, and the sums stay in registers.
        let mut sums = [[s.zero(); NV]; MR];
        let first_run = Column::new::<MR>(self.a, self.a_stride);
        let (mut b, mut fetch) = (self.b, self.fetch);
        for run in 0..self.runs {
            let mut a = first_run.moved(run * self.a_run);
            let mut left = self.groups;
            while left >= 4 {
                a.pin();
                // SAFETY: at least four groups are left.
                unsafe {
                    self.step(s, a, &mut b, &mut fetch, &mut sums);
                    self.step(s, a.moved(GROUP), &mut b, &mut fetch, &mut sums);
                    self.step(s, a.moved(2 * GROUP), &mut b, &mut fetch, &mut sums);
                    self.step(s, a.moved(3 * GROUP), &mut b, &mut fetch, &mut sums);
                }
                a = a.moved(4 * GROUP);
                left -= 4;
            }
            for _ in 0..left {
                a.pin();
                // SAFETY: this group is left.
                unsafe { self.step(s, a, &mut b, &mut fetch, &mut sums) };
                a = a.moved(GROUP);
            }
        }
        // In memory from here on: loops over what follows would be too long to unroll, and sums that are not
        // indexed by constants would never be in registers.
        let mut values = [MaybeUninit::<f32>::uninit(); MOST_VALUES];
        let row_len = NV * S::LANES;
        for (i, row) in sums.iter().enumerate() {
            for (j, sum) in row.iter().enumerate() {
                let at = j * S::LANES;
                // SAFETY: vector j < V of the corrections; the tile has no more than `MOST_VALUES` values.
                unsafe {
                    let value = s.finished(*sum, self.correction.wrapping_add(at));
                    s.store(value, values.as_mut_ptr().cast::<f32>().add(i * row_len + at));
                }
            }
        }
        // SAFETY: the caller's promises; the branch tells whether the last vector of a row is whole.
        unsafe {
            if self.columns == row_len {
                self.finish::<S, NV, true>(s, values.as_ptr().cast(), MR);
            } else {
                self.finish::<S, NV, false>(s, values.as_ptr().cast(), MR);
            }
        }
    }

    /// One group of K.
    ///
    /// # Safety
    /// A column of `MR` groups at `a` and `NV` vectors at `b` must be readable.
    #[inline(always)]
    unsafe fn step<S: Dot, const MR: usize, const NV: usize>(
        &self,
        s: S,
        a: Column,
        b: &mut *const i8,
        fetch: &mut *const i8,
        sums: &mut [[S::Sum; NV]; MR],
    ) {
        s.prefetch(*fetch);
        *fetch = fetch.wrapping_add(self.fetch_step);
        // SAFETY: the first vector is readable, since there is at least one.
        let mut row_of_b = [unsafe { s.b(*b) }; NV];
        for (j, v) in row_of_b.iter_mut().enumerate().skip(1) {
            // SAFETY: vector j < V of the step.
            *v = unsafe { s.b(b.wrapping_add(j * GROUP * S::LANES)) };
        }
        *b = b.wrapping_add(NV * GROUP * S::LANES);
        // Group by group of rows: one loop over all would be too long to unroll.
        for group in 0..Column::GROUPS {
            let [first, end] = [group, group + 1].map(|g| (g * Column::group_rows(MR)).min(MR));
            for (row, sums) in sums[first..end].iter_mut().enumerate() {
                // SAFETY: a row < R of the column.
                let a_i = unsafe { s.a(a.at(group, row)) };
                for (sum, &b_j) in sums.iter_mut().zip(&row_of_b) {
                    *sum = s.dot(*sum, a_i, b_j);
                }
            }
        }
    }

    /// What becomes of `rows` rows of sums, each V vectors, at `sums`.
    ///
    /// # Safety
    /// As [`compute`](Self::compute); `WHOLE` says that `columns == NV * LANES`.
    #[inline(always)]
    unsafe fn finish<S: Dot, const NV: usize, const WHOLE: bool>(
        &self,
        s: S,
        sums: *const f32,
        rows: usize,
    ) {
        for j in 0..NV {
            let at = j * S::LANES;
            let (whole, rest) = (WHOLE || j + 1 < NV, self.columns - at);
            // SAFETY: vector j < V of the factors and shifts.
            let (factor, shift) =
                unsafe { (s.load(self.factor.add(at)), s.load(self.shift.add(at))) };
            for i in 0..rows {
                // SAFETY: vector j < V of row i.
                let sum = unsafe { s.load(sums.add((i * NV + j) * S::LANES)) };
                let value = s.fma(sum, factor, shift);
                let place = i * self.stride + at;
                // SAFETY: LANES values of row i < R of the target, or those that are left.
                unsafe {
                    match (self.target, whole) {
                        (Target::F32(to), true) => s.store(value, to.add(place)),
                        (Target::F32(to), false) => {
                            let mut cut = [0.0; MOST_LANES];
                            s.store(value, cut.as_mut_ptr());
                            to.add(place).copy_from_nonoverlapping(cut.as_ptr(), rest);
                        }
                        (Target::U8 { values, residual, residual_factor }, true) => {
                            let mut value = value;
                            if !residual.is_null() {
                                let residual = s.load_u8(residual.add(place));
                                value = s.fma(residual, s.splat(residual_factor), value);
                            }
                            s.store_u8(value, values.add(place));
                        }
                        (Target::U8 { values, residual, residual_factor }, false) => {
                            let (mut value, mut cut) = (value, [0; MOST_LANES]);
                            if !residual.is_null() {
                                cut.as_mut_ptr()
                                    .copy_from_nonoverlapping(residual.add(place), rest);
                                let residual = s.load_u8(cut.as_ptr());
                                value = s.fma(residual, s.splat(residual_factor), value);
                            }
                            s.store_u8(value, cut.as_mut_ptr());
                            values.add(place).copy_from_nonoverlapping(cut.as_ptr(), rest);
                        }
                    }
                }
            }
        }
    }
}
