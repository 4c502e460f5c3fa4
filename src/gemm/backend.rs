//! Which code multiplies: ours, or the `matrixmultiply` crate as a second opinion.

use crate::simd::Isa;

/// Who computes the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernels of this crate, on the given instruction set.
    Native(Isa),
    /// A plain im2col and the `matrixmultiply` crate: a differential test of everything around the
    /// kernels, and an honest yardstick of their speed. With the feature `matrixmultiply`.
    #[cfg(feature = "matrixmultiply")]
    Matrixmultiply,
}

impl Backend {
    /// The instruction set of everything that runs beside the products: the backend's own, or the
    /// fastest that this CPU has.
    pub fn isa(self) -> Isa {
        self.native().unwrap_or_else(Isa::best)
    }

    /// The instruction set of our kernels, if they compute the products.
    pub(crate) fn native(self) -> Option<Isa> {
        match self {
            Self::Native(isa) => Some(isa),
            #[cfg(feature = "matrixmultiply")]
            Self::Matrixmultiply => None,
        }
    }
}
