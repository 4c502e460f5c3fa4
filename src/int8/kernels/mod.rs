//! The microkernels for integers: one table of them drives dispatch, tests and benches.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod tile;

use crate::simd::{Isa, Set};
pub(super) use tile::{Target, Tile};

/// Values of K that an instruction takes at once.
pub const GROUP: usize = 4;

/// The integer arithmetic of an instruction set. A value proves that the CPU has it.
trait Dot: Copy {
    /// Sums of `LANES` columns.
    type Sum: Copy;
    /// A group of a row of A, for all lanes.
    type A: Copy;
    /// A group of each of `LANES` columns of B.
    type B: Copy;
    /// `LANES` i32 as f32.
    type F: Copy;
    /// Columns in a vector.
    const LANES: usize;

    fn zero(self) -> Self::Sum;
    /// A group of A.
    ///
    /// # Safety
    /// Four bytes must be readable at `at`.
    unsafe fn a(self, at: *const u8) -> Self::A;
    /// A group of `LANES` columns.
    ///
    /// # Safety
    /// `4 * LANES` bytes must be readable at `at`.
    unsafe fn b(self, at: *const i8) -> Self::B;
    /// `sum` + the products of a group. It may take 128 less than each value of A: a finished sum then lacks 128
    /// times the sum of its column of B.
    fn dot(self, sum: Self::Sum, a: Self::A, b: Self::B) -> Self::Sum;
    /// The finished sums, plus what they lack, of which there are `LANES` i32 at `correction`; rounded to f32.
    ///
    /// # Safety
    /// `LANES` i32 must be readable at `correction`.
    unsafe fn finished(self, sum: Self::Sum, correction: *const i32) -> Self::F;
    fn splat(self, x: f32) -> Self::F;
    /// a · b + c, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// # Safety
    /// `LANES` floats must be readable at `at`.
    unsafe fn load(self, at: *const f32) -> Self::F;
    /// # Safety
    /// `LANES` bytes must be readable at `at`.
    unsafe fn load_u8(self, at: *const u8) -> Self::F;
    /// # Safety
    /// `LANES` floats must be writable at `at`.
    unsafe fn store(self, v: Self::F, at: *mut f32);
    /// Rounds to the nearest integer, half to even, and stores it, cut to 0..=255. The value must be an i32 then.
    ///
    /// # Safety
    /// `LANES` bytes must be writable at `at`.
    unsafe fn store_u8(self, v: Self::F, at: *mut u8);
    /// The same for two rows of `NV` vectors.
    ///
    /// # Safety
    /// `NV * LANES` bytes must be writable at each place.
    #[inline(always)]
    unsafe fn store_u8_rows<const NV: usize>(self, rows: [[Self::F; NV]; 2], at: [*mut u8; 2]) {
        for (row, at) in rows.into_iter().zip(at) {
            for (j, v) in row.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { self.store_u8(v, at.add(j * Self::LANES)) };
            }
        }
    }
    /// Fetches the cache line at `at` into the second-level cache; any address will do.
    fn prefetch(self, at: *const i8);
}

/// Computes one tile. The caller must know that the CPU has the instructions and keep the promises of [`Tile`].
type TileFn = unsafe fn(&Tile);

/// The microkernel of one way to multiply integers: a tile of up to `mr` rows by `nr` columns.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    pub(super) mr: usize,
    pub(super) nr: usize,
    pub(super) lanes: usize,
    /// `instances[vectors - 1][rows - 1]`.
    instances: &'static [&'static [TileFn]],
}

impl Kernel {
    /// Those of instruction set `isa` that this CPU has, fastest first; each computes the same.
    pub fn all_of(isa: Isa) -> Vec<Kernel> {
        let all = match isa.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => [avx512::vnni(), avx2::vnni(), avx2::widened()],
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => [None, avx2::vnni(), avx2::widened()],
            #[cfg(target_arch = "aarch64")]
            Set::Neon => [neon::i8mm(), neon::dotprod(), neon::plain()],
            Set::Portable => [Some(portable::kernel()), None, None],
        };
        all.into_iter().flatten().collect()
    }

    /// The fastest of [`all_of`](Self::all_of).
    pub fn of(isa: Isa) -> Kernel {
        Self::all_of(isa)[0]
    }

    /// Every kernel that runs on this CPU, once: some serve several instruction sets.
    pub fn all() -> Vec<Kernel> {
        let mut all: Vec<Kernel> = Vec::new();
        for kernel in Isa::available().into_iter().flat_map(Self::all_of) {
            if all.iter().all(|other| other.name != kernel.name) {
                all.push(kernel);
            }
        }
        all
    }

    /// For example `int8_gemm_14x32_avx512vnni`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many vectors `columns` take.
    pub(super) fn vectors(&self, columns: usize) -> usize {
        columns.div_ceil(self.lanes)
    }

    /// Computes `tile`, which has `rows` rows.
    ///
    /// # Safety
    /// `tile` must keep the promises of [`Tile`] for `rows` rows, with `1 <= rows <= mr` and
    /// `1 <= tile.columns <= nr`.
    #[inline]
    pub(super) unsafe fn run(&self, rows: usize, tile: &Tile) {
        let instance = self.instances[self.vectors(tile.columns) - 1][rows - 1];
        // SAFETY: whoever made this kernel has seen that the CPU has its instructions; the rest is the
        // caller's promise.
        unsafe { instance(tile) }
    }
}

/// Declares a function that returns the kernel of one way to multiply, if the CPU has it.
macro_rules! kernel {
    ($make:ident, $dot:ty, $name:literal, rows: [$($rows:literal),*], vectors: [$($vectors:literal),*],
     features: $features:literal, detected: $detected:expr) => {
        /// The kernel, if this CPU has the instructions.
        pub(super) fn $make() -> Option<super::Kernel> {
            use super::{Dot, Kernel, Tile, TileFn};

            /// # Safety
            /// The CPU must have the instructions; `tile` must keep the promises of [`Tile`].
            #[target_feature(enable = $features)]
            unsafe fn instance<const MR: usize, const NV: usize>(tile: &Tile) {
                // SAFETY: the caller's promises.
                unsafe { tile.compute::<$dot, MR, NV>(<$dot>::assume()) }
            }

            const fn row<const NV: usize>() -> &'static [TileFn] {
                &[$(instance::<$rows, NV>),*]
            }

            const INSTANCES: &[&[TileFn]] = &[$(row::<$vectors>()),*];
            let lanes = <$dot as Dot>::LANES;
            let (mr, nr) = (INSTANCES[0].len(), INSTANCES.len() * lanes);
            ($detected).then_some(Kernel { name: $name, mr, nr, lanes, instances: INSTANCES })
        }
    };
}
use kernel;
