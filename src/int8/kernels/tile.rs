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

/// The most columns of a tile.
const MOST_COLUMNS: usize = 32;
/// The most values of a tile.
const MOST_VALUES: usize = 14 * MOST_COLUMNS;

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
        let (mut factors, mut shifts) = ([s.splat(0.0); NV], [s.splat(0.0); NV]);
        for j in 0..NV {
            // SAFETY: vector j < V of the factors and shifts.
            unsafe {
                factors[j] = s.load(self.factor.add(j * S::LANES));
                shifts[j] = s.load(self.shift.add(j * S::LANES));
            }
        }
        let mut whole = [0_u8; MOST_COLUMNS];
        let whole = whole.as_mut_ptr();
        match self.target {
            Target::F32(to) => {
                for i in 0..rows {
                    let mut row = [0.0; MOST_COLUMNS];
                    // SAFETY: a row < R of the sums.
                    let values = unsafe { scaled(s, sums, i, &factors, &shifts) };
                    for (j, value) in values.into_iter().enumerate() {
                        // SAFETY: room for the vectors of a row.
                        unsafe { s.store(value, row.as_mut_ptr().add(j * S::LANES)) };
                    }
                    // SAFETY: the columns of a row < R of the target.
                    unsafe {
                        let to = to.add(i * self.stride);
                        to.copy_from_nonoverlapping(row.as_ptr(), self.columns);
                    }
                }
            }
            Target::U8 { values, residual, residual_factor } => {
                let factor = s.splat(residual_factor);
                // Two rows together; the last one of an odd number twice.
                let mut i = 0;
                while WHOLE && i < rows {
                    let pair = [i, (i + 1).min(rows - 1)];
                    let at = [pair[0] * self.stride, pair[1] * self.stride];
                    // SAFETY: two rows < R of the sums, the target and the residual.
                    unsafe {
                        let mut rows = [
                            scaled(s, sums, pair[0], &factors, &shifts),
                            scaled(s, sums, pair[1], &factors, &shifts),
                        ];
                        if !residual.is_null() {
                            add(s, &mut rows[0], residual.add(at[0]), factor);
                            add(s, &mut rows[1], residual.add(at[1]), factor);
                        }
                        s.store_u8_rows(rows, [values.add(at[0]), values.add(at[1])]);
                    }
                    i += 2;
                }
                while i < rows {
                    // SAFETY: a row < R of the sums.
                    let mut row = unsafe { scaled(s, sums, i, &factors, &shifts) };
                    if !residual.is_null() {
                        // SAFETY: the columns of a row < R of the residual, copied to where there is room for
                        // whole vectors.
                        unsafe {
                            let from = residual.add(i * self.stride);
                            whole.copy_from_nonoverlapping(from, self.columns);
                            add(s, &mut row, whole, factor);
                        }
                    }
                    for (j, value) in row.into_iter().enumerate() {
                        // SAFETY: room for the vectors of a row.
                        unsafe { s.store_u8(value, whole.add(j * S::LANES)) };
                    }
                    // SAFETY: the columns of a row < R of the target.
                    unsafe {
                        let to = values.add(i * self.stride);
                        to.copy_from_nonoverlapping(whole, self.columns);
                    }
                    i += 1;
                }
            }
        }
    }
}

/// Row `row` of `sums`, times factors plus shifts.
///
/// # Safety
/// The row's vectors must be readable.
#[inline(always)]
unsafe fn scaled<S: Dot, const NV: usize>(
    s: S,
    sums: *const f32,
    row: usize,
    factors: &[S::F; NV],
    shifts: &[S::F; NV],
) -> [S::F; NV] {
    let mut values = *factors;
    for (j, value) in values.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let sum = unsafe { s.load(sums.add((row * NV + j) * S::LANES)) };
        *value = s.fma(sum, factors[j], shifts[j]);
    }
    values
}

/// Adds the vectors at `residual`, times `factor`.
///
/// # Safety
/// They must be readable.
#[inline(always)]
unsafe fn add<S: Dot, const NV: usize>(
    s: S,
    row: &mut [S::F; NV],
    residual: *const u8,
    factor: S::F,
) {
    for (j, value) in row.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let residual = unsafe { s.load_u8(residual.add(j * S::LANES)) };
        *value = s.fma(residual, factor, *value);
    }
}
