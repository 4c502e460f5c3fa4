//! The microkernels: one table of them drives dispatch, tests and benches.

mod column;
mod tile;

use crate::simd::{Isa, Portable, Simd};
pub(crate) use column::Column;
pub(crate) use tile::{Fetch, LINE, Tile};

/// Computes one tile. The caller must hold the [`Isa`] it was compiled for and keep the promises of
/// [`Tile`].
type TileFn = unsafe fn(&Tile);

/// The microkernel of one instruction set: a tile of up to `mr` rows by `nr` columns of C.
///
/// Its name says what it is: type, purpose, tile, instruction set.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    /// The most rows of a tile. Each smaller number has an instance of its own.
    pub(super) mr: usize,
    /// The columns of a tile. Fewer columns take fewer vectors, the last one masked.
    pub(super) nr: usize,
    /// f32 in a vector.
    pub(super) lanes: usize,
    isa: Isa,
    /// `instances[vectors - 1][rows - 1]`.
    instances: &'static [&'static [TileFn]],
}

impl Kernel {
    /// The kernel of `isa`.
    pub fn of(isa: Isa) -> Kernel {
        use crate::simd::Set;
        match isa.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => avx512::kernel(isa),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::kernel(isa),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => neon::kernel(isa),
            Set::Portable => portable::kernel(isa),
        }
    }

    /// Every kernel that runs on this CPU.
    pub fn all() -> Vec<Kernel> {
        Isa::available().into_iter().map(Kernel::of).collect()
    }

    /// For example `f32_gemm_14x32_avx512`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The most rows of a tile, and its columns.
    pub fn tile(&self) -> (usize, usize) {
        (self.mr, self.nr)
    }

    /// The instruction set it is for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How many vectors `columns` take.
    pub(crate) fn vectors(&self, columns: usize) -> usize {
        columns.div_ceil(self.lanes)
    }

    /// Computes `tile`, which has `rows` rows.
    ///
    /// # Safety
    /// `tile` must keep the promises of [`Tile`] for `rows` rows, with `1 <= rows <= mr` and
    /// `1 <= tile.columns <= nr`.
    #[inline]
    pub(crate) unsafe fn run(&self, rows: usize, tile: &Tile) {
        let instance = self.instances[self.vectors(tile.columns) - 1][rows - 1];
        // SAFETY: `self.isa` proves the instruction set; the rest is the caller's promise.
        unsafe { instance(tile) }
    }
}

/// Declares a module with the instances of one instruction set and their table.
macro_rules! instances {
    ($module:ident, $simd:ty, $token:expr, $name:literal, rows: [$($rows:literal),*],
     vectors: [$($vectors:literal),*] $(, features: $features:literal)?) => {
        mod $module {
            use super::*;

            /// # Safety
            /// The CPU must have the instruction set; `tile` must keep the promises of [`Tile`].
            $(#[target_feature(enable = $features)])?
            unsafe fn instance<const MR: usize, const NV: usize>(tile: &Tile) {
                // SAFETY: the caller's promises.
                unsafe { tile.compute::<$simd, MR, NV>($token) }
            }

            const fn row<const NV: usize>() -> &'static [TileFn] {
                &[$(instance::<$rows, NV>),*]
            }

            pub(super) fn kernel(isa: Isa) -> Kernel {
                const INSTANCES: &[&[TileFn]] = &[$(row::<$vectors>()),*];
                let lanes = <$simd>::LANES;
                let (mr, nr) = (INSTANCES[0].len(), INSTANCES.len() * lanes);
                Kernel { name: $name, mr, nr, lanes, isa, instances: INSTANCES }
            }
        }
    };
}

// 28 sums, 2 vectors of B and one broadcast of A: 31 of 32 registers.
#[cfg(target_arch = "x86_64")]
instances!(
    avx512, crate::simd::Avx512, crate::simd::Avx512::assume(), "f32_gemm_14x32_avx512",
    rows: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], vectors: [1, 2],
    features: "avx512f,avx512vl,avx2,fma"
);

// 12 sums, 2 vectors of B and one broadcast of A: 15 of 16 registers.
#[cfg(target_arch = "x86_64")]
instances!(
    avx2, crate::simd::Avx2, crate::simd::Avx2::assume(), "f32_gemm_6x16_avx2",
    rows: [1, 2, 3, 4, 5, 6], vectors: [1, 2], features: "avx2,fma"
);

// 24 sums, 3 vectors of B and one broadcast of A: 28 of 32 registers.
#[cfg(target_arch = "aarch64")]
instances!(
    neon, crate::simd::Neon, crate::simd::Neon::assume(), "f32_gemm_8x12_neon",
    rows: [1, 2, 3, 4, 5, 6, 7, 8], vectors: [1, 2, 3], features: "neon"
);

// Each of the 8-lane vectors is two registers of SSE2: 8 sums, 2 of B, 1 of A.
instances!(
    portable, Portable, Portable, "f32_gemm_4x8_portable",
    rows: [1, 2, 3, 4], vectors: [1]
);
