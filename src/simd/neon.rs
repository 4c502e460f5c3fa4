//! NEON (aarch64): 4 lanes.

use super::{Simd, SimdOp};
use std::arch::aarch64::*;

/// Proof that the CPU has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The CPU must have neon.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Runs `op` compiled for NEON.
///
/// # Safety
/// The CPU must have neon.
#[target_feature(enable = "neon")]
pub(super) unsafe fn eval<O: SimdOp>(op: O) -> O::Output {
    op.eval(Neon(()))
}

/// Calls intrinsics for a holder of a `Neon`.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the value proves that the CPU has the instructions, and the callers of the pointer
        // functions vouch for the memory.
        unsafe { $call }
    };
}

impl Simd for Neon {
    type V = float32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        op!(vdupq_n_f32(x))
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        op!(vdivq_f32(a, b))
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        op!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // Not `fmax`: it propagates NaN from either side, and this must be a > b ? a : b.
        op!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn if_gt(
        self,
        a: float32x4_t,
        b: float32x4_t,
        then: float32x4_t,
        otherwise: float32x4_t,
    ) -> float32x4_t {
        op!(vbslq_f32(vcgtq_f32(a, b), then, otherwise))
    }

    #[inline(always)]
    fn if_nan(self, a: float32x4_t, then: float32x4_t, otherwise: float32x4_t) -> float32x4_t {
        op!(vbslq_f32(vceqq_f32(a, a), otherwise, then))
    }

    #[inline(always)]
    fn flush(self, a: float32x4_t) -> float32x4_t {
        let min = self.splat(f32::MIN_POSITIVE);
        op!(vreinterpretq_f32_u32(vbicq_u32(
            vreinterpretq_u32_f32(a),
            vcltq_f32(vabsq_f32(a), min)
        )))
    }

    #[inline(always)]
    fn prefetch_write(self, at: *const f32) {
        op!(std::arch::asm!("prfm pstl1keep, [{0}]", in(reg) at, options(nostack, readonly)));
    }

    #[inline(always)]
    fn prefetch_read(self, at: *const f32) {
        op!(std::arch::asm!("prfm pldl2keep, [{0}]", in(reg) at, options(nostack, readonly)));
    }

    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> float32x4_t {
        op!(vld1q_f32(src))
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: float32x4_t, dst: *mut f32) {
        op!(vst1q_f32(dst, v))
    }

    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> float32x4_t {
        let mut lanes = [0.0; 4];
        lanes[..n].copy_from_slice(op!(std::slice::from_raw_parts(src, n)));
        op!(vld1q_f32(lanes.as_ptr()))
    }

    #[inline(always)]
    unsafe fn store_first(self, v: float32x4_t, dst: *mut f32, n: usize) {
        let mut lanes = [0.0; 4];
        op!(vst1q_f32(lanes.as_mut_ptr(), v));
        op!(std::slice::from_raw_parts_mut(dst, n)).copy_from_slice(&lanes[..n]);
    }
}
