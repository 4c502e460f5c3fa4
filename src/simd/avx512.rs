//! AVX-512: 16 lanes, masks for tails.

use super::{Simd, SimdOp};
use std::arch::x86_64::*;

/// Proof that the CPU has Avx512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The CPU must have avx512f,avx512vl,avx2,fma.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Runs `op` compiled for Avx512.
///
/// # Safety
/// The CPU must have avx512f,avx512vl,avx2,fma.
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
pub(super) unsafe fn eval<O: SimdOp>(op: O) -> O::Output {
    op.eval(Avx512(()))
}

/// The lanes below `n`.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

/// Calls intrinsics for a holder of an `Avx512`.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the value proves that the CPU has the instructions, and the callers of the pointer
        // functions vouch for the memory.
        unsafe { $call }
    };
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        op!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        op!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn if_gt(self, a: __m512, b: __m512, then: __m512, otherwise: __m512) -> __m512 {
        op!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), otherwise, then))
    }

    #[inline(always)]
    fn if_nan(self, a: __m512, then: __m512, otherwise: __m512) -> __m512 {
        op!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), otherwise, then))
    }

    #[inline(always)]
    fn flush(self, a: __m512) -> __m512 {
        let min = self.splat(f32::MIN_POSITIVE);
        op!(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(a), min), a))
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
    unsafe fn load_ptr(self, src: *const f32) -> __m512 {
        op!(_mm512_loadu_ps(src))
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: __m512, dst: *mut f32) {
        op!(_mm512_storeu_ps(dst, v))
    }

    #[inline(always)]
    unsafe fn load_if(self, condition: bool, src: *const f32) -> __m512 {
        op!(_mm512_maskz_loadu_ps(if condition { !0 } else { 0 }, src))
    }

    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> __m512 {
        op!(_mm512_maskz_loadu_ps(first(n), src))
    }

    #[inline(always)]
    unsafe fn store_first(self, v: __m512, dst: *mut f32, n: usize) {
        op!(_mm512_mask_storeu_ps(dst, first(n), v))
    }
}
