//! Every CPU: 8 lanes of the `wide` crate, which the compiler lowers to what the target always has.
//!
//! `wide` chooses instructions when it is compiled, so on x86-64 this is SSE2 without a fused
//! multiply-add: results differ from the other sets in the last bits.

use super::Simd;
use wide::f32x8;

/// The vectors of `wide`.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type V = f32x8;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }

    #[inline(always)]
    fn fma(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b).select(a, b)
    }

    #[inline(always)]
    fn if_gt(self, a: f32x8, b: f32x8, then: f32x8, otherwise: f32x8) -> f32x8 {
        a.simd_gt(b).select(then, otherwise)
    }

    #[inline(always)]
    fn if_nan(self, a: f32x8, then: f32x8, otherwise: f32x8) -> f32x8 {
        a.is_nan().select(then, otherwise)
    }

    #[inline(always)]
    fn flush(self, a: f32x8) -> f32x8 {
        a.abs().simd_lt(f32x8::splat(f32::MIN_POSITIVE)).select(f32x8::ZERO, a)
    }

    #[inline(always)]
    fn prefetch_write(self, _: *const f32) {}

    #[inline(always)]
    fn prefetch_read(self, _: *const f32) {}

    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> f32x8 {
        // SAFETY: the caller vouches for 8 readable floats.
        f32x8::new(unsafe { src.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: f32x8, dst: *mut f32) {
        // SAFETY: the caller vouches for 8 writable floats.
        unsafe { dst.cast::<[f32; 8]>().write_unaligned(v.to_array()) }
    }

    #[inline(always)]
    unsafe fn load_first(self, src: *const f32, n: usize) -> f32x8 {
        let mut lanes = [0.0; 8];
        // SAFETY: the caller vouches for `n` readable floats.
        lanes[..n].copy_from_slice(unsafe { std::slice::from_raw_parts(src, n) });
        f32x8::new(lanes)
    }

    #[inline(always)]
    unsafe fn store_first(self, v: f32x8, dst: *mut f32, n: usize) {
        // SAFETY: the caller vouches for `n` writable floats.
        unsafe { std::slice::from_raw_parts_mut(dst, n) }.copy_from_slice(&v.to_array()[..n]);
    }
}
