//! **resnet-cpu**: Residual Networks (He, Zhang, Ren, Sun, 2015) on CPUs alone.
//!
//! Every convolution is a matrix product over NHWC activations, and one blocked SGEMM serves all of
//! them. What differs is where a panel of the left operand comes from (a packer) and what happens to
//! a finished tile (an epilogue). The result depends on data, seed and shape only: the same bits for
//! any number of threads and for AVX-512, AVX2 and NEON alike.
//!
//! Rooms, lowest first; each uses only those above it in this list (`docs/architecture.md`):
//!
//! | module | job |
//! |---|---|
//! | [`simd`] | vector operations, one implementation an instruction set, dispatch |
//! | [`runtime`] | threads, aligned buffers, random numbers |
//! | [`gemm`] | the blocked matrix product: kernels, packing, epilogues |
//! | [`conv`] | convolutions as matrix products |
//! | [`ops`] | every other layer |
//! | [`model`] | what the networks of the paper are |
//! | [`weights`] | files of weights and the names in them |
//! | [`data`] | images to tensors |
//! | [`infer`] | prepared networks, sessions, predictions |
//! | [`learn`] | a training step: passes, loss, optimiser, moving average |
//! | [`train`] | a run: data, recipe, schedule, checkpoints, metrics, report |

pub mod conv;
pub mod data;
pub mod gemm;
pub mod infer;
pub mod learn;
pub mod model;
mod numerics;
pub mod ops;
pub mod runtime;
pub mod simd;
pub mod train;
pub mod weights;
