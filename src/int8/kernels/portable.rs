//! Plain Rust, for CPUs without an instruction set of their own here.

use super::{Dot, GROUP, Kernel, Tile, TileFn};

/// Arithmetic on arrays.
#[derive(Clone, Copy)]
struct Portable;

const LANES: usize = 8;
/// 2²³: from there on the floats are the integers.
const INTEGERS: f32 = 8_388_608.0;

impl Dot for Portable {
    type Sum = [i32; LANES];
    type A = [i32; GROUP];
    type B = [[i8; GROUP]; LANES];
    type F = [f32; LANES];
    const LANES: usize = LANES;

    #[inline(always)]
    fn zero(self) -> Self::Sum {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn a(self, at: *const u8) -> Self::A {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[u8; GROUP]>().read() }.map(i32::from)
    }

    #[inline(always)]
    unsafe fn b(self, at: *const i8) -> Self::B {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<Self::B>().read() }
    }

    #[inline(always)]
    fn dot(self, mut sum: Self::Sum, a: Self::A, b: Self::B) -> Self::Sum {
        for (sum, b) in sum.iter_mut().zip(b) {
            for (a, b) in a.into_iter().zip(b) {
                *sum += a * i32::from(b);
            }
        }
        sum
    }

    #[inline(always)]
    unsafe fn finished(self, sum: Self::Sum, _: *const i32) -> Self::F {
        sum.map(|sum| sum as f32)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }

    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // Exact even where the CPU has no such instruction: these bits are the same everywhere.
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<Self::F>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_u8(self, at: *const u8) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[u8; LANES]>().read() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn store(self, v: Self::F, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<Self::F>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn store_u8(self, v: Self::F, at: *mut u8) {
        // The addition rounds half to even; the integer is in the last bits then.
        let bytes = v.map(|v| (v.clamp(0.0, 255.0) + INTEGERS).to_bits() as u8);
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[u8; LANES]>().write(bytes) }
    }

    #[inline(always)]
    fn prefetch(self, _: *const i8) {}
}

/// # Safety
/// `tile` must keep the promises of [`Tile`].
unsafe fn instance<const MR: usize>(tile: &Tile) {
    // SAFETY: the caller's promises.
    unsafe { tile.compute::<Portable, MR, 1>(Portable) }
}

/// The kernel.
pub(super) fn kernel() -> Kernel {
    const INSTANCES: &[&[TileFn]] =
        &[&[instance::<1>, instance::<2>, instance::<3>, instance::<4>]];
    let (name, mr) = ("int8_gemm_4x8_portable", INSTANCES[0].len());
    Kernel { name, mr, nr: LANES, lanes: LANES, instances: INSTANCES }
}
