//! AVX-512 VNNI: 16 columns a vector, four products and their sum an instruction.

use super::{Dot, kernel};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 with VNNI.
#[derive(Clone, Copy)]
struct Vnni(());

impl Vnni {
    /// # Safety
    /// The CPU must have avx512f, avx512bw, avx512vl and avx512vnni.
    #[inline(always)]
    unsafe fn assume() -> Self {
        Self(())
    }
}

/// Calls intrinsics for a holder of a `Vnni`.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: the value proves that the CPU has the instructions, and the callers of the pointer
        // functions vouch for the memory.
        unsafe { $call }
    };
}

impl Dot for Vnni {
    type Sum = __m512i;
    type A = __m512i;
    type B = __m512i;
    type F = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    fn zero(self) -> __m512i {
        op!(_mm512_setzero_si512())
    }

    #[inline(always)]
    unsafe fn a(self, at: *const u8) -> __m512i {
        op!(_mm512_set1_epi32(at.cast::<i32>().read_unaligned()))
    }

    #[inline(always)]
    unsafe fn b(self, at: *const i8) -> __m512i {
        op!(_mm512_loadu_si512(at.cast()))
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_dpbusd_epi32(sum, a, b))
    }

    #[inline(always)]
    unsafe fn finished(self, sum: __m512i, _: *const i32) -> __m512 {
        op!(_mm512_cvtepi32_ps(sum))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        op!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        op!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m512 {
        op!(_mm512_loadu_ps(at))
    }

    #[inline(always)]
    unsafe fn load_u8(self, at: *const u8) -> __m512 {
        op!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(at.cast()))))
    }

    #[inline(always)]
    unsafe fn store(self, v: __m512, at: *mut f32) {
        op!(_mm512_storeu_ps(at, v))
    }

    #[inline(always)]
    unsafe fn store_u8(self, v: __m512, at: *mut u8) {
        op!({
            let integers = _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512());
            _mm_storeu_si128(at.cast(), _mm512_cvtusepi32_epi8(integers));
        });
    }

    #[inline(always)]
    unsafe fn store_u8_rows<const NV: usize>(self, rows: [[__m512; NV]; 2], at: [*mut u8; 2]) {
        if NV != 2 {
            for (row, at) in rows.into_iter().zip(at) {
                for (j, v) in row.into_iter().enumerate() {
                    // SAFETY: the caller's promise.
                    unsafe { self.store_u8(v, at.add(j * Self::LANES)) };
                }
            }
            return;
        }
        // Packing cuts to i16, then to u8, in each 128 bits for itself: those of a row are put in order
        // afterwards.
        op!({
            let [first, second] = rows;
            let a =
                _mm512_packs_epi32(_mm512_cvtps_epi32(first[0]), _mm512_cvtps_epi32(first[NV - 1]));
            let b = _mm512_packs_epi32(
                _mm512_cvtps_epi32(second[0]),
                _mm512_cvtps_epi32(second[NV - 1]),
            );
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let both = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(a, b));
            _mm256_storeu_si256(at[0].cast(), _mm512_castsi512_si256(both));
            _mm256_storeu_si256(at[1].cast(), _mm512_extracti64x4_epi64::<1>(both));
        });
    }

    #[inline(always)]
    fn prefetch(self, at: *const i8) {
        op!(_mm_prefetch::<_MM_HINT_T1>(at));
    }
}

// 28 sums, 2 vectors of B and one group of A: 31 of 32 registers.
kernel!(
    vnni, Vnni, "int8_gemm_14x32_avx512vnni",
    rows: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], vectors: [1, 2],
    features: "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma",
    detected: is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
);
