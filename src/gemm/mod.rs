//! C = A · B and C = Aᵀ · B in f32, blocked for the caches, with something done to each tile before it is stored.
//!
//! A is whatever an [`ASource`] says it is (a matrix in memory, the patches of an image); B is a
//! matrix of weights, [packed](PackedB) once and used many times; an [`Epilogue`] adds bias and
//! residual and applies ReLU while a tile is still in registers.
//!
//! K is cut into blocks whose size depends on K alone ([`blocking::k_block`]). The sum of a block
//! runs over its terms in order, one fused multiply-add each, starting from zero; the blocks' sums are
//! added in order. So the result does not depend on the other blocking, tile shape, vector width or
//! threads; and short blocks make it more accurate than one long sum (4608 terms: about half the
//! error).

mod backend;
mod batch;
pub mod blocking;
#[cfg(feature = "matrixmultiply")]
mod by_matrixmultiply;
mod driver;
mod epilogue;
pub mod kernels;
mod operand;
mod pack;
mod pack_filters;
pub mod reference;
mod runs;
mod transposed;

pub use backend::Backend;
pub(crate) use batch::gemm_batch;
pub use driver::gemm;
pub(crate) use driver::panel_stride;
pub use epilogue::{AfterRows, Epilogue};
pub use operand::Operand;
pub(crate) use pack::Panels;
pub use pack::{ASource, Matrix, PackedB, Part};
pub(crate) use runs::{Runs, gemm_runs};
pub use transposed::gemm_transposed;
pub(crate) use transposed::{
    TransposedRuns, add_pairwise, gemm_transposed_packed, gemm_transposed_runs,
};

#[cfg(test)]
pub(crate) mod tests;
