//! The inner loop: a tile of C in registers, a column of A and a row of B a step.

use super::column::Column;
use crate::simd::Simd;

/// One tile of C: what to multiply, where to put it, what to do before.
///
/// # Promises
/// Whoever has a tile computed promises, for its number of rows R and its vectors V of L lanes:
/// `a` is readable at `i * a_stride + r * a_run + j * a_step` for `i < R`, `r < runs`, `j < k`; `b` for
/// `runs * k * V * L` floats; `c` is writable (and, with `accumulate`, initialised) at
/// `i * c_stride + j` for `i < R`, `j < columns`,
/// and nothing else reads or writes there meanwhile; `residual`, if not null, is readable where `c`
/// is written; `bias`, if not null, for `columns` floats; and `(V - 1) * L < columns <= V * L`.
pub(crate) struct Tile {
    pub(crate) a: *const f32,
    /// From row to row.
    pub(crate) a_stride: usize,
    /// From step to step of k.
    pub(crate) a_step: usize,
    /// Steps of a run.
    pub(crate) k: usize,
    /// The sum goes over so many runs of k steps each, one after the other; at least one.
    pub(crate) runs: usize,
    /// From run to run.
    pub(crate) a_run: usize,
    /// Packed: for each step, V vectors.
    pub(crate) b: *const f32,
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
    pub(crate) columns: usize,
    /// Add to what C holds.
    pub(crate) accumulate: bool,
    pub(crate) bias: *const f32,
    /// Rows `c_stride` apart.
    pub(crate) residual: *const f32,
    pub(crate) relu: bool,
    /// What to fetch meanwhile.
    pub(crate) fetch: Fetch,
}

/// Memory that will soon be needed, to be fetched into the second-level cache while a tile is computed:
/// any address, and at most as many cache lines as the tile has steps.
#[derive(Clone, Copy)]
pub(crate) struct Fetch {
    pub(crate) at: *const f32,
    pub(crate) lines: usize,
}

impl Fetch {
    pub(crate) const NOTHING: Fetch = Fetch { at: std::ptr::null(), lines: 0 };

    /// Evenly over `steps` steps: the fill buffers of the first-level cache would block in a burst. Without
    /// lines to fetch, `near` over and over.
    #[inline(always)]
    fn spread(self, steps: usize, near: *const f32) -> Stream {
        match self.lines {
            0 => Stream { at: near, step: 0 },
            lines => Stream { at: self.at, step: (lines * LINE).div_ceil(steps.max(1)) },
        }
    }
}

/// What each step fetches.
struct Stream {
    at: *const f32,
    /// Floats from step to step.
    step: usize,
}

impl Stream {
    #[inline(always)]
    fn next<S: Simd>(&mut self, s: S) {
        s.prefetch_read(self.at);
        self.at = self.at.wrapping_add(self.step);
    }
}

/// Bytes of an f32.
const FLOAT: usize = size_of::<f32>();

/// f32 in a cache line.
pub(crate) const LINE: usize = 16;

impl Tile {
    /// Computes the tile with `MR` rows and `NV` vectors a row.
    ///
    /// # Safety
    /// The promises above, with R = `MR` and V = `NV`.
    #[inline(always)]
    pub(crate) unsafe fn compute<S: Simd, const MR: usize, const NV: usize>(&self, s: S) {
        // SAFETY: all of the pointers below stay within what the promises cover; the branch tells
        // whether the last vector of a row is whole.
        unsafe {
            if self.columns == NV * S::LANES {
                self.compute_with::<S, MR, NV, true>(s);
            } else {
                self.compute_with::<S, MR, NV, false>(s);
            }
        }
    }

    /// # Safety
    /// As [`compute`](Self::compute); `WHOLE` says that `columns == NV * LANES`.
    #[inline(always)]
    unsafe fn compute_with<S: Simd, const MR: usize, const NV: usize, const WHOLE: bool>(
        &self,
        s: S,
    ) {
        // Plain loops over constant bounds: they unroll, and the sums stay in registers.
        let mut sums = [[s.splat(0.0); NV]; MR];
        // C will be needed at the end; its rows lie far apart, which the hardware's own prefetchers
        // do not follow.
        for i in 0..MR {
            for j in 0..NV {
                s.prefetch_write(self.c.wrapping_add(i * self.c_stride + j * S::LANES));
            }
        }

        let first_run = Column::new::<MR>(self.a.cast(), self.a_stride * FLOAT);
        let (mut b, mut fetch) = (self.b, self.fetch.spread(self.runs * self.k, self.b));
        for run in 0..self.runs {
            let mut a = first_run.moved(run * self.a_run * FLOAT);
            let mut left = self.k;
            // Steps that lie next to each other need no arithmetic: their distance is part of the
            // instruction.
            if self.a_step == 1 {
                // Four at a time; eight are slower by a tenth (AVX-512). A loop over them would not always
                // be unrolled.
                while left >= 4 {
                    a.pin();
                    // SAFETY: at least four steps are left.
                    unsafe {
                        self.step(s, a, &mut b, &mut fetch, &mut sums);
                        self.step(s, a.moved(FLOAT), &mut b, &mut fetch, &mut sums);
                        self.step(s, a.moved(2 * FLOAT), &mut b, &mut fetch, &mut sums);
                        self.step(s, a.moved(3 * FLOAT), &mut b, &mut fetch, &mut sums);
                    }
                    a = a.moved(4 * FLOAT);
                    left -= 4;
                }
            }
            for _ in 0..left {
                a.pin();
                // SAFETY: this step is left.
                unsafe { self.step(s, a, &mut b, &mut fetch, &mut sums) };
                a = a.moved(self.a_step * FLOAT);
            }
        }

        if self.accumulate {
            for (i, row) in sums.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    // SAFETY: row i < R of C, vector j < V of it.
                    let before =
                        unsafe { self.load::<S, NV, WHOLE>(s, self.c.add(i * self.c_stride), j) };
                    *sum = s.add(before, *sum);
                }
            }
        }
        if !self.bias.is_null() {
            for j in 0..NV {
                // SAFETY: vector j < V of the bias.
                let bias = unsafe { self.load::<S, NV, WHOLE>(s, self.bias, j) };
                for row in &mut sums {
                    row[j] = s.add(row[j], bias);
                }
            }
        }
        if !self.residual.is_null() {
            for (i, row) in sums.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    // SAFETY: row i < R of the residual, vector j < V of it.
                    let residual = unsafe {
                        self.load::<S, NV, WHOLE>(s, self.residual.add(i * self.c_stride), j)
                    };
                    *sum = s.add(*sum, residual);
                }
            }
        }
        if self.relu {
            let zero = s.splat(0.0);
            for row in &mut sums {
                for sum in row {
                    *sum = s.max(zero, *sum);
                }
            }
        }
        for (i, row) in sums.iter().enumerate() {
            for (j, sum) in row.iter().enumerate() {
                // SAFETY: row i < R of C, vector j < V of it.
                unsafe { self.store::<S, NV, WHOLE>(s, *sum, self.c.add(i * self.c_stride), j) };
            }
        }
    }

    /// One step of k: a column of A times a row of B.
    ///
    /// # Safety
    /// A column of `MR` values at `a` and `NV` vectors at `b` must be readable.
    #[inline(always)]
    unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        a: Column,
        b: &mut *const f32,
        fetch: &mut Stream,
        sums: &mut [[S::V; NV]; MR],
    ) {
        fetch.next(s);
        let mut row_of_b = [s.splat(0.0); NV];
        for (j, v) in row_of_b.iter_mut().enumerate() {
            // SAFETY: vector j < V of the step.
            *v = unsafe { s.load_ptr(b.add(j * S::LANES)) };
        }
        *b = b.wrapping_add(NV * S::LANES);
        // Group by group: one loop over all rows would be too long to unroll.
        for group in 0..Column::GROUPS {
            let [first, end] = [group, group + 1].map(|g| (g * Column::group_rows(MR)).min(MR));
            for (row, sums) in sums[first..end].iter_mut().enumerate() {
                // SAFETY: a row < R of the column.
                let a_i = s.splat(unsafe { *a.at(group, row).cast() });
                for (sum, &b_j) in sums.iter_mut().zip(&row_of_b) {
                    *sum = s.fma(a_i, b_j, *sum);
                }
            }
        }
    }

    /// Vector `j` of the row at `row`.
    ///
    /// # Safety
    /// The row's `columns` floats must be readable.
    #[inline(always)]
    unsafe fn load<S: Simd, const NV: usize, const WHOLE: bool>(
        &self,
        s: S,
        row: *const f32,
        j: usize,
    ) -> S::V {
        // SAFETY: vector j < V of a row of `columns` floats; only the last one can be cut.
        unsafe {
            let at = row.add(j * S::LANES);
            if WHOLE || j + 1 < NV {
                s.load_ptr(at)
            } else {
                s.load_first(at, self.columns - j * S::LANES)
            }
        }
    }

    /// Stores vector `j` of the row at `row`.
    ///
    /// # Safety
    /// The row's `columns` floats must be writable.
    #[inline(always)]
    unsafe fn store<S: Simd, const NV: usize, const WHOLE: bool>(
        &self,
        s: S,
        v: S::V,
        row: *mut f32,
        j: usize,
    ) {
        // SAFETY: as in `load`.
        unsafe {
            let at = row.add(j * S::LANES);
            if WHOLE || j + 1 < NV {
                s.store_ptr(v, at);
            } else {
                s.store_first(v, at, self.columns - j * S::LANES);
            }
        }
    }
}
