//! AVX2 with FMA: 8 lanes.

use super::{Simd, SimdOp};
use std::arch::x86_64::*;

/// Proof that the CPU has Avx2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The CPU must have avx2,fma.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Runs `op` compiled for Avx2.
///
/// # Safety
/// The CPU must have avx2,fma.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn eval<O: SimdOp>(op: O) -> O::Output {
    op.eval(Avx2(()))
}

/// The lanes below `n`, as the sign bits that masked moves look at.
#[inline(always)]
fn first(n: usize) -> __m256i {
    const ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let from = &ONES_THEN_ZEROS[8 - n..16 - n];
    // SAFETY: the slice holds 8 integers; the callers hold an `Avx2`.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Calls intrinsics for a holder of an `Avx2`.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the value proves that the CPU has the instructions, and the callers of the pointer
        // functions vouch for the memory.
        unsafe { $call }
    };
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        op!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        op!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn if_gt(self, a: __m256, b: __m256, then: __m256, otherwise: __m256) -> __m256 {
        op!(_mm256_blendv_ps(otherwise, then, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)))
    }

    #[inline(always)]
    fn if_nan(self, a: __m256, then: __m256, otherwise: __m256) -> __m256 {
        op!(_mm256_blendv_ps(otherwise, then, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)))
    }

    #[inline(always)]
    fn flush(self, a: __m256) -> __m256 {
        let (min, sign) = (self.splat(f32::MIN_POSITIVE), self.splat(-0.0));
        op!(_mm256_and_ps(a, _mm256_cmp_ps::<_CMP_NLT_UQ>(_mm256_andnot_ps(sign, a), min)))
    }

    #[inline(always)]
    fn prefetch_write(self, at: *const f32) {
        op!(_mm_prefetch::<_MM_HINT_ET0>(at.cast()));
    }

    #[inline(always)]
    fn prefetch_read(self, at: *const f32) {
        op!(_mm_prefetch::<_MM_HINT_T1>(at.cast()));
    }

    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> __m256 {
        op!(_mm256_loadu_ps(src))
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: __m256, dst: *mut f32) {
        op!(_mm256_storeu_ps(dst, v))
    }

    #[inline(always)]
    unsafe fn load_if(self, condition: bool, src: *const f32) -> __m256 {
        op!(_mm256_maskload_ps(src, _mm256_set1_epi32(-i32::from(condition))))
    }

    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> __m256 {
        op!(_mm256_maskload_ps(src, first(n)))
    }

    #[inline(always)]
    unsafe fn store_first(self, v: __m256, dst: *mut f32, n: usize) {
        op!(_mm256_maskstore_ps(dst, first(n), v))
    }
}
