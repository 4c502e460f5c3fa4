//! Prototype.
use super::pack::Panels;
use crate::simd::{Simd, SimdOp};

pub(crate) struct GemmBatch<'a> {
    /// `[f][row][a_stride]`
    pub(crate) a: *const f32,
    pub(crate) a_stride: usize,
    pub(crate) a_batch: usize,
    pub(crate) rows: usize,
    pub(crate) b: &'a Panels,
    pub(crate) k: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
    pub(crate) c_batch: usize,
}

pub(crate) const MR: usize = 8;

impl SimdOp for GemmBatch<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let width = self.b.n.next_multiple_of(S::LANES).min(self.b.kernel.nr);
        match width / S::LANES {
            1 => unsafe { self.run::<S, 1>(s) },
            2 => unsafe { self.run::<S, 2>(s) },
            3 => unsafe { self.run::<S, 3>(s) },
            _ => panic!(),
        }
    }
}

impl GemmBatch<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const NV: usize>(&self, s: S) {
        unsafe {
            let mut b = self.b.panel(0, 0).0.as_ptr();
            for f in 0..self.b.k / self.k {
                let mut a = self.a.add(f * self.a_batch);
                let mut c = self.c.add(f * self.c_batch);
                for _ in 0..self.rows.div_ceil(MR) {
                    let mut sums = [[s.splat(0.0); NV]; MR];
                    let mut bb = b;
                    for k in (0..self.k).step_by(8) {
                        for k in k..k + 8 {
                            let mut row_of_b = [s.splat(0.0); NV];
                            for (j, v) in row_of_b.iter_mut().enumerate() {
                                *v = s.load_ptr(bb.add(j * S::LANES));
                            }
                            for (i, row) in sums.iter_mut().enumerate() {
                                let a_i = s.splat(*a.add(i * self.a_stride + k));
                                for (j, sum) in row.iter_mut().enumerate() {
                                    *sum = s.fma(a_i, row_of_b[j], *sum);
                                }
                            }
                            bb = bb.add(NV * S::LANES);
                        }
                    }
                    for (i, row) in sums.iter().enumerate() {
                        for (j, v) in row.iter().enumerate() {
                            s.store_ptr(*v, c.add(i * self.c_stride + j * S::LANES));
                        }
                    }
                    a = a.add(MR * self.a_stride);
                    c = c.add(MR * self.c_stride);
                }
                b = b.add(self.k * NV * S::LANES);
            }
        }
    }
}
