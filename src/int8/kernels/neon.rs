//! NEON: 4 columns a vector, by the instructions for dot products where the CPU has them. Rust has no stable
//! functions for those, so they are written as assembly.

use super::{Dot, kernel};
use std::arch::aarch64::*;
use std::arch::asm;

/// Calls intrinsics for a holder of a proof.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the value proves that the CPU has the instructions, and the callers of the pointer
        // functions vouch for the memory.
        unsafe { $call }
    };
}

/// What all ways have in common.
macro_rules! floats {
    () => {
        type F = float32x4_t;
        const LANES: usize = 4;

        #[inline(always)]
        fn splat(self, x: f32) -> float32x4_t {
            op!(vdupq_n_f32(x))
        }

        #[inline(always)]
        fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            op!(vfmaq_f32(c, a, b))
        }

        #[inline(always)]
        unsafe fn load(self, at: *const f32) -> float32x4_t {
            op!(vld1q_f32(at))
        }

        #[inline(always)]
        unsafe fn load_u8(self, at: *const u8) -> float32x4_t {
            op!({
                let bytes = vcreate_u8(u64::from(at.cast::<u32>().read_unaligned()));
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))))
            })
        }

        #[inline(always)]
        unsafe fn store(self, v: float32x4_t, at: *mut f32) {
            op!(vst1q_f32(at, v))
        }

        #[inline(always)]
        unsafe fn store_u8(self, v: float32x4_t, at: *mut u8) {
            // Each of these cuts what does not fit.
            op!({
                let words = vqmovn_u32(vcvtnq_u32_f32(v));
                let bytes = vqmovn_u16(vcombine_u16(words, words));
                at.cast::<u32>().write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_u8(bytes)));
            });
        }

        #[inline(always)]
        fn prefetch(self, at: *const i8) {
            // SAFETY: any address may be fetched.
            unsafe {
                asm!("prfm pldl2keep, [{}]", in(reg) at, options(readonly, nostack, preserves_flags));
            }
        }
    };
}

/// What both ways that take 128 less of each value of A have in common.
macro_rules! signed_a {
    () => {
        type A = int8x16_t;
        type B = int8x16_t;

        #[inline(always)]
        unsafe fn a(self, at: *const u8) -> int8x16_t {
            op!({
                let a = vdupq_n_u32(at.cast::<u32>().read_unaligned() ^ 0x8080_8080);
                vreinterpretq_s8_u32(a)
            })
        }

        #[inline(always)]
        unsafe fn b(self, at: *const i8) -> int8x16_t {
            op!(vld1q_s8(at))
        }
    };
}

/// Proof that the CPU has i8mm.
#[derive(Clone, Copy)]
struct I8mm(());

impl I8mm {
    /// # Safety
    /// The CPU must have neon and i8mm.
    #[inline(always)]
    unsafe fn assume() -> Self {
        Self(())
    }
}

impl Dot for I8mm {
    type Sum = int32x4_t;
    type A = uint8x16_t;
    type B = int8x16_t;

    floats!();

    #[inline(always)]
    fn zero(self) -> int32x4_t {
        op!(vdupq_n_s32(0))
    }

    #[inline(always)]
    unsafe fn a(self, at: *const u8) -> uint8x16_t {
        op!(vreinterpretq_u8_u32(vdupq_n_u32(at.cast::<u32>().read_unaligned())))
    }

    #[inline(always)]
    unsafe fn b(self, at: *const i8) -> int8x16_t {
        op!(vld1q_s8(at))
    }

    #[inline(always)]
    fn dot(self, mut sum: int32x4_t, a: uint8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the value proves that the CPU has the instruction, which touches registers only.
        unsafe {
            asm!(
                "usdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
                sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }

    #[inline(always)]
    unsafe fn finished(self, sum: int32x4_t, _: *const i32) -> float32x4_t {
        op!(vcvtq_f32_s32(sum))
    }
}

// 24 sums, 3 vectors of B and one group of A: 28 of 32 registers.
kernel!(
    i8mm, I8mm, "int8_gemm_8x12_i8mm",
    rows: [1, 2, 3, 4, 5, 6, 7, 8], vectors: [1, 2, 3], features: "neon,i8mm",
    detected: std::arch::is_aarch64_feature_detected!("neon")
        && std::arch::is_aarch64_feature_detected!("i8mm")
);

/// Proof that the CPU has dotprod.
#[derive(Clone, Copy)]
struct DotProd(());

impl DotProd {
    /// # Safety
    /// The CPU must have neon and dotprod.
    #[inline(always)]
    unsafe fn assume() -> Self {
        Self(())
    }
}

impl Dot for DotProd {
    type Sum = int32x4_t;

    floats!();
    signed_a!();

    #[inline(always)]
    fn zero(self) -> int32x4_t {
        op!(vdupq_n_s32(0))
    }

    #[inline(always)]
    fn dot(self, mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the value proves that the CPU has the instruction, which touches registers only.
        unsafe {
            asm!(
                "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
                sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }

    #[inline(always)]
    unsafe fn finished(self, sum: int32x4_t, correction: *const i32) -> float32x4_t {
        op!(vcvtq_f32_s32(vaddq_s32(sum, vld1q_s32(correction))))
    }
}

kernel!(
    dotprod, DotProd, "int8_gemm_8x12_dotprod",
    rows: [1, 2, 3, 4, 5, 6, 7, 8], vectors: [1, 2, 3], features: "neon,dotprod",
    detected: std::arch::is_aarch64_feature_detected!("neon")
        && std::arch::is_aarch64_feature_detected!("dotprod")
);

/// Proof that the CPU has NEON.
#[derive(Clone, Copy)]
struct Plain(());

impl Plain {
    /// # Safety
    /// The CPU must have neon.
    #[inline(always)]
    unsafe fn assume() -> Self {
        Self(())
    }
}

impl Dot for Plain {
    /// Of each column the sums of the first and of the last two products of its groups: of the first two
    /// columns, and of the others.
    type Sum = [int32x4_t; 2];

    floats!();
    signed_a!();

    #[inline(always)]
    fn zero(self) -> [int32x4_t; 2] {
        op!([vdupq_n_s32(0); 2])
    }

    #[inline(always)]
    fn dot(self, sum: [int32x4_t; 2], a: int8x16_t, b: int8x16_t) -> [int32x4_t; 2] {
        // A product is at most 128 · 127: it fits an i16.
        op!([
            vpadalq_s16(sum[0], vmull_s8(vget_low_s8(a), vget_low_s8(b))),
            vpadalq_s16(sum[1], vmull_high_s8(a, b)),
        ])
    }

    #[inline(always)]
    unsafe fn finished(self, sum: [int32x4_t; 2], correction: *const i32) -> float32x4_t {
        op!(vcvtq_f32_s32(vaddq_s32(vpaddq_s32(sum[0], sum[1]), vld1q_s32(correction))))
    }
}

// 24 sums in halves would not fit: 16 registers of sums, 2 vectors of B, one group of A, products.
kernel!(
    plain, Plain, "int8_gemm_4x8_neon",
    rows: [1, 2, 3, 4], vectors: [1, 2], features: "neon",
    detected: std::arch::is_aarch64_feature_detected!("neon")
);
