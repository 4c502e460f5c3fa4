//! C = A · B in f32, blocked for the caches, with something done to each tile before it is stored.
//!
//! A is whatever an [`ASource`] says it is (a matrix in memory, the patches of a picture); B is a
//! matrix of weights, [packed](PackedB) once and used many times; an [`Epilogue`] adds bias and
//! residual and applies ReLU while a tile is still in registers.
//!
//! The sum of an output runs over its K terms in order, one fused multiply-add each, starting from
//! zero; a block boundary along K stores the partial sum and loads it again. So the result does not
//! depend on blocking, tile shape, vector width or threads.

mod backend;
pub mod blocking;
mod driver;
mod epilogue;
pub mod kernels;
mod pack;
pub mod reference;

pub use backend::Backend;
pub use driver::gemm;
pub use epilogue::Epilogue;
pub use pack::{ASource, Matrix, PackedB};
