//! The inner loop: a tile of C in registers, a column of A and a row of B a step.

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
/// any address, and at most as many cache lines as a run of the tile has steps.
#[derive(Clone, Copy)]
pub(crate) struct Fetch {
    pub(crate) at: *const f32,
    pub(crate) lines: usize,
}

impl Fetch {
    pub(crate) const NOTHING: Fetch = Fetch { at: std::ptr::null(), lines: 0 };
}

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

        let first_run = Column::new::<MR>(self.a, self.a_stride);
        let (mut a, mut b) = (first_run, self.b);
        // Evenly over the steps: the fill buffers of the first-level cache would block in a burst.
        let (mut fetch, fetch_step) = match self.fetch.lines {
            0 => (self.b, 0),
            lines => (self.fetch.at, (lines * LINE).div_ceil(self.k.max(1))),
        };
        for _ in 0..self.k {
            s.prefetch_read(fetch);
            fetch = fetch.wrapping_add(fetch_step);
            // SAFETY: step < k.
            unsafe { self.step(s, &mut a, &mut b, &mut sums) };
        }
        for run in 1..self.runs {
            let mut a = first_run.moved(run * self.a_run);
            for _ in 0..self.k {
                // SAFETY: run < runs, step < k.
                unsafe { self.step(s, &mut a, &mut b, &mut sums) };
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
        a: &mut Column,
        b: &mut *const f32,
        sums: &mut [[S::V; NV]; MR],
    ) {
        let mut row_of_b = [s.splat(0.0); NV];
        for (j, v) in row_of_b.iter_mut().enumerate() {
            // SAFETY: vector j < V of the step.
            *v = unsafe { s.load_ptr(b.add(j * S::LANES)) };
        }
        a.pin();
        for group in 0..a.starts.len() {
            let start = a.starts[group];
            let first = group * Column::group_rows(MR);
            for i in first..(first + Column::group_rows(MR)).min(MR) {
                // SAFETY: row i < R of the column.
                let a_i = s.splat(unsafe { *start.byte_add(a.down(i - first)) });
                for (sum, &b_j) in sums[i].iter_mut().zip(&row_of_b) {
                    *sum = s.fma(a_i, b_j, *sum);
                }
            }
            a.starts[group] = start.wrapping_add(self.a_step);
        }
        *b = b.wrapping_add(NV * S::LANES);
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

/// A column of A: where each of a few groups of its rows begins, so that every address is one of these plus
/// a small multiple of the rows' distance, which an instruction can add by itself.
#[derive(Clone, Copy)]
struct Column {
    starts: [*const f32; 3],
    stride: usize,
    triple_stride: usize,
}

impl Column {
    /// Rows of each group where there are `rows`; the last group takes what is left.
    const fn group_rows(rows: usize) -> usize {
        rows.div_ceil(3)
    }

    /// The column whose `MR` rows are `stride` apart, the first at `a`.
    #[inline(always)]
    fn new<const MR: usize>(a: *const f32, stride: usize) -> Self {
        let start = |group| a.wrapping_add(group * Self::group_rows(MR) * stride);
        let stride = stride * size_of::<f32>();
        Self { starts: [start(0), start(1), start(2)], stride, triple_stride: 3 * stride }
    }

    /// The column `distance` further on.
    #[inline(always)]
    fn moved(self, distance: usize) -> Self {
        Self { starts: self.starts.map(|start| start.wrapping_add(distance)), ..self }
    }

    /// The distance of a group's row `row` from its first.
    #[inline(always)]
    fn down(&self, row: usize) -> usize {
        if row == 3 { self.triple_stride } else { row * self.stride }
    }

    /// Lets the compiler forget how the fields depend on each other. It would otherwise go from row to row
    /// by additions, each of which waits for the one before, or keep an address for each row and run out
    /// of registers: 3 to 4 % of a product.
    #[inline(always)]
    fn pin(&mut self) {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        // SAFETY: there is no instruction in it.
        unsafe {
            std::arch::asm!(
                "/* {} {} {} {} {} */",
                inout(reg) self.starts[0],
                inout(reg) self.starts[1],
                inout(reg) self.starts[2],
                inout(reg) self.stride,
                inout(reg) self.triple_stride,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}
