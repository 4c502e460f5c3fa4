//! Vector operations: one small trait, one implementation an instruction set.
//!
//! Code that needs vectors is written once, generic over [`Simd`], and wrapped in a [`SimdOp`];
//! [`Isa::dispatch`] runs it compiled for the instruction set that the [`Isa`] stands for. A value of
//! a [`Simd`] type exists only where the CPU has that set, so holding one is the proof that its
//! operations may run, and they are safe to call.
//!
//! The operations are chosen so that every instruction set computes the same bits: each is a single
//! correctly rounded IEEE operation or a selection, [`Simd::max`] says what it does with NaN and
//! signed zero, and nothing here reduces across lanes.
//!
//! Operations stand in plain loops, never in a closure: a closure that iterators or `array::from_fn` call
//! does not carry the instruction set, and where the compiler does not inline it (another crate's
//! profile decides) each operation becomes a function call. `.ci/run` looks for such functions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
mod contract;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod peak;
mod portable;
mod strided;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use isa::Set;
pub use isa::{Isa, IsaError};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub use peak::peak_gflops;
pub(crate) use portable::Portable;
pub(crate) use strided::Strided;

use std::ops::Range;

/// Vectors of f32 on one instruction set. The value is the proof that the CPU has it.
pub trait Simd: Copy + Send + Sync + 'static {
    /// A vector.
    type V: Copy;
    /// How many f32 a vector holds.
    const LANES: usize;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c with one rounding (two on [`Isa`] `portable`, where there is no fused operation).
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// a > b ? a : b in each lane; so b where either is NaN, and where they are zeros of two signs.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// a > b ? then : otherwise in each lane; so `otherwise` where either of a and b is NaN.
    fn if_gt(self, a: Self::V, b: Self::V, then: Self::V, otherwise: Self::V) -> Self::V;
    /// `then` in the lanes where a is NaN, else `otherwise`.
    fn if_nan(self, a: Self::V, then: Self::V, otherwise: Self::V) -> Self::V;
    /// +0 in the lanes where |a| is below the smallest normal number (denormals and zeros of either
    /// sign), a in the others, NaN included. Sweeps that make denormals flush them with this, since
    /// the floating-point control register is never touched.
    fn flush(self, a: Self::V) -> Self::V;

    /// Asks for the cache line at `at`, which will soon be written. A hint: any address will do.
    fn prefetch_write(self, at: *const f32);
    /// Asks for the cache line at `at` in the second-level cache. A hint: any address will do.
    fn prefetch_read(self, at: *const f32);

    /// The vector at `src`.
    ///
    /// # Safety
    /// `LANES` floats must be readable at `src`.
    unsafe fn load_ptr(self, src: *const f32) -> Self::V;
    /// Stores `v` at `dst`.
    ///
    /// # Safety
    /// `LANES` floats must be writable at `dst`.
    unsafe fn store_ptr(self, v: Self::V, dst: *mut f32);
    /// The vector at `src` if `condition` holds, else zeros, and nothing is read.
    ///
    /// # Safety
    /// If `condition` holds, `LANES` floats must be readable at `src`.
    #[inline(always)]
    unsafe fn load_if(self, condition: bool, src: *const f32) -> Self::V {
        // SAFETY: the caller's promise.
        if condition { unsafe { self.load_ptr(src) } } else { self.splat(0.0) }
    }
    /// The first `n <= LANES` floats at `src`, zeros in the other lanes; touches nothing beyond.
    ///
    /// # Safety
    /// `n` floats must be readable at `src`.
    unsafe fn load_first(self, src: *const f32, n: usize) -> Self::V;
    /// Stores the first `n <= LANES` lanes of `v` at `dst`; touches nothing beyond.
    ///
    /// # Safety
    /// `n` floats must be writable at `dst`.
    unsafe fn store_first(self, v: Self::V, dst: *mut f32, n: usize);

    /// The first `LANES` floats of `src`, or all of them and zeros if there are fewer.
    #[inline(always)]
    fn load(self, src: &[f32]) -> Self::V {
        if src.len() >= Self::LANES {
            // SAFETY: the slice holds LANES floats.
            unsafe { self.load_ptr(src.as_ptr()) }
        } else {
            // SAFETY: the slice holds `src.len()` floats.
            unsafe { self.load_first(src.as_ptr(), src.len()) }
        }
    }

    /// Stores `v` into the first `LANES` floats of `dst`, or as many lanes as it holds.
    #[inline(always)]
    fn store(self, v: Self::V, dst: &mut [f32]) {
        if dst.len() >= Self::LANES {
            // SAFETY: the slice holds LANES floats.
            unsafe { self.store_ptr(v, dst.as_mut_ptr()) }
        } else {
            // SAFETY: the slice holds `dst.len()` floats.
            unsafe { self.store_first(v, dst.as_mut_ptr(), dst.len()) }
        }
    }

    /// N vectors whose first floats are `src[0]`, `src[stride]` and so on: one check of bounds for all.
    ///
    /// # Panics
    /// If the last one ends beyond `src`.
    #[inline(always)]
    fn load_strided<const N: usize>(self, src: &[f32], stride: usize) -> [Self::V; N] {
        let fits = stride <= src.len() && (N - 1) * stride + Self::LANES <= src.len();
        assert!(N <= 8 && fits, "vectors beyond the slice");
        let places = Strided::new(src.as_ptr(), stride);
        let mut vectors = [self.splat(0.0); N];
        for (i, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: the last vector is inside (asserted), so all are.
            *vector = unsafe { self.load_ptr(places.at(i)) };
        }
        vectors
    }

    /// As [`load_strided`](Self::load_strided), but only the vectors in `inside` are read, and the others
    /// are zeros: the first one need not be in `src`, so `first` may have wrapped below 0.
    ///
    /// # Panics
    /// If a vector in `inside` is not in `src`.
    #[inline(always)]
    fn load_strided_inside<const N: usize>(
        self,
        src: &[f32],
        first: usize,
        stride: usize,
        inside: &Range<usize>,
    ) -> [Self::V; N] {
        if !inside.is_empty() {
            let start = first.wrapping_add(inside.start * stride);
            let steps = (inside.end - 1 - inside.start) * stride;
            let room = src.len().checked_sub(start).and_then(|room| room.checked_sub(steps));
            let fits = inside.end <= N && stride <= src.len();
            assert!(N <= 8 && fits && room >= Some(Self::LANES), "vectors beyond the slice");
        }
        let places = Strided::new(src.as_ptr().wrapping_add(first), stride);
        let mut vectors = [self.splat(0.0); N];
        for (i, vector) in vectors.iter_mut().enumerate() {
            let at = places.at(i);
            // SAFETY: the vectors from the first to the last in `inside` are in the slice (asserted).
            *vector = unsafe { self.load_if(inside.start <= i && i < inside.end, at) };
        }
        vectors
    }

    /// Stores N vectors to where [`load_strided`](Self::load_strided) reads them.
    ///
    /// # Panics
    /// If the last one ends beyond `dst`.
    #[inline(always)]
    fn store_strided<const N: usize>(self, v: [Self::V; N], dst: &mut [f32], stride: usize) {
        let fits = stride <= dst.len() && (N - 1) * stride + Self::LANES <= dst.len();
        assert!(N <= 8 && fits, "vectors beyond the slice");
        let places = Strided::new(dst.as_mut_ptr(), stride);
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the last vector is inside (asserted), so all are.
            unsafe { self.store_ptr(v, places.at(i).cast_mut()) };
        }
    }

    /// Copies `src` to `dst`, which are of one length: short runs, for which a call of `memcpy` costs
    /// more than the copy.
    #[inline(always)]
    fn copy(self, src: &[f32], dst: &mut [f32]) {
        let Some(last) = src.len().checked_sub(Self::LANES) else {
            return self.store(self.load(src), dst);
        };
        for (dst, src) in dst.chunks_exact_mut(Self::LANES).zip(src.chunks_exact(Self::LANES)) {
            self.store(self.load(src), dst);
        }
        // The rest together with some that are copied already: one whole vector instead of a cut one.
        self.store(self.load(&src[last..]), &mut dst[last..]);
    }
}

/// A computation that [`Isa::dispatch`] can run on any instruction set.
pub trait SimdOp {
    /// What it returns.
    type Output;
    /// Runs it. Implementations must be `#[inline(always)]`, or the vector operations inside become
    /// function calls.
    fn eval<S: Simd>(self, simd: S) -> Self::Output;
}
