//! AVX2: 8 columns a vector, by AVX-VNNI where the CPU has it, else through products of i16. The instruction
//! that would multiply bytes saturates, so it is not used.

use super::{Dot, kernel};
use std::arch::x86_64::*;

/// Calls intrinsics for a holder of a proof.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the value proves that the CPU has the instructions, and the callers of the pointer
        // functions vouch for the memory.
        unsafe { $call }
    };
}

/// What both ways have in common.
macro_rules! floats {
    () => {
        type Sum = __m256i;
        type F = __m256;
        const LANES: usize = 8;

        #[inline(always)]
        fn zero(self) -> __m256i {
            op!(_mm256_setzero_si256())
        }

        #[inline(always)]
        unsafe fn finished(self, sum: __m256i, _: *const i32) -> __m256 {
            op!(_mm256_cvtepi32_ps(sum))
        }

        #[inline(always)]
        fn splat(self, x: f32) -> __m256 {
            op!(_mm256_set1_ps(x))
        }

        #[inline(always)]
        fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            op!(_mm256_fmadd_ps(a, b, c))
        }

        #[inline(always)]
        unsafe fn load(self, at: *const f32) -> __m256 {
            op!(_mm256_loadu_ps(at))
        }

        #[inline(always)]
        unsafe fn load_u8(self, at: *const u8) -> __m256 {
            op!(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast()))))
        }

        #[inline(always)]
        unsafe fn store(self, v: __m256, at: *mut f32) {
            op!(_mm256_storeu_ps(at, v))
        }

        #[inline(always)]
        unsafe fn store_u8(self, v: __m256, at: *mut u8) {
            op!({
                let v = _mm256_cvtps_epi32(v);
                let halves = (_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
                let words = _mm_packs_epi32(halves.0, halves.1);
                _mm_storel_epi64(at.cast(), _mm_packus_epi16(words, words));
            });
        }

        #[inline(always)]
        fn prefetch(self, at: *const i8) {
            op!(_mm_prefetch::<_MM_HINT_T1>(at));
        }
    };
}

/// Proof that the CPU has AVX-VNNI.
#[derive(Clone, Copy)]
struct Vnni(());

impl Vnni {
    /// # Safety
    /// The CPU must have avx2, fma and avxvnni.
    #[inline(always)]
    unsafe fn assume() -> Self {
        Self(())
    }
}

impl Dot for Vnni {
    type A = __m256i;
    type B = __m256i;

    floats!();

    #[inline(always)]
    unsafe fn a(self, at: *const u8) -> __m256i {
        op!(_mm256_set1_epi32(at.cast::<i32>().read_unaligned()))
    }

    #[inline(always)]
    unsafe fn b(self, at: *const i8) -> __m256i {
        op!(_mm256_loadu_si256(at.cast()))
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_dpbusd_avx_epi32(sum, a, b))
    }
}

// 12 sums, 2 vectors of B and one group of A: 15 of 16 registers.
kernel!(
    vnni, Vnni, "int8_gemm_6x16_avxvnni",
    rows: [1, 2, 3, 4, 5, 6], vectors: [1, 2], features: "avx2,fma,avxvnni",
    detected: is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("avxvnni")
);

/// Proof that the CPU has AVX2.
#[derive(Clone, Copy)]
struct Widened(());

impl Widened {
    /// # Safety
    /// The CPU must have avx2 and fma.
    #[inline(always)]
    unsafe fn assume() -> Self {
        Self(())
    }
}

impl Dot for Widened {
    /// The values at even places of each group, and those at odd ones.
    type A = [__m256i; 2];
    type B = [__m256i; 2];

    floats!();

    #[inline(always)]
    unsafe fn a(self, at: *const u8) -> [__m256i; 2] {
        op!({
            let a = _mm256_set1_epi32(at.cast::<i32>().read_unaligned());
            [_mm256_and_si256(a, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(a)]
        })
    }

    #[inline(always)]
    unsafe fn b(self, at: *const i8) -> [__m256i; 2] {
        op!({
            let b = _mm256_loadu_si256(at.cast());
            [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(b)), _mm256_srai_epi16::<8>(b)]
        })
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
        // Two products of at most 255 · 127 each: far from overflow.
        op!({
            let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a[0], b[0]));
            _mm256_add_epi32(sum, _mm256_madd_epi16(a[1], b[1]))
        })
    }
}

// 8 sums, 4 vectors of B, 2 of A and one product: 15 of 16 registers.
kernel!(
    widened, Widened, "int8_gemm_4x16_avx2",
    rows: [1, 2, 3, 4], vectors: [1, 2], features: "avx2,fma",
    detected: is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
);
